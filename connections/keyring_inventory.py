"""Which keys seal how many rows. Nothing is opened here: the outer lock alone tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from . import vault
from .models import Credential, CredentialQuerySet

MOST_NAMED = 1000  # rows; all of them are counted
CHUNK = 500


class Problem(NamedTuple):
    connection: UUID
    credential: UUID
    reason: str


@dataclass
class Problems:
    """Rows that cannot be opened."""

    count: int = 0
    named: list[Problem] = field(default_factory=list)

    def add(self, key: Credential, reason: str) -> None:
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(Problem(key.connection_id, key.pk, reason))


@dataclass
class Inventory:
    """Rows by the id of the key they are under. `recovery` counts rows without one as ""; in
    `others`, by the name of the texts, "" counts those that no key opens."""

    newest: vault.Locks
    rows: int = 0
    stale: int = 0
    outer: Counter[str] = field(default_factory=Counter)
    inner: Counter[str] = field(default_factory=Counter)
    recovery: Counter[str] = field(default_factory=Counter)
    others: dict[str, Counter[str]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def add(self, key: Credential) -> None:
        self.rows += 1
        try:
            found = vault.locks(sealed_of(key))
        except vault.SealedError as error:
            self.stale += 1
            self.problems.add(key, str(error))
            return
        self.stale += _differ(found, self.newest)
        self.outer[found.outer] += 1
        self.inner[found.inner] += 1
        self.recovery[found.recovery] += 1

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
    for rows in chunks(CHUNK):
        for key in rows:
            found.add(key)
    return found


def is_stale(newest: vault.Locks, key: Credential) -> bool:
    """Whether the row is to be sealed anew; also where that cannot be told."""
    try:
        return _differ(vault.locks(sealed_of(key)), newest)
    except vault.SealedError:
        return True


def chunks(size: int) -> Iterator[list[Credential]]:
    """All rows with a sealed value in the order of their ids, so many in memory at once."""
    rows = sealed().order_by("pk")
    while found := list(rows[:size]):
        yield found
        rows = sealed().order_by("pk").filter(pk__gt=found[-1].pk)


def sealed() -> CredentialQuerySet:
    return Credential.objects.filter(sealed__isnull=False)


def sealed_of(key: Credential) -> vault.Sealed:
    if key.sealed is None:
        raise vault.SealedError("The key was destroyed.")
    return key.sealed


def _differ(found: vault.Locks, newest: vault.Locks) -> bool:
    # Without a recovery key in the settings an older box for one is left alone.
    return found != newest._replace(recovery=newest.recovery or found.recovery)


def _outer_ids() -> list[str]:
    return [vault.outer_id(key) for key in vault.fernet_keys()]
