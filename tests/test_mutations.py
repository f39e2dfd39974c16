"""Answers nobody has seen: every answer of a good test, mutated. Whatever comes, the inspection
ends by itself, and claims neither a right nor its absence without the word for it."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connections import exchanges
from connections.exchanges import client, inspection
from connections.exchanges.base import MAIN, Answer, Call, Credentials, KeyReport, Site
from tests.expectations import PROBLEMS_OF_KEYS
from tests.simulator import KeySpec, Simulator, sample

Answers = dict[str, Answer]


def pasted(key: KeySpec) -> Credentials:
    return Credentials(key.api_key, key.paste_secret, key.paste_passphrase)


@pytest.fixture(scope="module")
def good_answers(running_simulator: Simulator) -> dict[str, Answers]:
    """Every answer that the test of a good key with all rights gets, by exchange and call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(django_settings, "EXCHANGE_GATEWAY_URL", running_simulator.url)
        return {
            code: asyncio.run(record(sample(code, "good_futures"))) for code in exchanges.EXCHANGES
        }


async def record(key: KeySpec) -> Answers:
    exchange, credentials = exchanges.get(key.exchange), pasted(key)
    seen: Answers = {}
    async with client.Client() as session:

        def at(site: Site) -> Callable[..., Any]:
            async def ask(call: Call, params: Mapping[str, str]) -> Answer:
                seen[str(call)] = await session.send(exchange, call, params, credentials, site)
                return seen[str(call)]

            return ask

        await inspection.Inspection(exchange, credentials, at, client.read_balances).run()
    return seen


def replay(code: str, answers: Answers, scenario: str = "good_futures") -> KeyReport:
    """The same test with these answers, at the main site alone."""
    exchange, credentials = exchanges.get(code), pasted(sample(code, scenario))
    nothing = Answer(status=404, failure="not_json")

    def at(site: Site) -> Callable[..., Any]:
        async def ask(call: Call, params: Mapping[str, str]) -> Answer:
            return answers.get(str(call), nothing) if site == MAIN else nothing

        return ask

    return asyncio.run(inspection.Inspection(exchange, credentials, at, client.read_balances).run())


# --- mutations -------------------------------------------------------------------------------

odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(allow_nan=False),
    st.text(max_size=30),
    st.sampled_from(["yes", "no", "true", "SUPER_RIGHT", "withdraw_v2", "", "0", "1e999", "\x00"]),
    st.builds(list),
    st.builds(dict),
    st.builds(lambda: [[[[[{}]]]]]),
    st.builds(lambda: {"data": {"data": {"data": []}}}),
)


