"""Every problem at every exchange has a title, a cause and something to do, in its own words."""

from __future__ import annotations

import pytest

from connections import exchanges
from connections.exchanges.base import Permissions
from connections.exchanges.problems import ALL, PROBLEMS, WARNINGS
from connections.presentation import explain, permission_marks, ready_for

# What can only be mended at the exchange is said with that exchange's menu names.
MENDED_THERE = {"ip_not_allowed", "no_permission", "withdrawal_enabled"}


@pytest.mark.django_db
@pytest.mark.parametrize("code", ALL)
@pytest.mark.parametrize("exchange", exchanges.EXCHANGES)
def test_problem_is_said_whole(exchange, code):
    words = explain(code, exchange, seen_ip="198.51.100.9")
    said = (words.title, words.cause, *words.advice)
    assert words.title
    assert words.cause.endswith(".")
    assert words.advice or code == "ambiguous"  # its causes carry the advice
    assert words.key_page.startswith("https://")
    for text in said:
        assert "{" not in text
        assert "%" not in text
        assert code not in text.split() or code in {"unavailable"}


@pytest.mark.parametrize("exchange", exchanges.EXCHANGES.values(), ids=lambda each: each.code)
def test_what_is_mended_at_the_exchange_names_its_menus(exchange):
    assert set(exchange.words) >= MENDED_THERE
    assert set(exchange.words) <= set(ALL)
    for code in MENDED_THERE:
        assert exchange.words[code].advice


@pytest.mark.parametrize("exchange", exchanges.EXCHANGES.values(), ids=lambda each: each.code)
def test_guide_leads_to_a_safe_key(exchange):
    text = " ".join(step.text for step in exchange.guide).lower()
    assert len(exchange.guide) >= 4
    assert "withdraw" in text or "transfer" in text
    assert [step.shows_ips for step in exchange.guide].count(True) == 1
    assert [spec.name for spec in exchange.fields][:2] == ["api_key", "secret"]
    for spec in exchange.fields:
        assert spec.label
        assert spec.hint
    if len(exchange.fields) == 3:
        assert "not your login" in exchange.fields[2].hint.lower()


def test_waiting_helps_where_the_exchange_is_the_cause():
    assert {code for code in PROBLEMS if PROBLEMS[code].may_pass} == {
        "clock_skew",
        "rate_limited",
        "unavailable",
    }
    assert not any(warning.may_pass for warning in WARNINGS.values())


def test_unknown_code_is_said_as_unknown():
    assert explain("no_such_code", "mexc").title == explain("unexpected", "mexc").title


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        (Permissions(), "nothing yet"),
        (Permissions(read=True), "reading only"),
        (Permissions(True, True), "spot"),
        (Permissions(True, True, True), "spot and futures"),
        (Permissions(True, False, True), "futures"),
        (Permissions(True, True, True, closed=("futures",)), "spot"),
        (Permissions(True, True, withdraw=True), "nothing"),
        (Permissions(None, True), "nothing yet"),
    ],
)
def test_ready_for_says_what_is_proven(permissions, said):
    assert ready_for(permissions) == said


def test_unknown_right_is_marked_as_unknown():
    marks = {mark.name: mark for mark in permission_marks(Permissions(read=True))}
    assert (marks["read"].word, marks["withdraw"].word) == ("yes", "unknown")
    assert (marks["withdraw"].value, marks["withdraw"].tone) == (None, "unknown")
