"""The support desk: finds, understands and re-tests any connection, and can reveal nothing."""

from __future__ import annotations

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Permission
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backfuture.accounts.models import User
from connections import vault
from connections.models import Connection, ConnectionTest, Credential, Exchange
from strategies.models import StrategyConfig
from tests import making

KEY = making.credentials(api_key="mx0adminCANARYkey1", secret="ADMINcanarySECRET0ADMINcanary000")
CHANGE = "admin:connections_connection_change"


@pytest.fixture
def desk(staff, trader, stranger) -> Client:
    client = Client()
    making.desk(client, staff)
    return making.say_why(client, trader, stranger)


@pytest.fixture
def tested(trader, mexc) -> Connection:
    made = making.connection(trader, mexc, "Canary", KEY)
    making.finish(made, making.report("failed", problem="ip_not_allowed", seen_ip="198.51.100.9"))
    return made


def admin_pages(connection: Connection) -> list[str]:
    rows = {
        Connection: connection.pk,
        ConnectionTest: connection.tests.get().pk,
        Exchange: connection.exchange_id,
    }
    pages = [reverse("admin:index")]
    for model in site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{name}_changelist"))
        if model in rows:
            pages += [
                reverse(f"{name}_{page}", args=[rows[model]]) for page in ("change", "history")
            ]
    return pages


def test_no_page_shows_a_byte_of_a_key(desk, tested):
    token = bytes(Credential.objects.get().sealed.token(None)).decode()
    pages = admin_pages(tested)
    assert len(pages) > 10
    for path in pages:
        response = desk.get(path, {"q": KEY.api_key[-4:]} if path.endswith("connection/") else {})
        assert response.status_code == 200, path
        text = response.content.decode()
        for value in (KEY.api_key, KEY.secret, token):
            assert value not in text, path


def test_credentials_are_not_registered():
    assert Credential not in site._registry
    assert "sealed" not in str([vars(each) for each in site._registry.values()])


def test_connection_is_found_by_what_support_is_told(desk, tested):
    path = reverse("admin:connections_connection_changelist")
    fingerprint = vault.fingerprint("mexc", KEY.api_key)
    for word in ("Canary", "trader@example.com", KEY.api_key[-4:], fingerprint):
        assert "Canary" in desk.get(path, {"q": word}).content.decode()
    assert "Canary" not in desk.get(path, {"q": KEY.secret}).content.decode()


def test_problem_is_said_in_words(desk, tested):
    text = desk.get(reverse(CHANGE, args=[tested.pk])).content.decode()
    assert "IP not allowed" in text


def test_only_name_notes_and_pause_can_be_edited(desk, tested):
    desk.post(
        reverse(CHANGE, args=[tested.pk]),
        {"name": "Renamed", "notes": "Called", "status": "connected", "uid": "9"},
    )
    tested.refresh_from_db()
    assert (tested.name, tested.notes) == ("Renamed", "Called")
    assert (tested.status, tested.uid, tested.paused_at) == ("failed", "42", None)


def test_rows_are_neither_added_nor_deleted_here(desk, tested):
    for model in (Connection, ConnectionTest, Exchange):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert desk.get(reverse(f"{name}_add")).status_code == 403
    path = reverse("admin:connections_connection_delete", args=[tested.pk])
    assert desk.get(path).status_code == 403


def test_testing_again_answers_with_counts(desk, tested):
    making.age(tested, minutes=1)
    path = reverse("admin:connections_connection_changelist")
    post = {"action": "test_again", "_selected_action": [str(tested.pk)]}
    assert "1 test was asked for." in desk.post(path, post, follow=True).content.decode()
    assert tested.tests.first().reason == ConnectionTest.Reason.STAFF
    making.finish(tested, making.report())
    text = desk.post(path, post, follow=True).content.decode()
    assert "0 tests were asked for. 1 connection is paused" in text


def test_name_that_the_owner_has_already_is_refused_with_a_sentence(desk, tested, mexc):
    making.connection(tested.owner, mexc, "Second")
    path = reverse(CHANGE, args=[tested.pk])
    answer = desk.post(path, {"name": "second"})
    assert "already has a connection of this name" in answer.content.decode()


def test_testing_again_needs_the_right_to_test(tested):
    viewer = User.objects.create_user("viewer@example.com", "x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_connection"))
    client = Client()
    making.desk(client, viewer)
    making.age(tested, minutes=1)
    path = reverse("admin:connections_connection_changelist")
    assert client.get(path).status_code == 200
    client.post(path, {"action": "test_again", "_selected_action": [str(tested.pk)]})
    assert tested.tests.count() == 1


def test_pausing_here_drops_the_test_under_way(desk, trader, mexc):
    waiting = making.connection(trader, mexc, "Waiting")
    path = reverse(CHANGE, args=[waiting.pk])
    desk.post(path, {"name": "Waiting", "paused": "on"})
    waiting.refresh_from_db()
    assert waiting.paused_at
    assert not waiting.tests.open().exists()


def test_damaged_seal_breaks_no_page_and_no_delete(desk, tested):
    with database.cursor() as cursor:
        cursor.execute("UPDATE connections_credential SET sealed = %s", [b"broken"])
    for path in admin_pages(tested):
        assert desk.get(path).status_code == 200
    assert desk.post(
        reverse("admin:accounts_user_delete", args=[tested.owner_id]), {"post": "yes"}
    ).status_code in {302, 403, 200}
    tested.delete()


def test_same_key_elsewhere_is_marked_without_naming_it(desk, tested, stranger, mexc):
    path = reverse(CHANGE, args=[tested.pk])
    making.connection(stranger, mexc, "Elsewhere", KEY)
    text = desk.get(path).content.decode()
    assert "Elsewhere" not in text
    assert "stranger@example.com" not in text


def test_traders_have_no_way_in(browser, tested):
    for path in admin_pages(tested):
        assert browser.get(path).status_code == 302


def test_list_takes_the_same_number_of_queries_with_more_rows(
    desk, trader, mexc, tested, django_assert_num_queries
):
    path = reverse("admin:connections_connection_changelist")
    desk.get(path)
    with CaptureQueriesContext(database) as few:
        desk.get(path)
    for number in range(12):
        making.connection(trader, mexc, f"More {number}")
    with django_assert_num_queries(len(few)):
        desk.get(path)


def test_strategies_are_not_edited_here(desk, tested):
    assert not site._registry[StrategyConfig].has_change_permission(desk.get("/").wsgi_request)
