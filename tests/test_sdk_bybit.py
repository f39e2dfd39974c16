"""The simulated Bybit is as strict as Bybit: asked by ccxt and by Bybit's own SDK, with both kinds
of secret. And what is special about Bybit when a key of it is tested: its sites, refusals without
a body, the read-only flag, the end of a key, pasted private keys."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import ccxt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP
from requests.adapters import HTTPAdapter

from connections import exchanges
from connections.exchanges import bybit_rights, pasting
from connections.exchanges.base import Answer, Permissions
from tests.simulator import KeySpec, Simulator, bybit, sample
from tests.simulator.clients import send
from tests.test_inspection import inspect

HOST = "api.bybit.com"
KEY_PATH, WALLET = "/v5/user/query-api", "/v5/account/wallet-balance"
BYBIT = exchanges.get("bybit")
NOW = datetime(2026, 9, 24, 12, tzinfo=UTC)


# --- clients nobody here wrote -------------------------------------------------------------------


class ToSimulator(HTTPAdapter):
    """Below ccxt, so that it builds its real addresses."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self.simulator = simulator

    def send(self, request: Any, **options: Any) -> requests.Response:
        request.url = request.url.replace("https://", f"{self.simulator.url}/", 1)
        return super().send(request, **options)


def ccxt_of(simulator: Simulator, key: KeySpec, kind: str = "bybit") -> Any:
    made = getattr(ccxt, kind)({"apiKey": key.api_key, "secret": key.paste_secret})
    made.session.mount("https://", ToSimulator(simulator))
    return made


def sdk_of(simulator: Simulator, key: KeySpec, host: str = HOST) -> Any:
    is_rsa = "PRIVATE KEY" in key.secret
    made = HTTP(
        api_key=key.api_key, api_secret=key.paste_secret, rsa_authentication=is_rsa, max_retries=1
    )
    made.endpoint = f"{simulator.url}/{host}"
    return made


@pytest.mark.parametrize("scenario", ["good_futures", "rsa"])
def test_ccxt_is_accepted(simulator: Simulator, scenario: str) -> None:
    asking = ccxt_of(simulator, sample("bybit", scenario))
    assert asking.privateGetV5UserQueryApi()["result"]["permissions"]["Spot"] == ["SpotTrade"]
    wallet = asking.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})["result"]
    assert wallet["list"][0]["coin"][1]["walletBalance"] == "1350.5"
    assert asking.privateGetV5OrderRealtime({"category": "spot"})["result"]["list"] == []
    theirs = int(asking.publicGetV5MarketTime()["time"])
    assert abs(theirs - asking.milliseconds()) < 2000


@pytest.mark.parametrize("scenario", ["good_futures", "rsa"])
def test_own_sdk_is_accepted(simulator: Simulator, scenario: str) -> None:
    key = sample("bybit", scenario)
    asking = sdk_of(simulator, key)
    assert asking.get_api_key_information()["result"]["userID"] == int(key.uid)
    assert asking.get_wallet_balance(accountType="UNIFIED")["retCode"] == 0
    assert asking.get_open_orders(category="spot")["retCode"] == 0
    if scenario == "good_futures":
        assert asking.get_positions(category="linear", settleCoin="USDT")["retCode"] == 0


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("deleted", 10003),
        ("wrong_secret", 10004),
        ("expired", 33004),
        ("wrong_ip", 10010),
        ("disabled", 10008),
        ("fallback", 10005),
        ("restricted", 10009),
        ("eu", 10003),
        ("demo", 10003),
    ],
)
def test_clients_are_refused(simulator: Simulator, scenario: str, code: int) -> None:
    key = sample("bybit", scenario)
    with pytest.raises(InvalidRequestError) as refused:
        sdk_of(simulator, key).get_api_key_information()
    assert refused.value.status_code == code
    with pytest.raises(ccxt.BaseError, match=str(code)):
        ccxt_of(simulator, key).privateGetV5UserQueryApi()


def test_account_calls_refuse_an_unknown_key_without_a_body(simulator: Simulator) -> None:
    key = sample("bybit", "deleted")
    with pytest.raises(FailedRequestError):
        sdk_of(simulator, key).get_wallet_balance(accountType="UNIFIED")
    headers = headers_of(key, "", simulator.world.now_ms())
    answer = send(simulator, "GET", HOST, WALLET, "", headers)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.reason == "API key is invalid."


def test_ccxts_other_classes_find_their_keys(simulator: Simulator) -> None:
    assert ccxt_of(simulator, sample("bybit", "eu"), "bybiteu").privateGetV5UserQueryApi()
    demo = ccxt_of(simulator, sample("bybit", "demo"))
    demo.enable_demo_trading(True)
    assert demo.privateGetV5UserQueryApi()
    testnet = ccxt_of(simulator, sample("bybit", "testnet"))
    testnet.set_sandbox_mode(True)
    assert testnet.privateGetV5UserQueryApi()


