"""A strategy's life: saved, changed, enabled, suspended, brought back, deleted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from backfuture.accounts.models import User
from connections import replacing, sending
from connections import services as connection_services
from connections.exchanges.base import KeyFacts, Permissions
from connections.models import Connection, Notice
from strategies import ladder, limits, services, suspending
from strategies.models import StrategyConfig, StrategyEvent
from strategies.presets import PRESETS, SETTINGS
from tests import making
from tests import strategies_made as made
from tests.test_notice_making import AT_ONCE

Kind = StrategyEvent.Kind
NO_TRADING = Permissions(True, False, False, False, False, False)


@pytest.fixture
def connection(trader: User) -> Connection:
    return made.tested(trader)


def history(strategy: StrategyConfig) -> list[str]:
    return list(strategy.events.order_by("pk").values_list("kind", flat=True))


def change(strategy: StrategyConfig, **changed: Any) -> StrategyConfig:
    given = {"pairs": list(strategy.pairs.all()), "name": strategy.name}
    given |= {name: changed.pop(name) for name in ("pairs", "name") if name in changed}
    kept = {name: getattr(strategy, name) for name in SETTINGS}
    seen = changed.pop("seen_version", strategy.version)
    return services.change(
        strategy,
        by=strategy.owner,
        settings={**kept, **changed},
        seen_version=seen,
        now=timezone.now(),
        **given,
    )


def test_again(connection: Connection, outcome: str = "connected", **fields: Any) -> None:
    making.asked_again(connection)
    usual = {"facts": KeyFacts(made.BOTH, True, uid="42"), **made.holding("1000")}
    making.finish(connection, making.report(outcome, **{**usual, **fields}))


test_again.__test__ = False  # type: ignore[attr-defined]


class TestSettings:
    @pytest.mark.parametrize("risk", PRESETS)
    @pytest.mark.parametrize("market", ["spot", "futures"])
    @pytest.mark.parametrize("limit", ["0.00000012345", "0.05", "7", "60", "123.45", "100000"])
    def test_a_preset_fills_everything_within_its_limit(
        self, risk: str, market: str, limit: str
    ) -> None:
        filled = PRESETS[risk].settings(market, Decimal(limit))
        assert {*filled, "market", "direction", "risk"} == set(SETTINGS)
        strategy = StrategyConfig(market=market, risk=risk, name="S", **filled)
        assert limits.faults(strategy, [made_up(market)]) == []
        worst = limits.worst_case(strategy)
        assert Decimal(limit) * Decimal("0.7") < worst <= Decimal(limit)

    @pytest.mark.parametrize(
        ("limit", "order", "loss"),
        [
            ("500", "18.17", "25"),
            ("0.05", "0.00181", "0.0025"),
            ("1e-12", "0", "0"),
            ("0", "0", "0"),
        ],
    )
    def test_amounts_of_a_preset_are_round_in_any_currency(
        self, limit: str, order: str, loss: str
    ) -> None:
        filled = PRESETS["balanced"].settings("spot", Decimal(limit))
        assert filled["first_order"] == filled["refill_order"] == Decimal(order)
        assert filled["recovery_loss"] == Decimal(loss)

    @pytest.mark.parametrize("risk", PRESETS)
    @pytest.mark.parametrize("market", ["spot", "futures"])
    def test_no_preset_is_liquidated_before_its_last_refill(self, risk: str, market: str) -> None:
        strategy = StrategyConfig(market=market, **PRESETS[risk].settings(market))
        assert ladder.build(strategy.ladder_settings, Decimal(100)).liquidated_at is None

    @pytest.mark.parametrize(
        ("changed", "setting"),
        [
            ({"margin_limit": Decimal(499)}, "margin_limit"),
            ({"direction": "short"}, "direction"),
            ({"leverage": Decimal(2)}, "leverage"),
            ({"leverage": Decimal(126)}, "leverage"),
            ({"first_order": Decimal("4.99")}, "first_order"),
            ({"refill_order": Decimal("4.99")}, "refill_order"),
            ({"first_order": Decimal("NaN")}, "first_order"),
            ({"first_order": Decimal(-1)}, "first_order"),
            ({"max_refills": 51}, "max_refills"),
            ({"refills_at_once": 5}, "refills_at_once"),
            ({"refill_step": Decimal(30)}, "refill_step"),
            ({"recovery": "reduce", "recovery_close": None}, "recovery_close"),
            ({"recovery_threshold": None}, "recovery_threshold"),
            (
                {"recovery": "reduce", "recovery_close": Decimal(25), "recovery_loss": Decimal(0)},
                "recovery_loss",
            ),
            ({"max_deals": 0}, "max_deals"),
        ],
    )
    def test_what_cannot_be_saved(
        self, connection: Connection, changed: dict[str, Any], setting: str
    ) -> None:
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, **changed)
        assert setting in [fault.setting for fault in caught.value.faults]
        assert all(limits.sentence(fault) for fault in caught.value.faults)
        assert not StrategyConfig.objects.exists()

    def test_the_margin_limit_is_said_with_its_numbers(self, connection: Connection) -> None:
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, margin_limit=Decimal(100))
        (fault,) = caught.value.faults
        assert "499.96 USDT" in limits.sentence(fault) or "499" in limits.sentence(fault)
        assert "100 USDT" in limits.sentence(fault)

    def test_pairs_share_one_quote_currency(self, connection: Connection) -> None:
        pairs = [made.pair("BTC/USDT"), made.pair("ETH/BTC")]
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, pairs=pairs)
        assert "BTC, USDT" in limits.sentence(caught.value.faults[0])

    def test_a_minimum_amount_is_reckoned_at_the_last_price(self, connection: Connection) -> None:
        price = {"min_cost": None, "last_price": Decimal(50_000)}
        small = made.pair("BTC/USDT", min_amount=Decimal("0.001"), **price)
        made.strategy(connection, "Fits", pairs=[small])  # orders of more than 50
        large = made.pair("BTC/USDT", min_amount=Decimal("0.01"), **price)
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, "Too small", pairs=[large])
        assert "500 USDT" in limits.sentence(caught.value.faults[0])

    @pytest.mark.parametrize(
        ("first", "count", "volume", "step", "scale"),
        [("0.001", 9, "0.9", "1", "1.4"), ("0.0001", 12, "0.95", "2", "1.2")],
    )
    def test_the_refill_that_buys_least_is_neither_the_first_nor_the_last(
        self, first: str, count: int, volume: str, step: str, scale: str
    ) -> None:
        """Sizes shrink, and prices fall faster and faster."""
        shape = {"volume_scale": volume, "refill_step": step, "step_scale": scale}
        strategy = StrategyConfig(
            **made.settings(limit=10_000, risk="custom", max_refills=count)
            | {name: Decimal(value) for name, value in shape.items()}
            | {"first_order": Decimal(100), "refill_order": Decimal(100)}
        )
        rungs = ladder.build(strategy.ladder_settings, Decimal(50)).rungs
        bought = [rung.size / rung.price for rung in rungs]
        least = min(bought)
        assert least < min(bought[1], bought[-1])
        pair = made_up("spot")
        pair.last_price, pair.min_amount = Decimal(50), least
        assert limits.faults(strategy, [pair]) == []
        pair.min_amount = least * Decimal("1.0001")
        assert [fault.setting for fault in limits.faults(strategy, [pair])] == ["refill_order"]

    def test_an_order_is_one_step_at_least(self, connection: Connection) -> None:
        coarse = made.pair("BTC/USDT", amount_step=Decimal(1), last_price=Decimal(50_000))
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, pairs=[coarse])
        assert "at least 1 BTC" in limits.sentence(caught.value.faults[0])

    @pytest.mark.parametrize(
        "changed",
        [
            {"max_refills": 50, "volume_scale": Decimal(10), "step_scale": Decimal(1)},
            {"max_refills": 50, "step_scale": Decimal(10)},
            {"margin_limit": Decimal("9999999999999999")},
            {"first_order": Decimal("9999999999999999.999999999999")},
        ],
    )
    def test_the_largest_numbers_are_refused_in_words(
        self, connection: Connection, changed: dict[str, Any]
    ) -> None:
        with pytest.raises(services.Refused) as caught:
            made.strategy(connection, **changed)
        assert all(0 < len(limits.sentence(fault)) < 400 for fault in caught.value.faults)

    def test_pairs_of_another_exchange_are_not_taken(self, connection: Connection) -> None:
        with pytest.raises(services.OtherExchange):
            made.strategy(connection, pairs=[made.pair(exchange="kucoin")])

    def test_names_are_the_owners_own(self, connection: Connection, stranger: User) -> None:
        made.strategy(connection, "Ladder")
        with pytest.raises(services.NameTaken):
            made.strategy(connection, "LADDER")
        made.strategy(made.tested(stranger), "Ladder")


def made_up(market: str) -> Any:
    from strategies.models import Pair

    return Pair(exchange_id="mexc", market=market, symbol="BTC/USDT", base="BTC", quote="USDT")


class TestVersions:
    def test_each_change_is_one_with_who_and_when(self, connection: Connection) -> None:
        strategy = made.strategy(connection)
        changed = change(strategy, take_profit=Decimal("2.5"), pairs=[made.pair("ETH/USDT")])
        assert changed.version == 2
        first, second = strategy.events.order_by("version")
        assert (first.kind, second.kind, second.by) == (Kind.CREATED, Kind.CHANGED, strategy.owner)
        assert first.settings["take_profit"] == "1.5"
        assert second.settings["take_profit"] == "2.5"
        assert second.settings["pairs"] == ["ETH/USDT"]

    def test_the_same_again_is_none(self, connection: Connection) -> None:
        strategy = StrategyConfig.objects.get(pk=made.strategy(connection).pk)
        assert change(strategy).version == 1
        assert history(strategy) == ["created"]

    def test_what_was_changed_elsewhere_is_not_overwritten(self, connection: Connection) -> None:
        strategy = made.strategy(connection)
        change(strategy, take_profit=Decimal(2))
        with pytest.raises(services.Outdated):
            change(strategy, seen_version=1, take_profit=Decimal(3))
        strategy.refresh_from_db()
        assert strategy.take_profit == 2

    def test_an_enabled_one_is_changed_only_to_what_is_safe(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        with pytest.raises(services.NotSafe) as caught:
            change(strategy, **made.settings(limit=1200))
        assert [reason.code for reason in caught.value.reasons] == ["balance"]
        strategy.refresh_from_db()
        assert (strategy.version, strategy.enabled) == (1, True)
        assert change(strategy, **made.settings(limit=900)).enabled

    def test_another_name_is_safe_whatever_its_key_is(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        Connection.objects.update(status="failed", problem="unavailable")
        assert change(strategy, name="Renamed").version == 2
        with pytest.raises(services.NotSafe):
            change(strategy, seen_version=2, name="Renamed", fee=Decimal("0.2"))

    def test_one_that_is_off_may_wait_for_funds(self, connection: Connection) -> None:
        strategy = made.strategy(connection)
        assert change(strategy, **made.settings(limit=5000)).version == 2


class TestSwitching:
    def test_on_and_off(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        services.disable(strategy, by=strategy.owner, now=timezone.now())
        services.disable(strategy, by=strategy.owner, now=timezone.now())
        assert history(strategy) == ["created", "enabled", "disabled"]

    def test_what_runs_is_not_deleted(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        with pytest.raises(services.StillEnabled):
            services.delete(strategy)
        services.disable(strategy, by=strategy.owner, now=timezone.now())
        services.delete(strategy)
        assert not StrategyConfig.objects.exists()


class TestSuspension:
    @pytest.mark.parametrize(
        ("outcome", "report", "why"),
        [
            (
                "refused",
                {"facts": KeyFacts(Permissions(True, True, withdraw=True), True)},
                "withdraw",
            ),
            ("warnings", {"facts": KeyFacts(NO_TRADING, True, uid="42")}, "no_trading"),
        ],
    )
    def test_when_the_key_turns_unsafe(
        self, connection: Connection, outcome: str, report: dict[str, Any], why: str
    ) -> None:
        strategy = made.enabled(connection)
        test_again(connection, outcome, **report)
        strategy.refresh_from_db()
        assert (strategy.enabled, strategy.suspended_for) == (False, why)
        assert strategy.suspended_at
        assert history(strategy) == ["created", "enabled", "suspended"]
        assert strategy.events.get(kind=Kind.SUSPENDED).by is None

    @pytest.mark.parametrize("problem", ["bad_secret", "key_disabled", "key_expired"])
    def test_when_the_key_is_dead_for_certain(self, connection: Connection, problem: str) -> None:
        strategy = made.enabled(connection)
        test_again(connection, "failed", problem=problem, facts=KeyFacts())
        strategy.refresh_from_db()
        assert strategy.enabled  # not before a second test has said so
        test_again(connection, "failed", problem=problem, facts=KeyFacts())
        strategy.refresh_from_db()
        assert (strategy.enabled, strategy.suspended_for) == (False, "failed")

    @pytest.mark.parametrize("problem", ["unavailable", "rate_limited", "unexpected"])
    def test_never_by_an_outage(self, connection: Connection, problem: str) -> None:
        strategy = made.enabled(connection)
        for _ in range(3):
            test_again(connection, "failed", problem=problem, facts=KeyFacts())
        suspending.suspend_overdue(now=timezone.now() + timedelta(days=30))
        strategy.refresh_from_db()
        assert strategy.enabled

    def test_of_its_market_alone(self, connection: Connection) -> None:
        spot, futures = (
            made.enabled(connection, market, market=market, limit=100)
            for market in ("spot", "futures")
        )
        closed = Permissions(True, True, True, False, False, False, closed=("futures",))
        test_again(connection, facts=KeyFacts(closed, True, uid="42"))
        spot.refresh_from_db()
        futures.refresh_from_db()
        assert (spot.enabled, futures.enabled) == (True, False)
        assert futures.suspended_for == "market_closed"

    def test_by_the_clock_when_the_key_ends(self, trader: User) -> None:
        ends = timezone.now() + timedelta(days=2)
        strategy = made.enabled(made.tested(trader, expires_at=ends))
        assert suspending.suspend_overdue(now=ends - timedelta(seconds=1)) == 0
        assert suspending.suspend_overdue(now=ends) == 1
        assert suspending.suspend_overdue(now=ends) == 0
        strategy.refresh_from_db()
        assert strategy.suspended_for == "expired"

    @pytest.mark.parametrize(("total", "stays"), [("600", True), ("400", False)])
    def test_when_a_new_key_is_of_an_account_with_too_little(
        self, connection: Connection, total: str, stays: bool
    ) -> None:
        strategy = made.enabled(connection)
        owner = connection.owner
        found = making.report(facts=KeyFacts(made.BOTH, True, uid="7"), **made.holding(total))
        replacing.replace_key(connection, by=owner, credentials=making.credentials())
        making.finish(connection, found)
        replacing.confirm_account(connection, by=owner, uid="7")
        making.finish(connection, found)
        strategy.refresh_from_db()
        assert connection.uid == "7"
        assert strategy.enabled is stays
        assert strategy.suspended_for == ("" if stays else "account")

    @pytest.mark.parametrize(("limit", "stays"), [(400, True), (600, False)])
    def test_when_going_back_leads_to_an_account_with_too_little_left(
        self, connection: Connection, limit: int, stays: bool
    ) -> None:
        """Another strategy was enabled there meanwhile."""
        strategy, owner = made.enabled(connection), connection.owner
        found = making.report(facts=KeyFacts(made.BOTH, True, uid="7"), **made.holding("1000"))
        replacing.replace_key(connection, by=owner, credentials=making.credentials())
        making.finish(connection, found)
        replacing.confirm_account(connection, by=owner, uid="7")
        making.finish(connection, found)
        made.enabled(made.tested(owner, "Beside"), "Meanwhile", limit=limit)
        replacing.go_back(connection, by=owner, now=timezone.now())
        strategy.refresh_from_db()
        assert Connection.objects.get(pk=connection.pk).uid == "42"
        assert (strategy.enabled, strategy.suspended_for) == (stays, "" if stays else "account")

    def test_when_the_connection_is_removed(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        connection_services.delete(connection, by=connection.owner)
        strategy.refresh_from_db()
        assert (strategy.enabled, strategy.connection) == (False, None)
        assert strategy.suspended_for == "removed"
        other = made.tested(connection.owner, "Other")
        services.move(strategy, other, by=strategy.owner, now=timezone.now())
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        assert history(strategy) == ["created", "enabled", "suspended", "moved", "enabled"]

    def test_it_never_comes_back_by_itself(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        test_again(connection, "warnings", facts=KeyFacts(NO_TRADING, True, uid="42"))
        test_again(connection)
        suspending.suspend_overdue(now=timezone.now())
        strategy.refresh_from_db()
        assert not strategy.enabled
        assert strategy.suspended_at
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        assert (strategy.enabled, strategy.suspended_at, strategy.suspended_for) == (True, None, "")

    def test_its_owner_is_told_once(self, connection: Connection) -> None:
        names = ["First", "Second"]
        for name in names:
            made.enabled(connection, name, limit=100)
        test_again(connection, "warnings", facts=KeyFacts(NO_TRADING, True, uid="42"))
        now = timezone.now()
        assert suspending.tell(now=now) == 1
        assert suspending.tell(now=now) == 0
        notice = Notice.objects.get(kind="suspended")
        assert notice.urgent
        assert all(name in notice.text for name in names)
        assert "may not trade" in notice.text
        sending.send_due(now=now)
        (sent,) = mail.outbox
        assert notice.subject in sent.subject

    def test_is_told_again_when_it_happens_again(self, connection: Connection) -> None:
        strategy = made.enabled(connection)
        for _ in range(2):
            test_again(connection, "warnings", facts=KeyFacts(NO_TRADING, True, uid="42"))
            suspending.tell(now=timezone.now())
            test_again(connection)
            services.enable(strategy, by=strategy.owner, now=timezone.now())
        assert Notice.objects.filter(kind="suspended").count() == 2

    def test_whoever_deletes_the_connection_knows(self, connection: Connection) -> None:
        made.enabled(connection)
        connection_services.delete(connection, by=connection.owner)
        assert suspending.tell(now=timezone.now()) == 0


def test_a_strategy_is_moved_within_its_exchange(connection: Connection, trader: User) -> None:
    strategy = made.strategy(connection)
    elsewhere = made.tested(trader, "KuCoin", exchange="kucoin", uid="9")
    with pytest.raises(services.OtherExchange):
        services.move(strategy, elsewhere, by=trader, now=timezone.now())


@AT_ONCE
def test_what_is_deleted_meanwhile_takes_no_strategy(trader: User) -> None:
    connection, other = made.tested(trader), made.tested(trader, "Other")
    strategy = made.strategy(connection)
    gone = Connection.objects.get(pk=other.pk)
    connection_services.delete(other, by=trader)
    with pytest.raises(Connection.DoesNotExist):
        services.move(strategy, gone, by=trader, now=timezone.now())
    with pytest.raises(Connection.DoesNotExist):
        made.strategy(gone, "New")
    strategy.refresh_from_db()
    assert strategy.connection == connection
    assert history(strategy) == ["created"]
