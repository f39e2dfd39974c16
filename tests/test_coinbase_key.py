"""Every way in which people paste a Coinbase key ends as a key that signs, or as a sentence that
names the fault. All keys are made for this run."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from connections import exchanges
from connections.exchanges import client, pasting
from connections.exchanges.pasting import Pasted

COINBASE = exchanges.get("coinbase")
SEC1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


def pem(
    key: Any, form: PrivateFormat = PKCS8, lock: KeySerializationEncryption | None = None
) -> str:
    return key.private_bytes(Encoding.PEM, form, lock or NoEncryption()).decode()


def public_pem(key: Any) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
ID = str(uuid.uuid4())
NAME = f"organizations/{uuid.uuid4()}/apiKeys/{uuid.uuid4()}"
EC_PEM = pem(EC, SEC1)
SEED, ED_PUBLIC = ED.private_bytes_raw(), ED.public_key().public_bytes_raw()
ED_64, ED_32 = b64(SEED + ED_PUBLIC), b64(SEED)
EC_FILE = json.dumps({"name": NAME, "principal": "x", "publicKey": "y", "privateKey": EC_PEM})
ED_FILE = json.dumps({"id": ID, "privateKey": ED_64}, indent=3)


@dataclass(frozen=True)
class Paste:
    what: str
    name: str
    secret: str


ECDSA = [
    Paste("real line breaks", NAME, EC_PEM),
    Paste("CRLF", NAME, EC_PEM.replace("\n", "\r\n")),
    Paste("blanks for line breaks", NAME, EC_PEM.replace("\n", " ")),
    Paste("nothing for line breaks", NAME, EC_PEM.replace("\n", "")),
    Paste("no line break at the end", NAME, EC_PEM.strip()),
    Paste("literal \\n", NAME, EC_PEM.replace("\n", "\\n")),
    Paste("literal \\r\\n", NAME, EC_PEM.replace("\n", "\\r\\n")),
    Paste("in quotes", f'"{NAME}"', f'"{EC_PEM}"'),
    Paste("in quotes with literal \\n and a comma", f"'{NAME}'", f"{json.dumps(EC_PEM)},"),
    Paste("as in the file, with its field name", NAME, f'"privateKey": {json.dumps(EC_PEM)}'),
    Paste("PKCS8", NAME, pem(EC)),
    Paste("invisible marks", f"\ufeff{NAME}\u200b", f"\u2060{EC_PEM}"),
    Paste("file in the first field", EC_FILE, ""),
    Paste("file in the second field", "", EC_FILE),
    Paste("file in both fields", EC_FILE, EC_FILE),
    Paste("file and what is in it", NAME, EC_FILE),
    Paste("file with real line breaks in a text", EC_FILE.replace("\\n", "\n"), ""),
    Paste("file that calls the name an ID", json.dumps({"id": NAME, "privateKey": EC_PEM}), ""),
]
ED25519 = [
    Paste("64 bytes", ID, ED_64),
    Paste("32 bytes", ID, ED_32),
    Paste("64 bytes and a line break", ID, f"{ED_64}\n"),
    Paste("32 bytes and CRLF", ID, f"{ED_32}\r\n"),
    Paste("literal \\n at the end", ID, f"{ED_64}\\n"),
    Paste("in quotes", f"\u201c{ID}\u201d", f"'{ED_64}'"),
    Paste("over two lines", ID, f"{ED_64[:64]}\n{ED_64[64:]}"),
    Paste("without its padding", ID, ED_64.rstrip("=")),
    Paste("PKCS8 PEM", ID, pem(ED)),
    Paste("PKCS8 PEM with literal \\n", ID, pem(ED).replace("\n", "\\n")),
    Paste("file in the first field", ED_FILE, ""),
    Paste("file in the second field", "whatever", ED_FILE),
    Paste("file in the first field, key in the second", ED_FILE, ED_64),
]


def clean(paste: Paste) -> Pasted:
    return pasting.clean(COINBASE, {"api_key": paste.name, "secret": paste.secret})


def by_what(pastes: list[Paste]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize("paste", pastes, ids=lambda paste: paste.what)


def claims(pasted: Pasted, public: Any, algorithm: str) -> dict[str, Any]:
    """What ccxt signs with the kept form, checked by another library."""
    assert not pasted.faults
    assert pasted.credentials
    request = client.sign("coinbase", COINBASE.key_call, {}, pasted.credentials)
    scheme, token = request["headers"]["Authorization"].split()
    assert scheme == "Bearer"
    audience = {"verify_aud": False}
    return jwt.decode(token, public, [algorithm], options=audience, leeway=5)


@by_what(ECDSA)
def test_ecdsa_key_signs_however_it_is_pasted(paste: Paste):
    assert claims(clean(paste), EC.public_key(), "ES256")["sub"] == NAME


@by_what(ED25519)
def test_ed25519_key_signs_however_it_is_pasted(paste: Paste):
    pasted = clean(paste)
    assert claims(pasted, ED.public_key(), "EdDSA")["sub"] == ID
    assert pasted.credentials
    assert pasted.credentials.secret == ED_64


OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
LOCKED = pem(EC, PKCS8, BestAvailableEncryption(secrets.token_bytes(8)))
LEGACY, LEGACY_SECRET = secrets.token_hex(8), secrets.token_hex(16)
BIT_FLIPPED = b64(bytes([SEED[0] ^ 1]) + SEED[1:] + ED_PUBLIC)
CUT_FILE = json.dumps({"name": NAME, "privateKey": EC_PEM[:99]})
# Field the fault is about, words of its sentence, pastes.
REFUSED: list[tuple[str, str, list[Paste]]] = [
    (
        "secret",
        "cut off",
        [
            Paste("PEM without its end", NAME, EC_PEM[:120]),
            Paste("PEM without its beginning", NAME, EC_PEM[40:]),
            Paste("file with a cut key", CUT_FILE, ""),
        ],
    ),
    (
        "secret",
        "damaged",
        [
            Paste("PEM with a hole", NAME, EC_PEM[:80] + EC_PEM[120:]),
            Paste("base64 with another letter", ID, BIT_FLIPPED),
        ],
    ),
    (
        "secret",
        "not a whole private key",
        [
            Paste("base64 cut off", ID, ED_64[:70]),
            Paste("base64 with a hole", ID, ED_64[:40] + ED_64[41:]),
            Paste("garbage", NAME, "abc"),
        ],
    ),
    (
        "",
        "legacy",
        [
            Paste("legacy key and secret", LEGACY, LEGACY_SECRET),
            Paste("legacy secret", ID, LEGACY_SECRET),
        ],
    ),
    ("secret", "legacy", [Paste("legacy secret ending =", ID, b64(secrets.token_bytes(64)))]),
    (
        "api_key",
        "The name of the key",
        [
            Paste("public key for a name", public_pem(EC), EC_PEM),
            Paste("bare public key for a name", b64(ED_PUBLIC), ED_64),
            Paste("private key for a name", EC_PEM, "whatever"),
        ],
    ),
    ("secret", "the public key", [Paste("public key for a secret", NAME, public_pem(EC))]),
    ("", "swapped", [Paste("ECDSA", EC_PEM, NAME), Paste("Ed25519", ED_64, ID)]),
    ("api_key", "ECDSA", [Paste("short ID with an ECDSA key", ID, EC_PEM)]),
    ("", "Ed25519", [Paste("long name with an Ed25519 key", NAME, ED_64)]),
    (
        "api_key",
        "cut off",
        [
            Paste("name cut off in its last part", NAME[:-9], EC_PEM),
            Paste("name cut off in its middle", NAME[:40], EC_PEM),
        ],
    ),
    ("secret", "the API key again", [Paste("name twice", NAME, NAME)]),
    (
        "api_key",
        "key file",
        [
            Paste("file cut off", EC_FILE[:-20], ""),
            Paste("deep file", '{"name":' + "[" * 9000, ""),
        ],
    ),
    ("secret", "key file", [Paste("file cut off in the second field", "", EC_FILE[:200])]),
    (
        "api_key",
        "holds no API key",
        [
            Paste("file without a key", json.dumps({"name": NAME}), ""),
            Paste("file with other types", '{"name": 5, "privateKey": []}', ""),
        ],
    ),
    ("secret", "password", [Paste("key with a password", NAME, LOCKED)]),
    (
        "secret",
        "does not use",
        [Paste("P-384", NAME, pem(OTHER_CURVE)), Paste("RSA", ID, pem(RSA))],
    ),
    ("secret", "masked", [Paste("masked", ID, f"{ED_64[:4]}****{ED_64[-4:]}")]),
    ("api_key", "masked", [Paste("masked name", f"{ID[:8]}\u2026", ED_64)]),
    ("api_key", "space", [Paste("blank in the name", f"{NAME[:20]} {NAME[20:]}", EC_PEM)]),
    ("secret", "Nothing", [Paste("no secret", NAME, " ")]),
    ("api_key", "Nothing", [Paste("no name", "", EC_PEM)]),
    (
        "secret",
        "too long",
        [
            Paste("too long", ID, ED_64 * 200),
            Paste("endless PEM", NAME, "-----BEGIN A-----" * 6_000),
        ],
    ),
]
ONE_BY_ONE = [
    pytest.param(paste, field, words, id=f"{words}: {paste.what}")
    for field, words, pastes in REFUSED
    for paste in pastes
]


@pytest.mark.parametrize(("paste", "field", "words"), ONE_BY_ONE)
def test_what_cannot_be_a_key_is_refused_by_its_fault(paste: Paste, field: str, words: str):
    pasted = clean(paste)
    assert pasted.credentials is None
    assert list(pasted.faults) == [field]
    assert words in pasted.faults[field]


def test_what_a_file_holds_belongs_together_however_it_looks():
    older = Paste("", json.dumps({"id": ID, "privateKey": EC_PEM}), "")
    assert claims(clean(older), EC.public_key(), "ES256")["sub"] == ID
    newer = Paste("", json.dumps({"name": NAME, "privateKey": ED_64}), "")
    assert claims(clean(newer), ED.public_key(), "EdDSA")["sub"] == NAME


def test_a_name_of_a_look_nobody_has_seen_is_tried():
    assert claims(clean(Paste("", "key-of-tomorrow", EC_PEM)), EC.public_key(), "ES256")
