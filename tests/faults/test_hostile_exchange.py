"""An exchange that answers what no exchange should: the worker ends, stays small, believes nothing.

Each mode is tried with the limits of the product, at two exchanges that take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from connections import exchanges
from tests import canary
from tests.faults.inspecting import inspect
from tests.faults.sites import assert_no_key_in
from tests.running import ROOT
from tests.simulator import KeySpec, Simulator, sample
from tests.simulator.hostile import MODES

pytestmark = pytest.mark.faults

MOST_SECONDS, MOST_MB = 25, 64
REDIRECTS = (301, 302, 303, 307, 308)
VALID = {"connected", "warnings"}
# Coinbase's secret is a private key and cannot be made of marks.
MARKED = [code for code in exchanges.EXCHANGES if code != "coinbase"]


def test_every_hostile_answer_ends_in_time_in_little_memory_and_proves_nothing(
    simulator: Simulator, tell
):
    keys = [
        marked(simulator, MARKED[(2 * number + turn) % len(MARKED)], fault=mode)
        for number, mode in enumerate(MODES)
        for turn in range(2)
    ]
    output = inspect_apart(simulator, keys)
    ended = [json.loads(line) for line in output.splitlines()]
    assert {each["name"] for each in ended} == {named(key) for key in keys}
    for each in ended:
        assert each["seconds"] < MOST_SECONDS, each
        assert each["grown_mb"] < MOST_MB, each
        assert each["outcome"] not in VALID, each
        # Beside NaN for numbers, what the key may do is told in words that can be trusted.
        assert not each["ready_for"] or "nan" in each["name"], each
    assert not [seen for seen in simulator.log if seen.host == "collector.example"]
    assert_no_key_in({"output": output.encode()}, keys)
    slowest = max(ended, key=lambda each: each["seconds"])
    largest = max(ended, key=lambda each: each["grown_mb"])
    outcomes = Counter(each["problem"] or each["outcome"] for each in ended)
    tell(
        f"{len(MODES)} modes, {len(ended)} inspections; slowest {slowest['name']} "
        f"{slowest['seconds']:.1f} s, largest {largest['name']} +{largest['grown_mb']:.0f} MB; "
        f"{dict(outcomes)}; 0 requests to the redirect's target"
    )


def test_redirect_to_a_thief_is_never_followed(simulator: Simulator, tell):
    with thief() as (url, visits):
        verdicts = set()
        for status in REDIRECTS:
            simulator.answer("*", "*", status, "", headers={"Location": url})
            for code in MARKED:
                key = marked(simulator, code)
                report = inspect(code, key.api_key, key.secret, key.passphrase)
                verdicts.add(report.problem)
                assert report.outcome not in VALID
    assert visits == []
    tell(
        f"{len(REDIRECTS)} kinds of redirect at {len(MARKED)} exchanges: 0 requests to the "
        f"thief, found {', '.join(sorted(verdicts))}"
    )


def marked(simulator: Simulator, code: str, **fields) -> KeySpec:
    """A good key, but for `fields`, of values that are looked for afterwards."""
    typed = canary.credentials(code)
    values = {"api_key": typed.api_key, "secret": typed.secret, "passphrase": typed.passphrase}
    key = replace(sample(code, "good"), scenario="faults", **values, **fields)
    simulator.add(key)
    return key


def inspect_apart(simulator: Simulator, keys: list[KeySpec]) -> str:
    """What inspecting.py prints; a sample key goes first."""
    known = [sample("kucoin", "good"), *keys]
    typed = [[key.exchange, key.api_key, key.secret, key.passphrase] for key in known]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.inspecting"],
        input=json.dumps([[named(key), each] for key, each in zip(known, typed, strict=True)]),
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "EXCHANGE_GATEWAY_URL": simulator.url,
        },
        capture_output=True,
        text=True,
        timeout=2 * MOST_SECONDS,
    )
    assert_no_key_in({"errors": done.stderr.encode()}, keys)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def named(key: KeySpec) -> str:
    return f"{key.fault} at {key.exchange}"


@contextmanager
def thief() -> Iterator[tuple[str, list[str]]]:
    """Another server, and the paths it was asked for."""
    visits: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            visits.append(self.rfile.readline(200).decode(errors="replace"))
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/collect", visits
        server.shutdown()
