"""The web can lock, only the worker can open.

A stored value is a Fernet token (django-fernet-fields-v2, FERNET_KEYS) around an HPKE box
(X25519, HKDF-SHA256, AES-256-GCM) whose info string binds it to its owner, row and revision.
Whoever holds the public key can make a box; only a process that can read
VAULT_PRIVATE_KEYS_FILE can open one, here and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.exceptions import FieldError
from django.utils.encoding import force_bytes
from fernet_fields import EncryptedTextField

from .exchanges.base import Credentials

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
VERSION = "v1"


class SealedError(Exception):
    """A sealed value cannot be opened. The message names the fault and never the value."""


class Binding(Protocol):
    """What ties a sealed value to its row: whatever changes here makes the value unreadable."""

    @property
    def binding(self) -> str: ...


class SavedBeforeOpening(Protocol):
    """The access event: who opens what, why. It is in the database before anything opens."""

    def save(self, *, force_insert: bool = False) -> None: ...


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

    def _open(self, keys: Mapping[str, X25519PrivateKey], info: str) -> dict[str, str]:
        version, key_id, text = _split(self._box or self._unwrap())
        if version != VERSION:
            raise SealedError("The sealed value has an unknown version.")
        if key_id not in keys:
            raise SealedError(f"The private key {key_id[:16]!r} is not in the worker's key file.")
        try:
            plain = SUITE.decrypt(_unbase64(text), keys[key_id], info=info.encode())
            return _three_texts(json.loads(plain))
        except (InvalidTag, ValueError, RecursionError):
            raise SealedError("The sealed value was altered or belongs to another row.") from None

    def _unwrap(self) -> str:
        try:
            return self._fernet.decrypt(self._token).decode()  # type: ignore[union-attr]
        except (InvalidToken, ValueError, TypeError):
            raise SealedError(
                "No key in FERNET_KEYS opens this value, or it was altered."
            ) from None

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
    plain = json.dumps(
        {
            "api_key": credentials.api_key,
            "secret": credentials.secret,
            "passphrase": credentials.passphrase,
        }
    )
    box = SUITE.encrypt(plain.encode(), public, info=_info(row).encode())
    return Sealed(box=f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(box).decode()}")


@contextmanager
def opened(sealed: Sealed, row: Binding, *, event: SavedBeforeOpening) -> Iterator[Credentials]:
    """The key in the clear, for as long as the block lasts. Raises SealedError.

    `event` is saved first, so that no opening goes unrecorded, not even a failed one.
    """
    if settings.ROLE == "web":
        raise SealedError("The web process must not open sealed values.")
    event.save(force_insert=True)
    values = sealed._open(private_keys(settings.VAULT_PRIVATE_KEYS_FILE), _info(row))
    yield Credentials(**values)


def fingerprint(exchange: str, api_key: str) -> str:
    """Finds the same key twice without keeping it: HMAC-SHA256 under its own pepper, hex."""
    message = f"{exchange}\0{api_key}".encode()
    return hmac.new(settings.FINGERPRINT_PEPPER.encode(), message, hashlib.sha256).hexdigest()


def _three_texts(values: Any) -> dict[str, str]:
    """Raises ValueError for anything but what `seal` puts in: a box can be made by whoever has
    the public key."""
    names = {"api_key", "secret", "passphrase"}
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError("not a key")
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("not a key")
    return values


def _info(row: Binding) -> str:
    return f"{VERSION}|exchange-credential|{row.binding}"


def _split(box: str) -> tuple[str, str, str]:
    parts = box.split(".")
    if len(parts) != 3:
        raise SealedError("The sealed value is not in a known form.")
    return parts[0], parts[1], parts[2]


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)


# --- keys: where they come from, and what can be wrong with them (checks.py asks too) --------


def fernet_keys() -> list[str]:
    """FERNET_KEYS as a list, newest first. Raises SealedError when there is none."""
    keys = settings.FERNET_KEYS
    if not isinstance(keys, (list, tuple)) or not keys:
        raise SealedError("FERNET_KEYS must be a list of at least one key.")
    return list(keys)


def public_keys() -> dict[str, X25519PublicKey]:
    """VAULT_PUBLIC_KEYS by id; the first one seals. Raises SealedError, naming the entry."""
    keys = {}
    for entry in settings.VAULT_PUBLIC_KEYS:
        key_id, _, text = entry.partition(":")
        try:
            keys[key_id] = X25519PublicKey.from_public_bytes(_unbase64(text))
        except ValueError:
            text = f"VAULT_PUBLIC_KEYS: the key {key_id[:16]!r} is not usable."
            raise SealedError(text) from None
    if not keys:
        raise SealedError("VAULT_PUBLIC_KEYS names no key.")
    return keys


@lru_cache(maxsize=4)
def private_keys(file: str) -> dict[str, X25519PrivateKey]:
    """The worker's keys by id, from a JSON file {id: base64}. Raises SealedError."""
    if not file:
        raise SealedError("VAULT_PRIVATE_KEYS_FILE is not set for this process.")
    try:
        entries = json.loads(Path(file).read_text())
        return {
            key_id: X25519PrivateKey.from_private_bytes(_unbase64(text))
            for key_id, text in entries.items()
        }
    except OSError:
        raise SealedError("The file of private keys cannot be read.") from None
    except (ValueError, AttributeError, TypeError):
        raise SealedError("The file of private keys is not in the expected form.") from None


def new_key_pair() -> tuple[str, str, str]:
    """A fresh (id, public key, private key), keys as base64 of 32 bytes."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = hashlib.sha256(public).hexdigest()[:8]
    return (
        key_id,
        base64.urlsafe_b64encode(public).decode(),
        base64.urlsafe_b64encode(private.private_bytes_raw()).decode(),
    )
