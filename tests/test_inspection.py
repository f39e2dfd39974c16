"""Tests of keys over real HTTP against the simulator: every scenario, every recorded answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from connections import exchanges
from connections.exchanges import client, inspection
from connections.exchanges.base import STEPS, Credentials, KeyReport
from tests.expectations import EXPECTATIONS, PROBLEMS_OF_KEYS, SCENARIOS
from tests.simulator import SAMPLE_KEYS, KeySpec, Simulator, sample

RECORDED = [
    case
    for file in sorted((Path(__file__).parent / "recorded").glob("*.json"))
    for case in json.loads(file.read_text())
    if case["exchange"] in exchanges.EXCHANGES
]


def pasted(key: KeySpec) -> Credentials:
    return Credentials(key.api_key, key.paste_secret, key.paste_passphrase)


def inspect(key: KeySpec, *, call_limit_s: float = 1.0, limit_s: float = 20.0) -> KeyReport:
    async def run() -> KeyReport:
        exchange = exchanges.get(key.exchange)
        async with client.Client(call_limit_s=call_limit_s) as session:
            credentials = pasted(key)
            return await inspection.Inspection(
                exchange,
                credentials,
                session.ask_as(exchange, credentials),
                client.read_balances,
                limit_s=limit_s,
            ).run()

    return asyncio.run(run())


QUICK = [key for key in SAMPLE_KEYS if key.scenario != "slow"]


@pytest.mark.parametrize("key", QUICK, ids=lambda key: f"{key.exchange}-{key.scenario}")
def test_each_scenario_ends_as_promised(simulator: Simulator, key: KeySpec):
    report = inspect(key)
    own = EXPECTATIONS[key.exchange].scenarios
    expected = own.get(key.scenario) or SCENARIOS[key.scenario]
    assert (report.outcome, report.problem) == expected
    assert not simulator.dangerous_requests
    if report.problem == "ambiguous":
        assert len(report.causes) >= 2
    if report.outcome not in {"connected", "warnings"}:
        assert not report.facts.permissions.ready_for or key.fault == "nan"


def test_slow_exchange_is_waited_for(simulator):
    key = next(key for key in SAMPLE_KEYS if key.scenario == "slow")
    simulator.change(key.api_key, delay_s=0.3)
    assert inspect(key).outcome == "connected"


def test_whole_test_ends_in_time_however_slow_the_exchange(simulator):
    key = next(key for key in SAMPLE_KEYS if key.scenario == "slow")
    simulator.change(key.api_key, delay_s=0.5)
    report = inspect(key, limit_s=0.8)
    assert (report.outcome, report.problem) == ("failed", "unavailable")
    assert all(step.ok is not None for step in report.steps)


@pytest.mark.parametrize("exchange", ["mexc", "kucoin"])
def test_good_key_shows_all_it_may_do_with_evidence(simulator, exchange):
    report = inspect(sample(exchange, "good_futures"))
    may = report.facts.permissions
    assert may.ready_for == ("spot", "futures")
    assert may.withdraw is False
    assert set(may.evidence) == set(may.NAMES)
    assert [step.name for step in report.steps] == list(STEPS)
    assert {(each.currency, each.markets): each.total for each in report.balances} == {
        ("BTC", ("spot",)): "0.015",
        ("USDT", ("spot",)): "1350.5",
        ("USDT", ("futures",)): "700",
    }
    assert report.facts.uid
    assert report.facts.ip_restricted is True
    assert abs(report.skew_ms or 0) < 1000


def test_withdrawal_switched_off_turns_refused_into_connected(simulator):
    key = sample("kucoin", "withdraw")
    assert inspect(key).outcome == "refused"
    simulator.change(key.api_key, permissions=("General", "Spot"))
    assert inspect(key).outcome == "connected"


def test_ip_that_the_exchange_saw_is_reported(simulator):
    assert inspect(sample("mexc", "wrong_ip")).seen_ip == "203.0.113.7"


def test_refused_key_is_used_no_further(simulator):
    inspect(sample("kucoin", "withdraw"))
    assert not simulator.requests_to("/api/v1/accounts")


def test_exchange_that_cannot_be_reached_is_unavailable(settings):
    settings.EXCHANGE_GATEWAY_URL = "http://127.0.0.1:9"
    report = inspect(sample("mexc", "good"))
    assert report.problem == "unavailable"
    assert [step.name for step in report.steps] == ["reachable"]


def test_our_clock_gone_wrong_is_found_before_the_key_is_used(simulator):
    simulator.answer("GET", "/api/v3/time", 200, {"serverTime": 1_600_000_000_000})
    report = inspect(sample("mexc", "good"))
    assert report.problem == "clock_skew"
    assert not simulator.requests_to("/api/v3/apiKeyInfo")


def test_closed_exchange_is_unavailable(simulator):
    body = {"code": "200000", "data": {"status": "close", "msg": "maintenance"}}
    simulator.answer("GET", "/api/v1/status", 200, body)
    assert inspect(sample("kucoin", "good")).problem == "unavailable"


@pytest.mark.parametrize(
    "body",
    [{"weird": 1}, {"code": "200000", "data": {"weird": 1}}, {"code": "600004", "msg": "region"}],
)
def test_futures_account_that_is_not_proven_opened_is_not_ready(simulator, body):
    simulator.answer("GET", "/api/v1/account-overview", 200, body)
    report = inspect(sample("kucoin", "good_futures"))
    assert report.outcome == "connected"
    assert report.facts.permissions.ready_for == ("spot",)
    assert [step.ok for step in report.steps if step.name == "products"] == [False]


def test_trouble_of_whoever_watches_is_not_blamed_on_the_exchange(simulator):
    async def broken(_) -> None:
        raise RuntimeError("database is locked")

    async def run() -> KeyReport:
        exchange, credentials = exchanges.get("mexc"), pasted(sample("mexc", "good"))
        async with client.Client() as session:
            ask_at = session.ask_as(exchange, credentials)
            test = inspection.Inspection(
                exchange, credentials, ask_at, client.read_balances, on_step=broken
            )
            return await test.run()

    assert asyncio.run(run()).outcome == "connected"


def test_gateway_is_refused_where_nobody_allowed_it(simulator, settings):
    settings.ALLOW_EXCHANGE_GATEWAY = False
    with pytest.raises(ImproperlyConfigured):
        inspect(sample("mexc", "good"))
    assert not simulator.log


def test_redirect_never_reaches_the_other_host(simulator):
    inspect(sample("kucoin", "redirect"))
    assert {seen.host for seen in simulator.log} == {"api.kucoin.com"}


# --- recorded answers ------------------------------------------------------------------------


def statuses(case: dict[str, Any]) -> list[int]:
    return [case["http_status"]] if case["http_status"] else [200, 400, 401]


REPLAYED = [
    pytest.param(case, status, id=f"{case['exchange']}-{case['id']}-{status}")
    for case in RECORDED
    for status in statuses(case)
    if case["id"] not in EXPECTATIONS[case["exchange"]].not_asked
]


@pytest.mark.parametrize(("case", "status"), REPLAYED)
def test_recorded_answer_is_read_right(simulator: Simulator, case: dict[str, Any], status: int):
    key = sample(case["exchange"], "good")
    expected = EXPECTATIONS[case["exchange"]]
    if case["id"] in expected.about:
        key = replace(key, api_key=expected.about[case["id"]])
        simulator.add(key)
    _serve(simulator, case, status)
    report = inspect(key)
    meaning = expected.argued.get(case["id"], (case["meaning"], ""))[0]
    if meaning == "ok":
        beyond = expected.unrecorded.get(case["id"], frozenset())
        told = {name: case["permissions"][name] for name in case["permissions"].keys() - beyond}
        _assert_permissions(report, told)
        return
    assert report.problem == meaning
    if meaning == "ambiguous":
        assert len(report.causes) >= 2


def _serve(simulator: Simulator, case: dict[str, Any], status: int) -> None:
    """A refusal answers every signed call at every site; a success answers its own call."""
    exchange, expected = exchanges.get(case["exchange"]), EXPECTATIONS[case["exchange"]]
    for method, path, other_status, body in expected.beside.get(case["id"], ()):
        simulator.answer(method, path, other_status, body)
    if case["meaning"] == "ok":
        method, path = case["request"]["method"], case["request"]["path"]
        path = path.partition("?")[0]
        path = path.replace("/api/ua/v1/user/api-key", exchange.key_call.path)  # KuCoin's twin
        simulator.answer(method, path, status, case["body"])
        return
    for call in exchange.calls:
        if call.signed:
            simulator.answer(call.method, call.path, status, case["body"])


NAMES = {"internal_transfer": "transfer", "universal_transfer": "transfer"}
NO_RULE_ASKS = {"portfolio_margin"}


def _assert_permissions(report: KeyReport, expected: dict[str, Any]) -> None:
    facts = report.facts
    for name, value in expected.items():
        if name in {"created_at", "expires_at"}:
            moment = getattr(facts, name)
            if isinstance(value, int):
                value = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            assert (moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ")) == value, name
        elif name == "ip_restricted":
            assert facts.ip_restricted is value
        elif value is not None and name not in NO_RULE_ASKS:
            assert getattr(facts.permissions, NAMES.get(name, name)) is value, name


def test_recorded_answers_are_replayed_but_for_a_few_that_are_argued():
    named = {case["id"] for case in RECORDED}
    refusals = [case for case in RECORDED if case["meaning"] not in {"ok", "ambiguous"}]
    argued = [name for each in EXPECTATIONS.values() for name in each.argued]
    assert set(argued) <= named
    assert all(set(each.not_asked) <= named for each in EXPECTATIONS.values())
    assert len(argued) <= 0.02 * len(refusals)


@pytest.mark.parametrize("status", ["open", "cancelonly"])
def test_recorded_service_status_is_reachable(simulator, status):
    body = {"code": "200000", "data": {"status": status, "msg": ""}}
    simulator.answer("GET", "/api/v1/status", 200, body)
    assert inspect(sample("kucoin", "good")).outcome == "connected"


# --- what may be sent ------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", exchanges.EXCHANGES.values(), ids=lambda each: each.code)
def test_nothing_on_the_allow_list_changes_anything(exchange):
    allowed = EXPECTATIONS[exchange.code].test_orders
    for call in exchange.calls:
        assert call.method == "GET" or (call.method, call.path) in allowed


def test_call_that_is_not_listed_is_never_sent(simulator):
    mexc = exchanges.get("mexc")
    edit = client.Call(
        "POST", "api.mexc.com", "/api/v3/apiKeyInfo", "apiKeyInfo", mexc.key_call.api
    )

    async def send() -> None:
        async with client.Client() as session:
            await session.send(mexc, edit, {}, pasted(sample("mexc", "good")))

    with pytest.raises(client.NotAllowed):
        asyncio.run(send())
    assert not simulator.log


ALL_CALLS = [
    pytest.param(exchange, call, id=f"{exchange.code} {call}")
    for exchange in exchanges.EXCHANGES.values()
    for call in sorted(exchange.calls, key=str)
]


@pytest.mark.parametrize(("exchange", "call"), ALL_CALLS)
def test_request_is_what_ccxt_itself_would_send(monkeypatch, exchange, call):
    signer = client._signer(exchange.code)
    monkeypatch.setattr(signer, "nonce", lambda: 1_790_274_000_000)
    monkeypatch.setattr(signer, "milliseconds", lambda: 1_790_274_000_000)
    monkeypatch.setattr(signer, "seconds", lambda: 1_790_274_000)
    monkeypatch.setattr(signer, "random_bytes", lambda length: "0" * length)
    credentials = pasted(sample(exchange.code, "good"))
    params = {**call.params, **dict.fromkeys(re.findall("{(.*?)}", call.path), "7")}
    ours = client.sign(exchange.code, call, params, credentials)

    sent: dict[str, Any] = {}

    def fetch(url, method, headers, body):
        sent.update(url=url, method=method, headers=headers, body=body)
        return {}

    monkeypatch.setattr(signer, "fetch", fetch)
    monkeypatch.setattr(signer, "throttle", lambda *args: None)
    if call.signed:
        signer.apiKey, signer.secret = credentials.api_key, credentials.secret
        signer.password = credentials.passphrase
    getattr(signer, _implicit(call))(dict(params))
    signer.apiKey = signer.secret = signer.password = ""
    assert sent == {name: ours[name] for name in sent}


def _implicit(call) -> str:
    words = re.sub("[{}]", "", re.sub("[-_]", "/", call.endpoint)).split("/")
    path = "".join(word[0].upper() + word[1:] for word in words)
    first, *rest = call.api
    return first + "".join(word.capitalize() for word in rest) + call.method.capitalize() + path


def crowd(code: str, size: int) -> list[KeySpec]:
    """Keys of one exchange that differ in every value that signs."""
    template = sample(code, "good")
    keys = []
    for number in range(size):
        tail = f"{number:04x}"
        # A private key cannot be varied like this; its name is part of what it signs.
        secret = template.secret if code == "coinbase" else template.secret[:-4] + tail
        values = {"api_key": template.api_key[:-4] + tail, "secret": secret}
        passphrase = f"Pass{number}word!" if template.passphrase else ""
        keys.append(replace(template, scenario=tail, passphrase=passphrase, **values))
    return keys


def test_500_keys_at_once_never_sign_for_each_other(simulator):
    by_code = [crowd(code, 50) for code in exchanges.EXCHANGES]
    keys = [key for keys in zip(*by_code, strict=True) for key in keys]  # in turn
    for key in keys:
        simulator.add(key)

    async def run() -> list[KeyReport]:
        async with client.Client(connections=100, call_limit_s=30) as session:

            def test(key: KeySpec) -> inspection.Inspection:
                exchange, credentials = exchanges.get(key.exchange), pasted(key)
                ask_at = session.ask_as(exchange, credentials)
                return inspection.Inspection(
                    exchange, credentials, ask_at, client.read_balances, limit_s=60
                )

            return await asyncio.gather(*(test(key).run() for key in keys))

    reports = asyncio.run(run())
    assert len(reports) == 50 * len(exchanges.EXCHANGES)
    assert {report.problem for report in reports} == {""}


def test_garbage_keys_are_a_finding_and_not_a_crash(simulator):
    for secret in ("\u0000", "ü", "=" * 300, "-----BEGIN"):
        key = KeySpec("mexc", "odd", "mx0odd", secret)
        assert inspect(key).problem in PROBLEMS_OF_KEYS


# --- leaks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", QUICK, ids=lambda key: f"{key.exchange}-{key.scenario}")
def test_nothing_of_a_key_is_in_logs_or_report(simulator, caplog, capfd, key):
    logging.getLogger().setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        report = inspect(key)
    output = capfd.readouterr()
    seen = caplog.text + repr(report) + output.out + output.err
    for value in (key.api_key, key.paste_secret, key.paste_passphrase):
        assert not value or value not in seen
