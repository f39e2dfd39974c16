"""What is special about Bitget's keys: two kinds of account, demo trading, localised refusals."""

from __future__ import annotations

from typing import Any

import pytest

from connections import exchanges
from connections.exchanges import pasting
from connections.exchanges.base import Answer
from tests.simulator import SEEN_IP, Simulator, sample
from tests.test_inspection import RECORDED, inspect

KEY, CLASSIC_KEY = "/api/v3/account/info", "/api/v2/spot/account/info"
ASSETS = "/api/v3/account/assets"


# --- two kinds of account ------------------------------------------------------------------------


def test_classic_account_is_told_by_the_classic_endpoint(simulator: Simulator) -> None:
    report = inspect(sample("bitget", "good_futures"))
    assert report.facts.permissions.ready_for == ("spot", "futures")
    assert report.facts.permissions.evidence["spot_trade"] == f"GET {CLASSIC_KEY}: stow"
    assert report.facts.permissions.withdraw is False
    assert report.facts.ips == (SEEN_IP, "203.0.113.8")
    assert (report.facts.uid, report.facts.created_at) == ("209302839", None)
    assert not simulator.requests_to(ASSETS)


@pytest.mark.parametrize("scenario", ["unified", "unified_documented"])
def test_unified_account_is_told_by_its_own_endpoint(simulator: Simulator, scenario: str) -> None:
    report = inspect(sample("bitget", scenario))
    may = report.facts.permissions
    assert may.ready_for == ("spot", "futures")
    assert (may.withdraw, may.margin, may.transfer) == (False, None, None)
    assert report.facts.uid == "209302839"
    assert not simulator.requests_to(CLASSIC_KEY)
    assert {balance.currency: balance.total for balance in report.balances} == {
        "BTC": "0.015",
        "USDT": "1350.5",
    }


def unified(simulator: Simulator, **data: Any) -> Any:
    info = {"userId": "1", "ips": "", "permType": "read_and_write", "permissions": ["uta_trade"]}
    simulator.answer("GET", KEY, 200, {"code": "00000", "data": info | data})
    return inspect(sample("bitget", "unified")).facts


@pytest.mark.parametrize(
    ("kind", "trade", "withdraw"),
    [
        ("read-and-write", True, False),
        ("READ_AND_WRITE", True, False),
        ("read-only", False, False),
        ("read_only", False, False),
        ("trade-only", None, None),
        (None, None, None),
        (["read-and-write"], None, None),
    ],
)
def test_spelling_of_the_kind_of_permission(
    simulator: Simulator, kind: Any, trade: bool | None, withdraw: bool | None
) -> None:
    may = unified(simulator, permType=kind).permissions
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (trade, trade, withdraw)


@pytest.mark.parametrize(
    ("words", "trade", "withdraw"),
    [
        (["uta_trade", "withdraw"], True, True),
        (["uta_trade", "auto_withdrawal"], True, True),
        (["uta_trade", 7], True, None),
        (["uta_mgt"], False, False),
        ([], None, None),
    ],
)
def test_words_of_a_unified_key(
    simulator: Simulator, words: list[Any], trade: bool | None, withdraw: bool | None
) -> None:
    may = unified(simulator, permissions=words).permissions
    assert (may.spot_trade, may.withdraw) == (trade, withdraw)


@pytest.mark.parametrize(
    ("ips", "restricted"), [("", False), ("1.1.1.1, 2.2.2.2", True), ([], False), (None, None)]
)
def test_addresses(simulator: Simulator, ips: Any, restricted: bool | None) -> None:
    assert unified(simulator, ips=ips).ip_restricted is restricted


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("stow", "spot_trade"),
        ("coow", "futures_trade"),
        ("smow", "margin"),
        ("wtow", "transfer"),
        ("wwow", "withdraw"),
    ],
)
def test_classic_words(simulator: Simulator, word: str, right: str) -> None:
    key = sample("bitget", "good")
    simulator.change(key.api_key, permissions=("stor", word))
    rights = inspect(key).facts.permissions.as_dict()
    rights.pop("read")
    assert rights == {name: name == right for name in rights}


