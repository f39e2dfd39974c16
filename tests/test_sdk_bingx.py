"""BingX's simulator asked by clients nobody here wrote, and what is special about its keys."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from tests.simulator import KeySpec, Simulator, bingx, sample
from tests.simulator.clients import ccxt_client
from tests.test_inspection import inspect

HOST, DEMO_HOST = "open-api.bingx.com", "open-api-vst.bingx.com"
UID = "/openApi/account/v1/uid"
RIGHTS = "/openApi/v1/account/apiPermissions"
RESTRICTIONS = "/openApi/v1/account/apiRestrictions"
KEY_LIST = "/openApi/account/v1/apiKey/query"


@pytest.fixture
def bingx_py() -> Any:
    return pytest.importorskip(
        "bingx_py", reason="bingx-py needs an older redis client and goes beside no product"
    )


def sdk_client(bingx_py: Any, simulator: Simulator, key: KeySpec) -> Any:
    client = bingx_py.BingXClient(key.api_key, key.paste_secret)
    client.base_url = f"{simulator.url}/{HOST}"
    client.connect()
    return client


# --- independent clients -------------------------------------------------------------------------


def test_ccxt_is_accepted(simulator: Simulator) -> None:
    key = sample("bingx", "good_futures")
    client = ccxt_client(simulator, key)
    uid = client.accountV1PrivateGetUid()["data"]["uid"]
    assert str(uid) == key.uid
    assert client.accountV1PrivateGetAccountApiPermissions()["permissions"] == [2, 1, 3]
    assert client.accountV1PrivateGetAccountApiRestrictions()["enableFutures"] is True
    asked = {"uid": uid, "apiKey": key.api_key}
    [row] = client.accountV1PrivateGetApiKeyQuery(asked)["data"]["apiInfos"]
    assert row["apiKey"].startswith(f"{key.api_key[:2]}***")
    balance = client.parse_balance(client.spotV1PrivateGetAccountBalance())
    assert balance["USDT"]["total"] == 1350.5
    assert client.spotV1PrivateGetTradeOpenOrders()["data"]["orders"] == []
    assert [row["asset"] for row in client.swapV3PrivateGetUserBalance()["data"]] == ["USDT"]
    assert client.swapV2PrivateGetUserPositions()["data"] == []
    assert client.fetch_time() > 0


def test_bingx_py_is_accepted(bingx_py: Any, simulator: Simulator) -> None:
    client = sdk_client(bingx_py, simulator, sample("bingx", "good"))
    assert client.query_api_key_permissions()
    assert client.query_api_key_restrictions()


@pytest.mark.parametrize(("scenario", "code"), [("deleted", "100413"), ("wrong_secret", "100001")])
def test_clients_are_refused(simulator: Simulator, scenario: str, code: str) -> None:
    client = ccxt_client(simulator, sample("bingx", scenario))
    for ask in (client.accountV1PrivateGetUid, client.swapV2PrivateGetUserPositions):
        with pytest.raises(ccxt.AuthenticationError, match=code):
            ask()


@pytest.mark.parametrize(("scenario", "code"), [("deleted", "100413"), ("wrong_secret", "100001")])
def test_bingx_py_is_refused(bingx_py: Any, simulator: Simulator, scenario: str, code: str) -> None:
    client = sdk_client(bingx_py, simulator, sample("bingx", scenario))
    with pytest.raises(Exception, match=code):
        client.query_api_key_permissions()


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("uid", ["account", "v1", "private"]),
        ("account/apiPermissions", ["account", "v1", "private"]),
        ("account/apiRestrictions", ["account", "v1", "private"]),
        ("apiKey/query", ["account", "v1", "private"]),
        ("account/balance", ["spot", "v1", "private"]),
        ("trade/openOrders", ["spot", "v1", "private"]),
        ("user/balance", ["swap", "v3", "private"]),
        ("user/positions", ["swap", "v2", "private"]),
    ],
)
def test_every_call_needs_the_right_to_read(
    simulator: Simulator, path: str, api: list[str]
) -> None:
    key = sample("bingx", "good")
    simulator.change(key.api_key, permissions=(bingx.SPOT_TRADE,))
    with pytest.raises(ccxt.PermissionDenied, match="this api need Read permission"):
        ccxt_client(simulator, key).request(path, api)


def test_signing_vector_of_the_documents() -> None:
    secret = "UuGuyEGt6ZEkpUObCYCmIfh0elYsZVh80jlYwpJuRZEw70t6vomMH7Sjmf94ztSI"
    query = "quoteOrderQty=20&side=BUY&symbol=ETHUSDT&timestamp=1649404670162&type=MARKET"
    made = "428a3c383bde514baff0d10d3c20e5adfaacaf799e324546dafe5ccc480dd827"
    assert bingx.signature(secret, bingx.unsigned(f"{query}&signature={made}")) == made


@pytest.mark.parametrize(("late_ms", "accepted"), [(4500, True), (5500, False), (-5500, False)])
def test_time_window(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, late_ms: int, accepted: bool
) -> None:
    client = ccxt_client(simulator, sample("bingx", "good"))
    monkeypatch.setattr(client, "nonce", lambda: client.milliseconds() - late_ms)
    if accepted:
        assert client.accountV1PrivateGetUid()["code"] == 0
        return
    with pytest.raises(ccxt.BaseError, match="timestamp mismatch"):
        client.accountV1PrivateGetUid()


# --- inspections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["good_futures", "documented_shape", "fallback"])
def test_a_key_is_told_in_whichever_shape(simulator: Simulator, scenario: str) -> None:
    key = sample("bingx", scenario)
    report = inspect(key)
    facts, may = report.facts, report.facts.permissions
    assert (may.read, may.spot_trade, may.withdraw) == (True, True, False)
    assert may.futures_trade is (scenario == "good_futures")
    assert facts.ip_restricted is True
    assert (facts.uid, facts.created_at) == (key.uid, key.created_at)
    assert set(may.evidence) == set(may.NAMES)


def test_the_list_of_keys_is_asked_for_where_nothing_else_tells(simulator: Simulator) -> None:
    inspect(sample("bingx", "good"))
    assert not simulator.requests_to(KEY_LIST)
    inspect(sample("bingx", "fallback"))
    assert simulator.requests_to(KEY_LIST)


def test_restrictions_alone_never_prove_that_withdrawing_is_off(simulator: Simulator) -> None:
    for path in (RIGHTS, KEY_LIST):
        simulator.answer("GET", path, 200, bingx.NOT_MAIN.body)
    report = inspect(sample("bingx", "good"))
    assert report.warnings == ("withdraw_unknown",)
    assert report.facts.permissions.ready_for == ("spot",)


def test_a_sub_accounts_key_keeps_its_rights_unknown(simulator: Simulator) -> None:
    report = inspect(sample("bingx", "sub_account"))
    assert {"withdraw_unknown", "trade_unknown", "ip_restriction_unknown"} <= set(report.warnings)
    assert report.facts.permissions.read is True


def numbers(*listed: object, **more: object) -> dict[str, object]:
    return {"permissions": list(listed), "ipAddresses": ["203.0.113.7"], **more}


@pytest.mark.parametrize(
    ("body", "withdraw"),
    [
        (numbers(1, 2, 5), True),
        (numbers("1", "2", "5"), True),
        ({"code": 0, "data": numbers(1, 2, 5)}, True),
        ({"code": 0, "data": {"enableWithdrawals": True, "enableReading": True}}, True),
        (numbers(1, 2, 5, enableWithdrawals=False), True),  # a contradiction: stay safe
        (numbers(1, 2), False),
        (numbers("1", "2", 7), False),
        (numbers(1, 2, enableWithdrawals=False), False),
        ({"enableWithdrawals": False, "enableReading": True}, False),
        (numbers(1, 2, 6), None),  # not documented
        (numbers(1, 2, True), None),  # true is not 1
        (numbers(1, 2, "SPOT"), None),
        (numbers(), None),
        ({"permissions": "1,2", "enableReading": True}, None),
        ({"enableReading": True, "enableWithdrawals": "false"}, None),
        ({"enableReading": True}, None),
    ],
)
def test_withdrawing_is_no_only_where_that_is_said(
    simulator: Simulator, body: object, withdraw: bool | None
) -> None:
    simulator.answer("GET", RIGHTS, 200, body)
    simulator.answer("GET", KEY_LIST, 200, bingx.NOT_MAIN.body)
    report = inspect(sample("bingx", "good"))
    assert report.facts.permissions.withdraw is withdraw
    assert (report.outcome == "refused") is bool(withdraw)


def test_what_two_answers_contradict_each_other_about_is_unknown(simulator: Simulator) -> None:
    simulator.answer("GET", RIGHTS, 200, numbers(1, 2, 3))
    flags = {"enableFutures": False, "enableReading": True, "ipRestrict": False}
    simulator.answer("GET", RESTRICTIONS, 200, flags)
    facts = inspect(sample("bingx", "good")).facts
    assert facts.permissions.futures_trade is None
    assert facts.permissions.spot_trade is True
    assert facts.ip_restricted is None


def listed(*shown: str) -> dict[str, object]:
    rows = [{"apiKey": each, "permissions": [1, 2], "ipAddresses": [""]} for each in shown]
    return {"code": 0, "data": {"apiKeyList": rows}}


def test_the_own_key_is_found_behind_its_mask_or_not_at_all(simulator: Simulator) -> None:
    key = sample("bingx", "fallback")
    own, other = f"{key.api_key[:2]}*****{key.api_key[-2:]}", "00*****00"
    simulator.answer("GET", KEY_LIST, 200, listed(other, own))
    facts = inspect(key).facts
    assert (facts.permissions.withdraw, facts.ip_restricted) == (False, False)
    for shown in ((other,), (own, own), ("****",), ()):
        simulator.answer("GET", KEY_LIST, 200, listed(*shown))
        assert inspect(key).facts.permissions.withdraw is None


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Null timestamp or timestamp mismatch", "clock_skew"),
        ("This pair is currently restricted from API trading", "restricted"),
        ("something else", "unexpected"),
    ],
)
@pytest.mark.parametrize("code", [100421, "100421"])
def test_100421_is_told_apart_by_its_message(
    simulator: Simulator, code: object, message: str, problem: str
) -> None:
    for path in (UID, RIGHTS, RESTRICTIONS):
        simulator.answer("GET", path, 200, {"code": code, "msg": message})
    assert inspect(sample("bingx", "good")).problem == problem


@pytest.mark.parametrize("code", [987654, None, [0], "?"])
def test_rights_beside_a_code_that_is_no_success_are_not_read(
    simulator: Simulator, code: object
) -> None:
    for path in (RIGHTS, RESTRICTIONS):
        simulator.answer("GET", path, 200, {"code": code, "data": numbers(1, 2, 3)})
    simulator.answer("GET", KEY_LIST, 200, {"code": code, "data": {"apiInfos": []}})
    may = inspect(sample("bingx", "good")).facts.permissions
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (None, None, None)


def test_the_address_that_was_seen_is_reported(simulator: Simulator) -> None:
    assert inspect(sample("bingx", "wrong_ip")).seen_ip == "203.0.113.7"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (418, "banned", "rate_limited"),
        (200, {"code": 100410, "msg": "The current system is busy"}, "unavailable"),
        (200, {"code": 80014, "msg": "timestamp is invalid"}, "clock_skew"),
        (200, {"code": 80014, "msg": "Invalid parameters"}, "unexpected"),
        (200, {"code": 100403, "msg": "not the main account"}, "ambiguous"),
        (404, {"code": 100404, "msg": "this api path does not exist"}, "unexpected"),
    ],
)
def test_refusals_with_several_meanings(
    simulator: Simulator, status: int, body: object, problem: str
) -> None:
    for path in (UID, RIGHTS, RESTRICTIONS):
        simulator.answer("GET", path, status, body)
    assert inspect(sample("bingx", "good")).problem == problem


def test_a_key_of_the_demo_site_is_tested_there(simulator: Simulator) -> None:
    report = inspect(sample("bingx", "demo"))
    assert (report.outcome, report.site) == ("connected", "vst")
    asked_main = [seen.path for seen in simulator.log if seen.host == HOST]
    assert asked_main[-1] == UID
    assert {seen.host for seen in simulator.log} == {HOST, DEMO_HOST}


def test_a_key_for_futures_alone_shows_its_futures_balance(simulator: Simulator) -> None:
    report = inspect(sample("bingx", "futures_only"))
    assert report.facts.permissions.ready_for == ("futures",)
    assert not simulator.requests_to("/openApi/spot/v1/account/balance")
    assert {each.currency: each.total for each in report.balances}["USDT"] == "700"


def test_futures_that_are_closed_to_the_account_leave_spot(simulator: Simulator) -> None:
    refused = {"code": 101484, "msg": "Account belongs to a restricted region."}
    simulator.answer("GET", "/openApi/swap/v3/user/balance", 200, refused)
    report = inspect(sample("bingx", "good_futures"))
    assert report.facts.permissions.ready_for == ("spot",)
