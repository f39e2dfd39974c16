"""What needs a person now: the figures of the support desk's home, each a few look-ups by index,
however many rows there are.

A figure and the list behind it are the same condition: the desk's filters (desk_filters.py) ask the
functions below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, QuerySet

from .counting import RESULTS, SPAN
from .findings import snooze_is_over
from .incidents import WAITS_FOR, stops
from .models import Connection, ConnectionTest, Finding, HourOfTests, Incident, Outage
from .presentation import EXPIRY_NOTICE_DAYS

DAY = timedelta(days=1)
EXPIRES_WITHIN = timedelta(days=EXPIRY_NOTICE_DAYS)
NOBODY_WAITS_LONGER = timedelta(minutes=1)  # for a test to begin that somebody asked for
SWEPT_WITHIN = timedelta(minutes=15)  # of the time for which a test by itself was set
SHOWN = 5  # of the critical findings

Rows = QuerySet[Any]


# --- what a figure counts, and its list shows ------------------------------------------------


def critical(findings: Rows, now: datetime) -> Rows:
    """Nobody has said anything of them yet."""
    unspoken = Q(state=Finding.State.OPEN) | snooze_is_over(now)
    return findings.filter(unspoken, severity=Finding.Severity.CRITICAL)


def newly_failing(connections: Rows, now: datetime) -> Rows:
    return connections.filter(failing_since__gt=now - DAY, paused_at=None)


def expiring(connections: Rows, now: datetime) -> Rows:
    until = now + EXPIRES_WITHIN
    return connections.filter(key_expires_at__gt=now, key_expires_at__lte=until, paused_at=None)


def overdue(connections: Rows, now: datetime) -> Rows:
    """The sweep should have tested them by now, and no incident keeps it from that."""
    return connections.filter(
        stops().outside(),
        next_test_at__lte=now - SWEPT_WITHIN,
        paused_at=None,
        exchange__paused=False,
    )


def waiting(tests: Rows, now: datetime) -> Rows:
    """In the queue, and neither a pause nor an incident holds them back."""
    queued = tests.filter(stops().outside("connection__"), status=ConnectionTest.Status.QUEUED)
    return queued.filter(connection__paused_at=None, connection__exchange__paused=False)


def of_result(tests: Rows, result: str) -> Rows:
    """Tests that have ended: good, bad, unanswered or dropped."""
    return tests.filter(RESULTS[result], finished_at__isnull=False)


def unsettled(incidents: Rows, now: datetime) -> Rows:
    """A second person has to confirm them, they are under way, or they stop the use of keys."""
    waits = Q(state=Incident.State.ASKED, asked_at__gt=now - WAITS_FOR)
    stands = Q(stop_use=True, confirmed_at__isnull=False, lifted_at=None)
    return incidents.filter(waits | stands | Q(state=Incident.State.RUNNING))


NEEDS: Mapping[str, Callable[[Rows, datetime], Rows]] = {
    "critical": critical,
    "newly_failing": newly_failing,
    "expiring": expiring,
    "overdue": overdue,
    "waiting": waiting,
    "unsettled": unsettled,
}


# --- the figures -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failing:
    """Connections that began to fail for the same reason at the same exchange."""

    exchange: str
    problem: str
    count: int
    is_the_exchange: bool


@dataclass(frozen=True, slots=True)
class Queue:
    waiting: int
    running: int
    oldest: datetime | None

    def is_slow(self, now: datetime) -> bool:
        return self.oldest is not None and now - self.oldest > NOBODY_WAITS_LONGER


@dataclass(frozen=True, slots=True)
class Hour:
    start: datetime
    good: int = 0
    bad: int = 0
    unanswered: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Tests:
    """The hours of 31 days in which tests ended, and until when they are counted."""

    hours: tuple[Hour, ...]
    counted_at: datetime | None


def failing(now: datetime, outages: Iterable[Outage]) -> list[Failing]:
    """What a person may mend first, the most frequent first; what only its exchange can mend
    comes last."""
    away = {outage.exchange_id for outage in outages}
    rows = (
        newly_failing(Connection.objects.order_by(), now)
        .values_list("exchange", "problem")
        .annotate(count=Count("pk"))
    )
    found = [
        Failing(code, problem, number, code in away and problem == "unavailable")
        for code, problem, number in rows
    ]
    return sorted(found, key=lambda row: (row.is_the_exchange, -row.count, row.exchange))


def open_outages() -> list[Outage]:
    return list(Outage.objects.filter(ended_at=None).select_related("exchange"))


def worst_findings(now: datetime) -> list[Finding]:
    rows = critical(Finding.objects.all(), now).select_related("connection__owner")
    return list(rows.order_by("-severity", "-state_since", "-pk")[:SHOWN])


def queue(now: datetime) -> Queue:
    opened = ConnectionTest.objects.open().order_by()
    running = Q(status=ConnectionTest.Status.RUNNING)
    stands = waiting(ConnectionTest.objects.order_by(), now).aggregate(
        waiting=Count("pk"), oldest=Min("queued_at")
    )
    return Queue(**stands, running=opened.filter(running).count())


def tests(now: datetime) -> Tests:
    rows = HourOfTests.objects.filter(hour__gt=now - SPAN, hour__lte=now).order_by("hour")
    found = list(rows)
    hours = tuple(Hour(row.hour, row.good, row.bad, row.unanswered, row.dropped) for row in found)
    return Tests(hours, max((row.counted_at for row in found), default=None))
