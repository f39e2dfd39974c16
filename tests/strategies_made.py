"""Strategies, and what they need, through the product's own doors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from backfuture.accounts.models import User
from connections.exchanges.base import Account, Balance, KeyFacts, Permissions
from connections.models import Connection, Exchange
from strategies import services
from strategies.models import Pair, StrategyConfig
from strategies.presets import PRESETS
from tests import making

BOTH = Permissions(True, True, True, False, False, False)


def pair(symbol: str = "BTC/USDT", *, exchange: str = "mexc", **fields: Any) -> Pair:
    """A pair as an exchange lists it: orders of 5 at least."""
    base, _, quote = symbol.partition(":")[0].partition("/")
    usual = {
        "market": "futures" if ":" in symbol else "spot",
        "base": base,
        "quote": quote,
        "min_cost": Decimal(5),
    }
    made, _ = Pair.objects.update_or_create(
        exchange_id=exchange, symbol=symbol, defaults={**usual, **fields}
    )
    return made


def tested(
    owner: User,
    name: str = "Main",
    *,
    exchange: str = "mexc",
    total: str | tuple[str, str] = "1000",
    may: Permissions = BOTH,
    uid: str = "42",
    **facts: Any,
) -> Connection:
    """A connection whose key has just passed its test, with so many USDT on every market."""
    made = making.connection(owner, Exchange.objects.get(code=exchange), name)
    facts = {"ip_restricted": True, "uid": uid, **facts}
    amounts = (total,) if isinstance(total, str) else total
    making.finish(made, making.report(facts=KeyFacts(may, **facts), **holding(*amounts)))
    return made


def holding(*totals: str) -> dict[str, Any]:
    """What a report says of so many USDT on a unified account; of two, on spot and on futures."""
    markets: Any = [("spot", "futures")] if len(totals) == 1 else [("spot",), ("futures",)]
    found = zip(totals, markets, strict=True)
    return {
        "balances": tuple(Balance("USDT", total, "0", total, each) for total, each in found),
        "accounts": tuple(Account(each) for each in markets),
    }


def settings(market: str = "spot", limit: int = 500, **changed: Any) -> dict[str, Any]:
    """A conservative strategy that takes nearly all of its limit at worst."""
    usual = PRESETS["conservative"].settings(market, Decimal(limit))
    return {"market": market, "direction": "long", "risk": "conservative", **usual, **changed}


def strategy(
    connection: Connection,
    name: str = "Ladder",
    *,
    pairs: Sequence[Pair] = (),
    now: datetime | None = None,
    **changed: Any,
) -> StrategyConfig:
    """Saved, and switched off."""
    wished = settings(**changed)
    market = wished["market"]
    usual = [pair("BTC/USDT" if market == "spot" else "BTC/USDT:USDT")]
    return services.create(
        owner=connection.owner,
        connection=connection,
        name=name,
        settings=wished,
        pairs=pairs or usual,
        now=now or timezone.now(),
    )


def enabled(connection: Connection, name: str = "Ladder", **changed: Any) -> StrategyConfig:
    made = strategy(connection, name, **changed)
    services.enable(made, by=connection.owner, now=timezone.now())
    return made
