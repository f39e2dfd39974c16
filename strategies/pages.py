"""What the pages of strategies show, gathered in one place and ready to print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.urls import resolve
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections import exchanges
from connections.models import Connection
from connections.presentation import Color, Status, ready_for, status_of

from . import presentation, safety
from .models import StrategyConfig, StrategyEvent
from .presentation import SETTINGS, Words, money, number, pair_names, said
from .preview_pages import Preview, preview_of
from .safety import Reason

Kind = StrategyEvent.Kind
EVENTS_ON_A_PAGE = 25
NEWEST_EVENTS = 4

KINDS: dict[str, tuple[Any, Color, str]] = {
    Kind.CREATED: (_("Created"), "blue", "plus"),
    Kind.CHANGED: (_("Settings changed"), "blue", "pencil"),
    Kind.MOVED: (_("Moved to another connection"), "blue", "plug"),
    Kind.ENABLED: (_("Enabled"), "green", "check"),
    Kind.DISABLED: (_("Switched off"), "secondary", "circle"),
    Kind.SUSPENDED: (_("Suspended"), "red", "shield-x"),
}

# Where a reason's link leads to: what its button says.
WAYS_OUT = {
    "strategies:edit": _("Change settings"),
    "connections:detail": _("To the connection"),
    "connections:replace": _("Replace the key"),
    "connections:choose": _("Add a connection"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A strategy on one line of a list."""

    strategy: StrategyConfig
    status: Status
    pairs: str
    market: str
    worst: str
    limit: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A connection that a strategy can be made on, or why not yet."""

    connection: Connection
    status: Status
    ready_for: str
    usable: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a version beside the version before."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """What happened once, in words; `differences` of a version, `added` and `removed` its pairs."""

    at: datetime
    who: str
    what: str
    color: Color
    icon: str
    why: str
    version: int
    differences: list[Difference]
    added: list[str]
    removed: list[str]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands against enabling, or what would be safer; `label` is that of its link."""

    what: str
    todo: str
    link: str
    label: str


@dataclass(frozen=True, slots=True)
class Detail:
    strategy: StrategyConfig
    status: Status
    reasons: list[Obstacle]
    warnings: list[Obstacle]
    settings: list[tuple[Words, str]]
    pairs: list[tuple[str, bool]]  # with whether each can still be traded
    preview: Preview
    events: list[Event]
    homes: list[Connection]  # other connections it could be moved to

    @property
    def safe(self) -> bool:
        return not self.reasons

    @property
    def may_trade(self) -> bool:
        return self.status == presentation.may_trade()

    @property
    def may_move(self) -> bool:
        return bool(self.homes) and not self.strategy.enabled


# --- lists ------------------------------------------------------------------------------------
def lines(strategies: QuerySet[StrategyConfig]) -> list[Line]:
    rows = strategies.select_related("connection__exchange").prefetch_related("pairs")
    return [_line(row) for row in rows.order_by("name", "pk")]


def of_connection(connection: Connection) -> list[Line]:
    """The strategies of one connection, for its own page."""
    return lines(StrategyConfig.objects.filter(connection=connection))


def _line(strategy: StrategyConfig) -> Line:
    return Line(
        strategy,
        presentation.status_of(strategy),
        pair_names(pair.symbol for pair in strategy.pairs.all()),
        said("market", strategy.market, ""),
        money(strategy.worst_case),
        number(strategy.margin_limit),
    )


def choices(user: Any) -> list[Choice]:
    """The person's connections, those that a strategy can use first."""
    mine = Connection.objects.owned_by(user).for_list()
    found = [_choice(connection) for connection in mine]
    return sorted(found, key=lambda each: (not each.usable, each.connection.name.casefold()))


def _choice(connection: Connection) -> Choice:
    testing = bool(connection.open_tests)  # type: ignore[attr-defined]
    status = status_of(connection, testing=testing)
    known = connection.exchange_id in exchanges.EXCHANGES
    usable = known and connection.works and connection.paused_at is None
    what = ready_for(connection.known_permissions) if connection.works else ""
    return Choice(connection, status, what, usable)


