"""The support desk's home: what needs a person now. Everyone sees what their rights let them see in
the lists, and every number is the way to the rows behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import desk_figures as figures
from connections import exchanges
from connections.desk import list_of
from connections.finding_words import words_for
from connections.large_tables import count, in_words
from connections.models import Connection, Finding, Incident, Outage, Thresholds
from connections.presentation import explain
from strategies.models import StrategyConfig

from . import desk_charts
from .desk_menu import may_see
from .desk_schedules import Schedule, schedules

CONNECTIONS, TESTS, FINDINGS, OUTAGES, STRATEGIES, SCHEDULES, INCIDENTS = (
    "connections.Connection",
    "connections.ConnectionTest",
    "connections.Finding",
    "connections.Outage",
    "strategies.StrategyConfig",
    "django_celery_beat.PeriodicTask",
    "connections.Incident",
)
OLD_COUNT = timedelta(minutes=15)  # they are counted every three (timetable.py)
ROWS = 10  # of those that fail for a reason of their own

Tone = Literal["bad", "warning", "calm"]


@dataclass(frozen=True, slots=True)
class Card:
    """`number` is ready to print; `needs` says whether anybody has to do something. Beside it may
    stand something else, with a list of its own."""

    title: str
    number: str
    said: str
    link: str
    tone: Tone = "calm"
    beside: str = ""
    beside_link: str = ""

    @property
    def needs(self) -> bool:
        return self.tone != "calm"


@dataclass(frozen=True, slots=True)
class FailingRow:
    exchange: str
    problem: str
    number: str
    link: str
    is_the_exchange: bool


@dataclass(frozen=True, slots=True)
class FindingRow:
    title: str
    owner: str
    connection: str
    since: datetime
    link: str


@dataclass(frozen=True, slots=True)
class OutageRow:
    exchange: str
    since: datetime


@dataclass
class Home:
    """What is None is not for this person to see."""

    cards: list[Card] = field(default_factory=list)
    failing: list[FailingRow] | None = None
    more_failing: int = 0
    failing_link: str = ""
    findings: list[FindingRow] | None = None
    findings_link: str = ""
    outages: list[OutageRow] = field(default_factory=list)
    outages_link: str = ""
    charts: list[desk_charts.Chart] = field(default_factory=list)
    counted_at: datetime | None = None
    counts_are_old: bool = False
    schedules: list[Schedule] | None = None
    schedules_link: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.cards or self.charts or self.schedules is not None)

    @property
    def late(self) -> list[Schedule]:
        return [each for each in self.schedules or () if each.late]

    @property
    def nothing_to_do(self) -> bool:
        return not (self.late or self.outages or any(card.needs for card in self.cards))


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """django-unfold asks for it when the index is shown."""
    return {**context, "home": home(request, timezone.now()), "title": _("Home")}


def home(request: HttpRequest, now: datetime) -> Home:
    made = Home()
    if may_see(request, INCIDENTS):
        made.cards += _incident_card(now)
    if may_see(request, FINDINGS):
        _add_findings(made, now)
    outages, listed = list[Outage](), may_see(request, OUTAGES)
    if listed or may_see(request, CONNECTIONS):
        outages = figures.open_outages()
        made.outages = [OutageRow(row.exchange.name, row.began_at) for row in outages]
        made.outages_link = list_of(OUTAGES, ended_at__isempty=1) if listed else ""
    if may_see(request, CONNECTIONS):
        _add_connections(made, now, outages)
    if may_see(request, STRATEGIES):
        made.cards.append(_suspended_card(now))
    if may_see(request, TESTS):
        _add_tests(made, now)
    if may_see(request, SCHEDULES):
        made.schedules = schedules(now)
        made.schedules_link = list_of(SCHEDULES)
    return made


# --- blocks ----------------------------------------------------------------------------------


def _incident_card(now: datetime) -> list[Card]:
    """There while there is one: nearly always there is none."""
    number = count(figures.unsettled(Incident.objects.all(), now))
    said = _("One waits for a second person, is under way, or stops the use of keys.")
    link = list_of(INCIDENTS, needs="unsettled")
    return [_card(_("Incidents"), number, said, link, "bad")] if number else []


def _add_findings(made: Home, now: datetime) -> None:
    made.findings_link = list_of(FINDINGS, needs="critical")
    made.findings = [_finding(row) for row in figures.worst_findings(now)]
    made.cards.append(
        _card(
            _("Critical findings"),
            count(figures.critical(Finding.objects.all(), now)),
            _("Nobody has said anything of them yet."),
            made.findings_link,
            "bad",
        )
    )


def _finding(row: Finding) -> FindingRow:
    return FindingRow(
        words_for(row, exchange_code=row.connection.exchange_id).title,
        row.connection.owner.email,
        row.connection.name,
        row.state_since,
        reverse("admin:connections_finding_change", args=[row.pk]),
    )


def _add_connections(made: Home, now: datetime, outages: list[Outage]) -> None:
    rows = figures.failing(now, outages)
    own = [row for row in rows if not row.is_the_exchange]
    made.failing = [_failing(row) for row in [*own[:ROWS], *rows[len(own) :]]]
    made.more_failing = sum(row.count for row in own[ROWS:])
    made.failing_link = list_of(CONNECTIONS, needs="newly_failing")
    made.cards += [_failing_card(rows), *_connection_cards(now)]


def _failing(row: figures.Failing) -> FailingRow:
    return FailingRow(
        exchanges.name_of(row.exchange),
        explain(row.problem, row.exchange).title,
        in_words(row.count),
        list_of(
            CONNECTIONS,
            needs="newly_failing",
            exchange__code__exact=row.exchange,
            problem=row.problem,
        ),
        row.is_the_exchange,
    )


def _failing_card(rows: list[figures.Failing]) -> Card:
    theirs = sum(row.count for row in rows if row.is_the_exchange)
    every = sum(row.count for row in rows)
    said = _("In the last 24 hours.")
    if theirs:
        said = _("In the last 24 hours; of %(n)s it is the exchange.") % {"n": in_words(theirs)}
    link = list_of(CONNECTIONS, needs="newly_failing")
    tone: Tone = "warning" if every > theirs else "calm"
    return Card(_("Newly failing"), in_words(every), said, link, tone)


def _connection_cards(now: datetime) -> Iterator[Card]:
    for need, title, said in (
        ("expiring", _("Keys that expire"), _("Within 14 days.")),
        ("overdue", _("Overdue tests"), _("Due for more than 15 minutes.")),
    ):
        number = count(figures.NEEDS[need](Connection.objects.all(), now))
        yield _card(title, number, said, list_of(CONNECTIONS, needs=need), "warning")


def _suspended_card(now: datetime) -> Card:
    since = now - figures.DAY
    number = count(StrategyConfig.objects.filter(suspended_at__gt=since))
    link = list_of(STRATEGIES, suspended_at__gt=since.isoformat())
    return _card(_("Strategies suspended"), number, _("In the last 24 hours."), link, "warning")


def _add_tests(made: Home, now: datetime) -> None:
    made.cards.append(_queue_card(figures.queue(now), now))
    counted = figures.tests(now)
    made.counted_at = counted.counted_at
    made.counts_are_old = counted.counted_at is None or now - counted.counted_at > OLD_COUNT
    kept = now - timedelta(days=Thresholds.current().tests_kept_days)
    zone = timezone.get_current_timezone()

    def link(start: datetime, end: datetime, result: str) -> str:
        """Of what may be deleted by now there is no list."""
        return _ended(start, end, result) if start >= kept else ""

    made.charts = [
        desk_charts.by_hour(counted.hours, now, zone, link),
        desk_charts.by_day(counted.hours, now, zone, link),
    ]


def _ended(start: datetime, end: datetime, result: str) -> str:
    span = {"finished_at__gte": start.isoformat(), "finished_at__lt": end.isoformat()}
    return list_of(TESTS, **span, **({"result": result} if result else {}))


def _queue_card(queue: figures.Queue, now: datetime) -> Card:
    said = _("None waits.")
    if queue.oldest:
        age = max(0, int((now - queue.oldest).total_seconds()))
        said = _("The oldest for %(age)s.") % {"age": _span(age)}
    tone: Tone = "bad" if queue.is_slow(now) else "calm"
    link = list_of(TESTS, needs="waiting")
    running = ngettext("%(n)d is running.", "%(n)d are running.", queue.running)
    return Card(
        _("Tests that wait"),
        in_words(queue.waiting),
        said,
        link,
        tone,
        running % {"n": queue.running},
        list_of(TESTS, status__exact="running"),
    )


# --- words and links -------------------------------------------------------------------------


def _card(title: str, number: int, said: str, link: str, tone: Tone) -> Card:
    return Card(title, in_words(number), said, link, tone if number else "calm")


def _span(seconds: int) -> str:
    if seconds < 120:
        return _("%(n)d\N{NO-BREAK SPACE}s") % {"n": seconds}
    if seconds < 7200:
        return _("%(n)d\N{NO-BREAK SPACE}min") % {"n": seconds // 60}
    return _("%(n)d\N{NO-BREAK SPACE}h") % {"n": seconds // 3600}
