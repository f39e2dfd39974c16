"""Lists of pairs and prices, read from simulated exchanges over real HTTP: what is asked for, what
comes of it, and what a hostile answer cannot do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from connections.exchanges import EXCHANGES, markets
from connections.exchanges.client import NotAllowed
from connections.exchanges.feeds import FEEDS
from connections.exchanges.market_rows import Listing, decimal, rows_from
from connections.exchanges.problems import PROBLEMS
from tests.simulator import Simulator
from tests.simulator.listed import Listed
from tests.simulator.markets import SHAPES

PLACES = [(code, market) for code in FEEDS for market in FEEDS[code]]
every_market = pytest.mark.parametrize(("code", "market"), PLACES)
# What these do not tell, or ccxt does not read.
NO_COST = {(code, "futures") for code in ("mexc", "kucoin", "okx", "gate", "htx")}
NO_COST |= {("okx", "spot")}
ONE_STEP = {("kucoin", "futures"), ("htx", "futures"), ("bingx", "spot")}
UNREADABLE = {"baseCoin": "X", "quoteCoin": "Y", "settleCoin": None}  # ccxt breaks on it
HARMLESS = {"Host", "Accept", "Accept-Encoding", "User-Agent", "X-Gate-Size-Decimal"}


def expected(code: str, market: str, pair: Listed) -> dict[str, Any]:
    only_in_usdt = (code, market) == ("bitget", "spot") and pair.quote != "USDT"
    known = (code, market) not in NO_COST and not only_in_usdt
    least = pair.step if (code, market) in ONE_STEP else pair.least
    return {
        "base": pair.base,
        "quote": pair.quote,
        "active": pair.traded,
        "min_amount": Decimal(least),
        "min_cost": Decimal(pair.cost) if known else None,
        "amount_step": Decimal(pair.step),
        "price_step": Decimal(pair.tick),
    }


def name(market: str, pair: Listed) -> str:
    return f"{pair.base}/{pair.quote}" + (f":{pair.quote}" if market == "futures" else "")


def symbols(listing: Listing) -> set[str]:
    return {row.symbol for row in listing.rows}


def address(code: str, market: str) -> tuple[str, str]:
    shape = SHAPES[market][code]
    return shape.path, shape.host


def serve(simulator: Simulator, code: str, market: str, body: Any, **more: Any) -> None:
    path, host = address(code, market)
    simulator.answer("GET", path, more.pop("status", 200), body, host, **more)


def broken(rows: list[Any], *bad: Any) -> Any:
    """MEXC's list of futures, with rows in between that nobody can read."""
    return {"success": True, "code": 0, "data": [bad[0], *rows, *bad[1:]]}


@pytest.fixture
def mexc_rows(simulator: Simulator) -> list[Any]:
    shape = SHAPES["futures"]["mexc"]
    return [shape.row(pair) for pair in simulator.world.markets.of("mexc", "futures")]


def test_every_exchange_has_both_markets():
    assert list(FEEDS) == list(EXCHANGES)
    assert all(set(feeds) == {"spot", "futures"} for feeds in FEEDS.values())


