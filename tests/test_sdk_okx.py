"""The simulated OKX is as strict as OKX: asked by ccxt and by OKX's own SDK. And what is special
about OKX when a key of it is tested: its sites, its demo trading, its account modes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ccxt
import pytest
import requests
from okx.Account import AccountAPI
from requests.adapters import HTTPAdapter

from connections import exchanges
from connections.exchanges.base import Answer
from connections.exchanges.inspection import OF_THIS_KEY
from tests.simulator import SEEN_IP, KeySpec, Simulator, okx, sample
from tests.simulator.clients import send
from tests.test_inspection import inspect

# Of python-okx, not of ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HOST = "www.okx.com"
CONFIG, BALANCE = "/api/v5/account/config", "/api/v5/account/balance"
REFUSALS = pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("deleted", "50119"),
        ("wrong_secret", "50113"),
        ("wrong_passphrase", "50105"),
        ("wrong_ip", "50110"),
        ("disabled", "50100"),
        ("clock", "50102"),
        ("rate_limited", "50011"),
        ("down", "50001"),
        ("restricted", "50121"),
        ("demo", "50101"),
        ("eea", "50119"),
    ],
)


# --- clients nobody here wrote -------------------------------------------------------------------


class ToSimulator(HTTPAdapter):
    """Below ccxt, so that it builds its real addresses."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.simulator = simulator

    def send(self, request: Any, **options: Any) -> requests.Response:
        request.url = request.url.replace("https://", f"{self.simulator.url}/", 1)
        return super().send(request, **options)


def ccxt_of(simulator: Simulator, key: KeySpec, kind: str = "okx") -> Any:
    made = getattr(ccxt, kind)(
        {"apiKey": key.api_key, "secret": key.paste_secret, "password": key.paste_passphrase}
    )
    made.session.mount("https://", ToSimulator(simulator))
    return made


def sdk_of(simulator: Simulator, key: KeySpec, flag: str = "0", host: str = HOST) -> Any:
    return AccountAPI(
        key.api_key,
        key.paste_secret,
        key.paste_passphrase,
        flag=flag,
        domain=f"{simulator.url}/{host}",
        debug=False,
    )


def test_ccxt_is_accepted(simulator: Simulator) -> None:
    key = sample("okx", "good_futures")
    asking = ccxt_of(simulator, key)
    [config] = asking.privateGetAccountConfig()["data"]
    assert (config["acctLv"], config["uid"]) == ("2", key.uid)
    assert set(config["perm"].split(",")) == set(key.permissions)
    [account] = asking.privateGetAccountBalance({"ccy": "BTC,USDT"})["data"]
    assert account["details"][1]["availBal"] == "1250.5"
    assert asking.privateGetAccountPositions()["data"] == []
    assert asking.privateGetTradeOrdersPending({"instType": "SPOT"})["data"] == []
    assert abs(int(asking.publicGetPublicTime()["data"][0]["ts"]) - asking.milliseconds()) < 2000


def test_own_sdk_is_accepted(simulator: Simulator) -> None:
    asking = sdk_of(simulator, sample("okx", "good_futures"))
    assert asking.get_account_config()["data"][0]["acctLv"] == "2"
    assert len(asking.get_account_balance("BTC,USDT")["data"][0]["details"]) == 2
    assert asking.get_positions()["data"] == []


@REFUSALS
def test_clients_are_refused(simulator: Simulator, scenario: str, code: str) -> None:
    key = sample("okx", scenario)
    assert sdk_of(simulator, key).get_account_config()["code"] == code
    with pytest.raises(ccxt.BaseError, match=code):
        ccxt_of(simulator, key).privateGetAccountConfig()


@pytest.mark.parametrize(("scenario", "kind"), [("eea", "myokx"), ("us", "okxus")])
def test_ccxts_regional_classes_find_their_keys(
    simulator: Simulator, scenario: str, kind: str
) -> None:
    key = sample("okx", scenario)
    assert ccxt_of(simulator, key, kind).privateGetAccountConfig()["code"] == "0"
    with pytest.raises(ccxt.ExchangeError, match="50119"):
        ccxt_of(simulator, sample("okx", "good"), kind).privateGetAccountConfig()


def test_demo_keys_work_with_the_demo_header_alone(simulator: Simulator) -> None:
    demo, real = sample("okx", "demo"), sample("okx", "good")
    assert sdk_of(simulator, demo, flag="1").get_account_config()["code"] == "0"
    assert sdk_of(simulator, real, flag="1").get_account_config()["code"] == "50101"
    asking = ccxt_of(simulator, demo)
    asking.set_sandbox_mode(True)
    assert asking.privateGetAccountConfig()["code"] == "0"


