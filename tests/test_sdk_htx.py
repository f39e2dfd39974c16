"""HTX's simulator asked by clients nobody here wrote, and what is special about its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.simulator import SEEN_IP, KeySpec, Simulator, htx_checks, sample
from tests.simulator.htx import HTX
from tests.simulator.wire import Endpoint
from tests.test_inspection import inspect

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HOST, CONTRACT_HOST = "api.huobi.pro", "api.hbdm.vn"
KEYS, ACCOUNTS = "/v2/user/api-key", "/v1/account/accounts"


class ThroughGateway(HTTPAdapter):
    """HTX signs the host: the address stays as it is signed, and is led away below."""

    def __init__(self, gateway: str) -> None:
        super().__init__()
        self.gateway = gateway

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        request.url = f"{self.gateway}/{str(request.url).removeprefix('https://')}"
        return super().send(request, **options)


def ccxt_client(simulator: Simulator, key: KeySpec) -> Any:
    client = ccxt.htx({"apiKey": key.api_key, "secret": key.paste_secret})
    client.session.mount("https://", ThroughGateway(simulator.url))
    return client


@pytest.fixture
def own_sdk(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes clients of HTX's own SDK. It passes `json.loads` an argument that Python dropped."""
    from huobi.client.account import AccountClient
    from huobi.client.subuser import SubuserClient
    from huobi.connection.impl import restapi_invoker

    def loads(text: str, encoding: str = "") -> Any:
        return json.loads(text)

    session = requests.Session()
    session.mount("https://", ThroughGateway(simulator.url))
    monkeypatch.setattr(restapi_invoker, "json", SimpleNamespace(loads=loads, dumps=json.dumps))
    monkeypatch.setattr(restapi_invoker, "session", session)

    def make(key: KeySpec) -> Any:
        options = {
            "api_key": key.api_key,
            "secret_key": key.paste_secret,
            "url": f"https://{HOST}",
        }
        return SimpleNamespace(keys=SubuserClient(**options), account=AccountClient(**options))

    yield make
    session.close()


# --- independent clients -------------------------------------------------------------------------


def test_ccxt_is_accepted(simulator: Simulator) -> None:
    key = sample("htx", "good")
    client = ccxt_client(simulator, key)
    uid = client.v2PrivateGetUserUid()["data"]
    assert str(uid) == key.uid
    asked = {"uid": uid, "accessKey": key.api_key}
    [row] = client.spotPrivateGetV2UserApiKey(asked)["data"]
    assert (row["permission"], row["status"]) == ("readOnly,trade", "normal")
    assert len(client.v2PrivateGetUserApiKey({"uid": uid})["data"]) > 1
    accounts = client.spotPrivateGetV1AccountAccounts()["data"]
    [number] = [each["id"] for each in accounts if each["type"] == "spot"]
    told = client.spotPrivateGetV1AccountAccountsAccountIdBalance({"account-id": number})
    assert told["data"]["list"][0]["currency"] == "btc"
    assert client.spotPrivateGetV1OrderOpenOrders()["data"] == []
    assert client.contractPrivateGetV5AccountBalance()["code"] == 200
    assert client.contractPrivateGetV5TradePositionOpens()["data"] == []
    assert client.spotPublicGetV2MarketStatus()["data"]["marketStatus"] == 1


def test_htxs_own_sdk_is_accepted(own_sdk: Any) -> None:
    key = sample("htx", "good")
    [told] = own_sdk(key).keys.get_user_apikey_info(key.uid, key.api_key)
    assert (told.permission, told.ipAddresses) == ("readOnly,trade", ",".join(key.ip_whitelist))
    assert {account.type for account in own_sdk(key).account.get_accounts()} == {"otc", "spot"}


