"""Coinbase's simulator checked by clients nobody here wrote, and what is special about its keys."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ccxt
import jwt
import pytest
import requests
from coinbase.rest import RESTClient
from cryptography.hazmat.primitives.asymmetric import ed25519
from requests.adapters import HTTPAdapter

from connections.exchanges import coinbase
from connections.exchanges.base import KeyReport
from tests.simulator import KeySpec, Simulator, sample
from tests.simulator.coinbase import ecdsa_look, portfolio
from tests.test_inspection import inspect

HOST, BROKERAGE = "api.coinbase.com", "/api/v3/brokerage"
KEY_PATH, ACCOUNTS = f"{BROKERAGE}/key_permissions", f"{BROKERAGE}/accounts"
CFM = f"{BROKERAGE}/cfm/balance_summary"
ED25519, ECDSA = sample("coinbase", "good"), sample("coinbase", "ecdsa")
KINDS = pytest.mark.parametrize("key", [ED25519, ECDSA], ids=["EdDSA", "ES256"])


class Redirected(HTTPAdapter):
    """Sends what is signed for https://HOST to the simulator, the signed address left alone."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.url = simulator.url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        assert request.url
        request.url = request.url.replace("https://", f"{self.url}/", 1)
        return super().send(request, *args, **options)


def ccxt_client(simulator: Simulator, key: KeySpec) -> Any:
    client = ccxt.coinbase({"apiKey": key.api_key, "secret": key.paste_secret})
    client.session.mount("https://", Redirected(simulator))
    return client


def sdk(simulator: Simulator, key: KeySpec) -> Any:
    client = RESTClient(api_key=key.api_key, api_secret=key.paste_secret)
    client.session.mount("https://", Redirected(simulator))
    return client


def another_secret(key: KeySpec) -> KeySpec:
    """The same name, with the private key of another key of its kind."""
    if key == ED25519:
        return replace(key, wrong_secret=sample("coinbase", "twin_good").secret)
    return replace(key, wrong_secret=ecdsa_look("5" * 64)[1])


# --- independent clients -------------------------------------------------------------------------


@KINDS
def test_ccxt_is_accepted(simulator: Simulator, key: KeySpec):
    simulator.change(key.api_key, permissions=("can_view", "can_trade", "cfm"))
    client = ccxt_client(simulator, key)
    assert abs(int(client.v3PublicGetBrokerageTime()["epochMillis"]) / 1000 - time.time()) < 2
    told = client.v3PrivateGetBrokerageKeyPermissions()
    assert (told["can_view"], told["can_trade"], told["can_transfer"]) == (True, True, False)
    rows = client.v3PrivateGetBrokerageAccounts({"limit": 250})["accounts"]
    assert {row["currency"] for row in rows} == set(key.balances)
    assert client.v3PrivateGetBrokerageOrdersHistoricalBatch()["orders"] == []
    assert "balance_summary" in client.v3PrivateGetBrokerageCfmBalanceSummary()
    assert client.v3PrivateGetBrokerageCfmPositions()["positions"] == []


@KINDS
def test_ccxt_is_refused(simulator: Simulator, key: KeySpec):
    with pytest.raises(ccxt.AuthenticationError, match="Unauthorized"):
        ccxt_client(simulator, another_secret(key)).v3PrivateGetBrokerageKeyPermissions()
    simulator.change(key.api_key, deleted=True)
    with pytest.raises(ccxt.AuthenticationError, match="Unauthorized"):
        ccxt_client(simulator, key).v3PrivateGetBrokerageKeyPermissions()


def test_coinbases_own_sdk_is_accepted(simulator: Simulator):
    client = sdk(simulator, ECDSA)
    assert client.get_unix_time()["epoch_seconds"].isdigit()
    told = client.get_api_key_permissions()
    assert (told["can_trade"], told["portfolio_uuid"]) == (True, portfolio(ECDSA))
    assert len(client.get_accounts(limit=1)["accounts"]) == 1  # its query is not signed
    with pytest.raises(requests.HTTPError, match="403"):
        client.get_futures_balance_summary()


def test_coinbases_own_sdk_is_refused(simulator: Simulator):
    with pytest.raises(requests.HTTPError, match="401 Client Error"):
        sdk(simulator, another_secret(ECDSA)).get_accounts()
    simulator.change(ECDSA.api_key, permissions=())
    with pytest.raises(requests.HTTPError, match="Missing Required Scopes"):
        sdk(simulator, ECDSA).get_accounts()
    simulator.change(ECDSA.api_key, deleted=True)
    with pytest.raises(requests.HTTPError, match="401 Client Error"):
        sdk(simulator, ECDSA).get_accounts()


