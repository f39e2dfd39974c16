"""Celery's doors. A task takes an id and calls one function; a message only wakes a worker."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from uuid import UUID

from celery import Task, shared_task
from django.db import transaction
from kombu.exceptions import KombuError, OperationalError

from . import services
from .models import Connection, ConnectionTest, Credential

log = logging.getLogger(__name__)

MOST_AT_ONCE = 200  # rows one sweep wakes


@shared_task(bind=True)
def run_test(self: Task[Any, Any], test_id: str) -> None:
    # Imported here: ccxt and the opening of keys have no place in the web process.
    from . import worker

    worker.run_test(test_id, task_id=self.request.id or "")


@shared_task
def wake_waiting_tests() -> None:
    """Every few seconds: what a lost message, a dead worker or a broken broker left behind, and
    what is to be tried again after a failure that may pass."""
    for connection in Connection.objects.due_for_test().select_related("exchange")[:MOST_AT_ONCE]:
        _try_again(connection)
    waiting = ConnectionTest.objects.waiting_too_long().values_list("pk", flat=True)
    for test_id in waiting[:MOST_AT_ONCE]:
        _send(test_id)


def wake(test: ConnectionTest | None) -> None:
    """Wakes a worker for a test once it is saved. The test does not depend on it: when the broker
    is away, the sweep finds the row."""
    if test is not None:
        transaction.on_commit(partial(_send, test.pk), robust=True)


def _try_again(connection: Connection) -> None:
    try:
        test = services.request_test(connection, reason=services.reason_to_try_again(connection))
    except services.TooSoon:
        return
    except Credential.DoesNotExist:
        test = None
    # Only the time that was due: a test that ended meanwhile may have set the next one.
    due = Connection.objects.filter(pk=connection.pk, next_test_at=connection.next_test_at)
    due.update(next_test_at=None)
    wake(test)


def _send(test_id: UUID) -> None:
    try:
        run_test.apply_async((str(test_id),), retry=False)
    except (OperationalError, KombuError, OSError) as error:
        # The text may hold the broker's address and password.
        log.warning("No message sent for test %s: %s", test_id, type(error).__name__)
