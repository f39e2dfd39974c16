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
from strategies.models import StrategyConfig

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
    **fields: Any,
) -> Connection:
    """A connection whose key is a day old, restricted, good, and tested an hour ago: no rule finds
    anything until something is said otherwise. `strategies` are the markets of enabled ones."""
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
        StrategyConfig.objects.create(
            connection=made, name=f"Strategy {number}", market=market, enabled=True
        )
    return made


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
