"""Keeps the findings in step with what is known about the keys: for all connections at once, or
for those that have just changed.

Safe at any time, any number of times, by any number of processes. A full audit keeps others of its
kind out; it looks at everything without a lock, keeps still only the connections where something is
to change, and leaves out those in use at that moment. One of a few connections keeps these still
from the beginning, so the two never wait for each other longer than it takes to write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from . import audit_sql
from .models import Connection, Finding, Thresholds


@dataclass(frozen=True, slots=True)
class Tally:
    """How many findings an audit touched. `changed` are those that stay, with other facts."""

    opened: int = 0
    reopened: int = 0
    changed: int = 0
    resolved: int = 0


def audit(*, now: datetime, connections: Collection[UUID] | None = None) -> Tally:
    """Judges all connections, or those given, and opens, reopens, changes and resolves findings.

    The same number of statements however many there are. Not within a transaction: what it keeps
    still is kept for a moment only.
    """
    if connections is not None and not connections:
        return Tally()
    limits = Thresholds.current()
    with transaction.atomic(durable=True), database.cursor() as cursor:
        if database.features.has_select_for_update:
            _keep_still(connections)
        cursor.execute(audit_sql.create_plan())
        cursor.execute(*audit_sql.plan(now=now, limits=limits, connections=connections))
        if database.features.has_select_for_update and connections is None:
            cursor.execute(audit_sql.LEAVE_OUT_WHAT_MOVES)
            cursor.execute(audit_sql.LEAVE_OUT_WHAT_IS_DONE)
        at = audit_sql.moment(now)
        cursor.execute(audit_sql.CHANGE, [at])
        cursor.execute(audit_sql.OPEN, [at, at])
        cursor.execute(audit_sql.WRITE_DOWN, [at, at])
        cursor.execute(audit_sql.COUNT_PLAN)
        tally = _tally(cursor.fetchall())
        cursor.execute(audit_sql.DROP_PLAN)
    return tally


def _keep_still(connections: Collection[UUID] | None) -> None:
    if connections is None:
        with database.cursor() as cursor:
            cursor.execute(audit_sql.ONE_FULL_AUDIT_AT_A_TIME)
        return
    rows = Connection.objects.select_for_update(no_key=True).filter(pk__in=connections)
    # Always in the same order, or two audits could wait for each other.
    list(rows.order_by("pk").values_list("pk"))


def _tally(rows: list[tuple[str | None, str, int]]) -> Tally:
    counts: Counter[str] = Counter()
    for was, state, count in rows:
        counts[_what_happened(was, state)] += count
    return Tally(**counts)


def _what_happened(was: str | None, state: str) -> str:
    if was is None:
        return "opened"
    if was == Finding.State.RESOLVED:
        return "reopened"
    return "resolved" if state == Finding.State.RESOLVED else "changed"
