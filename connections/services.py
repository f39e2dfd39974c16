"""What can be done with a connection. Plain functions for views, admin, tasks and commands. What
concerns a change of its key is in replacing.py.

Nothing in here opens a key: that is the worker's half (worker.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from . import exchanges, hooks, vault
from .events import AccessEvent, record
from .exchanges.base import Credentials, Exchange
from .incidents import stops
from .models import (
    Connection,
    ConnectionQuerySet,
    ConnectionTest,
    Credential,
    CredentialQuerySet,
)
from .models import Exchange as ExchangeRow

Kind = AccessEvent.Kind

PAUSE_BETWEEN_TESTS = timedelta(seconds=10)


class TooSoon(Exception):
    """Something was asked for only just now, or too often; `seconds` to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"wait {seconds} s")
        self.seconds = seconds


class Paused(Exception):
    """The connection (or, by staff, its exchange) is paused: its key must not be used."""


class Stopped(Paused):
    """An incident stops the use of such keys: none is tested, and none is taken."""


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
    """The owner's connection that already uses this key. One that was replaced is not used, even
    while it is kept."""
    return with_fingerprint(owner, vault.fingerprint(exchange, credentials.api_key)).first()


def with_fingerprint(owner: Any, fingerprint: str) -> ConnectionQuerySet:
    """The owner's connections that use the key of this fingerprint."""
    keys = Credential.objects.in_use().filter(fingerprint=fingerprint)
    return Connection.objects.filter(owner=owner, pk__in=keys.values("connection"))


def connect(
    *, owner: Any, exchange: ExchangeRow, name: str, credentials: Credentials
) -> tuple[Connection, ConnectionTest | None]:
    """Saves a new connection with its sealed key and asks for its first test.

    No test is made while staff have paused the exchange; it follows when they resume it.
    Raises SameKey, NameTaken and Stopped; nothing is saved then.
    """
    try:
        with transaction.atomic():
            lock_owner(owner)
            if existing := connection_with_key(owner, exchange.code, credentials):
                raise SameKey(existing)
            connection = Connection.objects.create(
                owner=owner, exchange=exchange, name=name, next_test_at=timezone.now()
            )
            key = store_key(connection, credentials, Credential.State.ACTIVE)
            record(Kind.KEY_ENTERED, connection=connection, key=key, actor=owner)
            return connection, queue_at_once(connection, key, owner)
    except IntegrityError:
        raise NameTaken from None


def request_test(
    connection: Connection, *, by: Any = None, reason: ConnectionTest.Reason
) -> ConnectionTest:
    """Asks for a test of the new key where there is one, else of the key in use.

    Asking twice makes one test. Raises Paused, Stopped, and TooSoon within 10 s of the last
    request.
    """
    if connection.paused_at or connection.exchange.paused:
        raise Paused
    with transaction.atomic():
        lock(connection)
        refuse_if_stopped(owner=connection.owner, exchange=connection.exchange_id)
        if open_test := connection.tests.open().first():
            if open_test.reason in ConnectionTest.OWN:
                # Should its sweep have died, the person does not wait for the next one.
                open_test.reason, open_test.requested_by = reason, by
                open_test.save(update_fields=["reason", "requested_by"])
            return open_test
        _keep_pace(connection)
        return queue_test(connection, key_to_test(connection), by, reason)


def key_to_test(connection: Connection) -> Credential:
    """The key a test is about. Raises Credential.DoesNotExist when there is none."""
    keys = {key.state: key for key in connection.credentials.in_use().defer("sealed")}
    key = keys.get(Credential.State.PENDING) or keys.get(Credential.State.ACTIVE)
    if key is None:
        raise Credential.DoesNotExist
    return key


def rename(connection: Connection, name: str, *, by: Any, why: str = "") -> None:
    """Raises NameTaken."""
    try:
        with transaction.atomic():
            Connection.objects.filter(pk=connection.pk).update(name=name)
            record(Kind.RENAMED, connection=connection, actor=by, why=why)
    except IntegrityError:
        raise NameTaken from None
    connection.name = name


def pause(connection: Connection, *, by: Any, why: str = "") -> None:
    """Nothing uses the key from here on; a test under way is dropped."""
    with transaction.atomic():
        lock(connection)
        paused = Connection.objects.filter(pk=connection.pk, paused_at=None).update(
            paused_at=timezone.now(), next_test_at=None
        )
        if paused:
            record(Kind.PAUSED, connection=connection, actor=by, why=why)
        drop_open_tests(connection)