@pytest.mark.parametrize(
    ("scenario", "message"),
    [("deleted", "Incorrect Access key"), ("wrong_secret", "Verification failure")],
)
def test_clients_are_refused(
    simulator: Simulator, own_sdk: Any, scenario: str, message: str
) -> None:
    from huobi.exception.huobi_api_exception import HuobiApiException

    key = sample("htx", scenario)
    client = ccxt_client(simulator, key)
    with pytest.raises(ccxt.AuthenticationError, match=message):
        client.spotPrivateGetV1AccountAccounts()
    with pytest.raises(ccxt.AuthenticationError, match="1003"):
        client.v2PrivateGetUserUid()
    with pytest.raises(ccxt.AuthenticationError, match=message):
        client.contractPrivateGetV5AccountBalance()
    with pytest.raises(HuobiApiException, match=message):
        own_sdk(key).account.get_accounts()
    with pytest.raises(HuobiApiException, match="1003"):
        own_sdk(key).keys.get_user_apikey_info(key.uid, key.api_key)


@pytest.mark.parametrize(
    "endpoint", [each for each in HTX.endpoints if each.family], ids=lambda each: each.path
)
def test_every_call_needs_the_right_to_read(simulator: Simulator, endpoint: Endpoint) -> None:
    key = sample("htx", "good")
    simulator.change(key.api_key, permissions=("trade",))
    api = ["contract" if endpoint.path.startswith("/v5/") else "spot", "private"]
    with suppress(ccxt.PermissionDenied):  # not raised for v2's code
        answer = ccxt_client(simulator, key).request(endpoint.path[1:], api)
        assert answer["code"] == 1002


def test_the_host_is_signed(simulator: Simulator) -> None:
    client = ccxt_client(simulator, sample("htx", "good"))
    client.urls["hostnames"]["spot"] = "api-aws.huobi.pro"
    assert client.spotPrivateGetV1AccountAccounts()["status"] == "ok"
    signed = client.sign(ACCOUNTS.removeprefix("/"), ["spot", "private"])["url"]
    elsewhere = signed.replace("https://api-aws.huobi.pro", f"{simulator.url}/{HOST}")
    refused = requests.get(elsewhere, timeout=5).json()
    assert refused["err-msg"] == "Signature not valid: Verification failure [校验失败]"


def test_the_text_to_sign_is_the_documented_one() -> None:
    # The signature printed beside it was made with a secret that is masked there.
    documented = (
        "GET\napi.huobi.pro\n/v1/order/orders\n"
        "AccessKeyId=e2xxxxxx-99xxxxxx-84xxxxxx-7xxxx&SignatureMethod=HmacSHA256"
        "&SignatureVersion=2&Timestamp=2017-05-11T15%3A19%3A30&order-id=1234567890"
    )
    sent = (
        "order-id=1234567890&Timestamp=2017-05-11T15%3A19%3A30&SignatureVersion=2"
        "&SignatureMethod=HmacSHA256&AccessKeyId=e2xxxxxx-99xxxxxx-84xxxxxx-7xxxx&Signature=x%3D"
    )
    assert htx_checks.to_sign("GET", HOST, "/v1/order/orders", sent) == documented


@pytest.mark.parametrize(("late_s", "accepted"), [(280, True), (320, False), (-320, False)])
def test_time_window(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, late_s: int, accepted: bool
) -> None:
    client = ccxt_client(simulator, sample("htx", "good"))
    monkeypatch.setattr(client, "nonce", lambda: client.milliseconds() - late_s * 1000)
    if accepted:
        assert client.spotPrivateGetV1AccountAccounts()["status"] == "ok"
        return
    with pytest.raises(ccxt.AuthenticationError, match="submission time"):
        client.spotPrivateGetV1AccountAccounts()


# --- inspections ---------------------------------------------------------------------------------


