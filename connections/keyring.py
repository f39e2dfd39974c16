"""Keys of the vault over their life: which is in use where, and how to change them.

A row is treated in two transactions. The first writes the access event: on PostgreSQL that locks
the connection and its owner a little, and whoever changes a key holds both while waiting for the
key's row. So what somebody else holds is passed over and tried again; nothing is waited for. The
second locks the key's row alone, opens it, and writes only what is still as it was read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum, auto
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Model, QuerySet

from . import keyring_inventory, vault
from .events import AccessEvent, event
from .exchanges.base import Credentials
from .keyring_inventory import Inventory, Problems, chunks, is_stale, sealed, sealed_of
from .models import Connection, Credential

BATCH = 200
ROUNDS = 6  # tries of a row that somebody else holds: after 3 s it is given up
PAUSE = 0.11  # seconds
Row = TypeVar("Row", bound=Model)


class LockedTexts(Protocol):
    """Texts under the outer lock alone, kept by another app."""

    name: str

    def inventory(self) -> Counter[str]:
        """How many texts each of FERNET_KEYS opens, by the key itself; "" for none of them."""

    def rotate(self) -> Iterator[int]:
        """Puts every text under the newest key; yields the rows changed, batch by batch."""


others: list[LockedTexts] = []


def register(texts: LockedTexts) -> None:
    others.append(texts)


def survey() -> Inventory:
    """What is under which key now. Raises SealedError when the keys are not usable."""
    vault.refuse_the_web()
    found = keyring_inventory.of_rows()
    found.others = {texts.name: _by_id(texts) for texts in others}
    return found


def _by_id(texts: LockedTexts) -> Counter[str]:
    counted = texts.inventory().items()
    return Counter({vault.outer_id(key) if key else "": count for key, count in counted})


class Outcome(Enum):
    KEPT = auto()  # nothing was to be changed
    ANEW = auto()  # sealed anew, opened once more, written
    MISSED = auto()  # somebody else changed the row meanwhile


class Written:
    """An event that is in the log already: a batch's events are written at once."""

    def __init__(self, event: AccessEvent) -> None:
        if event._state.adding:
            raise ValueError("the event is not saved")

    def save(self, *, force_insert: bool = False) -> None:
        pass


Treatment = Callable[[Credential, Written], Outcome]  # raises SealedError


class Run:
    """Goes over the rows. Iterate to work: it yields how many are done, after every batch. Safe to
    kill at any point and to run twice at once."""

    def __init__(
        self,
        treat: Treatment,
        *,
        why: str,
        batch: int,
        wanted: Callable[[Credential], bool] = lambda key: True,
    ) -> None:
        vault.refuse_the_web()
        self.treat, self.why, self.batch, self.wanted = treat, why, batch, wanted
        self.kept = self.anew = 0
        self.problems = Problems()

    @property
    def done(self) -> int:
        return self.kept + self.anew

    def __iter__(self) -> Iterator[int]:
        busy: list[UUID] = []
        for rows in chunks(self.batch):
            if ids := [key.pk for key in rows if self.wanted(key)]:
                busy += self._treat_batch(ids)
                yield self.done
        for patience in range(ROUNDS - 1):
            again, busy = busy, []
            time.sleep(PAUSE * 2**patience if again else 0)
            for ids in self._parts(again):
                busy += self._treat_batch(ids)
                yield self.done
        for ids in self._parts(busy):
            for key in Credential.objects.filter(pk__in=ids).defer("sealed"):
                self.problems.add(key, "Somebody else was changing it each time. Try again.")

    def _parts(self, ids: list[UUID]) -> Iterator[list[UUID]]:
        return (ids[start : start + self.batch] for start in range(0, len(ids), self.batch))

    def _treat_batch(self, ids: Collection[UUID]) -> list[UUID]:
        """Returns those that somebody else held or changed meanwhile."""
        events = announced(ids, self.why)
        with transaction.atomic(durable=True):
            settled = {key.pk for key in _locked(events) if self._settle(key, events[key.pk])}
        if not database.features.has_select_for_update:
            # SQLite has one writer at a time, and those who wait look again every 0.1 s.
            time.sleep(PAUSE)
        left = sealed().filter(pk__in=ids).values_list("pk", flat=True)
        return [pk for pk in left if pk not in settled]

    def _settle(self, key: Credential, written: Written) -> bool:
        try:
            outcome = self.treat(key, written)
        except vault.SealedError as error:
            self.problems.add(key, str(error))
            return True
        self.kept += outcome is Outcome.KEPT
        self.anew += outcome is Outcome.ANEW
        return outcome is not Outcome.MISSED


