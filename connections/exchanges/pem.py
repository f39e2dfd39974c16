"""Private keys as people paste them: with literal \\n, in quotes, CRLF, in one line, cut off."""

from __future__ import annotations

import base64
import re
import textwrap
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .problems import gettext_noop

_ = gettext_noop

Kind = Literal["ec", "rsa", "ed25519"]
ARMOUR = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", re.DOTALL)


class Fault(ValueError):
    """Why a pasted value cannot be used: a sentence, marked for translation, quoting nothing.
    `field` names the value it is about, "" all of them together."""

    def __init__(self, sentence: str, field: str = "secret") -> None:
        super().__init__(sentence)
        self.sentence, self.field = sentence, field


def looks_like_pem(text: str) -> bool:
    return "-----BEGIN" in text or "-----END" in text


def normalise(text: str) -> str:
    """A PEM with real line breaks of 64 characters. Raises Fault."""
    text = text.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n")
    if "PUBLIC KEY" in text:
        raise Fault(_("This is the public key. Paste the private key that belongs to it."))
    if "ENCRYPTED" in text:
        raise Fault(_("This private key is protected by a password. Paste it without one."))
    found = ARMOUR.search(text)
    if not found:
        raise Fault(_("The private key is cut off. Copy it whole, with its BEGIN and END lines."))
    body = "".join(found[2].split())
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN {found[1]}-----\n{lines}\n-----END {found[1]}-----\n"


def kind_of(pem: str) -> Kind:
    """What kind of private key a normalised PEM holds. Raises Fault."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except Exception:  # whatever the library makes of damaged text
        raise Fault(_("The private key is damaged. Copy it again, whole.")) from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ec"
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise Fault(_("This kind of private key is not known here."))


def is_base64_ed25519(text: str) -> bool:
    """Whether it is a bare Ed25519 key in base64: 32 bytes, or 64 with its public half."""
    try:
        return len(base64.b64decode(text, validate=True)) in {32, 64}
    except ValueError:
        return False