def test_a_good_key_is_told_in_full(simulator: Simulator) -> None:
    key = sample("htx", "good")
    report = inspect(key)
    facts = report.facts
    assert facts.permissions.ready_for == ("spot", "futures")
    assert (facts.uid, facts.label, facts.ips) == (key.uid, key.label, key.ip_whitelist)
    assert set(facts.permissions.evidence) == set(facts.permissions.NAMES)
    assert facts.permissions.evidence["futures_trade"] == f"GET {KEYS}: trade"
    assert (facts.permissions.margin, facts.permissions.transfer) == (True, None)
    assert [(each.currency, each.total) for each in report.balances] == [
        ("BTC", "0.015"),
        ("USDT", "1350.5"),
        ("USDT", "700"),
    ]


@pytest.mark.parametrize("days", [0, 5, 13, 20])
def test_days_that_are_left_are_counted_from_now(simulator: Simulator, days: int) -> None:
    key = sample("htx", "expiring")
    simulator.change(key.api_key, remaining_days=days)
    report = inspect(key)
    ends = report.facts.expires_at
    assert ends and abs(ends - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)
    assert ("expires_soon" in report.warnings) is (days < 14)


@pytest.mark.parametrize("days", [-1, None, "soon", 10**12, True, 1.5])
def test_a_lifetime_that_is_none_or_unreadable_ends_nowhere(
    simulator: Simulator, days: object
) -> None:
    report = inspect_row(simulator, validDays=days)
    assert report.facts.expires_at is None
    assert report.outcome == "connected"


def inspect_row(simulator: Simulator, **fields: object) -> Any:
    """The test of a good key whose row in the list of keys has these fields."""
    key = sample("htx", "good")
    row = {"accessKey": key.api_key, "permission": "readOnly,trade", "ipAddresses": SEEN_IP}
    row |= {"status": "normal", "validDays": -1, "createTime": 1591348751000, **fields}
    simulator.answer("GET", KEYS, 200, {"code": 200, "data": [row]})
    return inspect(key)


def test_another_key_of_the_account_is_never_read(simulator: Simulator) -> None:
    report = inspect_row(simulator, accessKey="160bb889-b7777777-e0777777-ghxertfvbf")
    assert report.outcome == "warnings"
    assert report.facts.permissions.as_dict() == {
        **dict.fromkeys(report.facts.permissions.NAMES),
        "read": True,  # by the balance
    }
    assert report.facts.uid


@pytest.mark.parametrize("status", ["expired", "frozen", None, ["normal"]])
def test_a_status_that_is_not_normal_stops_the_test(simulator: Simulator, status: object) -> None:
    report = inspect_row(simulator, status=status)
    assert report.problem == ("key_expired" if status == "expired" else "ambiguous")
    assert "restricted" not in report.causes


def test_a_sub_accounts_key_keeps_its_rights_unknown(simulator: Simulator) -> None:
    report = inspect(sample("htx", "fallback"))
    assert report.outcome == "warnings"
    assert {"withdraw_unknown", "trade_unknown", "ip_restriction_unknown"} <= set(report.warnings)
    assert report.facts.permissions.ready_for == ()
    assert report.facts.permissions.read is True


def test_contracts_that_were_never_opened_leave_spot(simulator: Simulator) -> None:
    report = inspect(sample("htx", "no_contracts"))
    assert report.facts.permissions.futures_trade is True
    assert report.facts.permissions.ready_for == ("spot",)
    assert not simulator.requests_to("/v5/trade/position/opens")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Incorrect Access key [Access key错误]", "invalid_key"),
        ("Access key错误", "invalid_key"),
        ("校验失败", "bad_secret"),
        ("错误的签名方法", "bad_secret"),
        ("ip地址错误", "ip_not_allowed"),
        ("Incorrect IP address [IP地址错误]:192.0.2.9", "ip_not_allowed"),
        ("无效的提交时间，或时间格式错误", "clock_skew"),
        ("API Key没有权限", "no_permission"),
        ("API key has expired [API Key已经过期]", "key_expired"),
        ("API Key已经过期", "key_expired"),
        ("a message nobody has seen", "ambiguous"),
    ],
)
def test_one_code_has_many_causes_in_two_languages(
    simulator: Simulator, message: str, problem: str
) -> None:
    simulator.answer("GET", ACCOUNTS, 200, htx_checks.not_valid(message).body)
    simulator.answer("GET", "/v2/user/uid", 200, htx_checks.INVALID.body)
    report = inspect(sample("htx", "good"))
    assert report.problem == problem
    assert report.seen_ip == ("192.0.2.9" if "192" in message else "")


