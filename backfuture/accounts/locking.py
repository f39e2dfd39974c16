"""Small secrets the web itself must read again: seeds of one-time codes, sessions.

Fernet with keys derived from FERNET_KEYS, one set for each purpose. What a trader's key is sealed
with (connections/vault.py) is a lock of another kind: nothing in the web opens that.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connections import vault


class Locked(Exception):
    """No key in FERNET_KEYS opens this text, or it was altered."""


def lock(text: str, purpose: str) -> str:
    return _all(purpose).encrypt(text.encode()).decode()


def unlock(token: str, purpose: str) -> str:
    """Raises Locked."""
    try:
        return _all(purpose).decrypt(token.encode()).decode()
    except (InvalidToken, ValueError):
        raise Locked("this text cannot be opened with FERNET_KEYS") from None


def lock_again(token: str, purpose: str) -> str:
    """The same text under the newest key. Raises Locked."""
    try:
        return _all(purpose).rotate(token.encode()).decode()
    except (InvalidToken, ValueError):
        raise Locked("this text cannot be opened with FERNET_KEYS") from None


def key_of(token: str, purpose: str) -> str | None:
    """The one of FERNET_KEYS that opens `token`, or None."""
    for key in vault.fernet_keys():
        try:
            derived(key, purpose).decrypt(token.encode())
        except (InvalidToken, ValueError):
            continue
        return key
    return None


def _all(purpose: str) -> MultiFernet:
    return MultiFernet([derived(key, purpose) for key in vault.fernet_keys()])


@lru_cache(maxsize=32)
def derived(key: str, purpose: str) -> Fernet:
    info = f"backfuture|{purpose}".encode()
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(made))
