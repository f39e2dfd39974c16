"""The worker's half: claims a test, opens the key, asks the exchange, writes what it found.

The row is the queue. A claim is one conditional update that grows the fence; every later write
names the fence it was claimed with, so a worker that was given up on cannot write any more.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import F
from django.utils import timezone

from . import results, vault
from .events import AccessEvent, event
from .exchanges import client, inspection
from .exchanges.base import Credentials, KeyReport, Step
from .models import ConnectionTest, Credential

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=45)  # a test ends itself after 30 s
MOST_CLAIMS = 5  # a test that took down five workers is not tried on a sixth


def run_test(test_id: str, *, task_id: str = "") -> None:
    """Runs one test if nobody else does. Safe to call any number of times."""
    test = _claim(test_id)
    if test is None:
        return
    if test.credential.state == Credential.State.RETIRED:
        results.drop(test)
        return
    if test.fence > MOST_CLAIMS:
        results.write(test, _failed("unexpected"))
        return
    results.write(test, _report(test, task_id))


def _claim(test_id: str) -> ConnectionTest | None:
    if not ConnectionTest.objects.unpaused().filter(pk=test_id).exists():
        return None  # the sweep finds it again when the pause is over
    now = timezone.now()
    claimed = ConnectionTest.objects.claimable().filter(pk=test_id)
    if not claimed.update(
        status=ConnectionTest.Status.RUNNING,
        started_at=now,
        lease_until=now + LEASE,
        fence=F("fence") + 1,
        steps=[],
    ):
        return None
    return ConnectionTest.objects.select_related("connection__exchange", "credential").get(
        pk=test_id
    )


def _report(test: ConnectionTest, task_id: str) -> KeyReport:
    key = test.credential
    if key.sealed is None:
        return _failed("sealed_unreadable")
    opening = event(
        AccessEvent.Kind.OPENED,
        connection=test.connection,
        key=key,
        actor_id=test.requested_by_id,
        why=f"test: {test.reason}",
        task_id=task_id,
    )
    try:
        with vault.opened(key.sealed, key, event=opening) as credentials:
            return async_to_sync(_inspect)(test, credentials)
    except vault.SealedError as error:
        log.error("Credential %s cannot be opened: %s", key.pk, error)
        return _failed("sealed_unreadable")


async def _inspect(test: ConnectionTest, credentials: Credentials) -> KeyReport:
    exchange = test.connection.exchange.known
    async with client.Client() as session:
        return await inspection.Inspection(
            exchange,
            credentials,
            session.ask_as(exchange, credentials),
            client.read_balances,
            site=exchange.site(test.connection.site),
            on_step=sync_to_async(lambda steps: _show(test, steps)),
        ).run()


def _show(test: ConnectionTest, steps: tuple[Step, ...]) -> None:
    results.mine(test).update(steps=[step.as_dict() for step in steps])


def _failed(problem: str) -> KeyReport:
    return KeyReport("failed", (), problem=problem)
