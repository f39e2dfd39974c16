"""The worker's half: claims a test, opens the key, asks the exchange, writes what it found.

The row is the queue. A claim is one conditional update that grows the fence; every later write
names the fence it was claimed with, so a worker that was given up on cannot write any more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import F
from django.utils import timezone

from . import auditor, exchanges, results, schedule, telling, vault
from .events import AccessEvent, event
from .exchanges import client, inspection
from .exchanges.base import AskAt, Credentials, KeyReport, Step
from .exchanges.problems import may_pass
from .incidents import stops
from .models import LEASE, Connection, ConnectionTest, Credential
from .schedule import MOST_CLAIMS, OWN

log = logging.getLogger(__name__)

STAMPED_EVERY = timedelta(minutes=15)  # at most, for each key


def run_test(test_id: str, *, task_id: str = "") -> UUID | None:
    """Runs one test if nobody else does, and says of which connection. Safe to call any number of
    times."""
    test = _claim(test_id)
    if test is None:
        return None
    if test.credential.state not in Credential.IN_USE:
        results.drop(test)
    elif test.fence > MOST_CLAIMS:
        results.write(test, failed("unexpected"))
    elif usable([test]):
        results.write(test, _report(test, task_id))
    return test.connection_id


def judge(connections: Collection[UUID]) -> None:
    """What the tests of these found, by the rules of hygiene. A rule that breaks must not lose
    the tests, which are written."""
    now = timezone.now()
    try:
        auditor.audit(now=now, connections=connections)
        telling.after_audit(now=now, connections=connections)
    except Exception as error:
        # The text may hold what was read from the rows.
        log.error("No audit after %d tests: %s", len(connections), type(error).__name__)


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
    stamp([test], timezone.now())
    try:
        with opened(test, opening(test, task_id)) as credentials:
            return async_to_sync(_inspect_alone)(test, credentials)
    except vault.SealedError as error:
        return unreadable(test, error)


async def _inspect_alone(test: ConnectionTest, credentials: Credentials) -> KeyReport:
    async with client.Client() as session:
        ask_at = session.ask_as(exchanges.get(test.connection.exchange_id), credentials)
        return await inspect(test, credentials, ask_at, sync_to_async(lambda s: _show(test, s)))


def _show(test: ConnectionTest, steps: tuple[Step, ...]) -> None:
    results.mine(test).update(steps=[step.as_dict() for step in steps])


# --- many at once, for sweep.py ----------------------------------------------------------------


def claim_due(code: str, count: int, now: datetime) -> list[ConnectionTest]:
    """Up to `count` tests of what is due at an exchange, as `_claim` gives one. Within a
    transaction."""
    tests = _left_behind(code, count, now)
    return tests + _begun(code, count - len(tests), now)


def _left_behind(code: str, count: int, now: datetime) -> list[ConnectionTest]:
    mine = schedule.left_behind(now).filter(connection__exchange=code)
    mine = mine.select_for_update(skip_locked=True, no_key=True, of=("self",))
    tests = list(mine.select_related("connection", "credential").order_by("queued_at")[:count])
    for test in tests:
        test.started_at, test.lease_until, test.fence = now, now + LEASE, test.fence + 1
        if test.credential.connection_id == test.connection_id:  # `opened` refuses the others
            test.credential.connection = test.connection
    ConnectionTest.objects.bulk_update(tests, ["started_at", "lease_until", "fence"])
    return tests


def _begun(code: str, count: int, now: datetime) -> list[ConnectionTest]:
    mine = schedule.due(now).filter(exchange=code)
    mine = mine.select_for_update(skip_locked=True, no_key=True, of=("self",))
    found = {each.pk: each for each in mine.order_by("next_test_at")[:count]}
    # Whose owner was quicker has an open test by now; nobody else can make one any more.
    asked = ConnectionTest.objects.open().filter(connection__in=list(found))
    for pk in asked.values_list("connection_id", flat=True):
        del found[pk]
    keys = _keys_to_test(found.values())
    if keyless := found.keys() - keys.keys():
        Connection.objects.filter(pk__in=keyless).update(next_test_at=None)
    tests = [
        ConnectionTest(
            connection=key.connection,
            credential=key,
            reason=schedule.reason_for(key.connection),
            status=ConnectionTest.Status.RUNNING,
            queued_at=now,
            started_at=now,
            lease_until=now + LEASE,
            fence=1,
        )
        for key in keys.values()
    ]
    return ConnectionTest.objects.bulk_create(tests)


def _keys_to_test(connections: Collection[Connection]) -> dict[UUID, Credential]:
    """Of each connection the new key, or the one in use where there is none or where only its
    owner can help the new one."""
    known = {connection.pk: connection for connection in connections}
    keys = list(Credential.objects.in_use().filter(connection__in=list(known)))
    new = [key.pk for key in keys if key.state == Credential.State.PENDING]
    ended = ConnectionTest.objects.filter(credential__in=new).exclude(outcome="")
    last = dict(ended.order_by("queued_at").values_list("credential_id", "problem")) if new else {}
    chosen: dict[UUID, Credential] = {}
    for key in sorted(keys, key=lambda key: key.state):  # the one in use before the new one
        if may_pass(last.get(key.pk, "")) or key.pk not in last:
            key.connection = known[key.connection_id]
            chosen[key.connection_id] = key
    return chosen


# --- for one and for many --------------------------------------------------------------------


def usable(tests: Collection[ConnectionTest]) -> list[ConnectionTest]:
    """Those whose keys may be opened; the others are dropped. Asked last, with the tests claimed:
    an incident that was confirmed since they were looked for stops them too."""
    stopped, free = stops(), []
    for test in tests:
        whose = test.connection
        if stopped.hold(exchange=whose.exchange_id, owner=whose.owner_id):
            results.drop(test)
        else:
            free.append(test)
    return free


def opening(test: ConnectionTest, task_id: str) -> AccessEvent:
    """The event, unsaved: it has to be in the database before the key is opened."""
    made: AccessEvent = event(
        AccessEvent.Kind.OPENED,
        connection=test.connection,
        key=test.credential,
        actor_id=test.requested_by_id,
        why=f"test: {test.reason}",
        task_id=task_id,
    )
    return made


def stamp(tests: Collection[ConnectionTest], now: datetime) -> None:
    """Notes at their keys that they are opened, and for whom somebody waits that they are used."""
    keys = [(test.credential, test.reason) for test in tests]
    _stamp("last_opened_at", [key for key, _ in keys], now)
    _stamp("last_used_at", [key for key, reason in keys if reason not in OWN], now)


def _stamp(name: str, keys: list[Credential], now: datetime) -> None:
    before = now - STAMPED_EVERY
    old = [key.pk for key in keys if not before < (getattr(key, name) or before) <= now]
    if old:
        fresh = {f"{name}__gt": before, f"{name}__lte": now}
        Credential.objects.filter(pk__in=old).exclude(**fresh).update(**{name: now})


@contextmanager
def opened(test: ConnectionTest, opening: vault.SavedBeforeOpening) -> Iterator[Credentials]:
    """Raises vault.SealedError."""
    key = test.credential
    mine = key.connection_id == test.connection_id  # else it would be sent to another exchange
    if not mine or key.sealed is None or key.state not in Credential.IN_USE:
        raise vault.SealedError("There is no sealed value to be opened for a test.")
    with vault.opened(key.sealed, key, event=opening) as credentials:
        yield credentials


async def _unwatched(_: tuple[Step, ...]) -> None: ...


async def inspect(
    test: ConnectionTest,
    credentials: Credentials,
    ask_at: AskAt,
    on_step: inspection.OnStep = _unwatched,
) -> KeyReport:
    exchange = exchanges.get(test.connection.exchange_id)
    return await inspection.Inspection(
        exchange,
        credentials,
        ask_at,
        client.read_balances,
        site=exchange.site(test.connection.site),
        on_step=on_step,
    ).run()


def unreadable(test: ConnectionTest, error: vault.SealedError) -> KeyReport:
    log.error("Credential %s cannot be opened: %s", test.credential_id, error)
    return failed("sealed_unreadable")


def failed(problem: str) -> KeyReport:
    return KeyReport("failed", (), problem=problem)
