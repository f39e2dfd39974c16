"""What the simulated exchanges answer: rights that calls need, shapes, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.simulator import EXCHANGES, Simulator, sample
from tests.simulator.clients import (
    KEY_PATH,
    KUCOIN,
    KUCOIN_FUTURES,
    MEXC,
    ask,
    milliseconds,
    send,
    sign,
    told,
)
from tests.simulator.wire import Endpoint

ACCOUNT = {"mexc": "/api/v3/account", "kucoin": "/api/v1/accounts"}
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "1"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


# --- refusals ------------------------------------------------------------------------------------


def test_the_ip_refusal_of_mexc_names_the_address(simulator: Simulator) -> None:
    simulator.world.seen_ip = "192.0.2.9"
    answer = ask(simulator, sample("mexc", "good"))
    assert answer.json() == {"code": 700006, "msg": "IP [192.0.2.9] not in the ip white list"}
    assert told(ask(simulator, sample("mexc", "no_ip")))[0] == 200
    simulator.change(sample("mexc", "no_ip").api_key, ip_allowed=False)
    assert told(ask(simulator, sample("mexc", "no_ip"))) == (400, "700006")


PRIVATE = [
    pytest.param(exchange.code, host, endpoint, id=f"{endpoint.method} {host}{endpoint.path}")
    for exchange in EXCHANGES
    if exchange.code in KEY_PATH  # of the others each has its own file
    for endpoint in exchange.endpoints
    for host in endpoint.hosts
    if endpoint.family and host not in exchange.foreign_hosts
]


@pytest.mark.parametrize(("exchange", "host", "endpoint"), PRIVATE)
def test_every_call_needs_its_right(
    simulator: Simulator, exchange: str, host: str, endpoint: Endpoint
) -> None:
    key = sample(exchange, "good")
    params = {**ORDER, "accessKey": key.api_key}

    def code_with(*rights: str) -> str:
        simulator.change(key.api_key, permissions=rights)
        return told(ask(simulator, key, endpoint.path, endpoint.method, host, params))[1]

    worked, refused = {"None", "0", "200000"}, {"700007", "400007", "701", "703"}
    assert code_with(endpoint.permission) in worked
    assert code_with("Something else") in (refused if endpoint.permission else worked)


def test_short_forms_of_mexc_rights_count(simulator: Simulator) -> None:
    key, path = sample("mexc", "good"), "/api/v3/capital/withdraw/history"
    assert told(ask(simulator, key, path)) == (400, "700007")
    simulator.change(key.api_key, permissions=("SPOT_WITHDRAW_R",))
    assert ask(simulator, key, path).json() == []


# --- shapes --------------------------------------------------------------------------------------


def test_what_mexc_tells_of_a_key(simulator: Simulator) -> None:
    fields = ["note", "accessKey", "createTime", "permissions", "remainingValidity"]
    info = ask(simulator, sample("mexc", "expiring")).json()
    assert list(info) == [*fields, "ipWhiteList", "status"]  # of the recorded answer
    assert (info["remainingValidity"], info["ipWhiteList"], info["status"]) == (5, "", "VALID")
    age = datetime.now(UTC) - datetime.fromisoformat(info["createTime"])
    assert age.days == 85
    assert info["createTime"].endswith(".000+00:00")
    bound = ask(simulator, sample("mexc", "good")).json()
    assert (bound["remainingValidity"], bound["ipWhiteList"]) == (None, "203.0.113.7,203.0.113.8")
    assert ask(simulator, sample("mexc", "disabled")).json()["status"] != "VALID"
    order = ask(simulator, sample("mexc", "disabled"), "/api/v3/order/test", "POST", params=ORDER)
    assert told(order) == (400, "30018")


def test_what_kucoin_tells_of_a_key(simulator: Simulator) -> None:
    info = ask(simulator, sample("kucoin", "good")).json()["data"]
    assert info["ipWhitelist"] == "203.0.113.7,203.0.113.8"
    assert info["apiVersion"] == 3
    assert "expiredAt" not in info
    open_to_all = ask(simulator, sample("kucoin", "no_ip")).json()["data"]
    assert info.keys() - open_to_all.keys() == {"ipWhitelist"}
    ends = ask(simulator, sample("kucoin", "expiring")).json()["data"]["expiredAt"]
    assert 4.9 < (ends - milliseconds()) / 86_400_000 <= 5


def test_flags_of_a_mexc_account_are_true_for_a_key_that_only_reads(simulator: Simulator) -> None:
    account = ask(simulator, sample("mexc", "read_only"), ACCOUNT["mexc"]).json()
    assert account["canTrade"] is account["canWithdraw"] is True


@pytest.mark.parametrize(
    ("path", "method", "params", "code"),
    [
        (KEY_PATH["mexc"], "GET", {}, "700004"),
        (KEY_PATH["mexc"], "GET", {"accessKey": "mx0vglsomebodyelse"}, "730706"),
        ("/api/v3/openOrders", "GET", {}, "700004"),
        ("/api/v3/openOrders", "GET", {"symbol": "NOPE"}, "10007"),
        ("/api/v3/order/test", "POST", {**ORDER, "price": ""}, "700004"),
        ("/api/v1/hf/orders/active", "GET", {}, "400100"),
        ("/api/v9/nothing", "GET", {}, "404"),
    ],
)
def test_what_is_missing_is_named(
    simulator: Simulator, path: str, method: str, params: dict[str, str], code: str
) -> None:
    exchange = "kucoin" if path == "/api/v1/hf/orders/active" else "mexc"
    answer = ask(simulator, sample(exchange, "good"), path, method, params=params)
    assert told(answer) == (404 if code == "404" else 400, code)


@pytest.mark.parametrize(
    ("host", "path", "refusal"),
    [
        (MEXC, ACCOUNT["mexc"], (400, "400")),
        (KUCOIN, ACCOUNT["kucoin"], (400, "400001")),
        (KUCOIN, "/api/v9/nothing", (404, "404")),
        (KUCOIN, "/api/v1/account-overview", (404, "404")),  # of the futures host alone
    ],
)
def test_unsigned_requests(
    simulator: Simulator, host: str, path: str, refusal: tuple[int, str]
) -> None:
    assert told(send(simulator, "GET", host, path, "", {})) == refusal


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("timestamp=1", "700004", "signature"),
        ("signature=00", "700004", "timestamp"),
        ("signature=00&timestamp=now", "700004", "timestamp"),
        ("signature=00&timestamp=1&recvWindow=long", "700004", "recvWindow"),
    ],
)
def test_what_mexc_cannot_read(simulator: Simulator, query: str, code: str, named: str) -> None:
    headers = {"X-MEXC-APIKEY": sample("mexc", "good").api_key}
    answer = send(simulator, "GET", MEXC, ACCOUNT["mexc"], query, headers)
    assert told(answer) == (400, code)
    assert f"'{named}'" in answer.json()["msg"]


def test_the_widest_window_of_mexc(simulator: Simulator) -> None:
    for window, refusal in (("60000", "None"), ("60001", "700005")):
        key, params = sample("mexc", "good"), {"recvWindow": window}
        query, headers = sign(key, "GET", ACCOUNT["mexc"], params, milliseconds())
        answer = send(simulator, "GET", MEXC, ACCOUNT["mexc"], query, headers)
        assert told(answer)[1] == refusal


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (MEXC, "/api/v3/ping"),
        (MEXC, "/api/v3/time"),
        (MEXC, "/api/v3/exchangeInfo"),
        (KUCOIN, "/api/v1/status"),
        (KUCOIN, "/api/v1/timestamp"),
        (KUCOIN_FUTURES, "/api/v1/status"),
        (KUCOIN, "/api/ua/v1/user/my-ip"),
    ],
)
def test_public_calls_need_no_key(simulator: Simulator, host: str, path: str) -> None:
    assert send(simulator, "GET", host, path, "", {}).status_code == 200


def test_our_keys_do_not_exist_at_the_european_site(simulator: Simulator) -> None:
    answer = ask(simulator, sample("kucoin", "good"), host="api.kucoin.eu")
    assert told(answer) == (401, "400003")
    assert send(simulator, "GET", "api.kucoin.eu", "/api/v1/status", "", {}).status_code == 200


def test_keys_of_one_exchange_are_unknown_to_the_other(simulator: Simulator) -> None:
    stray = replace(sample("kucoin", "good"), exchange="mexc")
    assert told(ask(simulator, stray, ACCOUNT["mexc"])) == (400, "10072")