# --- signatures, time, rights --------------------------------------------------------------------


def headers_of(key: KeySpec, query: str, at: int, window: str = "5000") -> dict[str, str]:
    """Written from the documents: HMAC-SHA256 in lower-case hex."""
    text = f"{at}{key.api_key}{window}{query}"
    made = hmac.new(key.paste_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {
        "X-BAPI-API-KEY": key.api_key,
        "X-BAPI-TIMESTAMP": str(at),
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": made,
    }


def code_with(simulator: Simulator, headers: dict[str, str], query: str = "") -> int:
    return int(send(simulator, "GET", HOST, KEY_PATH, query, headers).json()["retCode"])


@pytest.mark.parametrize(
    ("late_ms", "window", "code"),
    [
        (4_500, "5000", 0),
        (5_500, "5000", 10002),
        (5_500, "10000", 0),
        (-500, "5000", 0),
        (-1_500, "5000", 10002),
    ],
)
def test_time_window(simulator: Simulator, late_ms: int, window: str, code: int) -> None:
    at = simulator.world.now_ms() - late_ms
    assert code_with(simulator, headers_of(sample("bybit", "good"), "", at, window)) == code


def test_signature_covers_the_query_in_lower_case_hex(simulator: Simulator) -> None:
    key, at = sample("bybit", "good"), simulator.world.now_ms()
    headers = headers_of(key, "a=1", at)
    assert code_with(simulator, headers, "a=1") == 0
    assert code_with(simulator, headers, "a=2") == 10004
    shouted = {**headers, "X-BAPI-SIGN": headers["X-BAPI-SIGN"].upper()}
    assert code_with(simulator, shouted, "a=1") == 10004


@pytest.mark.parametrize("signed", ["", "AAAA", "not base64"])
def test_rsa_signature_must_fit(simulator: Simulator, signed: str) -> None:
    headers = headers_of(sample("bybit", "rsa"), "", simulator.world.now_ms())
    code = code_with(simulator, {**headers, "X-BAPI-SIGN": signed})
    assert code == (10004 if signed else 10001)


def test_refusal_of_a_signature_repeats_the_key_and_we_keep_nothing_of_it(
    simulator: Simulator,
) -> None:
    key = sample("bybit", "wrong_secret")
    headers = headers_of(key, "", simulator.world.now_ms())
    assert key.api_key in send(simulator, "GET", HOST, KEY_PATH, "", headers).text
    report = inspect(key)
    assert report.problem == "bad_secret"
    assert key.api_key not in repr(report)


def test_every_call_needs_its_right(simulator: Simulator) -> None:
    asking = ccxt_of(simulator, sample("bybit", "good"))
    with pytest.raises(ccxt.PermissionDenied, match="10005"):
        asking.privateGetV5PositionList({"category": "linear", "settleCoin": "USDT"})
    with pytest.raises(ccxt.PermissionDenied, match="10005"):
        asking.privatePostV5AssetWithdrawCreate({"coin": "BTC"})
    reader = ccxt_of(simulator, sample("bybit", "read_only"))
    with pytest.raises(ccxt.PermissionDenied, match="10005"):
        reader.privatePostV5OrderCreate({"category": "spot"})
    assert len(simulator.dangerous_requests) == 2


# --- what is special when a key is tested --------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "demo"), [("eu", False), ("jp", False), ("demo", True), ("testnet", True)]
)
def test_key_of_another_site_is_found_there(
    simulator: Simulator, scenario: str, demo: bool
) -> None:
    report = inspect(sample("bybit", scenario))
    assert (report.outcome, report.site) == ("connected", scenario)
    assert BYBIT.site(report.site).demo is demo
    hosts = {seen.host for seen in simulator.requests_to(WALLET)}
    assert hosts == {sample("bybit", scenario).site}