@every_market
class TestEveryMarket:
    def test_list_is_read_exactly(self, simulator: Simulator, code, market):
        listing = markets.read(code, market)
        assert listing.problem == ""
        pairs = {name(market, each): each for each in simulator.world.markets.of(code, market)}
        assert symbols(listing) == set(pairs)
        for row in listing.rows:
            wanted = expected(code, market, pairs[row.symbol])
            assert {field: getattr(row, field) for field in wanted} == wanted, row.symbol

    def test_prices_are_read_exactly(self, simulator: Simulator, code, market):
        prices = markets.read(code, market).prices
        pairs = simulator.world.markets.of(code, market)
        assert all(prices[name(market, pair)] == Decimal(pair.price) for pair in pairs)

    def test_a_halted_pair_is_listed_as_not_traded(self, simulator: Simulator, code, market):
        simulator.world.markets.halt(code, market, "XRP")
        rows = {row.symbol: row.active for row in markets.read(code, market).rows}
        assert {symbol for symbol, active in rows.items() if not active} == {
            symbol for symbol in rows if symbol.startswith("XRP/")
        }

    def test_nothing_but_listed_addresses_is_asked_without_any_key(
        self, simulator: Simulator, code, market
    ):
        markets.read(code, market)
        feed = FEEDS[code][market]
        listed = {url.partition("?")[0] for url in (*feed.lists, *feed.prices)}
        assert {f"https://{seen.host}{seen.path}" for seen in simulator.log} == listed
        assert {seen.method for seen in simulator.log} == {"GET"}
        assert {header for seen in simulator.log for header in seen.header_names} <= HARMLESS
        allowed = {"showPermissionSets", "instType", "productType", "timezone", "business_type"}
        allowed |= {"timestamp", "product_type", "category", "limit"}
        assert {query for seen in simulator.log for query in seen.query_names} <= allowed
        assert len(simulator.log) <= 4

    def test_an_exchange_that_is_down_is_unavailable(self, simulator: Simulator, code, market):
        simulator.world.markets.break_down(code, market, "down")
        assert markets.read(code, market) == Listing(problem="unavailable")

    def test_without_prices_the_list_stands(self, simulator: Simulator, code, market):
        shape = SHAPES[market][code]
        one_address = shape.path == shape.price_path
        simulator.world.markets.break_down(code, market, "prices down")
        listing = markets.read(code, market)
        assert len(listing.rows) >= 9
        assert bool(listing.prices) is one_address

    def test_an_empty_list_is_empty(self, simulator: Simulator, code, market):
        simulator.world.markets.break_down(code, market, "empty")
        listing = markets.read(code, market)
        assert (listing.rows, listing.prices) == ((), {})

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>Attention Required!</html>",
            b"",
            b"null",
            b"7",
            b'"text"',
            b"[]",
            b"{}",
            b"[[[[[]]]]]",
            b'{"data": 1, "symbols": 1, "result": 1, "products": 1}',
            b'{"data": [1, null, [], {}], "symbols": [null], "products": ["x"]}',
            b'{"data": {"symbols": [7]}, "result": {"list": [{}, null]}}',
            b'[{"id": null}, {"name": "x"}, null]',
            b"[" * 100_000,
            b'{"data": NaN}',
        ],
        ids=range(14),
    )
    def test_garbage_is_no_list_and_no_error(self, simulator: Simulator, code, market, body):
        serve(simulator, code, market, body)
        listing = markets.read(code, market)
        assert listing.rows == ()
        assert listing.problem == "" or listing.problem in PROBLEMS


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (429, "rate_limited"),
        (418, "rate_limited"),
        (403, "restricted"),
        (451, "restricted"),
        (500, "unavailable"),
        (404, "unexpected"),
        (302, "unexpected"),
    ],
)
def test_status_of_http_becomes_a_problem(simulator: Simulator, status, problem):
    headers = {"Location": "https://elsewhere.example"}
    serve(simulator, "binance", "spot", {"msg": "secret words"}, status=status, headers=headers)
    assert markets.read("binance", "spot") == Listing(problem=problem)
    assert len(simulator.log) == 1


@pytest.mark.parametrize(
    ("code", "body", "problem"),
    [
        ("bybit", {"retCode": 10006, "retMsg": "Too many visits!"}, "rate_limited"),
        ("okx", {"code": "50011", "msg": "Rate limit reached", "data": []}, "rate_limited"),
        ("okx", {"code": "50001", "msg": "Service unavailable", "data": []}, "unavailable"),
        ("kucoin", {"code": "429000", "msg": "Too Many Requests"}, "rate_limited"),
        ("okx", {"code": "59999", "msg": "who knows", "data": []}, "unexpected"),
    ],
)
def test_refusal_in_a_body_becomes_a_problem(simulator: Simulator, code, body, problem):
    serve(simulator, code, "spot", body)
    assert markets.read(code, "spot") == Listing(problem=problem)


