"""What the pages of findings show, gathered in one place and ready to print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Max, Prefetch, Q, QuerySet, Value, When
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .finding_forms import SnoozeForm, SuppressForm
from .finding_words import Words, words_for
from .findings import snooze_is_over
from .models import Connection, Finding, FindingChange, Thresholds
from .presentation import Color

State, Severity = Finding.State, Finding.Severity

ON_A_PAGE = 25
CHANGES_SHOWN = 20
CURRENT = "current"

SEVERITIES: dict[int, tuple[Color, str]] = {
    Severity.CRITICAL: ("red", "shield-x"),
    Severity.HIGH: ("orange", "alert"),
    Severity.WARNING: ("yellow", "alert"),
    Severity.INFO: ("blue", "info"),
}
STATES: dict[str, tuple[Color, str]] = {
    State.OPEN: ("blue", "circle"),
    State.ACKNOWLEDGED: ("secondary", "eye"),
    State.SNOOZED: ("secondary", "clock"),
    State.SUPPRESSED: ("secondary", "minus"),
    State.RESOLVED: ("green", "check"),
}
# What may be said of a finding in each state (hygiene.py refuses the rest).
MAY: dict[str, tuple[str, ...]] = {
    State.OPEN: ("acknowledge", "snooze", "suppress"),
    State.ACKNOWLEDGED: ("snooze", "suppress", "reopen"),
    State.SNOOZED: ("acknowledge", "snooze", "suppress", "reopen"),
    State.SUPPRESSED: ("reopen",),
    State.RESOLVED: (),
}
TABS = {
    CURRENT: _("Current"),
    State.OPEN: _("Open"),
    State.ACKNOWLEDGED: _("Acknowledged"),
    State.SNOOZED: _("Snoozed"),
    State.SUPPRESSED: _("Suppressed"),
    State.RESOLVED: _("Resolved"),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A word with its colour and its icon."""

    word: str
    color: Color
    icon: str


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    who: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Card:
    """A finding with what it means, what to do, and what may be said of it. `said` is what has
    just been said, `refused` why that could not be."""

    finding: Finding
    words: Words
    severity: Mark
    state: Mark
    may: tuple[str, ...]
    changes: list[Change]
    snooze: SnoozeForm
    suppress: SuppressForm
    said: str = ""
    refused: str = ""

    @property
    def why(self) -> str:
        """The reason of whoever suppressed it."""
        if self.finding.state != State.SUPPRESSED or not self.changes:
            return ""
        return self.changes[0].why


