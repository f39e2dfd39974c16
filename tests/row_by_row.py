"""The rules once more, the way one writes them first: a loop over objects, a query for each thing.
What the auditor's sets are measured against, in time and in what they find."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from connections.exchanges.lifetimes import LIFETIMES
from connections.models import Connection, Credential, Finding, FindingChange, Thresholds
from connections.rules import (
    AT_REST,
    CRITICAL,
    HIGH,
    INFO,
    MANY_STRATEGIES,
    MARGIN_WITH_SPOT,
    MARGIN_WITH_TRADING,
    ONE_TRADING_RIGHT,
    TRANSFER_WITH_TRADING,
    WARNING,
)
from strategies.models import StrategyConfig


@dataclass(frozen=True, slots=True)
class Found:
    """What a finding is made of."""

    severity: int
    until: datetime | None = None
    amount: int = 0
    detail: str = ""


def audit(now: datetime) -> None:
    """All findings are opened, none is looked at again: enough for a first audit."""
    limits = Thresholds.current()
    for connection in Connection.objects.select_related("exchange").iterator():
        for rule, found in judge(connection, limits, now).items():
            finding = Finding.objects.create(
                connection=connection,
                rule=rule,
                severity=found.severity,
                until=found.until,
                amount=found.amount,
                detail=found.detail,
                first_seen_at=now,
                state_since=now,
            )
            FindingChange.objects.create(
                finding=finding, at=now, state=finding.state, severity=finding.severity
            )


def judge(connection: Connection, limits: Thresholds, now: datetime) -> dict[str, Found]:
    key = connection.credentials.filter(state="active").defer("sealed").first()
    markets = list(
        StrategyConfig.objects.filter(connection=connection, enabled=True).values_list(
            "market", flat=True
        )
    )
    found = _rights(connection, markets)
    found |= _pairs(connection)
    found |= _tests(connection, limits, now)
    if ends := _end(connection, key):
        until, detail = ends
        if severity := _nearness(until, limits, now):
            found["expiring"] = Found(severity, until, detail=detail)
    if key:
        found |= _key(connection, key, markets, limits, now)
    return found


def _rights(connection: Connection, markets: list[str]) -> dict[str, Found]:
    may, code = connection.known_permissions, connection.exchange_id
    found = {}
    if may.withdraw or connection.status == "refused":
        found["withdraw_enabled"] = Found(CRITICAL)
    if may.transfer:
        trades = may.spot_trade or may.futures_trade or may.margin
        along = code in TRANSFER_WITH_TRADING and trades
        found["transfer_enabled"] = Found(INFO if along else HIGH)
    if connection.ip_restricted is False:
        found["no_ip_restriction"] = Found(WARNING)
    if connection.ip_restricted is None and may.read:
        found["ip_restriction_unknown"] = Found(INFO)
    if len(markets) > 1:
        severity = WARNING if len(markets) >= MANY_STRATEGIES else INFO
        found["several_strategies"] = Found(severity, amount=len(markets))
    excess = []
    if may.spot_trade and "spot" not in markets and code not in ONE_TRADING_RIGHT:
        excess.append("spot_trade")
    if may.futures_trade and "futures" not in markets and code not in ONE_TRADING_RIGHT:
        excess.append("futures_trade")
    with_spot = code in MARGIN_WITH_SPOT and "spot" in markets
    if may.margin and code not in MARGIN_WITH_TRADING and not with_spot:
        excess.append("margin")
    if excess and markets:
        found["excess_permissions"] = Found(WARNING, detail=",".join(excess))
    return found


def _pairs(connection: Connection) -> dict[str, Found]:
    gone: dict[int, str] = {}
    for strategy in StrategyConfig.objects.filter(connection=connection, enabled=True):
        gone |= {pair.pk: pair.symbol for pair in strategy.pairs.all() if not pair.active}
    if not gone:
        return {}
    names = sorted({min(gone.values()), max(gone.values())})
    return {"delisted_pair": Found(HIGH, amount=len(gone), detail=",".join(names))}


def _tests(connection: Connection, limits: Thresholds, now: datetime) -> dict[str, Found]:
    if connection.paused_at or connection.exchange.paused:
        return {}
    found = {}
    since = connection.failing_since
    late = since and since <= now - timedelta(hours=limits.failing_hours)
    if late and connection.status != "refused":
        found["failing"] = Found(HIGH, since, detail=connection.problem)
    waiting = connection.created_at <= now - timedelta(hours=limits.never_tested_hours)
    if connection.tested_at is None and waiting:
        found["never_tested"] = Found(WARNING, connection.created_at)
    return found


def _end(connection: Connection, key: Credential | None) -> tuple[datetime, str] | None:
    if connection.key_expires_at:
        return connection.key_expires_at, ""
    lifetime = LIFETIMES.get(connection.exchange_id)
    if key is None or connection.ip_restricted is not False or not (lifetime and lifetime.days):
        return None
    until = (connection.key_created_at or key.created_at) + timedelta(days=lifetime.days)
    outlived = connection.last_ok_at and connection.last_ok_at >= until
    return None if outlived else (until, "computed")


def _key(
    connection: Connection,
    key: Credential,
    markets: list[str],
    limits: Thresholds,
    now: datetime,
) -> dict[str, Found]:
    found = {}
    used_at = key.last_used_at or key.created_at
    unused = now - timedelta(days=limits.unused_days)
    if not markets and used_at <= unused:
        found["unused"] = Found(WARNING, used_at)
    made_at = connection.key_created_at or key.created_at
    detail = "" if connection.key_created_at else "entered"
    if made_at <= now - timedelta(days=limits.very_old_days):
        found["old"] = Found(HIGH, made_at, detail=detail)
    elif made_at <= now - timedelta(days=limits.old_days):
        found["old"] = Found(WARNING, made_at, detail=detail)
    dies_at = _death(connection, key, now)
    if dies_at and (severity := _nearness(dies_at, limits, now)):
        found["dies_of_inactivity"] = Found(severity, dies_at, amount=len(markets))
    others = Credential.objects.filter(fingerprint=key.fingerprint).exclude(state="retired")
    others = others.exclude(connection=connection)
    own = others.filter(connection__owner=connection.owner_id).values("connection").distinct()
    if count := own.count():
        found["same_key_own"] = Found(WARNING, amount=count)
    if others.exclude(connection__owner=connection.owner_id).exists():
        found["same_key_elsewhere"] = Found(HIGH)
    return found


def _death(connection: Connection, key: Credential, now: datetime) -> datetime | None:
    lifetime, may = LIFETIMES.get(connection.exchange_id), connection.known_permissions
    if not (lifetime and lifetime.idle_days) or connection.ip_restricted is not False:
        return None
    if not (may.spot_trade or may.futures_trade or may.margin):
        return None
    if lifetime.told and connection.key_expires_at:
        return None
    moments = (key.created_at, key.last_used_at, connection.last_ok_at)
    rested_at = max(moment for moment in moments if moment)
    return rested_at + timedelta(days=lifetime.idle_days) if rested_at <= now - AT_REST else None


def _nearness(until: datetime, limits: Thresholds, now: datetime) -> int:
    for days, severity in (
        (limits.expiry_last_days, CRITICAL),
        (limits.expiry_second_days, HIGH),
        (limits.expiry_first_days, WARNING),
    ):
        if until <= now + timedelta(days=days):
            return severity
    return 0
