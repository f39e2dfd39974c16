"""Any number of connections in four statements, made by the database itself from their numbers:
the same ones each time, on PostgreSQL and SQLite. About a third of them has findings. And any
number of tests of them, the newest last, with the opening of the key that each began with.

Whatever differs from a good connection does so by a divisor of its own, so they meet by chance.
"""
# ruff: noqa: S608  our own tables and the expressions below

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection as database
from django.db import models

from backfuture.accounts.models import User
from connections.exchanges import EXCHANGES
from connections.exchanges.base import STEPS, Permissions, Step
from connections.models import AccessEvent, Connection, ConnectionTest, Credential, Outage
from strategies.models import StrategyConfig

PER_OWNER = 3
OWNER = f"1000000 + (n + {PER_OWNER - 1}) / {PER_OWNER}"  # of the connection of that number
TOLD_AGE = "MOD(n, 10) < 5"  # half of the exchanges say when a key was made
FAILS, PAUSED, NEW, REFUSED = (
    "MOD(n, 43) = 0",
    "MOD(n, 37) = 0",
    "MOD(n, 199) = 0",
    "MOD(n, 331) = 0",
)
FUTURES = "MOD(n, 11) < 2"


def connections(count: int, now: datetime) -> None:
    """Owners, connections, keys and strategies; nothing is tested or audited yet."""
    _fill(User, _owner(), count // PER_OWNER + 1, now)
    _fill(Connection, _connection(), count, now)
    _fill(Credential, _key(), count, now)
    _fill(StrategyConfig, _strategy(1, "spot"), count, now, where="MOD(n, 17) > 1")
    on_futures = f"{FUTURES} AND MOD(n, 13) > 0 AND MOD(n, 17) > 1"
    _fill(StrategyConfig, _strategy(2, "futures"), count, now, where=on_futures)


def tests(count: int, among: int, now: datetime) -> None:
    """Evenly over the last thirty days and over the first `among` connections, in turn."""
    for model, columns in ((ConnectionTest, _test(count, among)), (AccessEvent, _event(among))):
        with _quickly(model):
            _fill(model, columns, count, now)


@contextmanager
def _quickly(model: type[models.Model]) -> Iterator[None]:
    """Rows first, then indexes; no log and no look at what they point to."""
    if database.vendor != "postgresql":
        yield
        return
    table = model._meta.db_table
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)",
            [table],
        )
        indexes = cursor.fetchall()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name, _definition in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _name, definition in indexes:
            cursor.execute(definition)


def move_on(now: datetime) -> None:
    """A day passes: what works has been tested again, and one key in a hundred has lost or got its
    IP restriction."""
    well = Connection.objects.filter(failing_since=None, paused_at=None, tested_at__isnull=False)
    well.update(tested_at=now, last_ok_at=now)
    moved = Connection.objects.filter(name__endswith="77", ip_restricted__isnull=False)
    moved.update(ip_restricted=~models.F("ip_restricted"))


def suspended(now: datetime) -> None:
    """Some strategies have lost their key within the last day, and one exchange is away."""
    lost = StrategyConfig.objects.filter(name__endswith="777")
    lost.update(enabled=False, suspended_at=now - timedelta(hours=3), suspended_for="ip")
    Outage.objects.create(exchange_id="mexc", began_at=now - timedelta(hours=1))


def _fill(
    model: type[models.Model],
    columns: dict[str, str],
    count: int,
    now: datetime,
    where: str = "n > 0",
) -> None:
    fields = {field.column: field for field in model._meta.concrete_fields}
    kinds = {name: field.db_type(database) for name, field in fields.items()}
    usual = {name: _usual(field) for name, field in fields.items() if _is_needed(field)}
    columns = usual | columns
    values = [*columns.values()]
    if database.vendor == "postgresql":  # SQLite takes any value, and would cast a date to a number
        values = [f"CAST({value} AS {kinds[name]})" for name, value in columns.items()]
    params = {"count": count, "now": database.ops.adapt_datetimefield_value(now), **RIGHTS}
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({', '.join(columns)})"
            f" SELECT {', '.join(values)} FROM ({_numbers()}) numbers WHERE {where}",
            params,
        )


def _is_needed(field: models.Field[Any, Any]) -> bool:
    return not (field.null or field.primary_key or field.is_relation)


