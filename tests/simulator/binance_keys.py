"""Binance's sample keys: HMAC secrets, and private keys in PEM made from seeds."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from .keys import KeySpec, Rights, SampleMaker

DEMO_HOST, TESTNET_HOST = "demo-api.binance.com", "testnet.binance.vision"
# From a sample key's seed to the next prime.
P_BEHIND_SEED, Q_BEHIND_SEED = 104, 1730


def _look(hexes: str) -> tuple[str, str, str]:
    """Two times 64 letters and digits, no passphrase."""
    return _letters(f"key {hexes}"), _letters(f"secret {hexes}"), ""


def _letters(seed: str) -> str:
    raw = hashlib.sha512(seed.encode()).digest()
    return re.sub(r"[^0-9A-Za-z]", "x", base64.b64encode(raw).decode())[:64]


def _pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _ed25519(seed: str) -> str:
    raw = hashlib.sha256(seed.encode()).digest()
    return _pem(ed25519.Ed25519PrivateKey.from_private_bytes(raw))


def _rsa(seed: str) -> str:
    p, q = _prime(f"{seed} p", P_BEHIND_SEED), _prime(f"{seed} q", Q_BEHIND_SEED)
    e = 65537
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return _pem(numbers.private_key())


def _prime(seed: str, behind: int) -> int:
    """1024 bits. The search for the first prime behind a seed was made once, for it is slow."""
    raw = b"".join(hashlib.sha512(f"{seed} {part}".encode()).digest() for part in (1, 2))
    return (int.from_bytes(raw) | 3 << 1022 | 1) + behind


RIGHTS = Rights(
    read=("enableReading",),
    spot=("enableSpotAndMarginTrading",),
    futures=("enableFutures",),
    withdraw=("enableWithdrawals",),
    unknown=("enableWithdrawalsToList",),
)
_maker = SampleMaker("binance", _look, RIGHTS)
_trader: Final = RIGHTS.read + RIGHTS.spot

SAMPLES: Final[tuple[KeySpec, ...]] = (
    *_maker.common(),
    replace(
        _maker.make("ed25519", "Works: a self-generated Ed25519 key."),
        secret=_ed25519("binance: ed25519"),
    ),
    replace(_maker.make("rsa", "Works: a self-generated RSA key."), secret=_rsa("binance: rsa")),
    _maker.make(
        "expiring",
        "Its trading right ends in 5 days: made 25 days ago, no IPs.",
        ip_whitelist=(),
        age_days=25,
        remaining_days=5,
    ),
    _maker.make(
        "expired",
        "Its trading right ended after 30 days: it only reads.",
        permissions=RIGHTS.read,
        ip_whitelist=(),
        age_days=35,
        remaining_days=-5,
        expired=True,
    ),
    _maker.make("disabled", "Blocked: Binance names no single reason.", disabled=True),
    _maker.make(
        "fallback",
        "Works, but Binance does not tell the key's rights: other calls must show them.",
        fault="no_key_endpoint",
    ),
    _maker.make(
        "no_futures_account",
        "Works for spot: futures are enabled, but their account is not opened.",
        permissions=_trader + RIGHTS.futures,
        own={"futures_account": "not opened"},
    ),
    _maker.make("demo", "Works: a key of Binance Demo Trading.", site=DEMO_HOST),
    _maker.make("testnet", "Works: a key of the Spot Testnet.", site=TESTNET_HOST),
)