# --- one strategy -----------------------------------------------------------------------------
def detail(strategy: StrategyConfig, *, now: datetime) -> Detail:
    chosen = list(strategy.pairs.all())
    verdict = safety.verdict(strategy, now=now, pairs=chosen)
    return Detail(
        strategy=strategy,
        status=presentation.status_of(strategy),
        reasons=[_obstacle(each) for each in verdict.reasons],
        warnings=[_obstacle(each) for each in verdict.warnings],
        settings=presentation.shown_settings(strategy),
        pairs=[(f"{pair.base}/{pair.quote}", pair.active) for pair in chosen],
        preview=preview_of(strategy),
        events=_events(strategy, _rows(strategy)[:NEWEST_EVENTS]),
        homes=homes(strategy),
    )


def _obstacle(reason: Reason) -> Obstacle:
    place = resolve(reason.link).view_name if reason.link else ""
    return Obstacle(reason.what, reason.todo, reason.link, str(WAYS_OUT.get(place, _("Open"))))


def homes(strategy: StrategyConfig) -> list[Connection]:
    """Its owner's other connections of the exchange of its pairs, those that work first."""
    codes = strategy.pairs.values("exchange")
    others = Connection.objects.filter(owner=strategy.owner_id, exchange__in=codes)
    here = [strategy.connection_id] if strategy.connection_id else []
    found = others.exclude(pk__in=here).order_by("name")
    return sorted(found, key=lambda each: each.paused_at is not None or not each.works)


# --- history ----------------------------------------------------------------------------------
def history(strategy: StrategyConfig, page: str) -> tuple[Page[StrategyEvent], list[Event]]:
    """One page of everything that happened to it, newest first."""
    paged = Paginator(_rows(strategy), EVENTS_ON_A_PAGE).get_page(page)
    return paged, _events(strategy, paged)


def _rows(strategy: StrategyConfig) -> QuerySet[StrategyEvent]:
    return strategy.events.order_by("-at", "-pk")


def _events(strategy: StrategyConfig, rows: Iterable[StrategyEvent]) -> list[Event]:
    shown = list(rows)
    before = {row.version - 1 for row in shown if row.kind == Kind.CHANGED}
    earlier = strategy.events.filter(version__in=before, settings__isnull=False)
    versions = dict(earlier.values_list("version", "settings")) if before else {}
    return [_event(strategy, row, versions) for row in shown]


def _event(strategy: StrategyConfig, row: StrategyEvent, versions: Mapping[int, Any]) -> Event:
    what, color, icon = KINDS[row.kind]
    old, new = versions.get(row.version - 1), row.settings
    compared = old is not None and new is not None
    before, after = _pairs(old), _pairs(new)
    return Event(
        at=row.at,
        who=_who(strategy, row),
        what=str(what),
        color=color,
        icon=icon,
        why=_why(strategy, row),
        version=row.version,
        differences=differences(old, new) if old is not None and new is not None else [],
        added=sorted(after - before) if compared else [],
        removed=sorted(before - after) if compared else [],
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Every setting of two versions that is not the same, in the form's order."""
    labels = {"name": gettext("Name"), **{key: str(each.label) for key, each in SETTINGS.items()}}
    quotes = _quote(old), _quote(new)
    idle = _idle(old) & _idle(new)
    return [
        Difference(label, _said(key, old, quotes[0]), _said(key, new, quotes[1]))
        for key, label in labels.items()
        if old.get(key, "") != new.get(key, "") and key not in idle
    ]


def _idle(version: Mapping[str, Any]) -> set[str]:
    market, recovery = version.get("market", ""), version.get("recovery", "")
    return presentation.without_meaning(str(market), str(recovery))


def _said(key: str, version: Mapping[str, Any], quote: str) -> str:
    value = version.get(key, "")
    return str(value) if key == "name" else said(key, value, quote)


def _pairs(version: Mapping[str, Any] | None) -> set[str]:
    symbols = version.get("pairs", []) if version else []
    return {str(symbol).partition(":")[0] for symbol in symbols}


def _quote(version: Mapping[str, Any]) -> str:
    """What all pairs of a version are counted in."""
    return next((name.partition("/")[2] for name in sorted(_pairs(version))), "")


def _who(strategy: StrategyConfig, row: StrategyEvent) -> str:
    if row.by_id is None:
        return gettext("BackFuture")
    return gettext("you") if row.by_id == strategy.owner_id else gettext("support")


def _why(strategy: StrategyConfig, row: StrategyEvent) -> str:
    if row.kind == Kind.SUSPENDED:
        return safety.suspended_for(row.why, None)  # what its connection says today is no matter
    return row.why
