"""The boxes inside sealed values: what each is for, whom it is for, which row it belongs to."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .exchanges.base import Credentials
from .vault_keys import SealedError, unbase64

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
VERSION = "v1"
# What a box is for. Each purpose is part of the box, so that none passes as another.
WORKER, RECOVERY = "exchange-credential", "exchange-credential-recovery"
CHANNEL, CHANNEL_RECOVERY = "notice-channel", "notice-channel-recovery"


class Binding(Protocol):
    """What ties a sealed value to its row: whatever changes here makes the value unreadable."""

    @property
    def binding(self) -> str: ...


class Envelope(NamedTuple):
    """A sealed value without its outer lock: whom each box is for, and the boxes, unopened."""

    inner: str
    box: str
    recovery: str = ""
    recovery_box: str = ""


def read(text: str) -> Envelope:
    """Raises SealedError."""
    version, *parts = text.split(".")
    if len(parts) not in (2, 4):  # without and with a box for the recovery key
        raise SealedError("The sealed value is not in a known form.")
    if version != VERSION:
        raise SealedError("The sealed value has an unknown version.")
    return Envelope(*parts)


def boxed(plain: bytes, key: X25519PublicKey, info: bytes) -> str:
    return base64.urlsafe_b64encode(SUITE.encrypt(plain, key, info=info)).decode()


def unboxed(box: str, key: X25519PrivateKey, info: bytes) -> bytes:
    """Raises SealedError."""
    try:
        return SUITE.decrypt(unbase64(box), key, info=info)
    except (InvalidTag, ValueError):
        raise altered() from None


def info_of(row: Binding, purpose: str) -> bytes:
    return f"{VERSION}|{purpose}|{row.binding}".encode()


def altered() -> SealedError:
    return SealedError("The sealed value was altered or belongs to another row.")


def credentials_in(plain: bytes) -> Credentials:
    try:
        return Credentials(**_three_texts(json.loads(plain)))
    except (ValueError, RecursionError):
        raise altered() from None


def text_in(plain: bytes) -> str:
    try:
        return plain.decode()
    except ValueError:
        raise altered() from None


def _three_texts(values: Any) -> dict[str, str]:
    """Raises ValueError for anything but what `seal` puts in: a box can be made by whoever has
    the public key."""
    names = {"api_key", "secret", "passphrase"}
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError("not a key")
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("not a key")
    return values
