"""What can be done with a connection. Plain functions for views, admin, tasks and commands.

Nothing in here opens a key: that is the worker's half (worker.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext

from . import exchanges, vault
from .events import AccessEvent, record
from .exchanges.base import Credentials, Exchange
from .models import Connection, ConnectionTest, Credential
from .models import Exchange as ExchangeRow

Kind = AccessEvent.Kind

PAUSE_BETWEEN_TESTS = timedelta(seconds=10)
TRIES_PER_MINUTE = 6  # tests that new keys may ask for beside the pace above


class TooSoon(Exception):
    """The last test was asked for only just now; `seconds` to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"wait {seconds} s")
        self.seconds = seconds


class Paused(Exception):
    """The connection (or, by staff, its exchange) is paused: its key must not be used."""


class SameKey(Exception):
    """The owner already has this key in `connection`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__("the same key is already connected")
        self.connection = connection


class NameTaken(Exception):
    """The owner already has a connection of this name."""


def suggest_name(owner: Any, exchange: Exchange) -> str:
    """A name for the next connection, such as "MEXC Spot Main", not used yet."""
    taken = {name.lower() for name in owner.connections.values_list("name", flat=True)}
    base = f"{exchange.name} Spot"
    for suffix in ("Main", *map(str, range(2, 1000))):
        if (name := f"{base} {suffix}").lower() not in taken:
            return name
    return base


def connection_with_key(owner: Any, exchange: str, credentials: Credentials) -> Connection | None:
    """The owner's connection that already uses this key, found by its fingerprint."""
    return Connection.objects.filter(
        owner=owner,
        credentials__fingerprint=vault.fingerprint(exchange, credentials.api_key),
        credentials__state__in=(Credential.State.ACTIVE, Credential.State.PENDING),
    ).first()


def connect(
    *, owner: Any, exchange: ExchangeRow, name: str, credentials: Credentials
) -> tuple[Connection, ConnectionTest | None]:
    """Saves a new connection with its sealed key and asks for its first test.

    No test is made while staff have paused the exchange; it follows when they resume it.
    Raises SameKey and NameTaken; nothing is saved then.
    """
    try:
        with transaction.atomic():
            _lock_owner(owner)
            if existing := connection_with_key(owner, exchange.code, credentials):
                raise SameKey(existing)
            connection = Connection.objects.create(
                owner=owner, exchange=exchange, name=name, next_test_at=timezone.now()
            )
            key = _store_key(connection, credentials, Credential.State.ACTIVE)
            record(Kind.KEY_ENTERED, connection=connection, key=key, actor=owner)
            return connection, _first_test(connection, key, owner)
    except IntegrityError:
        raise NameTaken from None


def replace_key(
    connection: Connection, *, by: Any, credentials: Credentials
) -> ConnectionTest | None:
    """Stores a new key beside the one in use and asks for its test. The old key stays in use
    until the new one passes (results.py swaps them). Raises SameKey, and TooSoon when many keys
    were tried within a minute."""
    with transaction.atomic():
        _lock_owner(connection.owner)
        _lock(connection)
        existing = connection_with_key(connection.owner, connection.exchange_id, credentials)
        if existing and existing != connection:
            raise SameKey(existing)
        _keep_tries_few(connection)
        _drop_open_tests(connection)
        _discard_pending(connection, by)
        key = _store_key(connection, credentials, Credential.State.PENDING)
        # Failures of the old key are no reason to wait long with the new one.
        Connection.objects.filter(pk=connection.pk).update(retries=0)
        record(Kind.KEY_REPLACED, connection=connection, key=key, actor=by)
        return _first_test(connection, key, by)


def discard_new_key(connection: Connection, *, by: Any) -> bool:
    """Destroys the new key that has not passed; the one in use stays."""
    with transaction.atomic():
        _lock(connection)
        _drop_open_tests(connection, credential__state=Credential.State.PENDING)
        _make_due(connection, ~Q(suspicion=""))
        return _discard_pending(connection, by)