# --- tokens --------------------------------------------------------------------------------------


def asked_with(simulator: Simulator, header: dict[str, Any], **claims: Any) -> int:
    """The status for a token in the SDK's form, signed with the good key by PyJWT."""
    now = int(time.time())
    uri = f"GET {HOST}{KEY_PATH}"
    said = {"sub": ED25519.api_key, "iss": "cdp", "nbf": now, "exp": now + 120, "uri": uri}
    said = {name: value for name, value in (said | claims).items() if value is not None}
    private = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(ED25519.secret)[:32])
    header = {"kid": ED25519.api_key, "nonce": uuid.uuid4().hex, **header}
    token = jwt.encode(said, private, "EdDSA", headers=header)
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{simulator.url}/{HOST}{KEY_PATH}", headers=headers, timeout=5).status_code


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"iss": "coinbase-cloud", "aud": ["retail_rest_api_proxy"]}, 200),
        ({"uri": None, "uris": [f"GET {HOST}{KEY_PATH}"], "aud": ["cdp_service"]}, 200),
        ({"iss": "somebody"}, 401),
        ({"sub": "somebody"}, 401),
        ({"uri": None}, 401),
        ({"uri": f"POST {HOST}{KEY_PATH}"}, 401),
        ({"uri": f"GET {HOST}{ACCOUNTS}"}, 401),
        ({"uri": f"GET https://{HOST}{KEY_PATH}"}, 401),
        ({"exp": int(time.time()) - 5}, 401),
        ({"exp": int(time.time()) + 900}, 401),
        ({"exp": None}, 401),
        ({"nbf": None}, 401),
    ],
)
def test_claims_of_a_token(simulator: Simulator, claims: dict[str, Any], status: int):
    assert asked_with(simulator, {}, **claims) == status


@pytest.mark.parametrize(
    "header", [{"nonce": ""}, {"kid": "somebody"}, {"kid": ECDSA.api_key}, {"typ": "text"}]
)
def test_header_of_a_token(simulator: Simulator, header: dict[str, Any]):
    assert asked_with(simulator, header) == 401


@pytest.mark.parametrize("late_s", [-200, 200])
def test_a_token_ends_after_two_minutes(simulator: Simulator, late_s: int):
    simulator.world.clock_offset_ms = late_s * 1000
    try:
        assert asked_with(simulator, {}) == 401
    finally:
        simulator.world.clock_offset_ms = 0


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer x", "Basic x", "Bearer a.b.c"])
def test_what_is_no_token_is_refused(simulator: Simulator, value: str):
    headers = {"Authorization": value}
    answer = requests.get(f"{simulator.url}/{HOST}{ACCOUNTS}", headers=headers, timeout=5)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")


