"""The support desk's house: its policy for scripts, its navigation, its one way in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from backfuture.accounts import desk_menu
from backfuture.accounts.models import User
from connections.models import Connection
from tests import making

CONNECTIONS = "/admin/connections/connection/"


@pytest.fixture
def desk(staff: User, trader: User) -> Client:
    return making.say_why(making.desk(Client(), staff), trader)


def helper(*rights: str) -> Client:
    """Staff with these rights alone."""
    user = User.objects.create_user("helper@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return making.desk(Client(), user)


def policy(answer: Any) -> dict[str, set[str]]:
    rules = answer.headers["Content-Security-Policy"].split(";")
    return {words[0]: set(words[1:]) for rule in rules if (words := rule.split())}


class TestPolicy:
    def test_desk_may_evaluate_scripts_and_have_styles_inline(
        self, desk: Client, connection: Connection
    ) -> None:
        change = f"{CONNECTIONS}{connection.pk}/change/"
        for path in ("/admin/", CONNECTIONS, change, "/admin/search/?s=x"):
            answer = desk.get(path)
            assert answer.status_code == 200
            assert policy(answer)["script-src"] == {"'self'", "'unsafe-eval'"}
            assert policy(answer)["style-src"] == {"'self'", "'unsafe-inline'"}

    @pytest.mark.parametrize(
        "path",
        [
            "/connections/",
            "/connections/new/mexc/",
            "/accounts/security/",
            "/admin/x/",
            "/findings/",
        ],
    )
    def test_no_other_page_may(self, desk: Client, path: str) -> None:
        unsafe = {"'unsafe-eval'", "'unsafe-inline'"}
        assert not any(unsafe & sources for sources in policy(desk.get(path)).values())

    def test_nor_the_page_that_asks_for_a_code(self, staff: User, connection: Connection) -> None:
        stale = making.sign_in(Client(), staff, second_factor=True, age=600)
        making.totp(staff)
        answer = stale.post(f"{CONNECTIONS}{connection.pk}/change/", {"name": "x"})
        assert b"confirm-code" in answer.content
        assert policy(answer)["script-src"] == {"'self'"}


def test_its_own_form_for_signing_in_is_never_served(desk: Client, browser: Client) -> None:
    for client in (desk, browser, Client()):
        for path in ("/admin/login/", "/admin/", "/admin/logout/"):
            names = [one.name for one in client.get(path, follow=True).templates]
            assert not {"admin/login.html", "registration/logged_out.html"} & set(names)


class TestWords:
    def test_search_says_what_it_finds(self, desk: Client) -> None:
        text = desk.get("/admin/").content.decode()
        assert "Search the desk" in text
        assert "apps and models" not in text

    def test_empty_list_says_why_and_offers_nothing_that_cannot_be(self, desk: Client) -> None:
        text = desk.get(CONNECTIONS, {"q": "nobody"}).content.decode()
        assert "the search and the filters leave nothing over" in text
        assert "Create a new item" not in text

    def test_pages_are_called_by_what_they_are_about(
        self, desk: Client, connection: Connection
    ) -> None:
        test = connection.tests.get()
        page = reverse("admin:connections_connectiontest_change", args=[test.pk])
        text = desk.get(page).content.decode()
        assert f"Test of {connection.name}" in text
        assert str(test) not in text


class TestNavigation:
    def test_shows_what_one_may_see_and_nothing_else(self, db: None) -> None:
        text = helper("view_connection", "view_finding").get("/admin/").content.decode()
        assert reverse("admin:connections_connection_changelist") in text
        assert reverse("admin:connections_finding_changelist") in text
        for name in ("connections_exchange", "accounts_user", "auth_group"):
            assert reverse(f"admin:{name}_changelist") not in text

    def test_leads_a_superuser_to_every_list(self, desk: Client) -> None:
        named = {label.lower() for _title, lists in desk_menu.GROUPS for *_more, label in lists}
        assert named >= {model._meta.label_lower for model in site._registry}

    def test_every_link_in_it_opens(self, desk: Client) -> None:
        answer = desk.get("/admin/")
        items = [item for group in answer.context["sidebar_navigation"] for item in group["items"]]
        assert len(items) > 5
        for item in items:
            assert desk.get(str(item["link"])).status_code == 200