def test_documented_words_that_are_in_no_list_are_unknown(simulator: Simulator) -> None:
    simulator.answer(
        "GET", CLASSIC_KEY, 200, {"code": "00000", "data": {"authorities": ["trade", "readonly"]}}
    )
    may = inspect(sample("bitget", "good")).facts.permissions
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (None, None, None)


def test_key_without_the_right_to_read_spot_shows_its_futures(simulator: Simulator) -> None:
    report = inspect(sample("bitget", "futures_only"))
    may = report.facts.permissions
    assert (may.read, may.spot_trade, may.futures_trade, may.withdraw) == (True, False, None, None)
    assert [balance.currency for balance in report.balances] == ["USDT"]
    assert "trade_unknown" in report.warnings


def test_each_kind_of_account_sending_to_the_other_ends(simulator: Simulator) -> None:
    simulator.answer("GET", KEY, 400, {"code": "40084", "msg": ""})
    simulator.answer("GET", CLASSIC_KEY, 400, {"code": "40085", "msg": ""})
    report = inspect(sample("bitget", "good"))
    assert (report.problem, report.causes) == ("ambiguous", ("restricted", "unexpected"))


def test_unified_endpoint_that_fails_says_nothing_about_the_key(simulator: Simulator) -> None:
    simulator.answer("GET", KEY, 200, {"code": "25000", "msg": "?"})
    assert inspect(sample("bitget", "unified")).problem == "unexpected"
    assert inspect(sample("bitget", "good")).outcome == "connected"


# --- demo trading --------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["demo", "unified_demo"])
def test_demo_key_is_found_by_its_header(simulator: Simulator, scenario: str) -> None:
    report = inspect(sample("bitget", scenario))
    assert (report.outcome, report.site) == ("connected", "demo")
    assert exchanges.get("bitget").site("demo").demo
    assert "paptrading" in {name.lower() for name in simulator.log[-1].header_names}


def test_live_key_is_never_asked_for_with_the_header(simulator: Simulator) -> None:
    assert inspect(sample("bitget", "good")).site == ""
    names = {name.lower() for seen in simulator.log for name in seen.header_names}
    assert "paptrading" not in names


def test_key_that_no_site_knows_is_invalid(simulator: Simulator) -> None:
    report = inspect(sample("bitget", "deleted"))
    assert (report.problem, report.site) == ("invalid_key", "")
    assert len(simulator.requests_to(KEY)) == 2


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [case for case in RECORDED if case["exchange"] == "bitget" and case["meaning"] != "ok"],
    ids=lambda case: case["id"],
)
def test_code_decides_whatever_the_status(case: dict[str, Any]) -> None:
    known = exchanges.get("bitget")
    [call] = [call for call in known.calls if call.path == ASSETS]
    for status in (200, 400, 401, 403):
        verdict = known.verdict(call, Answer(status, case["body"]))
        assert verdict.problem == case["meaning"]


def test_refusal_in_another_language_is_read_by_its_code(simulator: Simulator) -> None:
    report = inspect(sample("bitget", "chinese"))
    assert report.problem == "no_permission"


def test_address_that_bitget_saw(simulator: Simulator) -> None:
    assert inspect(sample("bitget", "wrong_ip")).seen_ip == SEEN_IP


def test_timed_out_request_is_told_apart_by_the_clock(simulator: Simulator) -> None:
    simulator.answer("GET", KEY, 400, {"code": "40010", "msg": "Request timed out"})
    report = inspect(sample("bitget", "unified"))
    assert (report.problem, report.causes) == ("ambiguous", ("bad_secret", "unavailable"))
    assert len(simulator.requests_to("/api/v2/public/time")) == 2


def test_private_key_of_an_rsa_key_is_refused_before_the_network() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----"
    values = {"api_key": "bg_1234", "secret": pem, "passphrase": "Passphrase1"}
    pasted = pasting.clean(exchanges.get("bitget"), values)
    assert pasted.credentials is None and "RSA" in pasted.faults["secret"]
