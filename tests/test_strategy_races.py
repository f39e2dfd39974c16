"""Two people, or a person and a test, at the same strategy or the same money at once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from threading import Thread
from typing import Any

import pytest
from django.db import connection as database
from django.db.models import Sum
from django.utils import timezone

from backfuture.accounts.models import User
from connections import replacing, results, worker
from connections import services as connection_services
from connections.exchanges.base import KeyFacts, Permissions
from connections.models import Connection, ConnectionTest
from strategies import safety, services
from strategies.models import StrategyConfig
from strategies.services import NotSafe
from tests import making
from tests import strategies_made as made
from tests.test_notice_making import AT_ONCE, at_once

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(database.vendor != "postgresql", reason="SQLite has one writer at a time"),
    AT_ONCE,
]
ROUNDS = range(6)


def enabling(strategy: StrategyConfig) -> Callable[[], str]:
    def enable() -> str:
        mine = StrategyConfig.objects.get(pk=strategy.pk)
        try:
            services.enable(mine, by=mine.owner, now=timezone.now())
        except NotSafe as refused:
            return ",".join(reason.code for reason in refused.reasons)
        return "enabled"

    return enable


def taken() -> Decimal:
    sums = StrategyConfig.objects.enabled().aggregate(taken=Sum("worst_case"))
    return sums["taken"] or Decimal(0)


@pytest.mark.parametrize("_", ROUNDS)
def test_two_enables_at_once_never_exceed_the_account(trader: User, stranger: User, _: int) -> None:
    """Six strategies of 400 on an account of 1,000, by three connections of two people."""
    mine = [made.tested(trader, name) for name in ("One", "Two")]
    theirs = made.tested(stranger, "Three")
    wished = [
        made.strategy(connection, f"{connection.name} {number}", limit=400)
        for connection in (*mine, theirs)
        for number in range(2)
    ]
    said = at_once(*map(enabling, wished))
    assert sorted(said) == ["balance"] * 4 + ["enabled"] * 2
    assert taken() <= 1000


@pytest.mark.parametrize("_", ROUNDS)
def test_a_change_and_an_enable_at_once_never_exceed_the_account(trader: User, _: int) -> None:
    connection = made.tested(trader)
    running = made.enabled(connection, "Runs", limit=400)
    other = made.strategy(connection, "Waits", limit=500)

    def grow() -> str:
        try:
            services.change(
                StrategyConfig.objects.get(pk=running.pk),
                by=trader,
                name="Runs",
                settings=made.settings(limit=700),
                pairs=list(running.pairs.all()),
                seen_version=1,
                now=timezone.now(),
            )
        except NotSafe:
            return "refused"
        return "grown"

    said = at_once(grow, enabling(other))
    assert sorted(map(str, said)) in (["balance", "grown"], ["enabled", "refused"])
    assert taken() <= 1000


UNSAFE: dict[str, Any] = {
    "refused": KeyFacts(Permissions(True, True, withdraw=True), True, uid="42"),
    "warnings": KeyFacts(Permissions(True, False, False, False, False, False), True, uid="42"),
}


@pytest.mark.parametrize("outcome", UNSAFE)
@pytest.mark.parametrize("_", ROUNDS)
def test_enable_against_a_test_that_turns_the_key_unsafe_never_ends_enabled(
    trader: User, outcome: str, _: int
) -> None:
    connection = made.tested(trader)
    strategy = made.strategy(connection)
    making.asked_again(connection)
    claimed = worker._claim(str(connection.tests.open().get().pk))
    assert claimed is not None
    report = making.report(outcome, facts=UNSAFE[outcome])
    at_once(enabling(strategy), lambda: results.write(claimed, report))
    strategy.refresh_from_db()
    assert ConnectionTest.objects.get(pk=claimed.pk).outcome == outcome
    assert not strategy.enabled


@pytest.mark.parametrize("_", ROUNDS)
def test_enable_against_deleting_the_connection_ends_without_both(trader: User, _: int) -> None:
    connection = made.tested(trader)
    strategy = made.strategy(connection)
    mine = Connection.objects.for_list().get(pk=connection.pk)
    at_once(enabling(strategy), lambda: connection_services.delete(mine, by=trader))
    strategy.refresh_from_db()
    assert (strategy.enabled, strategy.connection_id) == (False, None)


def confirmed(connection: Connection, uid: str) -> Callable[[], None]:
    """Writes the test of a new key of another account, which its owner wants all the same."""
    owner = connection.owner
    found = making.report(facts=KeyFacts(made.BOTH, True, uid=uid), **made.holding("1000"))
    replacing.replace_key(connection, by=owner, credentials=making.credentials())
    making.finish(connection, found)
    replacing.confirm_account(connection, by=owner, uid=uid)
    claimed = worker._claim(str(connection.tests.open().get().pk))
    assert claimed is not None
    return lambda: results.write(claimed, found)


@pytest.mark.parametrize("_", ROUNDS)
def test_a_new_key_of_another_account_and_an_enable_there_never_exceed_it(
    trader: User, _: int
) -> None:
    moving, there = made.tested(trader, "Moves"), made.tested(trader, "There", uid="43")
    made.enabled(moving, "Runs", limit=600)
    waits = made.strategy(there, "Waits", limit=600)
    at_once(enabling(waits), confirmed(moving, "43"))
    moving.refresh_from_db()
    assert moving.uid == "43"
    assert 0 < taken() <= 1000


@pytest.mark.parametrize("_", ROUNDS)
def test_going_back_and_an_enable_there_never_exceed_the_account(trader: User, _: int) -> None:
    moved, there = made.tested(trader, "Moves"), made.tested(trader, "There")
    made.enabled(moved, "Runs", limit=600)
    waits = made.strategy(there, "Waits", limit=600)
    confirmed(moved, "43")()
    stale = Connection.objects.for_list().get(pk=moved.pk)
    back = partial(replacing.go_back, stale, by=trader, now=timezone.now())
    at_once(enabling(waits), back)
    moved.refresh_from_db()
    assert moved.uid == "42"
    assert 0 < taken() <= 1000


@pytest.mark.parametrize("_", ROUNDS)
def test_two_keys_that_change_places_do_not_wait_for_each_other(trader: User, _: int) -> None:
    one, other = made.tested(trader, "One"), made.tested(trader, "Other", uid="43")
    for connection in (one, other):
        made.enabled(connection, connection.name, limit=600)
    at_once(confirmed(one, "43"), confirmed(other, "42"))
    uids = Connection.objects.order_by("name").values_list("uid", flat=True)
    assert list(uids) == ["43", "42"]
    for uid in uids:
        on_it = StrategyConfig.objects.enabled().filter(connection__uid=uid)
        assert (on_it.aggregate(taken=Sum("worst_case"))["taken"] or 0) <= 1000


def test_a_test_waits_while_the_rules_are_asked(trader: User, monkeypatch: Any) -> None:
    """One that ends meanwhile suspends the strategy as soon as it is enabled."""
    connection = made.tested(trader)
    strategy = made.strategy(connection)
    making.asked_again(connection)
    claimed = worker._claim(str(connection.tests.open().get().pk))
    assert claimed is not None
    report = making.report("refused", facts=UNSAFE["refused"])
    waits_while_enabling(strategy, lambda: results.write(claimed, report), monkeypatch)
    strategy.refresh_from_db()
    assert (strategy.enabled, strategy.suspended_for) == (False, "withdraw")


def test_a_move_to_the_account_waits_while_the_rules_are_asked(
    trader: User, monkeypatch: Any
) -> None:
    moving, there = made.tested(trader, "Moves"), made.tested(trader, "There", uid="43")
    running = made.enabled(moving, "Runs", limit=600)
    waits = made.strategy(there, "Waits", limit=600)
    waits_while_enabling(waits, confirmed(moving, "43"), monkeypatch)
    running.refresh_from_db()
    assert (running.enabled, running.suspended_for) == (False, "account")


def waits_while_enabling(
    strategy: StrategyConfig, work: Callable[[], object], monkeypatch: Any
) -> None:
    """`work` is begun while the rules are asked, and cannot go on before the strategy is on."""
    begun: list[Thread] = []
    verdict = safety.verdict

    def working() -> None:
        work()
        database.close()

    def slow(*given: Any, **named: Any) -> Any:
        said = verdict(*given, **named)
        begun.append(Thread(target=working))
        begun[0].start()
        begun[0].join(0.5)
        assert begun[0].is_alive()
        return said

    monkeypatch.setattr(safety, "verdict", slow)
    assert enabling(strategy)() == "enabled"
    begun[0].join(20)
    assert not begun[0].is_alive()
