"""The incident switch at the support desk, and what users see while use is stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import incident_asking, incident_work, replacing
from connections.events import AccessEvent
from connections.incidents import Incident
from connections.models import Connection, Credential
from tests import making

ADD = "/admin/connections/incident/add/"
CHOSEN = {"scope": "exchange", "exchange": "mexc", "stop_use": "on", "destroy": "on"}
SENTENCE = "BackFuture has stopped using keys here"
Act = Callable[[Client, str], Any]


def operator(email: str, *more: str) -> User:
    user = User.objects.create_user(email, "x", is_staff=True)
    rights = Permission.objects.filter(codename__in=["run_incident", *more])
    user.user_permissions.set(rights)
    return user


@pytest.fixture
def anna(db: None) -> Client:
    return making.desk(Client(), operator("anna@example.com"))


@pytest.fixture
def ben(db: None) -> Client:
    return making.desk(Client(), operator("ben@example.com"))


def ask(client: Client, **more: str) -> Incident:
    answer = client.post(ADD, {**CHOSEN, "reason": "A disk was copied", **more})
    assert answer.status_code == 302, answer.content.decode()
    return Incident.objects.latest("pk")


def act(client: Client, incident: Incident, name: str) -> Any:
    path = reverse(f"admin:connections_incident_{name}", args=[incident.pk])
    return client.post(path, follow=True)


def text(client: Client, path: str) -> str:
    return client.get(path).content.decode()


class TestDesk:
    def test_whole_way_of_two_people(
        self, anna: Client, ben: Client, connection: Connection
    ) -> None:
        assert "Count what it would come to" in text(anna, ADD)
        counted = anna.get(ADD, CHOSEN).content.decode()
        assert "Sealed keys that are destroyed, for good" in counted
        assert not Incident.objects.exists()
        incident = ask(anna)
        assert (incident.suspend, incident.tell, incident.destroy) == (True, True, True)
        page = incident.get_absolute_url()
        assert "Another person has to confirm" in text(anna, page)
        assert "Confirm and begin" not in text(anna, page)
        assert "Confirm and begin" in text(ben, page)
        assert act(ben, incident, "confirm").status_code == 200
        assert "under way" in text(ben, page)
        assert incident_work.run(incident.pk)
        assert "Use of these keys is stopped" in text(anna, page)
        assert not Credential.objects.filter(sealed__isnull=False).exists()
        act(ben, incident, "ask_to_lift")
        assert "Confirm: allow use again" not in text(ben, page)
        act(anna, incident, "lift")
        assert "Use allowed again" in text(anna, page)
        incident.refresh_from_db()
        assert incident.lifted_at is not None

    def test_who_asked_is_told_that_another_has_to_confirm(
        self, anna: Client, connection: Connection
    ) -> None:
        incident = ask(anna)
        answer = act(anna, incident, "confirm").content.decode()
        assert "Another person has to confirm what you asked for" in answer
        incident.refresh_from_db()
        assert incident.state == "asked"

    def test_counting_without_a_scope_asks_for_one(self, anna: Client) -> None:
        asked = anna.get(ADD, {"exchange": "", "owner": "", "stop_use": "on"}).content.decode()
        assert "This field is required." in asked
        assert "This field is required." not in text(anna, ADD)

    def test_counting_changes_nothing(self, anna: Client, connection: Connection) -> None:
        before = [AccessEvent.objects.count(), list(Connection.objects.values())]
        anna.get(ADD, CHOSEN)
        anna.get(ADD, {**CHOSEN, "scope": "owner", "owner": connection.owner.email})
        assert [AccessEvent.objects.count(), list(Connection.objects.values())] == before
        assert not Incident.objects.exists()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"exchange": ""}, "Choose the exchange."),
            ({"scope": "owner", "owner": "nobody@example.com"}, "Nobody here has that"),
            ({"scope": "owner"}, "Nobody here has that"),
            ({"stop_use": "", "destroy": ""}, "Choose at least one step."),
            ({"scope": "nothing"}, "Select a valid choice"),
        ],
    )
    def test_what_is_missing_is_said(
        self, anna: Client, db: None, wrong: dict[str, str], said: str
    ) -> None:
        chosen = {name: value for name, value in {**CHOSEN, **wrong}.items() if value}
        assert said in anna.get(ADD, chosen).content.decode()
        assert anna.post(ADD, {**chosen, "reason": "x"}).status_code == 200
        assert not Incident.objects.exists()

    def test_reason_is_asked_for(self, anna: Client, db: None) -> None:
        assert "Say what happened" in anna.post(ADD, CHOSEN).content.decode()
        assert not Incident.objects.exists()

    def test_it_lapses(self, anna: Client, ben: Client, db: None) -> None:
        incident = ask(anna)
        asked = incident.asked_at - timedelta(minutes=31)
        Incident.objects.filter(pk=incident.pk).update(asked_at=asked)
        assert "Nobody confirmed it within 30 minutes" in text(ben, incident.get_absolute_url())
        assert "Ask for it again" in act(ben, incident, "confirm").content.decode()

    def test_is_withdrawn(self, anna: Client, ben: Client, db: None) -> None:
        incident = ask(anna)
        act(ben, incident, "withdraw")
        assert "withdrawn" in text(anna, incident.get_absolute_url())

    def test_asks_for_the_second_factor_again(self, db: None, connection: Connection) -> None:
        anna, ben = operator("anna@example.com"), operator("ben@example.com")
        making.totp(anna)
        late = making.sign_in(Client(), anna, second_factor=True, age=6 * 60)
        assert "confirm-code" in late.post(ADD, {**CHOSEN, "reason": "x"}).content.decode()
        assert not Incident.objects.exists()
        incident = ask(making.desk(Client(), ben))
        assert "confirm-code" in act(late, incident, "confirm").content.decode()
        incident.refresh_from_db()
        assert incident.state == "asked"

    def test_who_may_look_may_not_act(self, anna: Client, db: None) -> None:
        auditor = User.objects.create_user("auditor@example.com", "x", is_staff=True)
        auditor.user_permissions.add(Permission.objects.get(codename="view_incident"))
        client, incident = making.desk(Client(), auditor), ask(anna)
        page = client.get(incident.get_absolute_url())
        assert page.status_code == 200
        assert "Confirm and begin" not in page.content.decode()
        assert client.get(ADD).status_code == 403
        for name in ("confirm", "withdraw", "ask_to_lift", "lift"):
            assert act(client, incident, name).status_code == 403

    @pytest.mark.parametrize("number", ["0", "x", "9" * 30, "1/2"])
    def test_there_is_no_other(self, anna: Client, db: None, number: str) -> None:
        assert anna.post(f"/admin/connections/incident/{number}/confirm/").status_code == 404
        assert anna.get(f"/admin/connections/incident/{number}/change/").status_code == 404

    def test_list_leads_to_each(self, anna: Client, db: None) -> None:
        incident = ask(anna)
        assert incident.get_absolute_url() in text(anna, "/admin/connections/incident/")


class TestUsers:
    """While use is stopped."""

    @pytest.fixture
    def stopped(self, anna: Client, connection: Connection) -> Incident:
        making.finish(connection, making.report())
        incident = ask(anna, destroy="")
        ben = operator("ben@example.com")
        incident_asking.confirm(incident, by=ben, now=timezone.now())
        return incident

    def test_see_it_on_the_connection_and_in_the_list(
        self, browser: Client, stopped: Incident, connection: Connection
    ) -> None:
        page = text(browser, connection.get_absolute_url())
        assert "BackFuture has stopped using this key" in page
        assert connection.exchange.known.key_page in page
        assert 'id="test-again"' not in page
        assert "Stopped" in text(browser, reverse("connections:list"))

    def test_are_told_when_they_ask_for_a_test(
        self, browser: Client, stopped: Incident, connection: Connection
    ) -> None:
        making.age(connection, minutes=1)
        path = reverse("connections:test", args=[connection.pk])
        assert SENTENCE in browser.post(path, follow=True).content.decode()
        assert not connection.tests.open().exists()

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_enter_no_key(
        self, browser: Client, stopped: Incident, connection: Connection, method: str
    ) -> None:
        key = making.credentials()
        typed = {"name": "New", "api_key": key.api_key, "secret": key.secret}
        for path in (
            reverse("connections:new", args=["mexc"]),
            reverse("connections:replace", args=[connection.pk]),
        ):
            answer = getattr(browser, method)(path, typed if method == "post" else None)
            assert answer.status_code == (403 if method == "post" else 200)
            assert SENTENCE in answer.content.decode()
            assert "<input" not in answer.content.decode().partition("<main")[2]
        assert Credential.objects.count() == 1

    def test_go_back_to_no_key(
        self, browser: Client, stopped: Incident, connection: Connection
    ) -> None:
        now = timezone.now()
        Credential.objects.update(state="replaced", replaced_at=now, destroy_at=now)
        Credential.objects.update(destroy_at=now + timedelta(hours=9))
        assert replacing.kept_key(connection, now=timezone.now())
        answer = browser.post(reverse("connections:go_back", args=[connection.pk]))
        assert (answer.status_code, SENTENCE in answer.content.decode()) == (403, True)
        assert Credential.objects.get().state == "replaced"

    def test_connect_other_exchanges_as_before(self, browser: Client, stopped: Incident) -> None:
        page = text(browser, reverse("connections:new", args=["kucoin"]))
        assert SENTENCE not in page
        assert 'name="api_key"' in page

    def test_costs_a_list_the_same_however_long_it_is(
        self,
        browser: Client,
        stopped: Incident,
        connection: Connection,
        kucoin: Any,
        django_assert_num_queries: Any,
        django_assert_max_num_queries: Any,
    ) -> None:
        path = reverse("connections:list")
        with django_assert_max_num_queries(40) as captured:
            browser.get(path)
        for number in range(12):
            making.connection(connection.owner, kucoin, f"More {number}")
        with django_assert_num_queries(len(captured)):
            browser.get(path)


def test_destroyed_key_says_what_to_do(
    browser: Client, anna: Client, connection: Connection
) -> None:
    making.finish(connection, making.report())
    incident = ask(anna)
    incident_asking.confirm(incident, by=operator("ben@example.com"), now=timezone.now())
    assert incident_work.run(incident.pk)
    incident_asking.ask_to_lift(incident, by=incident.asked_by, now=timezone.now())
    incident_asking.lift(incident, by=incident.confirmed_by, now=timezone.now())
    page = text(browser, connection.get_absolute_url())
    assert "The key was destroyed here" in page
    assert "Delete the key at MEXC now" in page
    assert "The key works and is safe" not in page
    assert "BackFuture has stopped using this key" not in page
    assert reverse("connections:replace", args=[connection.pk]) in page