def test_every_site_is_asked_before_a_key_is_called_unknown(simulator: Simulator) -> None:
    assert inspect(sample("bybit", "deleted")).problem == "invalid_key"
    assert {seen.host for seen in simulator.requests_to(KEY_PATH)} == set(bybit.HOSTS)


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("API key is invalid.", "invalid_key"),
        ("", "invalid_key"),
        ("Your api key has expired.", "key_expired"),
        ("Unmatched IP, please check your API key's bound IP addresses.", "ip_not_allowed"),
        ("error sign! please check your signature generation algorithm.", "bad_secret"),
        ("Permission denied, please check your API key permissions.", "no_permission"),
        ("Invalid API-key, IP, or permissions for action.", "ambiguous"),
        ("I am a teapot", "unexpected"),
    ],
)
def test_refusal_in_the_reason_phrase_alone(
    simulator: Simulator, reason: str, problem: str
) -> None:
    for call in BYBIT.calls:
        if call.signed:
            simulator.answer("GET", call.path, 401, "", reason=reason)
    assert inspect(sample("bybit", "good")).problem == problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<html>... configured to block access from your country. ...</html>", "restricted"),
        ("<html>access too frequent, please try again later</html>", "rate_limited"),
        ("<html>Forbidden</html>", "ambiguous"),
        ("", "ambiguous"),
        ({"retCode": 403, "retMsg": "access too frequent"}, "rate_limited"),
        ({"retCode": 12345, "retMsg": "?"}, "ambiguous"),
    ],
)
def test_status_403_is_told_by_its_text(simulator: Simulator, body: Any, problem: str) -> None:
    simulator.answer("GET", KEY_PATH, 403, body)
    assert inspect(sample("bybit", "good")).problem == problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"retCode": 10001, "retMsg": "accountType only support UNIFIED"}, "unexpected"),
        ({"retCode": "10003", "retMsg": "API key is invalid."}, "invalid_key"),
        ({"retCode": 10007, "retMsg": "User authentication failed."}, "ambiguous"),
        ({"retCode": 10009, "retMsg": "IP has been banned."}, "ambiguous"),
        ({"retCode": 10018, "retMsg": "Exceeded the IP Rate Limit."}, "rate_limited"),
        ({"retCode": 10000, "retMsg": "Server Timeout"}, "unavailable"),
        ({"retCode": 0, "retMsg": "OK", "result": {}}, "unexpected"),
        ({"retCode": False, "result": {"permissions": {}}}, "unexpected"),
        ({"retCode": 987654, "retMsg": "?", "result": {"permissions": {}}}, "unexpected"),
    ],
)
def test_further_codes_with_status_200(body: Any, problem: str) -> None:
    assert BYBIT.verdict(BYBIT.key_call, Answer(200, body)).problem == problem


def told_of(simulator: Simulator, **result: Any) -> Permissions:
    """What is read when the key endpoint tells this beside what it told of a good key."""
    key = sample("bybit", "good_futures")
    headers = headers_of(key, "", simulator.world.now_ms())
    body = send(simulator, "GET", HOST, KEY_PATH, "", headers).json()
    body["result"] = {
        name: value for name, value in {**body["result"], **result}.items() if value != "gone"
    }
    simulator.answer("GET", KEY_PATH, 200, body)
    return inspect(key).facts.permissions


LISTS: dict[str, Any] = {"Spot": ["SpotTrade"], "ContractTrade": ["Order", "Position"]}


def test_read_only_wins_over_the_lists(simulator: Simulator) -> None:
    may = told_of(simulator, readOnly=1, permissions={**LISTS, "Wallet": ["Withdraw"]})
    assert may.read is True
    writing = (may.spot_trade, may.futures_trade, may.margin, may.transfer, may.withdraw)
    assert writing == (False,) * 5
    assert "readOnly 1" in may.evidence["withdraw"]


@pytest.mark.parametrize("flag", ["gone", None, "0", "1", 2, [1]])
def test_unclear_flag_leaves_trading_unknown_and_withdrawing_forbidden(
    simulator: Simulator, flag: Any
) -> None:
    may = told_of(simulator, readOnly=flag)
    assert (may.spot_trade, may.futures_trade, may.withdraw) == (None, None, False)
    assert told_of(simulator, readOnly=flag, permissions={"Wallet": ["Withdraw"]}).withdraw is True


@pytest.mark.parametrize(
    ("permissions", "withdraw"),
    [
        ({**LISTS, "Wallet": []}, False),
        ({**LISTS, "Wallet": ["AccountTransfer", "SubMemberTransferList"]}, False),
        ({**LISTS, "Wallet": [], "Exchange": ["ExchangeHistory"], "Earn": ["Earn"]}, False),
        ({**LISTS, "Wallet": ["Withdraw"]}, True),
        ({**LISTS, "Wallet": ["WithdrawToBook"]}, None),
        ({**LISTS, "Wallet": [], "Vault": ["Vault"]}, None),
        ({**LISTS, "Wallet": None}, None),
        ({**LISTS, "Wallet": [7]}, None),
        (LISTS, None),
        ({}, None),
        ({**LISTS, "Wallet": [], "FiatP2P": ["FiatP2POrder"]}, None),
    ],
)
def test_withdrawing_is_denied_by_a_list_that_was_understood_alone(
    simulator: Simulator, permissions: Any, withdraw: bool | None
) -> None:
    assert told_of(simulator, permissions=permissions).withdraw is withdraw


