"""Connections as rows, past the doors: with the facts a rule is about, at a time that stands."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from backfuture.accounts.models import User
from connections.auditor import audit
from connections.exchanges.base import Permissions
from connections.models import Connection, Credential, Finding, FindingChange
from strategies.models import Pair, StrategyConfig

NOW = datetime(2027, 3, 10, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def ahead(**span: float) -> datetime:
    return NOW + timedelta(**span)


def may(**rights: bool | None) -> dict[str, Any]:
    """Permissions as stored: reading and spot trading, and what is said otherwise."""
    usual = {"read": True, "spot_trade": True, "futures_trade": False, "margin": False}
    usual |= {"transfer": False, "withdraw": False}
    return Permissions.of({**usual, **rights}, {}).to_store()


def keyed(
    owner: User,
    exchange: str = "mexc",
    *,
    key: Mapping[str, Any] | None = None,
    strategies: Iterable[str] = (),
    pairs: Mapping[str, bool] | None = None,
    **fields: Any,
) -> Connection:
    """A connection whose key is a day old, restricted, good, and tested an hour ago: no rule finds
    anything until something is said otherwise. `strategies` are the markets of enabled ones, and
    `pairs` those that each of them has, traded or not."""
    usual = {
        "name": secrets.token_hex(6),
        "created_at": ago(days=1),
        "status": "connected",
        "permissions": may(),
        "ip_restricted": True,
        "tested_at": ago(hours=1),
        "last_ok_at": ago(hours=1),
        "next_test_at": ahead(hours=23),
    }
    made = Connection.objects.create(owner=owner, exchange_id=exchange, **{**usual, **fields})
    with_key(made, **(key or {}))
    for number, market in enumerate(strategies):
        running = strategy(made, f"{made.name} {number}", market=market)
        for symbol, active in (pairs or {}).items():
            running.pairs.add(pair(exchange, symbol, market=market, active=active))
    return made


def pair(exchange: str, symbol: str, *, market: str = "spot", **fields: Any) -> Pair:
    """A pair of that name, as it was written first."""
    base, _, quote = symbol.partition("/")
    place = {"exchange_id": exchange, "market": market, "symbol": symbol}
    return Pair.objects.get_or_create(
        **place, defaults={"base": base, "quote": quote.partition(":")[0], **fields}
    )[0]


def strategy(connection: Connection, name: str, **fields: Any) -> StrategyConfig:
    """Enabled, whatever its settings say, unless something else is said."""
    usual = {"owner_id": connection.owner_id, "quote": "USDT", "enabled": True}
    return StrategyConfig.objects.create(connection=connection, name=name, **{**usual, **fields})


def with_key(connection: Connection, **fields: Any) -> Credential:
    usual = {"created_at": ago(days=1), "hint": "abcd", "fingerprint": secrets.token_hex(32)}
    return Credential.objects.create(connection=connection, **{**usual, **fields})


def change(connection: Connection, **fields: Any) -> None:
    Connection.objects.filter(pk=connection.pk).update(**fields)


def found(connection: Connection, now: datetime = NOW) -> dict[str, Finding]:
    """What an audit of everything leaves unresolved at a connection, by rule."""
    audit(now=now)
    return {each.rule: each for each in connection.findings.unresolved()}


def everything() -> tuple[list[Any], list[Any]]:
    """Every finding and every change, as they stand in the database."""
    return (
        list(Finding.objects.order_by("pk").values_list()),
        list(FindingChange.objects.order_by("pk").values_list()),
    )