class TestHostile:
    def test_rows_that_break_the_parser_are_left_out(self, simulator: Simulator, mexc_rows):
        """And no other row is."""
        serve(simulator, "mexc", "futures", broken(mexc_rows, UNREADABLE, 7, None, UNREADABLE))
        listing = markets.read("mexc", "futures")
        assert len(listing.rows) == len(mexc_rows)
        assert len(listing.prices) == len(mexc_rows)

    def test_a_list_of_nothing_but_bad_rows_is_not_read_to_its_end(
        self, simulator: Simulator, monkeypatch
    ):
        monkeypatch.setattr(markets, "MOST_BAD_ROWS", 5)
        serve(simulator, "mexc", "futures", broken([], *[UNREADABLE] * 50))
        assert markets.read("mexc", "futures").problem == "unexpected"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("minVol", "NaN"),
            ("minVol", -1),
            ("minVol", "1e999999"),
            ("minVol", {}),
            ("minVol", "9" * 5000),
            ("minVol", True),
        ],
    )
    def test_value_that_makes_no_sense_spoils_itself_alone(
        self, simulator: Simulator, mexc_rows, field, value
    ):
        serve(simulator, "mexc", "futures", broken(mexc_rows[1:], {**mexc_rows[0], field: value}))
        rows = {row.base: row for row in markets.read("mexc", "futures").rows}
        assert len(rows) == len(mexc_rows)
        step = Decimal("0.0001")
        assert (rows["BTC"].min_amount, rows["BTC"].amount_step) == (step, step)

    @pytest.mark.parametrize(
        "base",
        ["", " ", "A B", "A,B", "A/B", "A:B", "\x00", "A\nB", "‮A", "A" * 31, None, 7.5, {}, []],
    )
    def test_name_that_is_none_leaves_the_row_out(self, simulator: Simulator, mexc_rows, base):
        serve(simulator, "mexc", "futures", broken(mexc_rows, {**mexc_rows[0], "baseCoin": base}))
        bases = {row.base for row in markets.read("mexc", "futures").rows}
        assert bases <= {row["baseCoin"] for row in mexc_rows} | {"7.5"}

    def test_names_in_other_letters_are_names(self, simulator: Simulator, mexc_rows):
        row = {**mexc_rows[0], "baseCoin": "币安人生"}  # Binance lists one of that name
        serve(simulator, "mexc", "futures", broken(mexc_rows, row))
        assert "币安人生/USDT:USDT" in symbols(markets.read("mexc", "futures"))

    def test_of_two_rows_of_one_name_the_traded_one_counts(self, simulator: Simulator, mexc_rows):
        halted = {**mexc_rows[0], "state": 3}
        for rows in ([halted, *mexc_rows], [*mexc_rows, halted]):
            serve(simulator, "mexc", "futures", {"success": True, "code": 0, "data": rows})
            found = markets.read("mexc", "futures").rows
            assert len(found) == len(mexc_rows)
            assert all(row.active for row in found)

    @pytest.mark.parametrize("packed", [False, True])
    def test_body_that_is_too_large_is_not_read(
        self, simulator: Simulator, monkeypatch, packed: bool
    ):
        monkeypatch.setattr(markets, "BODY_LIMIT", 100_000)
        body = json.dumps({"symbols": [], "filler": "x" * 200_000}).encode()
        headers = {"Content-Encoding": "gzip"} if packed else {}
        body = gzip.compress(body) if packed else body
        serve(simulator, "binance", "spot", body, headers=headers)
        assert markets.read("binance", "spot").problem == "unexpected"

    def test_answer_that_takes_too_long_is_given_up(self, simulator: Simulator, monkeypatch):
        monkeypatch.setattr(markets, "CALL_LIMIT_S", 0.0001)
        assert markets.read("binance", "spot").problem == "unavailable"

    def test_pages_without_end_are_not_followed(self, simulator: Simulator):
        rows = [SHAPES["futures"]["bybit"].row(Listed(*"AB", *"11111"))]
        result = {"category": "linear", "list": rows, "nextPageCursor": "on"}
        serve(simulator, "bybit", "futures", {"retCode": 0, "result": result})
        assert markets.read("bybit", "futures").problem == "unexpected"
        assert len(simulator.requests_to("/v5/market/instruments-info")) == 2

    def test_a_page_elsewhere_is_not_asked_for(self, simulator: Simulator, caplog):
        cursor = "x&category=inverse#" * 40
        result = {"category": "linear", "list": [], "nextPageCursor": cursor}
        serve(simulator, "bybit", "futures", {"retCode": 0, "result": result})
        assert markets.read("bybit", "futures") == Listing(problem="unexpected")
        assert len(simulator.log) == 1
        assert "not in feeds.py" in caplog.text
        assert cursor not in caplog.text


def test_a_list_of_many_pages_is_read_to_its_end(simulator: Simulator):
    simulator.world.markets.generate("bybit", "futures", 2500)
    listing = markets.read("bybit", "futures")
    assert len(listing.rows) == len(listing.prices) == 2500
    assert len(simulator.requests_to("/v5/market/instruments-info")) == 3


