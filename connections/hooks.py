"""What others do when a connection changes: they say so at start, we call them. Where nothing else
is said, within the transaction of the change, under the connection's lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from django.db.models import QuerySet

from .models import Connection

Tested = Callable[[Connection, datetime, bool], None]
Removed = Callable[[Connection, Any], None]
Running = Callable[[QuerySet[Connection]], int]


class Halt(Protocol):
    def __call__(
        self,
        connections: QuerySet[Connection],
        *,
        now: datetime,
        told: bool,
        note: Callable[[int], None],
    ) -> bool: ...


_tested: list[Tested] = []
_removed: list[Removed] = []
_running: list[Running] = []
_halt: list[Halt] = []


def register(*, tested: Tested, removed: Removed, running: Running, halt: Halt) -> None:
    """`tested(connection, now, moved)` after a result was written, `moved` where another key took
    it to another exchange account, also before that key is tested again; `removed(connection, by)`
    before the connection is deleted.

    For incidents, outside any transaction: `running(connections)` says how much runs on them;
    `halt` ends some of it, calls `note(count)` in the transaction that did so, and says whether
    there may be more. With `told`, somebody else tells the owners.
    """
    if tested not in _tested:
        _tested.append(tested)
        _removed.append(removed)
        _running.append(running)
        _halt.append(halt)


def tested(connection: Connection, now: datetime, moved: bool) -> None:
    for each in _tested:
        each(connection, now, moved)


def removed(connection: Connection, by: Any) -> None:
    for each in _removed:
        each(connection, by)


def running(connections: QuerySet[Connection]) -> int:
    return sum(each(connections) for each in _running)


def halt(
    connections: QuerySet[Connection], *, now: datetime, told: bool, note: Callable[[int], None]
) -> bool:
    left = [each(connections, now=now, told=told, note=note) for each in _halt]
    return any(left)
