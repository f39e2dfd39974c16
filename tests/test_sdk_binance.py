"""The simulated Binance is as strict as Binance: asked by ccxt and by Binance's own wallet SDK,
with all three kinds of secret; its signatures, times and rights."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import quote, urlencode

import ccxt
import pytest
import requests
from binance_common.configuration import ConfigurationRestAPI
from binance_common.errors import BadRequestError, TooManyRequestsError, UnauthorizedError
from binance_sdk_wallet import Wallet
from requests.adapters import HTTPAdapter

from tests.simulator import SEEN_IP, KeySpec, Simulator, binance, sample
from tests.simulator.clients import milliseconds, send, told

HOST, FUTURES_HOST = "api.binance.com", "fapi.binance.com"
KEY_PATH, ACCOUNT = "/sapi/v1/account/apiRestrictions", "/api/v3/account"
ORDER_TEST, FUTURES_ACCOUNT = "/api/v3/order/test", "/fapi/v3/account"
KINDS = pytest.mark.parametrize("scenario", ["good_futures", "ed25519", "rsa"])


# --- clients nobody here wrote -------------------------------------------------------------------


class ToSimulator(HTTPAdapter):
    """Below ccxt, whose classes of errors depend on the real address."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.simulator = simulator

    def send(self, request: Any, **options: Any) -> requests.Response:
        request.url = request.url.replace("https://", f"{self.simulator.url}/", 1)
        return super().send(request, **options)


def ccxt_of(simulator: Simulator, key: KeySpec) -> Any:
    made = ccxt.binance({"apiKey": key.api_key, "secret": key.paste_secret})
    made.session.mount("https://", ToSimulator(simulator))
    return made


def wallet_of(simulator: Simulator, key: KeySpec) -> Any:
    kind = "private_key" if "PRIVATE KEY" in key.secret else "api_secret"
    configuration = ConfigurationRestAPI(
        api_key=key.api_key,
        base_path=f"{simulator.url}/{HOST}",
        retries=0,
        **{kind: key.paste_secret},
    )
    return Wallet(config_rest_api=configuration).rest_api


@KINDS
def test_ccxt_is_accepted(simulator: Simulator, scenario: str) -> None:
    asking = ccxt_of(simulator, sample("binance", scenario))
    assert asking.sapiGetAccountApiRestrictions()["enableSpotAndMarginTrading"] is True
    assert asking.privateGetAccount()["balances"][0] == {
        "asset": "BTC",
        "free": "0.015",
        "locked": "0",
    }
    assert asking.privateGetOpenOrders({"symbol": "BTCUSDT"}) == []
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    assert asking.privatePostOrderTest(order) == {}


def test_ccxt_reads_futures(simulator: Simulator) -> None:
    asking = ccxt_of(simulator, sample("binance", "good_futures"))
    assert asking.fapiPrivateV3GetAccount()["assets"][0]["availableBalance"] == "640.25"
    assert asking.fapiPrivateV3GetPositionRisk() == []


@pytest.mark.parametrize(
    ("scenario", "error", "code"),
    [
        ("deleted", ccxt.AuthenticationError, "-2008"),
        ("wrong_secret", ccxt.AuthenticationError, "-1022"),
        ("wrong_ip", ccxt.AuthenticationError, "-2015"),
        ("disabled", ccxt.AuthenticationError, "-2015"),
        ("clock", ccxt.InvalidNonce, "-1021"),
        ("rate_limited", ccxt.DDoSProtection, "-1003"),
        ("restricted", ccxt.ExchangeNotAvailable, "451"),
    ],
)
def test_ccxt_is_refused(
    simulator: Simulator, scenario: str, error: type[Exception], code: str
) -> None:
    with pytest.raises(error, match=code):
        ccxt_of(simulator, sample("binance", scenario)).sapiGetAccountApiRestrictions()


@KINDS
def test_binances_own_sdk_is_accepted(simulator: Simulator, scenario: str) -> None:
    told = wallet_of(simulator, sample("binance", scenario)).get_api_key_permission().data()
    assert (told.enable_reading, told.enable_withdrawals, told.ip_restrict) == (True, False, True)


@pytest.mark.parametrize(
    ("scenario", "error", "code"),
    [
        ("deleted", BadRequestError, -2008),
        ("wrong_secret", BadRequestError, -1022),
        ("wrong_ip", UnauthorizedError, -2015),
        ("rate_limited", TooManyRequestsError, -1003),
    ],
)
def test_binances_own_sdk_is_refused(
    simulator: Simulator, scenario: str, error: type[Exception], code: int
) -> None:
    with pytest.raises(error) as refusal:
        wallet_of(simulator, sample("binance", scenario)).get_api_key_permission()
    assert refusal.value.status_code == code  # type: ignore[attr-defined]