# --- signatures, time, rights --------------------------------------------------------------------


def test_signing_vector_of_the_documents() -> None:
    text = "2020-12-08T09:08:57.715ZGET/api/v5/account/balance"
    made = okx.signature("22582BD0CFF14C41EDBF1AB98506286D", text)
    assert made == "AkD5YszBhggtIyjDlmTy/9PpNVntel+1Lff8wh0qpQw="


def headers_of(key: KeySpec, at: str, path: str = CONFIG) -> dict[str, str]:
    return {
        "OK-ACCESS-KEY": key.api_key,
        "OK-ACCESS-PASSPHRASE": key.passphrase,
        "OK-ACCESS-TIMESTAMP": at,
        "OK-ACCESS-SIGN": okx.signature(key.secret, f"{at}GET{path}"),
    }


def code_with(simulator: Simulator, headers: dict[str, str], query: str = "") -> str:
    return str(send(simulator, "GET", HOST, CONFIG, query, headers).json()["code"])


def now(simulator: Simulator, late_s: float = 0.0) -> str:
    return str(ccxt.Exchange.iso8601(simulator.world.now_ms() - round(late_s * 1000)))


@pytest.mark.parametrize(("late_s", "code"), [(29, "0"), (31, "50102"), (-29, "0"), (-31, "50102")])
def test_time_window(simulator: Simulator, late_s: float, code: str) -> None:
    assert code_with(simulator, headers_of(sample("okx", "good"), now(simulator, late_s))) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    ],
)
def test_missing_header_is_named(simulator: Simulator, name: str, code: str) -> None:
    headers = headers_of(sample("okx", "good"), now(simulator))
    assert code_with(simulator, {each: headers[each] for each in headers if each != name}) == code


def test_order_of_refusals_is_the_observed_one(simulator: Simulator) -> None:
    stranger = replace(sample("okx", "good"), api_key="not-a-key")
    assert code_with(simulator, headers_of(stranger, now(simulator, 60))) == "50102"
    assert code_with(simulator, headers_of(stranger, now(simulator))) == "50111"
    assert code_with(simulator, headers_of(stranger, "yesterday")) == "50112"


def test_signature_covers_the_query(simulator: Simulator) -> None:
    headers = headers_of(sample("okx", "good"), now(simulator), f"{CONFIG}?a=1")
    assert code_with(simulator, headers, "a=1") == "0"
    assert code_with(simulator, headers, "a=2") == "50113"


def test_every_call_needs_its_right(simulator: Simulator) -> None:
    key = sample("okx", "read_only")
    asking = ccxt_of(simulator, key)
    with pytest.raises(ccxt.ExchangeError, match="50120"):
        asking.privatePostTradeOrder({"instId": "BTC-USDT"})
    with pytest.raises(ccxt.ExchangeError, match="50120"):
        asking.privatePostAssetWithdrawal({"ccy": "BTC"})
    assert len(simulator.dangerous_requests) == 2
    simulator.change(key.api_key, permissions=("trade",))
    with pytest.raises(ccxt.ExchangeError, match="50120"):
        asking.privateGetAccountConfig()


def test_refusal_of_the_address_names_it(simulator: Simulator) -> None:
    told = sdk_of(simulator, sample("okx", "wrong_ip")).get_account_config()["msg"]
    assert SEEN_IP in told
    assert inspect(sample("okx", "wrong_ip")).seen_ip == SEEN_IP


# --- what is special when a key is tested --------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "demo"),
    [("eea", False), ("us", False), ("tr", False), ("demo", True), ("eea_demo", True)],
)
def test_key_of_another_site_is_found_there(
    simulator: Simulator, scenario: str, demo: bool
) -> None:
    report = inspect(sample("okx", scenario))
    assert (report.outcome, report.site) == ("connected", scenario)
    assert exchanges.get("okx").site(report.site).demo is demo
    balances = simulator.requests_to(BALANCE)
    host = sample("okx", scenario).site or HOST
    assert {seen.host for seen in balances} == {host}
    assert all(("x-simulated-trading" in seen.header_names) is demo for seen in balances)


def test_fault_of_a_key_is_found_at_its_own_site(simulator: Simulator) -> None:
    key = sample("okx", "eea")
    simulator.change(key.api_key, ip_whitelist=("198.51.100.1",))
    report = inspect(key)
    assert (report.problem, report.site) == ("ip_not_allowed", "eea")