@pytest.mark.parametrize(
    "second", [{"status": "ok", "data": []}, {}, {"status": "error", "err-code": "timeout"}]
)
def test_invalid_signature_stays_ambiguous_where_v1_names_no_cause(
    simulator: Simulator, second: object
) -> None:
    simulator.answer("GET", "/v2/user/uid", 200, htx_checks.INVALID.body)
    simulator.answer("GET", ACCOUNTS, 200, second)
    report = inspect(sample("htx", "good"))
    assert (report.problem, len(report.causes)) == ("ambiguous", 4)


def test_the_list_of_keys_is_looked_at_twice_too(simulator: Simulator) -> None:
    simulator.answer("GET", KEYS, 200, htx_checks.INVALID.body)
    simulator.answer("GET", ACCOUNTS, 200, htx_checks.not_valid("ip地址错误").body)
    assert inspect(sample("htx", "good")).problem == "ip_not_allowed"


def test_forbidden_is_explained_by_v1(simulator: Simulator) -> None:
    simulator.answer("GET", "/v2/user/uid", 200, {"code": 1002, "message": "forbidden"})
    report = inspect(sample("htx", "good"))
    assert (report.outcome, report.facts.permissions.withdraw) == ("warnings", None)
    simulator.answer("GET", ACCOUNTS, 200, {"status": "error", "err-code": "unheard-of"})
    assert inspect(sample("htx", "good")).causes == ("no_permission", "restricted")


def test_an_unknown_code_is_no_success_whatever_comes_with_it(simulator: Simulator) -> None:
    simulator.answer("GET", "/v2/user/uid", 200, {"code": 9999, "data": 209302839})
    simulator.answer("GET", ACCOUNTS, 200, {"status": "error", "data": []})
    report = inspect(sample("htx", "good"))
    assert (report.problem, report.steps[-1].name) == ("unexpected", "key")


def test_a_halted_market_is_unavailable(simulator: Simulator) -> None:
    halted = {"code": 200, "message": "success", "data": {"marketStatus": 2}}
    simulator.answer("GET", "/v2/market-status", 200, halted)
    assert inspect(sample("htx", "good")).problem == "unavailable"


def test_a_doubtful_signature_at_the_contract_host_may_pass(simulator: Simulator) -> None:
    """The key has passed on the spot host by then: its secret is right."""
    body = htx_checks.contract(403, htx_checks.WRONG_SECRET).body
    simulator.answer("GET", "/v5/account/balance", 200, body, host=CONTRACT_HOST)
    assert inspect(sample("htx", "good")).problem == "unavailable"


@pytest.mark.parametrize("code", [1003, "2000", 500, "never seen"])
def test_spot_codes_mean_nothing_at_the_contract_host(simulator: Simulator, code: object) -> None:
    simulator.answer("GET", "/v5/account/balance", 200, {"code": code, "message": "?"})
    assert inspect(sample("htx", "good")).outcome == "connected"


@pytest.mark.parametrize("accounts", [[], [{"id": 1, "type": "otc"}]])
def test_an_account_without_spot_has_no_balance(
    simulator: Simulator, accounts: list[object]
) -> None:
    simulator.answer("GET", ACCOUNTS, 200, {"status": "ok", "data": accounts})
    report = inspect(sample("htx", "good"))
    assert report.outcome == "connected"
    # Nothing is known of a spot account: not that it is empty.
    assert {market for each in report.accounts for market in each.markets} == {"futures"}
