"""Two people, or a person and a test, at the same strategy or the same money at once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.db.models import Sum
from django.utils import timezone

from backfuture.accounts.models import User
from connections import results, worker
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


def test_the_rules_are_asked_with_everything_kept_still(trader: User, monkeypatch: Any) -> None:
    """A test that ends while the rules are asked waits until the strategy is enabled, and then
    suspends it."""
    connection = made.tested(trader)
    strategy = made.strategy(connection)
    making.asked_again(connection)
    claimed = worker._claim(str(connection.tests.open().get().pk))
    assert claimed is not None
    report = making.report("refused", facts=UNSAFE["refused"])
    asked, verdict = [], safety.verdict

    def slow(*given: Any, **named: Any) -> Any:
        from threading import Thread

        def write() -> None:
            results.write(claimed, report)
            database.close()

        said = verdict(*given, **named)
        asked.append(Thread(target=write))
        asked[0].start()
        asked[0].join(0.5)
        assert asked[0].is_alive()
        return said

    monkeypatch.setattr(safety, "verdict", slow)
    assert enabling(strategy)() == "enabled"
    asked[0].join(20)
    strategy.refresh_from_db()
    assert (strategy.enabled, strategy.suspended_for) == (False, "withdraw")
