"""The exchange simulator is as strict as the exchanges: independent clients, signatures, time
and the documented refusal of every scenario. What it answers: simulator/test_answers.py."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing

import ccxt
import pymexc.futures
import pymexc.spot
import pytest
import requests
from pymexc.base import MexcAPIError

from tests.simulator import SEEN_IP, Simulator, kucoin, mexc, sample
from tests.simulator.clients import (
    KEY_PATH,
    KUCOIN,
    MEXC,
    MEXC_FUTURES,
    ask,
    ccxt_client,
    hmac_of,
    kucoin_sdk,
    milliseconds,
    pymexc_client,
    send,
    sign,
    sign_kucoin,
    told,
)

# Of the SDKs, not of ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ACCOUNT = {"mexc": "/api/v3/account", "kucoin": "/api/v1/accounts"}
ASSETS = "/api/v1/private/account/assets"
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "1"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


# --- independent clients -------------------------------------------------------------------------


def test_ccxt_is_accepted_by_mexc(simulator: Simulator) -> None:
    key = sample("mexc", "good_futures")
    client = ccxt_client(simulator, key)
    info = client.spotPrivateGetApiKeyInfo({"accessKey": key.api_key})
    assert info["permissions"].split(",") == list(key.permissions)
    assert client.spotPrivateGetUid() == {"uid": key.uid}
    assert len(client.spotPrivateGetAccount()["balances"]) == len(key.balances)
    assert client.spotPrivatePostOrderTest(ORDER) == {}
    assert client.spotPrivateGetOpenOrders({"symbol": "BTCUSDT"}) == []
    assert client.contractPrivateGetAccountAssets()["success"] is True
    assert client.contractPrivateGetPositionOpenPositions({"symbol": "BTC_USDT"})["data"] == []


def test_ccxt_is_accepted_by_kucoin(simulator: Simulator) -> None:
    key = sample("kucoin", "good_futures")
    client = ccxt_client(simulator, key)
    assert client.privateGetUserApiKey()["data"]["permission"] == "General,Spot,Futures"
    assert client.request("user/api-key", ["utaPrivate"])["data"]["apiKey"] == key.api_key
    assert {row["currency"] for row in client.privateGetAccounts()["data"]} == set(key.balances)
    assert client.privateGetOrders({"status": "active"})["data"]["items"] == []
    assert client.privateGetHfOrdersActive({"symbol": "BTC-USDT"})["data"] == []
    assert client.utaGetUserMyIp()["data"] == SEEN_IP
    overview = client.futuresPrivateGetAccountOverview({"currency": "USDT"})["data"]
    assert overview["availableBalance"] == 640.25


def test_kucoins_own_sdk_is_accepted(simulator: Simulator) -> None:
    from kucoin_universal_sdk.generate.account.account import (
        GetFuturesAccountReqBuilder,
        GetSpotAccountListReqBuilder,
    )

    account = kucoin_sdk(simulator, sample("kucoin", "good_futures"))
    assert account.get_apikey_info().permission == "General,Spot,Futures"
    request = GetFuturesAccountReqBuilder().set_currency("USDT").build()
    assert account.get_futures_account(request).available_balance == 640.25
    # It signs the query before escaping it.
    request = GetSpotAccountListReqBuilder().set_currency("A B").build()
    assert len(account.get_spot_account_list(request).data) == 2


def test_pymexc_is_accepted(simulator: Simulator) -> None:
    key = sample("mexc", "good_futures")
    spot = pymexc_client(simulator, key, pymexc.spot, MEXC)
    info = spot.call("GET", KEY_PATH["mexc"], params={"accessKey": key.api_key})
    assert info["status"] == "VALID"
    assert spot.account_information()["accountType"] == "SPOT"
    assert spot.test_new_order("BTCUSDT", "BUY", "LIMIT", quantity=1, price=1) == {}
    futures = pymexc_client(simulator, key, pymexc.futures, MEXC_FUTURES)
    assert [row["currency"] for row in futures.assets()["data"]] == list(key.futures_balances)


@pytest.mark.parametrize(
    ("scenario", "code", "futures_code"),
    [("deleted", "10072", "401"), ("wrong_secret", "700002", "602")],
)
def test_clients_of_mexc_are_refused(
    simulator: Simulator, scenario: str, code: str, futures_code: str
) -> None:
    key = sample("mexc", scenario)
    with pytest.raises(ccxt.BaseError, match=code):
        ccxt_client(simulator, key).spotPrivateGetAccount()
    with pytest.raises(MexcAPIError, match=code):
        pymexc_client(simulator, key, pymexc.spot, MEXC).account_information()
    with pytest.raises(MexcAPIError, match=futures_code):
        pymexc_client(simulator, key, pymexc.futures, MEXC_FUTURES).assets()


@pytest.mark.parametrize(
    ("scenario", "code"),
    [("deleted", "400003"), ("wrong_secret", "400005"), ("wrong_passphrase", "400004")],
)
def test_clients_of_kucoin_are_refused(simulator: Simulator, scenario: str, code: str) -> None:
    from kucoin_universal_sdk.model.common import RestError

    key = sample("kucoin", scenario)
    with pytest.raises(ccxt.AuthenticationError, match=code):
        ccxt_client(simulator, key).privateGetUserApiKey()
    with pytest.raises(RestError, match=f"401.*{code}"):
        kucoin_sdk(simulator, key).get_apikey_info()


# --- signatures and time -------------------------------------------------------------------------


def test_signing_vectors_of_the_documents() -> None:
    secret, first = "45d0b3c26f2644f19bfb98b07741b2f5", "symbol=BTCUSDT&side=BUY&type=LIMIT"
    rest = "quantity=1&price=11&recvWindow=5000&timestamp=1644489390087"
    alone = "fd3e4e8543c5188531eb7279d68ae7d26a573d0fc5ab0d18eb692451654d837a"
    mixed = "d1a676610ceb39174c8039b3f548357994b2a34139a8addd33baadba65684592"
    assert mexc.signature(secret, f"{first}&{rest}&signature=x") == alone
    assert mexc.signature(secret, first, f"{rest}&signature=x") == mixed
    made = mexc.signature("mexc-secret", "timestamp=1790274000000&recvWindow=5000")
    assert made == "454aeab6cc9a170f62940827104b8e6ed65e14310062e1b31ef781d2ee456cea"
    signed = kucoin.to_sign("1790274000000", "GET", "/api/v1/accounts")
    made = kucoin.digest("kucoin-secret", signed)
    assert made == "1IQclfd7ZIzIsIT5X47cdnJKnoEiZ5mElgGxVJwDuv8="
    made = kucoin.digest("kucoin-secret", "kucoin-pass")
    assert made == "OplStk3M/IYYslJlMpTMb7auKQZQhD1g+JEQkER3KkA="


def one_character_off(text: str) -> str:
    return text[:-3] + ("0" if text[-3] != "0" else "1") + text[-2:]


@pytest.mark.parametrize(
    ("host", "path", "header", "refusal"),
    [
        (MEXC, "/api/v3/account", None, (400, "700002")),
        (MEXC_FUTURES, ASSETS, "Signature", (200, "602")),
        (KUCOIN, "/api/v1/accounts", "KC-API-SIGN", (401, "400005")),
        (KUCOIN, "/api/v1/accounts", "KC-API-PASSPHRASE", (401, "400004")),
    ],
)
def test_one_character_matters(
    simulator: Simulator, host: str, path: str, header: str | None, refusal: tuple[int, str]
) -> None:
    key = sample("mexc" if "mexc" in host else "kucoin", "good_futures")
    query, headers = sign(key, "GET", path, {"a": "1"}, milliseconds())
    accepted = send(simulator, "GET", host, path, query, headers)
    assert told(accepted) in {(200, "None"), (200, "0"), (200, "200000")}
    if header:
        headers[header] = one_character_off(headers[header])
    else:
        query = one_character_off(query)
    assert told(send(simulator, "GET", host, path, query, headers)) == refusal


@pytest.mark.parametrize(
    ("host", "path"), [(MEXC, ACCOUNT["mexc"]), (MEXC, ASSETS), (KUCOIN, ACCOUNT["kucoin"])]
)
def test_a_signature_covers_the_parameters(simulator: Simulator, host: str, path: str) -> None:
    key = sample("mexc" if "mexc" in host else "kucoin", "good_futures")
    query, headers = sign(key, "GET", path, {"a": "1"}, milliseconds())
    answer = send(simulator, "GET", host, path, query.replace("a=1", "a=2"), headers)
    assert told(answer)[1] in {"700002", "602", "400005"}


def test_mexc_wants_lower_case_hex_and_upper_case_escapes(simulator: Simulator) -> None:
    assert mexc_status(simulator, "a=%2C") == 200
    assert mexc_status(simulator, "a=%2C", upper_hex=True) == 400
    assert mexc_status(simulator, "a=%2c") == 400
    assert mexc_status(simulator, "a=%7E") == 200  # needless, but signed as it is sent


def mexc_status(simulator: Simulator, query: str, upper_hex: bool = False) -> int:
    """Sent with the standard library, since requests normalises escapes."""
    key, query = sample("mexc", "good"), f"timestamp={milliseconds()}&{query}"
    made = hmac_of(key.secret, query).hex()
    target = f"/{MEXC}{ACCOUNT['mexc']}?{query}&signature={made.upper() if upper_hex else made}"
    connection = http.client.HTTPConnection(simulator.host, simulator.port, timeout=5)
    with closing(connection):
        connection.request("GET", target, headers={"X-MEXC-APIKEY": key.api_key})
        return connection.getresponse().status


@pytest.mark.parametrize(
    ("version", "refusal"), [("1", None), ("2", None), ("3", None), ("4", "400007")]
)
def test_kucoin_key_versions(simulator: Simulator, version: str, refusal: str | None) -> None:
    path, key = KEY_PATH["kucoin"], sample("kucoin", "good")
    _, headers = sign_kucoin(key, "GET", path, {}, milliseconds(), version)
    answer = send(simulator, "GET", KUCOIN, path, "", headers)
    assert told(answer)[1] == (refusal or "200000")


@pytest.mark.parametrize(
    ("path", "late_ms", "refusal"),
    [
        (ACCOUNT["mexc"], 4500, None),
        (ACCOUNT["mexc"], 5500, "700003"),
        (ACCOUNT["mexc"], -500, None),
        (ACCOUNT["mexc"], -1500, "700003"),
        (ASSETS, 9500, "0"),
        (ASSETS, 10500, "513"),
        (ASSETS, -10500, "513"),
        (ACCOUNT["kucoin"], 4500, "200000"),
        (ACCOUNT["kucoin"], 5500, "400002"),
        (ACCOUNT["kucoin"], -5500, "400002"),
    ],
)
def test_time_windows(simulator: Simulator, path: str, late_ms: int, refusal: str | None) -> None:
    key = sample("kucoin" if path == ACCOUNT["kucoin"] else "mexc", "good_futures")
    assert told(ask(simulator, key, path, late_ms=late_ms))[1] == str(refusal)


def test_the_exchanges_clock_can_be_wrong(simulator: Simulator) -> None:
    simulator.world.clock_offset_ms = 60_000
    theirs = requests.get(f"{simulator.url}/{MEXC}/api/v3/time", timeout=5).json()["serverTime"]
    assert 59_000 < theirs - milliseconds() < 61_000
    assert told(ask(simulator, sample("kucoin", "good"))) == (400, "400002")


# --- scenarios -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "scenario", "path", "status", "code"),
    [
        ("mexc", "deleted", "", 400, "10072"),
        ("mexc", "wrong_secret", "", 400, "700002"),
        ("mexc", "expired", "", 400, "700002"),
        ("mexc", "wrong_ip", "", 400, "700006"),
        ("mexc", "clock", "", 400, "700003"),
        ("mexc", "rate_limited", "", 429, "429"),
        ("mexc", "down", "", 503, "503"),
        ("mexc", "restricted", "", 403, "403"),
        ("mexc", "fallback", "", 400, "700007"),
        ("mexc", "fallback", ACCOUNT["mexc"], 200, "None"),
        ("mexc", "good", ASSETS, 200, "701"),
        ("mexc", "expired", ASSETS, 200, "402"),
        ("mexc", "wrong_ip", ASSETS, 200, "406"),
        ("mexc", "clock", ASSETS, 200, "513"),
        ("mexc", "rate_limited", ASSETS, 200, "510"),
        ("mexc", "down", ASSETS, 503, "501"),
        ("kucoin", "deleted", "", 401, "400003"),
        ("kucoin", "expired", "", 401, "400003"),
        ("kucoin", "wrong_secret", "", 401, "400005"),
        ("kucoin", "wrong_passphrase", "", 401, "400004"),
        ("kucoin", "wrong_ip", "", 403, "400006"),
        ("kucoin", "disabled", "", 403, "411100"),
        ("kucoin", "clock", "", 400, "400002"),
        ("kucoin", "rate_limited", "", 429, "429000"),
        ("kucoin", "down", "", 503, "500000"),
        ("kucoin", "restricted", "", 200, "600004"),
    ],
)
def test_scenario(
    simulator: Simulator, exchange: str, scenario: str, path: str, status: int, code: str
) -> None:
    assert told(ask(simulator, sample(exchange, scenario), path)) == (status, code)
