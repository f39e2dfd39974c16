"""The file for a ticket: enough to help, and nothing secret in any form."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import channels, diagnostics, replacing, worker
from connections.events import AccessEvent
from connections.exchanges.base import KeyFacts, Permissions, Step
from connections.models import Connection, Credential, Exchange, Finding
from tests import making
from tests.simulator import Simulator, sample

CANARIES = {
    "api_key": "mx0CANARYkeyq7Zx1",
    "secret": "CANARYsecret/q7+Zx=%zz",
    "passphrase": "CANARYpass phrase q7",
}
EVIDENCE = {"withdraw": "GET /api/v3/account: canWithdraw false"}


@pytest.fixture
def connection(trader: User, mexc: Exchange) -> Connection:
    """Failing, with all that a test can tell, what must not be told included."""
    made = making.connection(trader, mexc, "My own words", making.credentials(**CANARIES))
    may = Permissions(True, None, False, False, False, False, evidence=EVIDENCE)
    facts = KeyFacts(
        may,
        ip_restricted=True,
        ips=("198.51.100.200",),
        uid="uid-of-owner",
        label="label-of-owner",
    )
    steps = (
        Step("reachable", True, 12, "GET /api/v3/time", 200, at=1_795_000_000_000),
        Step("key", False, 34, "GET /api/v3/account", 403, "700006", at=1_795_000_000_050),
    )
    found = making.report(
        "failed",
        problem="ip_not_allowed",
        steps=steps,
        facts=facts,
        seen_ip="203.0.113.7",
        skew_ms=-120,
    )
    making.finish(made, found)
    Finding.objects.create(connection=made, rule="no_ip_restriction", severity=20)
    address = "jsons://chat.example.org/CANARYtoken"
    channels.add(owner=trader, name="Chat", address=address, now=timezone.now())
    return Connection.objects.for_list().get(pk=made.pk)


@pytest.fixture
def desk(staff: User, trader: User) -> Client:
    return making.say_why(making.desk(Client(), staff), trader)


def of_owner(browser: Client, connection: Connection) -> Any:
    return browser.post(reverse("connections:diagnostics", args=[connection.pk]))


def of_support(client: Client, connection: Connection) -> Any:
    path = reverse("admin:connections_connection_diagnostics", args=[connection.pk])
    return client.post(path)


def forms_of(secret: str) -> set[str]:
    """As it is, encoded, and turned around; pieces of it too."""
    raw = secret.encode()
    whole = {
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        secret[::-1],
    }
    return whole | {secret[start : start + 8] for start in range(len(secret) - 8)}


class TestNothingSecret:
    def test_neither_keys_nor_who_and_where_the_owner_is(
        self, browser: Client, desk: Client, connection: Connection, trader: User
    ) -> None:
        key = Credential.objects.get()
        assert key.sealed is not None
        hidden = {form for secret in CANARIES.values() for form in forms_of(secret)}
        hidden |= {trader.email, "198.51.100.200", "127.0.0.1", "uid-of-owner", "label-of-owner"}
        hidden |= {"CANARYtoken", "chat.example.org", key.fingerprint, "Mozilla"}
        hidden |= {key.sealed.token(None).decode()[:20]}  # type: ignore[arg-type]
        for answer in (of_owner(browser, connection), of_support(desk, connection)):
            text = answer.content.decode()
            assert not [one for one in hidden if one in text]
            assert not [one for one in hidden if one in str(answer.headers)]

    def test_sealed_values_are_not_even_loaded(
        self, connection: Connection, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(12) as captured:
            diagnostics.bundle(connection, now=timezone.now(), for_owner=True)
        assert not [query for query in captured if '"sealed"' in query["sql"]]

    def test_addresses_of_services_stay_at_home(
        self, connection: Connection, settings: Any
    ) -> None:
        settings.CELERY_BROKER_URL = "redis://:CANARYbroker@10.9.8.7:6379/0"
        found = diagnostics.bundle(connection, now=timezone.now(), for_owner=False)
        assert found["product"]["broker"] == "redis"
        assert "CANARY" not in str(found)
        assert "10.9.8.7" not in str(found)

    def test_web_process_does_not_load_ccxt_for_its_version(self) -> None:
        code = (
            "import django, sys; django.setup(); from connections import diagnostics; "
            "assert diagnostics._installed('ccxt')[0].isdigit(); assert 'ccxt' not in sys.modules"
        )
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            cwd=Path(__file__).parent.parent,
            env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "/usr/bin:/bin"},
        )

    def test_from_a_real_test_too(
        self, trader: User, mexc: Exchange, browser: Client, simulator: Simulator
    ) -> None:
        key = sample("mexc", "wrong_ip")
        given = making.credentials(api_key=key.api_key, secret=key.paste_secret)
        made = making.connection(trader, mexc, "Real", given)
        worker.run_test(str(made.tests.open().get().pk))
        text = of_owner(browser, made).content.decode()
        for secret in (key.api_key, key.paste_secret):
            assert not [form for form in forms_of(secret) if form in text]
        assert json.loads(text)["tests"][0]["problem"]["code"] == "ip_not_allowed"


class TestEnoughToHelp:
    def test_tells_what_happened(self, desk: Client, connection: Connection) -> None:
        found = json.loads(of_support(desk, connection).content)
        assert set(found["product"]) >= {
            "backfuture",
            "python",
            "django",
            "ccxt",
            "database",
            "broker",
        }
        about, test = found["connection"], found["tests"][0]
        assert about["exchange"] == "mexc"
        assert about["problem"]["code"] == "ip_not_allowed"
        assert about["problem"]["what_to_do"]
        assert about["next_test_at"]
        assert about["permissions"]["withdraw"] == {
            "value": "no",
            "evidence": EVIDENCE["withdraw"],
        }
        assert about["permissions"]["spot_trade"]["value"] == "unknown"
        assert (test["skew_ms"], test["our_address_as_seen"]) == (-120, "203.0.113.7")
        assert test["steps"][1] == {
            "name": "key",
            "ok": False,
            "at": 1_795_000_000_050,
            "ms": 34,
            "call": "GET /api/v3/account",
            "http_status": 403,
            "code": "700006",
        }
        key = Credential.objects.get()
        assert found["keys"][0]["ends_with"] == key.hint
        assert key.fingerprint.startswith(found["keys"][0]["fingerprint"])
        assert found["findings"][0]["rule"] == "no_ip_restriction"

    def test_owner_s_own_words_are_for_the_owner(
        self, browser: Client, desk: Client, connection: Connection
    ) -> None:
        assert "My own words" in of_owner(browser, connection).content.decode()
        assert "My own words" not in of_support(desk, connection).content.decode()

    def test_names_each_key_and_no_more_than_five_tests(
        self, browser: Client, connection: Connection
    ) -> None:
        for _ in range(7):
            making.asked_again(connection)
            making.finish(connection, making.report())
        making.age(connection, minutes=5)
        new = making.credentials()
        replacing.replace_key(connection, by=connection.owner, credentials=new)
        found = json.loads(of_owner(browser, connection).content)
        assert sorted(key["state"] for key in found["keys"]) == ["active", "pending"]
        assert len(found["tests"]) == 5
        assert found["tests"][0]["state"] == "queued"

    def test_works_for_a_connection_that_was_never_tested(
        self, browser: Client, trader: User, mexc: Exchange
    ) -> None:
        made = making.connection(trader, mexc, "New")
        assert json.loads(of_owner(browser, made).content)["connection"]["problem"] is None


class TestWay:
    def test_is_a_file_that_is_kept_nowhere(self, browser: Client, connection: Connection) -> None:
        answer = of_owner(browser, connection)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="backfuture-')
        assert "no-store" in answer.headers["Cache-Control"]

    def test_is_on_record_with_the_reason(
        self, browser: Client, desk: Client, connection: Connection, trader: User, staff: User
    ) -> None:
        of_owner(browser, connection)
        of_support(desk, connection)
        events = AccessEvent.objects.filter(kind=AccessEvent.Kind.EXPORTED).order_by("pk")
        assert [(event.actor, event.owner, event.why) for event in events] == [
            (trader, trader, "diagnostics"),
            (staff, trader, "diagnostics: ticket 4711"),
        ]

    def test_support_says_why_first(self, staff: User, connection: Connection) -> None:
        answer = of_support(making.desk(Client(), staff), connection)
        assert answer.status_code == 302
        assert not AccessEvent.objects.filter(kind=AccessEvent.Kind.EXPORTED).exists()

    def test_support_needs_no_code_for_it_again(
        self, staff: User, trader: User, connection: Connection
    ) -> None:
        making.totp(staff)
        late = making.sign_in(Client(), staff, second_factor=True, age=6 * 60)
        assert of_support(making.say_why(late, trader), connection).status_code == 200

    def test_is_not_for_others(self, stranger: User, connection: Connection) -> None:
        assert of_owner(making.sign_in(Client(), stranger), connection).status_code == 404
        few = User.objects.create_user("few@example.com", "x", is_staff=True)
        few.user_permissions.add(Permission.objects.get(codename="view_finding"))
        assert of_support(making.desk(Client(), few), connection).status_code == 403

    def test_button_stands_on_both_pages(
        self, browser: Client, desk: Client, connection: Connection
    ) -> None:
        own = reverse("connections:diagnostics", args=[connection.pk])
        assert own in browser.get(connection.get_absolute_url()).content.decode()
        support = reverse("admin:connections_connection_diagnostics", args=[connection.pk])
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        assert support in desk.get(page).content.decode()
