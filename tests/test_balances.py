"""What is made of the balances that a test has kept: what may be spent, and what the page says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connections import balance_pages, exchanges
from connections.exchanges import holdings
from connections.exchanges.base import (
    BOTH_MARKETS,
    FUTURES_ALONE,
    SPOT_ALONE,
    Account,
    Answer,
    Balance,
    Call,
    Exchange,
    KeyFacts,
    Permissions,
)
from connections.exchanges.client import read_balances
from connections.exchanges.reading import of_the_whole
from connections.models import ConnectionTest
from tests import making
from tests.simulator import Simulator, sample
from tests.test_funds import read_of


def stored(*rows: dict[str, Any], of: list[dict[str, Any]] | None = None) -> ConnectionTest:
    account = {"markets": ["spot"], "currencies": None}
    return ConnectionTest(balances=list(rows), balances_of=[account] if of is None else of)


def row(free: str, used: str = "0", **more: Any) -> dict[str, Any]:
    return {
        "currency": "USDT",
        "free": free,
        "used": used,
        "total": "?",
        "markets": ["spot"],
        **more,
    }


# --- what rows are kept --------------------------------------------------------------------------


class OneAccount(Exchange):
    code = "mexc"
    call = Call("GET", "api.example", "/balance", "balance", ("private",))
    pays = {call: BOTH_MARKETS}

    def balance_rows(self, answer: Answer) -> list[Any]:
        return [{"currency": "USDT", "free": "5"}]


@pytest.mark.parametrize(
    ("permissions", "markets"),
    [
        (Permissions(True, True, True), BOTH_MARKETS),
        (Permissions(True, False, True), BOTH_MARKETS),
        (Permissions(True, True, None), SPOT_ALONE),
        (Permissions(True, True, True, closed=("futures",)), SPOT_ALONE),
        (Permissions(), SPOT_ALONE),
    ],
)
def test_unified_account_pays_for_futures_only_where_they_are_proven(
    permissions: Permissions, markets: tuple[str, ...]
):
    exchange, facts = OneAccount(), KeyFacts(permissions)
    found = holdings.held(exchange, exchange.call, Answer(200, {}), facts, read_balances)
    assert found.accounts == (Account(markets),)  # type: ignore[arg-type]
    assert {each.markets for each in found.balances} == {markets}
    assert holdings.futures_call(exchange, found, facts) is None


@pytest.mark.parametrize("exchange", exchanges.EXCHANGES.values(), ids=lambda each: each.code)
def test_what_reads_an_account_is_allowed_and_named(exchange: Exchange):
    assert set(exchange.pays) <= exchange.calls
    assert set(exchange.pays.values()) <= {SPOT_ALONE, FUTURES_ALONE, BOTH_MARKETS}


@pytest.mark.parametrize(
    ("whole", "free", "read"),
    [
        ("700", "640.25", ("640.25", "59.75")),
        (700, 640.25, ("640.25", "59.75")),
        ("700", "900", ("700", "0")),  # other currencies are margin too
        ("700", "abc", ("0", "700")),
        ("700", None, ("0", "700")),
        ("-3", "0", ("-3", "0")),
        (1e-08, 1e-08, ("0.00000001", "0.00000000")),
        ("0." + "1" * 30, "0", ("0", "0." + "1" * 30)),
    ],
)
def test_what_is_free_and_in_use_of_a_whole(whole: Any, free: Any, read: tuple[str, str]):
    found = of_the_whole({"asset": "USDT", "whole": whole, "free": free}, "asset", "whole", "free")
    assert (found["currency"], Decimal(found["free"]), Decimal(found["used"])) == (
        "USDT",
        *map(Decimal, read),
    )
    assert "E" not in found["free"] + found["used"]


@pytest.mark.parametrize(
    "whole", [None, True, "", "NaN", "1e999", float("inf"), 1e300, "-", [[]], {}, "9" * 31]
)
def test_whole_that_is_no_amount_leaves_what_is_free(whole: Any):
    row = {"asset": "USDT", "whole": whole, "free": "5"}
    assert of_the_whole(row, "asset", "whole", "free") == {"currency": "USDT", "free": "5"}


# --- what there is to pay with -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "used", "whole"),
    [
        ("0.1", "0.2", "0.3"),
        (
            "1234567890123456789012345678.000000000001",
            "1",
            "1234567890123456789012345679.000000000001",
        ),
        ("0." + "0" * 29 + "1", "0." + "0" * 29 + "2", "0." + "0" * 29 + "3"),
        ("-5", "105", "100"),  # more is bound than is there: profits that are not realised
    ],
)
def test_funds_are_exact(free: str, used: str, whole: str):
    assert making.funds(stored(row(free, used)), "spot", "USDT") == Decimal(whole)


@pytest.mark.parametrize(
    "amount",
    ["NaN", "sNaN", "Infinity", "1e999", "1e5", "-1", "abc", "", "9" * 1000, "1,5", "٣", None],
)
def test_amounts_that_are_none_are_left_out(amount: Any):
    assert making.funds(stored(row(amount)), "spot", "USDT") == 0
    assert making.funds(stored(row(amount), row("7")), "spot", "USDT") == 7
    assert making.funds(stored(row("0", amount)), "spot", "USDT") == 0


def test_rows_of_one_currency_are_added():
    assert making.funds(stored(row("1.5"), row("0.25", "0.25")), "spot", "USDT") == 2


def test_amounts_of_another_market_are_not_counted():
    both = [{"markets": ["spot"], "currencies": None}, {"markets": ["futures"], "currencies": None}]
    test = stored(row("5"), row("7", markets=["futures"]), row("9", markets=[]), of=both)
    assert making.funds(test, "spot", "USDT") == 5
    assert making.funds(test, "futures", "USDT") == 7
    assert making.funds(test, "options", "USDT") is None


def test_currencies_that_were_not_asked_for_are_unknown():
    test = stored(of=[{"markets": ["futures"], "currencies": ["USDT"]}])
    assert making.funds(test, "futures", "USDT") == 0
    assert making.funds(test, "futures", "USDC") is None


def test_rows_of_before_say_nothing_of_any_market():
    old = {"currency": "USDT", "free": "5", "used": "0", "total": "5"}
    test = stored(old, of=[])
    assert making.funds(test, "spot", "USDT") is None
    assert making.funds(test, "futures", "USDT") is None


# --- on the page ---------------------------------------------------------------------------------


def titles(test: ConnectionTest) -> list[tuple[str, str, int]]:
    found = balance_pages.balances_of(test).accounts
    return [(str(each.title), each.note, len(each.rows)) for each in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("mexc", [("Spot account", "", 2), ("Futures account", "", 1)]),
        ("gate", [("Spot account", "", 2), ("Futures account", "Only USDT was read.", 1)]),
        ("okx", [("Unified account: spot and futures", "", 2)]),
        ("coinbase", [("Spot account", "", 2)]),
    ],
)
def test_amounts_are_shown_by_account(simulator: Simulator, code: str, expected: Any):
    test = read_of(sample(code, "good_futures"))
    assert titles(test) == expected
    unread = [str(line) for line in balance_pages.balances_of(test).unread]
    told = ["The futures account's balance is not known."] if code == "coinbase" else []
    assert unread == told


def test_empty_accounts_are_said_to_be_empty(simulator: Simulator):
    for code, note in (
        ("mexc", "Nothing in it."),
        ("gate", "No USDT in it. Nothing else was read."),
    ):
        key = sample(code, "good_futures")
        simulator.change(key.api_key, balances={}, futures_balances={})
        assert titles(read_of(key)) == [
            ("Spot account", "Nothing in it.", 0),
            ("Futures account", note, 0),
        ]


def test_account_with_more_than_is_kept_says_so(simulator: Simulator):
    key = sample("mexc", "good")
    many = {f"A{number:03}": ("1", "0") for number in range(200)}
    simulator.change(key.api_key, balances=many)
    [(_, note, _)] = titles(read_of(key))
    assert note == "There are more currencies in it than are kept with a test."


def test_rows_of_before_and_of_no_trade_are_shown_apart():
    test = stored({"currency": "USDT", "total": "5"}, row("9", markets=[]), of=[])
    assert titles(test) == [
        ("Other accounts", "Not known to pay for trades.", 1),
        ("Account not known", "", 1),
    ]


class TestPage:
    @pytest.fixture(autouse=True)
    def _world(self, trader, mexc, client):
        self.connection = making.connection(trader, mexc, "Main")
        self.browser = making.sign_in(client, trader)

    def text(self, **fields: Any) -> str:
        may = Permissions(True, True, True, withdraw=False)
        making.finish(self.connection, making.report(facts=KeyFacts(may, True), **fields))
        return self.browser.get(self.connection.get_absolute_url()).content.decode()

    def test_accounts_are_headings_and_what_was_not_read_is_said(self):
        balance = Balance("USDT", "5", "1", "6", SPOT_ALONE)
        text = self.text(balances=(balance,), accounts=(Account(SPOT_ALONE),))
        assert "Spot account" in text and "Futures account" not in text
        assert "The futures account&#x27;s balance is not known." in text
        assert "1 amount, as the test read it" in text

    def test_nothing_is_said_to_be_unknown_where_all_is_read(self):
        text = self.text(accounts=(Account(BOTH_MARKETS),))
        assert "Unified account: spot and futures" in text and "Nothing in it." in text
        assert "not known." not in text

    def test_row_says_which_market_it_belongs_to(self):
        balance = Balance("USDT", "5", "1", "6", FUTURES_ALONE)
        self.text(balances=(balance,), accounts=(Account(FUTURES_ALONE, ("USDT",)),))
        test = self.connection.tests.get()
        assert test.balances == [
            {"currency": "USDT", "free": "5", "used": "1", "total": "6", "markets": ["futures"]}
        ]
        assert test.balances_of == [{"markets": ["futures"], "currencies": ["USDT"]}]
        assert making.funds(test, "futures", "USDT") == 6
        assert making.funds(test, "spot", "USDT") is None
