"""The support desk of key hygiene: findings of everybody, the numbers they go by, outages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from . import hygiene
from .admin import ReadOnlyAdmin
from .events import AccessEvent, record
from .models import Finding, FindingChange, Outage, Thresholds
from .rule_words import Words, words_for
from .rules import RULES

Say = Callable[[Finding], None]


class RuleFilter(admin.SimpleListFilter):
    """By the rule's title; those without a finding are left out."""

    title = _("rule")
    parameter_name = "rule"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = set(Finding.objects.order_by().values_list("rule", flat=True).distinct())
        return [(code, str(rule.title)) for code, rule in RULES.items() if code in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Finding]) -> QuerySet[Finding]:
        return queryset.filter(rule=self.value()) if self.value() else queryset


class ReasonForm(ActionForm):
    why = forms.CharField(
        required=False,
        label=_("Reason, to suppress:"),
        max_length=FindingChange._meta.get_field("why").max_length,
    )


class ChangeInline(admin.TabularInline):  # type: ignore[type-arg]
    model = FindingChange
    extra = 0
    can_delete = False
    verbose_name_plural = _("what became of it")
    fields = readonly_fields = ("at", "by", "state", "severity", "until", "why")
    ordering = ("-at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FindingChange]:
        return super().get_queryset(request).select_related("by")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """Looked at, acknowledged, snoozed and suppressed; the facts are the auditor's alone."""

    action_form = ReasonForm
    actions = ("acknowledge", "snooze", "suppress")
    list_display = (
        "title",
        "severity",
        "state",
        "connection",
        "owner",
        "exchange",
        "first_seen_at",
        "state_since",
        "snoozed_until",
        "regressions",
    )
    list_filter = ("state", "severity", RuleFilter, "connection__exchange")
    list_select_related = ("connection__owner", "connection__exchange")
    ordering = ("-severity", "-state_since", "-pk")
    search_fields = (
        "connection__owner__email",
        "connection__name",
        "=connection__credentials__hint",
    )
    inlines = (ChangeInline,)
    fields = (
        "title",
        "what",
        "advice",
        "severity",
        "state",
        "connection",
        "owner",
        "exchange",
        "until",
        "amount",
        "detail",
        "first_seen_at",
        "state_since",
        "snoozed_until",
        "regressions",
    )
    readonly_fields = fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_say_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.change_finding")

    def has_suppress_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.suppress_finding")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Every look is on record, and the owner sees it."""
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            finding = Finding.objects.select_related("connection").get(pk=object_id)
            looked = AccessEvent.Kind.STAFF_LOOK
            record(looked, connection=finding.connection, actor=request.user)
        return response

    @admin.display(description=_("finding"), ordering="rule")
    def title(self, finding: Finding) -> str:
        return _words(finding).title

    @admin.display(description=_("what was found"))
    def what(self, finding: Finding) -> str:
        return _words(finding).what

    @admin.display(description=_("what its owner is told to do"))
    def advice(self, finding: Finding) -> str:
        return "\n".join(_words(finding).advice)

    @admin.display(description=_("owner"), ordering="connection__owner__email")
    def owner(self, finding: Finding) -> str:
        return str(finding.connection.owner)

    @admin.display(description=_("exchange"), ordering="connection__exchange")
    def exchange(self, finding: Finding) -> str:
        return finding.connection.exchange.name

    @admin.action(description=_("Acknowledge"), permissions=["say"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        now = timezone.now()
        self._say(request, queryset, lambda row: hygiene.acknowledge(row, by=request.user, now=now))

    @admin.action(description=_("Snooze for the usual number of days"), permissions=["say"])
    def snooze(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        now = timezone.now()
        self._say(request, queryset, lambda row: hygiene.snooze(row, by=request.user, now=now))

    @admin.action(description=_("Suppress, with a reason"), permissions=["suppress"])
    def suppress(self, request: HttpRequest, queryset: QuerySet[Finding]) -> None:
        now, why = timezone.now(), request.POST.get("why", "").strip()
        if not why:
            text = gettext("Nothing was suppressed. Say why, in the field beside the action.")
            self.message_user(request, text, messages.ERROR)
            return
        self._say(
            request, queryset, lambda row: hygiene.suppress(row, by=request.user, now=now, why=why)
        )

    def _say(self, request: HttpRequest, findings: Iterable[Finding], say: Say) -> None:
        """Counts whom it could be said of, and tells each reason why not once."""
        said, refused = 0, dict[str, None]()
        for finding in findings:
            try:
                say(finding)
                said += 1
            except hygiene.Refused as refusal:
                refused[refusal.sentence] = None
        text = ngettext("Done for %(n)d finding.", "Done for %(n)d findings.", said) % {"n": said}
        level = messages.WARNING if refused else messages.SUCCESS
        self.message_user(request, " ".join([text, *refused]), level)


def _words(finding: Finding) -> Words:
    return words_for(finding, exchange_code=finding.connection.exchange_id)


@admin.register(Thresholds)
class ThresholdsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """One row, which is there from the first change on."""

    fieldsets = (
        (_("Keys"), {"fields": ("unused_days", "old_days", "very_old_days")}),
        (
            _("The end of a key"),
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
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Thresholds.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Thresholds, form: Any, change: bool) -> None:
        before = Thresholds.current()
        obj.pk = 1
        super().save_model(request, obj, form, change)
        for name in form.changed_data:
            why = f"{name}: {getattr(before, name)} -> {getattr(obj, name)}"
            record(AccessEvent.Kind.THRESHOLDS_CHANGED, actor=request.user, why=why)


@admin.register(Outage)
class OutageAdmin(ReadOnlyAdmin):
    list_display = ("exchange", "began_at", "ended_at")
    list_filter = ("exchange", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("exchange",)
    date_hierarchy = "began_at"
    fields = list_display

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