def rotation(batch: int = BATCH) -> Run:
    """Seals anew what is not under the newest keys. Raises SealedError when it cannot begin."""
    newest = _ready()
    wanted = partial(is_stale, newest)
    return Run(partial(_rotate, newest), why="keys rotate", batch=batch, wanted=wanted)


def recovery(keys: Mapping[str, X25519PrivateKey], batch: int = BATCH) -> Run:
    """Seals anew, out of its box for the recovery key, what cannot be opened otherwise. Raises
    SealedError when it cannot begin."""
    _ready()
    return Run(partial(_recover, keys), why="keys recover", batch=batch)


def proof(why: str, batch: int = BATCH) -> Run:
    """Opens every row and changes none."""
    return Run(_prove, why=why, batch=batch)


def rotate_others() -> Iterator[int]:
    """Puts the texts of other apps under the newest key; yields the rows changed."""
    newest = vault.newest().outer
    for texts in others:
        for _ in range(ROUNDS):
            yield from texts.rotate()
            if _by_id(texts).keys() <= {newest, ""}:
                break
            time.sleep(PAUSE)


def _ready() -> vault.Locks:
    if not vault.fits(vault.private_keys(settings.VAULT_PRIVATE_KEYS_FILE)):
        raise vault.SealedError(
            "No private key in VAULT_PRIVATE_KEYS_FILE fits the first of VAULT_PUBLIC_KEYS."
        )
    return vault.newest()


def _rotate(newest: vault.Locks, key: Credential, written: Written) -> Outcome:
    if not is_stale(newest, key):
        return Outcome.KEPT  # another run was faster
    with vault.opened(sealed_of(key), key, event=written) as known:
        return _seal_anew(key, known, written)


def _recover(keys: Mapping[str, X25519PrivateKey], key: Credential, written: Written) -> Outcome:
    try:
        return _prove(key, written)
    except vault.SealedError:
        pass
    with vault.opened_for_recovery(sealed_of(key), key, keys, event=written) as known:
        return _seal_anew(key, known, written)


def _prove(key: Credential, written: Written) -> Outcome:
    with vault.opened(sealed_of(key), key, event=written):
        return Outcome.KEPT


def _seal_anew(key: Credential, known: Credentials, written: Written) -> Outcome:
    """Nothing is written before it has been opened once more, in the bytes to be stored."""
    read = key.revision
    key.revision += 1
    fresh = vault.as_stored(vault.seal(known, key))
    with vault.opened(fresh, key, event=written) as again:
        if not vault.same(again, known):
            raise vault.SealedError("Sealed anew, it did not open to the same. It was left.")
    unchanged = sealed().filter(pk=key.pk, revision=read).exclude(state=Credential.State.RETIRED)
    written_now = unchanged.update(sealed=fresh, revision=key.revision)
    return Outcome.ANEW if written_now else Outcome.MISSED


def announced(ids: Collection[UUID], why: str) -> dict[UUID, Written]:
    """Writes the event of every opening to come, but for keys that somebody else holds now, or
    whose connection or owner somebody holds."""
    with transaction.atomic(durable=True):
        free = {row.pk: row for row in _free_connections(ids)}
        keys = _free(sealed().filter(pk__in=ids, connection__in=list(free)).defer("sealed"))
        events = AccessEvent.objects.bulk_create(
            event(AccessEvent.Kind.OPENED, connection=free[key.connection_id], key=key, why=why)
            for key in keys
        )
    return {each.credential_id: Written(each) for each in events if each.credential_id}


def _free_connections(ids: Collection[UUID]) -> QuerySet[Connection]:
    keys = Credential.objects.filter(pk__in=ids)
    rows = Connection.objects.filter(pk__in=keys.values("connection")).select_related("owner")
    return _free(rows, "self", "owner")


def _locked(ids: Collection[UUID]) -> QuerySet[Credential]:
    return _free(sealed().filter(pk__in=list(ids)).select_related("connection"))


def _free(rows: QuerySet[Row], *which: str) -> QuerySet[Row]:
    """Locks the rows that nobody else holds. Events that name a row may still be written."""
    can_skip = database.features.has_select_for_update_skip_locked
    return rows.select_for_update(of=which or ("self",), no_key=True, skip_locked=can_skip)
