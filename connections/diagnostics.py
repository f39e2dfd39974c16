"""What a ticket about a connection needs, as a file that is safe to paste into one.

Everything in it is chosen by name: no sealed value is ever loaded, and neither what the owner wrote
at the exchange (labels, IP lists) nor who and where they are is in it. The name they gave the
connection is for their own copy alone.
"""

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connection as database
from django.http import JsonResponse

from .events import AccessEvent, record
from .finding_words import words_for
from .incidents import stops
from .models import Connection, ConnectionTest, Credential, Finding
from .presentation import explain, ready_for, status_of, yes_no_unknown

FORMAT = 1
TESTS = 5
FINGERPRINT_SHOWN = 12  # of 64 digits: enough to find the key, too few to compare guesses with
PACKAGES = ("celery", "ccxt", "cryptography", "django-allauth", "django-htmx")
STEP = ("name", "ok", "at", "ms", "call", "http_status", "code")  # `at` in ms since 1970


def bundle(connection: Connection, *, now: datetime, for_owner: bool) -> dict[str, Any]:
    """Plain values, ready for JSON. Expects a connection from `for_list`."""
    testing = connection.tests.open().exists()
    status = status_of(connection, testing=testing)
    return {
        "format": FORMAT,
        "made_at": now,
        "made_for": "the owner" if for_owner else "support",
        "product": _product(),
        "connection": {
            "id": connection.pk,
            **({"name": connection.name} if for_owner else {}),
            "exchange": connection.exchange_id,
            "site": connection.site or "main",
            "created_at": connection.created_at,
            "paused_at": connection.paused_at,
            "exchange_paused": connection.exchange.paused,
            "use_stopped": stops().hold(exchange=connection.exchange_id, owner=connection.owner_id),
            "status": status.word,
            "status_code": connection.status,
            "ready_for": ready_for(connection.known_permissions) if connection.works else "",
            "problem": _problem(connection.problem, connection.exchange_id),
            "suspicion": connection.suspicion,
            "failing_since": connection.failing_since,
            "failures_in_a_row": connection.retries,
            "tested_at": connection.tested_at,
            "last_ok_at": connection.last_ok_at,
            "next_test_at": connection.next_test_at,
            "permissions": _permissions(connection),
            "ip_restricted": yes_no_unknown(connection.ip_restricted),
            "key_created_at": connection.key_created_at,
            "key_expires_at": connection.key_expires_at,
        },
        "keys": [_key(key) for key in connection.credentials.not_destroyed().defer("sealed")],
        "tests": [_test(test, connection) for test in _newest(connection)],
        "findings": [_finding(row, connection.exchange_id) for row in _standing(connection)],
    }


def _product() -> dict[str, Any]:
    """Which programs, and of which kind: never their addresses, which hold passwords."""
    return {
        "backfuture": settings.VERSION,
        "python": platform.python_version(),
        "django": django.get_version(),
        # Read from what is installed: this process must not load ccxt.
        **{name: _installed(name) for name in PACKAGES},
        "database": database.vendor,
        "broker": urlsplit(settings.CELERY_BROKER_URL).scheme,
    }


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _problem(code: str, exchange: str) -> dict[str, Any] | None:
    if not code:
        return None
    words = explain(code, exchange)
    return {
        "code": words.code,
        "title": words.title,
        "cause": words.cause,
        "what_to_do": list(words.advice),
        "may_pass": words.may_pass,
    }


def _permissions(row: Connection | ConnectionTest) -> dict[str, Any]:
    known = Connection(permissions=row.permissions).known_permissions
    return {
        name: {"value": yes_no_unknown(value), "evidence": known.evidence.get(name, "")}
        for name, value in known.as_dict().items()
    }


def _key(key: Credential) -> dict[str, Any]:
    return {
        "state": key.state,
        "ends_with": key.hint,
        "fingerprint": key.fingerprint[:FINGERPRINT_SHOWN],
        "entered_at": key.created_at,
        "last_opened_at": key.last_opened_at,
    }


def _newest(connection: Connection) -> Any:
    return connection.tests.order_by("-queued_at", "pk").defer("balances", "label", "uid")[:TESTS]


def _test(test: ConnectionTest, connection: Connection) -> dict[str, Any]:
    return {
        "id": test.pk,
        "reason": test.reason,
        "state": test.status,
        "asked_at": test.queued_at,
        "started_at": test.started_at,
        "finished_at": test.finished_at,
        "claims": test.fence,
        "outcome": test.outcome,
        "problem": _problem(test.problem, connection.exchange_id),
        "possible_causes": list(test.causes),
        "warnings": list(test.warnings),
        "site": test.site or "main",
        "skew_ms": test.skew_ms,
        "our_address_as_seen": test.seen_ip,
        "ip_restricted": yes_no_unknown(test.ip_restricted),
        "permissions": _permissions(test),
        "steps": [{name: step.get(name) for name in STEP} for step in test.steps],
    }


def _standing(connection: Connection) -> Any:
    return connection.findings.exclude(state=Finding.State.RESOLVED).order_by("-severity", "rule")


def _finding(finding: Finding, exchange: str) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": Finding.Severity(finding.severity).name.lower(),
        "state": finding.state,
        "title": words_for(finding, exchange_code=exchange).title,
        "first_seen_at": finding.first_seen_at,
        "until": finding.until,
    }


def answer(connection: Connection, *, by: Any, now: datetime, why: str = "") -> JsonResponse:
    """As a file that is kept nowhere on its way. That it was taken is on record before."""
    why = f"diagnostics: {why}" if why else "diagnostics"
    for_owner = by.pk == connection.owner_id
    found = bundle(connection, now=now, for_owner=for_owner)
    record(AccessEvent.Kind.EXPORTED, connection=connection, actor=by, why=why)
    name = f"backfuture-diagnostics-{str(connection.pk)[:8]}-{now:%Y-%m-%d}.json"
    return JsonResponse(
        found,
        json_dumps_params={"indent": 2},
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
