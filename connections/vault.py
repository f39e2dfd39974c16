"""The web can lock, only the worker can open.

A stored value is a Fernet token (django-fernet-fields-v2, FERNET_KEYS) around an HPKE box
(X25519, HKDF-SHA256, AES-256-GCM) whose info string binds it to its owner, row and revision.
Whoever holds the public key can make a box; only a process that can read
VAULT_PRIVATE_KEYS_FILE can open one, here and nowhere else. Where VAULT_RECOVERY_KEY is set, a
second box for it stands beside the first; its private half is kept offline (`keys recover`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from django.conf import settings
from django.core.exceptions import FieldError
from django.utils.encoding import force_bytes
from fernet_fields import EncryptedTextField

from .exchanges.base import Credentials
from .vault_keys import SealedError as SealedError
from .vault_keys import fernet_keys as fernet_keys
from .vault_keys import fits as fits
from .vault_keys import new_key_pair as new_key_pair
from .vault_keys import outer_id as outer_id
from .vault_keys import outer_lock, outer_locks, recovery_key, unbase64
from .vault_keys import private_keys as private_keys
from .vault_keys import public_keys as public_keys

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
VERSION = "v1"
# What a box is for. Each purpose is part of the box, so that none passes as the other.
WORKER, RECOVERY = "exchange-credential", "exchange-credential-recovery"


class Binding(Protocol):
    """What ties a sealed value to its row: whatever changes here makes the value unreadable."""

    @property
    def binding(self) -> str: ...


class SavedBeforeOpening(Protocol):
    """The access event: who opens what, why. It is in the database before anything opens."""

    def save(self, *, force_insert: bool = False) -> None: ...


class Locks(NamedTuple):
    """The ids of the keys a value is sealed with; `recovery` is "" where it has no such box."""

    outer: str
    inner: str
    recovery: str


class Envelope(NamedTuple):
    """A sealed value without its outer lock: whom each box is for, and the boxes, unopened."""

    inner: str
    box: str
    recovery: str = ""
    recovery_box: str = ""


class Sealed:
    """An unopened value: it never shows, compares, copies or pickles what is inside."""

    __slots__ = ("_box", "_fernet", "_token")

    def __init__(
        self,
        *,
        box: str = "",
        token: bytes = b"",
        fernet: Fernet | MultiFernet | None = None,
    ) -> None:
        self._box, self._token, self._fernet = box, token, fernet

    def token(self, fernet: Fernet | MultiFernet) -> bytes:
        """The bytes to store. A value that was read is written back as it was, unopened."""
        return self._token or fernet.encrypt(force_bytes(self._box))

    def _envelope(self) -> Envelope:
        return _read(self._box or self._unwrap())

    def _locks(self) -> Locks:
        for outer, lock in outer_locks().items():
            try:
                text = lock.decrypt(self._token).decode()
            except (InvalidToken, ValueError, TypeError):
                continue
            envelope = _read(text)
            return Locks(outer, envelope.inner, envelope.recovery)
        raise _no_outer_key()

    def _unwrap(self) -> str:
        try:
            return self._fernet.decrypt(self._token).decode()  # type: ignore[union-attr]
        except (InvalidToken, ValueError, TypeError):
            raise _no_outer_key() from None

    def __repr__(self) -> str:
        return "[sealed]"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealed value cannot be pickled")

    def __copy__(self) -> Sealed:
        return self

    def __deepcopy__(self, memo: object) -> Sealed:
        return self


class SealedTextField(EncryptedTextField):  # type: ignore[misc]
    """django-fernet-fields-v2's text field, write-only by construction: reading gives a
    `Sealed`, and only a `Sealed` can be stored."""

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: object = None) -> Sealed | None: ...
        def __set__(self, instance: object, value: Sealed | None) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        return name, path, args, kwargs

    @property
    def keys(self) -> list[str]:
        """Never falls back to SECRET_KEY, as the package would."""
        return fernet_keys()

    @property
    def fernet(self) -> MultiFernet:
        return outer_lock()

    def to_python(self, value: Any) -> Sealed | None:
        if value is None or isinstance(value, Sealed):
            return value
        raise FieldError("Only a sealed value can be stored in this field.")

    get_prep_value = to_python

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if hasattr(value, "as_sql"):
            raise FieldError("A sealed field takes no expressions and no bulk_update().")
        sealed = self.to_python(value)
        return None if sealed is None else connection.Database.Binary(sealed.token(self.fernet))

    def from_db_value(self, value: Any, *_: Any) -> Sealed | None:
        # Opening is left to `opened`: one damaged row must not break a list of others.
        return None if value is None else Sealed(token=bytes(value), fernet=self.fernet)

    def value_to_string(self, obj: Any) -> str:
        return "[sealed]"


def seal(credentials: Credentials, row: Binding) -> Sealed:
    """Locks `credentials` to `row`. Needs public keys alone; nobody in this process can undo it."""
    key_id, public = next(iter(public_keys().items()))
    plain = _bytes_of(credentials)
    parts = [VERSION, key_id, _boxed(plain, public, _info(row, WORKER))]
    if recovery := recovery_key():
        parts += [recovery[0], _boxed(plain, recovery[1], _info(row, RECOVERY))]
    return Sealed(box=".".join(parts))


def as_stored(sealed: Sealed) -> Sealed:
    """A fresh value in the very bytes that will be stored: opening it proves both locks."""
    return Sealed(token=sealed.token(outer_lock()), fernet=outer_lock())


@contextmanager
def opened(sealed: Sealed, row: Binding, *, event: SavedBeforeOpening) -> Iterator[Credentials]:
    """The key in the clear, for as long as the block lasts. Raises SealedError.

    `event` is saved first, so that no opening goes unrecorded, not even a failed one.
    """
    refuse_the_web()
    event.save(force_insert=True)
    keys = private_keys(settings.VAULT_PRIVATE_KEYS_FILE)
    envelope = sealed._envelope()
    if envelope.inner not in keys:
        key_id = envelope.inner[:16]
        raise SealedError(f"The private key {key_id!r} is not in the worker's key file.")
    yield _unboxed(envelope.box, keys[envelope.inner], _info(row, WORKER))


@contextmanager
def opened_for_recovery(
    sealed: Sealed,
    row: Binding,
    keys: Mapping[str, X25519PrivateKey],
    *,
    event: SavedBeforeOpening,
) -> Iterator[Credentials]:
    """As `opened`, by the box that was made for the recovery key. Raises SealedError."""
    refuse_the_web()
    event.save(force_insert=True)
    envelope = sealed._envelope()
    if not envelope.recovery:
        raise SealedError("The sealed value has no box for a recovery key.")
    if envelope.recovery not in keys:
        raise SealedError(f"It was sealed for another recovery key, {envelope.recovery[:16]!r}.")
    yield _unboxed(envelope.recovery_box, keys[envelope.recovery], _info(row, RECOVERY))


def refuse_the_web() -> None:
    if settings.ROLE == "web":
        raise SealedError("The web process must not open sealed values.")


def locks(sealed: Sealed) -> Locks:
    """Which keys `sealed` is under, without opening it. Raises SealedError."""
    return sealed._locks()


def newest() -> Locks:
    """The keys that `seal` uses now. Raises SealedError."""
    recovery = recovery_key()
    return Locks(
        next(iter(outer_locks())), next(iter(public_keys())), recovery[0] if recovery else ""
    )


def same(one: Credentials, other: Credentials) -> bool:
    """In a time that does not depend on where they differ."""
    return hmac.compare_digest(_bytes_of(one), _bytes_of(other))


def fingerprint(exchange: str, api_key: str) -> str:
    """Finds the same key twice without keeping it: HMAC-SHA256 under its own pepper, hex."""
    message = f"{exchange}\0{api_key}".encode()
    return hmac.new(settings.FINGERPRINT_PEPPER.encode(), message, hashlib.sha256).hexdigest()


def _bytes_of(credentials: Credentials) -> bytes:
    names = ("api_key", "secret", "passphrase")
    return json.dumps({name: getattr(credentials, name) for name in names}).encode()


def _boxed(plain: bytes, key: X25519PublicKey, info: bytes) -> str:
    return base64.urlsafe_b64encode(SUITE.encrypt(plain, key, info=info)).decode()


def _unboxed(box: str, key: X25519PrivateKey, info: bytes) -> Credentials:
    try:
        plain = SUITE.decrypt(unbase64(box), key, info=info)
        return Credentials(**_three_texts(json.loads(plain)))
    except (InvalidTag, ValueError, RecursionError):
        raise SealedError("The sealed value was altered or belongs to another row.") from None


def _three_texts(values: Any) -> dict[str, str]:
    """Raises ValueError for anything but what `seal` puts in: a box can be made by whoever has
    the public key."""
    names = {"api_key", "secret", "passphrase"}
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError("not a key")
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("not a key")
    return values


def _info(row: Binding, purpose: str) -> bytes:
    return f"{VERSION}|{purpose}|{row.binding}".encode()


def _read(text: str) -> Envelope:
    version, *parts = text.split(".")
    if len(parts) not in (2, 4):  # without and with a box for the recovery key
        raise SealedError("The sealed value is not in a known form.")
    if version != VERSION:
        raise SealedError("The sealed value has an unknown version.")
    return Envelope(*parts)


def _no_outer_key() -> SealedError:
    return SealedError("No key in FERNET_KEYS opens this value, or it was altered.")
