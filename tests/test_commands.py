"""The commands, called as an operator calls them."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.simulator import SAMPLE_KEYS, sample

ROOT = Path(__file__).resolve().parent.parent


def line_of(key, **fields) -> str:
    values = {
        "id": f"{key.exchange} {key.scenario}",
        "exchange": key.exchange,
        "api_key": key.api_key,
        "secret": key.paste_secret,
        "passphrase": key.paste_passphrase,
    }
    return json.dumps(values | fields)


def inspect(monkeypatch, *lines: str) -> list[dict]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    out = io.StringIO()
    try:
        call_command("inspect_keys", stdout=out)
    finally:
        inspect.out = out.getvalue()
    return [json.loads(line) for line in inspect.out.splitlines()]


CODES = {
    "invalid_key",
    "bad_secret",
    "bad_passphrase",
    "ip_not_allowed",
    "no_permission",
    "key_expired",
    "key_disabled",
    "clock_skew",
    "rate_limited",
    "unavailable",
    "restricted",
    "ambiguous",
    "unexpected",
}


class TestInspectKeys:
    def test_reports_come_in_the_order_of_the_lines(self, monkeypatch, simulator):
        keys = [key for key in SAMPLE_KEYS if not key.fault and key.scenario != "slow"]
        reports = inspect(monkeypatch, *(line_of(key) for key in keys))
        assert [report["id"] for report in reports] == [
            f"{key.exchange} {key.scenario}" for key in keys
        ]
        for report in reports:
            assert report["outcome"] in {"connected", "warnings", "refused", "failed"}
            assert report["problem"] is None or report["problem"] in CODES
            assert (report["outcome"] == "failed") == bool(report["problem"])
            assert set(report["causes"]) <= CODES

    def test_report_has_every_field(self, monkeypatch, simulator):
        (report,) = inspect(monkeypatch, line_of(sample("kucoin", "good"), id="a"))
        assert report["outcome"] == "connected"
        assert report["permissions"] == {
            "read": True,
            "spot_trade": True,
            "futures_trade": False,
            "margin": False,
            "transfer": False,
            "withdraw": False,
        }
        assert report["ip_restricted"] is True
        assert report["created_at"].endswith("Z")
        assert report["uid"]
        assert {"name", "ok", "ms", "http_status", "code"} == set(report["steps"][0])

    def test_refusal_names_no_problem_but_says_what_to_do(self, monkeypatch, simulator):
        (report,) = inspect(monkeypatch, line_of(sample("mexc", "withdraw")))
        assert (report["outcome"], report["problem"]) == ("refused", None)
        assert report["title"] == "Refused: withdrawal is enabled"
        assert "Untick Withdraw" in report["advice"]

    @pytest.mark.parametrize(
        "bad", ["not json", "[]", '{"id": "x", "exchange": "mtgox"}', '{"id": "x"}']
    )
    def test_one_bad_line_never_stops_the_rest(self, monkeypatch, simulator, bad):
        with pytest.raises(CommandError) as caught:
            inspect(monkeypatch, bad, line_of(sample("mexc", "good")))
        assert caught.value.returncode == 2
        first, second = (json.loads(line) for line in inspect.out.splitlines())
        assert first["error"]
        assert second["outcome"] == "connected"

    @pytest.mark.parametrize("bad_id", [r"\ud800", None, True])
    def test_odd_ids_are_given_back_as_json(self, monkeypatch, simulator, bad_id):
        line = line_of(sample("mexc", "deleted")).replace('"mexc deleted"', json.dumps(bad_id))
        (report,) = inspect(monkeypatch, line.replace("\\\\u", "\\u"))
        assert report["problem"] == "invalid_key"

    def test_values_that_cannot_be_a_key_are_a_finding(self, monkeypatch, simulator):
        key = sample("kucoin", "good")
        reports = inspect(
            monkeypatch,
            line_of(key, api_key="a b"),
            line_of(key, secret=""),
            line_of(key, passphrase=None),
            line_of(key, secret=7),
        )
        assert [report["problem"] for report in reports] == [
            "invalid_key",
            "bad_secret",
            "bad_passphrase",
            "bad_secret",
        ]
        assert not simulator.log

    def test_needs_no_database(self, simulator):
        """As a command of its own, with a database that nobody answers at."""
        done = subprocess.run(
            [sys.executable, "manage.py", "inspect_keys"],
            cwd=ROOT,
            input=line_of(sample("mexc", "good")) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "backfuture.settings",
                "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
                "EXCHANGE_GATEWAY_URL": simulator.url,
            },
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outcome"] == "connected"

    def test_caller_may_wait_for_each_report(self, simulator):
        """A program that keeps the pipe open and reads before it writes on."""
        asked = subprocess.Popen(
            [sys.executable, "manage.py", "inspect_keys"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "backfuture.settings",
                "EXCHANGE_GATEWAY_URL": simulator.url,
            },
        )
        for scenario in ("good", "read_only"):
            asked.stdin.write(line_of(sample("mexc", scenario), id=scenario) + "\n")
            asked.stdin.flush()
            assert json.loads(asked.stdout.readline())["id"] == scenario
        asked.stdin.close()
        assert asked.wait(20) == 0


class TestKeysCreate:
    def create(self, folder: Path) -> None:
        call_command(
            "keys",
            "create",
            env_file=folder / ".env",
            private_file=folder / "keys" / "private.json",
            stdout=io.StringIO(),
        )

    def test_files_are_private(self, tmp_path):
        self.create(tmp_path)
        for file in (tmp_path / ".env", tmp_path / "keys" / "private.json"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_private_key_is_not_in_the_environment_file(self, tmp_path):
        self.create(tmp_path)
        (private,) = json.loads((tmp_path / "keys" / "private.json").read_text()).values()
        assert private not in (tmp_path / ".env").read_text()

    def test_existing_keys_are_never_overwritten(self, tmp_path):
        self.create(tmp_path)
        before = (tmp_path / ".env").read_text()
        with pytest.raises(CommandError, match="never overwritten"):
            self.create(tmp_path)
        assert (tmp_path / ".env").read_text() == before

    def test_fresh_keys_pass_every_check(self, tmp_path):
        self.create(tmp_path)
        kept = ("PATH", "HOME", "LANG")
        done = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **{name: os.environ[name] for name in kept if name in os.environ},
                "ENV_FILE": str(tmp_path / ".env"),
                "VAR_DIR": str(tmp_path),
                "VAULT_PRIVATE_KEYS_FILE": str(tmp_path / "keys" / "private.json"),
                "BACKFUTURE_ROLE": "worker",
            },
        )
        assert done.returncode == 0, done.stderr