def request_test(
    connection: Connection, *, by: Any = None, reason: ConnectionTest.Reason
) -> ConnectionTest:
    """Asks for a test of the new key where there is one, else of the key in use.

    Asking twice makes one test. Raises Paused, and TooSoon within 10 s of the last request.
    """
    if connection.paused_at or connection.exchange.paused:
        raise Paused
    with transaction.atomic():
        _lock(connection)
        if open_test := connection.tests.open().first():
            return open_test
        _keep_pace(connection)
        return _queue(connection, key_to_test(connection), by, reason)


def key_to_test(connection: Connection) -> Credential:
    """The key a test is about. Raises Credential.DoesNotExist when there is none."""
    keys = {key.state: key for key in connection.credentials.in_use().defer("sealed")}
    key = keys.get(Credential.State.PENDING) or keys.get(Credential.State.ACTIVE)
    if key is None:
        raise Credential.DoesNotExist
    return key


def rename(connection: Connection, name: str, *, by: Any) -> None:
    """Raises NameTaken."""
    try:
        with transaction.atomic():
            Connection.objects.filter(pk=connection.pk).update(name=name)
            record(Kind.RENAMED, connection=connection, actor=by)
    except IntegrityError:
        raise NameTaken from None
    connection.name = name


def pause(connection: Connection, *, by: Any) -> None:
    """Nothing uses the key from here on; a test under way is dropped."""
    with transaction.atomic():
        _lock(connection)
        paused = Connection.objects.filter(pk=connection.pk, paused_at=None).update(
            paused_at=timezone.now(), next_test_at=None
        )
        if paused:
            record(Kind.PAUSED, connection=connection, actor=by)
        _drop_open_tests(connection)


def resume(connection: Connection, *, by: Any) -> ConnectionTest | None:
    """Ends a pause and asks for a test, since much may have changed meanwhile."""
    with transaction.atomic():
        if (
            Connection.objects.filter(pk=connection.pk)
            .exclude(paused_at=None)
            .update(paused_at=None, next_test_at=timezone.now() + PAUSE_BETWEEN_TESTS)
        ):
            record(Kind.RESUMED, connection=connection, actor=by)
    connection.refresh_from_db(fields=["paused_at"])
    try:
        return request_test(connection, by=by, reason=ConnectionTest.Reason.USER)
    except (TooSoon, Paused, Credential.DoesNotExist):
        return None  # it is tested all the same, as soon as it may be (sweep.py)


def delete(connection: Connection, *, by: Any) -> None:
    """Deletes the connection and destroys its sealed keys. The key at the exchange lives on."""
    with transaction.atomic():
        _lock(connection)
        _drop_open_tests(connection)
        for key in connection.credentials.in_use().defer("sealed") or (None,):
            record(Kind.CONNECTION_DELETED, connection=connection, key=key, actor=by)
        _retire(connection.credentials.in_use())
        connection.delete()


