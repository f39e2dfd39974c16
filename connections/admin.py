"""Exchanges, tests, notices and access events at the support desk. Connections have a file of
their own (connection_admin.py), and so has key hygiene (hygiene_admin.py)."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from . import egress, looks, lookup, marks
from .connection_filters import ProblemFilter
from .delivery_words import words_for
from .desk import FoundByConnection, ReadOnlyAdmin, SeenAdmin, SeenInline, ShownForm
from .desk_filters import RESULT_WORDS, TestNeeds, TestResult
from .events import AccessEvent, record
from .models import Connection, ConnectionTest, Exchange, Notice, NoticeDelivery
from .presentation import explain, server_ips, step_lines


class ExchangeForm(ShownForm):
    def clean_server_ips(self) -> str:
        """Addresses alone, as they are written into users' lists: no network, no name."""
        wanted = [part.strip() for part in self.cleaned_data["server_ips"].split(",")]
        found = list(dict.fromkeys(part for part in wanted if part))
        for part in found:
            if not _can_be_seen(part):
                said = gettext("“%(part)s” is no IP address that an exchange could see.")
                raise forms.ValidationError(said % {"part": part})
        known = self.instance.known
        if known.ip_maximum and len(found) > known.ip_maximum:
            said = gettext("%(name)s takes %(most)d addresses at most.")
            raise forms.ValidationError(said % {"name": known.name, "most": known.ip_maximum})
        return ",".join(found)