def _usual(field: models.Field[Any, Any]) -> str:
    """What makes no difference here is as it is without being said."""
    value = field.get_default()
    if isinstance(value, bool):
        return "(1 = 1)" if value else "(1 = 0)"
    return f"'{json.dumps(value) if isinstance(field, models.JSONField) else value}'"


def _numbers() -> str:
    if database.vendor == "postgresql":
        return "SELECT generate_series(1, %(count)s) AS n"
    return (
        "WITH RECURSIVE counting (n) AS (SELECT 1 UNION ALL"
        " SELECT n + 1 FROM counting WHERE n < %(count)s) SELECT n FROM counting"
    )


def _ago(hours: str) -> str:
    if database.vendor == "postgresql":
        return f"(CAST(%(now)s AS timestamptz) - ({hours}) * interval '1 hour')"
    return f"datetime(%(now)s, (-({hours})) || ' hours')"


def tidy() -> None:
    """As the database's own housekeeping leaves it. Not within a transaction."""
    with database.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if database.vendor == "postgresql" else "ANALYZE")


def _rights(**rights: bool | None) -> str:
    usual = {"read": True, "spot_trade": True, "futures_trade": False, "margin": False}
    usual |= {"transfer": False, "withdraw": False, **rights}
    evidence = {right: f"GET /api/v3/account: {right} told" for right in usual}
    return json.dumps(Permissions.of(usual, evidence).to_store())


RIGHTS = {
    "spot": _rights(),
    "futures": _rights(futures_trade=True),
    "unclear": _rights(withdraw=None, transfer=None, margin=None),
    "moves": _rights(transfer=True),
    "withdraws": _rights(withdraw=True),
    "steps": json.dumps(
        [Step(name, True, 48, f"GET /api/v3/{name}", 200).as_dict() for name in STEPS]
    ),
}


def _owner() -> dict[str, str]:
    return {
        "id": "1000000 + n",
        "email": "'owner' || n || '@example.com'",
        "password": "'!'",
        "is_superuser": "(1 = 0)",
        "is_staff": "(1 = 0)",
        "is_active": "(1 = 1)",
        "time_zone": "'UTC'",
        "date_joined": _ago("24 * 400"),
    }


def _connection() -> dict[str, str]:
    exchange = " ".join(f"WHEN {i} THEN '{code}'" for i, code in enumerate(EXCHANGES))
    tested = f"CASE WHEN {PAUSED} THEN 24 * MOD(n, 19) WHEN {FAILS} THEN 12 * MOD(n, 5) ELSE 1 END"
    return {
        "id": "MD5('connection' || n)",
        "owner_id": OWNER,
        "exchange_id": f"CASE MOD(n, 10) {exchange} END",
        "name": "'Connection ' || n",
        "created_at": _ago("24 * MOD(n, 101)"),
        "paused_at": f"CASE WHEN {PAUSED} THEN {_ago('24 * MOD(n, 19)')} END",
        "status": f"CASE WHEN {REFUSED} THEN 'refused' WHEN {NEW} THEN 'new'"
        f" WHEN {FAILS} THEN 'failed' ELSE 'connected' END",
        "problem": f"CASE WHEN {FAILS} AND NOT {NEW} THEN 'ip_not_allowed' ELSE '' END",
        "permissions": f"CASE WHEN {REFUSED} THEN %(withdraws)s WHEN {NEW} THEN '{{}}'"
        f" WHEN MOD(n, 103) = 0 THEN %(moves)s WHEN MOD(n, 29) = 0 THEN %(unclear)s"
        f" WHEN {FUTURES} THEN %(futures)s ELSE %(spot)s END",
        "ip_restricted": "CASE WHEN MOD(n, 53) < 2 THEN NULL ELSE MOD(n, 13) > 0 END",
        "key_expires_at": f"CASE WHEN MOD(n, 71) = 0 THEN {_ago('-6 * MOD(n, 400)')} END",
        "uid": f"CASE WHEN {NEW} THEN '' ELSE CAST(n AS varchar(20)) END",
        "site": "''",
        "suspicion": "''",
        "tested_at": f"CASE WHEN NOT {NEW} THEN {_ago('1')} END",
        "last_ok_at": f"CASE WHEN NOT {NEW} THEN {_ago(tested)} END",
        "failing_since": f"CASE WHEN {FAILS} AND NOT {NEW} THEN {_ago('12 * MOD(n, 5)')} END",
        "key_created_at": f"CASE WHEN {TOLD_AGE} THEN {_ago('24 * MOD(n, 101)')} END",
        "next_test_at": f"CASE WHEN NOT {PAUSED} THEN {_ago('-23')} END",
        "retries": "0",
    }


