"""Strategies at the support desk: what runs, on what, and why not. Settings are their owners'."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import DecimalField, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connections import looks, marks
from connections.connection_actions import WhyForm, chosen, no_reason, said_why
from connections.desk import Choice, FoundByConnection, SeenAdmin, SeenInline

from . import limits, pair_lists, safety, services
from .models import Pair, PairList, StrategyConfig, StrategyEvent
from .presets import SETTINGS

MOST_TO_ENABLE = 200  # each is looked at under the locks of its account
MOST_TO_SWITCH_OFF = 1000

Rows = QuerySet[StrategyConfig]


def _plain(name: str, title: Any) -> Any:
    """A number without the zeros that it is stored with."""

    @admin.display(description=title, ordering=name)
    def shown(row: Any) -> str:
        value = getattr(row, name)
        return marks.NOTHING if value is None else limits.plain(value)

    return shown


def _setting(name: str) -> Any:
    field = StrategyConfig._meta.get_field(name)
    return _plain(name, field.verbose_name) if isinstance(field, DecimalField) else name


SHOWN = [_setting(name) for name in SETTINGS]


class StateFilter(Choice):
    title = _("state")
    parameter_name = "state"
    choices_here = (("enabled", _("enabled")), ("suspended", _("suspended")), ("off", _("off")))

    def narrow(self, rows: Rows, value: str) -> Rows:
        states: dict[str, dict[str, Any]] = {
            "enabled": {"enabled": True},
            "suspended": {"enabled": False, "suspended_at__isnull": False},
            "off": {"enabled": False, "suspended_at": None},
        }
        return rows.filter(**states[value])


class EventInline(SeenInline):
    model = StrategyEvent
    verbose_name_plural = _("what happened to it")
    fields = readonly_fields = ("at", "kind", "by", "version", "reason")
    ordering = ("-at", "-pk")
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[StrategyEvent]:
        rows: QuerySet[StrategyEvent] = super().get_queryset(request)
        return rows.select_related("by")

    @admin.display(description=_("why"))
    def reason(self, event: StrategyEvent) -> str:
        if event.kind == StrategyEvent.Kind.SUSPENDED:
            return safety.suspended_for(event.why, None)
        return event.why or marks.NOTHING


@admin.register(StrategyConfig)
class StrategyConfigAdmin(looks.LookedAtAdmin, FoundByConnection, SeenAdmin):
    action_form = WhyForm
    actions = ("enable", "switch_off")
    inlines = (EventInline,)
    list_display = ("name", "owner", "connection", "market", "state", "at_worst", "created_at")
    list_filter = (StateFilter, "market", "risk", "connection__exchange")
    list_select_related = ("owner", "connection")
    ordering = ("-created_at",)
    search_fields = ("connection__name",)
    fields = (
        ("owner", "connection"),
        "state",
        "verdict",
        "pairs_in_words",
        "at_worst",
        *zip(SHOWN[::2], [*SHOWN[1::2], "version"], strict=True),
        "created_at",
    )
    readonly_fields = (
        *("owner", "connection", "state", "verdict", "pairs_in_words", "at_worst"),
        *SHOWN,
        *("version", "created_at"),
    )

    def owner_of(self, row: StrategyConfig) -> Any:
        return row.owner_id

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.switch_strategyconfig")

    @admin.display(description=_("state"))
    def state(self, strategy: StrategyConfig) -> SafeString:
        if strategy.enabled:
            return marks.badge(gettext("enabled"), "green")
        if strategy.suspended_at:
            why = safety.suspended_for(strategy.suspended_for, None)
            return marks.badge(gettext("suspended"), "red", why)
        return marks.badge(gettext("off"), "secondary")

    @admin.display(description=_("at worst it takes"), ordering="worst_case")
    def at_worst(self, strategy: StrategyConfig) -> str:
        return f"{limits.plain(strategy.worst_case)} {strategy.quote}"

    @admin.display(description=_("pairs"))
    def pairs_in_words(self, strategy: StrategyConfig) -> str:
        return ", ".join(pair.symbol for pair in strategy.pairs.all()) or marks.NOTHING

    @admin.display(description=_("may it run now?"))
    def verdict(self, strategy: StrategyConfig) -> SafeString:
        """Every reason against it, as its owner reads it."""
        found = safety.verdict(strategy, now=timezone.now())
        word = (
            marks.badge(gettext("yes"), "green")
            if found.safe
            else marks.badge(gettext("no"), "red")
        )
        lines = [(each.what, each.todo) for each in (*found.reasons, *found.warnings)]
        return format_html(
            '{} <ul class="desk-steps">{}</ul>', word, format_html_join("", "<li>{} {}</li>", lines)
        )

    @admin.action(description=_("Enable (where the safety rules allow)"), permissions=["switch"])
    def enable(self, request: HttpRequest, queryset: Rows) -> None:
        """Never a suspended one: its owner decides about that."""
        rows = self._chosen(request, queryset, MOST_TO_ENABLE)
        done, suspended, against = [], 0, dict[str, None]()
        for strategy in rows:
            if strategy.suspended_at:
                suspended += 1
                continue
            if strategy.enabled:
                continue
            try:
                with transaction.atomic():
                    services.enable(strategy, by=request.user, now=timezone.now())
                    self._note(request, "strategy enabled", [strategy])
                done.append(strategy)
            except services.NotSafe as refusal:
                against |= dict.fromkeys(reason.what for reason in refusal.reasons)
        if not rows:
            return
        said = [
            ngettext("%(n)d strategy was enabled.", "%(n)d strategies were enabled.", len(done))
            % {"n": len(done)}
        ]
        if suspended:
            theirs = ngettext(
                "%(n)d is suspended: its owner enables it.",
                "%(n)d are suspended: their owners enable them.",
                suspended,
            )
            said.append(theirs % {"n": suspended})
        self._answer(request, done, [*said, *list(against)[:5]])

    @admin.action(description=_("Switch off"), permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: Rows) -> None:
        rows = self._chosen(request, queryset, MOST_TO_SWITCH_OFF)
        with transaction.atomic():
            on = services.disable_many(rows, by=request.user, now=timezone.now())
            self._note(request, "strategy switched off", on)
        text = ngettext(
            "%(n)d strategy was switched off.", "%(n)d strategies were switched off.", len(on)
        )
        if rows:
            self._answer(request, on, [text % {"n": len(on)}])

    def _chosen(self, request: HttpRequest, queryset: Rows, most: int) -> list[StrategyConfig]:
        theirs = queryset.select_related("owner", "connection")
        return chosen(request, theirs, lambda row: row.owner_id, most)

    def _note(self, request: HttpRequest, what: str, done: list[StrategyConfig]) -> None:
        """For each connection, and each strategy without one."""
        touched = {row.connection_id or row.pk: row.connection or row for row in done}
        looks.acted(request, what, touched.values(), said_why(request))

    def _answer(self, request: HttpRequest, done: list[StrategyConfig], said: list[str]) -> None:
        level = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, " ".join(said), level)


@admin.register(Pair)
class PairAdmin(SeenAdmin):
    list_display = ("symbol", "exchange", "market", "traded", "least", "price", "seen_at")
    list_filter = ("exchange", "market", "active")
    list_select_related = ("exchange",)
    ordering = ("symbol", "pk")
    search_fields = ("symbol__startswith",)
    search_help_text = _("How the pair begins, in capitals: BTC/")
    fields = (
        ("symbol", "exchange"),
        ("market", "traded"),
        ("least", "least_amount"),
        ("steps", "price_steps"),
        ("price", "priced_at"),
        "seen_at",
    )
    readonly_fields = ("traded", "least", "least_amount", "steps", "price_steps", "price")
    least = staticmethod(_plain("min_cost", _("smallest order")))
    least_amount = staticmethod(_plain("min_amount", _("smallest amount")))
    steps = staticmethod(_plain("amount_step", _("amount step")))
    price_steps = staticmethod(_plain("price_step", _("price step")))
    price = staticmethod(_plain("last_price", _("last price")))

    @admin.display(description=_("traded"), ordering="active")
    def traded(self, pair: Pair) -> SafeString:
        return marks.yes_no(pair.active)


@admin.register(PairList)
class PairListAdmin(SeenAdmin):
    action_form = WhyForm
    actions = ("believe_shorter",)
    list_display = ("exchange", "market", "refreshed", "asked", "in_words")
    list_filter = ("exchange", "market")
    list_select_related = ("exchange",)
    fields = (("exchange", "market"), ("refreshed_at", "asked_at"), ("in_words", "failures"))
    readonly_fields = ("in_words",)

    def has_believe_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("strategies.change_pairlist")

    @admin.action(
        description=_("Accept the next list, though it is much shorter"), permissions=["believe"]
    )
    def believe_shorter(self, request: HttpRequest, queryset: QuerySet[PairList]) -> None:
        """Once, when the exchange itself says that it trades so few: strategies on the pairs that
        go are suspended."""
        if not (why := said_why(request)):
            self.message_user(request, no_reason(), messages.WARNING)
            return
        done = pair_lists.believe_shorter(queryset, by=request.user, why=why)
        text = ngettext(
            "%(n)d list is asked for again, and may be shorter this once.",
            "%(n)d lists are asked for again, and may be shorter this once.",
            done,
        ) % {"n": done}
        if left := len(queryset) - done:
            others = ngettext(
                "%(n)d was not refused for being too short.",
                "%(n)d were not refused for being too short.",
                left,
            )
            text += " " + others % {"n": left}
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)

    def title_of(self, row: PairList) -> str:
        return f"{row.exchange.name}, {row.get_market_display()}"

    @admin.display(description=_("refreshed"))
    def refreshed(self, pairs: PairList) -> SafeString | str:
        return marks.ago(pairs.refreshed_at)

    @admin.display(description=_("last asked"))
    def asked(self, pairs: PairList) -> SafeString | str:
        return marks.ago(pairs.asked_at)

    @admin.display(description=_("problem"))
    def in_words(self, pairs: PairList) -> SafeString | str:
        if not pairs.problem:
            return marks.NOTHING
        title = pair_lists.trouble(pairs.problem, pairs.exchange_id)
        return marks.badge(title, "orange", pairs.problem)
