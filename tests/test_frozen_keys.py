"""When nobody may enter, replace or destroy a key whatever they confirm: where a second factor is
required, and for a day after a password reset by mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from backfuture.accounts.models import User
from connections.models import Connection
from tests import making
from tests.test_step_up import NEW, NEW_PASSWORD, ON_THE_FORM, acts, done, key, path

LINK = re.compile(r"https?://testserver(/\S+)")
App = Callable[[float], str]


@pytest.fixture
def app(trader: User) -> App:
    return making.totp(trader)


class TestRequiredFactor:
    def test_without_one_nothing_is_entered(
        self, browser: Client, connection: Connection, settings: Any
    ) -> None:
        settings.REQUIRE_MFA = True
        for act in ON_THE_FORM:
            where, sent = acts(connection)[act]
            page = browser.get(where).content.decode()
            assert "Set up a second factor" in page and 'name="api_key"' not in page
            answer = browser.post(where, sent)
            assert answer.status_code == 403 and not done(act, answer, connection)

    def test_with_one_it_is(self, trader: User, app: App, settings: Any) -> None:
        settings.REQUIRE_MFA = True
        making.sign_in(client := Client(), trader, second_factor=True).post(NEW, key())
        assert client.get(NEW).status_code == 200 and Connection.objects.exists()


class TestFrozen:
    """For 24 hours after a password reset by mail, unless there was a second factor before."""

    def reset(self, user: User) -> Client:
        EmailAddress.objects.get_or_create(
            user=user, email=user.email, defaults={"primary": True, "verified": True}
        )
        client = Client()
        client.post("/accounts/password/reset/", {"email": user.email})
        (link,) = LINK.findall(str(mail.outbox[-1].body))
        form = client.get(link).url
        client.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        client.post("/accounts/login/", {"login": user.email, "password": NEW_PASSWORD})
        return client

    def refused(self, client: Client, connection: Connection) -> bool:
        answers = [client.post(*acts(connection)[act]) for act in ON_THE_FORM]
        nothing = not any(map(done, ON_THE_FORM, answers, [connection] * 3))
        return nothing and {answer.status_code for answer in answers} == {403}

    def test_keys_are_frozen(self, connection: Connection) -> None:
        client = self.reset(connection.owner)
        assert client.get("/connections/").status_code == 200
        assert self.refused(client, connection)

    def test_factor_set_up_afterwards_does_not_thaw(self, connection: Connection) -> None:
        client = self.reset(connection.owner)
        app = making.totp(connection.owner)
        client.post("/accounts/2fa/reauthenticate/", {"code": app(0)})
        assert self.refused(client, connection)

    def test_signing_in_again_and_a_new_password_do_not_thaw(self, connection: Connection) -> None:
        client = self.reset(connection.owner)
        again = {"password1": "nine violet badgers whistle", "oldpassword": NEW_PASSWORD}
        client.post("/accounts/password/change/", {**again, "password2": again["password1"]})
        client.post("/accounts/logout/")
        sent = {"login": connection.owner.email, "password": again["password1"]}
        assert client.post("/accounts/login/", sent).url == "/connections/"
        assert self.refused(client, connection)

    def test_factor_from_before_stands_in_for_the_wait(
        self, connection: Connection, app: App
    ) -> None:
        client = self.reset(connection.owner)
        assert client.get("/connections/").status_code == 302
        client.post("/accounts/2fa/authenticate/", {"code": app(0)})
        where, sent = acts(connection)["replace"]
        assert done("replace", client.post(where, sent), connection)

    @pytest.mark.parametrize(("hours", "frozen"), [(23.9, True), (24.1, False)])
    def test_it_ends_after_a_day(self, connection: Connection, hours: float, frozen: bool) -> None:
        client = self.reset(connection.owner)
        until = User.objects.get(pk=connection.owner_id).keys_frozen_until
        assert until is not None
        assert timedelta(hours=23.9) < until - timezone.now() < timedelta(hours=24.1)
        User.objects.update(keys_frozen_until=until - timedelta(hours=hours))
        assert self.refused(client, connection) is frozen

    def test_old_sessions_end_and_pausing_stays_possible(
        self, browser: Client, connection: Connection
    ) -> None:
        client = self.reset(connection.owner)
        assert browser.get("/connections/").status_code == 302
        client.post(path(connection, "pause"))
        connection.refresh_from_db()
        assert connection.paused_at
        client.post(path(connection, "resume"))
        connection.refresh_from_db()
        assert not connection.paused_at
