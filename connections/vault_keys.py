"""The vault's keys: where they come from, and what can be wrong with them (checks.py asks too)."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from fernet_fields import hkdf


class SealedError(Exception):
    """A sealed value cannot be opened. The message names the fault and never the value."""


# --- the outer lock ------------------------------------------------------------------------


def fernet_keys() -> list[str]:
    """FERNET_KEYS as a list, newest first. Raises SealedError when there is none."""
    keys = settings.FERNET_KEYS
    if not isinstance(keys, (list, tuple)) or not keys:
        raise SealedError("FERNET_KEYS must be a list of at least one key.")
    return list(keys)


def outer_id(key: str) -> str:
    """Names one of FERNET_KEYS without showing it."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def outer_lock() -> MultiFernet:
    """Locks with the newest of FERNET_KEYS, opens with each of them."""
    return _lock_of(tuple(fernet_keys()))


def outer_locks() -> dict[str, Fernet]:
    """Each of FERNET_KEYS alone, by its id, newest first."""
    return _locks_of(tuple(fernet_keys()))


@lru_cache(maxsize=4)
def _lock_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet(list(_locks_of(keys).values()))


@lru_cache(maxsize=4)
def _locks_of(keys: tuple[str, ...]) -> dict[str, Fernet]:
    return {outer_id(key): Fernet(hkdf.derive_fernet_key(key)) for key in keys}


# --- the inner lock ------------------------------------------------------------------------


def public_keys() -> dict[str, X25519PublicKey]:
    """VAULT_PUBLIC_KEYS by id; the first one seals. Raises SealedError, naming the entry."""
    keys = dict(_public(entry, "VAULT_PUBLIC_KEYS") for entry in settings.VAULT_PUBLIC_KEYS)
    if not keys:
        raise SealedError("VAULT_PUBLIC_KEYS names no key.")
    return keys


def recovery_key() -> tuple[str, X25519PublicKey] | None:
    """VAULT_RECOVERY_KEY as (id, key), or None when it is not set. Raises SealedError."""
    if not settings.VAULT_RECOVERY_KEY:
        return None
    key_id, key = _public(settings.VAULT_RECOVERY_KEY, "VAULT_RECOVERY_KEY")
    if key_id != _inner_id(key.public_bytes_raw()):
        # A private half pasted by mistake looks the same, and nobody would notice until the
        # day it is needed.
        raise SealedError(f"VAULT_RECOVERY_KEY: {key_id[:16]!r} is not the id of this public key.")
    return key_id, key


@lru_cache(maxsize=4)
def private_keys(file: str) -> dict[str, X25519PrivateKey]:
    """The worker's keys by id, from a JSON file {id: base64}. Raises SealedError."""
    if not file:
        raise SealedError("VAULT_PRIVATE_KEYS_FILE is not set for this process.")
    try:
        found = entries(Path(file).read_bytes())
    except OSError:
        raise SealedError("The file of private keys cannot be read.") from None
    return {key_id: _private(text) for key_id, text in found.items()}


def entries(content: bytes) -> dict[str, str]:
    """What a file of private keys holds: keys as base64 by id. Raises SealedError."""
    try:
        found: dict[str, str] = json.loads(content)
        for text in found.values():
            _private(text)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise SealedError("The file of private keys is not in the expected form.") from None
    return found


def fits(private: dict[str, X25519PrivateKey]) -> bool:
    """Whether what is sealed now can be opened with `private`. Raises SealedError."""
    key_id, public = next(iter(public_keys().items()))
    mine = private.get(key_id)
    return mine is not None and mine.public_key().public_bytes_raw() == public.public_bytes_raw()


def new_key_pair() -> tuple[str, str, str]:
    """A fresh (id, public key, private key), keys as base64 of 32 bytes."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return (
        _inner_id(public),
        base64.urlsafe_b64encode(public).decode(),
        base64.urlsafe_b64encode(private.private_bytes_raw()).decode(),
    )


def unbase64(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)


def _private(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(unbase64(text))


def _public(entry: str, setting: str) -> tuple[str, X25519PublicKey]:
    key_id, _, text = entry.partition(":")
    try:
        if not key_id or "." in key_id:  # a dot ends an id in the sealed value
            raise ValueError("not an id")
        return key_id, X25519PublicKey.from_public_bytes(unbase64(text))
    except ValueError:
        raise SealedError(f"{setting}: the key {key_id[:16]!r} is not usable.") from None


def _inner_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:8]
