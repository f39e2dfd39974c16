"""Replacing a connection's key, and going back.

The new key waits beside the old one until its test has passed, then takes over in the transaction
that writes the test. The old one is kept sealed for a while, for its owner to go back to; nothing
opens it meanwhile. Whatever fails leaves everything as it was. Nothing in here opens a key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from . import hooks, services
from .events import AccessEvent, event, record
from .exchanges.base import Credentials, KeyReport
from .models import Connection, ConnectionTest, Credential, CredentialQuerySet, Thresholds
from .services import SameKey, TooSoon

Kind = AccessEvent.Kind
State = Credential.State

TRIES_PER_MINUTE = 6  # tests that new keys may ask for beside the usual pace
BATCH = 200  # connections whose old keys are destroyed in one transaction


class NotThere(Exception):
    """What was to be taken back or confirmed is not there any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A replaced key, and until when its owner can go back to it."""

    key: Credential
    until: datetime


# --- the new key -------------------------------------------------------------------------------


def replace_key(
    connection: Connection, *, by: Any, credentials: Credentials
) -> ConnectionTest | None:
    """Stores a new key beside the one in use and asks for its test. The old key stays in use
    until the new one passes (`take_over`). Raises SameKey, Stopped, and TooSoon when many keys
    were tried within a minute."""
    with transaction.atomic():
        services.lock_owner(connection.owner)
        services.lock(connection)
        owner, exchange = connection.owner, connection.exchange_id
        existing = services.connection_with_key(owner, exchange, credentials)
        if existing and existing != connection:
            raise SameKey(existing)
        _keep_tries_few(connection)
        services.drop_open_tests(connection)
        _discard(connection.credentials.filter(state=State.PENDING), connection, by)
        key = services.store_key(connection, credentials, State.PENDING)
        # Failures of the old key are no reason to wait long with the new one.
        Connection.objects.filter(pk=connection.pk).update(retries=0)
        record(Kind.KEY_REPLACED, connection=connection, key=key, actor=by)
        return services.queue_at_once(connection, key, by)


def discard_new_key(connection: Connection, *, by: Any) -> bool:
    """Destroys the new key that has not passed; the one in use stays."""
    with transaction.atomic():
        services.lock(connection)
        services.drop_open_tests(connection, credential__state=State.PENDING)
        services.make_due(connection, ~Q(suspicion=""))
        return _discard(connection.credentials.filter(state=State.PENDING), connection, by)


def confirm_account(connection: Connection, *, by: Any, uid: str) -> ConnectionTest | None:
    """Its owner wants the new key although it is of another account, `uid`: it is tested again and
    may take over then. Raises NotThere unless that is what its last test found, TooSoon and
    Stopped."""
    with transaction.atomic():
        services.lock_owner(connection.owner)
        services.lock(connection)
        key = connection.credentials.filter(state=State.PENDING).defer("sealed").first()
        if key is None or not uid or uid != _other_account(key):
            raise NotThere
        _keep_tries_few(connection)
        Credential.objects.filter(pk=key.pk).update(uid=uid)
        record(Kind.ACCOUNT_CONFIRMED, connection=connection, key=key, actor=by)
        services.drop_open_tests(connection)
        return services.queue_at_once(connection, key, by, ConnectionTest.Reason.USER)


def judged(connection: Connection, key: Credential, report: KeyReport, *, uid: str) -> KeyReport:
    """What the test of a new key comes to for this connection; `uid` is the account it found."""
    if not report.works:
        return report
    return _enough_for_strategies(connection, _of_the_same_account(connection, key, report, uid))


def take_over(connection: Connection, key: Credential, now: datetime) -> None:
    """The new key has passed: it comes into use, and the old one is kept for a while. Within the
    transaction that writes its test, which holds the connection's lock."""
    _destroy(connection, connection.credentials.replaced(), "replaced again")
    _keep(connection, now)
    Credential.objects.filter(pk=key.pk).update(state=State.ACTIVE, uid="")
    record(Kind.KEY_SWITCHED, connection=connection, key=key)
    if key.uid and key.uid != connection.uid:
        record(Kind.CONNECTION_MOVED, connection=connection, key=key)
        connection.uid = key.uid
    key.state, key.uid = State.ACTIVE, ""


