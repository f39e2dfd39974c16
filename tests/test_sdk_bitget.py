"""Bitget: the simulator asked by clients nobody here wrote, ccxt and bitget-python."""

from __future__ import annotations

import base64
from typing import Any

import ccxt
import pytest
from bitpy import RequestError
from bitpy.models.login import BitgetCredentials
from bitpy.utils.request_handler import RequestHandler

from tests.simulator import KeySpec, Simulator, bitget, sample
from tests.simulator.clients import ccxt_client, hmac_of, milliseconds, send, told
from tests.simulator.wire import Endpoint

HOST = "api.bitget.com"
KEY, CLASSIC_KEY = "/api/v3/account/info", "/api/v2/spot/account/info"
ASSETS, CLASSIC_ASSETS = "/api/v3/account/assets", "/api/v2/spot/account/assets"
FUTURES = "/api/v2/mix/account/accounts"


# --- clients nobody here wrote -------------------------------------------------------------------


def python_client(simulator: Simulator, key: KeySpec) -> Any:
    credentials = BitgetCredentials(key.api_key, key.paste_secret, key.paste_passphrase)
    return RequestHandler(f"{simulator.url}/{HOST}", credentials)


def test_ccxt_is_accepted(simulator: Simulator) -> None:
    client = ccxt_client(simulator, sample("bitget", "good_futures"))
    info = client.privateSpotGetV2SpotAccountInfo()["data"]
    assert info["authorities"] == ["stor", "coor", "cpor", "stow", "coow", "cpow"]
    assert client.privateSpotGetV2SpotAccountAssets()["data"][0]["available"] == "0.015"
    assert client.privateSpotGetV2SpotTradeUnfilledOrders()["data"] == []
    product = {"productType": "USDT-FUTURES", "marginCoin": "USDT"}
    assert client.privateMixGetV2MixAccountAccounts(product)["data"][0]["marginCoin"] == "USDT"
    assert client.privateMixGetV2MixPositionAllPosition(product)["data"] == []


def test_ccxt_is_accepted_by_a_unified_account(simulator: Simulator) -> None:
    client = ccxt_client(simulator, sample("bitget", "unified"))
    assert client.privateUtaGetV3AccountInfo()["data"]["permType"] == "read_and_write"
    assert client.privateUtaGetV3AccountAssets()["data"]["assets"][1]["locked"] == "100"
    category = {"category": "USDT-FUTURES"}
    assert client.privateUtaGetV3TradeUnfilledOrders(category)["data"]["list"] == []
    assert client.privateUtaGetV3PositionCurrentPosition(category)["data"]["list"] == []


def test_ccxt_signs_a_query_before_it_is_escaped(simulator: Simulator) -> None:
    client = ccxt_client(simulator, sample("bitget", "good"))
    assert client.privateSpotGetV2SpotAccountAssets({"coin": "币 B"})["code"] == "00000"


def test_ccxt_in_sandbox_mode_is_accepted_with_a_demo_key(simulator: Simulator) -> None:
    client = ccxt_client(simulator, sample("bitget", "demo"))
    with pytest.raises(ccxt.ExchangeError, match="40099"):
        client.privateSpotGetV2SpotAccountInfo()
    client.options["sandboxMode"] = True
    assert client.privateSpotGetV2SpotAccountInfo()["code"] == "00000"


@pytest.mark.parametrize(
    ("scenario", "error", "code"),
    [
        ("deleted", ccxt.AuthenticationError, "40037"),
        ("wrong_secret", ccxt.AuthenticationError, "40009"),
        ("wrong_passphrase", ccxt.AuthenticationError, "40012"),
        ("wrong_ip", ccxt.PermissionDenied, "40018"),
        ("disabled", ccxt.RestrictedLocation, "40024"),
        ("clock", ccxt.InvalidNonce, "40004"),
        ("rate_limited", ccxt.DDoSProtection, "429"),
        ("restricted", ccxt.ExchangeError, "40000"),
        ("unified", ccxt.PermissionDenied, "40085"),
        ("futures_only", ccxt.PermissionDenied, "40014"),
    ],
)
def test_ccxt_is_refused(
    simulator: Simulator, scenario: str, error: type[Exception], code: str
) -> None:
    with pytest.raises(error, match=code):
        ccxt_client(simulator, sample("bitget", scenario)).privateSpotGetV2SpotAccountAssets()


