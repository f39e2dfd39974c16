"""May a strategy be enabled now? Each reason against it, one by one and together."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from backfuture.accounts.models import User
from connections.exchanges.base import KeyFacts, Permissions
from connections.models import Connection, Exchange, Thresholds
from strategies import safety, services
from strategies.models import StrategyConfig
from tests import making
from tests import strategies_made as made

HOUR = timedelta(hours=1)


@pytest.fixture
def connection(trader: User) -> Connection:
    return made.tested(trader)


def codes(strategy: StrategyConfig, **later: float) -> list[str]:
    strategy = StrategyConfig.objects.get(pk=strategy.pk)
    now = timezone.now() + timedelta(**later)
    return [reason.code for reason in safety.verdict(strategy, now=now).reasons]


def change(connection: Connection, **fields: Any) -> None:
    Connection.objects.filter(pk=connection.pk).update(**fields)


def test_a_good_key_a_fresh_test_and_enough_funds_are_safe(connection: Connection) -> None:
    strategy = made.strategy(connection)
    verdict = safety.verdict(strategy, now=timezone.now())
    assert (verdict.safe, verdict.reasons, verdict.warnings) == (True, [], [])


def test_what_was_never_tested(trader: User, mexc: Any) -> None:
    connection = making.connection(trader, mexc, "Untested")
    assert codes(made.strategy(connection)) == ["not_tested"]


@pytest.mark.parametrize(("hours", "found"), [(23.99, []), (24.01, ["test_too_old"])])
def test_a_test_is_good_for_a_day(connection: Connection, hours: float, found: list[str]) -> None:
    assert codes(made.strategy(connection), hours=hours) == found


def test_a_test_in_the_future_is_of_a_clock_that_was_wrong(connection: Connection) -> None:
    assert codes(made.strategy(connection), hours=-1) == ["test_too_old"]


@pytest.mark.parametrize("problem", ["bad_secret", "ip_not_allowed", "unavailable"])
def test_a_key_whose_last_test_failed(connection: Connection, problem: str) -> None:
    strategy = made.strategy(connection)
    change(connection, status="failed", problem=problem)
    assert codes(strategy) == ["failed"]


def test_a_failure_that_is_not_confirmed_yet(connection: Connection) -> None:
    strategy = made.strategy(connection)
    change(connection, suspicion="bad_secret")
    assert codes(strategy) == ["in_doubt"]


def test_a_key_that_may_withdraw(trader: User, mexc: Any) -> None:
    connection = making.connection(trader, mexc, "Main")
    facts = KeyFacts(Permissions(True, True, withdraw=True), True)
    making.finish(connection, making.report("refused", facts=facts))
    assert codes(made.strategy(connection)) == ["withdraw"]


@pytest.mark.parametrize(
    ("market", "rights", "found"),
    [
        ("spot", {"spot_trade": False, "futures_trade": True}, "no_trading"),
        ("spot", {"spot_trade": None, "futures_trade": True}, "trading_unknown"),
        ("futures", {"spot_trade": True, "futures_trade": False}, "no_trading"),
        ("futures", {"spot_trade": True, "futures_trade": None}, "trading_unknown"),
    ],
)
def test_the_right_to_trade_on_its_market_has_to_be_proven(
    trader: User, market: str, rights: dict[str, Any], found: str
) -> None:
    may = Permissions(read=True, withdraw=False, **rights)
    connection = made.tested(trader, may=may)
    assert found in codes(made.strategy(connection, market=market))


def test_a_futures_account_that_is_not_opened(trader: User) -> None:
    may = Permissions(True, True, True, False, False, False, closed=("futures",))
    connection = made.tested(trader, may=may)
    assert "market_closed" in codes(made.strategy(connection, market="futures"))
    assert codes(made.strategy(connection, "Other", limit=400)) == []


@pytest.mark.parametrize(
    ("left", "found"), [(25 * HOUR, []), (23 * HOUR, ["expires"]), (-HOUR, ["expires"])]
)
def test_a_key_that_ends_within_a_day(trader: User, left: timedelta, found: list[str]) -> None:
    connection = made.tested(trader, expires_at=timezone.now() + left)
    assert codes(made.strategy(connection)) == found


@pytest.mark.parametrize("restricted", [False, None])
def test_ip_restriction_only_where_the_operator_wants_it(
    trader: User, restricted: bool | None
) -> None:
    strategy = made.strategy(made.tested(trader, ip_restricted=restricted))
    assert codes(strategy) == []
    Thresholds(require_ip_restriction=True, pk=1).save()
    assert codes(strategy) == ["no_ip_restriction"]


def test_a_paused_connection(connection: Connection) -> None:
    strategy = made.strategy(connection)
    change(connection, paused_at=timezone.now())
    assert codes(strategy) == ["paused"]


def test_an_exchange_that_support_has_paused(connection: Connection) -> None:
    strategy = made.strategy(connection)
    Exchange.objects.filter(pk=connection.exchange_id).update(paused=True)
    assert codes(strategy) == ["exchange_paused"]


def test_a_suspended_one_needs_a_test_from_after_that(connection: Connection) -> None:
    strategy = made.enabled(connection)
    services.suspend(strategy, "withdraw", timezone.now())
    assert codes(strategy) == ["test_before_suspension"]
    making.asked_again(connection)
    facts = KeyFacts(made.BOTH, True, uid="42")
    making.finish(connection, making.report(facts=facts, **made.holding("1000")))
    assert codes(strategy) == []


def test_a_strategy_without_a_connection(connection: Connection) -> None:
    strategy = made.strategy(connection)
    from connections import services as connection_services

    connection_services.delete(connection, by=connection.owner)
    assert codes(strategy) == ["no_connection"]


class TestSharedKeys:
    def test_are_advised_against(self, connection: Connection) -> None:
        made.enabled(connection, "First", limit=100)
        verdict = safety.verdict(made.strategy(connection, "Second"), now=timezone.now())
        assert verdict.safe
        assert [each.code for each in verdict.warnings] == ["key_shared"]
        assert "First" in verdict.warnings[0].what

    def test_are_refused_where_the_operator_says_so(self, connection: Connection) -> None:
        Thresholds(separate_keys=True, pk=1).save()
        made.enabled(connection, "First", limit=100)
        assert codes(made.strategy(connection, "Second")) == ["key_shared"]

    def test_are_found_also_in_another_connection(self, connection: Connection) -> None:
        """The form refuses that; a key may still be there twice since before it did."""
        made.enabled(connection, "First", limit=100)
        other = made.tested(connection.owner, "Other", uid="43")
        key = connection.credentials.get().fingerprint
        other.credentials.update(fingerprint=key)
        verdict = safety.verdict(made.strategy(other, "Second"), now=timezone.now())
        assert [each.code for each in verdict.warnings] == ["key_shared"]

    def test_those_of_another_person_are_not_named(
        self, connection: Connection, stranger: User
    ) -> None:
        theirs = made.tested(stranger, "Theirs", uid="43")
        made.enabled(theirs, "Secret name", limit=100)
        theirs.credentials.update(fingerprint=connection.credentials.get().fingerprint)
        (warning,) = safety.verdict(made.strategy(connection), now=timezone.now()).warnings
        assert "used by: strategies of another person." in warning.what

    def test_what_is_switched_off_shares_nothing(self, connection: Connection) -> None:
        made.strategy(connection, "First")
        verdict = safety.verdict(made.strategy(connection, "Second"), now=timezone.now())
        assert verdict.warnings == []


class TestTheAccount:
    @pytest.mark.parametrize(("total", "found"), [("500", []), ("499", ["balance"])])
    def test_its_balance_covers_the_worst_case(
        self, trader: User, total: str, found: list[str]
    ) -> None:
        strategy = made.strategy(made.tested(trader, total=total))
        assert strategy.worst_case > 499
        assert codes(strategy) == found

    def test_numbers_are_said(self, trader: User) -> None:
        connection = made.tested(trader, total="600")
        made.enabled(connection, "First", limit=200)
        strategy = made.strategy(connection, "Second")
        reason = safety.verdict(strategy, now=timezone.now()).reasons[0]
        assert "600 USDT" in reason.what
        assert f"{strategy.worst_case.normalize():f} USDT" in reason.what

    def test_is_one_for_all_connections_to_it(self, trader: User, stranger: User) -> None:
        first, second = made.tested(trader, "First"), made.tested(trader, "Second")
        theirs = made.tested(stranger, "Theirs")
        made.enabled(first, "One", limit=400)
        made.enabled(theirs, "Two", limit=400)
        assert codes(made.strategy(second, "Three", limit=100)) == []
        assert codes(made.strategy(second, "Four", limit=300)) == ["balance"]

    def test_of_another_uid_or_exchange_is_another(self, trader: User) -> None:
        first, second = made.tested(trader, "First"), made.tested(trader, "Second", uid="7")
        made.enabled(first, "One", limit=900)
        assert codes(made.strategy(second, "Two", limit=900)) == []

    def test_without_uid_it_is_the_connection_alone(self, trader: User) -> None:
        first, second = made.tested(trader, "First", uid=""), made.tested(trader, "Second", uid="")
        made.enabled(first, "One", limit=900)
        assert codes(made.strategy(second, "Two", limit=900)) == []
        assert codes(made.strategy(first, "Three", limit=900)) == ["balance"]

    def test_other_currencies_are_counted_apart(self, trader: User) -> None:
        connection = made.tested(trader)
        made.enabled(connection, "One", limit=900)
        usdc = made.strategy(connection, "Two", pairs=[made.pair("BTC/USDC")])
        assert codes(usdc) == ["balance"]  # it has no USDC at all

    def test_spot_and_futures_are_two_where_the_exchange_keeps_them_apart(
        self, trader: User
    ) -> None:
        connection = made.tested(trader, total=("500", "700"))
        made.enabled(connection, "Spot", limit=500)
        assert codes(made.strategy(connection, "More", limit=100)) == ["balance"]
        made.enabled(connection, "Futures", market="futures", limit=700)

    def test_both_markets_take_from_a_unified_account(self, trader: User) -> None:
        connection = made.tested(trader, total="1000")
        made.enabled(connection, "Spot", limit=500)
        futures = made.strategy(connection, "Futures", market="futures", limit=700)
        assert codes(futures) == ["balance"]

    @pytest.mark.parametrize("last", ["Spot alone", "Both"])
    def test_of_a_unified_account_one_key_may_know_spot_alone(
        self, trader: User, last: str
    ) -> None:
        """The other key's test says that futures are paid from the same money."""
        alone = {"may": Permissions(True, True, False, False, False, False)}
        keys = [("Spot alone", alone), ("Both", {})]
        found = {
            name: made.tested(trader, name, **facts)
            for name, facts in sorted(keys, key=lambda key: key[0] == last)
        }
        test = found["Spot alone"].tests.get()
        test.balances_of[0]["markets"] = test.balances[0]["markets"] = ["spot"]
        test.save()
        made.enabled(found["Both"], "Futures", market="futures", limit=600)
        assert codes(made.strategy(found["Spot alone"], "Spot", limit=600)) == ["balance"]
        assert codes(made.strategy(found["Both"], "More", market="futures", limit=300)) == []

    def test_what_another_key_read_days_ago_is_not_believed(self, trader: User) -> None:
        old, new = made.tested(trader, "Old"), made.tested(trader, "New")
        old.tests.update(finished_at=timezone.now() - timedelta(hours=25))
        new.tests.update(balances_of=[], balances=[])
        assert codes(made.strategy(new)) == ["balance_unknown"]

    def test_a_balance_nobody_read_is_not_guessed(self, trader: User) -> None:
        connection = made.tested(trader)
        strategy = made.strategy(connection)
        connection.tests.all().delete()
        assert codes(strategy) == ["balance_unknown"]