def _of_the_same_account(
    connection: Connection, key: Credential, report: KeyReport, uid: str
) -> KeyReport:
    """A new key must be of the connection's account, or of the one that its owner confirmed;
    where that cannot be told, it is said. Silence does not take back what a test told before."""
    expected = key.uid or connection.uid
    if not expected or uid == expected:
        return report
    if uid or (not key.uid and _other_account(key)):
        return KeyReport("failed", report.steps, problem="different_account", facts=report.facts)
    warnings = (*report.warnings, "account_unknown")
    return replace(report, outcome="warnings", warnings=warnings)


def _other_account(key: Credential) -> str:
    """The account that the last telling test of a new key found, where it is another one."""
    told = key.tests.exclude(uid="").order_by("-queued_at").first()
    return told.uid if told and told.problem == "different_account" else ""


def _enough_for_strategies(connection: Connection, report: KeyReport) -> KeyReport:
    """Strategies go on with the new key, so it must be ready for all that are switched on."""
    enabled = connection.strategies.filter(enabled=True)
    markets = set(enabled.values_list("market", flat=True)) if report.works else set()
    if not markets <= set(report.facts.permissions.ready_for):
        return replace(report, outcome="failed", problem="strategies_need_more")
    safe = report.facts.ip_restricted or not Thresholds.current().require_ip_restriction
    if markets and not safe:
        return replace(report, outcome="failed", problem="strategies_need_ips")
    return report


def _keep_tries_few(connection: Connection) -> None:
    """What was asked in the future was asked by a clock that was wrong."""
    now = timezone.now()
    last_minute = connection.tests.filter(queued_at__range=(now - timedelta(minutes=1), now))
    if last_minute.count() >= TRIES_PER_MINUTE:
        raise TooSoon(60)


# --- the old key -------------------------------------------------------------------------------


def kept_key(connection: Connection, *, now: datetime) -> Kept | None:
    """The key that its owner can still go back to."""
    kept = _kept_for()
    key = connection.credentials.replaced().exclude(_is_over(now, kept)).defer("sealed").first()
    if key is None or key.replaced_at is None or key.destroy_at is None:
        return None
    return Kept(key, min(key.destroy_at, min(key.replaced_at, now) + kept))


def _keep(connection: Connection, now: datetime) -> None:
    old = connection.credentials.active()
    kept = _kept_for()
    if not kept:
        _destroy(connection, old, "not kept")
    elif not _is_worth_keeping(connection):
        _destroy(connection, old, "of no use")
    else:
        end = now + kept
        old.update(state=State.REPLACED, replaced_at=now, destroy_at=end, uid=connection.uid)


def _is_worth_keeping(connection: Connection) -> bool:
    """Nobody goes back to a key that never worked, such as one whose secret is corrected, and
    nobody should to one that may withdraw."""
    good = connection.tests.filter(credential__state=State.ACTIVE, outcome__in=Connection.WORKING)
    return connection.status != Connection.Status.REFUSED and good.exists()


def go_back(connection: Connection, *, by: Any, now: datetime) -> ConnectionTest | None:
    """The replaced key comes into use again and is tested; until it has passed, nothing is
    believed of it. Newer keys are destroyed. Raises NotThere when its time is up, SameKey when its
    owner uses it in another connection by now, and Stopped."""
    with transaction.atomic():
        services.lock_owner(connection.owner)
        services.lock_accounts(connection)
        kept = kept_key(connection, now=now)
        if kept is None:
            raise NotThere
        used = services.with_fingerprint(connection.owner, kept.key.fingerprint)
        if elsewhere := used.exclude(pk=connection.pk).first():
            raise SameKey(elsewhere)
        services.drop_open_tests(connection)
        _discard(connection.credentials.in_use(), connection, by)
        moved = _restore(connection, kept.key)
        for kind in (Kind.KEY_RESTORED, *([Kind.CONNECTION_MOVED] if moved else [])):
            record(kind, connection=connection, key=kept.key, actor=by)
        if moved:
            hooks.tested(connection, now, True)
        return services.queue_at_once(connection, kept.key, by, ConnectionTest.Reason.USER)


