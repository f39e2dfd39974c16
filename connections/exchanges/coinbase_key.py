"""What people paste as a Coinbase key, and the one form per kind that is kept of it: an ECDSA key
as SEC1 PEM, an Ed25519 key as base64 of 64 bytes. ccxt signs with both; of other forms it makes
an error or, silently, the signature of a legacy key.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .pasting import fault_of, strip
from .pem import Fault, is_base64_ed25519, looks_like_pem
from .pem import normalise as normalise_pem
from .problems import gettext_noop as _

Kind = Literal["ecdsa", "ed25519"]
# Its last part is a UUID; of any other it must not be a part.
ECDSA_NAME = re.compile(r"organizations/[\w-]+/apiKeys/(?![0-9a-f-]{1,35}$)[\w-]+")
UUID_NAME = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Keys from before 2024-05-31: their own look, and another way of signing.
LEGACY_KEY = re.compile(r"[A-Za-z0-9]{16}|[0-9a-f]{32}")
LEGACY_SECRET = re.compile(r"[A-Za-z0-9]{32}")


def read(name: str, secret: str) -> tuple[str, str]:
    """Key name and private key from what stood in the two fields. What is empty or masked is left
    as it is, for pasting.py to name. Raises Fault."""
    file = _file(name, "api_key") or _file(secret, "secret")
    name, secret = file or (name, secret)
    if not name or not secret or name == secret or fault_of(_one_line(name)):
        return name, secret
    _must_be_a_name(name, secret)
    key = _private_key(secret)
    if key is None:
        return name, secret
    kind, kept = key
    if not file:  # in a file the two belong together, however they look
        _must_fit(name, kind)
    return name, kept


def _one_line(name: str) -> str:
    return "-" if looks_like_pem(name) else name


def _file(text: str, field: str) -> tuple[str, str] | None:
    """Name and private key of a downloaded key file pasted whole, or None when it is no file."""
    if not text.startswith("{"):
        return None
    try:
        data = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise Fault(
            _("A part of the key file is missing or changed. Paste the whole file as downloaded."),
            field,
        ) from None
    name, secret = strip(data.get("name") or data.get("id")), strip(data.get("privateKey"))
    if not name or not secret:
        raise Fault(_("This file holds no API key: its name or its private key is missing."), field)
    return name, secret


def _must_be_a_name(name: str, secret: str) -> None:
    if _is_name(secret) and not _is_name(name):
        raise Fault(_("API key and secret look swapped. Put each into the other's field."), "")
    if looks_like_pem(name) or is_base64_ed25519(name):
        raise Fault(
            _(
                "This is a public or private key. The name of the key belongs here: Coinbase shows "
                "it as API key name or ID."
            ),
            "api_key",
        )
    if LEGACY_KEY.fullmatch(name) or LEGACY_SECRET.fullmatch(secret):
        raise Fault(
            _(
                "This is a legacy API key, which Coinbase no longer accepts for trading. Create a "
                "Secret API key in the Coinbase Developer Platform."
            ),
            "",
        )
    if name.startswith("organizations/") and not ECDSA_NAME.fullmatch(name):
        raise Fault(_("The name of the key is cut off. Copy it whole."), "api_key")


def _is_name(text: str) -> bool:
    return bool(ECDSA_NAME.fullmatch(text) or UUID_NAME.fullmatch(text))


def _must_fit(name: str, kind: Kind) -> None:
    if kind == "ecdsa" and UUID_NAME.fullmatch(name):
        raise Fault(
            _(
                "This is only a part of the key's name, or the name of another key: an ECDSA key's "
                "name begins with organizations/. Copy it whole, or paste the downloaded file."
            ),
            "api_key",
        )
    if kind == "ed25519" and ECDSA_NAME.fullmatch(name):
        raise Fault(
            _(
                "Name and private key are of different keys: this private key is Ed25519, and its "
                "key has a short ID for a name. Copy both again, or paste the downloaded file."
            ),
            "",
        )


def _private_key(text: str) -> tuple[Kind, str] | None:
    """Its kind, and the form in which it is kept. None where pasting.py names the fault."""
    if looks_like_pem(text):
        return _from_pem(normalise_pem(text))
    bare = "".join(text.replace("\\n", "").replace("\\r", "").split()).strip("\"'`,")
    try:
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raw = b""
    if len(raw) in {32, 64}:
        return "ed25519", _bare(raw)
    if fault_of(text):
        return None
    raise Fault(
        _(
            "This is not a whole private key. Copy it again from its first to its last character, "
            "or paste the downloaded file."
        )
    )


def _from_pem(pem: str) -> tuple[Kind, str]:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except Exception:  # whatever the library makes of damaged text
        raise Fault(_("The private key is damaged. Copy it again, whole.")) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", _bare(key.private_bytes_raw())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        sec1 = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return "ecdsa", sec1.decode()
    raise Fault(_("This private key is of a kind that Coinbase does not use."))


def _bare(raw: bytes) -> str:
    """Seed and public half in base64. A legacy secret has as many bytes, but no public half."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
    whole = raw[:32] + key.public_key().public_bytes_raw()
    if not whole.startswith(raw):
        raise Fault(
            _(
                "This private key is damaged, or it is the secret of a legacy key, which Coinbase "
                "no longer accepts. Copy it again, or create a Secret API key."
            )
        )
    return base64.b64encode(whole).decode()
