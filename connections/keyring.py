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
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.db import connection as database
from django.db import transaction

from . import keyring_inventory, keyring_rows, vault
from .keyring_inventory import Inventory, Problems, chunks, is_stale
from .keyring_rows import SORTS, Row, Secret, Sort, Written, announced, announced_channels, sealed
from .models import Credential

BATCH = 200
ROUNDS = 6  # tries of a row that somebody else holds: after 3 s it is given up
PAUSE = 0.11  # seconds


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


Treatment = Callable[[Row, Written], Outcome]  # raises SealedError


class Run:
    """Goes over the rows. Iterate to work: it yields how many are done, after every batch. Safe to
    kill at any point and to run twice at once."""

    def __init__(
        self,
        treat: Treatment,
        *,
        why: str,
        batch: int,
        wanted: Callable[[Row], bool] = lambda row: True,
    ) -> None:
        vault.refuse_the_web()
        self.treat, self.why, self.batch, self.wanted = treat, why, batch, wanted
        self.outcomes: Counter[tuple[Sort, Outcome]] = Counter()
        self.problems = Problems()

    @property
    def kept(self) -> int:
        return sum(self.outcomes[sort, Outcome.KEPT] for sort in SORTS)

    @property
    def anew(self) -> int:
        return sum(self.outcomes[sort, Outcome.ANEW] for sort in SORTS)

    @property
    def done(self) -> int:
        return self.kept + self.anew

    def __iter__(self) -> Iterator[int]:
        for sort in SORTS:
            yield from self._over(sort)

    def _over(self, sort: Sort) -> Iterator[int]:
        busy: list[UUID] = []
        for rows in chunks(self.batch, sort):
            if ids := [row.pk for row in rows if self.wanted(row)]:
                busy += self._treat_batch(sort, ids)
                yield self.done
        for patience in range(ROUNDS - 1):
            again, busy = busy, []
            time.sleep(PAUSE * 2**patience if again else 0)
            for ids in self._parts(again):
                busy += self._treat_batch(sort, ids)
                yield self.done
        for ids in self._parts(busy):
            for row in sealed(sort).filter(pk__in=ids).defer("sealed"):
                self.problems.add(row, "Somebody else was changing it each time. Try again.")

    def _parts(self, ids: list[UUID]) -> Iterator[list[UUID]]:
        return (ids[start : start + self.batch] for start in range(0, len(ids), self.batch))

    def _treat_batch(self, sort: Sort, ids: Collection[UUID]) -> list[UUID]:
        """Returns those that somebody else held or changed meanwhile."""
        announce = announced if sort is Credential else announced_channels
        events = announce(ids, self.why)
        with transaction.atomic(durable=True):
            rows = keyring_rows.locked(sort, events)
            settled = {row.pk for row in rows if self._settle(sort, row, events[row.pk])}
        if not database.features.has_select_for_update:
            # SQLite has one writer at a time, and those who wait look again every 0.1 s.
            time.sleep(PAUSE)
        left = sealed(sort).filter(pk__in=ids).values_list("pk", flat=True)
        return [pk for pk in left if pk not in settled]

    def _settle(self, sort: Sort, row: Row, written: Written) -> bool:
        try:
            outcome = self.treat(row, written)
        except vault.SealedError as error:
            self.problems.add(row, str(error))
            return True
        self.outcomes[sort, outcome] += 1
        return outcome is not Outcome.MISSED


def rotation(batch: int = BATCH) -> Run:
    """Seals anew what is not under the newest keys. Raises SealedError when it cannot begin.

    Also while an incident stops the use of keys: new keys for the vault are what a leak of the old
    ones asks for, nothing opened here goes to an exchange, and each opening is on record. What an
    incident destroys meanwhile stays destroyed (keyring_rows.write)."""
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


def _rotate(newest: vault.Locks, row: Row, written: Written) -> Outcome:
    if not is_stale(newest, row):
        return Outcome.KEPT  # another run was faster
    with keyring_rows.opened(row, event=written) as known:
        return _seal_anew(row, known, written)


def _recover(keys: Mapping[str, X25519PrivateKey], row: Row, written: Written) -> Outcome:
    try:
        return _prove(row, written)
    except vault.SealedError:
        pass
    with keyring_rows.opened_for_recovery(row, keys, event=written) as known:
        return _seal_anew(row, known, written)


def _prove(row: Row, written: Written) -> Outcome:
    with keyring_rows.opened(row, event=written):
        return Outcome.KEPT


def _seal_anew(row: Row, known: Secret, written: Written) -> Outcome:
    """Nothing is written before it has been opened once more, in the bytes to be stored."""
    read = 0
    if isinstance(row, Credential):
        read = row.revision
        row.revision += 1
    fresh = keyring_rows.sealed_anew(known, row)
    with keyring_rows.opened(row, event=written, value=fresh) as again:
        if not vault.same(again, known):
            raise vault.SealedError("Sealed anew, it did not open to the same. It was left.")
    return Outcome.ANEW if keyring_rows.write(row, fresh, read) else Outcome.MISSED