def destroy_old_key(connection: Connection, *, by: Any) -> bool:
    """At once, whatever time is left: its owner fears that it leaked."""
    with transaction.atomic():
        services.lock_owner(connection.owner)
        services.lock(connection)
        return _destroy(connection, connection.credentials.replaced(), "asked", by=by)


def destroy_due(*, now: datetime) -> int:
    """Destroys the replaced keys whose time is up; how many. Safe on several workers: a connection
    that somebody else has in hand is left to the next run."""
    kept = _kept_for()
    # By a clock that was ahead: from now on it is kept as long as any.
    ahead = Credential.objects.replaced().filter(replaced_at__gt=now)
    ahead.update(replaced_at=now, destroy_at=now + kept)
    total = 0
    while destroyed := _destroy_batch(now, kept):
        total += destroyed
    return total


def _destroy_batch(now: datetime, kept: timedelta) -> int:
    due = Credential.objects.replaced().filter(_is_over(now, kept))
    with transaction.atomic():
        held = _free(list(due.values_list("connection_id", flat=True)[:BATCH]))
        # Looked at again under the locks: somebody may have gone back to one.
        keys = list(due.filter(connection__in=list(held)).defer("sealed"))
        AccessEvent.objects.bulk_create(
            event(Kind.KEY_DESTROYED, connection=held[key.connection_id], key=key, why="in time")
            for key in keys
        )
        return services.retire(Credential.objects.filter(pk__in=[key.pk for key in keys]))


def _free(ids: list[UUID]) -> dict[UUID, Connection]:
    """Locks the connections that nobody else holds, and their owners, whom the events name."""
    rows = Connection.objects.filter(pk__in=ids).select_related("owner")
    rows = rows.select_for_update(of=("self", "owner"), no_key=True, skip_locked=True)
    return {row.pk: row for row in rows}


def _is_over(now: datetime, kept: timedelta) -> Q:
    """The time of a replaced key, by what it was promised and by what staff have set since."""
    return Q(destroy_at__lte=now) | Q(replaced_at__lte=now - kept)


def _kept_for() -> timedelta:
    return timedelta(hours=Thresholds.current().replaced_kept_hours)


def _restore(connection: Connection, key: Credential) -> bool:
    """What was known of the connection was read from another key. Whether that was of another
    account."""
    Credential.objects.filter(pk=key.pk).update(
        state=State.ACTIVE, replaced_at=None, destroy_at=None, uid=""
    )
    mine = Connection.objects.filter(pk=connection.pk)
    moved = mine.exclude(uid=key.uid).update(uid=key.uid, site=_site_of(key))
    mine.update(
        status=Connection.Status.NEW,
        problem="",
        suspicion="",
        permissions={},
        ip_restricted=None,
        key_expires_at=None,
        key_created_at=None,
        failing_since=None,
        retries=0,
    )
    return bool(moved and key.uid)


def _site_of(key: Credential) -> str:
    """Where its last good test found its account."""
    good = key.tests.filter(outcome__in=Connection.WORKING).order_by("-finished_at")
    return good.values_list("site", flat=True).first() or ""


def _discard(keys: CredentialQuerySet, connection: Connection, by: Any) -> bool:
    for key in keys.defer("sealed"):
        record(Kind.KEY_DISCARDED, connection=connection, key=key, actor=by)
    return bool(services.retire(keys))


def _destroy(connection: Connection, keys: CredentialQuerySet, why: str, *, by: Any = None) -> bool:
    for key in keys.defer("sealed"):
        record(Kind.KEY_DESTROYED, connection=connection, key=key, actor=by, why=why)
    return bool(services.retire(keys))
