"""Running the simulator, steering it, its hostile answers, and the list of sample keys."""

from __future__ import annotations

import gc
import gzip
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.simulator import EXCHANGES, SAMPLE_KEYS, KeySpec, Simulator, hostile, sample
from tests.simulator.__main__ import main
from tests.simulator.clients import KEY_PATH, KUCOIN, MEXC, ask, send, told
from tests.simulator.keys import DOCUMENTED_FAULTS, HOSTILE_FAULTS, OTHER_UID, UID

BOTH = pytest.mark.parametrize("exchange", ["mexc", "kucoin"])
LOOKS = {
    "mexc": (r"mx0\w{15}", r"[0-9a-f]{32}", r""),
    "kucoin": (r"[0-9a-f]{24}", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"\S{7,32}"),
    "bitget": (r"bg_[0-9a-f]{32}", r"[0-9a-f]{64}", r"[0-9A-Za-z]{8,32}"),
    "gate": (r"[0-9a-f]{32}", r"[0-9a-f]{64}", r""),
    "coinbase": (
        r"(organizations/[0-9a-f-]{36}/apiKeys/)?[0-9a-f-]{36}",
        r"[0-9A-Za-z+/]{86}==|-----BEGIN EC PRIVATE KEY-----.+-----END EC PRIVATE KEY----- ?",
        r"",
    ),
    "binance": (
        r"[0-9A-Za-z]{64}",
        r"[0-9A-Za-z]{64}|-----BEGIN PRIVATE KEY-----\n(?s:.+)\n-----END PRIVATE KEY-----\n",
        r"",
    ),
    "htx": (r"[0-9a-f]{8}(-[0-9a-z]{8,10}){3}", r"[0-9a-f]{8}(-[0-9a-f]{5,8}){3}", r""),
    "bingx": (r"[0-9A-Za-z]{64}", r"[0-9A-Za-z]{64}", r""),
    "okx": (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"[0-9A-F]{32}", r"\S{8,32}"),
    "bybit": (
        r"\w{18}",
        r"\w{36}|-----BEGIN PRIVATE KEY-----\n(?s:.+)\n-----END PRIVATE KEY-----\n",
        r"",
    ),
}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


# --- starting and stopping -----------------------------------------------------------------------


def begin_asking(simulator: Simulator, scenario: str) -> threading.Thread:
    def until_it_ends() -> None:
        with suppress(requests.RequestException):
            ask(simulator, sample("mexc", scenario))

    thread = threading.Thread(target=until_it_ends)
    thread.start()
    return thread


def test_it_stops_within_a_second_whatever_is_under_way() -> None:
    simulator = Simulator().start()
    asking = [begin_asking(simulator, name) for name in ("hang", "drip", "header_drip", "slow")]
    while len(simulator.log) < len(asking):
        time.sleep(0.01)
    began = time.monotonic()
    simulator.stop()
    assert time.monotonic() - began < 5  # answers under way would take longer
    for thread in asking:
        thread.join(timeout=2)
        assert not thread.is_alive()
    with pytest.raises(requests.ConnectionError):
        requests.get(simulator.url, timeout=1)


def test_nothing_is_left_of_answers_nobody_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    with Simulator() as simulator:
        for scenario in ("hang", "header_drip", "slow"):
            with suppress(requests.RequestException):
                ask(simulator, sample("mexc", scenario), timeout=0.1)
        for scenario in ("huge", "drip"):
            ask(simulator, sample("mexc", scenario), stream=True).close()
    gc.collect()
    assert caplog.records == []


def test_a_port_that_is_taken_is_an_error_and_leaves_no_thread(simulator: Simulator) -> None:
    threads = threading.active_count()
    with pytest.raises(OSError):
        Simulator(simulator.port).start()
    assert threading.active_count() == threads


# --- steering ------------------------------------------------------------------------------------


def test_keys_are_added_removed_and_edited(simulator: Simulator) -> None:
    key = KeySpec("mexc", "mine", "mx0vgl000000000001", "5" * 32, permissions=("SPOT_DEAL_READ",))
    assert told(ask(simulator, key)) == (400, "10072")
    simulator.add(key)
    assert ask(simulator, key).json()["permissions"] == "SPOT_DEAL_READ"
    with pytest.raises(ValueError, match="already known"):
        simulator.add(key)
    simulator.change(key.api_key, permissions=("SPOT_DEAL_READ", "SPOT_WITHDRAW_WRITE"))
    assert ask(simulator, key).json()["permissions"] == "SPOT_DEAL_READ,SPOT_WITHDRAW_WRITE"
    simulator.remove(key.api_key)
    assert told(ask(simulator, key)) == (400, "10072")


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        KeySpec("mexc", "mine", "mx0vgl000000000001", "5" * 32, fault="dwon")


