"""Strategies at the support desk: what runs, on what, and why not. Settings are their owners'."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connections import looks, marks
from connections.connection_actions import WhyForm, said_why
from connections.desk import Choice, FoundByConnection, SeenAdmin, SeenInline
from connections.presentation import explain

from . import limits, safety, services
from .models import Pair, PairList, StrategyConfig, StrategyEvent

MOST_TO_ENABLE = 200  # each is looked at under the locks of its account
MOST_TO_SWITCH_OFF = 1000

Rows = QuerySet[StrategyConfig]


def _plain(name: str, title: Any) -> Any:
    """A number without the zeros that it is stored with."""

    @admin.display(description=title, ordering=name)
    def shown(_admin: Any, row: Any) -> str:
        value = getattr(row, name)
        return marks.NOTHING if value is None else limits.plain(value)

    return shown


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
    fields = readonly_fields = ("at", "kind", "by", "version", "why")
    ordering = ("-at", "-pk")
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[StrategyEvent]:
        rows: QuerySet[StrategyEvent] = super().get_queryset(request)
        return rows.select_related("by")


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
        ("market", "direction"),
        "pairs_in_words",
        ("at_worst", "limit"),
        ("risk", "times"),
        ("first", "refill"),
        ("max_refills", "profit"),
        ("max_deals", "recovery"),
        ("version", "created_at"),
    )
    readonly_fields = (
        *("owner", "connection", "state", "verdict", "market", "direction", "pairs_in_words"),
        *("at_worst", "limit", "risk", "times", "first", "refill", "max_refills", "profit"),
        *("max_deals", "recovery", "version", "created_at"),
    )
    limit = _plain("margin_limit", _("margin limit"))
    times = _plain("leverage", _("leverage"))
    first = _plain("first_order", _("first order"))
    refill = _plain("refill_order", _("refill order"))
    profit = _plain("take_profit", _("take profit, %"))

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
                services.enable(strategy, by=request.user, now=timezone.now())
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
        self._answer(request, "strategy enabled", done, [*said, *list(against)[:5]])

    @admin.action(description=_("Switch off"), permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: Rows) -> None:
        rows = self._chosen(request, queryset, MOST_TO_SWITCH_OFF)
        on = [row for row in rows if row.enabled or row.suspended_at]
        for strategy in on:
            services.disable(strategy, by=request.user, now=timezone.now())
        text = ngettext(
            "%(n)d strategy was switched off.", "%(n)d strategies were switched off.", len(on)
        )
        if rows:
            self._answer(request, "strategy switched off", on, [text % {"n": len(on)}])

    def _chosen(self, request: HttpRequest, queryset: Rows, most: int) -> list[StrategyConfig]:
        rows = list(queryset.select_related("owner", "connection")[: most + 1])
        said = ""
        if len(rows) > most:
            said = gettext("Nothing was done. Choose %(most)d at most.") % {"most": most}
        elif not said_why(request) and not all(looks.reason(request, row.owner_id) for row in rows):
            said = gettext("Nothing was done. Say why, in the field beside the action.")
        if said:
            self.message_user(request, said, messages.WARNING)
        return [] if said else rows

    def _answer(
        self, request: HttpRequest, what: str, done: list[StrategyConfig], said: list[str]
    ) -> None:
        connections = [row.connection for row in done if row.connection]
        looks.acted(request, what, connections, said_why(request))
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
    least = _plain("min_cost", _("smallest order"))
    least_amount = _plain("min_amount", _("smallest amount"))
    steps = _plain("amount_step", _("amount step"))
    price_steps = _plain("price_step", _("price step"))
    price = _plain("last_price", _("last price"))

    @admin.display(description=_("traded"), ordering="active")
    def traded(self, pair: Pair) -> SafeString:
        return marks.yes_no(pair.active)


@admin.register(PairList)
class PairListAdmin(SeenAdmin):
    list_display = ("exchange", "market", "refreshed", "asked", "in_words")
    list_filter = ("exchange", "market")
    list_select_related = ("exchange",)
    fields = (("exchange", "market"), ("refreshed_at", "asked_at"), ("in_words", "failures"))
    readonly_fields = ("in_words",)

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
        title = explain(pairs.problem, pairs.exchange_id).title
        return marks.badge(title, "orange", pairs.problem)
