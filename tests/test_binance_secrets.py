"""Private keys as Binance's secret, however they were pasted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from connections import exchanges
from connections.exchanges import client, inspection, pasting
from connections.exchanges.base import Credentials
from tests.simulator import KeySpec, Simulator, sample


def outcome(key: KeySpec, secret: str) -> tuple[str, str]:
    async def run() -> tuple[str, str]:
        exchange, credentials = exchanges.get("binance"), Credentials(key.api_key, secret)
        async with client.Client(call_limit_s=1.0) as session:
            ask = session.ask_as(exchange, credentials)
            report = await inspection.Inspection(
                exchange, credentials, ask, client.read_balances
            ).run()
            return report.outcome, report.problem

    return asyncio.run(run())


def clean(secret: str, api_key: str = "k" * 64) -> pasting.Pasted:
    return pasting.clean(exchanges.get("binance"), {"api_key": api_key, "secret": secret})


def body_of(pem: str) -> str:
    return "".join(pem.splitlines()[1:-1])


@pytest.mark.parametrize("scenario", ["ed25519", "rsa"])
@pytest.mark.parametrize(
    "paste",
    [
        lambda pem: pem,
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", " "),
        lambda pem: f'"{pem}"',
        lambda pem: f"\n\n  {pem}  \n",
    ],
    ids=["as it is", "escaped", "CRLF", "one line", "quoted", "padded"],
)
def test_private_key_is_used_however_it_was_pasted(
    simulator: Simulator, scenario: str, paste: Any
) -> None:
    key = sample("binance", scenario)
    pasted = clean(paste(key.secret), key.api_key)
    assert not pasted.faults and pasted.credentials
    assert pasted.credentials.secret == key.secret
    assert outcome(key, pasted.credentials.secret) == ("connected", "")


def test_ed25519_key_without_its_lines_is_completed() -> None:
    pem = sample("binance", "ed25519").secret
    pasted = clean(body_of(pem))
    assert pasted.credentials and pasted.credentials.secret == pem


def pem_of(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    none = serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, none).decode())


def public_pem() -> str:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.mark.parametrize(
    "secret",
    [
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        public_pem(),
        sample("binance", "rsa").secret[:900],
        sample("binance", "rsa").secret.replace("MII", "MIx", 1),
        body_of(sample("binance", "rsa").secret),
    ],
    ids=["elliptic", "public", "cut off", "damaged", "without its lines"],
)
def test_private_key_that_cannot_be_used_is_told_before_any_call(secret: str) -> None:
    pasted = clean(secret)
    assert set(pasted.faults) == {"secret"}
    assert secret[100:140] not in repr(pasted)


def test_private_key_as_the_api_key_is_told() -> None:
    assert set(clean("s" * 64, sample("binance", "ed25519").secret).faults) == {"api_key"}


def test_private_key_of_another_pair_is_a_bad_secret(simulator: Simulator) -> None:
    other = pem_of(ed25519.Ed25519PrivateKey.generate())
    for scenario in ("ed25519", "rsa", "good"):
        assert outcome(sample("binance", scenario), other) == ("failed", "bad_secret")