def places(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself first."""
    found = [path]
    if isinstance(body, dict):
        for name in body:
            found += places(body[name], (*path, name))
    elif isinstance(body, list):
        for index, item in enumerate(body[:6]):
            found += places(item, (*path, index))
    return found


@st.composite
def mutations(draw: Any, body: Any) -> Any:
    """A copy of `body` with up to three things dropped, replaced, added to or doubled."""
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        body = _mutate(draw, body, draw(st.sampled_from(places(body))))
    return body


def _mutate(draw: Any, body: Any, path: tuple[Any, ...]) -> Any:
    value = copy.deepcopy(draw(odd_values))  # drawn constants are shared between examples
    if not path:
        return draw(st.sampled_from([value, [body], {"data": body}]))
    owner = body
    for step in path[:-1]:
        owner = owner[step]
    how = draw(st.sampled_from(["drop", "replace", "word", "wrap", "cut"]))
    old = owner[path[-1]]
    if how == "drop":
        del owner[path[-1]]
    elif how == "word" and isinstance(old, str):
        owner[path[-1]] = f"{old},{value}"
    elif how == "word" and isinstance(old, list):
        owner[path[-1]] = [*old, value]
    elif how == "cut" and isinstance(old, str):
        owner[path[-1]] = old[: len(old) // 2]
    else:
        owner[path[-1]] = [old] if how == "wrap" else value
    return body


# --- what may be claimed ---------------------------------------------------------------------

# Right -> any of these, in lower case, must stand in the answers before it may be a "yes".
GRANTED_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "mexc": {
        "read": ("account_r", "balances", "availablebalance"),
        "spot_trade": ("spot_deal_w",),
        "futures_trade": ("contract_deal_w",),
        "margin": ("margin_deal_w",),
        "transfer": ("transfer_w",),
        "withdraw": ("withdraw_w",),
    },
    "kucoin": {
        "read": ("general", "available"),
        "spot_trade": ("spot", "trade"),
        "futures_trade": ("futures", "trade"),
        "margin": ("margin",),
        "transfer": ("innertransfer",),
        "withdraw": ("transfer", "withdraw"),
    },
    "binance": {
        "read": ('"enablereading": true', '"balances"', '"assets"'),
        "spot_trade": ('"enablespotandmargintrading": true',),
        "futures_trade": ('"enablefutures": true',),
        "margin": ('"enablemargin": true',),
        "transfer": ('"enableinternaltransfer": true', '"permitsuniversaltransfer": true'),
        "withdraw": ('"enablewithdrawals": true',),
    },
    "bitget": {
        "read": ("stor", "coor", "cpor", "uta_", "available"),
        "spot_trade": ("stow", "uta_trade"),
        "futures_trade": ("coow", "uta_trade"),
        "margin": ("smow",),
        "transfer": ("wtow",),
        "withdraw": ("wwow", "withdraw"),
    },
    "gate": {
        "read": ('"spot"', '"futures"', "available"),
        "spot_trade": ('"spot"',),
        "futures_trade": ('"futures"',),
        "margin": ('"margin"',),
        "transfer": ('"wallet"',),
        "withdraw": ("withdraw",),
    },
    "htx": {
        "read": ("readonly", '"list"', '"type": "spot"', '"id"'),
        "spot_trade": (",trade", '"trade,', '"permission": "trade'),
        "futures_trade": (",trade", '"trade,', '"permission": "trade'),
        "margin": (",trade", '"trade,', '"permission": "trade'),
        "transfer": (),
        "withdraw": ("withdraw",),
    },
    "bingx": {
        "read": ('"enablereading": true', '"permissions"', '"balances"', '"availablemargin"'),
        "spot_trade": ('"enablespotandmargintrading": true', '"permissions"'),
        "futures_trade": ('"enablefutures": true', '"permissions"'),
        "margin": ('"enablespotandmargintrading": true',),
        "transfer": ('"permitsuniversaltransfer": true', '"permissions"'),
        "withdraw": ('"enablewithdrawals": true', '"permissions"'),
    },
    "okx": {
        "read": ("read", "availbal", "details"),
        **dict.fromkeys(("spot_trade", "futures_trade", "margin", "transfer"), ("trade",)),
        "withdraw": ("withdraw",),
    },
    "coinbase": {
        "read": ('"can_view": true', '"accounts"'),
        **dict.fromkeys(("spot_trade", "futures_trade"), ('"can_trade": true',)),
        "margin": ("nothing grants it",),
        "transfer": ('"can_transfer": true',),
        "withdraw": ('"can_transfer": true', '"can_withdraw": true'),
    },
    "bybit": {
        "read": ("spottrade", "order", "position", "derivativestrade", "transfer", "walletbalance"),
        "spot_trade": ("spottrade",),
        "futures_trade": ("order", "derivativestrade"),
        "margin": ("nothing grants it",),
        "transfer": ("transfer",),
        "withdraw": ("withdraw",),
    },
}


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
def test_good_answers_replayed_give_a_good_report(good_answers, code):
    report = replay(code, good_answers[code])
    assert report.outcome in {"connected", "warnings"}


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_mutated_answer_is_survived_and_proves_nothing_new(good_answers, caplog, code, data):
    caplog.clear()
    caplog.set_level(logging.ERROR)
    answers = dict(good_answers[code])
    call = data.draw(st.sampled_from(sorted(answers)))
    body = data.draw(mutations(answers[call].data))
    status = data.draw(st.sampled_from([200, 200, 200, 400, 401, 403, 500]))
    answers[call] = Answer(status, body, "", 1, answers[call].received_ms)

    report = replay(code, answers)

    assert not caplog.records, "a reader raised"
    assert report.problem == "" or report.problem in PROBLEMS_OF_KEYS
    assert report.problem != "ambiguous" or len(report.causes) >= 2
    _assert_words(code, report, answers)


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_json_at_all_is_survived(good_answers, caplog, code, data):
    caplog.clear()
    caplog.set_level(logging.ERROR)
    anything = st.recursive(
        odd_values,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["code", "data", "msg", "result", "label"]), inner)
        ),
        max_leaves=12,
    )
    answers = dict(good_answers[code])
    call = data.draw(st.sampled_from(sorted(answers)))
    answers[call] = Answer(200, data.draw(anything), "", 1, answers[call].received_ms)
    report = replay(code, answers)
    assert not caplog.records, "a reader raised"
    _assert_words(code, report, answers)


def _assert_words(code: str, report: KeyReport, answers: Answers) -> None:
    heard = json.dumps([answer.data for answer in answers.values()], default=str).lower()
    for name, value in report.facts.permissions.as_dict().items():
        if value is True:
            assert any(word in heard for word in GRANTED_BY[code][name]), name


@pytest.mark.parametrize("code", exchanges.EXCHANGES)
def test_one_unknown_word_takes_every_no_about_withdrawing_back(simulator: Simulator, code):
    """With a word nobody knows in its list, or its flag gone, withdrawing is unknown, never no."""
    answers = asyncio.run(record(sample(code, "unknown_word")))
    report = replay(code, answers, "unknown_word")
    assert report.facts.permissions.withdraw is None
