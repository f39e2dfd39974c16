"""The two sorts of rows that hold a sealed value, exchange keys and addresses of chat services: how
each is found, locked, opened and sealed anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.db import connection as database
from django.db import transaction
from django.db.models import Model, QuerySet

from . import vault
from .events import AccessEvent, event
from .exchanges.base import Credentials
from .models import Connection, Credential, NoticeChannel

Sort = type[Credential] | type[NoticeChannel]
Row = Credential | NoticeChannel
Secret = Credentials | str
Some = TypeVar("Some", bound=Model)
SORTS: tuple[Sort, ...] = (Credential, NoticeChannel)


class Written:
    """An event that is in the log already: a batch's events are written at once."""

    def __init__(self, event: AccessEvent) -> None:
        if event._state.adding:
            raise ValueError("the event is not saved")

    def save(self, *, force_insert: bool = False) -> None:
        pass


def sealed(sort: Sort) -> QuerySet[Any]:
    return sort._default_manager.filter(sealed__isnull=False)


def sealed_of(row: Row) -> vault.Sealed:
    if row.sealed is None:
        raise vault.SealedError("The key was destroyed.")
    return row.sealed


def opened(
    row: Row, *, event: Written, value: vault.Sealed | None = None
) -> AbstractContextManager[Secret]:
    """What the row holds, or `value`, which is to be stored in it."""
    value = value or sealed_of(row)
    if isinstance(row, NoticeChannel):
        return vault.opened_text(value, row, event=event)
    return vault.opened(value, row, event=event)


def opened_for_recovery(
    row: Row, keys: Mapping[str, X25519PrivateKey], *, event: Written
) -> AbstractContextManager[Secret]:
    if isinstance(row, NoticeChannel):
        return vault.opened_text_for_recovery(sealed_of(row), row, keys, event=event)
    return vault.opened_for_recovery(sealed_of(row), row, keys, event=event)


def sealed_anew(secret: Secret, row: Row) -> vault.Sealed:
    """In the very bytes that are to be stored."""
    if isinstance(secret, Credentials):
        return vault.as_stored(vault.seal(secret, row))
    return vault.as_stored(vault.seal_text(secret, row))


def write(row: Row, fresh: vault.Sealed, read: int) -> bool:
    """Only where the row is as it was read, at revision `read`. A channel has none: its address
    never changes, and its row is locked."""
    if isinstance(row, NoticeChannel):
        return bool(sealed(NoticeChannel).filter(pk=row.pk).update(sealed=fresh))
    unchanged = sealed(Credential).filter(pk=row.pk, revision=read)
    unchanged = unchanged.exclude(state=Credential.State.RETIRED)
    return bool(unchanged.update(sealed=fresh, revision=row.revision))


def locked(sort: Sort, ids: Collection[UUID]) -> QuerySet[Any]:
    rows = sealed(sort).filter(pk__in=list(ids))
    return free(rows.select_related("connection") if sort is Credential else rows)


def announced(ids: Collection[UUID], why: str) -> dict[UUID, Written]:
    """Writes the event of every opening to come, but for keys that somebody else holds now, or
    whose connection or owner somebody holds."""
    with transaction.atomic(durable=True):
        mine = free(_connections(ids), "self", "owner")
        found = {row.pk: row for row in mine}
        keys = sealed(Credential).filter(pk__in=ids, connection__in=list(found)).defer("sealed")
        events = AccessEvent.objects.bulk_create(
            event(AccessEvent.Kind.OPENED, connection=found[key.connection_id], key=key, why=why)
            for key in free(keys)
        )
    return {each.credential_id: Written(each) for each in events if each.credential_id}


def announced_channels(ids: Collection[UUID], why: str) -> dict[UUID, Written]:
    """As `announced`, for chat services."""
    with transaction.atomic(durable=True):
        rows = sealed(NoticeChannel).filter(pk__in=ids).select_related("owner").defer("sealed")
        channels = list(free(rows, "self", "owner"))
        events = AccessEvent.objects.bulk_create(
            event(AccessEvent.Kind.CHANNEL_OPENED, owner_id=channel.owner_id, why=why)
            for channel in channels
        )
    return {channel.pk: Written(each) for channel, each in zip(channels, events, strict=True)}


def _connections(ids: Collection[UUID]) -> QuerySet[Connection]:
    keys = Credential.objects.filter(pk__in=ids)
    rows = Connection.objects.filter(pk__in=keys.values("connection"))
    return rows.select_related("owner")


def free(rows: QuerySet[Some], *which: str) -> QuerySet[Some]:
    """Locks the rows that nobody else holds. Events that name a row may still be written."""
    can_skip = database.features.has_select_for_update_skip_locked
    return rows.select_for_update(of=which or ("self",), no_key=True, skip_locked=can_skip)