@pytest.mark.parametrize(
    ("scenario", "path", "params"),
    [
        ("good", CLASSIC_KEY, None),
        ("good", CLASSIC_ASSETS, {"coin": "USDT", "assetType": "all"}),
        ("good_futures", FUTURES, {"productType": "USDT-FUTURES"}),
        ("unified", KEY, None),
        ("unified", ASSETS, None),
    ],
)
def test_bitget_python_is_accepted(
    simulator: Simulator, scenario: str, path: str, params: dict[str, str] | None
) -> None:
    client = python_client(simulator, sample("bitget", scenario))
    assert client.request("GET", path, params)["code"] == "00000"


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("deleted", "Apikey does not exist"),
        ("wrong_secret", "sign signature error"),
        ("wrong_passphrase", "apikey/password is incorrect"),
    ],
)
def test_bitget_python_is_refused(simulator: Simulator, scenario: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        python_client(simulator, sample("bitget", scenario)).request("GET", CLASSIC_KEY)


# --- signatures and time -------------------------------------------------------------------------


def test_signature_is_bitget_pythons(simulator: Simulator) -> None:
    """The documents have no worked example, so another implementation stands for it."""
    key, query = sample("bitget", "good"), "productType=USDT-FUTURES"
    client, at = python_client(simulator, key), "1790274000000"
    theirs = client._generate_signature(at, "GET", FUTURES, query, "{}")
    assert bitget.signature(key.secret, at, "GET", f"{FUTURES}?{query}", "{}") == theirs


def ask(
    simulator: Simulator, key: KeySpec, path: str, late_ms: int = 0, **changed: str
) -> tuple[int, str]:
    at = str(milliseconds() - late_ms)
    made = base64.b64encode(hmac_of(key.paste_secret, f"{at}GET{path}")).decode()
    headers = {
        "ACCESS-KEY": key.api_key,
        "ACCESS-SIGN": made,
        "ACCESS-TIMESTAMP": at,
        "ACCESS-PASSPHRASE": key.paste_passphrase,
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return told(send(simulator, "GET", HOST, path, "", headers))


@pytest.mark.parametrize(
    ("late_ms", "code"), [(29_000, "00000"), (31_000, "40004"), (-31_000, "40004")]
)
def test_time_window(simulator: Simulator, late_ms: int, code: str) -> None:
    assert ask(simulator, sample("bitget", "good"), CLASSIC_KEY, late_ms)[1] == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ACCESS_KEY", "40001"),
        ("ACCESS_SIGN", "40002"),
        ("ACCESS_TIMESTAMP", "40005"),
        ("ACCESS_PASSPHRASE", "40011"),
    ],
)
def test_missing_headers_are_named(simulator: Simulator, name: str, code: str) -> None:
    assert ask(simulator, sample("bitget", "good"), KEY, **{name: ""}) == (400, code)


# --- rights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint", [each for each in bitget.ENDPOINTS if each.family], ids=lambda each: each.path
)
def test_every_call_needs_its_right(simulator: Simulator, endpoint: Endpoint) -> None:
    mode = "unified" if "/v3/" in endpoint.path else "good"
    key = sample("bitget", mode)

    def code_with(*rights: str) -> str:
        simulator.change(key.api_key, permissions=rights)
        return ask(simulator, key, endpoint.path)[1]

    words = endpoint.permission.split() or ["uta_mgt"]
    assert {code_with(word) for word in words} == {"00000"}
    other = "uta_mgt" if mode == "unified" else "wtow"
    if other not in words:
        assert code_with(other) == "40014"