def _key() -> dict[str, str]:
    twice = "CASE WHEN MOD(n, 499) = 0 THEN n - 1 ELSE n END"
    sealed = {"postgresql": "decode(repeat(md5('s' || n), 30), 'hex')", "sqlite": "randomblob(480)"}
    return {
        "id": "MD5('key' || n)",
        "connection_id": "MD5('connection' || n)",
        "state": "'active'",
        "revision": "1",
        "sealed": sealed[database.vendor],
        "hint": "SUBSTR(MD5('hint' || n), 1, 4)",
        "fingerprint": f"MD5('f' || ({twice})) || MD5('g' || ({twice}))",
        "created_at": _ago("24 * MOD(n, 101)"),
        "uid": "''",
        "last_opened_at": _ago("1"),
        "last_used_at": f"CASE WHEN MOD(n, 17) > 1 THEN {_ago('2')} END",
    }


def _strategy(number: int, market: str) -> dict[str, str]:
    return {
        "id": f"MD5('strategy {number} ' || n)",
        "owner_id": OWNER,
        "connection_id": "MD5('connection' || n)",
        "name": f"'Strategy {number} of ' || n",
        "market": f"'{market}'",
        "enabled": "(1 = 1)",
        "created_at": _ago("24 * MOD(n, 101)"),
    }


def _test(count: int, among: int) -> dict[str, str]:
    id_ = {"postgresql": "lpad(to_hex(n), 32, '0')", "sqlite": "printf('%%032x', n)"}
    number = _turn(among)  # of the connection
    waits = f"n > {count} - 40"
    fails, refused = FAILS.replace("n,", f"{number},"), REFUSED.replace("n,", f"{number},")
    silent = "MOD(n, 97) = 0"
    ended = f"{count} - n) * 720.0 / {count}"
    outcome = f"WHEN {silent} OR {fails} THEN 'failed' WHEN {refused} THEN 'refused'"
    problem = (
        f"WHEN {silent} THEN 'unavailable' WHEN {fails} THEN 'ip_not_allowed'"
        f" WHEN {refused} THEN 'withdrawal_enabled'"
    )
    return {
        "id": id_[database.vendor],
        "connection_id": f"MD5('connection' || {number})",
        "credential_id": f"MD5('key' || {number})",
        "reason": "CASE WHEN MOD(n, 50021) = 0 THEN 'staff' WHEN MOD(n, 211) = 0 THEN 'user'"
        " WHEN MOD(n, 97) = 1 THEN 'retry' ELSE 'scheduled' END",
        "status": f"CASE WHEN {waits} THEN 'queued' ELSE 'done' END",
        "queued_at": _ago(f"({ended} + 0.001"),
        "started_at": f"CASE WHEN NOT {waits} THEN {_ago(f'({ended} + 0.0005')} END",
        "finished_at": f"CASE WHEN NOT {waits} THEN {_ago(f'({ended}')} END",
        "fence": "1",
        "outcome": f"CASE WHEN {waits} THEN '' {outcome} ELSE 'connected' END",
        "problem": f"CASE WHEN {waits} THEN '' {problem} ELSE '' END",
        "steps": "%(steps)s",
        "permissions": "%(spot)s",
        "uid": f"CAST({number} AS varchar(20))",
        "skew_ms": "MOD(n, 300)",
    }


def _event(among: int) -> dict[str, str]:
    number = _turn(among)
    exchange = " ".join(f"WHEN {i} THEN '{code}'" for i, code in enumerate(EXCHANGES))
    return {
        "kind": "'opened'",
        "at": _ago("(%(count)s - n) * 720.0 / %(count)s"),
        "owner_id": OWNER.replace("n +", f"{number} +"),
        "connection_id": f"MD5('connection' || {number})",
        "credential_id": f"MD5('key' || {number})",
        "exchange": f"CASE MOD({number}, 10) {exchange} END",
        "key_hint": f"SUBSTR(MD5('hint' || {number}), 1, 4)",
        "key_fingerprint": f"MD5('f' || {number}) || MD5('g' || {number})",
        "why": "'test'",
        "task_id": "MD5('task' || n)",
    }


def _turn(among: int) -> str:
    return f"((n - 1) %% {among} + 1)"  # MOD makes a fraction of it on SQLite