def seconds_to_wait(connection: Connection) -> int:
    """How long until the next test may be asked for; 0 when it may be now. What was asked in the
    future was asked by a clock that was wrong."""
    now = timezone.now()
    asked = connection.tests.filter(queued_at__lte=now).order_by("-queued_at")
    last = asked.values_list("queued_at", flat=True).first()
    if last is None:
        return 0
    left = (last + PAUSE_BETWEEN_TESTS - now).total_seconds()
    return max(0, -int(-left // 1))


def _keep_pace(connection: Connection) -> None:
    if seconds := seconds_to_wait(connection):
        raise TooSoon(seconds)


def _keep_tries_few(connection: Connection) -> None:
    last_minute = timezone.now() - timedelta(minutes=1)
    if connection.tests.filter(queued_at__gt=last_minute).count() >= TRIES_PER_MINUTE:
        raise TooSoon(60)


def _lock(connection: Connection) -> None:
    """Until the end of the transaction, before anything else in it: whoever changes a connection,
    its keys and its tests takes this lock first, the worker included. Not the key's lock: events
    refer to the row, and two people's events must not wait for each other crosswise."""
    Connection.objects.select_for_update(no_key=True).get(pk=connection.pk)


def _lock_owner(owner: Any) -> None:
    """Two requests of one user cannot save the same key, or the same name, at once."""
    get_user_model().objects.select_for_update(no_key=True).filter(pk=owner.pk).first()


def _first_test(connection: Connection, key: Credential, by: Any) -> ConnectionTest | None:
    if connection.paused_at or connection.exchange.paused:
        _make_due(connection)
        return None
    return _queue(connection, key, by, ConnectionTest.Reason.NEW_KEY)


def _make_due(connection: Connection, *where: Q) -> None:
    """To be tested by itself (sweep.py). While it is paused it has no such time."""
    mine = Connection.objects.filter(*where, pk=connection.pk, paused_at=None)
    mine.update(next_test_at=timezone.now())


def _queue(
    connection: Connection, key: Credential, by: Any, reason: ConnectionTest.Reason
) -> ConnectionTest:
    try:
        with transaction.atomic():
            return ConnectionTest.objects.create(
                connection=connection, credential=key, requested_by=by, reason=reason
            )
    except IntegrityError:  # someone else was faster: theirs is the test
        return connection.tests.open().get()


def _store_key(
    connection: Connection, credentials: Credentials, state: Credential.State
) -> Credential:
    key = Credential(
        connection=connection,
        state=state,
        hint=credentials.api_key[-4:],
        fingerprint=vault.fingerprint(connection.exchange_id, credentials.api_key),
    )
    key.sealed = vault.seal(credentials, key)
    key.save(force_insert=True)
    return key


def _drop_open_tests(connection: Connection, **which: Any) -> None:
    """A worker that is still at one finds its fence gone and its result is dropped."""
    connection.tests.open().filter(**which).update(
        status=ConnectionTest.Status.DONE, finished_at=timezone.now(), fence=F("fence") + 1
    )


def _discard_pending(connection: Connection, by: Any) -> bool:
    pending = connection.credentials.filter(state=Credential.State.PENDING)
    for key in pending.defer("sealed"):
        record(Kind.KEY_DISCARDED, connection=connection, key=key, actor=by)
    return _retire(pending)


def _retire(keys: Any) -> bool:
    """Destroys sealed values for good."""
    return bool(keys.update(state=Credential.State.RETIRED, sealed=None, retired_at=timezone.now()))


def retire_active_key(connection: Connection) -> None:
    """The new key has passed: the old one is destroyed."""
    active = connection.credentials.filter(state=Credential.State.ACTIVE)
    for key in active.defer("sealed"):
        record(Kind.KEY_DESTROYED, connection=connection, key=key)
    _retire(active)


def offered(code: str) -> ExchangeRow | None:
    """The row of an exchange that users may connect now, or None."""
    if code not in exchanges.EXCHANGES:
        return None
    return ExchangeRow.objects.filter(code=code, offered=True).first()


def reasons_against_trading(connection: Connection, market: str) -> list[str]:
    """Why no strategy on `market` ("spot" or "futures") may use this connection now; empty when
    one may. The one rule that forms, admin, tasks and pages ask."""
    may = connection.known_permissions
    reasons = []
    if connection.paused_at:
        reasons.append(gettext("The connection is paused."))
    if may.withdraw or connection.status == Connection.Status.REFUSED:
        reasons.append(gettext("The key may withdraw. Switch that right off first."))
    elif not connection.works:
        reasons.append(gettext("The connection has not passed its test."))
    elif connection.key_expires_at and connection.key_expires_at <= timezone.now():
        reasons.append(gettext("The key has expired."))
    elif market not in may.ready_for:
        reasons.append(gettext("The key is not proven to trade on this market."))
    return reasons
