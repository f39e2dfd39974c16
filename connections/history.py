"""What became of connections over time: the strip of one, the shares of an exchange, and the
thinning of old tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal
from uuid import UUID

from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
    Window,
)
from django.db.models.functions import RowNumber, TruncDate

from .exchanges.problems import MAY_PASS
from .models import Connection, ConnectionTest, Credential, Thresholds
from .results import PASSED

DAYS = 30
BATCH = 200  # connections whose tests are thinned in one statement
FEWEST_OWNERS = 5  # of fewer people nothing is told to others: one of them could be meant

State = Literal["ok", "failing", "unknown"]


@dataclass(frozen=True, slots=True)
class Day:
    """The tests of one day in somebody's zone. Of the failed ones, some say nothing about the key,
    since the exchange did not answer."""

    date: date
    good: int = 0
    bad: int = 0
    unanswered: int = 0

    @property
    def state(self) -> State:
        """The worst of the day; unknown without a test."""
        if self.bad:
            return "failing"
        return "ok" if self.good else "unknown"

    @property
    def tests(self) -> int:
        return self.good + self.bad


@dataclass(frozen=True, slots=True)
class Share:
    """How many connections to an exchange fail: of those tested and not paused, of all users."""

    active: int = 0
    failing: int = 0
    unavailable: int = 0
    owners: int = 0

    @property
    def percent(self) -> int:
        """Of those that fail; not 0 while one does, nor 100 while one works."""
        if self.failing in {0, self.active}:
            return 100 if self.failing else 0
        return min(99, max(1, round(100 * self.failing / self.active)))

    @property
    def may_be_told(self) -> bool:
        return self.owners >= FEWEST_OWNERS


def strip(connection: Connection, *, now: datetime, zone: tzinfo) -> list[Day]:
    """The last 30 days, today in `zone` last."""
    return strips([connection.pk], now=now, zone=zone)[connection.pk]


def strips(connections: Collection[UUID], *, now: datetime, zone: tzinfo) -> dict[UUID, list[Day]]:
    """The same for many, by one query."""
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    since = datetime.combine(dates[0], time.min, tzinfo=zone)
    found = {
        (row["connection_id"], row["day"]): Day(
            row["day"], row["good"], row["bad"], row["unanswered"]
        )
        for row in _by_day(connections, since, now, zone)
    }
    return {pk: [found.get((pk, day), Day(day)) for day in dates] for pk in connections}


def _by_day(
    connections: Collection[UUID], since: datetime, now: datetime, zone: tzinfo
) -> Iterator[Any]:
    good = Q(outcome__in=Connection.WORKING)
    tests = ConnectionTest.objects.filter(
        connection__in=connections, finished_at__gte=since, finished_at__lte=now
    )
    return (
        tests.exclude(outcome="")
        .exclude(credential__in=_never_used(connections))
        .annotate(day=TruncDate("finished_at", tzinfo=zone))
        .order_by()
        .values("connection_id", "day")
        .annotate(
            good=Count("pk", filter=good),
            bad=Count("pk", filter=~good),
            unanswered=Count("pk", filter=~good & Q(problem__in=MAY_PASS)),
        )
        .iterator()
    )


def _never_used(connections: Collection[UUID]) -> QuerySet[Credential, Any]:
    """New keys that did not pass, and so never took the place of the old one: their tests say
    nothing about the connection."""
    before = Credential.objects.filter(
        connection=OuterRef("connection"), created_at__lt=OuterRef("created_at")
    )
    passed = ConnectionTest.objects.filter(
        credential=OuterRef("pk"), outcome__in=Connection.WORKING
    )
    return (
        Credential.objects.filter(Exists(before), connection__in=connections)
        .exclude(state=Credential.State.ACTIVE)
        .exclude(Exists(passed))
        .values("pk")
    )


def shares(now: datetime, connections: QuerySet[Connection] | None = None) -> dict[str, Share]:
    """By the code of each exchange that has active connections (among `connections`)."""
    among = Connection.objects.all() if connections is None else connections
    works = Q(status__in=Connection.WORKING) & (Q(key_expires_at=None) | Q(key_expires_at__gt=now))
    rows = (
        among.filter(paused_at=None)
        .exclude(status=Connection.Status.NEW)
        .order_by()
        .values("exchange_id")
        .annotate(
            active=Count("pk"),
            failing=Count("pk", filter=~works),
            unavailable=Count("pk", filter=Q(status="failed", problem="unavailable")),
            owners=Count("owner", distinct=True),
        )
        .values_list("exchange_id", "active", "failing", "unavailable", "owners")
    )
    return {code: Share(*counts) for code, *counts in rows}


def thin(*, now: datetime) -> int:
    """Deletes tests older than the days they are kept, and says how many. Of each day (UTC) the
    last one stays, of each connection the newest, and of each key the newest that proves it: a
    secret that was right once is not doubted later (results.py).

    Each batch stands for itself, so a run that was killed is simply run again."""
    before = now - timedelta(days=Thresholds.current().tests_kept_days)
    return sum(_thin(batch, before) for batch in _batches())


def _batches() -> Iterator[list[UUID]]:
    after: UUID | None = None
    while True:
        rest = Connection.objects.order_by("pk")
        rest = rest.filter(pk__gt=after) if after else rest
        batch = list(rest.values_list("pk", flat=True)[:BATCH])
        if not batch:
            return
        yield batch
        after = batch[-1]


def _thin(connections: list[UUID], before: datetime) -> int:
    needless = _not_needed(connections).values("pk")
    return ConnectionTest.objects.filter(finished_at__lt=before, pk__in=needless).delete()[0]


def _not_needed(connections: list[UUID]) -> QuerySet[ConnectionTest]:
    """Tests with a later one of the same day and, if they prove a key, of the same key."""
    passed = Q(outcome__in=PASSED)
    without_result = Case(
        When(outcome="", then=Value(True)), default=Value(False), output_field=BooleanField()
    )
    newest = F("queued_at").desc()
    day = TruncDate("queued_at", tzinfo=UTC)
    return (
        ConnectionTest.objects.filter(connection__in=connections)
        .order_by()
        .annotate(
            in_connection=_number(["connection"], newest),
            in_day=_number(["connection", day], without_result, newest),
            in_key=_number(["credential", Case(When(passed, then=1), default=0)], newest),
        )
        .filter(
            Q(in_key__gt=1) | ~passed,
            in_connection__gt=1,
            in_day__gt=1,
        )
    )


def _number(partition: list[Any], *order: Any) -> Window:
    """1 for the first of its partition."""
    return Window(RowNumber(), partition_by=partition, order_by=[*order, F("pk").desc()])
