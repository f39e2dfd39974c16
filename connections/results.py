"""What a finished test changes: the test's own row, the connection's status, the key in use.

Every write names the fence the test was claimed with, so a worker that was given up on cannot
write any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from . import services
from .exchanges.base import KeyReport
from .exchanges.problems import may_pass
from .models import Connection, ConnectionTest, Credential

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 30, 60))
CONFIRM_AFTER = timedelta(seconds=30)
LONGEST_TEXT, MOST_ITEMS = 1_000, 500  # of one value that an exchange sent
PASSED = ("connected", "warnings", "refused")  # outcomes that prove key and secret


def mine(test: ConnectionTest) -> Any:
    """The test's row, as long as nobody else has claimed it since."""
    return ConnectionTest.objects.filter(
        pk=test.pk, status=ConnectionTest.Status.RUNNING, fence=test.fence
    )


def write(test: ConnectionTest, report: KeyReport) -> None:
    """Writes the result once, and only if the test is still ours."""
    with transaction.atomic():
        connection = Connection.objects.select_for_update().filter(pk=test.connection_id).first()
        if connection is None:  # deleted while we asked
            return
        key = Credential.objects.select_for_update().defer("sealed").get(pk=test.credential_id)
        report = _narrowed(report, key)
        if key.state == Credential.State.PENDING:
            report = _of_the_same_account(connection, report)
        if not mine(test).update(**storable(_as_fields(report))):
            return
        if key.state == Credential.State.PENDING and report.outcome in {"connected", "warnings"}:
            _promote(connection, key)
        _apply(connection, key, report)


def drop(test: ConnectionTest) -> None:
    """Ends a test without a result, since its key is not there any more."""
    mine(test).update(status=ConnectionTest.Status.DONE, finished_at=timezone.now())


def storable(value: Any) -> Any:
    """What an exchange sent, as every database takes it: no NUL, no lone surrogate, no end."""
    if isinstance(value, str):
        shown = (each if each.isprintable() else "\ufffd" for each in value[:LONGEST_TEXT])
        return "".join(shown)
    if isinstance(value, list):
        return [storable(item) for item in value[:MOST_ITEMS]]
    if isinstance(value, dict):
        return {name: storable(item) for name, item in value.items()}
    return value


def _narrowed(report: KeyReport, key: Credential) -> KeyReport:
    """A secret that was right once is right for good, so it drops out of the possible causes."""
    left = tuple(cause for cause in report.causes if cause != "bad_secret")
    if left == report.causes or not key.tests.filter(outcome__in=PASSED).exists():
        return report
    if len(left) == 1:
        return replace(report, problem=left[0], causes=())
    return replace(report, causes=left)


def _of_the_same_account(connection: Connection, report: KeyReport) -> KeyReport:
    """A new key must be of the connection's account; where that cannot be told, it is said."""
    if not connection.uid or report.outcome not in {"connected", "warnings"}:
        return report
    if not report.facts.uid:
        warnings = (*report.warnings, "account_unknown")
        return replace(report, outcome="warnings", warnings=warnings)
    if report.facts.uid == connection.uid:
        return report
    return KeyReport("failed", report.steps, problem="different_account", facts=report.facts)


def _promote(connection: Connection, key: Credential) -> None:
    services.retire_active_key(connection)
    key.state = Credential.State.ACTIVE
    Credential.objects.filter(pk=key.pk).update(state=key.state)


def _apply(connection: Connection, key: Credential, report: KeyReport) -> None:
    """What the connection takes over from a test. A new key that did not pass changes nothing."""
    fields: dict[str, Any] = {}
    if may_pass(report.problem) or not connection.suspicion:
        fields |= _next_try(connection, again=may_pass(report.problem))
    if key.state == Credential.State.ACTIVE:
        fields |= {"next_test_at": fields.get("next_test_at"), "tested_at": timezone.now()}
        fields |= _believed(connection, report)
    Connection.objects.filter(pk=connection.pk).update(**storable(fields))


def _believed(connection: Connection, report: KeyReport) -> dict[str, Any]:
    """A failure that may pass says nothing about the key, so what was known of it stands. Any
    other failure of a key that worked has to happen twice."""
    verdict = {"status": report.outcome, "problem": _problem_of(report)}
    if may_pass(report.problem):
        return verdict
    if report.outcome == "failed" and _worked(connection) and not connection.suspicion:
        soon = timezone.now() + CONFIRM_AFTER
        return {"suspicion": report.problem, "next_test_at": soon}
    known = _known(report) | ({"uid": report.facts.uid} if report.facts.uid else {})
    return {**verdict, **known, "suspicion": ""}


def _worked(connection: Connection) -> bool:
    """When last heard of; an exchange that did not answer since changes nothing about it."""
    return connection.works or (
        may_pass(connection.problem) and connection.known_permissions.read is True
    )


def _next_try(connection: Connection, *, again: bool) -> dict[str, Any]:
    if not again:
        return {"next_test_at": None, "retries": 0}
    wait = RETRY_AFTER[min(connection.retries, len(RETRY_AFTER) - 1)]
    return {"next_test_at": timezone.now() + wait, "retries": min(connection.retries + 1, 100)}


def _problem_of(report: KeyReport) -> str:
    return "withdrawal_enabled" if report.outcome == "refused" else report.problem


def _known(report: KeyReport) -> dict[str, Any]:
    return {
        "permissions": report.facts.permissions.to_store(),
        "site": report.site,
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
