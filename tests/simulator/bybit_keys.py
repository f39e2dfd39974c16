"""Bybit's sample keys: HMAC secrets, and one RSA key in PEM made from a seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .keys import KeySpec, Rights, SampleMaker

EU_HOST: Final = "api.bybit.eu"
JP_HOST: Final = "api.manepa.jp"
DEMO_HOST: Final = "api-demo.bybit.com"
TESTNET_HOST: Final = "api-testnet.bybit.com"
# From the seed to the next odd number that is prime, in steps of two.
P_STEPS, Q_STEPS = 728, 47


def _look(hexes: str) -> tuple[str, str, str]:
    """18 and 36 letters and digits, no passphrase."""
    return hexes[:18], hexes[18:54], ""


def rsa_sample() -> str:
    p, q, e = _prime("p", P_STEPS), _prime("q", Q_STEPS), 65537
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return (
        numbers.private_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _prime(name: str, steps: int) -> int:
    """1024 bits. The search was made once, for it is slow."""
    raw = b"".join(hashlib.sha256(f"bybit: {name} {part}".encode()).digest() for part in range(4))
    return (int.from_bytes(raw) | 3 << 1022 | 1) + 2 * steps


# Group and word, as the key endpoint tells them apart.
RIGHTS = Rights(
    read=(),  # every key reads
    spot=("Spot SpotTrade",),
    futures=("ContractTrade Order", "ContractTrade Position", "Derivatives DerivativesTrade"),
    withdraw=("Wallet AccountTransfer", "Wallet Withdraw"),
    unknown=("Wallet WithdrawToBook",),
)
_maker = SampleMaker("bybit", _look, RIGHTS)


def _read_only(key: KeySpec) -> KeySpec:
    """As in the documents' example: the flag is set, and the lists name rights all the same."""
    if key.scenario != "read_only":
        return key
    return replace(key, permissions=RIGHTS.spot + RIGHTS.futures, own={"readOnly": "1"})


SAMPLES: Final[tuple[KeySpec, ...]] = (
    *map(_read_only, _maker.common()),
    _maker.make(
        "expiring", "Ends in 5 days: made 85 days ago, no IPs.", ip_whitelist=(), age_days=85
    ),
    _maker.make("expired", "Ended after 90 days.", ip_whitelist=(), age_days=95, expired=True),
    _maker.make("disabled", "The account is banned.", disabled=True),
    _maker.make(
        "fallback",
        "Works, but Bybit does not tell the key's rights: reading alone is shown.",
        fault="no_key_endpoint",
    ),
    replace(_maker.make("rsa", "Works: a self-generated RSA key."), secret=rsa_sample()),
    _maker.make("classic", "Works: the account was never made unified.", own={"uta": "0"}),
    _maker.make(
        "third_party",
        "Works, made for a third-party app: Bybit binds it on its own side.",
        ip_whitelist=(),
        remaining_days=9999,
        own={"type": "2"},
    ),
    _maker.make("eu", "Made at Bybit EU.", site=EU_HOST),
    _maker.make("jp", "Made at Bybit Japan.", site=JP_HOST),
    _maker.make("demo", "Made in demo trading.", site=DEMO_HOST),
    _maker.make("testnet", "Made at the testnet.", site=TESTNET_HOST),
)
