"""`load_demo` fills a demonstration: a trader whose connections, once the running worker has
tested them, show every state a connection can be in, and a list of other keys to try the form
with. Works with the exchange simulator alone."""

from __future__ import annotations

import json
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from connections import exchanges, services, tasks
from connections.exchanges.base import Credentials
from connections.models import Exchange

EMAIL = "demo@backfuture.example"
Key = dict[str, str]

# (exchange, scenario of the simulator): the connection's name
CONNECTED = {
    ("okx", "good_futures"): "OKX Futures",
    ("binance", "good_futures"): "Binance Futures",
    ("mexc", "good_futures"): "MEXC Futures",
    ("kucoin", "no_ip"): "KuCoin without an IP list",
    ("gate", "unknown_word"): "Gate.io with an unknown right",
    ("bybit", "expiring"): "Bybit, ends soon",
    ("bitget", "withdraw"): "Bitget that may withdraw",
    ("okx", "read_only"): "OKX, read only",
    ("gate", "wrong_ip"): "Gate.io bound to another IP",
    ("okx", "wrong_passphrase"): "OKX, wrong passphrase",
    ("bybit", "expired"): "Bybit, expired",
    ("bitget", "disabled"): "Bitget, switched off there",
    ("binance", "wrong_ip"): "Binance, one answer for four causes",
    ("coinbase", "deleted"): "Coinbase, deleted there",
    ("mexc", "html"): "MEXC behind a broken proxy",
    ("bingx", "down"): "BingX while it is down",
    ("htx", "slow"): "HTX on a slow line",
}
PAUSED = {("bingx", "other_account"): "BingX, paused"}

OTHERS = ("binance", "okx", "bybit", "bitget", "gate", "htx", "bingx")
WORKS = "Connected: it reads and trades spot, from our addresses only."
# Left for whoever tries the form: the status the key ends in, and why.
TO_PASTE = {
    ("mexc", "good"): WORKS,
    ("mexc", "read_only"): "Needs attention: No trading permission. The page says what to tick.",
    ("mexc", "withdraw"): "Withdrawal enabled (refused): a key that may withdraw is never used.",
    ("mexc", "wrong_ip"): "Needs attention: IP not allowed. It is bound to another address.",
    ("mexc", "expired"): "Needs attention: The API key has expired. It had 90 days.",
    ("kucoin", "good"): WORKS,
    ("kucoin", "wrong_passphrase"): "Needs attention: Wrong passphrase or secret. It is the first.",
    ("kucoin", "down"): "Exchange unavailable: we test again by ourselves.",
    ("kucoin", "slow"): "Connected: after a while, since every call takes 2.5 seconds.",
    **{(code, "good"): WORKS for code in OTHERS},
    ("coinbase", "good"): "Connected, with warnings: Coinbase does not tell of IP addresses.",
}
HEADING = "Keys to try the form with. No connection uses them yet."
MORE = """\
Keys whose secret has several lines (Coinbase ECDSA, Binance and Bybit RSA) and all other
scenarios are listed by: .venv/bin/python -m tests.simulator keys
"""


class Command(BaseCommand):
    help = "Fills the demonstration with a trader and connections to simulated exchanges."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keys",
            type=Path,
            required=True,
            metavar="FILE",
            help="what `python -m tests.simulator keys --json` prints",
        )

    def handle(self, *, keys: Path, **_: Any) -> None:
        if not (settings.EXCHANGE_GATEWAY_URL and settings.ALLOW_EXCHANGE_GATEWAY):
            raise CommandError("This is no demonstration: requests would go to real exchanges.")
        known = _read(keys)
        password = secrets.token_urlsafe(12)
        trader = _trader(password)
        for samples in (CONNECTED, PAUSED):
            for sample, name in samples.items():
                _connect(trader, known[sample], name, paused=samples is PAUSED)
        self.stdout.write(f"Sign in as the trader {EMAIL} with the password {password}\n\n")
        listed = _listed(known)
        file = keys.with_name("keys-to-paste.txt")
        _write_private(file, listed)
        self.stdout.write(f"{listed}This list is in {file} too.\n")


def _read(file: Path) -> dict[tuple[str, str], Key]:
    return {(key["exchange"], key["scenario"]): key for key in json.loads(file.read_text())}


def _trader(password: str) -> Any:
    trader, _ = get_user_model().objects.get_or_create(email=EMAIL)
    trader.set_password(password)
    trader.save(update_fields=["password"])
    return trader


def _connect(trader: Any, key: Key, name: str, *, paused: bool) -> None:
    """Saves the connection unless it is there; its test is left to the running worker."""
    credentials = Credentials(key["api_key"], key["secret"], key["passphrase"])
    exchange = Exchange.objects.get(code=key["exchange"])
    try:
        connection, test = services.connect(
            owner=trader, exchange=exchange, name=name, credentials=credentials
        )
    except (services.SameKey, services.NameTaken):
        return
    if paused:
        services.pause(connection, by=trader)
    else:
        tasks.wake(test)


def _listed(known: dict[tuple[str, str], Key]) -> str:
    keys = (_described(known[sample], end) for sample, end in TO_PASTE.items())
    return "\n".join([HEADING + "\n", *keys, MORE])


def _described(key: Key, end: str) -> str:
    fields = {"API key": "api_key", "Secret": "secret", "Passphrase": "passphrase"}
    scenario = key["scenario"].replace("_ip", " IP").replace("_", " ")
    lines = [f"{exchanges.name_of(key['exchange'])}, {scenario}", end]
    lines += [f"{label}: {key[name]}" for label, name in fields.items() if key[name]]
    return "\n  ".join(lines) + "\n"


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
