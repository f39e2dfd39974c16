"""`load_demo` fills a demonstration: a trader whose connections, once the running worker has
tested them, show every state a connection can be in. Works with the exchange simulator alone."""

from __future__ import annotations

import json
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from connections import services, tasks
from connections.exchanges.base import Credentials
from connections.models import Exchange

EMAIL = "demo@backfuture.example"
Key = dict[str, str]

# (exchange, scenario of the simulator): the connection's name
CONNECTED = {
    ("mexc", "good_futures"): "MEXC Futures",
    ("kucoin", "good_futures"): "KuCoin Futures",
    ("kucoin", "slow"): "KuCoin on a slow line",
    ("mexc", "no_ip"): "MEXC without an IP list",
    ("mexc", "expiring"): "MEXC, ends in 5 days",
    ("kucoin", "unknown_word"): "KuCoin with an unknown right",
    ("mexc", "read_only"): "MEXC, read only",
    ("mexc", "withdraw"): "MEXC that may withdraw",
    ("kucoin", "withdraw"): "KuCoin that may withdraw",
    ("mexc", "wrong_ip"): "MEXC bound to another IP",
    ("kucoin", "wrong_passphrase"): "KuCoin, wrong passphrase",
    ("mexc", "disabled"): "MEXC, switched off there",
    ("kucoin", "expired"): "KuCoin, expired",
    ("kucoin", "down"): "KuCoin while it is down",
    ("mexc", "html"): "MEXC behind a broken proxy",
}
PAUSED = {("kucoin", "other_account"): "KuCoin, paused"}
# Left for whoever tries the form.
TO_PASTE = (
    ("mexc", "good"),
    ("mexc", "wrong_secret"),
    ("mexc", "deleted"),
    ("kucoin", "good"),
    ("kucoin", "read_only"),
    ("kucoin", "wrong_ip"),
    ("kucoin", "rate_limited"),
)


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
        self.stdout.write("Keys to try the form with:\n\n")
        self.stdout.write("\n".join(_described(known[sample]) for sample in TO_PASTE))
        self.stdout.write(f"More of them are in {keys}.\n")
        self.stdout.write(f"Sign in as the trader {EMAIL} with the password {password}")


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
        services.pause(connection)
    else:
        tasks.wake(test)


def _described(key: Key) -> str:
    rows = [("API key", key["api_key"]), ("Secret", key["secret"])]
    rows += [("Passphrase", key["passphrase"])] if key["passphrase"] else []
    lines = [f"{key['exchange']}, {key['scenario']}: {key['what_happens']}"]
    return "\n".join(lines + [f"    {label:<12}{value}" for label, value in rows]) + "\n"