def _can_be_seen(text: str) -> bool:
    """Whether it is one address, and not of a machine or its own wire alone."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    form = ExchangeForm
    list_display = ("name", "standing", "offered", "paused", "position", "notice", "copied")
    list_display_links = ("name",)
    list_editable = ("offered", "paused", "position")
    fields = ("code", "offered", "paused", "notice", "position", "server_ips", "copied")
    readonly_fields = ("code", "copied")

    @admin.display(description=_("users see it as"))
    def standing(self, exchange: Exchange) -> SafeString:
        if not exchange.offered:
            return marks.badge(gettext("planned"), "secondary", gettext("Nobody can connect it."))
        if exchange.paused:
            return marks.badge(gettext("paused"), "yellow", gettext("Nothing is tested there."))
        return marks.badge(gettext("offered"), "green", gettext("Users can connect it."))

    @admin.display(description=_("what users copy into its IP list"))
    def copied(self, exchange: Exchange) -> str:
        return server_ips(exchange.known) or gettext("nothing: no address is set")

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": ShownForm, **kwargs})

    def save_model(self, request: HttpRequest, obj: Exchange, form: Any, change: bool) -> None:
        """What was changed alone: the sweep keeps its own marks in the same row."""
        if not form.changed_data:
            return
        obj.save(update_fields=form.changed_data)
        egress.forget()
        why = ", ".join(f"{name}: {getattr(obj, name)}" for name in form.changed_data)
        record(AccessEvent.Kind.EXCHANGE_CHANGED, actor=request.user, exchange=obj.code, why=why)


@admin.register(ConnectionTest)
class ConnectionTestAdmin(looks.LookedAtAdmin, FoundByConnection, SeenAdmin):
    list_display = (
        "named",
        "owner",
        "asked",
        "asked_for",
        "result",
        "seconds",
    )
    list_filter = (
        TestNeeds,
        TestResult,
        ("queued_at", admin.DateFieldListFilter),
        ("finished_at", admin.DateFieldListFilter),
        "status",
        "outcome",
        ProblemFilter,
        "reason",
        "connection__exchange",
    )
    list_select_related = ("connection__owner", "connection__exchange", "requested_by")
    ordering = (F("finished_at").desc(nulls_first=True),)  # those under way come first
    search_fields = ("connection__name",)
    fields = (
        ("connection", "owner"),
        ("reason", "requested_by"),
        "result",
        "why",
        "evidence",
        ("queued_at", "started_at"),
        ("finished_at", "clock"),
        ("seen_ip", "restricted"),
        ("key_created_at", "key_expires_at"),
        ("uid", "label"),
    )
    readonly_fields = ("owner", "result", "why", "evidence", "clock", "restricted")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionTest]:
        tests: QuerySet[ConnectionTest] = super().get_queryset(request)
        return tests.select_related("connection__owner", "connection__exchange")

    @admin.display(description=_("owner"))
    def owner(self, test: ConnectionTest) -> str:
        return str(test.connection.owner)

    def title_of(self, row: ConnectionTest) -> str:
        return gettext("Test of %(name)s") % {"name": row.connection.name}

    @admin.display(description=_("connection"))
    def named(self, test: ConnectionTest) -> SafeString:
        return marks.two(test.connection.name, test.connection.exchange.name)

    @admin.display(description=_("asked"))
    def asked(self, test: ConnectionTest) -> SafeString | str:
        return marks.ago(test.queued_at)

    @admin.display(description=_("reason"))
    def asked_for(self, test: ConnectionTest) -> SafeString:
        """And who of support it was; that an owner asked is said by the reason."""
        by = test.requested_by if test.reason == ConnectionTest.Reason.STAFF else ""
        return marks.two(test.get_reason_display(), by)

    @admin.display(description=_("IP restriction"))
    def restricted(self, test: ConnectionTest) -> SafeString:
        return marks.yes_no(test.ip_restricted)

    @admin.display(description=_("clocks differ by"))
    def clock(self, test: ConnectionTest) -> str:
        return marks.NOTHING if test.skew_ms is None else f"{test.skew_ms} ms"

    @admin.display(description=_("result"))
    def result(self, test: ConnectionTest) -> SafeString:
        if test.is_open:
            return marks.badge(str(test.get_status_display()), "blue")
        if test.problem:
            title = explain(test.problem, test.connection.exchange_id).title
            return marks.badge(title, "orange", test.problem)
        if not test.outcome:
            return marks.badge(str(RESULT_WORDS["dropped"]), "secondary")
        color = "green" if test.outcome in Connection.WORKING else "red"
        return marks.badge(str(test.get_outcome_display()), color)

    @admin.display(description=_("why, and what its owner is told to do"))
    def why(self, test: ConnectionTest) -> SafeString | str:
        if not test.problem:
            return marks.NOTHING
        words = explain(test.problem, test.connection.exchange_id, seen_ip=test.seen_ip)
        steps = format_html_join("", "<li>{}</li>", ((step,) for step in words.advice))
        return format_html('{} <ol class="desk-steps">{}</ol>', words.cause, steps)

    @admin.display(description=_("steps"))
    def evidence(self, test: ConnectionTest) -> SafeString:
        lines = [
            (
                line.label,
                marks.step(line.state),
                line.call or marks.NOTHING,
                line.evidence or marks.NOTHING,
                f"{line.ms} ms" if line.ms else marks.NOTHING,
            )
            for line in step_lines(test)
        ]
        row = (
            "<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td>"
            '<td class="desk-when">{}</td></tr>'
        )
        return format_html('<table class="desk-table">{}</table>', format_html_join("", row, lines))

    @admin.display(description=_("seconds"))
    def seconds(self, test: ConnectionTest) -> str:
        if not (test.started_at and test.finished_at):
            return marks.NOTHING
        return f"{(test.finished_at - test.started_at).total_seconds():.1f}"


class DeliveryInline(SeenInline):
    """By which way it went, and whether it arrived. The address of a chat service is sealed."""

    model = NoticeDelivery
    verbose_name_plural = _("on its way")
    fields = readonly_fields = ("way", "status", "due_at", "sent_at", "tries", "what_went_wrong")

    def get_queryset(self, request: HttpRequest) -> QuerySet[NoticeDelivery]:
        rows: QuerySet[NoticeDelivery] = super().get_queryset(request)
        return rows.select_related("channel").defer("channel__sealed")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("connections.view_notice")

    @admin.display(description=_("what its owner reads of it"))
    def what_went_wrong(self, delivery: NoticeDelivery) -> str:
        return words_for(delivery.problem) or marks.NOTHING

    @admin.display(description=_("by"))
    def way(self, delivery: NoticeDelivery) -> str:
        return delivery.channel.service if delivery.channel else gettext("e-mail")


@admin.register(Notice)
class NoticeAdmin(looks.LookedAtAdmin, SeenAdmin):
    """What users were told, for when one asks about it."""

    list_display = ("about", "user", "connection", "is_urgent", "made_at")
    list_filter = (("made_at", admin.DateFieldListFilter), "kind", "urgent")
    list_select_related = ("user", "connection")
    ordering = ("-made_at",)
    search_fields = ("user__email",)
    search_help_text = _("The e-mail address of whom it is for, or how it begins.")
    fields = ("subject", "text", "kind", "user", "connection", "urgent", "made_at")
    inlines = (DeliveryInline,)

    def owner_of(self, row: Notice) -> Any:
        return row.user_id

    @admin.display(description=_("notice"), ordering="subject")
    def about(self, notice: Notice) -> SafeString:
        return marks.two(notice.subject, notice.get_kind_display())

    @admin.display(description=_("urgent"), ordering="urgent")
    def is_urgent(self, notice: Notice) -> SafeString | str:
        return marks.badge(gettext("urgent"), "orange") if notice.urgent else marks.NOTHING

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notice], search_term: str
    ) -> tuple[QuerySet[Notice], bool]:
        word = search_term.strip()
        return (queryset.filter(user__in=lookup.people(word)) if word else queryset), False


@admin.register(AccessEvent)
class AccessEventAdmin(looks.LookedAtAdmin, FoundByConnection, SeenAdmin):
    """Reading alone: nobody adds, changes or deletes what happened. Where somebody was, and with
    what, is on the page of each, which is a look at their data."""

    list_display = ("at", "kind", "who", "about", "why")
    list_filter = (("at", admin.DateFieldListFilter), "kind")
    list_select_related = ("actor", "owner", "connection")
    ordering = ("-at", "-pk")
    search_fields = ("owner__email",)
    search_help_text = _("The e-mail address of who did it or whose it was, or a connection.")
    fields = (
        "at",
        "kind",
        "actor",
        "owner",
        "connection",
        "exchange",
        "key_hint",
        "key_fingerprint",
        "why",
        "task_id",
        "ip",
        "agent",
    )

    def owner_of(self, row: AccessEvent) -> Any:
        return row.owner_id

    def title_of(self, row: AccessEvent) -> str:
        return str(row.get_kind_display())

    @admin.display(description=_("who, whose"))
    def who(self, event: AccessEvent) -> SafeString:
        """Nobody who acts is BackFuture itself. Whose it was is said where it is another's."""
        whose = event.owner if event.owner_id != event.actor_id else ""
        return marks.two(event.actor or gettext("BackFuture"), whose)

    @admin.display(description=_("connection"))
    def about(self, event: AccessEvent) -> SafeString:
        hint = f"…{event.key_hint}" if event.key_hint else ""
        return marks.two(event.connection or marks.NOTHING, hint)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AccessEvent], search_term: str
    ) -> tuple[QuerySet[AccessEvent], bool]:
        word = search_term.strip()
        if not word:
            return queryset, False
        people = lookup.people(word)
        own = queryset.filter(owner__in=people) | queryset.filter(actor__in=people)
        return own | queryset.filter(connection__in=lookup.named(word)), False

    def get_ordering(self, request: HttpRequest) -> Any:
        """By time. To find the newest of some people's, PostgreSQL would walk back through
        everybody's; by a time that stands in no index it reads theirs and sorts them."""
        if request.GET.get("q", "").strip():
            return (F("at") + timedelta(0)).desc(), "-pk"
        return super().get_ordering(request)