def test_a_recorded_answer_is_given_until_it_is_cleared(simulator: Simulator) -> None:
    key, path = sample("mexc", "good"), "/api/v3/account"
    recorded = {"code": 700006, "msg": "IP [168.181.160.97] not in the ip white list"}
    simulator.answer("GET", path, 400, recorded, headers={"Retry-After": "7"})
    answer = ask(simulator, key, path)
    assert (answer.status_code, answer.json()) == (400, recorded)
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert ask(simulator, key, path, "POST").json() != recorded
    simulator.clear_answers()
    assert ask(simulator, key, path).status_code == 200


def test_the_most_exactly_named_recorded_answer_is_given(simulator: Simulator) -> None:
    def got(host: str, path: str) -> bytes:
        return send(simulator, "GET", host, path, "", {}).content

    simulator.answer("*", "*", 503, "everything")
    simulator.answer("GET", "/api/v1/status", 200, b"\xc3\x28")
    simulator.answer("GET", "/api/v1/status", 200, "there", host=KUCOIN)
    assert got(MEXC, "/api/v3/time") == b"everything"
    assert got("nobody.example", "/") == b"everything"
    assert got("api-futures.kucoin.com", "/api/v1/status") == b"\xc3\x28"
    assert got(KUCOIN, "/api/v1/status") == b"there"


def test_what_was_asked_is_kept_by_name_alone(simulator: Simulator) -> None:
    key = sample("mexc", "good")
    ask(simulator, key)
    send(simulator, "GET", "nobody.example", "/x", "", {})
    [seen] = simulator.requests_to(KEY_PATH["mexc"])
    assert (seen.method, seen.host, seen.dangerous) == ("GET", MEXC, False)
    assert seen.query_names == ("recvWindow", "accessKey", "timestamp", "signature")
    assert "X-MEXC-APIKEY" in seen.header_names and key.api_key not in repr(simulator.log)
    assert [seen.host for seen in simulator.log] == [MEXC, "nobody.example"]
    simulator.clear_log()
    assert simulator.log == []


def test_rewriting_a_keys_ip_list_is_noticed(simulator: Simulator) -> None:
    key, path = sample("mexc", "good"), KEY_PATH["mexc"]
    assert simulator.dangerous_requests == []
    answer = ask(simulator, key, path, "POST", params={"ipWhiteList": "1.1.1.1"})
    assert answer.json() == {"note": key.label, "apikey": key.api_key, "ipWhiteList": "1.1.1.1"}
    [seen] = simulator.dangerous_requests
    assert (seen.method, seen.path) == ("POST", path)


def test_unknown_hosts_are_not_simulated(simulator: Simulator) -> None:
    assert send(simulator, "GET", "nobody.example", "/", "", {}).status_code == 502


# --- hostile answers -----------------------------------------------------------------------------


def test_every_fault_is_handled() -> None:
    assert hostile.MODES.keys() == HOSTILE_FAULTS.keys()
    endpoints = [endpoint for exchange in EXCHANGES for endpoint in exchange.endpoints]
    families = [endpoint.family for endpoint in endpoints if endpoint.family]
    assert all(family.faults.keys() == DOCUMENTED_FAULTS for family in families)


def body_of(simulator: Simulator, exchange: str, scenario: str, path: str = "") -> bytes:
    answer = ask(simulator, sample(exchange, scenario), path)
    assert answer.status_code == 200
    return answer.content


@BOTH
def test_bodies_that_are_not_json(simulator: Simulator, exchange: str) -> None:
    for scenario in ("garbage", "html", "empty", "binary"):
        with pytest.raises(ValueError):
            json.loads(body_of(simulator, exchange, scenario))
    assert ask(simulator, sample(exchange, "waf")).status_code == 403
    deep = body_of(simulator, exchange, "deep")
    with pytest.raises(RecursionError):
        json.loads(deep)


@BOTH
def test_bodies_that_are_too_large(simulator: Simulator, exchange: str) -> None:
    answer = ask(simulator, sample(exchange, "gzip_bomb"), stream=True)
    assert answer.headers["Content-Encoding"] == "gzip"
    packed = answer.raw.read(decode_content=False)
    assert len(packed) < 100_000 < 50_000_000 < len(gzip.decompress(packed))
    assert len(body_of(simulator, exchange, "huge")) == 50 * 1024 * 1024


