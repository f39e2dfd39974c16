"""The worker's half: claims a test, opens the key, asks the exchange, writes what it found.

The row is the queue. A claim is one conditional update that grows the fence; every later write
names the fence it was claimed with, so a worker that was given up on cannot write any more.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from . import services, vault
from .exchanges import client, inspection
from .exchanges.base import Credentials, KeyReport, Step
from .exchanges.problems import may_pass
from .models import AccessEvent, Connection, ConnectionTest, Credential

log = logging.getLogger(__name__)

PASSED = ("connected", "warnings", "refused")  # outcomes that prove key and secret

LEASE = timedelta(seconds=45)  # a test ends itself after 30 s
MOST_CLAIMS = 5  # a test that took down five workers is not tried on a sixth
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))


def run_test(test_id: str, *, task_id: str = "") -> None:
    """Runs one test if nobody else does. Safe to call any number of times."""
    test = _claim(test_id)
    if test is None:
        return
    if test.fence > MOST_CLAIMS:
        _finish(test, _failed("unexpected"))
        return
    _finish(test, _report(test, task_id))


def _claim(test_id: str) -> ConnectionTest | None:
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
    event = AccessEvent(
        credential=key,
        connection=test.connection,
        actor_id=test.requested_by_id,
        why=f"test: {test.reason}",
        task_id=task_id,
    )
    try:
        with vault.opened(key.sealed, key, event=event) as credentials:
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
            on_step=sync_to_async(lambda steps: _show(test, steps)),
        ).run()


def _show(test: ConnectionTest, steps: tuple[Step, ...]) -> None:
    _mine(test).update(steps=[step.as_dict() for step in steps])


def _mine(test: ConnectionTest) -> Any:
    return ConnectionTest.objects.filter(
        pk=test.pk, status=ConnectionTest.Status.RUNNING, fence=test.fence
    )


def _failed(problem: str) -> KeyReport:
    return KeyReport("failed", (), problem=problem)


def _finish(test: ConnectionTest, report: KeyReport) -> None:
    """Writes the result once, and only if the test is still ours."""
    with transaction.atomic():
        connection = Connection.objects.select_for_update().filter(pk=test.connection_id).first()
        if connection is None:  # deleted while we asked
            return
        key = Credential.objects.select_for_update().defer("sealed").get(pk=test.credential_id)
        report = _narrowed(report, key)
        if key.state == Credential.State.PENDING and _other_account(connection, report):
            report = KeyReport(
                "failed", report.steps, problem="different_account", facts=report.facts
            )
        if not _mine(test).update(**_as_fields(report)):
            return
        if key.state == Credential.State.PENDING and report.outcome in {"connected", "warnings"}:
            _promote(connection, key)
        _apply(connection, key, report)


def _narrowed(report: KeyReport, key: Credential) -> KeyReport:
    """A secret that was right once is right for good, so it drops out of the possible causes."""
    left = tuple(cause for cause in report.causes if cause != "bad_secret")
    if left == report.causes or not key.tests.filter(outcome__in=PASSED).exists():
        return report
    if len(left) == 1:
        return replace(report, problem=left[0], causes=())
    return replace(report, causes=left)


def _other_account(connection: Connection, report: KeyReport) -> bool:
    return bool(connection.uid and report.facts.uid and connection.uid != report.facts.uid)


def _promote(connection: Connection, key: Credential) -> None:
    services.retire_active_key(connection)
    key.state = Credential.State.ACTIVE
    Credential.objects.filter(pk=key.pk).update(state=key.state)


def _apply(connection: Connection, key: Credential, report: KeyReport) -> None:
    """What the connection takes over from a test. A failure that may pass says nothing about the
    key, so what was known of it stands; a new key that did not pass changes nothing at all."""
    passing = may_pass(report.problem)
    fields: dict[str, Any] = _next_try(connection, again=passing)
    if key.state == Credential.State.ACTIVE:
        fields |= {
            "status": report.outcome,
            "problem": _problem_of(report),
            "tested_at": timezone.now(),
        }
        if report.facts.uid:
            fields["uid"] = report.facts.uid
        if not passing:
            fields |= _known(report)
    Connection.objects.filter(pk=connection.pk).update(**fields)


def _next_try(connection: Connection, *, again: bool) -> dict[str, Any]:
    if not again:
        return {"next_test_at": None, "retries": 0}
    wait = RETRY_AFTER[min(connection.retries, len(RETRY_AFTER) - 1)]
    return {"next_test_at": timezone.now() + wait, "retries": min(connection.retries + 1, 100)}


def _problem_of(report: KeyReport) -> str:
    return "withdrawal_enabled" if report.outcome == "refused" else report.problem


def _known(report: KeyReport) -> dict[str, Any]:
    permissions = report.facts.permissions
    return {
        "permissions": {**permissions.as_dict(), "evidence": dict(permissions.evidence)},
        "ip_restricted": report.facts.ip_restricted,
        "key_expires_at": report.facts.expires_at,
    }


def _as_fields(report: KeyReport) -> dict[str, Any]:
    facts = report.facts
    return {
        "status": ConnectionTest.Status.DONE,
        "finished_at": timezone.now(),
        "outcome": report.outcome,
        "problem": _problem_of(report),
        "causes": list(report.causes),
        "warnings": list(report.warnings),
        "seen_ip": report.seen_ip,
        "steps": [step.as_dict() for step in report.steps],
        "ips": list(facts.ips),
        "key_created_at": facts.created_at,
        "uid": facts.uid,
        "label": facts.label,
        "balances": [
            {name: getattr(balance, name) for name in balance.__slots__}
            for balance in report.balances
        ],
        "skew_ms": report.skew_ms,
        **_known(report),
    }