class TestTheGate:
    """What stands between ccxt and the network."""

    @pytest.fixture
    def reader(self, simulator: Simulator) -> Iterator[markets.Reader]:
        with markets.Reader("gate", FEEDS["gate"]["futures"]) as reader:
            yield reader

    @pytest.mark.parametrize(
        "url",
        [
            "https://api.gateio.ws/api/v4/futures/usdt/contracts?settle=btc",
            "https://api.gateio.ws/api/v4/futures/usdt/contracts/../../wallet",
            "http://api.gateio.ws/api/v4/futures/usdt/contracts",
            "https://api.gateio.ws:8443/api/v4/futures/usdt/contracts",
            "https://api.gateio.ws.example/api/v4/futures/usdt/contracts",
            "https://user@api.gateio.ws/api/v4/futures/usdt/contracts",
            "https://api.gateio.ws/api/v4/futures/usdt/accounts",
            "https://api.gateio.ws/api/v4/futures/usdt/contracts\n",
            "file:///etc/passwd",
        ],
    )
    def test_other_addresses_are_refused(self, simulator, reader, url):
        with pytest.raises(NotAllowed):
            reader._fetch(url)
        assert simulator.log == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "get", "HEAD"])
    def test_other_methods_are_refused(self, simulator, reader, method):
        with pytest.raises(NotAllowed):
            reader._fetch(reader.feed.lists[0], method)
        assert simulator.log == []

    @pytest.mark.parametrize(
        ("headers", "body"), [({"KEY": "k"}, None), ({"Authorization": "x"}, None), ({}, "{}")]
    )
    def test_headers_and_bodies_of_signed_calls_are_refused(self, simulator, reader, headers, body):
        with pytest.raises(NotAllowed):
            reader._fetch(reader.feed.lists[0], "GET", headers, body)
        assert simulator.log == []

    def test_ccxt_holds_no_key_and_its_own_sending_is_gone(self, reader):
        assert not any((reader._ccxt.apiKey, reader._ccxt.secret, reader._ccxt.password))
        assert reader._ccxt.fetch == reader._fetch

    def test_a_new_ccxt_that_asks_for_more_is_noticed(self, simulator, monkeypatch, caplog):
        """Even where it keeps the error to itself, as it does at Coinbase."""
        ask = ccxt.coinbase.fetch_markets

        def more(self: Any, params: Any) -> Any:
            try:
                self.v3PublicGetBrokerageTime()
            except Exception:
                return ask(self, params)
            return []

        monkeypatch.setattr(ccxt.coinbase, "fetch_markets", more)
        assert markets.read("coinbase", "spot") == Listing(problem="unexpected")
        assert "coinbase" in caplog.text


class TestRows:
    @pytest.mark.parametrize(
        ("value", "number"),
        [
            ("0.001", "0.001"),
            ("1e-8", "0.00000001"),
            (5, "5"),
            ("0", None),
            ("", None),
            ("-1", None),
            ("Infinity", None),
            (0.1, None),  # never a float
            (None, None),
            ("1e16", None),
            ("1e-19", None),
        ],
    )
    def test_number_is_exact_or_unknown(self, value, number):
        assert decimal(value) == (None if number is None else Decimal(number))

    def raw(self, **more: Any) -> dict[str, Any]:
        names = {"symbol": "A/B", "base": "A", "quote": "B", "type": "spot", "active": True}
        return {**names, "precision": {"amount": 3, "price": 0}, **more}

    def test_step_may_be_a_number_of_places(self):
        (row,) = rows_from([self.raw()], "spot", digits=True, least_in_base=False).values()
        assert (row.amount_step, row.price_step) == (Decimal("0.001"), Decimal(1))

    def test_contract_of_unknown_size_has_unknown_amounts(self):
        raw = self.raw(symbol="A/B:B", type="swap", limits={"amount": {"min": "1"}})
        (row,) = rows_from([raw], "futures", digits=False, least_in_base=False).values()
        assert (row.amount_step, row.min_amount) == (None, None)

    @pytest.mark.parametrize(
        "other",
        [
            {"type": "swap"},
            {"type": "option"},
            {"symbol": "A/B:B"},
            {"symbol": "A/B-261225"},
            {"symbol": None},
        ],
    )
    def test_what_is_of_another_market_is_left_out(self, other):
        assert rows_from([self.raw(**other)], "spot", digits=False, least_in_base=False) == {}
