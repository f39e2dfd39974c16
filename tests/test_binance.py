"""What is special about Binance: flags, -2015, futures, practice sites, expiry, edge pages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connections import exchanges
from connections.exchanges import client, inspection
from connections.exchanges.base import MAIN, Credentials, KeyReport, Site
from tests.simulator import SEEN_IP, KeySpec, Simulator, binance, sample

HOST, FUTURES_HOST = "api.binance.com", "fapi.binance.com"
KEY_PATH, ACCOUNT = "/sapi/v1/account/apiRestrictions", "/api/v3/account"
ORDER_TEST = "/api/v3/order/test"


def inspect(key: KeySpec, site: Site = MAIN, secret: str = "") -> KeyReport:
    async def run() -> KeyReport:
        exchange = exchanges.get("binance")
        credentials = Credentials(key.api_key, secret or key.paste_secret)
        async with client.Client(call_limit_s=1.0) as session:
            ask = session.ask_as(exchange, credentials)
            return await inspection.Inspection(
                exchange, credentials, ask, client.read_balances, site=site, limit_s=20.0
            ).run()

    return asyncio.run(run())


def outcome(report: KeyReport) -> tuple[str, str]:
    return report.outcome, report.problem


def asked_at(simulator: Simulator, path: str) -> list[str]:
    return [seen.host for seen in simulator.requests_to(path)]


def served(simulator: Simulator, **changed: Any) -> KeyReport:
    """The report on a good key of which the key endpoint tells `changed`; None drops a field."""
    flags = dict.fromkeys(("enableReading", "enableSpotAndMarginTrading"), True)
    flags |= dict.fromkeys(("enableFutures", "enableMargin", "enableWithdrawals"), False)
    flags |= dict.fromkeys(("enableInternalTransfer", "permitsUniversalTransfer"), False)
    body = {"ipRestrict": True, "createTime": 1_698_645_219_000, **flags, **changed}
    body = {name: value for name, value in body.items() if value is not None}
    simulator.answer("GET", KEY_PATH, 200, body)
    return inspect(sample("binance", "good"))


def test_good_key_shows_all_it_may_do_with_evidence(simulator: Simulator) -> None:
    report = inspect(sample("binance", "good_futures"))
    may = report.facts.permissions
    assert outcome(report) == ("connected", "")
    assert may.ready_for == ("spot", "futures")
    assert may.as_dict() == {
        "read": True,
        "spot_trade": True,
        "futures_trade": True,
        "margin": False,
        "transfer": False,
        "withdraw": False,
    }
    assert set(may.evidence) == set(may.NAMES)
    assert may.evidence["withdraw"] == f"GET {KEY_PATH}: enableWithdrawals false"
    assert [(each.currency, each.total) for each in report.balances] == [
        ("BTC", "0.015"),
        ("USDT", "1350.5"),
        ("USDT", "700"),
    ]
    assert (report.facts.uid, report.facts.ip_restricted) == ("209302839", True)
    assert asked_at(simulator, "/fapi/v3/positionRisk") == [FUTURES_HOST]
    assert not simulator.requests_to(ORDER_TEST)


@pytest.mark.parametrize("flag", ["enableWithdrawals", "enableReading", "enableInternalTransfer"])
@pytest.mark.parametrize("value", [None, "false", 0, [], {"is": False}])
def test_flag_that_is_not_a_yes_or_no_is_unknown(
    simulator: Simulator, flag: str, value: Any
) -> None:
    right = {"enableWithdrawals": "withdraw", "enableReading": "read"}.get(flag, "transfer")
    report = served(simulator, **{flag: value})
    known = getattr(report.facts.permissions, right)
    # The balance proves reading where the flag does not tell.
    assert known is (True if right == "read" else None)
    assert ("withdraw_unknown" in report.warnings) is (right == "withdraw")


def test_either_way_of_moving_funds_is_a_transfer(simulator: Simulator) -> None:
    assert served(simulator, permitsUniversalTransfer=True).facts.permissions.transfer is True


def test_new_word_for_withdrawing_makes_it_unknown(simulator: Simulator) -> None:
    assert served(simulator, fastWithdrawMode="list").facts.permissions.withdraw is None
    assert served(simulator, fastWithdrawMode=False).facts.permissions.withdraw is False
    assert served(simulator, enableSomethingNew=True).facts.permissions.withdraw is False


def test_flags_beside_a_code_of_refusal_prove_nothing(simulator: Simulator) -> None:
    may = served(simulator, code=-9999).facts.permissions
    assert (may.read, may.spot_trade, may.withdraw) == (True, True, None)  # by other calls


def test_refused_key_is_used_no_further(simulator: Simulator) -> None:
    assert inspect(sample("binance", "withdraw")).outcome == "refused"
    assert not simulator.requests_to(ACCOUNT)


# --- -2015, told apart as far as can be ---


def test_wrong_address_stays_ambiguous_with_the_address_they_saw(simulator: Simulator) -> None:
    report = inspect(sample("binance", "wrong_ip"))
    assert report.causes == ("ip_not_allowed", "no_permission", "key_disabled", "invalid_key")
    assert report.seen_ip == SEEN_IP
    assert asked_at(simulator, ORDER_TEST) == [HOST]


def test_order_that_is_accepted_shows_that_reading_is_off(simulator: Simulator) -> None:
    key = sample("binance", "good")
    simulator.change(key.api_key, permissions=("enableSpotAndMarginTrading",))
    assert outcome(inspect(key)) == ("failed", "no_permission")


def test_futures_that_answer_clear_the_address(simulator: Simulator) -> None:
    key = sample("binance", "good")
    simulator.change(key.api_key, permissions=("enableFutures",))
    assert inspect(key).causes == ("no_permission", "key_disabled")


# --- futures ---


def test_futures_account_that_is_not_opened_leaves_spot(simulator: Simulator) -> None:
    report = inspect(sample("binance", "no_futures_account"))
    may = report.facts.permissions
    assert (may.futures_trade, may.closed, may.ready_for) == (True, ("futures",), ("spot",))
    assert not simulator.requests_to("/fapi/v3/positionRisk")


def test_key_for_futures_alone(simulator: Simulator) -> None:
    key = sample("binance", "good_futures")
    simulator.change(key.api_key, permissions=("enableReading", "enableFutures"))
    report = inspect(key)
    assert outcome(report) == ("connected", "")
    assert report.facts.permissions.ready_for == ("futures",)
    assert {each.currency: each.total for each in report.balances} == {"USDT": "700"}
    simulator.change(key.api_key, own={"futures_account": "not opened"})
    assert outcome(inspect(key)) == ("failed", "restricted")


# --- practice sites ---


@pytest.mark.parametrize("code", ["demo", "testnet"])
def test_practice_key_is_found_and_proven_by_other_calls(simulator: Simulator, code: str) -> None:
    exchange, key = exchanges.get("binance"), sample("binance", code)
    for report in (inspect(key), inspect(key, exchange.site(code))):
        may = report.facts.permissions
        assert (report.site, report.outcome) == (code, "warnings")
        assert (may.read, may.spot_trade, may.futures_trade, may.withdraw) == (
            *(True, True),
            *(None, None),
        )
        assert set(report.warnings) == {"ip_restriction_unknown", "withdraw_unknown"}
        assert report.facts.uid == "209302839"
    assert exchange.site(code).demo
    wallet_hosts = asked_at(simulator, KEY_PATH)
    assert set(wallet_hosts) == {HOST}  # practice sites have none, and are not asked


def test_practice_key_with_a_wrong_secret_is_found_too(simulator: Simulator) -> None:
    report = inspect(sample("binance", "demo"), secret="x" * 64)
    assert (report.site, report.problem) == ("demo", "bad_secret")


def test_practice_key_that_only_reads(simulator: Simulator) -> None:
    key = sample("binance", "demo")
    simulator.change(key.api_key, permissions=("enableReading",))
    report = inspect(key)
    may = report.facts.permissions
    assert (report.site, may.spot_trade, may.ready_for) == ("demo", False, ())
    assert "trade_unknown" in report.warnings  # futures may still be traded


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "Not Found"),
        (403, "<html>Access denied</html>"),
        (200, "<html>maintenance</html>"),
        (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
        (502, "Bad gateway"),
        (418, {"code": -1003, "msg": "Way too much request weight used."}),
    ],
)
def test_what_a_practice_site_says_otherwise_finds_no_key_there(
    simulator: Simulator, status: int, body: Any
) -> None:
    for host in (binance.DEMO_HOST, binance.TESTNET_HOST):
        simulator.answer("GET", ACCOUNT, status, body, host=host)
    report = inspect(sample("binance", "deleted"))
    assert (report.site, report.problem) == ("", "invalid_key")


# --- expiry ---


def test_trading_right_that_ends_is_told(simulator: Simulator) -> None:
    report = inspect(sample("binance", "expiring"))
    assert report.facts.expires_at is not None
    left = report.facts.expires_at - datetime.now(UTC)
    assert timedelta(days=4) < left <= timedelta(days=5)
    assert set(report.warnings) == {"no_ip_restriction", "expires_soon"}


def test_key_without_addresses_has_no_guessed_end(simulator: Simulator) -> None:
    report = inspect(sample("binance", "no_ip"))
    assert report.facts.expires_at is None
    assert report.warnings == ("no_ip_restriction",)


def test_ended_right_is_expiry_only_where_nothing_else_trades(simulator: Simulator) -> None:
    key = sample("binance", "expired")
    assert outcome(inspect(key)) == ("failed", "key_expired")
    simulator.change(key.api_key, permissions=("enableReading", "enableFutures"))
    assert inspect(key).facts.permissions.ready_for == ("futures",)
    simulator.change(key.api_key, permissions=("enableReading",), remaining_days=None)
    assert outcome(inspect(key)) == ("failed", "no_permission")


# --- pages of the edge, bans and regions ---

CLOUDFRONT = "<TITLE>ERROR: The request could not be satisfied</TITLE>{}"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (403, CLOUDFRONT.format("Request blocked."), "unavailable"),
        (403, CLOUDFRONT.format("configured to block access from your country."), "restricted"),
        (403, "<html>Access denied</html>", "ambiguous"),
        (451, "<html>Unavailable For Legal Reasons</html>", "restricted"),
        (418, "<html>I'm a teapot</html>", "rate_limited"),
        (401, {"code": "-2014", "msg": "API-key format invalid."}, "invalid_key"),
        (200, {"code": -1022, "msg": "署名が無効です"}, "bad_secret"),
        (400, {"code": -9999, "msg": "?"}, "unexpected"),
    ],
)
def test_refusals_without_a_recorded_answer(
    simulator: Simulator, status: int, body: Any, problem: str
) -> None:
    for path in (KEY_PATH, ACCOUNT):
        simulator.answer("GET", path, status, body)
    assert inspect(sample("binance", "good")).problem == problem