# --- signatures, time and rights -----------------------------------------------------------------


def test_signing_vector_of_the_documents() -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    text = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
    )
    made = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert binance.signature_fits(secret, text, made)
    assert binance.signature_fits(secret, text, made.upper())
    assert not binance.signature_fits(secret, text.replace("=1&", "=2&"), made)
    # Split between query string and body, there is no `&` between them.
    assert binance.payload("a=1&b=2", "c=3&signature=x") == "a=1&b=2c=3"


def asked(
    simulator: Simulator,
    key: KeySpec,
    path: str = KEY_PATH,
    method: str = "GET",
    host: str = HOST,
    late_ms: int = 0,
    **params: str,
) -> requests.Response:
    """Signed here from the documents, with an HMAC secret."""
    query = urlencode({**params, "timestamp": milliseconds() - late_ms})
    made = hmac.new(key.paste_secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    query, headers = f"{query}&signature={made}", {"X-MBX-APIKEY": key.api_key}
    return send(simulator, method, host, path, query, headers)


@pytest.mark.parametrize(
    ("late_ms", "window", "code"),
    [
        (4500, "", "None"),
        (5500, "", "-1021"),
        (5500, "10000", "None"),
        (-500, "", "None"),
        (-1500, "", "-1021"),
        (0, "60001", "-1131"),
    ],
)
def test_time_window(simulator: Simulator, late_ms: int, window: str, code: str) -> None:
    params = {"recvWindow": window} if window else {}
    answer = asked(simulator, sample("binance", "good"), late_ms=late_ms, **params)
    assert told(answer)[1] == code


@pytest.mark.parametrize(
    ("query", "api_key", "refusal"),
    [
        ("", "too short", (401, "-2014")),
        ("", "", (401, "-2014")),
        ("signature=00", "k" * 64, (400, "-1102")),
        ("timestamp=1", "k" * 64, (400, "-1102")),
        ("timestamp=now&signature=00", "k" * 64, (400, "-1102")),
    ],
)
def test_what_cannot_be_read_is_refused(
    simulator: Simulator, query: str, api_key: str, refusal: tuple[int, str]
) -> None:
    headers = {"X-MBX-APIKEY": api_key} if api_key else {}
    assert told(send(simulator, "GET", HOST, KEY_PATH, query, headers)) == refusal


def test_a_signature_of_another_kind_is_refused(simulator: Simulator) -> None:
    key, at = sample("binance", "ed25519"), milliseconds()
    for signature in ("00", "@@@", quote("A" * 86 + "==")):
        query, headers = f"timestamp={at}&signature={signature}", {"X-MBX-APIKEY": key.api_key}
        assert told(send(simulator, "GET", HOST, KEY_PATH, query, headers)) == (400, "-1022")


@pytest.mark.parametrize(
    "endpoint",
    [each for each in binance.ENDPOINTS if each.family],
    ids=lambda endpoint: f"{endpoint.method} {endpoint.path}",
)
def test_every_call_needs_its_right(simulator: Simulator, endpoint: Any) -> None:
    key, order = sample("binance", "good"), {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    host, params = endpoint.hosts[0], {**order, "quantity": "1"}

    def code_with(*rights: str) -> tuple[int, str]:
        simulator.change(key.api_key, permissions=rights)
        return told(asked(simulator, key, endpoint.path, endpoint.method, host, **params))

    assert code_with(endpoint.permission) == (200, "None")
    assert code_with("enableSomethingElse") == (401, "-2015")


def test_only_futures_name_the_address_they_saw(simulator: Simulator) -> None:
    key = sample("binance", "wrong_ip")
    assert SEEN_IP not in asked(simulator, key).text
    assert (
        f"request ip: {SEEN_IP}"
        in asked(simulator, key, FUTURES_ACCOUNT, host=FUTURES_HOST).json()["msg"]
    )


def test_practice_sites_know_their_own_keys_alone_and_have_no_wallet(simulator: Simulator) -> None:
    for scenario, host in (("demo", binance.DEMO_HOST), ("testnet", binance.TESTNET_HOST)):
        key = sample("binance", scenario)
        assert told(asked(simulator, key)) == (400, "-2008")
        assert asked(simulator, key, ACCOUNT, host=host).status_code == 200
        assert asked(simulator, key, host=host).status_code == 404
        assert told(asked(simulator, sample("binance", "good"), ACCOUNT, host=host))[1] == "-2008"