@BOTH
@pytest.mark.parametrize("scenario", ["hang", "header_drip"])
def test_answers_that_never_come(simulator: Simulator, exchange: str, scenario: str) -> None:
    with pytest.raises(requests.RequestException):
        ask(simulator, sample(exchange, scenario), timeout=0.1)


@BOTH
def test_a_body_that_never_ends(simulator: Simulator, exchange: str) -> None:
    with ask(simulator, sample(exchange, "drip"), stream=True) as answer:
        pieces = answer.iter_content(1)
        assert [next(pieces) for _ in range(3)] == [b" "] * 3


@BOTH
def test_a_redirect_goes_to_another_host(simulator: Simulator, exchange: str) -> None:
    answer = ask(simulator, sample(exchange, "redirect"))
    assert (answer.status_code, simulator.requests_to("/collect")) == (302, [])
    requests.get(answer.headers["Location"], timeout=5)
    assert [seen.host for seen in simulator.requests_to("/collect")] == ["collector.example"]


def test_numbers_that_are_none(simulator: Simulator) -> None:
    assert b'"free": NaN' in body_of(simulator, "mexc", "nan", "/api/v3/account")
    assert b'"createdAt": 1e999' in body_of(simulator, "kucoin", "nan")
    assert b'"available": NaN' in body_of(simulator, "kucoin", "nan", "/api/v1/accounts")


def test_success_of_another_shape(simulator: Simulator) -> None:
    info = json.loads(body_of(simulator, "kucoin", "wrong_shape"))
    assert info["code"] == "200000"
    assert info["data"]["permission"] == ["General,Spot"]
    account = json.loads(body_of(simulator, "mexc", "wrong_shape", "/api/v3/account"))
    assert account["balances"].keys() == {"items"}
    assert body_of(simulator, "mexc", "wrong_shape", KEY_PATH["mexc"])


@BOTH
def test_a_slow_key_takes_its_time_alone(simulator: Simulator, exchange: str) -> None:
    key = sample(exchange, "slow")
    assert key.delay_s == 2.5
    simulator.change(key.api_key, delay_s=0.5)
    assert ask(simulator, key).elapsed.total_seconds() > 0.5
    assert ask(simulator, sample(exchange, "good")).elapsed.total_seconds() < 0.4


# --- sample keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", SAMPLE_KEYS, ids=lambda key: f"{key.exchange} {key.scenario}")
def test_sample_keys_look_like_real_ones(key: KeySpec) -> None:
    pasted = (key.api_key, key.paste_secret, key.paste_passphrase)
    for values in (pasted, true_values(key)):
        for look, value in zip(LOOKS[key.exchange], values, strict=True):
            assert re.fullmatch(look, value)
    assert key.note.endswith(".")


def true_values(key: KeySpec) -> tuple[str, str, str]:
    return key.api_key, key.secret, key.passphrase


def test_sample_keys_are_distinct_and_the_same_everywhere() -> None:
    for values in zip(*(true_values(key)[:2] for key in SAMPLE_KEYS), strict=True):
        assert len(set(values)) == len(SAMPLE_KEYS)
    assert sample("mexc", "good").api_key == "mx0vgl26cc8b6e53f1"
    assert sample("kucoin", "good").api_key == "6ff25c54f70c7d571020d7fd"
    with pytest.raises(LookupError):
        sample("mexc", "nothing")


def test_what_is_pasted_differs_only_where_the_scenario_says_so() -> None:
    secrets = {key.scenario for key in SAMPLE_KEYS if key.paste_secret != key.secret}
    phrases = {key.scenario for key in SAMPLE_KEYS if key.paste_passphrase != key.passphrase}
    assert (secrets, phrases) == ({"wrong_secret"}, {"wrong_passphrase"})


def test_sample_keys_are_of_one_account_but_one() -> None:
    assert {key.uid for key in SAMPLE_KEYS} == {UID, OTHER_UID}
    assert {key.scenario for key in SAMPLE_KEYS if key.uid == OTHER_UID} == {"other_account"}


# --- command line --------------------------------------------------------------------------------


def test_the_list_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "--json"])
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert len(listed) == len(SAMPLE_KEYS)
    main(["keys"])
    table = capsys.readouterr().out.splitlines()[1:]
    assert len(table) == len(SAMPLE_KEYS)
    wrong = sample("kucoin", "wrong_passphrase")
    [line] = [line for line in table if wrong.api_key in line]
    assert wrong.paste_passphrase in line and wrong.passphrase not in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.simulator", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        assert requests.get(f"{url}/{MEXC}/api/v3/ping", timeout=5).json() == {}
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