@dataclass(frozen=True, slots=True)
class Forms:
    """What was typed, where a form has to be shown again with its faults."""

    snooze: SnoozeForm | None = None
    suppress: SuppressForm | None = None


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The findings of one connection in short, for its line in the list."""

    count: int
    worst: Mark


@dataclass(frozen=True, slots=True)
class Listing:
    cards: list[Card]
    page: Page[Finding]
    tabs: list[Tab]
    state: str
    connection: Connection | None
    connections: list[Connection] = field(default_factory=list)

    @property
    def nothing_at_all(self) -> bool:
        return not any(tab.count for tab in self.tabs if tab.key != State.RESOLVED)


def listing(user: Any, *, state: str, connection: str, page: str, now: datetime) -> Listing:
    """One page of a person's findings: those of `state`, or all current ones, of all connections
    or of the one with that id. What is not there is left out of the choice."""
    mine = Connection.objects.owned_by(user).filter(findings__isnull=False)
    having = list(mine.distinct().order_by("name").defer("permissions"))
    chosen = next((each for each in having if str(each.pk) == connection), None)
    state = state if state in TABS else CURRENT
    found = Finding.objects.owned_by(user)
    found = found.filter(connection=chosen) if chosen else found
    which = _conditions(now)
    numbers = found.aggregate(**{key: Count("pk", filter=which[key]) for key in TABS})
    tabs = [Tab(key, str(TABS[key]), numbers[key], key == state) for key in TABS]
    paged = Paginator(_ordered(found.filter(which[state]), now), ON_A_PAGE).get_page(page)
    return Listing(cards(paged, now=now), paged, tabs, state, chosen, having)


def of_connection(connection: Connection, *, now: datetime) -> list[Card]:
    """Its current findings, the worst first."""
    found = Finding.objects.filter(_conditions(now)[CURRENT], connection=connection)
    return cards(_ordered(found, now), now=now)


def standing(connections: Collection[UUID], *, now: datetime) -> dict[UUID, Standing]:
    """What wants attention at each connection that has something, by one query."""
    found = Finding.objects.filter(connection__in=connections).wanting_attention(now).order_by()
    counted = found.values("connection_id").annotate(count=Count("pk"), worst=Max("severity"))
    return {
        row["connection_id"]: Standing(row["count"], severity_mark(row["worst"])) for row in counted
    }


def _conditions(now: datetime) -> dict[str, Q]:
    over = snooze_is_over(now)
    by_state = {key: Q(state=key) for key in State.values}
    return {
        **by_state,
        CURRENT: ~Q(state__in=(State.SUPPRESSED, State.RESOLVED)),
        State.OPEN: Q(state=State.OPEN) | over,
        State.SNOOZED: Q(state=State.SNOOZED) & ~over,
    }


def _ordered(found: QuerySet[Finding], now: datetime) -> QuerySet[Finding]:
    """As a page needs them: what wants attention first, the worst first within."""
    which = _conditions(now)
    order = [When(which[key], then=Value(place)) for place, key in enumerate(TABS) if place]
    changes = FindingChange.objects.order_by("-at", "-pk")[:CHANGES_SHOWN]
    return (
        found.select_related("connection__exchange")
        .prefetch_related(Prefetch("changes", changes, "newest_changes"))
        .order_by(Case(*order, default=Value(9)), "-severity", "-state_since", "pk")
    )


def cards(findings: Iterable[Finding], *, now: datetime) -> list[Card]:
    rows = list(findings)
    limits = Thresholds.current() if rows else Thresholds()
    strategies = _strategies({row.connection_id for row in rows})
    return [_card(row, strategies[row.connection_id], limits, now, Forms()) for row in rows]


def card(finding: Finding, *, now: datetime, forms: Forms, said: str, refused: str) -> Card:
    """One finding after something was said of it, or could not be."""
    [row] = _ordered(Finding.objects.filter(pk=finding.pk), now)
    strategies = _strategies({row.connection_id})[row.connection_id]
    return _card(row, strategies, Thresholds.current(), now, forms, said=said, refused=refused)


def _strategies(connections: set[UUID]) -> dict[UUID, list[str]]:
    """The names of the enabled ones, as their own connections know them."""
    names: dict[UUID, list[str]] = defaultdict(list)
    enabled = Connection.objects.filter(pk__in=connections, strategies__enabled=True)
    ordered = enabled.order_by("strategies__name").values_list("pk", "strategies__name")
    for pk, name in ordered if connections else ():
        names[pk].append(name)
    return names


def _card(
    finding: Finding,
    strategies: list[str],
    limits: Thresholds,
    now: datetime,
    forms: Forms,
    **after: str,
) -> Card:
    connection = finding.connection
    state = state_now(finding, now)
    names = names_of_fields(finding)
    changes: list[FindingChange] = finding.newest_changes  # type: ignore[attr-defined]
    return Card(
        finding=finding,
        words=words_for(finding, exchange_code=connection.exchange_id, strategies=strategies),
        severity=severity_mark(finding.severity),
        state=_state_mark(finding, state),
        may=MAY[state],
        changes=[_change(each, connection) for each in changes],
        snooze=forms.snooze or SnoozeForm(now=now, limits=limits, auto_id=names),
        suppress=forms.suppress or SuppressForm(auto_id=names),
        **after,
    )


def names_of_fields(finding: Finding) -> str:
    """Ids of form fields, of which there are many on one page."""
    return f"finding-{finding.pk}-%s"


def state_now(finding: Finding, now: datetime) -> str:
    lapsed = finding.snoozed_until and finding.snoozed_until <= now
    return State.OPEN if finding.state == State.SNOOZED and lapsed else finding.state


def severity_mark(severity: int) -> Mark:
    return Mark(str(Severity(severity).label), *SEVERITIES[severity])


def _state_mark(finding: Finding, state: str) -> Mark:
    return Mark(said_of(state, finding.snoozed_until), *STATES[state])


def said_of(state: str, until: datetime | None) -> str:
    if state != State.SNOOZED or until is None:
        return str(State(state).label)
    return gettext("snoozed until %(day)s") % {"day": date_format(localtime(until), "j M Y")}


def _change(change: FindingChange, connection: Connection) -> Change:
    what = said_of(change.state, change.until)
    if change.by_id is None:
        severity = Severity(change.severity).label
        what = gettext("%(state)s, %(severity)s") % {"state": what, "severity": severity}
    return Change(change.at, _who(change, connection), what, change.why)


def _who(change: FindingChange, connection: Connection) -> str:
    if change.by_id is None:
        return gettext("BackFuture")
    return gettext("you") if change.by_id == connection.owner_id else gettext("support")
