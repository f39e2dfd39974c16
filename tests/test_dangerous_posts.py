"""What staff send to the admin: anything but "Test again" asks for a code of the second factor when
the last one is older than five minutes, on a page that carries what was sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from backfuture.accounts.models import User
from connections.models import Connection, ConnectionTest, Exchange, Incident
from tests import making

PASSWORD = "a long enough password"
NEW_PASSWORD = "seven crimson otters juggle"
App = Callable[[float], str]


@pytest.fixture
def app(staff: User) -> App:
    return making.totp(staff)


@pytest.fixture
def late(staff: User, trader: User, app: App) -> Client:
    """Used the second factor six minutes ago."""
    return making.say_why(making.sign_in(Client(), staff, second_factor=True, age=6 * 60), trader)


def rename(client: Client, connection: Connection, **more: str) -> Any:
    path = reverse("admin:connections_connection_change", args=[connection.pk])
    return client.post(path, {"name": "By staff", **more})


def name(connection: Connection) -> str:
    return Connection.objects.get(pk=connection.pk).name


def test_fresh_it_goes_through(staff: User, app: App, connection: Connection) -> None:
    client = making.sign_in(Client(), staff, second_factor=True, age=4 * 60)
    making.say_why(client, connection.owner)
    rename(client, connection)
    assert name(connection) == "By staff"


def test_late_it_asks_and_carries_what_was_sent(
    late: Client, app: App, connection: Connection
) -> None:
    answer = rename(late, connection)
    text = answer.content.decode()
    assert name(connection) == "MEXC Spot Main"
    assert 'name="confirm-code"' in text
    assert 'name="name" value="By staff"' in text
    assert rename(late, connection, **{"confirm-code": app(0)}).status_code == 302
    assert name(connection) == "By staff"


class TestWhatItNames:
    """The page that asks says what would be done, and gives the way back to where it was asked."""

    def asked(self, late: Client, **sent: Any) -> str:
        path = reverse("admin:connections_connection_changelist") + "?q=main"
        text = late.post(path, sent).content.decode()
        assert f'<a class="btn" href="{path}">' in text
        return " ".join(re.findall(r"<strong>(.*?)</strong>", text))

    def test_a_row(self, late: Client, connection: Connection) -> None:
        assert "<strong>Connection: MEXC Spot Main</strong>" in rename(late, connection).text

    def test_not_the_name_of_a_row_that_one_may_not_see(
        self, late: Client, connection: Connection, staff: User
    ) -> None:
        User.objects.filter(pk=staff.pk).update(is_superuser=False)
        assert connection.name not in rename(late, connection).text

    def test_an_action_with_the_number_of_rows(self, late: Client) -> None:
        one, three = ["1"], ["1", "2", "3"]
        assert self.asked(late, action="pause", _selected_action=one) == "Pause: 1 connection"
        assert self.asked(late, action="pause", _selected_action=three) == "Pause: 3 connections"
        everything = {"action": "pause", "_selected_action": one, "select_across": "1"}
        assert self.asked(late, **everything) == "Pause: everything that matches, on all pages"

    def test_a_row_in_the_words_of_the_desk_and_the_way_back_to_its_page(
        self, late: Client, connection: Connection, db: None
    ) -> None:
        making.schedules()
        row = PeriodicTask.objects.get(name="tell")
        path = reverse("admin:django_celery_beat_periodictask_change", args=[row.pk])
        text = late.post(path, {"seconds": "30"}).text
        assert "Schedule: Notices: making</strong>" in text and f'href="{path}"' in text

    def test_an_act_of_a_page_leads_back_to_it(self, late: Client, connection: Connection) -> None:
        path = reverse("admin:connections_connection_changelist")
        sent = {"action": "pause", "_selected_action": [connection.pk], "from_page": "1"}
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        assert f'<a class="btn" href="{page}">' in late.post(path, sent).text

    def test_the_steps_of_an_incident(self, late: Client) -> None:
        incident = Incident.objects.create(scope="all", reason="x")
        for act, verb in (("confirm", "Confirm and begin"), ("withdraw", "Withdraw")):
            path = reverse(f"admin:connections_incident_{act}", args=[incident.pk])
            text = late.post(path).text
            assert f"<strong>{verb} · Incident: " in text
            page = reverse("admin:connections_incident_change", args=[incident.pk])
            assert f'<a class="btn" href="{page}">' in text

    def test_the_look_at_a_users_pages(self, late: Client, trader: User) -> None:
        text = late.post(reverse("admin:accounts_user_view_as", args=[trader.pk])).text
        assert "<strong>See the site as this user</strong>" in text

    @pytest.mark.parametrize("action", ["nonsense", "", ["pause", "test_again"]])
    def test_nothing_where_it_is_not_clear(self, late: Client, action: str | list[str]) -> None:
        assert self.asked(late, action=action, _selected_action=["1"]) == ""


@pytest.mark.parametrize("code", ["", "000000", "abc", "\0"])
def test_wrong_code_changes_nothing(
    late: Client, app: App, connection: Connection, code: str
) -> None:
    if code != app(0):
        rename(late, connection, **{"confirm-code": code})
        assert name(connection) == "MEXC Spot Main"


def test_password_is_no_code(late: Client, connection: Connection) -> None:
    given = {"confirm-code": PASSWORD, "confirm-password": PASSWORD}
    rename(late, connection, **given)
    assert name(connection) == "MEXC Spot Main"


def test_password_that_was_typed_is_not_carried(late: Client, trader: User, app: App) -> None:
    path = reverse("admin:auth_user_password_change", args=[trader.pk])
    sent = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    answer = late.post(path, sent)
    assert answer.url.startswith("/accounts/2fa/reauthenticate/")
    assert NEW_PASSWORD not in answer.url + str(dict(late.session))
    trader.refresh_from_db()
    assert trader.check_password(PASSWORD)


def test_testing_again_is_harmless(late: Client, connection: Connection) -> None:
    making.finish(connection, making.report())
    making.age(connection, minutes=1)
    path = reverse("admin:connections_connection_changelist")
    late.post(path, {"action": "test_again", "_selected_action": [str(connection.pk)]})
    assert connection.tests.filter(reason=ConnectionTest.Reason.STAFF).count() == 1


class TestNameOfTheHarmlessAction:
    """`action=test_again` beside it makes nothing else harmless."""

    def test_in_the_form_of_a_row(self, late: Client, trader: User, connection: Connection) -> None:
        rename(late, connection, action="test_again")
        path = reverse("admin:accounts_user_change", args=[trader.pk])
        late.post(path, {"action": "test_again", "is_superuser": "on"})
        trader.refresh_from_db()
        assert (name(connection), trader.is_superuser) == ("MEXC Spot Main", False)
        assert trader.is_active

    def test_in_an_editable_list(self, late: Client, mexc: Exchange) -> None:
        sent = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-code": "mexc"}
        sent |= {"form-0-position": "7", "_save": "Save", "action": "test_again"}
        late.post(reverse("admin:connections_exchange_changelist") + "?q=", sent)
        mexc.refresh_from_db()
        assert (mexc.offered, mexc.position) != (False, 7)

    def test_beside_another_action(self, late: Client) -> None:
        """Django takes the one that `index` points at, and not the last."""
        group = Group.objects.get(name="Support")
        sent = {"action": ["delete_selected", "test_again"], "index": "0", "post": "yes"}
        path = reverse("admin:auth_group_changelist")
        late.post(path, {**sent, "_selected_action": str(group.pk)})
        assert Group.objects.filter(pk=group.pk).exists()


def test_member_of_staff_with_few_rights_is_asked_too(connection: Connection) -> None:
    few = User.objects.create_user("few@example.com", PASSWORD, is_staff=True)
    few.user_permissions.add(Permission.objects.get(codename="change_connection"))
    few.user_permissions.add(Permission.objects.get(codename="view_connection"))
    making.totp(few)
    client = making.sign_in(Client(), few, second_factor=True, age=6 * 60)
    making.say_why(client, connection.owner)
    rename(client, connection)
    assert name(connection) == "MEXC Spot Main"
