"""Counts the tests of each hour, for the support desk's charts.

An hour is counted anew until it was counted some time after its end; then its number stands. Every
row says when it was counted, so whoever writes last, a late worker too, leaves nothing wrong for
good: an hour that an earlier count has overwritten is counted again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q

from .exchanges.problems import MAY_PASS
from .models import Connection, ConnectionTest, HourOfTests

HOUR = timedelta(hours=1)
SPAN = timedelta(days=31)  # 30 days in anybody's zone
# What was written in the last moment of an hour is seen once it is committed, and a task that
# writes is killed after 60 seconds.
LATE = timedelta(minutes=10)

# Every test that ended is one of these: one that passed has no problem. No more is said than has
# to be: taken together, conditions that hang together look rarer to a database than they are.
FAILED = sorted(set(Connection.Status.values) - set(Connection.WORKING))
RESULTS: dict[str, Q] = {
    "good": Q(outcome__in=Connection.WORKING),
    "bad": Q(outcome__in=FAILED) & ~Q(problem__in=MAY_PASS),
    "unanswered": Q(problem__in=MAY_PASS),
    "dropped": Q(outcome=""),
}


def count_tests(*, now: datetime) -> int:
    """Counts every hour that is not counted for good, the newest first; how many there were.
    Stopped in between, the next call goes on."""
    stands = _counted_for_good(now)
    hours = [hour for hour in _hours(now) if hour not in stands]
    for hour in hours:
        _count(hour, now)
    return len(hours)


def start_of_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hours(now: datetime) -> list[datetime]:
    newest = start_of_hour(now)
    return [newest - back * HOUR for back in range(SPAN // HOUR + 1)]


def _counted_for_good(now: datetime) -> set[datetime]:
    rows = HourOfTests.objects.filter(hour__gte=start_of_hour(now - SPAN))
    return {
        hour
        for hour, counted_at in rows.values_list("hour", "counted_at")
        if hour + HOUR + LATE <= counted_at <= now
    }


def _count(hour: datetime, now: datetime) -> None:
    ended = ConnectionTest.objects.filter(finished_at__gte=hour, finished_at__lt=hour + HOUR)
    counts = {name: Count("pk", filter=rule) for name, rule in RESULTS.items()}
    HourOfTests.objects.update_or_create(
        hour=hour, defaults={**ended.order_by().aggregate(**counts), "counted_at": now}
    )
