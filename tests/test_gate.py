"""What is special about Gate.io's keys: they stand in a list of all keys of their account, end
after 90 days without addresses, and may be of another site."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connections import exchanges
from connections.exchanges import client
from connections.exchanges.base import Answer, Credentials, KeyReport
from connections.exchanges.inspection import Inspection
from tests.simulator import SEEN_IP, Simulator, sample
from tests.test_inspection import RECORDED, inspect

EU_HOST = "api.gateeu.com"
MAIN_KEYS, DETAIL = "/api/v4/account/main_keys", "/api/v4/account/detail"
ACCOUNTS, FUTURES = "/api/v4/spot/accounts", "/api/v4/futures/usdt/accounts"


# --- the list of keys ----------------------------------------------------------------------------


def listed(**fields: Any) -> dict[str, Any]:
    perms = [{"name": "account", "read_only": True}, {"name": "spot", "read_only": False}]
    row = {"state": 1, "name": "mine", "user_id": 7, "perms": perms, "ip_whitelist": ["1.1.1.1"]}
    return {**row, "key": "c5dcfbf1f3a7*****", "created_at": 1753030929, **fields}


def facts(simulator: Simulator, body: Any) -> Any:
    simulator.answer("GET", MAIN_KEYS, 200, body)
    return inspect(sample("gate", "good")).facts


def test_own_key_is_found_among_all_of_the_account(simulator: Simulator) -> None:
    report = inspect(sample("gate", "good_futures"))
    assert report.facts.permissions.ready_for == ("spot", "futures")
    assert report.facts.label == "BackFuture"
    assert report.facts.ips == (SEEN_IP, "203.0.113.8")
    assert not simulator.requests_to(DETAIL)
    assert [(each.currency, each.total) for each in report.balances] == [
        ("BTC", "0.015"),
        ("USDT", "1350.5"),
        ("USDT", "700"),
    ]


def test_rights_of_another_key_are_not_this_keys(simulator: Simulator) -> None:
    other = listed(key="52fd0035f665*****", perms=[{"name": "withdrawal", "read_only": False}])
    may = facts(simulator, [other, listed()]).permissions
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (True, False, False)


@pytest.mark.parametrize(
    "body",
    [
        [],
        [listed(key="52fd0035f665*****")],
        [listed(), listed()],
        [listed(key="*****")],
        [listed(key="c5dc*****")],
        [listed(key="c5dcfbf1f3a7*****zz")],
        [listed(key={"mode": 1})],
        [listed(key=None), "c5dcfbf1f3a7*****"],
        listed(key={"mode": 1}),
    ],
)
def test_key_that_is_not_exactly_one_of_the_list_is_unknown(
    simulator: Simulator, body: Any
) -> None:
    told = facts(simulator, body)
    may = told.permissions
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (None, None, None)
    assert may.read is True  # by its balance
    assert told.ips == (SEEN_IP, "203.0.113.8")  # by the endpoint that tells of the asking key
    assert told.uid == sample("gate", "good").uid


@pytest.mark.parametrize(
    "key", ["c5dcfbf1f3a7*****", sample("gate", "good").api_key, "c5dcfbf1****"]
)
@pytest.mark.parametrize("alone", [False, True])
def test_ways_in_which_a_list_names_a_key(simulator: Simulator, key: str, alone: bool) -> None:
    row = listed(key=key)
    assert facts(simulator, row if alone else [row]).permissions.spot_trade is True


@pytest.mark.parametrize(
    ("perms", "spot", "withdraw"),
    [
        ([{"name": "spot", "read_only": False}], True, False),
        ([{"name": "Spot", "read_only": False}], True, False),
        ([{"name": "spot", "read_only": True}], False, False),
        ([{"name": "spot", "read_only": "no"}], None, None),
        ([{"name": "spot"}], None, None),
        ([{"name": "spot", "read_only": False}, {"name": "lottery"}], True, None),
        ([{"name": "spot", "read_only": False}, "withdrawals"], True, None),
        ([{"name": "spot", "read_only": False}, {"name": "withdrawal"}], True, True),
        ([{"name": "API_Withdraw_v2", "read_only": True}], False, True),
        ([], None, None),
        (None, None, None),
        ({"spot": True}, None, None),
    ],
)
def test_rights(simulator: Simulator, perms: Any, spot: Any, withdraw: Any) -> None:
    may = facts(simulator, [listed(perms=perms)]).permissions
    assert (may.spot_trade, may.withdraw) == (spot, withdraw)


@pytest.mark.parametrize(
    ("state", "problem"),
    [(1, ""), (2, "key_disabled"), (3, "key_disabled"), (4, "ambiguous"), (None, ""), ("on", "")],
)
def test_states(simulator: Simulator, state: Any, problem: str) -> None:
    simulator.answer("GET", MAIN_KEYS, 200, [listed(state=state)])
    assert inspect(sample("gate", "good")).problem == problem


# --- lifetime ------------------------------------------------------------------------------------


def seconds_ago(days: float) -> int:
    return int((datetime.now(UTC) - timedelta(days=days)).timestamp())


@pytest.mark.parametrize(
    ("made", "ips", "days_left"),
    [
        (seconds_ago(80), [], 10),
        (str(seconds_ago(80)), [], 10),
        (seconds_ago(80), ["1.1.1.1"], None),
        (seconds_ago(80), None, None),
        (seconds_ago(100), [], None),  # works still, so it was renewed
        ("soon", [], None),
        (0, [], None),
    ],
    ids=["new", "text", "with_ips", "unknown_ips", "renewed", "no_number", "zero"],
)
def test_end_of_a_key_without_addresses(
    simulator: Simulator, made: Any, ips: Any, days_left: int | None
) -> None:
    ends = facts(simulator, [listed(created_at=made, ip_whitelist=ips)]).expires_at
    assert (ends and round((ends - datetime.now(UTC)).total_seconds() / 86400)) == days_left


def test_end_that_is_near_is_warned_of(simulator: Simulator) -> None:
    assert "expires_soon" in inspect(sample("gate", "expiring")).warnings
    assert "expires_soon" not in inspect(sample("gate", "renewed")).warnings


# --- without the list ----------------------------------------------------------------------------


def test_key_that_may_not_read_the_list_still_proves_reading(simulator: Simulator) -> None:
    report = inspect(sample("gate", "fallback"))
    may = report.facts.permissions
    assert (may.read, may.spot_trade, may.withdraw) == (True, None, None)
    assert {"trade_unknown", "withdraw_unknown"} <= set(report.warnings)
    assert report.facts.ip_restricted is True


def test_key_of_futures_alone_that_may_not_read_the_list(simulator: Simulator) -> None:
    key = sample("gate", "futures_only")
    simulator.change(key.api_key, permissions=("futures",))
    report = inspect(key)
    may = report.facts.permissions
    assert (may.read, may.spot_trade, may.futures_trade) == (True, False, None)
    assert report.facts.ip_restricted is None
    assert [balance.total for balance in report.balances] == ["700"]


def test_key_that_may_read_nothing_lacks_its_rights(simulator: Simulator) -> None:
    key = sample("gate", "futures_only")
    simulator.change(key.api_key, permissions=("earn",))
    assert inspect(key).problem == "no_permission"


# --- futures -------------------------------------------------------------------------------------


def test_futures_account_that_was_never_opened(simulator: Simulator) -> None:
    report = inspect(sample("gate", "no_futures"))
    assert report.facts.permissions.futures_trade is True
    assert report.facts.permissions.ready_for == ("spot",)
    assert report.facts.permissions.closed == ("futures",)


def test_key_of_futures_alone_is_not_asked_for_spot(simulator: Simulator) -> None:
    report = inspect(sample("gate", "futures_only"))
    assert report.facts.permissions.ready_for == ("futures",)
    assert not simulator.requests_to(ACCOUNTS)


# --- sites ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "site"), [("european", "eu"), ("testnet", "testnet")])
def test_key_of_another_site_is_found_there(simulator: Simulator, scenario: str, site: str) -> None:
    report = inspect(sample("gate", scenario))
    assert (report.outcome, report.site) == ("connected", site)


def test_key_of_the_european_site_is_tested_there_again(simulator: Simulator) -> None:
    known, key = exchanges.get("gate"), sample("gate", "european")
    credentials = Credentials(key.api_key, key.secret)

    async def again() -> KeyReport:
        async with client.Client() as session:
            at = session.ask_as(known, credentials)
            site = known.site("eu")
            return await Inspection(known, credentials, at, client.read_balances, site).run()

    report = asyncio.run(again())
    assert (report.outcome, report.site, report.skew_ms) == ("connected", "eu", None)
    assert {seen.host for seen in simulator.log} == {EU_HOST}


def test_european_clock_wants_signed_headers_and_that_is_an_answer(simulator: Simulator) -> None:
    known = exchanges.get("gate")
    body = {"label": "INVALID_KEY", "message": "Missing required header: Timestamp"}
    answer = Answer(401, body)
    assert known.verdict(known.status_call, answer).ok
    assert known.read_time(answer) is None
    assert known.verdict(known.key_call, answer).causes == ("restricted", "unexpected")


def test_key_that_no_site_knows_is_invalid(simulator: Simulator) -> None:
    report = inspect(sample("gate", "deleted"))
    assert (report.problem, report.site) == ("invalid_key", "")
    assert len({seen.host for seen in simulator.requests_to(MAIN_KEYS)}) == 3


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "problem", "ip"),
    [
        ("Request IP not in whitelist: 11.11.11.11", "ip_not_allowed", "11.11.11.11"),
        ("Request API key does not have spot permission", "no_permission", ""),
        ("Forbidden", "ambiguous", ""),
        (None, "ambiguous", ""),
    ],
)
def test_forbidden_is_told_apart_by_its_message(message: Any, problem: str, ip: str) -> None:
    known = exchanges.get("gate")
    answer = Answer(403, {"label": "FORBIDDEN", "message": message})
    verdict = known.verdict(known.key_call, answer)
    assert (verdict.problem, verdict.seen_ip) == (problem, ip)


def test_address_that_gate_saw(simulator: Simulator) -> None:
    assert inspect(sample("gate", "wrong_ip")).seen_ip == SEEN_IP


def test_label_decides_whatever_the_status() -> None:
    known = exchanges.get("gate")
    refusals = [case for case in RECORDED if case["exchange"] == "gate" and case["meaning"] != "ok"]
    for case in refusals:
        for status in (200, 400, 401, 403, 500):
            verdict = known.verdict(known.key_call, Answer(status, case["body"]))
            assert verdict.problem == case["meaning"], case["id"]


@pytest.mark.parametrize(
    "body", [None, {}, {"label": 7}, {"label": "x y"}, "ok", 1, [[]], {"a": 1}]
)
def test_success_without_its_fields_proves_nothing(simulator: Simulator, body: Any) -> None:
    known = exchanges.get("gate")
    for call in known.calls:
        wanted = isinstance(body, list) and call.path not in {
            DETAIL,
            FUTURES,
            known.time_call.path,
        }
        assert known.verdict(call, Answer(200, body)).ok is wanted