# --- a 401 ---------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch) -> Iterator[list[float]]:
    """The pauses of a test, none of which is made."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(coinbase, "sleep", pause)
    yield made


def test_a_401_in_passing_is_not_believed(simulator: Simulator, pauses, monkeypatch):
    simulator.answer("GET", KEY_PATH, 401, "Unauthorized\n")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        simulator.clear_answers()

    monkeypatch.setattr(coinbase, "sleep", pause)
    report = inspect(ED25519)
    assert (report.outcome, report.facts.permissions.spot_trade) == ("warnings", True)
    assert len(simulator.requests_to(KEY_PATH)) == 2
    assert pauses == [coinbase.RETRY_AFTER_S]
    assert 1 <= coinbase.RETRY_AFTER_S <= 2


@pytest.mark.parametrize("scenario", ["deleted", "disabled", "wrong_secret", "wrong_ip"])
def test_a_401_that_stays_names_every_cause_left(simulator: Simulator, pauses, scenario: str):
    report = inspect(sample("coinbase", scenario))
    assert report.problem == "ambiguous"
    assert report.causes == ("ip_not_allowed", "invalid_key", "bad_secret", "key_disabled")
    assert len(simulator.requests_to(KEY_PATH)) == 2  # once more, and no more than that
    assert len(pauses) == 1


def test_our_clock_is_looked_at_before_the_key(simulator: Simulator, pauses):
    simulator.answer("GET", f"{BROKERAGE}/time", 200, {"epochSeconds": str(int(time.time()) - 70)})
    assert inspect(ED25519).problem == "clock_skew"
    simulator.answer("GET", f"{BROKERAGE}/time", 200, {"epochSeconds": str(int(time.time()) - 50)})
    assert inspect(ED25519).outcome == "warnings"


def test_an_edge_page_is_not_asked_twice(simulator: Simulator, pauses):
    simulator.answer("GET", KEY_PATH, 403, "<html></html>")
    assert inspect(ED25519).causes == ("restricted", "rate_limited", "unavailable")
    assert not pauses


# --- rights --------------------------------------------------------------------------------------


def told(simulator: Simulator, flags: dict[str, Any]) -> KeyReport:
    simulator.answer("GET", KEY_PATH, 200, {"portfolio_uuid": "p", **flags})
    return inspect(ED25519)


GOOD = {"can_view": True, "can_trade": True, "can_transfer": False, "can_receive": False}


@pytest.mark.parametrize(
    ("flags", "withdraw"),
    [
        (GOOD, False),
        ({**GOOD, "can_transfer": True}, True),
        ({**GOOD, "can_transfer": "false"}, None),
        ({**GOOD, "can_transfer": None}, None),
        ({"can_view": True, "can_trade": True}, None),
        ({**GOOD, "can_receive": True}, False),
        ({**GOOD, "can_withdraw": False}, False),
        ({**GOOD, "can_withdraw": True}, True),
        ({**GOOD, "can_send": True}, None),
        ({**GOOD, "can_send": "maybe"}, None),
        ({**GOOD, "can_transfer": True, "can_send": True}, True),
        ({"can_view": True, "can_trade": True, "can_withdraw": False}, None),
    ],
)
def test_no_withdrawing_is_only_what_the_flag_says(simulator: Simulator, flags, withdraw):
    report = told(simulator, flags)
    assert report.facts.permissions.withdraw is withdraw
    assert (report.outcome == "refused") is bool(withdraw)
    assert ("withdraw_unknown" in report.warnings) is (withdraw is None)


def test_a_good_key_is_warned_about_what_coinbase_does_not_tell(simulator: Simulator):
    report = inspect(ED25519)
    assert report.warnings == ("ip_restriction_unknown",)
    facts = report.facts
    assert (facts.ips, facts.created_at, facts.expires_at, facts.label) == ((), None, None, "")
    assert facts.uid == portfolio(ED25519)
    assert facts.uid != inspect(sample("coinbase", "other_account")).facts.uid
    assert "can_transfer false" in facts.permissions.evidence["withdraw"]


def test_futures_are_ready_only_where_their_account_is_shown(simulator: Simulator):
    key = sample("coinbase", "good_futures")
    assert inspect(key).facts.permissions.ready_for == ("spot", "futures")
    assert simulator.requests_to(f"{BROKERAGE}/cfm/positions")
    for summary in ({}, {"balance_summary": None}, {"balance_summary": {}}):
        simulator.answer("GET", CFM, 200, summary)
        assert inspect(key).facts.permissions.ready_for == ("spot",)
    simulator.clear_answers()
    report = inspect(ED25519)  # 403 "User does not have the correct permissions"
    assert (report.facts.permissions.ready_for, report.facts.permissions.closed) == (
        ("spot",),
        ("futures",),
    )


def test_balances_of_all_pages_are_shown(simulator: Simulator):
    many = {f"A{number:03}": ("0", "0") for number in range(260)} | {"USDT": ("5", "2.5")}
    simulator.change(ED25519.api_key, balances=many)
    report = inspect(ED25519)
    assert [(row.currency, row.total) for row in report.balances] == [("USDT", "7.5")]
    assert len(simulator.requests_to(ACCOUNTS)) == 2


def test_pages_that_never_end_are_not_followed_for_ever(simulator: Simulator):
    page = {"accounts": [], "has_next": True, "cursor": "again"}
    simulator.answer("GET", ACCOUNTS, 200, page)
    assert inspect(ED25519).outcome == "warnings"
    assert len(simulator.requests_to(ACCOUNTS)) == coinbase.PAGES


def test_balances_show_reading_where_the_key_endpoint_refuses(simulator: Simulator):
    report = inspect(sample("coinbase", "fallback"))
    may = report.facts.permissions
    assert (may.read, may.spot_trade, may.withdraw) == (True, None, None)
    assert {"trade_unknown", "withdraw_unknown"} <= set(report.warnings)


def test_nothing_dangerous_is_ever_sent(simulator: Simulator):
    inspect(sample("coinbase", "good_futures"))
    assert {seen.method for seen in simulator.log} == {"GET"}
    assert json.dumps([seen.path for seen in simulator.log]).count("/v2/") == 0