def resume(connection: Connection, *, by: Any, why: str = "") -> ConnectionTest | None:
    """Ends a pause and asks for a test, since much may have changed meanwhile."""
    with transaction.atomic():
        if (
            Connection.objects.filter(pk=connection.pk)
            .exclude(paused_at=None)
            .update(paused_at=None, next_test_at=timezone.now() + PAUSE_BETWEEN_TESTS)
        ):
            record(Kind.RESUMED, connection=connection, actor=by, why=why)
    connection.refresh_from_db(fields=["paused_at"])
    reasons = ConnectionTest.Reason
    own = by.pk == connection.owner_id
    try:
        return request_test(connection, by=by, reason=reasons.USER if own else reasons.STAFF)
    except (TooSoon, Paused, Credential.DoesNotExist):
        return None  # it is tested all the same, as soon as it may be (sweep.py)


def delete(connection: Connection, *, by: Any) -> None:
    """Deletes the connection and destroys its sealed keys. The key at the exchange lives on."""
    with transaction.atomic():
        lock(connection)
        drop_open_tests(connection)
        keys = connection.credentials.not_destroyed()
        for key in keys.defer("sealed") or (None,):
            record(Kind.CONNECTION_DELETED, connection=connection, key=key, actor=by)
        retire(keys)
        hooks.removed(connection, by)
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


def refuse_if_stopped(*, owner: Any, exchange: str) -> None:
    if stops().hold(exchange=exchange, owner=owner.pk):
        raise Stopped


def _keep_pace(connection: Connection) -> None:
    if seconds := seconds_to_wait(connection):
        raise TooSoon(seconds)


def lock(connection: Connection) -> None:
    """Until the end of the transaction, before anything else in it: whoever changes a connection,
    its keys and its tests takes this lock first, the worker included. Not the key's lock: events
    refer to the row, and two people's events must not wait for each other crosswise."""
    Connection.objects.select_for_update(no_key=True).get(pk=connection.pk)


def lock_accounts(connection: Connection) -> None:
    """As `lock`, with every connection to its account and to those that its other keys are of: it
    may move there, among strategies that share that account's money. In the order in which
    strategies take these locks."""
    mine = Connection.objects.filter(pk=connection.pk)
    others = connection.credentials.exclude(uid="")
    uids = Q(uid__in=mine.exclude(uid="").values("uid")) | Q(uid__in=others.values("uid"))
    rows = Connection.objects.filter(uids & Q(exchange=connection.exchange_id) | Q(pk__in=mine))
    found = [row.pk for row in rows.order_by("pk").select_for_update(no_key=True).only("pk")]
    if connection.pk not in found:
        raise Connection.DoesNotExist


def lock_owner(owner: Any) -> None:
    """Until the end of the transaction: two requests of one user cannot save the same key, or the
    same name, at once."""
    get_user_model().objects.select_for_update(no_key=True).filter(pk=owner.pk).first()


def queue_at_once(
    connection: Connection,
    key: Credential,
    by: Any,
    reason: ConnectionTest.Reason = ConnectionTest.Reason.NEW_KEY,
) -> ConnectionTest | None:
    """Whatever was asked for just now. While it is paused none is made: it follows by itself.
    Raises Stopped."""
    refuse_if_stopped(owner=connection.owner, exchange=connection.exchange_id)
    if connection.paused_at or connection.exchange.paused:
        make_due(connection)
        return None
    return queue_test(connection, key, by, reason)


def make_due(connection: Connection, *where: Q) -> None:
    """To be tested by itself (sweep.py). While it is paused it has no such time."""
    mine = Connection.objects.filter(*where, pk=connection.pk, paused_at=None)
    mine.update(next_test_at=timezone.now())


def queue_test(
    connection: Connection, key: Credential, by: Any, reason: ConnectionTest.Reason
) -> ConnectionTest:
    try:
        with transaction.atomic():
            return ConnectionTest.objects.create(
                connection=connection, credential=key, requested_by=by, reason=reason
            )
    except IntegrityError:  # someone else was faster: theirs is the test
        return connection.tests.open().get()


def store_key(
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


def drop_open_tests(connection: Connection, **which: Any) -> None:
    """A worker that is still at one finds its fence gone and its result is dropped."""
    connection.tests.open().filter(**which).update(
        status=ConnectionTest.Status.DONE, finished_at=timezone.now(), fence=F("fence") + 1
    )


def retire(keys: CredentialQuerySet) -> int:
    """Destroys sealed values for good; how many."""
    gone = {"sealed": None, "destroy_at": None, "uid": ""}
    return keys.update(state=Credential.State.RETIRED, retired_at=timezone.now(), **gone)


def offered(code: str) -> ExchangeRow | None:
    """The row of an exchange that users may connect now, or None."""
    if code not in exchanges.EXCHANGES:
        return None
    return ExchangeRow.objects.filter(code=code, offered=True).first()
