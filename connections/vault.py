"""The web can lock, only the worker can open.

A stored value is a Fernet token (django-fernet-fields-v2, FERNET_KEYS) around an HPKE box
(X25519, HKDF-SHA256, AES-256-GCM) whose info string binds it to its owner, row and revision.
Whoever holds the public key can make a box; only a process that can read
VAULT_PRIVATE_KEYS_FILE can open one, here and nowhere else. Where VAULT_RECOVERY_KEY is set, a
second box for it stands beside the first; its private half is kept offline (`keys recover`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.core.exceptions import FieldError
from django.utils.encoding import force_bytes
from fernet_fields import EncryptedTextField

from . import vault_boxes
from .exchanges.base import Credentials
from .vault_boxes import CHANNEL, CHANNEL_RECOVERY, VERSION, Binding, Envelope
from .vault_boxes import RECOVERY as RECOVERY
from .vault_boxes import SUITE as SUITE
from .vault_boxes import WORKER as WORKER
from .vault_boxes import info_of as info_of
from .vault_keys import SealedError as SealedError
from .vault_keys import fernet_keys as fernet_keys
from .vault_keys import fits as fits
from .vault_keys import new_key_pair as new_key_pair
from .vault_keys import outer_id as outer_id
from .vault_keys import outer_lock, outer_locks, recovery_key
from .vault_keys import private_keys as private_keys
from .vault_keys import public_keys as public_keys


class SavedBeforeOpening(Protocol):
    """The access event: who opens what, why. It is in the database before anything opens."""

    def save(self, *, force_insert: bool = False) -> None: ...


class Locks(NamedTuple):
    """The ids of the keys a value is sealed with; `recovery` is "" where it has no such box."""

    outer: str
    inner: str
    recovery: str


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
        return vault_boxes.read(self._box or self._unwrap())

    def _locks(self) -> Locks:
        for outer, lock in outer_locks().items():
            try:
                text = lock.decrypt(self._token).decode()
            except (InvalidToken, ValueError, TypeError):
                continue
            envelope = vault_boxes.read(text)
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
    return _sealed(_bytes_of(credentials), row, WORKER, RECOVERY)


def seal_text(text: str, row: Binding) -> Sealed:
    """As `seal`, for the address of a chat service."""
    return _sealed(text.encode(), row, CHANNEL, CHANNEL_RECOVERY)


def _sealed(plain: bytes, row: Binding, purpose: str, for_recovery: str) -> Sealed:
    key_id, public = next(iter(public_keys().items()))
    parts = [VERSION, key_id, vault_boxes.boxed(plain, public, info_of(row, purpose))]
    if recovery := recovery_key():
        key_id, public = recovery
        parts += [key_id, vault_boxes.boxed(plain, public, info_of(row, for_recovery))]
    return Sealed(box=".".join(parts))


def as_stored(sealed: Sealed) -> Sealed:
    """A fresh value in the very bytes that will be stored: opening it proves both locks."""
    return Sealed(token=sealed.token(outer_lock()), fernet=outer_lock())


@contextmanager
def opened(sealed: Sealed, row: Binding, *, event: SavedBeforeOpening) -> Iterator[Credentials]:
    """The key in the clear, for as long as the block lasts. Raises SealedError.

    `event` is saved first, so that no opening goes unrecorded, not even a failed one.
    """
    yield vault_boxes.credentials_in(_plain(sealed, info_of(row, WORKER), event))


@contextmanager
def opened_text(sealed: Sealed, row: Binding, *, event: SavedBeforeOpening) -> Iterator[str]:
    """As `opened`, for what `seal_text` locked."""
    yield vault_boxes.text_in(_plain(sealed, info_of(row, CHANNEL), event))


@contextmanager
def opened_for_recovery(
    sealed: Sealed,
    row: Binding,
    keys: Mapping[str, X25519PrivateKey],
    *,
    event: SavedBeforeOpening,
) -> Iterator[Credentials]:
    """As `opened`, by the box that was made for the recovery key. Raises SealedError."""
    yield vault_boxes.credentials_in(_plain_by(keys, sealed, info_of(row, RECOVERY), event))


@contextmanager
def opened_text_for_recovery(
    sealed: Sealed,
    row: Binding,
    keys: Mapping[str, X25519PrivateKey],
    *,
    event: SavedBeforeOpening,
) -> Iterator[str]:
    yield vault_boxes.text_in(_plain_by(keys, sealed, info_of(row, CHANNEL_RECOVERY), event))


def _plain(sealed: Sealed, info: bytes, event: SavedBeforeOpening) -> bytes:
    refuse_the_web()
    event.save(force_insert=True)
    keys = private_keys(settings.VAULT_PRIVATE_KEYS_FILE)
    envelope = sealed._envelope()
    if envelope.inner not in keys:
        key_id = envelope.inner[:16]
        raise SealedError(f"The private key {key_id!r} is not in the worker's key file.")
    return vault_boxes.unboxed(envelope.box, keys[envelope.inner], info)


def _plain_by(
    keys: Mapping[str, X25519PrivateKey], sealed: Sealed, info: bytes, event: SavedBeforeOpening
) -> bytes:
    refuse_the_web()
    event.save(force_insert=True)
    envelope = sealed._envelope()
    if not envelope.recovery:
        raise SealedError("The sealed value has no box for a recovery key.")
    if envelope.recovery not in keys:
        raise SealedError(f"It was sealed for another recovery key, {envelope.recovery[:16]!r}.")
    return vault_boxes.unboxed(envelope.recovery_box, keys[envelope.recovery], info)


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


def same(one: Credentials | str, other: Credentials | str) -> bool:
    """In a time that does not depend on where they differ."""
    return hmac.compare_digest(_bytes_of(one), _bytes_of(other))


def fingerprint(exchange: str, api_key: str) -> str:
    """Finds the same key twice without keeping it: HMAC-SHA256 under its own pepper, hex."""
    message = f"{exchange}\0{api_key}".encode()
    return hmac.new(settings.FINGERPRINT_PEPPER.encode(), message, hashlib.sha256).hexdigest()


def _bytes_of(secret: Credentials | str) -> bytes:
    if isinstance(secret, str):
        return secret.encode()
    names = ("api_key", "secret", "passphrase")
    return json.dumps({name: getattr(secret, name) for name in names}).encode()


def _no_outer_key() -> SealedError:
    return SealedError("No key in FERNET_KEYS opens this value, or it was altered.")
