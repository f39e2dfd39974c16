"""The stored lists of pairs: refreshed from simulated exchanges, kept when these fail, searched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections as databases
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backfuture.accounts.models import User
from connections.exchanges import markets
from connections.exchanges.feeds import FEEDS
from connections.exchanges.market_rows import Listing, MarketRow
from connections.models import AccessEvent, Exchange, Finding
from strategies import pair_lists, tasks
from strategies.models import Pair, PairList
from tests import making, many
from tests.many import NOW, SECOND
from tests.simulator import Simulator

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLACES = [(code, market) for code in FEEDS for market in FEEDS[code]]
ALL = len(PLACES)


@pytest.fixture(autouse=True)
def _rows(db) -> None: ...


def listing(*bases: str, quote: str = "USDT", **more: Any) -> Listing:
    rows = tuple(MarketRow(f"{base}/{quote}", base, quote, True, **more) for base in bases)
    return Listing(rows, {row.symbol: Decimal(7) for row in rows})


def names(count: int) -> list[str]:
    return [f"T{number:04}" for number in range(count)]


def store(read: Listing, *, now: Any = NOW, market: str = "spot") -> list[Any]:
    PairList.objects.get_or_create(exchange_id="mexc", market=market)
    return pair_lists.store("mexc", market, read, now=now)


def traded(market: str = "spot") -> set[str]:
    return {pair.symbol for pair in Pair.objects.listed("mexc", market)}


def the_list(market: str = "spot") -> PairList:
    return PairList.objects.get(exchange="mexc", market=market)


class TestRefresh:
    @pytest.mark.parametrize(("code", "market"), PLACES)
    def test_pairs_come_from_the_exchange(self, simulator: Simulator, code, market):
        assert pair_lists.refresh(code, market, now=NOW) == []
        listed = simulator.world.markets.of(code, market)
        pairs = {(pair.base, pair.quote): pair for pair in Pair.objects.listed(code, market)}
        assert set(pairs) == {(each.base, each.quote) for each in listed}
        first = pairs[listed[0].base, listed[0].quote]
        assert first.last_price == Decimal(listed[0].price)
        assert first.amount_step == Decimal(listed[0].step)
        assert first.price_step == Decimal(listed[0].tick)
        assert (first.priced_at, first.seen_at) == (NOW, NOW)
        state = pair_lists.state_of(code, market, now=NOW)
        assert state == pair_lists.State(NOW, stale=False, problem="", trouble="")

    def test_an_exchange_that_is_down_keeps_its_list(self, simulator: Simulator):
        pair_lists.refresh("mexc", "spot", now=NOW)
        before = traded()
        simulator.world.markets.break_down("mexc", "spot", "down")
        assert pair_lists.refresh("mexc", "spot", now=NOW + DAY) == []
        assert traded() == before
        row = the_list()
        assert (row.refreshed_at, row.problem, row.failures) == (NOW, "unavailable", 1)
        assert pair_lists.search("mexc", "spot", "btc usdt")

    def test_a_list_that_is_read_again_forgets_its_failures(self, simulator: Simulator):
        simulator.world.markets.break_down("mexc", "spot", "down")
        pair_lists.refresh("mexc", "spot", now=NOW)
        simulator.world.markets.mend("mexc", "spot")
        pair_lists.refresh("mexc", "spot", now=NOW + HOUR)
        row = the_list()
        assert (row.refreshed_at, row.problem, row.failures) == (NOW + HOUR, "", 0)

    def test_what_another_is_at_is_left_to_it(self, simulator: Simulator):
        assert pair_lists.claim("mexc", "spot", now=NOW)
        pair_lists.refresh("mexc", "spot", now=NOW + SECOND)
        assert simulator.log == []
        pair_lists.refresh("mexc", "spot", now=NOW + pair_lists.CLAIMED)
        assert simulator.log != []

    def test_a_market_that_nobody_knows_is_not_asked_for(self, simulator: Simulator):
        assert pair_lists.refresh("mexc", "options", now=NOW) == []
        assert pair_lists.refresh("gone", "spot", now=NOW) == []
        assert not PairList.objects.exists()

    def test_prices_that_cannot_be_read_leave_the_old_ones(self, simulator: Simulator):
        pair_lists.refresh("mexc", "spot", now=NOW)
        simulator.world.markets.break_down("mexc", "spot", "prices down")
        pair_lists.refresh("mexc", "spot", now=NOW + DAY)
        pair = Pair.objects.get(exchange="mexc", market="spot", symbol="BTC/USDT")
        assert (pair.last_price, pair.priced_at) == (Decimal("91250.4"), NOW)
        assert pair.seen_at == NOW + DAY


class TestStore:
    def test_a_pair_that_is_gone_stays_as_not_traded_until_it_is_back(self):
        store(listing("A", "B", "C"))
        gone = Pair.objects.get(symbol="C/USDT")
        store(listing("A", "B"), now=NOW + DAY)
        assert traded() == {"A/USDT", "B/USDT"}
        gone.refresh_from_db()
        assert (gone.active, gone.seen_at) == (False, NOW)
        store(listing("A", "B", "C"), now=NOW + 2 * DAY)
        gone.refresh_from_db()
        assert gone.active

    def test_other_lists_are_left_alone(self):
        store(listing("A"))
        store(listing("B"), market="futures")
        many.pair("kucoin", "C/USDT")
        store(listing("D", "E"), now=NOW + DAY)
        assert (traded(), traded("futures")) == ({"D/USDT", "E/USDT"}, {"B/USDT"})
        assert Pair.objects.listed("kucoin", "spot").exists()

    @pytest.mark.parametrize(("left", "believed"), [(0, False), (9, False), (10, True)])
    def test_less_than_half_of_a_list_is_not_believed(self, left, believed):
        store(listing(*names(20)))
        store(listing(*names(left)), now=NOW + DAY)
        assert len(traded()) == (left if believed else 20)
        assert the_list().problem == ("" if believed else "list_implausible")
        assert the_list().refreshed_at == (NOW + DAY if believed else NOW)

    def test_a_list_that_is_halted_whole_is_not_believed(self):
        """As an exchange at maintenance has it."""
        store(listing(*names(20)))
        whole = listing(*names(20))
        halted = replace(whole, rows=tuple(replace(row, active=False) for row in whole.rows))
        store(halted, now=NOW + DAY)
        assert len(traded()) == 20

    def test_a_short_list_may_lose_most_of_its_pairs_but_not_all(self):
        store(listing("A", "B", "C"))
        store(listing("A"), now=NOW + DAY)
        assert traded() == {"A/USDT"}
        store(Listing(), now=NOW + 2 * DAY)
        assert (traded(), the_list().problem) == ({"A/USDT"}, "list_implausible")

    def test_a_first_list_that_is_empty_is_no_list(self):
        store(Listing())
        assert (the_list().problem, the_list().refreshed_at) == ("unexpected", None)

    def test_what_was_read_earlier_is_not_written_over_what_was_read_later(self):
        store(listing("A", "B"), now=NOW - DAY)
        store(listing("A"), now=NOW + SECOND)
        store(listing("A", "B"), now=NOW)
        assert traded() == {"A/USDT"}
        assert the_list().refreshed_at == NOW + SECOND

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("0.000000000001", "0.000000000001"),
            ("0.0000000000015", None),
            ("999999999999999", "999999999999999"),
            ("1e15", None),
        ],
    )
    def test_number_for_which_there_is_no_room_is_unknown(self, value, kept):
        store(listing("A", min_amount=Decimal(value), price_step=Decimal(value)))
        pair = Pair.objects.get()
        assert pair.min_amount == pair.price_step == (kept and Decimal(kept))

    @pytest.mark.parametrize(
        ("price", "kept"), [("1e-13", None), ("1e15", None), ("1.23456789012345", 1)]
    )
    def test_price_is_rounded_and_never_zero(self, price, kept):
        store(replace(listing("A"), prices={"A/USDT": Decimal(price)}))
        pair = Pair.objects.get()
        assert (pair.last_price is None) == (kept is None) == (pair.priced_at is None)

    def test_five_thousand_pairs_take_few_statements(self):
        counts = set()
        for round_, count in enumerate((100, 5000)):
            with CaptureQueriesContext(database) as queries:
                store(listing(*names(count)), now=NOW + round_ * DAY)
            counts.add(len(queries))
        assert Pair.objects.count() == 5000
        # PostgreSQL takes a thousand rows at once, SQLite as many as it takes values.
        assert max(counts) < (20 if database.vendor == "postgresql" else 100)


class TestBelieved:
    """An operator says that a list shrank indeed: the next answer is taken, once."""

    @pytest.fixture
    def refused(self) -> PairList:
        store(listing(*names(40)))
        store(listing(*names(5)), now=NOW + DAY)
        assert the_list().problem == pair_lists.IMPLAUSIBLE
        return the_list()

    def believe(self, staff: User, **sent: str) -> str:
        desk = making.desk(Client(), staff)
        path = reverse("admin:strategies_pairlist_changelist")
        ids = [str(row.pk) for row in PairList.objects.all()]
        desk.post(path, {"action": "believe_shorter", "_selected_action": ids, **sent})
        return desk.get(path).content.decode()

    def test_next_list_is_asked_for_at_once_and_taken(self, refused: PairList, staff: User):
        text = self.believe(staff, why="delisted, see their notice")
        assert "1 list is asked for again" in text and "became much shorter" in text
        assert ("mexc", "spot") in pair_lists.due(NOW + DAY)
        store(listing(*names(5)), now=NOW + DAY + HOUR)
        assert traded() == {f"{name}/USDT" for name in names(5)}
        assert the_list().problem == ""
        said = AccessEvent.objects.filter(kind="exchange_changed", exchange="mexc").order_by("pk")
        assert [(event.actor, event.why) for event in said] == [
            (staff, "shorter list of spot pairs believed once: delisted, see their notice"),
            (None, "shorter list of spot pairs taken, 40 pairs before"),
        ]

    def test_once(self, refused: PairList, staff: User):
        self.believe(staff, why="delisted")
        store(listing(*names(30)), now=NOW + DAY + HOUR)
        store(listing(*names(5)), now=NOW + 2 * DAY)
        assert len(traded()) == 30 and the_list().problem == pair_lists.IMPLAUSIBLE

    @pytest.mark.parametrize("left", [0, 3])
    def test_not_whatever_comes(self, refused: PairList, staff: User, left: int):
        self.believe(staff, why="delisted")
        store(listing(*names(left)), now=NOW + DAY + HOUR)
        assert len(traded()) == 40 and the_list().problem == pair_lists.IMPLAUSIBLE

    def test_needs_a_reason(self, refused: PairList, staff: User):
        assert "Nothing was done. Say why" in self.believe(staff)
        assert the_list().problem == pair_lists.IMPLAUSIBLE

    def test_of_others_there_is_nothing_to_accept(self, staff: User):
        store(listing(*names(40)))
        text = self.believe(staff, why="x")
        assert "0 lists are asked for again" in text and "1 was not refused" in text
        assert the_list().problem == ""
        assert not AccessEvent.objects.filter(kind="exchange_changed").exists()


class TestWhoIsTouched:
    @pytest.fixture
    def mine(self, trader: User) -> Any:
        store(listing("A", "B"))
        return many.keyed(trader, strategies=["spot"], pairs={"A/USDT": True})

    def test_connections_whose_pair_goes_or_comes_back(self, trader: User, mine):
        many.keyed(trader, strategies=["spot"], pairs={"B/USDT": True})
        assert store(listing("B"), now=NOW + DAY) == [mine.pk]
        assert store(listing("B"), now=NOW + 2 * DAY) == []
        assert store(listing("A", "B"), now=NOW + 3 * DAY) == [mine.pk]

    def test_strategies_that_are_off_are_not_touched(self, mine):
        mine.strategies.update(enabled=False)
        assert store(listing("B"), now=NOW + DAY) == []

    def test_delisted_pair_is_found_at_once_and_resolved_when_it_is_back(
        self, simulator: Simulator, trader: User
    ):
        tasks.refresh_pairs("mexc", "spot")
        mine = many.keyed(trader, strategies=["spot"], pairs={"XRP/USDT": True})
        simulator.world.markets.drop("mexc", "spot", "XRP")
        self.again()
        finding = mine.findings.get(rule="delisted_pair")
        assert (finding.state, finding.severity) == ("open", Finding.Severity.HIGH)
        assert (finding.amount, finding.detail) == (1, "XRP/USDT")
        simulator.world.markets.reset()
        self.again()
        finding.refresh_from_db()
        assert finding.state == "resolved"

    def again(self) -> None:
        PairList.objects.update(asked_at=None)
        tasks.refresh_pairs("mexc", "spot")


class TestSearch:
    @pytest.fixture(autouse=True)
    def pairs(self) -> None:
        bases = ("BTC", "WBTC", "BTCST", "ETH", "ETHW", "BCH", "USDT", "1000PEPE", "币安人生")
        read = listing(*bases)
        more = listing("BTC", "ETH", "SOL", quote="USDC")
        crossed = listing("ETH", quote="BTC")
        store(Listing(read.rows + more.rows + crossed.rows, {}))
        perpetual = MarketRow("BTC/USDT:USDT", "BTC", "USDT", True)
        store(Listing((perpetual,), {}), market="futures")

    def found(self, text: str, **more: Any) -> list[str]:
        return [pair.symbol for pair in pair_lists.search("mexc", "spot", text, **more)]

    @pytest.mark.parametrize("text", ["btc usdt", "BTC/USDT", "btcusdt", "Btc-Usdt", " btc_usdt "])
    def test_every_way_of_writing_a_pair_finds_it_first(self, text):
        assert self.found(text)[0] == "BTC/USDT"

    def test_the_currency_itself_comes_first_then_what_begins_so_then_the_others(self):
        wanted = ["BTC/USDC", "BTC/USDT", "BTCST/USDT", "ETH/BTC", "WBTC/USDT"]
        assert self.found("btc") == wanted

    def test_every_word_must_be_in_it(self):
        assert self.found("eth usdc") == ["ETH/USDC"]
        assert self.found("eth xyz") == []

    def test_without_words_all_are_listed_by_name(self):
        assert self.found("")[:2] == ["1000PEPE/USDT", "BCH/USDT"]
        assert len(self.found(" /-")) == 13

    def test_quote_currency_chosen_ones_and_limit(self):
        assert self.found("", quote="USDC") == ["BTC/USDC", "ETH/USDC", "SOL/USDC"]
        pair = Pair.objects.get(symbol="BTC/USDC")
        assert self.found("btc", quote="USDC", chosen=[pair.pk]) == []
        assert len(self.found("", limit=4)) == 4

    def test_futures_are_found_by_their_whole_symbol(self):
        (pair,) = pair_lists.search("mexc", "futures", "BTC/USDT:USDT")
        assert pair.symbol == "BTC/USDT:USDT"

    def test_pairs_that_are_not_traded_are_not_found(self):
        Pair.objects.filter(symbol="ETH/BTC").update(active=False)
        assert "ETH/BTC" not in self.found("eth")

    def test_other_letters_are_found(self):
        assert self.found("币安") == ["币安人生/USDT"]

    @pytest.mark.parametrize("text", ["%", "_", "\x00", "'", '"; --', "\\", "x" * 5000, "a " * 500])
    def test_nothing_that_is_typed_breaks_it(self, text):
        assert "SOL/USDC" not in self.found(text) or not any(map(str.isalnum, text))

    def test_among_five_thousand_it_is_one_statement(self):
        store(listing(*names(5000), "BTC"), now=NOW + DAY)
        with CaptureQueriesContext(database) as queries:
            assert self.found("btc usdt") == ["BTC/USDT"]
            assert len(self.found("t0")) == 50
        assert len(queries) == 2


class TestState:
    def test_a_list_never_read(self):
        state = pair_lists.state_of("mexc", "spot", now=NOW)
        assert (state.never, state.stale, state.trouble) == (True, False, "")

    @pytest.mark.parametrize(("age", "stale"), [(48 * HOUR, False), (48 * HOUR + SECOND, True)])
    def test_a_list_of_more_than_two_days_is_stale(self, age, stale):
        store(listing("A"), now=NOW - age)
        state = pair_lists.state_of("mexc", "spot", now=NOW)
        assert (state.never, state.stale) == (False, stale)

    @pytest.mark.parametrize(
        ("problem", "words"),
        [
            ("list_implausible", "lacks most"),
            ("list_believed", "shorter"),
            ("unavailable", "Exchange unavailable."),
        ],
    )
    def test_trouble_is_said_in_words(self, problem, words):
        PairList.objects.create(exchange_id="mexc", market="spot", problem=problem)
        assert words in pair_lists.state_of("mexc", "spot", now=NOW).trouble


class TestDue:
    def read(self, age: timedelta, **more: Any) -> None:
        for code, market in PLACES:
            at = NOW - age
            PairList.objects.create(exchange_id=code, market=market, refreshed_at=at, asked_at=at)
        PairList.objects.filter(exchange="mexc", market="spot").update(**more)

    def test_at_first_all_are(self):
        assert sorted(pair_lists.due(NOW)) == sorted(PLACES)

    def test_after_a_day_they_are_due_one_at_a_time_the_oldest_first(self):
        self.read(DAY, refreshed_at=NOW - 2 * DAY)
        due = pair_lists.due(NOW)
        assert due[0] == ("mexc", "spot")
        assert len(due) == pair_lists.DAILY_AT_ONCE

    def test_before_that_none_is(self):
        self.read(DAY - SECOND)
        assert pair_lists.due(NOW) == []

    @pytest.mark.parametrize(
        ("failures", "minutes"), [(0, 15), (1, 15), (2, 30), (3, 60), (5, 240), (6, 360), (99, 360)]
    )
    def test_failures_wait_longer_each_time(self, failures, minutes):
        failed = NOW - timedelta(minutes=minutes)
        usual = {"refreshed_at": NOW - 3 * DAY, "failures": failures}
        self.read(HOUR, asked_at=failed, **usual)
        assert pair_lists.due(NOW) == [("mexc", "spot")]
        assert pair_lists.due(NOW - SECOND) == []

    def test_a_list_never_read_is_tried_again_too(self):
        self.read(HOUR, refreshed_at=None, asked_at=NOW - timedelta(minutes=15))
        assert pair_lists.due(NOW) == [("mexc", "spot")]
        assert pair_lists.due(NOW - SECOND) == []

    def test_an_exchange_not_offered_or_paused_is_left_unless_somebody_uses_it(self, trader: User):
        Exchange.objects.exclude(pk__in=["mexc", "okx"]).update(offered=False)
        Exchange.objects.filter(pk="okx").update(paused=True)
        assert {code for code, _ in pair_lists.due(NOW)} == {"mexc"}
        many.keyed(trader, "kucoin")
        many.keyed(trader, "kucoin")
        assert [code for code, _ in pair_lists.due(NOW)].count("kucoin") == 2

    def test_clock_that_was_ahead_holds_nothing_up(self, mexc):
        """Its stamps would be waited for until the right clock has come so far."""
        store(listing("A", "B", "C"), now=NOW + 9 * DAY)
        PairList.objects.update(asked_at=NOW + 9 * DAY)
        pair_lists.due(NOW)
        later = NOW + DAY + HOUR
        assert ("mexc", "spot") in pair_lists.due(later)
        assert pair_lists.claim("mexc", "spot", now=later)
        store(listing("A", "B"), now=later)
        assert traded() == {"A/USDT", "B/USDT"}

    def test_number_of_statements_does_not_depend_on_the_lists(self):
        for _ in range(2):
            with CaptureQueriesContext(database) as queries:
                pair_lists.due(NOW)
            assert len(queries) == 2
            self.read(DAY) if not PairList.objects.exists() else None


class TestTasks:
    @pytest.fixture
    def sent(self, monkeypatch) -> Iterator[list[tuple[Any, ...]]]:
        messages: list[tuple[Any, ...]] = []
        monkeypatch.setattr(
            tasks.refresh_pairs, "apply_async", lambda args, **options: messages.append(args)
        )
        yield messages

    def test_a_message_goes_out_for_each_list_that_is_due(self, sent):
        tasks.start_refreshing_pairs()
        assert sorted(sent) == sorted(PLACES)

    def test_messages_end_when_they_are_sent_again(self, settings):
        entry = settings.CELERY_BEAT_SCHEDULE["start-refreshing-pairs"]
        assert entry["schedule"] == entry["options"]["expires"] == tasks.BEAT_S

    def test_a_page_asks_for_a_list_that_was_never_asked_for(self, sent):
        tasks.want("mexc", "spot")
        assert sent == [("mexc", "spot")]
        pair_lists.claim("mexc", "spot", now=NOW)
        tasks.want("mexc", "spot")
        tasks.want("mexc", "options")
        assert len(sent) == 1

    def test_broker_that_is_away_breaks_no_page(self, monkeypatch, caplog):
        def refuse(*_: Any, **__: Any) -> None:
            raise OSError("redis://user:password@host")

        monkeypatch.setattr(tasks.refresh_pairs, "apply_async", refuse)
        tasks.want("mexc", "spot")
        assert "OSError" in caplog.text
        assert "password" not in caplog.text

    def test_web_process_that_asks_and_searches_loads_no_ccxt(self):
        code = "import django, sys; django.setup(); import strategies.pair_lists, strategies.tasks;"
        code += "sys.exit(bool({'ccxt', 'aiohttp'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_refreshing_is_done_beside_notices_within_its_claim(self):
        from backfuture.celery import app

        route = app.amqp.router.route({}, "strategies.tasks.refresh_pairs")
        assert route["queue"].name == "notices"
        limit = tasks.refresh_pairs.time_limit
        assert limit == tasks.refresh_pairs.soft_time_limit
        assert timedelta(seconds=limit) < pair_lists.CLAIMED


@pytest.mark.services
@pytest.mark.skipif(database.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_two_refreshes_at_once_leave_one_list(monkeypatch):
    """Whatever each of them has read, the later one counts, and nobody waits for ever."""
    monkeypatch.setattr(markets, "read", None)  # nothing is asked here
    store(listing(*names(3000)))
    together = Barrier(2)

    def write(bases: list[str], now: Any) -> None:
        together.wait(timeout=30)
        try:
            store(listing(*bases), now=now)
        finally:
            databases.close_all()

    with ThreadPoolExecutor(2) as threads:
        earlier = threads.submit(write, names(3000)[::-1], NOW + HOUR)
        later = threads.submit(write, names(2500), NOW + 2 * HOUR)
        for each in (earlier, later):
            each.result(timeout=60)
    assert traded() == {f"{base}/USDT" for base in names(2500)}
    assert Pair.objects.count() == 3000


@pytest.mark.services
@pytest.mark.skipif(database.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_asks(simulator: Simulator):
    together = Barrier(2)

    def refresh() -> None:
        together.wait(timeout=30)
        try:
            pair_lists.refresh("mexc", "spot", now=NOW)
        finally:
            databases.close_all()

    with ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(refresh) for _ in range(2)]:
            each.result(timeout=60)
    assert len(simulator.requests_to("/api/v3/exchangeInfo")) == 1
    assert traded()
