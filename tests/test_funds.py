"""What a test reads of the accounts that trades are paid from: ten exchanges over real HTTP."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from connections import balances, exchanges, results
from connections.exchanges import holdings, inspection
from connections.exchanges.base import (
    BOTH_MARKETS,
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    KeyReport,
    Permissions,
    Site,
)
from connections.exchanges.client import Client, read_balances
from connections.models import ConnectionTest
from tests import making
from tests.simulator import KeySpec, Simulator, sample
from tests.test_inspection import inspect, pasted

SPOT_FUNDS, FUTURES_FUNDS = Decimal("1350.5"), Decimal(700)
# Exchange -> the dollars and the bitcoins that futures can be paid with there.
FUNDS = {
    "mexc": (FUTURES_FUNDS, Decimal()),
    "kucoin": (FUTURES_FUNDS, None),  # asked for USDT alone
    "binance": (FUTURES_FUNDS, Decimal()),
    "bitget": (FUTURES_FUNDS, None),
    "gate": (FUTURES_FUNDS, None),
    "htx": (FUTURES_FUNDS, Decimal()),
    "bingx": (FUTURES_FUNDS, Decimal()),
    "okx": (SPOT_FUNDS, Decimal("0.015")),  # one account for both
    "bybit": (SPOT_FUNDS, Decimal("0.015")),
    "coinbase": (None, None),
}
# What tells the balance of the futures account, or of the one account there is.
BALANCE_PATHS = {
    "mexc": "/api/v1/private/account/assets",
    "kucoin": "/api/v1/account-overview",
    "binance": "/fapi/v3/account",
    "bitget": "/api/v2/mix/account/accounts",
    "gate": "/api/v4/futures/usdt/accounts",
    "htx": "/v5/account/balance",
    "bingx": "/openApi/swap/v3/user/balance",
    "okx": "/api/v5/account/balance",
    "bybit": "/v5/account/wallet-balance",
}


def as_stored(report: KeyReport) -> ConnectionTest:
    """The row that a report becomes, without a database."""
    return ConnectionTest(**results.storable(results._as_fields(report)))


def read_of(key: KeySpec) -> ConnectionTest:
    report = inspect(key)
    assert report.outcome in {"connected", "warnings"}
    return as_stored(report)


# --- over the wire -------------------------------------------------------------------------------


def test_all_exchanges_are_looked_at_here():
    assert set(FUNDS) == set(exchanges.EXCHANGES)


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
def test_each_market_shows_what_its_own_trades_are_paid_from(simulator: Simulator, code: str):
    test = read_of(sample(code, "good_futures"))
    dollars, coins = FUNDS[code]
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS
    assert making.funds(test, "spot", "BTC") == Decimal("0.015")
    assert making.funds(test, "spot", "DOGE") == 0
    assert making.funds(test, "futures", "USDT") == dollars
    assert making.funds(test, "futures", "BTC") == coins


@pytest.mark.parametrize(("code", "path"), BALANCE_PATHS.items())
def test_a_balance_that_shows_futures_to_be_open_is_asked_for_once(
    simulator: Simulator, code: str, path: str
):
    inspect(sample(code, "good_futures"))
    assert len(simulator.requests_to(path)) == 1


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
def test_key_that_may_not_trade_futures_shows_nothing_of_them(simulator: Simulator, code: str):
    key = sample(code, "good")
    test = read_of(key)
    ready = Permissions.from_stored(test.permissions).ready_for
    assert (making.funds(test, "futures", "USDT") is None) is ("futures" not in ready)
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS


@pytest.mark.parametrize("code", sorted(set(FUNDS) - {"coinbase"}))
def test_empty_accounts_are_told_from_unread_ones(simulator: Simulator, code: str):
    key = sample(code, "good_futures")
    simulator.change(key.api_key, balances={}, futures_balances={})
    test = read_of(key)
    assert test.balances == []
    assert making.funds(test, "spot", "USDT") == 0
    assert making.funds(test, "futures", "USDT") == 0


def test_unified_account_is_one_purse_for_both_markets(simulator: Simulator):
    for key in (sample("bitget", "unified"), sample("okx", "good_futures")):
        [purse] = balances.purses(read_of(key))
        assert (purse.markets, purse.total("USDT")) == (BOTH_MARKETS, SPOT_FUNDS)


def test_okx_in_spot_mode_pays_for_spot_alone(simulator: Simulator):
    [purse] = balances.purses(read_of(sample("okx", "good")))
    assert purse.markets == SPOT_ALONE


def test_bybit_without_a_unified_account_has_a_contract_account_beside(simulator: Simulator):
    key = sample("bybit", "classic")
    words = (*key.permissions, "ContractTrade Order", "ContractTrade Position")
    simulator.change(key.api_key, permissions=tuple(dict.fromkeys(words)))
    test = read_of(key)
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS
    assert making.funds(test, "futures", "USDT") == FUTURES_FUNDS
    assert len(simulator.requests_to("/v5/account/wallet-balance")) == 3


def test_gate_in_a_unified_mode_does_not_tell_what_pays_for_futures(simulator: Simulator):
    key = sample("gate", "good_futures")
    simulator.change(key.api_key, own={"margin_mode": "2"})
    test = read_of(key)
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS
    assert making.funds(test, "futures", "USDT") is None
    assert [each["markets"] for each in test.balances] == [["spot"], ["spot"], []]


def test_kucoins_deposits_pay_for_no_trade_and_are_shown_all_the_same(simulator: Simulator):
    key = sample("kucoin", "good")
    simulator.change(key.api_key, own={"main": "999"})
    test = read_of(key)
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS
    assert [each["total"] for each in test.balances if each["markets"] == []] == ["999"]


@pytest.mark.parametrize(
    "fields",
    [
        {"platform": "ACCOUNT_PLATFORM_INTX"},
        {"platform": "ACCOUNT_PLATFORM_CFM_CONSUMER"},
        {"platform": "a new one"},
        {"platform": None},
        {"type": "ACCOUNT_TYPE_VAULT"},
    ],
)
def test_coinbases_other_accounts_pay_for_no_spot_trade(
    simulator: Simulator, fields: dict[str, Any]
):
    account = {"currency": "USDC", "available_balance": {"value": "5"}, **fields}
    body = {"accounts": [account], "has_next": False}
    simulator.answer("GET", "/api/v3/brokerage/accounts", 200, body)
    test = read_of(sample("coinbase", "good"))
    assert making.funds(test, "spot", "USDC") == 0
    assert [each["total"] for each in test.balances] == ["5"]


def test_pages_that_were_not_read_leave_their_currencies_unknown(simulator: Simulator):
    account = {"currency": "USDC", "available_balance": {"value": "5"}}
    body = {"accounts": [account], "has_next": True, "cursor": "again"}
    simulator.answer("GET", "/api/v3/brokerage/accounts", 200, body)
    test = read_of(sample("coinbase", "good"))
    assert making.funds(test, "spot", "USDC") == 25  # the same page, five times
    assert making.funds(test, "spot", "USDT") is None


def test_money_in_use_is_counted_where_it_is_the_margin_of_a_position(simulator: Simulator):
    key = sample("mexc", "good_futures")
    simulator.change(key.api_key, futures_balances={"USDT": ("0.5", "99.5")})
    assert making.funds(read_of(key), "futures", "USDT") == 100


def test_currencies_of_small_change_do_not_push_money_out(simulator: Simulator):
    many = {f"A{number:03}": ("1", "0") for number in range(400)} | {"USDT": ("5", "2.5")}
    key = sample("mexc", "good")
    simulator.change(key.api_key, balances=many)
    test = read_of(key)
    assert len(test.balances) == holdings.CURRENCIES_KEPT
    assert making.funds(test, "spot", "USDT") == Decimal("7.5")
    assert making.funds(test, "spot", "A001") == 1
    assert making.funds(test, "spot", "A399") is None
    assert making.funds(test, "spot", "DOGE") is None


# --- a futures balance that cannot be read -------------------------------------------------------

CONTRACT_WALLET = exchanges.get("bybit").contract_wallet  # type: ignore[attr-defined]


def read_with(futures: Any) -> KeyReport:
    """A classic Bybit key, whose second balance is answered by `futures`."""
    exchange, key = exchanges.get("bybit"), sample("bybit", "classic")

    async def run() -> KeyReport:
        async with Client(call_limit_s=1.0) as session:
            ask_as = session.ask_as(exchange, pasted(key))

            def at(site: Site) -> Ask:
                async def ask(call: Call, params: Any) -> Answer:
                    if call == CONTRACT_WALLET:
                        found: Answer = await futures()
                        return found
                    return await ask_as(site)(call, params)

                return ask

            test = inspection.Inspection(exchange, pasted(key), at, read_balances, limit_s=2.0)
            return await test.run()

    return asyncio.run(run())


async def refuses() -> Answer:
    return Answer(200, {"retCode": 10005, "retMsg": "Permission denied"})


async def is_down() -> Answer:
    return Answer(failure="timeout")


async def hangs() -> Answer:
    await asyncio.sleep(60)
    raise AssertionError


async def breaks() -> Answer:
    raise KeyError("what no reader thought of")


@pytest.mark.parametrize("futures", [refuses, is_down, hangs, breaks])
def test_futures_balance_that_cannot_be_read_leaves_a_good_key_good(
    simulator: Simulator, futures: Any
):
    key = sample("bybit", "classic")
    words = (*key.permissions, "ContractTrade Order", "ContractTrade Position")
    simulator.change(key.api_key, permissions=tuple(dict.fromkeys(words)))
    report = read_with(futures)
    assert (report.outcome, report.problem) == ("connected", "")
    assert report.facts.permissions.ready_for == BOTH_MARKETS
    test = as_stored(report)
    assert making.funds(test, "spot", "USDT") == SPOT_FUNDS
    assert making.funds(test, "futures", "USDT") is None


def test_refusal_of_the_only_balance_still_fails_the_test(simulator: Simulator):
    simulator.answer("GET", "/api/v3/account", 400, {"code": 700007, "msg": "No permission"})
    assert inspect(sample("mexc", "good")).problem == "no_permission"