class TestTheSettings:
    def test_a_pair_that_is_gone(self, connection: Connection) -> None:
        strategy = made.strategy(connection)
        made.pair("BTC/USDT", active=False)
        assert codes(strategy) == ["delisted"]

    def test_a_minimum_that_was_raised(self, connection: Connection) -> None:
        strategy = made.strategy(connection)
        made.pair("BTC/USDT", min_cost=Decimal(1000))
        assert codes(strategy) == ["settings_first_order", "settings_refill_order"]


def test_everything_is_said_at_once(trader: User) -> None:
    may = Permissions(True, False, False, False, False, False)
    connection = made.tested(
        trader, total="1", may=may, ip_restricted=False, expires_at=timezone.now() + HOUR
    )
    Thresholds(require_ip_restriction=True, pk=1).save()
    strategy = made.strategy(connection)
    made.pair("BTC/USDT", active=False)
    change(connection, paused_at=timezone.now())
    assert codes(strategy) == [
        "paused",
        "no_trading",
        "expires",
        "no_ip_restriction",
        "delisted",
        "balance",
    ]


def test_every_reason_says_what_to_do(connection: Connection) -> None:
    strategy = made.strategy(connection)
    change(connection, status="new", paused_at=timezone.now())
    made.pair("BTC/USDT", active=False)
    for reason in safety.verdict(strategy, now=timezone.now()).reasons:
        assert reason.what.endswith(".")
        assert reason.todo.endswith(".")
        assert reason.link.startswith("/")


def test_enabling_asks_the_same_rules(connection: Connection) -> None:
    strategy = made.strategy(connection)
    change(connection, suspicion="bad_secret")
    with pytest.raises(services.NotSafe) as caught:
        services.enable(strategy, by=connection.owner, now=timezone.now())
    assert [reason.code for reason in caught.value.reasons] == ["in_doubt"]
    strategy.refresh_from_db()
    assert not strategy.enabled
