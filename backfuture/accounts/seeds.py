"""Seeds of one-time codes and recovery codes under the outer lock: counted and re-locked by the
`keys` command (connections/keyring.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction

from connections import vault

from . import locking
from .adapters import SEED

LOCKED = ("secret", "seed", "migrated_codes")  # what django-allauth locks, each a text or a list
BATCH = 200


class Seeds:
    """Texts under the outer lock alone, as `keyring.register` takes them."""

    name = "second factors"

    def inventory(self) -> Counter[str]:
        """How many texts each of FERNET_KEYS opens, by the key itself; "" for none of them."""
        return Counter(
            locking.key_of(token, SEED) or ""
            for row in _rows().iterator()
            for token in _tokens(row.data)
        )

    def rotate(self) -> Iterator[int]:
        """Puts every text under the newest key, in small locked batches; yields rows changed.
        Safe to kill and to run twice at once. What cannot be opened is left as it is."""
        newest = vault.fernet_keys()[0]
        last = 0
        while ids := list(_rows().filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
            last = ids[-1]
            with transaction.atomic():
                rows = _rows().filter(pk__in=ids).select_for_update(skip_locked=True)
                changed = sum(_lock_again(row, newest) for row in rows)
            yield changed


def _rows() -> Any:
    return Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).order_by("pk")


def _tokens(data: dict[str, Any]) -> Iterator[str]:
    for name in LOCKED:
        value = data.get(name)
        if value:
            yield from [value] if isinstance(value, str) else value


def _lock_again(row: Authenticator, newest: str) -> bool:
    tokens = list(_tokens(row.data))
    if all(locking.key_of(token, SEED) == newest for token in tokens):
        return False
    try:
        for name in LOCKED:
            value = row.data.get(name)
            if isinstance(value, str):
                row.data[name] = locking.lock_again(value, SEED)
            elif value:
                row.data[name] = [locking.lock_again(token, SEED) for token in value]
    except locking.Locked:
        return False
    row.save(update_fields=["data"])
    return True
