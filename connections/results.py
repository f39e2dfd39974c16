"""What a finished test changes: the test's own row, the connection's status, the key in use.

Every write names the fence the test was claimed with, so a worker that was given up on cannot
write any more.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from . import hooks, replacing, schedule, services
from .exchanges.base import Account, Balance, KeyReport
from .exchanges.problems import may_pass
from .models import Connection, ConnectionTest, Credential, Thresholds

LONGEST_TEXT, MOST_ITEMS = 1_000, 500  # of one value that an exchange sent
PASSED = ("connected", "warnings", "refused")  # outcomes that prove key and secret


def mine(test: ConnectionTest) -> Any:
    """The test's row, as long as nobody else has claimed it since."""
    return ConnectionTest.objects.filter(
        pk=test.pk, status=ConnectionTest.Status.RUNNING, fence=test.fence
    )


def write(
    test: ConnectionTest,
    report: KeyReport,
    *,
    now: datetime | None = None,
    every: timedelta | None = None,
) -> None:
    """Writes the result once, and only if the test is still ours. `every`: see `period`."""
    now, every = now or timezone.now(), every or period()
    with transaction.atomic():
        _lock_where_it_moves(test)
        # The connection's lock is also that of its keys and tests (services.py).
        keys = Credential.objects.select_related("connection").defer("sealed")
        locked = keys.select_for_update(no_key=True, of=("connection",))
        key = locked.filter(pk=test.credential_id).first()
        if key is None:  # deleted while we asked
            return
        connection = key.connection
        report = _narrowed(report, key)
        account = connection.uid
        is_new = key.state == Credential.State.PENDING
        if is_new:
            report = replacing.judged(connection, key, report, uid=storable(report.facts.uid))
        if not mine(test).update(**storable(_as_fields(report)), finished_at=now):
            return
        if is_new and report.works:
            replacing.take_over(connection, key, now)
            # What was known of the key before says nothing about this one.
            connection.key_created_at, connection.retries = None, 0
        _apply(connection, key, report, now, every)
        hooks.tested(connection, now, bool(account) and connection.uid != account)


def _lock_where_it_moves(test: ConnectionTest) -> None:
    """Before its own lock, those of the account that a confirmed new key takes the connection to:
    nothing is to be enabled there meanwhile. What is confirmed later ends this test."""
    key = test.credential
    if key.state == Credential.State.PENDING and key.uid:
        with suppress(Connection.DoesNotExist):  # deleted while we asked
            services.lock_accounts(test.connection)


def period() -> timedelta:
    """Between two scheduled tests of a connection, as staff have set it."""
    return timedelta(hours=Thresholds.current().test_every_hours)


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


def _apply(
    connection: Connection, key: Credential, report: KeyReport, now: datetime, every: timedelta
) -> None:
    """What the connection takes over from a test. A new key that did not pass changes nothing."""
    if key.state == Credential.State.ACTIVE:
        fields = _next_test(connection, report, now, every) | {"tested_at": now}
        fields |= _believed(connection, report, now)
    elif may_pass(report.problem):
        fields = _next_test(connection, report, now, every)
    else:
        # Left to its owner: the next test is of the key in use, when that is due.
        fields = {"next_test_at": max(connection.next_test_at or now, now)}
    Connection.objects.filter(pk=connection.pk).update(**storable(fields))


def _next_test(
    connection: Connection, report: KeyReport, now: datetime, every: timedelta
) -> dict[str, Any]:
    following = schedule.after(
        connection.pk,
        report.outcome,
        report.problem,
        retries=connection.retries,
        now=now,
        every=every,
    )
    return {"next_test_at": following.at, "retries": following.retries}


def _believed(connection: Connection, report: KeyReport, now: datetime) -> dict[str, Any]:
    """A failure that may pass says nothing about the key, so what was known of it stands. Any
    other failure of a key that worked has to happen twice."""
    works = report.works
    verdict = {
        "status": report.outcome,
        "problem": _problem_of(report),
        "failing_since": None if works else connection.failing_since or now,
    }
    if may_pass(report.problem):
        return verdict
    if report.outcome == "failed" and _worked(connection) and not connection.suspicion:
        soon = schedule.to_confirm(now)
        return {"suspicion": report.problem, "next_test_at": soon, "retries": 0}
    known = _known(report) | {
        "uid": report.facts.uid or connection.uid,
        "key_created_at": report.facts.created_at or connection.key_created_at,
        "last_ok_at": now if works else connection.last_ok_at,
    }
    return {**verdict, **known, "suspicion": ""}


def _worked(connection: Connection) -> bool:
    """When last heard of; an exchange that did not answer since changes nothing about it."""
    return connection.works or (
        may_pass(connection.problem) and connection.known_permissions.read is True
    )


def _problem_of(report: KeyReport) -> str:
    return "withdrawal_enabled" if report.outcome == "refused" else report.problem


def _known(report: KeyReport) -> dict[str, Any]:
    return {
        "permissions": report.facts.permissions.to_store(),
        "site": report.site,
        "ip_restricted": report.facts.ip_restricted,
        "key_expires_at": report.facts.expires_at,
    }


def _stored(row: Balance | Account) -> dict[str, Any]:
    """As JSON takes it, and as balances.py reads it."""
    values = {name: getattr(row, name) for name in row.__slots__}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }


def _as_fields(report: KeyReport) -> dict[str, Any]:
    facts = report.facts
    return {
        "status": ConnectionTest.Status.DONE,
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
        "balances": [_stored(balance) for balance in report.balances],
        "balances_of": [_stored(account) for account in report.accounts],
        "skew_ms": report.skew_ms,
        **_known(report),
    }
