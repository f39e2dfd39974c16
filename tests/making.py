"""Makes what tests need, through the product's own doors."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.test import Client
from django_celery_beat.schedulers import ModelEntry

from backfuture.accounts import sessions
from backfuture.accounts.models import User
from backfuture.celery import app
from connections import balances, replacing, results, services, worker
from connections.exchanges.base import Credentials, KeyFacts, KeyReport, Permissions, Step
from connections.models import Connection, ConnectionTest, Credential, Exchange

GOOD = Permissions(True, True, False, False, False, False)


def credentials(**values: str) -> Credentials:
    """A fresh key in MEXC's form; each call makes another one."""
    given = {"api_key": f"mx0{secrets.token_hex(8)[:15]}", "secret": secrets.token_hex(16)}
    return Credentials(**{**given, **values})


def connection(
    owner: User, exchange: Exchange, name: str, key: Credentials | None = None
) -> Connection:
    made, _ = services.connect(
        owner=owner, exchange=exchange, name=name, credentials=key or credentials()
    )
    return Connection.objects.for_list().get(pk=made.pk)


def report(outcome: str = "connected", **fields: Any) -> KeyReport:
    facts = fields.pop("facts", KeyFacts(GOOD, ip_restricted=True, uid="42"))
    steps = fields.pop("steps", (Step("reachable", True, 12, "GET /api/v3/time", 200),))
    return KeyReport(outcome, steps, facts=facts, **fields)  # type: ignore[arg-type]


def finish(connection: Connection, result: KeyReport) -> ConnectionTest:
    """Lets the worker claim the open test and finish it with `result`."""
    test = worker._claim(str(connection.tests.open().get().pk))
    assert test is not None
    results.write(test, result)
    connection.refresh_from_db()
    return ConnectionTest.objects.get(pk=test.pk)


def funds(test: ConnectionTest, market: str, currency: str) -> Decimal | None:
    """What trades on a market are paid with, as strategies look for it (strategies/accounts.py)."""
    found = (purse for purse in balances.purses(test) if market in purse.markets)
    return next((purse.total(currency) for purse in found), None)


class ResultBeforeRead:
    """Has a test's result come right before one read of a page: what was read by then is old."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection, self.left = connection, number

    def __call__(self, execute: Callable[..., Any], *asked: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            finish(self.connection, report())
        return execute(*asked)


def replaced(connection: Connection, key: Credentials | None = None) -> Credential:
    """Puts another key, which passes, in the place of the one in use; the old one."""
    old: Credential = connection.credentials.active().get()
    age(connection, minutes=2)
    replacing.replace_key(connection, by=connection.owner, credentials=key or credentials())
    finish(connection, report())
    return connection.credentials.get(pk=old.pk)


def age(connection: Connection, **by: float) -> None:
    """Moves all tests of a connection into the past."""
    for test in connection.tests.all():
        moment = test.queued_at - timedelta(**by)
        ConnectionTest.objects.filter(pk=test.pk).update(queued_at=moment)


def asked_again(connection: Connection) -> ConnectionTest:
    age(connection, minutes=1)
    return services.request_test(connection, reason=ConnectionTest.Reason.USER)


def force_login(client: Client, user: User) -> None:
    """Django's own, with the cookie as the product signs it."""
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    client.cookies[name] = sessions.cookie_of(str(client.session.session_key))


def sign_in(client: Client, user: User, *, second_factor: bool = False, age: float = 0) -> Client:
    """Signs in past the form, with what django-allauth notes of a sign-in `age` seconds ago."""
    force_login(client, user)
    session = client.session
    session["account_authentication_methods_user"] = str(user.pk)
    at = time.time() - age
    records: list[dict[str, Any]] = [{"method": "password", "at": at, "email": user.email}]
    if second_factor:
        records.append({"method": "mfa", "at": at, "type": "totp", "reauthenticated": True})
    session["account_authentication_methods"] = records
    session.save()
    return client


def totp(user: User) -> Callable[[float], str]:
    """Gives a user an authenticator app; what it shows, so many seconds from now."""
    EmailAddress.objects.get_or_create(
        user=user, email=user.email, defaults={"primary": True, "verified": True}
    )
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return lambda later=0: format_hotp_value(hotp_value(secret, int(time.time() + later) // 30))


def recovery_codes(user: User) -> list[str]:
    return list(RecoveryCodes.activate(user).get_unused_codes())


def desk(client: Client, user: User) -> Client:
    """A member of staff at the support desk: second factor set up and used in this session."""
    if not Authenticator.objects.filter(user=user).exists():
        totp(user)
    return sign_in(client, user, second_factor=True)


def schedules() -> None:
    """As the clock (Celery's beat) writes them down when it starts."""
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        ModelEntry.from_entry(name, app=app, **entry)


def say_why(client: Client, *owners: User, why: str = "ticket 4711") -> Client:
    """As if they had said why they look at data of these people (connections/looks.py)."""
    session = client.session
    session["reasons_to_look"] = {str(owner.pk): why for owner in owners}
    session.save()
    return client
