"""Every rule at every exchange says what was found and what to do, whole and in plain words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from connections.exchanges import EXCHANGES
from connections.exchanges.lifetimes import LIFETIMES
from connections.exchanges.problems import PROBLEMS
from connections.finding_words import Words, words_for
from connections.models import Finding
from connections.rule_words import SAY
from connections.rules import RULES

UNTIL = datetime(2027, 3, 10, 23, 30, tzinfo=UTC)

# What a finding of a rule may say in detail.
DETAILS = {
    "old": ("", "entered"),
    "expiring": ("", "computed"),
    "excess_permissions": ("futures_trade", "spot_trade,margin"),
    "failing": tuple(PROBLEMS),
    "delisted_pair": ("LUNA/USDT", "ANC/USDT,LUNA/USDT:USDT"),
}
CASES = [(rule, detail) for rule in RULES for detail in DETAILS.get(rule, ("",))]


# Staff may set an exchange's own addresses, which stand in what is to be done.
pytestmark = pytest.mark.django_db


def said(
    rule: str, detail: str = "", *, exchange: str = "mexc", amount: int = 2, names: object = ()
) -> Words:
    finding = Finding(rule=rule, severity=20, until=UNTIL, amount=amount, detail=detail)
    return words_for(finding, exchange_code=exchange, strategies=names)  # type: ignore[arg-type]


def test_every_rule_has_words():
    assert list(SAY) == list(RULES)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("rule", "detail"), CASES)
@pytest.mark.parametrize("names", [(), ("Grid 100% {up}", "Refill %(x)s")])
def test_finding_is_said_whole(exchange, rule, detail, names):
    words = said(rule, detail, exchange=exchange, names=names)
    assert words.title
    assert words.what.endswith(".")
    assert words.advice or detail == "ambiguous"  # its causes carry the advice
    assert words.link == EXCHANGES[exchange].key_page
    for text in (words.title, words.what, *words.advice):
        for name in names:
            text = text.replace(name, "")
        assert "{" not in text
        assert "%" not in text
        assert "  " not in text
        assert "None" not in text
        assert rule not in text.split() or "_" not in rule
        assert not any(code in text for code in RULES if "_" in code)


def test_an_exchange_nobody_knows_any_more_has_no_link():
    words = said("no_ip_restriction", exchange="gone")
    assert words.what
    assert words.link == ""


@pytest.mark.parametrize(
    "rule", ["expiring", "dies_of_inactivity", "failing", "several_strategies"]
)
def test_strategies_are_named_where_they_are_at_stake(rule):
    words = said(rule, "bad_secret" if rule == "failing" else "", exchange="okx", names=["A", "B"])
    assert "A, B" in words.what


def test_without_names_the_strategies_at_risk_are_counted():
    assert "3 enabled strategies" in said("dies_of_inactivity", exchange="okx", amount=3).what
    assert "1 enabled strategy " in said("dies_of_inactivity", exchange="okx", amount=1).what
    assert "enabled" not in said("dies_of_inactivity", exchange="okx", amount=0).what


@pytest.mark.parametrize(
    ("rule", "date"),
    [
        ("unused", "10 Mar 2027"),
        ("old", "10 Mar 2027"),
        ("never_tested", "10 Mar 2027"),
        ("expiring", "10 Mar 2027, 23:30 UTC"),
        ("dies_of_inactivity", "10 Mar 2027, 23:30 UTC"),
        ("failing", "10 Mar 2027, 23:30 UTC"),
    ],
)
def test_the_date_is_said(rule, date):
    assert date in said(rule, "bad_secret" if rule == "failing" else "").what


def test_dates_are_in_the_current_time_zone():
    with timezone.override(ZoneInfo("Europe/Oslo")):
        assert "11 Mar 2027, 00:30 CET" in said("expiring").what


@pytest.mark.parametrize("exchange", [code for code, each in LIFETIMES.items() if each.idle_days])
@pytest.mark.parametrize("rule", ["no_ip_restriction", "dies_of_inactivity"])
def test_that_our_test_counts_as_use_is_said_to_be_our_reading(exchange, rule):
    text = said(rule, exchange=exchange).what
    assert "does not confirm" in text
    assert f"{LIFETIMES[exchange].idle_days} days" in text


@pytest.mark.parametrize("exchange", [code for code, each in LIFETIMES.items() if each.days])
def test_a_computed_end_is_said_to_be_our_count(exchange):
    assert "By our count" in said("expiring", "computed", exchange=exchange).what
    assert "By our count" not in said("expiring", "", exchange=exchange).what
    text = said("no_ip_restriction", exchange=exchange).what
    assert f"lets such a key expire {LIFETIMES[exchange].days} days after it was made." in text


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("rule", "detail"), CASES)
def test_of_a_key_it_is_never_said_that_it_ends(exchange, rule, detail):
    """It expires, or the exchange deletes it: an end may be a test's, or a strategy's."""
    words = said(rule, detail, exchange=exchange, names=("Ladder",))
    text = " ".join((words.title, words.what, *words.advice))
    assert not re.search(r"\b(it|keys?|addresses) ends?\b|\bends (a|such)\b", text)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_what_is_mended_at_the_exchange_names_its_menus(exchange):
    known = EXCHANGES[exchange]
    assert said("withdraw_enabled", exchange=exchange).advice
    for rule, problem in (
        ("withdraw_enabled", "withdrawal_enabled"),
        ("no_ip_restriction", "ip_not_allowed"),
    ):
        first = known.words[problem].advice[0]
        assert said(rule, exchange=exchange).advice[0] == first
    assert "203.0.113.7" in " ".join(said("no_ip_restriction", exchange=exchange).advice)


def test_the_same_key_elsewhere_says_nothing_of_the_other():
    one, many = (said("same_key_elsewhere", amount=amount) for amount in (1, 9))
    assert one == many
    assert not any(character.isdigit() for character in one.what)


def test_pairs_are_named_and_counted():
    one = said("delisted_pair", "LUNA/USDT", amount=1).what
    assert "1 pair of an enabled strategy at present: LUNA/USDT." in one
    many = said("delisted_pair", "ANC/USDT,UST/USDT", amount=7).what
    assert "7 pairs" in many
    assert "among them ANC/USDT, UST/USDT." in many


def test_a_right_that_cannot_be_switched_off_is_not_asked_to_be():
    assert "Nothing needs to be done" in said("transfer_enabled", exchange="okx").advice[0]
    assert "switch the transfer right off" in said("transfer_enabled", exchange="mexc").advice[0]
