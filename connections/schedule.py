"""When a key is tested again without anybody asking, and what is due.

A key that works is tested once a day. What may pass by itself is tried again soon; what somebody
has to mend is tried ever less often, since a dead key that is asked on and on is punished by its
exchange (BingX: 20 failing calls within 8 minutes).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q

from .exchanges import EXCHANGES
from .exchanges.problems import may_pass
from .incidents import stops
from .models import (
    Connection,
    ConnectionQuerySet,
    ConnectionTest,
    ConnectionTestQuerySet,
    Exchange,
    lapsed,
)

Reason = ConnectionTest.Reason
OWN = ConnectionTest.OWN
MOST_CLAIMS = 5  # a test that took down five workers is not tried on a sixth


def _minutes(*numbers: int) -> tuple[timedelta, ...]:
    return tuple(timedelta(minutes=number) for number in numbers)


RETRY_AFTER = _minutes(1, 2, 5, 15, 30, 60)  # what may pass; the last one again and again
COOL_DOWN = _minutes(5, 15, 60, 4 * 60, 12 * 60)  # what does not; after that as if it worked
CONFIRM_AFTER = timedelta(seconds=30)
LONGEST_HOLD = timedelta(minutes=10)  # an exchange is left alone at most for so long (sweep.py)
# Tests of one moment spread over this part of a period from the first time on, and further each
# time.
SPREAD = 1 / 6
MOST_RETRIES = 100


@dataclass(frozen=True, slots=True)
class Next:
    at: datetime
    retries: int


def after(
    connection_id: UUID,
    outcome: str,
    problem: str,
    *,
    retries: int,
    now: datetime,
    every: timedelta,
) -> Next:
    """`retries` are the failures before this test, one after the other; `every` is what lies
    between two tests of a key that works, at most."""
    regular = _spread(connection_id, every)
    if outcome != "failed":
        return Next(now + regular, 0)
    if may_pass(problem):
        wait = RETRY_AFTER[min(retries, len(RETRY_AFTER) - 1)]
    else:
        wait = COOL_DOWN[retries] if retries < len(COOL_DOWN) else regular
    return Next(now + min(wait, regular), min(retries + 1, MOST_RETRIES))


def to_confirm(now: datetime) -> datetime:
    """When a failure of a key that worked is looked at a second time, before it is believed."""
    return now + CONFIRM_AFTER


def reason_for(connection: Connection) -> ConnectionTest.Reason:
    """Why a connection that is due is tested."""
    if connection.suspicion:
        return Reason.CONFIRM
    return Reason.RETRY if connection.retries else Reason.SCHEDULED


def _spread(connection_id: UUID, every: timedelta) -> timedelta:
    """A connection's own period: the same each time, and never longer than `every`."""
    fraction = (connection_id.int % 10_000) / 10_000
    return every * (1 - SPREAD * fraction)


# --- what there is to do ---------------------------------------------------------------------


def due(now: datetime) -> ConnectionQuerySet:
    """Those with an open test have theirs: it sets the next time."""
    tested = ConnectionTest.objects.open().filter(connection=OuterRef("pk"))
    ready = Connection.objects.filter(stops().outside(), paused_at=None, exchange__paused=False)
    return ready.filter(~Exists(tested), next_test_at__lte=now)


def left_behind(now: datetime) -> ConnectionTestQuerySet:
    """Scheduled tests whose worker died: the next sweep goes on with them."""
    own = ConnectionTest.objects.open().unpaused().filter(reason__in=OWN)
    return own.filter(lapsed(now), fence__lt=MOST_CLAIMS)


def exchanges_to_sweep(now: datetime) -> list[str]:
    """Where something is due and nobody is at it; who waited longest comes first."""
    here = OuterRef("pk")
    wanted = Exists(due(now).filter(exchange=here)) | Exists(
        left_behind(now).filter(connection__exchange=here)
    )
    rows = Exchange.objects.filter(wanted, free_to_sweep(now), code__in=EXCHANGES)
    in_turn = rows.order_by(F("sweep_until").asc(nulls_first=True), "code")
    return list(in_turn.values_list("code", flat=True))


def free_to_sweep(now: datetime) -> Q:
    """Nobody's, or claimed for much longer than anybody claims: by a clock that was wrong."""
    beyond = now + 2 * LONGEST_HOLD
    until = Q(sweep_until=None) | Q(sweep_until__lte=now) | Q(sweep_until__gt=beyond)
    return until & Q(paused=False)


def bring_forward(now: datetime, every: timedelta) -> int:
    """What lies further ahead than any wait can be: a clock was wrong, or staff have shortened the
    period. How many there were."""
    beyond = Connection.objects.filter(next_test_at__gt=now + every)
    return beyond.update(next_test_at=now)