def test_futures_that_a_site_refuses_are_closed(simulator: Simulator) -> None:
    refusal = {"retCode": 10024, "retMsg": "Compliance rules triggered", "result": {}}
    simulator.answer("GET", "/v5/position/list", 200, refusal)
    report = inspect(sample("bybit", "good_futures"))
    assert report.facts.permissions.closed == ("futures",)
    assert report.facts.permissions.ready_for == ("spot",)


@pytest.mark.parametrize(
    ("moment", "days", "ends"),
    [
        ("1970-01-01T00:00:00Z", -2, None),
        ("2027-01-01T00:00:00Z", -2, None),
        ("2026-12-22T07:20:25Z", 88, datetime(2026, 12, 22, 7, 20, 25, tzinfo=UTC)),
        ("2026-12-22T07:20:25Z", None, datetime(2026, 12, 22, 7, 20, 25, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", 10, datetime(2026, 10, 4, 12, tzinfo=UTC)),
        ("soon", 10, datetime(2026, 10, 4, 12, tzinfo=UTC)),
        (None, None, None),
        ("1970-01-01T00:00:00Z", 0, None),
        (5, True, None),
        ("0001-01-01T00:00:00+14:00", -1, None),
    ],
)
def test_end_of_a_key(moment: Any, days: Any, ends: datetime | None) -> None:
    assert bybit_rights.end(moment, days, NOW) == ends


@pytest.mark.parametrize(
    ("ips", "kind", "restricted"),
    [
        (["203.0.113.7"], 1, True),
        (["*"], 1, False),
        ([], 1, False),
        (["*"], 2, None),
        (["*"], None, None),
        ("203.0.113.7", 1, None),
        (None, 1, None),
        ([7], 1, None),
    ],
)
def test_addresses_of_a_key(ips: Any, kind: Any, restricted: bool | None) -> None:
    assert bybit_rights.restricted(bybit_rights.addresses(ips), kind) is restricted


def test_what_is_told_of_a_good_key(simulator: Simulator) -> None:
    report = inspect(sample("bybit", "good_futures"))
    facts, may = report.facts, report.facts.permissions
    assert may.as_dict() == {
        **dict.fromkeys(("read", "spot_trade", "futures_trade"), True),
        **dict.fromkeys(("transfer", "withdraw"), False),
        "margin": None,
    }
    assert set(may.evidence) == set(may.NAMES)
    assert (facts.uid, facts.label) == ("209302839", "BackFuture")
    assert (facts.ips, facts.expires_at) == (("203.0.113.7", "203.0.113.8"), None)
    assert facts.created_at == sample("bybit", "good_futures").created_at
    assert {each.currency: (each.free, each.used) for each in report.balances} == {
        "BTC": ("0.015", "0"),
        "USDT": ("1250.5", "100"),
    }


def test_money_of_an_account_that_was_never_made_unified_is_read(simulator: Simulator) -> None:
    report = inspect(sample("bybit", "classic"))
    assert {each.currency for each in report.balances} == {"BTC", "USDT"}
    assert len(simulator.requests_to(WALLET)) == 2


def test_amounts_stay_exact(simulator: Simulator) -> None:
    coin = {"coin": "SHIB", "walletBalance": "1234567890123456789012345.000000000000000001"}
    body = {"retCode": 0, "result": {"list": [{"coin": [coin, {"coin": "X", "locked": "1e9"}, 7]}]}}
    [shib, odd] = BYBIT.balance_rows(Answer(200, body))
    assert shib == {"currency": "SHIB", "free": coin["walletBalance"], "used": "0"}
    assert odd == {"currency": "X", "free": "0", "used": "0"}


# --- what people paste ---------------------------------------------------------------------------


def cleaned(secret: str) -> pasting.Pasted:
    return pasting.clean(BYBIT, {"api_key": sample("bybit", "rsa").api_key, "secret": secret})


def test_private_key_is_taken_in_every_form_people_paste(simulator: Simulator) -> None:
    key = sample("bybit", "rsa")
    in_one_line = key.secret.replace("\n", " ").strip()
    for form in (key.secret, key.secret.replace("\n", "\r\n"), repr(key.secret), in_one_line):
        taken = cleaned(form).credentials
        assert taken
        assert taken.secret == key.secret
    assert inspect(replace(key, secret=cleaned(in_one_line).credentials.secret)).outcome


def test_private_key_of_another_kind_is_refused_before_any_network() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert "RSA" in cleaned(other.decode()).faults["secret"]
    cut_off = sample("bybit", "rsa").secret[:-40]
    assert cleaned(cut_off).faults["secret"]
    assert cleaned(sample("bybit", "good").secret).credentials
