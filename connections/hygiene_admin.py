"""The support desk of key hygiene: findings of everybody, the numbers they go by, outages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from . import hygiene, looks, marks
from .connection_actions import WhyForm, chosen, said_why
from .desk import Choice, DeskAdmin, FoundByConnection, SeenAdmin, SeenInline, ShownForm
from .desk_filters import FindingNeeds
from .events import AccessEvent, record
from .finding_pages import SEVERITIES, STATES, said_of
from .finding_words import Words, words_for
from .findings import WORST_FIRST
from .models import Finding, FindingChange, Outage, Thresholds
from .rules import RULES

State = Finding.State
ONLY = 1  # the row of thresholds


class RuleFilter(Choice):
    """By the rule's title."""

    title = _("rule")
    parameter_name = "rule"
    choices_here = tuple((code, rule.title) for code, rule in RULES.items())

    def narrow(self, rows: QuerySet[Finding], value: str) -> QuerySet[Finding]:
        return rows.filter(rule=value)


class ChangeInline(SeenInline):
    model = FindingChange
    verbose_name_plural = _("what became of it")
    fields = readonly_fields = ("at", "by", "state", "severity", "until", "why")
    ordering = ("-at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FindingChange]:
        rows: QuerySet[FindingChange] = super().get_queryset(request)
        return rows.select_related("by")


@admin.register(Finding)
class FindingAdmin(looks.LookedAtAdmin, FoundByConnection, SeenAdmin):
    """Looked at, acknowledged, snoozed and suppressed; the facts are the auditor's alone."""

    action_form = WhyForm
    actions = ("acknowledge", "snooze", "suppress")
    list_display = (
        "title",
        "how_bad",
        "state_word",
        "named",
        "owner",
        "since",
        "came_back",
    )
    list_filter = (FindingNeeds, "state", "severity", RuleFilter, "connection__exchange")
    list_select_related = ("connection__owner", "connection__exchange")
    ordering = WORST_FIRST
    search_fields = ("connection__name",)
    inlines = (ChangeInline,)
    fields = (
        "title",
        "what",
        "advice",
        ("how_bad", "state_word"),
        ("connection", "exchange"),
        "owner",
        ("first_seen_at", "state_since"),
        "came_back",
    )
    readonly_fields = (
        *("title", "what", "advice", "how_bad", "state_word", "connection", "exchange"),
        *("owner", "first_seen_at", "state_since", "came_back"),
    )

    def has_say_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.change_finding")

    def has_suppress_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.suppress_finding")

    @admin.display(description=_("finding"), ordering="rule")
    def title(self, finding: Finding) -> str:
        return _words(finding).title

    def title_of(self, row: Finding) -> str:
        return f"{_words(row).title}: {row.connection.name}"

    @admin.display(description=_("connection"))
    def named(self, finding: Finding) -> SafeString:
        return marks.two(finding.connection.name, finding.connection.exchange.name)

    @admin.display(description=_("since"))
    def since(self, finding: Finding) -> SafeString:
        seen = format_html(gettext("first seen {}"), marks.ago(finding.first_seen_at))
        is_new = finding.state_since <= finding.first_seen_at
        return marks.two(marks.ago(finding.state_since), "" if is_new else seen)

    @admin.display(description=_("came back"))
    def came_back(self, finding: Finding) -> str:
        """How often it was there again after it was gone."""
        times = finding.regressions
        return ngettext("once", "%(n)d times", times) % {"n": times} if times else marks.NOTHING

    @admin.display(description=_("what was found"))
    def what(self, finding: Finding) -> str:
        return _words(finding).what

    @admin.display(description=_("what its owner is told to do"))
    def advice(self, finding: Finding) -> SafeString:
        steps = format_html_join("", "<li>{}</li>", ((step,) for step in _words(finding).advice))
        return format_html('<ol class="desk-steps">{}</ol>', steps)

    @admin.display(description=_("owner"), ordering="connection__owner__email")
    def owner(self, finding: Finding) -> str:
        return str(finding.connection.owner)

    @admin.display(description=_("exchange"), ordering="connection__exchange")
    def exchange(self, finding: Finding) -> str:
        return finding.connection.exchange.name

    @admin.display(description=_("severity"), ordering="severity")
    def how_bad(self, finding: Finding) -> SafeString:
        color, _icon = SEVERITIES[finding.severity]
        return marks.badge(str(finding.get_severity_display()), color)

    @admin.display(description=_("state"), ordering="state")
    def state_word(self, finding: Finding) -> SafeString:
        color, _icon = STATES[finding.state]
        return marks.badge(said_of(finding.state, finding.snoozed_until), color)

    @admin.action(description=_("Acknowledge"), permissions=["say"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        self._say(request, self._chosen(request, queryset), State.ACKNOWLEDGED)

    @admin.action(description=_("Snooze for the usual number of days"), permissions=["say"])
    def snooze(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        self._say(request, self._chosen(request, queryset), State.SNOOZED)

    @admin.action(description=_("Suppress, with a reason"), permissions=["suppress"])
    def suppress(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        """Always with a reason of its own: that finding is never shown as open again."""
        why = said_why(request)
        if not why:
            text = gettext("Nothing was suppressed. Say why, in the field beside the action.")
            self.message_user(request, text, messages.ERROR)
            return
        self._say(request, self._chosen(request, queryset), State.SUPPRESSED, why)

    def _chosen(self, request: HttpRequest, queryset: QuerySet[Finding]) -> list[Finding]:
        return chosen(request, queryset, lambda row: row.connection.owner_id)

    def _say(
        self, request: HttpRequest, findings: list[Finding], state: Finding.State, why: str = ""
    ) -> None:
        """Counts of whom it could be said, and tells each reason why not once. What was done and
        that it was done are kept together."""
        if not findings:
            return
        done, refused = list[Finding](), list[str]()
        with transaction.atomic():
            try:
                done, refused = hygiene.say_of_many(
                    findings, state, by=request.user, now=timezone.now(), why=why
                )
            except hygiene.Refused as refusal:
                refused = [refusal.sentence]
            touched = {each.connection_id: each.connection for each in done}
            looks.acted(request, f"finding {state.value}", touched.values(), said_why(request))
        number = len(done)
        text = ngettext("Done for %(n)d finding.", "Done for %(n)d findings.", number)
        level = messages.WARNING if refused else messages.SUCCESS
        self.message_user(request, " ".join([text % {"n": number}, *refused]), level)


def _words(finding: Finding) -> Words:
    return words_for(finding, exchange_code=finding.connection.exchange_id)


@admin.register(Thresholds)
class ThresholdsAdmin(DeskAdmin):
    """One row, which is there from the first change on."""

    form = ShownForm
    fieldsets = (
        (
            _("Keys"),
            {"fields": ("unused_days", "old_days", "very_old_days", "replaced_kept_hours")},
        ),
        (
            _("When a key expires"),
            {"fields": ("expiry_first_days", "expiry_second_days", "expiry_last_days")},
        ),
        (
            _("Tests"),
            {
                "fields": (
                    "test_every_hours",
                    "failing_hours",
                    "never_tested_hours",
                    "tests_kept_days",
                )
            },
        ),
        (_("Findings"), {"fields": ("snooze_days", "snooze_most_days")}),
        (_("Notices"), {"fields": ("break_patience_minutes", "outage_least")}),
        (_("Strategies"), {"fields": ("require_ip_restriction", "separate_keys")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def title_of(self, row: Thresholds) -> str:
        return gettext("What rules, tests and notices go by")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """There is nothing to choose from: the numbers themselves."""
        if request.method != "GET":
            return super().changelist_view(request, extra_context)
        page = reverse("admin:connections_thresholds_change", args=[ONLY])
        return self.changeform_view(request, str(ONLY), page, extra_context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Thresholds | None:
        """The numbers that hold while nobody has changed one."""
        found: Thresholds | None = super().get_object(request, object_id, from_field)
        return found or (Thresholds(pk=ONLY) if object_id == str(ONLY) else None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Thresholds, form: Any, change: bool) -> None:
        before = Thresholds.current()
        obj.pk = ONLY
        super().save_model(request, obj, form, change)
        for name in form.changed_data:
            why = f"{name}: {getattr(before, name)} -> {getattr(obj, name)}"
            record(AccessEvent.Kind.THRESHOLDS_CHANGED, actor=request.user, why=why)


@admin.register(Outage)
class OutageAdmin(SeenAdmin):
    list_display = ("exchange", "began_at", "ended_at", "lasted")
    list_filter = ("exchange", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("exchange",)
    date_hierarchy = "began_at"
    fields = list_display
    readonly_fields = ("lasted",)

    def title_of(self, row: Outage) -> str:
        return row.exchange.name

    @admin.display(description=_("lasted"))
    def lasted(self, outage: Outage) -> SafeString | str:
        if outage.ended_at is None:
            return marks.badge(gettext("still down"), "red")
        return timesince(outage.began_at, outage.ended_at)
