"""Celery's doors. A task takes ids and calls one function; a message only wakes a worker."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError, OperationalError

from . import (
    auditor,
    counting,
    digests,
    history,
    incident_work,
    replacing,
    results,
    schedule,
    telling,
)
from .models import ConnectionTest

log = logging.getLogger(__name__)

MOST_AT_ONCE = 200  # rows one look wakes
SWEEP_S = 40  # no test is begun after that; the last ones take up to 30 s more
SWEEP_LIMIT_S = SWEEP_S + 80
EXCHANGES_AT_ONCE = 5  # that one process sweeps side by side; the others are left to the next
BEAT_S = 5  # backfuture/timetable.py


@shared_task(bind=True)
def run_test(self: Task[Any, Any], test_id: str) -> None:
    # Imported here: ccxt and the opening of keys have no place in the web process.
    from . import worker

    connection = worker.run_test(test_id, task_id=self.request.id or "")
    if connection is not None:
        worker.judge([connection])


@shared_task
def wake_waiting_tests() -> None:
    """Every few seconds: what a lost message, a dead worker or a broken broker left behind, of
    tests that somebody waits for. The others are the sweep's, unless they ended too many."""
    waiting = ConnectionTest.objects.waiting_too_long()
    sweeps = {"reason__in": schedule.OWN, "fence__lt": schedule.MOST_CLAIMS}
    for test_id in waiting.exclude(**sweeps).values_list("pk", flat=True)[:MOST_AT_ONCE]:
        _send(test_id)


@shared_task
def start_sweeps() -> None:
    """Every few seconds: one message for each few exchanges at which something is due."""
    now = timezone.now()
    schedule.bring_forward(now, results.period())
    codes = schedule.exchanges_to_sweep(now)
    for first in range(0, len(codes), EXCHANGES_AT_ONCE):
        group = codes[first : first + EXCHANGES_AT_ONCE]
        publish(sweep_exchanges, group, expires=BEAT_S)


# No soft limit before the hard one: it would leave the loop's thread at work. A killed process is
# replaced, and what it had begun is gone on with.
@shared_task(bind=True, soft_time_limit=SWEEP_LIMIT_S, time_limit=SWEEP_LIMIT_S)
def sweep_exchanges(self: Task[Any, Any], codes: list[str]) -> None:
    from . import sweep

    with sweep.turn() as mine:
        until = time.monotonic() + SWEEP_S
        tested = sweep.sweep(*codes, until=until, task_id=self.request.id or "") if mine else 0
    if tested:
        start_sweeps()  # there may be more


# --- audits and notices, which a sweep must not hold up --------------------------------------


@shared_task(soft_time_limit=900, time_limit=960)
def audit() -> None:
    """Every day: what time alone brings about, of all keys."""
    now = timezone.now()
    auditor.audit(now=now)
    telling.after_audit(now=now)


@shared_task
def tell() -> None:
    """Every few seconds: what stopped working, what works again, which exchange is down."""
    telling.tell(now=timezone.now())


@shared_task
def send_notices() -> None:
    # Imported here: chat libraries and the opening of addresses have no place in the web process.
    from . import sending

    sending.send_due(now=timezone.now())


@shared_task(soft_time_limit=300, time_limit=330)
def make_digests() -> None:
    """Every ten minutes: whose morning it is, and what an audit left to tell."""
    now = timezone.now()
    telling.after_audit(now=now)
    digests.make_weekly(now=now)
    digests.make_staff_daily(now=now)


@shared_task
def run_incidents() -> None:
    """Every few seconds: what two people have decided, until it is done."""
    incident_work.run_next()


@shared_task(soft_time_limit=900, time_limit=960)
def thin() -> None:
    """Every day: old tests, but for one of each day."""
    history.thin(now=timezone.now())


@shared_task(soft_time_limit=300, time_limit=330)
def count_tests() -> None:
    """Every few minutes: the tests of each hour, for the support desk."""
    counting.count_tests(now=timezone.now())


@shared_task
def destroy_replaced_keys() -> None:
    """Every minute: old keys whose owners can no longer go back to them."""
    replacing.destroy_due(now=timezone.now())


def wake(test: ConnectionTest | None) -> None:
    """Wakes a worker for a test once it is saved. The test does not depend on it: when the broker
    is away, the row is found all the same."""
    if test is not None:
        transaction.on_commit(partial(_send, test.pk), robust=True)


def wake_incidents() -> None:
    """The same for an incident that was just confirmed."""
    transaction.on_commit(partial(publish, run_incidents), robust=True)


def _send(test_id: UUID) -> None:
    publish(run_test, str(test_id))


def publish(task: Task[Any, Any], *arguments: Any, **options: Any) -> None:
    """Sends a message, or says in the log that it could not."""
    try:
        task.apply_async(arguments, retry=False, **options)
    except (OperationalError, KombuError, OSError) as error:
        # The text may hold the broker's address and password.
        log.warning("No message sent to %s: %s", task.name, type(error).__name__)
