"""Which keys seal how many rows. Nothing is opened here: the outer lock alone tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from . import vault
from .keyring_rows import SORTS, Row, Sort, sealed, sealed_of
from .models import Credential

MOST_NAMED = 1000  # rows; all of them are counted
CHUNK = 500


class Problem(NamedTuple):
    connection: UUID | None  # of a key
    credential: UUID | None
    channel: UUID | None  # a chat service
    reason: str


@dataclass
class Problems:
    """Rows that cannot be opened."""

    count: int = 0
    named: list[Problem] = field(default_factory=list)

    def add(self, row: Row, reason: str) -> None:
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(_problem(row, reason))


def _problem(row: Row, reason: str) -> Problem:
    if isinstance(row, Credential):
        return Problem(row.connection_id, row.pk, None, reason)
    return Problem(None, None, row.pk, reason)


@dataclass
class Inventory:
    """Rows by the id of the key they are under. `recovery` counts rows without one as ""; in
    `others`, by the name of the texts, "" counts those that no key opens."""

    newest: vault.Locks
    rows: int = 0  # exchange keys
    channels: int = 0  # chat services
    stale: int = 0
    outer: Counter[str] = field(default_factory=Counter)
    inner: Counter[str] = field(default_factory=Counter)
    recovery: Counter[str] = field(default_factory=Counter)
    others: dict[str, Counter[str]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def add(self, row: Row) -> None:
        self.rows += isinstance(row, Credential)
        self.channels += not isinstance(row, Credential)
        try:
            found = vault.locks(sealed_of(row))
        except vault.SealedError as error:
            self.stale += 1
            self.problems.add(row, str(error))
            return
        self.stale += _differ(found, self.newest)
        self.outer[found.outer] += 1
        self.inner[found.inner] += 1
        self.recovery[found.recovery] += 1

    @property
    def total(self) -> int:
        return self.rows + self.channels

    @property
    def lost_others(self) -> int:
        """Other texts that no key opens."""
        return sum(texts[""] for texts in self.others.values())

    @property
    def stale_others(self) -> int:
        """Other texts that a key opens, but not the newest."""
        return sum(
            texts.total() - texts[self.newest.outer] - texts[""] for texts in self.others.values()
        )

    def unused_outer(self) -> list[str]:
        """Older keys in FERNET_KEYS that nothing is under."""
        used = sum(self.others.values(), self.outer.copy())
        return [each for each in _outer_ids() if each != self.newest.outer and not used[each]]

    def unused_inner(self, private: Collection[str]) -> list[str]:
        """Older keys in VAULT_PUBLIC_KEYS, and among those of the private file, that nothing is
        sealed for."""
        known = dict.fromkeys([*vault.public_keys(), *private])
        return [each for each in known if each != self.newest.inner and not self.inner[each]]


def of_rows() -> Inventory:
    """Raises SealedError when the keys themselves are not usable."""
    found = Inventory(vault.newest())
    for sort in SORTS:
        for rows in chunks(CHUNK, sort):
            for row in rows:
                found.add(row)
    return found


def is_stale(newest: vault.Locks, row: Row) -> bool:
    """Whether the row is to be sealed anew; also where that cannot be told."""
    try:
        return _differ(vault.locks(sealed_of(row)), newest)
    except vault.SealedError:
        return True


def chunks(size: int, sort: Sort = Credential) -> Iterator[list[Row]]:
    """All rows with a sealed value in the order of their ids, so many in memory at once."""
    rows = sealed(sort).order_by("pk")
    while found := list(rows[:size]):
        yield found
        rows = sealed(sort).order_by("pk").filter(pk__gt=found[-1].pk)


def _differ(found: vault.Locks, newest: vault.Locks) -> bool:
    # Without a recovery key in the settings an older box for one is left alone.
    return found != newest._replace(recovery=newest.recovery or found.recovery)


def _outer_ids() -> list[str]:
    return [vault.outer_id(key) for key in vault.fernet_keys()]