def test_unknown_key_is_never_claimed_to_be_wrong(simulator: Simulator) -> None:
    report = inspect(sample("okx", "deleted"))
    assert report.causes == ("invalid_key", "key_expired", "restricted")
    assert report.site == ""
    assert {seen.host for seen in simulator.requests_to(CONFIG)} == set(okx.HOSTS)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, "<html>Access denied</html>"),
        (200, {"code": "0", "data": [{"acctLv": "2"}]}),
        (200, {"code": "50121", "data": [], "msg": "not from here"}),
        (503, ""),
    ],
)
def test_another_site_that_says_nothing_of_the_key_is_not_believed(
    simulator: Simulator, status: int, body: Any
) -> None:
    for host in okx.REGIONS:
        simulator.answer("GET", CONFIG, status, body, host=host)
    report = inspect(sample("okx", "deleted"))
    assert (report.problem, report.site) == ("ambiguous", "")
    assert "unexpected" not in OF_THIS_KEY


def test_site_that_hangs_does_not_use_up_the_time(simulator: Simulator) -> None:
    key = sample("okx", "eea")
    simulator.change(key.api_key, fault="hang")  # of its own site alone
    report = inspect(key, call_limit_s=0.4, limit_s=3)
    assert report.problem == "ambiguous"


@pytest.mark.parametrize(
    ("mode", "futures", "closed", "ready"),
    [
        ("1", True, ("futures",), ("spot",)),
        ("2", True, (), ("spot", "futures")),
        ("3", True, (), ("spot", "futures")),
        ("4", True, (), ("spot", "futures")),
        ("5", None, (), ("spot",)),
        ("", None, (), ("spot",)),
    ],
)
def test_account_mode_says_whether_futures_can_be_traded(
    simulator: Simulator,
    mode: str,
    futures: bool | None,
    closed: tuple[str, ...],
    ready: tuple[str, ...],
) -> None:
    key = sample("okx", "good")
    simulator.change(key.api_key, own={"acctLv": mode})
    may = inspect(key).facts.permissions
    assert (may.futures_trade, may.closed, may.ready_for) == (futures, closed, ready)
    assert f"acctLv {mode or '?'}" in may.evidence["futures_trade"]
    assert bool(simulator.requests_to("/api/v5/account/positions")) is ("futures" in ready)


def test_what_is_told_of_a_good_key(simulator: Simulator) -> None:
    report = inspect(sample("okx", "good_futures"))
    facts, may = report.facts, report.facts.permissions
    assert may.as_dict() == {
        **dict.fromkeys(("read", "spot_trade", "futures_trade", "margin", "transfer"), True),
        "withdraw": False,
    }
    assert set(may.evidence) == set(may.NAMES)
    assert (facts.uid, facts.label) == ("209302839", "BackFuture")
    assert facts.ips == ("203.0.113.7", "203.0.113.8")
    assert facts.created_at is facts.expires_at is None  # OKX tells neither
    assert {each.currency: each.total for each in report.balances} == {
        "BTC": "0.015",
        "USDT": "1350.5",
    }


def test_key_endpoint_that_refuses_leaves_reading_alone_proven(simulator: Simulator) -> None:
    report = inspect(sample("okx", "fallback"))
    may = report.facts.permissions
    assert (may.read, may.spot_trade, may.futures_trade, may.withdraw) == (True, None, None, None)
    assert set(report.warnings) >= {"trade_unknown", "withdraw_unknown", "ip_restriction_unknown"}


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("50104", "bad_passphrase"),
        ("50112", "clock_skew"),
        (50110, "ip_not_allowed"),
        ("50029", "key_disabled"),
        ("51010", "restricted"),
        ("50061", "rate_limited"),
        ("59999", "unexpected"),
    ],
)
def test_further_codes_are_read_in_any_language(code: str | int, problem: str) -> None:
    okx_file = exchanges.get("okx")
    answer = Answer(401, {"code": code, "msg": "您的请求被拒绝"})
    assert okx_file.verdict(okx_file.key_call, answer).problem == problem


def test_success_needs_its_code_and_its_words() -> None:
    okx_file = exchanges.get("okx")
    config = {"perm": "read_only,trade", "acctLv": "2", "ip": ""}

    def told(**body: Any) -> str:
        return okx_file.verdict(okx_file.key_call, Answer(200, body)).problem

    assert told(code="0", data=[config]) == ""
    assert told(code=0, data=[config]) == ""
    for odd in ("1", "", None, False, "59999"):
        assert told(code=odd, data=[config]) == "unexpected"
    for rows in ([], [{}], [{"perm": ["trade"]}], [7], None, config):
        assert told(code="0", data=rows) == "unexpected"
