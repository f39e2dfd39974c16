"""The command `audit_keys`, called as an operator calls it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from backfuture.accounts.models import User
from connections.models import Connection, Exchange, Finding
from connections.rules import RULES
from tests import making


def run(*words: str) -> tuple[str, int]:
    """What it prints, and its exit code."""
    out = io.StringIO()
    try:
        call_command("audit_keys", *words, stdout=out)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def document(*words: str) -> dict[str, Any]:
    return json.loads(run("--json", *words)[0])


def made_known(connection: Connection, **fields: Any) -> Connection:
    """With a key that gives no reason for a finding, but for `fields`."""
    usual = {"status": "connected", "tested_at": timezone.now(), "ip_restricted": True}
    usual |= {"permissions": making.GOOD.to_store(), "key_created_at": timezone.now()}
    Connection.objects.filter(pk=connection.pk).update(**{**usual, **fields})
    return connection


@pytest.fixture
def refused(connection: Connection) -> Connection:
    return made_known(connection, status="refused", problem="withdrawal_enabled")


def test_nothing_found_is_said(connection: Connection) -> None:
    made_known(connection)
    text, code = run()
    assert "Audited: 0 opened, 0 reopened, 0 changed, 0 resolved." in text
    assert "No finding stands." in text
    assert code == 0


def test_it_judges_and_says_what_is_wrong_in_words(refused: Connection) -> None:
    made_known(refused, status="refused", problem="withdrawal_enabled", ip_restricted=False)
    text, _code = run()
    assert "Audited: 2 opened" in text
    for words in (
        "Critical: 1\n",
        "Withdrawal is enabled: MEXC Spot Main, MEXC, trader@example.com",
        "The key may withdraw funds from MEXC.",
        "Warning: 1\n",
        "No IP restriction: MEXC Spot Main",
    ):
        assert words in text, words
    assert text.index("Critical") < text.index("Warning")


@pytest.mark.parametrize(
    ("state", "code"),
    [("open", 1), ("acknowledged", 1), ("snoozed", 1), ("suppressed", 0), ("resolved", 0)],
)
def test_exit_code_counts_what_nobody_decided_to_leave(
    connection: Connection, state: str, code: int
) -> None:
    later = timezone.now() + timedelta(days=3) if state == "snoozed" else None
    Finding.objects.create(
        connection=connection,
        rule="withdraw_enabled",
        severity=40,
        state=state,
        snoozed_until=later,
    )
    text, given = run("--no-run")
    assert given == code
    assert ("Withdrawal is enabled" in text) == bool(code)
    assert (f"({state})" in text) == (state in {"acknowledged", "snoozed"})


@pytest.mark.parametrize(("severity", "code"), [(10, 0), (20, 0), (30, 0), (40, 1)])
def test_only_critical_ones_change_the_exit_code(
    connection: Connection, severity: int, code: int
) -> None:
    Finding.objects.create(connection=connection, rule="withdraw_enabled", severity=severity)
    assert run("--no-run")[1] == run("--no-run", "--json")[1] == code


def test_no_run_judges_nothing(refused: Connection) -> None:
    text, code = run("--no-run")
    assert not Finding.objects.exists()
    assert "Audited" not in text
    assert code == 0


class TestNarrowed:
    @pytest.fixture
    def other(self, stranger: User, mexc: Exchange) -> Connection:
        return made_known(making.connection(stranger, mexc, "Strange"), ip_restricted=False)

    def test_to_one_owner_it_judges_theirs_alone(
        self, refused: Connection, other: Connection
    ) -> None:
        text, code = run("--owner", "Stranger@Example.com")
        assert "Strange" in text
        assert "MEXC Spot Main" not in text
        assert code == 0
        assert not refused.findings.exists()
        assert run("--owner", "trader@example.com")[1] == 1

    def test_to_some_rules(self, refused: Connection, other: Connection) -> None:
        text, code = run("--rule", "no_ip_restriction", "unused")
        assert "Withdrawal" not in text
        assert "No IP restriction" in text
        assert code == 0
        found = document("--rule", "no_ip_restriction", "--rule", "withdraw_enabled")["findings"]
        assert {each["rule"] for each in found} == {"no_ip_restriction", "withdraw_enabled"}

    def test_an_owner_without_connections_has_no_findings(self, staff: User) -> None:
        assert "No finding stands." in run("--owner", staff.email)[0]


class TestWrongUsage:
    def test_a_rule_nobody_knows_names_those_there_are(self, db: None) -> None:
        with pytest.raises(CommandError) as caught:
            run("--rule", "nonsense")
        assert caught.value.returncode == 2
        assert "No rule is called nonsense." in str(caught.value)
        assert all(code in str(caught.value) for code in RULES)

    def test_an_owner_nobody_knows(self, db: None) -> None:
        with pytest.raises(CommandError) as caught:
            run("--owner", "nobody@example.com")
        assert caught.value.returncode == 2
        assert "Nobody here has the e-mail address nobody@example.com." in str(caught.value)

    def test_nothing_is_judged_then(self, refused: Connection) -> None:
        with pytest.raises(CommandError):
            run("--rule", "nonsense")
        assert not Finding.objects.exists()

    def test_help_says_what_the_exit_code_counts(self, capsys: Any) -> None:
        with pytest.raises(SystemExit):
            call_command("audit_keys", "--help")
        text = " ".join(capsys.readouterr().out.split())
        assert "open, acknowledged or snoozed" in text
        assert "Suppressed ones are left out" in text
        assert "exit code is 1" in text


class TestJson:
    def test_it_is_one_document_with_everything(self, refused: Connection) -> None:
        made = document()
        [found] = made["findings"]
        assert made["counts"] == {"critical": 1, "high": 0, "warning": 0, "info": 0}
        assert made["audited"] == {"opened": 1, "reopened": 0, "changed": 0, "resolved": 0}
        assert found["advice"]
        assert found | {"advice": [], "what": ""} == {
            "rule": "withdraw_enabled",
            "severity": "critical",
            "state": "open",
            "owner": "trader@example.com",
            "connection": "MEXC Spot Main",
            "connection_id": str(refused.pk),
            "exchange": "mexc",
            "title": "Withdrawal is enabled",
            "what": "",
            "advice": [],
            "link": "https://www.mexc.com/user/openapi",
            "first_seen_at": found["first_seen_at"],
            "state_since": found["first_seen_at"],
            "snoozed_until": None,
            "regressions": 0,
        }
        assert made["at"][:16] == found["first_seen_at"][:16]

    def test_without_findings_and_without_a_run(self, db: None) -> None:
        made = document("--no-run")
        assert (made["findings"], made["audited"]) == ([], None)

    def test_several_are_a_list(self, refused: Connection) -> None:
        made_known(refused, status="refused", problem="withdrawal_enabled", ip_restricted=False)
        assert [each["severity"] for each in document()["findings"]] == ["critical", "warning"]


def test_no_byte_of_a_key_is_printed(trader: User, mexc: Exchange) -> None:
    key = making.credentials()
    made = making.connection(trader, mexc, "Sealed", key)
    for rule in RULES:
        Finding.objects.create(
            connection=made, rule=rule, severity=20, until=timezone.now(), amount=1
        )
    for words in (["--no-run"], ["--no-run", "--json"]):
        text, _code = run(*words)
        for value in (key.api_key, key.secret, made.credentials.get().fingerprint):
            assert value not in text
