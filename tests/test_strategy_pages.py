"""The pages of strategies, through the door a trader uses."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import services as connection_services
from connections.exchanges.base import KeyFacts, Permissions
from connections.models import Connection, Exchange
from connections.presentation import status_of
from strategies import form_pages, pair_lists, services, tasks
from strategies.form_pages import GROUPS
from strategies.models import Pair, PairList, StrategyConfig, StrategyEvent
from strategies.presentation import SETTINGS as WORDS
from strategies.presentation import money
from strategies.presets import PRESETS, SETTINGS
from tests import making, strategies_made
from tests.strategies_made import pair

LIST, CHOOSE = "/strategies/", "/strategies/new/"
HTMX = {"HX-Request": "true"}
FIELD = re.compile(r'<input[^>]*name="([a-z_]+)"[^>]*>')
PAGES = ("detail", "edit", "delete", "history")
ACTIONS = ("enable", "disable", "move", "preview")


def page(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return unescape(re.sub(r"\s+", " ", response.content.decode()))


def url(strategy: StrategyConfig, name: str = "detail") -> str:
    return reverse(f"strategies:{name}", args=[strategy.pk])


def new(connection: Connection, name: str = "new") -> str:
    return reverse(f"strategies:{name}", args=[connection.pk])


def values(text: str) -> dict[str, list[str]]:
    """What a browser would send of the form on a page."""
    form = text.split('id="strategy-form"')[1].split("</form>")[0]
    sent: dict[str, list[str]] = {}
    for found in FIELD.finditer(form):
        tag, name = found.group(0), found.group(1)
        dots = 'type="radio"' in tag or 'type="checkbox"' in tag
        if name != "csrfmiddlewaretoken" and (not dots or " checked" in tag):
            value = re.search(r'value="([^"]*)"', tag)
            sent.setdefault(name, []).append(value[1] if value else "")
    return sent


def settings(strategy: StrategyConfig) -> dict[str, Any]:
    return {name: getattr(strategy, name) for name in SETTINGS}


@pytest.fixture
def main(trader: User) -> Connection:
    """Tested, with 1000 USDT."""
    return strategies_made.tested(trader)


@pytest.fixture
def btc(db: None) -> Pair:
    return pair("BTC/USDT", last_price=Decimal("67012.34"))


@pytest.fixture
def strategy(main: Connection, btc: Pair) -> StrategyConfig:
    return strategies_made.strategy(main, pairs=[btc])


@pytest.fixture
def form(browser: Client, main: Connection, btc: Pair) -> dict[str, Any]:
    """A new form as it is sent, with one pair."""
    return {**values(page(browser.get(new(main)))), "pairs": [str(btc.pk)]}


class TestList:
    def test_first_visit_leads_to_connecting(self, browser: Client) -> None:
        text = page(browser.get(LIST))
        assert "No strategy yet" in text
        assert 'href="/connections/new/"' in text

    def test_with_a_connection_it_leads_to_the_form(
        self, browser: Client, main: Connection
    ) -> None:
        assert 'class="btn btn-primary" href="/strategies/new/"' in page(browser.get(LIST))

    def test_shows_connection_pairs_and_worst_case_of_the_limit(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        text = page(browser.get(LIST))
        for shown in ("Ladder", "Main", "BTC/USDT", "499.95", ">500<", "USDT"):
            assert shown in text, shown

    @pytest.mark.parametrize(
        ("strategy_is", "connection_is", "word"),
        [
            ({}, {}, "Off"),
            ({"enabled": True}, {}, "Enabled"),
            ({"enabled": True}, {"paused_at": timezone.now()}, "Connection paused"),
            ({"enabled": True}, {"status": "failed", "problem": "unavailable"}, "Connection fails"),
            ({"enabled": True}, {"status": "new"}, "Key not tested yet"),
            ({"suspended_at": timezone.now(), "suspended_for": "expired"}, {}, "Suspended"),
            ({"connection": None}, {}, "Without a connection"),
        ],
    )
    def test_status_has_a_word_and_a_sentence(
        self,
        browser: Client,
        strategy: StrategyConfig,
        strategy_is: dict[str, Any],
        connection_is: dict[str, Any],
        word: str,
    ) -> None:
        Connection.objects.update(**(connection_is or {"name": "Main"}))
        StrategyConfig.objects.update(**(strategy_is or {"name": "Ladder"}))
        text = page(browser.get(LIST))
        assert f"<span>{word}</span>" in text
        assert re.search(r'class="fine mt-1">[A-Z][^<]+\.<', text)

    def test_pause_is_told_alike_whoever_made_it(
        self, browser: Client, staff: User, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        connection_services.pause(main, by=staff, why="ticket 4711")
        told = {
            LIST: "It is enabled, but its connection is paused, so it rests.",
            main.get_absolute_url(): "This connection is paused. Its key is not used for anything",
        }
        for path, words in told.items():
            assert words in page(browser.get(path))
        main.refresh_from_db()
        assert status_of(main, testing=False).sentence == "It is paused. Nothing uses its key."

    def test_others_strategies_are_not_there(
        self, stranger: User, strategy: StrategyConfig
    ) -> None:
        assert "Ladder" not in page(making.sign_in(Client(), stranger).get(LIST))


class TestChoosing:
    def test_one_that_works_is_not_asked_about(self, browser: Client, main: Connection) -> None:
        assert browser.get(CHOOSE).url == new(main)

    def test_of_several_one_is_chosen(self, browser: Client, trader: User) -> None:
        made = [strategies_made.tested(trader, name, uid=name) for name in ("One", "Two")]
        text = page(browser.get(CHOOSE))
        assert all(new(each) in text for each in made)

    def test_one_that_does_not_work_is_offered_with_a_warning(
        self, browser: Client, connection: Connection
    ) -> None:
        making.finish(connection, making.report("failed", problem="invalid_key"))
        text = page(browser.get(CHOOSE))
        assert "None of your connections works right now" in text
        assert new(connection) in text

    def test_without_any_it_leads_to_connecting(self, browser: Client) -> None:
        assert "Connect an exchange first" in page(browser.get(CHOOSE))


class TestForm:
    def test_begins_with_the_balanced_level(self, browser: Client, main: Connection) -> None:
        sent = values(page(browser.get(new(main))))
        assert (sent["risk"], sent["market"], sent["filled"]) == (
            ["balanced"],
            ["spot"],
            ["balanced/spot"],
        )
        assert sent["first_order"] == ["18.17"]
        assert sent["name"] == ["Main 1"]

    def test_every_setting_has_a_field_with_a_bound_label_and_its_term(
        self, browser: Client, main: Connection
    ) -> None:
        text = page(browser.get(new(main)))
        assert set(WORDS) == set(SETTINGS)
        dots = {"market", "direction", "risk", "recovery"}
        assert {name for group in GROUPS.values() for name in group} == set(SETTINGS) - dots
        for name in set(SETTINGS) - dots:
            label = re.search(rf'<label[^>]*for="id_{name}">(.*?)</label>', text)
            assert label, name
            assert f'<input type="text" name="{name}"' in text
            assert str(WORDS[name].term) in label[1]

    def test_every_level_says_what_it_risks(self, browser: Client, main: Connection) -> None:
        text = page(browser.get(new(main)))
        for preset in PRESETS.values():
            assert str(preset.sentence) in text

    def test_saving_leads_to_the_strategy_switched_off(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        made_at = browser.post(new(main), {**form, "name": "  BTC   alone "})
        made = StrategyConfig.objects.get()
        assert made_at.url == url(made)
        assert (made.name, made.enabled, made.risk, made.quote) == (
            "BTC alone",
            False,
            "balanced",
            "USDT",
        )
        assert [each.symbol for each in made.pairs.all()] == ["BTC/USDT"]
        assert "Saved, and switched off" in page(browser.get(made_at.url))

    @pytest.mark.parametrize("risk", ["conservative", "aggressive"])
    def test_another_level_fills_everything_and_saves_nothing_yet(
        self, browser: Client, main: Connection, form: dict[str, Any], risk: str
    ) -> None:
        text = page(
            browser.post(new(main), {**form, "name": "Kept", "risk": risk, "margin_limit": "900"})
        )
        assert not StrategyConfig.objects.exists()
        assert "Nothing was saved yet" in text
        sent = values(text)
        for name, value in PRESETS[risk].settings("spot", Decimal(900)).items():
            assert sent[name] == [
                f"{value.normalize():f}"
                if isinstance(value, Decimal)
                else str("" if value is None else value)
            ], name
        assert (sent["name"], sent["pairs"]) == (["Kept"], form["pairs"])
        browser.post(new(main), sent)
        assert StrategyConfig.objects.get().risk == risk

    def test_level_is_fitted_to_the_margin_limit_that_was_typed(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        changed = {**form, "margin_limit": "900", "risk": "conservative"}
        sent = values(page(browser.post(new(main), changed)))
        assert sent["margin_limit"] == ["900"]
        usual = PRESETS["conservative"].settings("spot", Decimal(900))
        assert Decimal(sent["first_order"][0]) == usual["first_order"]

    def test_changed_value_makes_it_custom(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        browser.post(new(main), {**form, "take_profit": "2.5"})
        made = StrategyConfig.objects.get()
        assert (made.risk, made.take_profit) == ("custom", Decimal("2.5"))

    def test_same_value_written_otherwise_does_not(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        browser.post(new(main), {**form, "take_profit": " 1.200 "})
        assert StrategyConfig.objects.get().risk == "balanced"

    def test_other_market_brings_its_pairs_and_values(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        there = pair("BTC/USDT:USDT")
        sent = values(page(browser.post(new(main), {**form, "market": "futures"})))
        assert (sent["pairs"], sent["leverage"]) == ([str(there.pk)], ["2"])
        browser.post(new(main), sent)
        made = StrategyConfig.objects.get()
        assert (made.market, made.leverage) == ("futures", 2)

    def test_pair_without_a_counterpart_is_named_as_left_out(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        text = page(browser.post(new(main), {**form, "market": "futures"}))
        assert "Not on this market, so left out: BTC/USDT" in text
        assert "pairs" not in values(text)

    def test_leverage_and_direction_mean_nothing_on_spot(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        browser.post(new(main), {**form, "leverage": "junk", "direction": "short"})
        made = StrategyConfig.objects.get()
        assert (made.leverage, made.direction) == (1, "long")

    @pytest.mark.parametrize(
        ("changed", "fault"),
        [
            ({"name": ""}, "Give the strategy a name"),
            ({"name": "a\x07b"}, "signs that can be printed"),
            ({"pairs": []}, "Choose at least one pair"),
            ({"pairs": ["999999"]}, "not listed here any more"),
            ({"pairs": ["junk", "\x00", "9" * 40]}, "not listed here any more"),
            ({"pairs": [str(n) for n in range(300)]}, "200 pairs at most"),
            ({"first_order": "1,000"}, "a point before the decimals"),
            ({"first_order": ""}, "Enter a number."),
            ({"first_order": "NaN"}, "a point before the decimals"),
            ({"first_order": "9" * 40}, "That number is too l"),
            ({"first_order": "1e400"}, "That number is too l"),
            ({"first_order": "1e-400"}, "That number is too l"),
            ({"first_order": " "}, "Enter a number."),
            ({"margin_limit": "Infinity"}, "a point before the decimals"),
            ({"margin_limit": "9999999999999999"}, "Enter 1000000000000000 or less."),
            (
                {"max_refills": "50", "refill_step": "1", "step_scale": "1", "volume_scale": "10"},
                "this takes 4.04E+50 USDT",
            ),
            ({"max_refills": "50", "step_scale": "10"}, "a price cannot fall by 100 % or more"),
            ({"first_order": "-1"}, "Enter 0 or more"),
            ({"first_order": "0"}, "Enter a number above zero."),
            ({"first_order": "0.1"}, "takes orders of at least 5 USDT"),
            ({"margin_limit": "100"}, "over the margin limit of 100 USDT"),
            ({"max_refills": "2.5"}, "a point before the decimals"),
            ({"max_refills": "51"}, "Enter 50 or less"),
            ({"refill_step": "60", "step_scale": "1"}, "a price cannot fall by 100 % or more"),
            ({"fee": "9"}, "Enter 5 or less"),
            ({"recovery": "reduce", "recovery_loss": ""}, "needs a number here"),
            ({"recovery": "nonsense"}, "Choose one."),
        ],
    )
    def test_bad_input_is_named_and_nothing_typed_is_lost(
        self,
        browser: Client,
        main: Connection,
        form: dict[str, Any],
        changed: dict[str, Any],
        fault: str,
    ) -> None:
        sent = {**form, "name": "Kept name", "volume_scale": "1.31", **changed}
        text = page(browser.post(new(main), sent))
        assert fault in text
        assert not StrategyConfig.objects.exists()
        for name, value in sent.items():
            if (
                name in {"volume_scale", *changed}
                and isinstance(value, str)
                and value.isprintable()
            ):
                assert name == "recovery" or values(text)[name] == [value]

    def test_taken_name_is_refused(
        self, browser: Client, main: Connection, form: dict[str, Any], strategy: StrategyConfig
    ) -> None:
        text = page(browser.post(new(main), {**form, "name": "LADDER"}))
        assert "already have a strategy of this name" in text
        assert StrategyConfig.objects.count() == 1

    def test_pairs_of_two_currencies_are_refused(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        other = str(pair("ETH/EUR").pk)
        text = page(browser.post(new(main), {**form, "pairs": [*form["pairs"], other]}))
        assert "All pairs must share one quote currency" in text
        assert set(values(text)["pairs"]) == {*form["pairs"], other}

    def test_pairs_of_another_exchange_are_not_taken(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        foreign = str(pair("BTC/USDT", exchange="kucoin").pk)
        text = page(browser.post(new(main), {**form, "pairs": [foreign]}))
        assert "not listed here any more" in text

    def test_connection_deleted_while_the_form_was_open_is_not_found(
        self, browser: Client, trader: User, main: Connection, form: dict[str, Any]
    ) -> None:
        places = [new(main), new(main, "preview_new")]
        connection_services.delete(main, by=trader)
        assert [browser.post(place, form).status_code for place in places] == [404, 404]

    def test_what_is_typed_is_never_markup(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        evil = '"><script>x</script>'
        answer = browser.post(new(main), {**form, "name": evil * 3, "fee": evil, "q": evil})
        assert b"<script>x" not in answer.content


class TestPreview:
    def test_shows_each_order_and_the_money(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        text = page(browser.post(new(main, "preview_new"), form, headers=HTMX))
        assert "<html" not in text
        assert text.count('<th scope="row">') == 7
        assert text.count('class="ladder-own') == 7
        for shown in ("499.89", "99 % of the margin limit of 500 USDT", "BTC/USDT, entered at"):
            assert shown in text
        assert 'role="img" aria-labelledby="ladder-title" aria-describedby="ladder-text"' in text

    def test_says_what_others_take_and_what_the_account_holds(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        strategies_made.enabled(main, "Other", limit=800)
        text = re.sub("<[^>]+>", " ", page(browser.post(new(main, "preview_new"), form)))
        taken = StrategyConfig.objects.get().worst_case
        assert f"account (1), at worst {money(taken)} USDT" in re.sub(" +", " ", text)
        assert "Balance the last good test found 1000 USDT" in re.sub(" +", " ", text)
        assert "Missing at worst" in text

    def test_warns_where_leverage_liquidates_first(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        changed = {**form, "market": "futures", "filled": "custom/futures", "risk": "custom"}
        sent = {**changed, "leverage": "20", "pairs": [str(pair("BTC/USDT:USDT").pk)]}
        text = page(browser.post(new(main, "preview_new"), sent, headers=HTMX))
        assert "the exchange liquidates it before" in text

    def test_turns_the_level_to_custom(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        sent = {**form, "fee": "0.2"}
        text = page(browser.post(new(main, "preview_new"), sent, headers=HTMX))
        assert re.search(r'value="custom" id="id_risk_3" checked', text)
        assert 'value="custom/spot"' in text
        assert 'id="numbers"' not in text

    def test_fills_the_fields_of_another_level(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        sent = {**form, "risk": "aggressive"}
        text = page(browser.post(new(main, "preview_new"), sent, headers=HTMX))
        assert re.search(r'id="numbers" hx-swap-oob="true"', text)
        assert 'name="max_refills" value="7"' in text

    @pytest.mark.parametrize("fault", [{"first_order": "x"}, {"pairs": []}, {"refill_step": "90"}])
    def test_says_what_is_missing(
        self, browser: Client, main: Connection, form: dict[str, Any], fault: dict[str, Any]
    ) -> None:
        sent = {**form, **fault}
        text = page(browser.post(new(main, "preview_new"), sent, headers=HTMX))
        assert "Before it can be saved:" in text

    def test_without_javascript_the_page_keeps_everything(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        sent = {**form, "name": "", "fee": "0,3", "max_deals": "7", "q": "eth"}
        text = page(browser.post(new(main, "preview_new"), sent))
        again = values(text)
        assert (again["name"], again["fee"], again["max_deals"], again["q"]) == (
            [""],
            ["0,3"],
            ["7"],
            ["eth"],
        )
        assert again["pairs"] == form["pairs"]
        assert 'class="field-errors"' not in text  # not sent yet, so nothing is a fault
        assert f'action="{new(main)}"' in text

    def test_compares_with_the_account_once_a_pair_says_the_currency(
        self, browser: Client, main: Connection, form: dict[str, Any]
    ) -> None:
        sent = {**form, "pairs": []}
        text = page(browser.post(new(main, "preview_new"), sent, headers=HTMX))
        assert "Choose a pair to compare" in text
        assert "at worst</dt>" not in text

    @pytest.mark.parametrize("filled", ["", "x", "/", "balanced/nonsense", "\x00" * 99])
    def test_nonsense_about_what_was_filled_in_saves_nothing(
        self, browser: Client, main: Connection, form: dict[str, Any], filled: str
    ) -> None:
        text = page(browser.post(new(main), {**form, "filled": filled, "name": "Kept"}))
        assert "Nothing was saved yet" in text
        assert values(text)["name"] == ["Kept"]
        assert not StrategyConfig.objects.exists()

    def test_of_a_strategy_leaves_itself_out(
        self, browser: Client, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        sent = values(page(browser.get(url(strategy, "edit"))))
        text = page(browser.post(url(strategy, "preview"), sent, headers=HTMX))
        assert "account (0), at worst" in text


class TestPairs:
    def search(self, browser: Client, connection: Connection, **asked: Any) -> str:
        return page(browser.get(new(connection, "pairs"), asked, headers=HTMX))

    def test_finds_by_name_without_the_chosen(
        self, browser: Client, main: Connection, btc: Pair
    ) -> None:
        eth, _other = pair("ETH/USDT"), pair("ETH/EUR")
        text = self.search(browser, main, q="eth", market="spot", pairs=[btc.pk])
        found = text.split('id="pairs-found"')[1]
        assert f'value="{eth.pk}"' in found
        assert "EUR" not in found
        assert "Only those in USDT" in found
        assert f'value="{btc.pk}" id="id_pair_{btc.pk}" checked' in text

    def test_other_market_has_its_own(self, browser: Client, main: Connection, btc: Pair) -> None:
        there = pair("SOL/USDT:USDT")
        text = self.search(browser, main, q="", market="futures")
        assert f'value="{there.pk}"' in text
        assert f'value="{btc.pk}"' not in text

    @pytest.mark.parametrize("q", ["", "zzz", "%", "\x00", "é" * 500, "' OR 1=1"])
    def test_whatever_is_searched_is_answered(
        self, browser: Client, main: Connection, btc: Pair, q: str
    ) -> None:
        self.search(browser, main, q=q, market="nonsense", pairs=["x", "-1", "9" * 50])

    def test_costs_the_same_among_many(self, browser: Client, main: Connection, btc: Pair) -> None:
        def queries(text: str) -> int:
            with CaptureQueriesContext(database) as captured:
                self.search(browser, main, q=text, market="spot", pairs=[btc.pk])
            return len(captured)

        texts = ("", "btc", "t49 usdt", "no such pair", "usdt")
        few = [queries(text) for text in texts]
        Pair.objects.bulk_create(
            Pair(exchange_id="mexc", market="spot", symbol=f"T{n}/USDT", base=f"T{n}", quote="USDT")
            for n in range(1000)
        )
        assert [queries(text) for text in texts] == few

    def test_nothing_found_is_said(self, browser: Client, main: Connection, btc: Pair) -> None:
        PairList.objects.create(exchange_id="mexc", market="spot", refreshed_at=timezone.now())
        assert "No other pair is named “zzz”" in self.search(browser, main, q="zzz", market="spot")

    def test_many_are_cut_and_that_is_said(
        self, browser: Client, main: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(form_pages, "FOUND", 3)
        for number in range(5):
            pair(f"C{number}/USDT")
        text = self.search(browser, main, q="c", market="spot")
        assert "The first 3 pairs" in text
        assert text.count('type="checkbox"') == 3

    def test_list_that_was_never_fetched_is_asked_for_and_says_so(
        self, browser: Client, main: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, str]] = []
        monkeypatch.setattr(tasks, "want", lambda *place: asked.append(place))
        assert "was never fetched" in self.search(browser, main, q="", market="futures")
        browser.get(new(main))
        assert asked == [("mexc", "futures"), ("mexc", "spot")]

    def test_list_that_could_not_be_fetched_says_why(
        self, browser: Client, main: Connection
    ) -> None:
        asked = {"asked_at": timezone.now(), "problem": "unavailable"}
        PairList.objects.create(exchange_id="mexc", market="spot", **asked)
        text = self.search(browser, main, q="", market="spot")
        assert "Exchange unavailable." in text

    def test_market_whose_list_is_never_read_says_so(
        self, browser: Client, main: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pair_lists, "known", lambda code, market: False)
        text = self.search(browser, main, q="", market="futures")
        assert "does not read the pairs of this market" in text

    @pytest.mark.parametrize(("days", "stale"), [(0, False), (9, True)])
    def test_age_of_the_list_is_told(
        self, browser: Client, main: Connection, btc: Pair, days: int, stale: bool
    ) -> None:
        at = timezone.now() - timedelta(days=days, hours=1)
        PairList.objects.create(exchange_id="mexc", market="spot", refreshed_at=at)
        text = self.search(browser, main, q="", market="spot")
        assert "List of the exchange, refreshed" in text
        assert ("It should be newer" in text) is stale

    def test_delisted_pair_that_was_chosen_is_marked(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        Pair.objects.update(active=False)
        assert "not traded any more" in page(browser.get(url(strategy, "edit")))
        assert "not traded any more" in page(browser.get(url(strategy)))

    def test_without_htmx_it_leads_to_the_form(self, browser: Client, main: Connection) -> None:
        assert browser.get(new(main, "pairs")).url == new(main)


class TestChanging:
    def send(self, browser: Client, strategy: StrategyConfig, **changed: Any) -> Any:
        sent = values(page(browser.get(url(strategy, "edit"))))
        return browser.post(url(strategy, "edit"), {**sent, **changed})

    def test_form_shows_what_is_saved(self, browser: Client, strategy: StrategyConfig) -> None:
        before = settings(strategy)
        answer = self.send(browser, strategy)
        strategy.refresh_from_db()
        assert answer.url == url(strategy)
        assert (settings(strategy), strategy.version) == (before, 1)

    def test_makes_a_version(self, browser: Client, strategy: StrategyConfig) -> None:
        answer = self.send(browser, strategy, take_profit="2", name="Renamed")
        strategy.refresh_from_db()
        assert (strategy.version, strategy.take_profit, strategy.name) == (2, 2, "Renamed")
        assert "Saved as version 2" in page(browser.get(answer.url))

    def test_changed_meanwhile_it_is_refused_and_kept(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        text = page(self.send(browser, strategy, take_profit="2", version="7"))
        assert "changed in another window" in text
        assert values(text)["take_profit"] == ["2"]
        assert StrategyConfig.objects.get().version == 1

    @pytest.mark.parametrize("version", ["", "x", "-1", "9" * 30])
    def test_nonsense_as_version_is_refused(
        self, browser: Client, strategy: StrategyConfig, version: str
    ) -> None:
        text = page(self.send(browser, strategy, take_profit="2", version=version))
        assert "changed in another window" in text

    def test_enabled_one_must_stay_safe(self, browser: Client, strategy: StrategyConfig) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        sent = {"margin_limit": "9000", "first_order": "5000", "refill_order": "10"}
        text = page(self.send(browser, strategy, **sent))
        assert "would not be safe with these settings" in text
        assert "The last test found 1000 USDT" in text
        assert StrategyConfig.objects.get().version == 1

    def test_enabled_one_asks_for_its_owner(self, trader: User, strategy: StrategyConfig) -> None:
        services.enable(strategy, by=trader, now=timezone.now())
        late = making.sign_in(Client(), trader, age=6 * 60)
        text = page(self.send(late, strategy, take_profit="2"))
        assert "Confirm that it is you" in text
        assert values(text)["take_profit"] == ["2"]
        assert StrategyConfig.objects.get().version == 1
        self.send(
            late, strategy, **{"take_profit": "2", "confirm-password": "a long enough password"}
        )
        assert StrategyConfig.objects.get().version == 2

    def test_without_a_connection_it_is_moved_first(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        StrategyConfig.objects.update(connection=None)
        assert browser.get(url(strategy, "edit")).url == url(strategy)
        assert browser.post(url(strategy, "preview")).url == url(strategy)


class TestGate:
    def test_safe_one_is_enabled(self, browser: Client, strategy: StrategyConfig) -> None:
        assert "It may be enabled" in page(browser.get(url(strategy)))
        answer = browser.post(url(strategy, "enable"))
        strategy.refresh_from_db()
        assert strategy.enabled
        text = page(browser.get(answer.url))
        assert "It is enabled" in text
        assert "Switch off" in text

    def test_what_was_changed_in_another_window_is_looked_at_first(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        seen = re.search(r'name="version" value="(\d+)"', page(browser.get(url(strategy))))
        assert seen
        wished = {**settings(strategy), "fee": Decimal("0.2"), "risk": "custom"}
        pairs, now = list(strategy.pairs.all()), timezone.now()
        services.change(
            strategy,
            by=strategy.owner,
            name="Ladder",
            settings=wished,
            pairs=pairs,
            seen_version=1,
            now=now,
        )
        answer = browser.post(url(strategy, "enable"), {"version": seen[1]}, follow=True)
        assert "It was changed in another window meanwhile" in page(answer)
        assert not StrategyConfig.objects.get().enabled
        for nonsense in ("", "x", "-1", "9" * 30):
            browser.post(url(strategy, "enable"), {"version": nonsense})
            assert StrategyConfig.objects.get().enabled
            services.disable(strategy, by=strategy.owner, now=now)

    def test_owner_confirms_that_it_is_them(self, trader: User, strategy: StrategyConfig) -> None:
        late = making.sign_in(Client(), trader, age=6 * 60)
        assert "Your BackFuture password" in page(late.get(url(strategy)))
        for wrong in ({}, {"confirm-password": "wrong"}):
            text = page(late.post(url(strategy, "enable"), wrong))
            assert "It was not enabled yet" in text
            assert not StrategyConfig.objects.get().enabled
        late.post(url(strategy, "enable"), {"confirm-password": "a long enough password"})
        assert StrategyConfig.objects.get().enabled

    def test_frozen_account_enables_nothing(
        self, browser: Client, trader: User, strategy: StrategyConfig
    ) -> None:
        trader.keys_frozen_until = timezone.now() + timedelta(hours=1)
        trader.save()
        assert "Keys are frozen for a day" in page(browser.get(url(strategy)))
        assert browser.post(url(strategy, "enable")).status_code == 403
        assert not StrategyConfig.objects.get().enabled

    REASONS = [
        ({"paused_at": timezone.now()}, "The connection is paused.", "To the connection"),
        ({"status": "new"}, "has not been tested yet", "To the connection"),
        ({"status": "failed", "problem": "invalid_key"}, "Invalid API key", "To the connection"),
        ({"tested_at": timezone.now() - timedelta(days=2)}, "older than 24 hours", "To the conn"),
        ({"key_expires_at": timezone.now()}, "The key has expired", "Replace the key"),
        ({"permissions": {}}, "not proven that the key may trade spot", "Replace the key"),
        ({"suspicion": "invalid_key"}, "A second test decides", "To the connection"),
    ]

    @pytest.mark.parametrize(("facts", "what", "link"), REASONS)
    def test_each_reason_says_what_to_do_and_where(
        self, browser: Client, strategy: StrategyConfig, facts: Any, what: str, link: str
    ) -> None:
        Connection.objects.update(**facts)
        text = page(browser.get(url(strategy)))
        assert "It cannot be enabled yet" in text
        assert what in text
        assert link in text
        assert url(strategy, "enable") not in text
        browser.post(url(strategy, "enable"))
        assert not StrategyConfig.objects.get().enabled

    def test_all_reasons_are_listed_at_once(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        Connection.objects.update(paused_at=timezone.now(), status="failed", problem="unavailable")
        Pair.objects.update(active=False)
        assert "for 3 reasons" in page(browser.get(url(strategy)))

    def test_balance_that_is_too_small_is_told_in_numbers(
        self, browser: Client, main: Connection, btc: Pair
    ) -> None:
        large = strategies_made.strategy(main, "Large", pairs=[btc], limit=5000)
        text = page(browser.get(url(large)))
        assert "The last test found 1000 USDT" in text
        answer = browser.post(url(large, "enable"), follow=True)
        assert "It was not enabled." in page(answer)

    def test_switching_off(self, browser: Client, strategy: StrategyConfig) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        text = page(browser.post(url(strategy, "disable"), follow=True))
        assert "Open orders and positions at the exchange stay" in text
        assert not StrategyConfig.objects.get().enabled

    @pytest.mark.parametrize(
        ("connection_is", "sentence"),
        [
            ({}, "It may trade with this connection until you switch it off."),
            (
                {"paused_at": timezone.now()},
                "It is enabled, but its connection is paused, so it rests.",
            ),
            (
                {"status": "failed", "problem": "unavailable"},
                "It is enabled, but the last test of its connection failed.",
            ),
            (
                {"status": "new"},
                "It is enabled; the key it now uses has not been tested yet.",
            ),
        ],
    )
    def test_enabled_one_says_whether_it_trades(
        self,
        browser: Client,
        strategy: StrategyConfig,
        connection_is: dict[str, Any],
        sentence: str,
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        Connection.objects.update(**(connection_is or {"name": "Main"}))
        gate = page(browser.get(url(strategy))).split('id="gate"')[1].split("</section>")[0]
        assert f"<p>{sentence} If its key turns unsafe, BackFuture switches it off" in gate
        assert ("It may trade" in gate) is (not connection_is)

    def test_suspended_one_says_why_and_comes_back_by_its_owner(
        self, browser: Client, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        withdraws = KeyFacts(Permissions(True, True, True, False, False, True), True, uid="42")
        making.asked_again(main)
        making.finish(main, making.report("refused", facts=withdraws))
        text = page(browser.get(url(strategy)))
        assert "Suspended" in text
        assert "The key may withdraw funds." in text
        assert "it never comes back by itself" in text
        good = KeyFacts(strategies_made.BOTH, ip_restricted=True, uid="42")
        making.asked_again(main)
        making.finish(main, making.report(facts=good, **strategies_made.holding("1000")))
        text = page(browser.get(url(strategy)))
        assert "Nothing stands against it any more" in text
        assert "Enable it again" in text
        browser.post(url(strategy, "enable"))
        assert StrategyConfig.objects.get().enabled

    def test_suspended_for_a_key_that_failed_it_never_says_what_came_later(
        self, browser: Client, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())

        def tested(problem: str) -> str:
            making.asked_again(main)
            report = making.report("failed", problem=problem, facts=KeyFacts())
            making.finish(main, report)
            return page(browser.get(url(strategy)))

        tested("invalid_key")
        text = tested("invalid_key")
        assert "The key stopped working: Invalid API key." in text
        text = tested("unavailable")
        main.refresh_from_db()
        assert main.problem == "unavailable"
        assert "The key stopped working." in text
        assert "The key stopped working:" not in text
        text = tested("invalid_key")
        history = page(browser.get(url(strategy, "history")))
        assert "The key stopped working." in history
        assert "The key stopped working:" not in history


class TestMoving:
    def test_deleted_connection_leaves_it_to_be_moved(
        self, browser: Client, trader: User, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=trader, now=timezone.now())
        text = page(browser.get(reverse("connections:delete", args=[main.pk])))
        assert "suspended with it" in text
        assert ">Ladder</a>" in text
        connection_services.delete(main, by=trader)
        text = page(browser.get(url(strategy)))
        assert "It needs a connection" in text
        other = strategies_made.tested(trader, "Other", uid="7")
        assert str(other.pk) in page(browser.get(url(strategy)))
        browser.post(url(strategy, "move"), {"connection": str(other.pk)})
        assert StrategyConfig.objects.get().connection == other

    @pytest.mark.parametrize("given", ["", "x", "\x00", "00000000-0000-0000-0000-000000000000"])
    def test_nonsense_moves_nothing(
        self, browser: Client, main: Connection, strategy: StrategyConfig, given: str
    ) -> None:
        browser.post(url(strategy, "move"), {"connection": given})
        assert StrategyConfig.objects.get().connection == main

    def test_not_to_others_connections_nor_to_other_exchanges(
        self, browser: Client, trader: User, stranger: User, strategy: StrategyConfig
    ) -> None:
        others = strategies_made.tested(stranger, "Foreign")
        elsewhere = making.connection(trader, Exchange.objects.get(code="bingx"), "Elsewhere")
        for home in (others, elsewhere):
            browser.post(url(strategy, "move"), {"connection": str(home.pk)})
            assert StrategyConfig.objects.get().connection not in (others, elsewhere)

    def test_enabled_one_stays(
        self, browser: Client, trader: User, main: Connection, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=trader, now=timezone.now())
        other = strategies_made.tested(trader, "Other", uid="7")
        answer = browser.post(url(strategy, "move"), {"connection": str(other.pk)}, follow=True)
        assert "Switch it off before you move it" in page(answer)
        assert StrategyConfig.objects.get().connection == main


class TestHistory:
    def test_difference_of_a_version_is_readable(
        self, browser: Client, trader: User, strategy: StrategyConfig
    ) -> None:
        wished = {**settings(strategy), "margin_limit": Decimal(600), "risk": "custom"}
        services.change(
            strategy,
            by=trader,
            name="Renamed",
            settings=wished,
            pairs=[pair("ETH/USDT")],
            seen_version=1,
            now=timezone.now(),
        )
        text = page(browser.get(url(strategy, "history")))
        rows = re.findall(
            r'<th scope="row">(.*?)</th><td><del>(.*?)</del>.*?<ins>(.*?)</ins>', text
        )
        assert rows == [
            ("Name", "Ladder", "Renamed"),
            ("Risk level", "Conservative", "Custom"),
            ("Margin limit", "500 USDT", "600 USDT"),
        ]
        assert "+ ETH/USDT" in text
        assert "− BTC/USDT" in text
        assert "· you · version 2" in text

    def test_everything_that_happened_is_there(
        self, browser: Client, trader: User, strategy: StrategyConfig
    ) -> None:
        now = timezone.now()
        services.enable(strategy, by=trader, now=now)
        services.disable(strategy, by=trader, now=now)
        services.enable(strategy, by=trader, now=now)
        services.suspend(strategy, "expired", now)
        text = page(browser.get(url(strategy, "history")))
        for said in (
            "Created",
            "Enabled",
            "Switched off",
            "Suspended</span>: The key has expired.",
        ):
            assert said in text
        assert "BackFuture · version 1" in text

    def test_a_page_at_a_time(self, browser: Client, strategy: StrategyConfig) -> None:
        for _ in range(26):
            StrategyEvent.objects.create(strategy=strategy, kind="enabled", version=1)
        first, second = (
            page(browser.get(url(strategy, "history"), {"page": n})) for n in ("1", "2")
        )
        assert first.count("<time") == 25
        assert second.count("<time") == 2
        assert "Page 2 of 2" in second
        for wrong in ("0", "99", "x", "\x00"):
            assert browser.get(url(strategy, "history"), {"page": wrong}).status_code == 200


class TestDeleting:
    def test_needs_the_typed_name(self, browser: Client, strategy: StrategyConfig) -> None:
        text = page(browser.post(url(strategy, "delete"), {"confirm": "something"}))
        assert "Type the name exactly" in text
        assert browser.post(url(strategy, "delete"), {"confirm": " ladder "}).url == LIST
        assert not StrategyConfig.objects.exists()

    def test_enabled_one_is_switched_off_first(
        self, browser: Client, strategy: StrategyConfig
    ) -> None:
        services.enable(strategy, by=strategy.owner, now=timezone.now())
        for answer in (
            browser.get(url(strategy, "delete")),
            browser.post(url(strategy, "delete"), {"confirm": "Ladder"}),
        ):
            assert "Switch it off first" in page(answer)
        assert StrategyConfig.objects.exists()


class TestOnOtherPages:
    def test_connection_shows_its_strategies(
        self, browser: Client, main: Connection, strategy: StrategyConfig
    ) -> None:
        text = page(browser.get(main.get_absolute_url()))
        assert url(strategy) in text
        assert new(main) in text

    def test_bar_leads_to_the_list(self, browser: Client) -> None:
        assert '<a class="topbar-link" href="/strategies/"' in page(browser.get("/connections/"))


class TestWhoMay:
    @pytest.mark.parametrize("name", PAGES)
    def test_anonymous_is_asked_to_sign_in(
        self, client: Client, strategy: StrategyConfig, name: str
    ) -> None:
        assert client.get(url(strategy, name)).url.startswith("/accounts/login/")

    @pytest.mark.parametrize("name", PAGES)
    def test_others_pages_are_not_found(
        self, stranger: User, strategy: StrategyConfig, name: str
    ) -> None:
        other = making.sign_in(Client(), stranger)
        assert other.get(url(strategy, name)).status_code == 404

    @pytest.mark.parametrize("name", (*ACTIONS, "edit", "delete"))
    def test_others_actions_are_not_found(
        self, stranger: User, strategy: StrategyConfig, name: str
    ) -> None:
        other = making.sign_in(Client(), stranger)
        assert other.post(url(strategy, name), {"confirm": "Ladder"}).status_code == 404
        strategy.refresh_from_db()
        assert (strategy.enabled, strategy.version) == (False, 1)

    @pytest.mark.parametrize("name", ["new", "preview_new", "pairs"])
    def test_others_connections_are_not_found(
        self, stranger: User, main: Connection, name: str
    ) -> None:
        other = making.sign_in(Client(), stranger)
        send = other.post if name == "preview_new" else other.get
        assert send(new(main, name)).status_code == 404

    @pytest.mark.parametrize("name", ["enable", "disable", "delete", "edit"])
    def test_deleted_in_another_window_is_not_found(
        self,
        browser: Client,
        strategy: StrategyConfig,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        sent = {**values(page(browser.get(url(strategy, "edit")))), "confirm": "Ladder"}
        real = services._locked

        def too_late(asked: StrategyConfig) -> Any:
            StrategyConfig.objects.all().delete()
            return real(asked)

        monkeypatch.setattr(services, "_locked", too_late)
        assert browser.post(url(strategy, name), {**sent, "fee": "0.2"}).status_code == 404

    @pytest.mark.parametrize("name", ACTIONS)
    def test_state_changes_by_post_alone(
        self, browser: Client, strategy: StrategyConfig, name: str
    ) -> None:
        assert browser.get(url(strategy, name)).status_code == 405


@pytest.mark.parametrize("name", ["list", "choose", "connection", "detail", "history", "edit"])
def test_queries_do_not_grow_with_rows(
    browser: Client, trader: User, main: Connection, strategy: StrategyConfig, name: str
) -> None:
    strategies_made.tested(trader, "Second", uid="2")
    where = {"list": LIST, "choose": CHOOSE, "connection": main.get_absolute_url()}
    path = where.get(name) or url(strategy, name)
    add_one_more(strategy, 1)
    browser.get(path)
    with CaptureQueriesContext(database) as few:
        browser.get(path)
    for number in range(2, 13):
        add_one_more(strategy, number)
    with CaptureQueriesContext(database) as many:
        browser.get(path)
    assert len(many) <= len(few), [each["sql"] for each in many.captured_queries]


def add_one_more(strategy: StrategyConfig, number: int) -> None:
    """Another strategy beside it, and another pair and version of it."""
    connection: Any = strategy.connection
    beside = pair(f"C{number}/USDT")
    made = strategies_made.strategy(connection, f"Number {number}", pairs=[beside])
    StrategyConfig.objects.filter(pk=made.pk).update(enabled=bool(number % 2))
    services.change(
        strategy,
        by=strategy.owner,
        name="Ladder",
        settings={**settings(strategy), "margin_limit": Decimal(600 + number), "risk": "custom"},
        pairs=[*strategy.pairs.all(), beside],
        seen_version=number,
        now=timezone.now(),
    )
