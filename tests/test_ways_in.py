"""Each way of signing in, and whether the admin opens after it: for a second factor used in that
very session, within 12 hours, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.signing import Signer
from django.test import Client
from django.urls import reverse

from backfuture.accounts.models import User
from tests import making
from tests.passkey import Passkey

PASSWORD = "a long enough password"
NEW_PASSWORD = "seven crimson otters juggle"
LINK = re.compile(r"https?://testserver(/\S+)")
HOUR = 60 * 60
App = Callable[[float], str]


@pytest.fixture
def app(staff: User) -> App:
    return making.totp(staff)


def sign_in(client: Client, user: User, password: str = PASSWORD) -> Any:
    return client.post("/accounts/login/", {"login": user.email, "password": password})


def enter_code(client: Client, code: str) -> Any:
    return client.post("/accounts/2fa/authenticate/", {"code": code})


def another_session(user: User, **how: Any) -> Client:
    """`making.sign_in` outside of a visit cannot send the mail about a new browser."""
    user.devices.all().delete()
    return making.sign_in(Client(), user, **how)


def confirm_again(client: Client) -> None:
    """As after django-allauth's page that asks for the password."""
    session = client.session
    session["account_authentication_methods"][-1]["reauthenticated"] = True
    session.save()


def opens(client: Client) -> bool:
    """Whether any page of the admin is shown, directly or at the end of its redirects."""
    answers = [client.get(path) for path in ("/admin/", reverse("admin:accounts_user_changelist"))]
    followed = client.get("/admin/", follow=True)
    shown = b"Support desk" in followed.content and followed.request["PATH_INFO"] == "/admin/"
    statuses = {answer.status_code for answer in answers}
    assert shown is (statuses == {200})
    assert statuses in ({200}, {302})
    return shown


class TestSigningIn:
    def test_password_alone_does_not_open(self, staff: User) -> None:
        EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
        client = Client()
        assert sign_in(client, staff).url == "/connections/"
        assert not opens(client)
        assert client.get("/admin/", follow=True).request["PATH_INFO"] == "/accounts/2fa/"

    def test_password_and_code_open(self, staff: User, app: App) -> None:
        client = Client()
        assert sign_in(client, staff).url == "/accounts/2fa/authenticate/"
        assert not opens(client)
        enter_code(client, app(0))
        assert opens(client)

    def test_wrong_code_does_not(self, staff: User, app: App) -> None:
        client = Client()
        sign_in(client, staff)
        enter_code(client, f"{(int(app(0)) + 1) % 10**6:06}")
        assert not opens(client)
        assert client.get("/connections/").status_code == 302

    def test_recovery_code_opens(self, staff: User, app: App) -> None:
        client = Client()
        sign_in(client, staff)
        enter_code(client, making.recovery_codes(staff)[3])
        assert opens(client)

    def test_password_of_the_reset_mail_does_not_open(self, staff: User, app: App) -> None:
        client = Client()
        client.post("/accounts/password/reset/", {"email": staff.email})
        (link,) = LINK.findall(str(mail.outbox[-1].body))
        form = client.get(link).url
        answer = client.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        assert answer.url == "/accounts/password/reset/key/done/"
        assert not opens(client)
        sign_in(client, staff, NEW_PASSWORD)
        assert not opens(client)
        enter_code(client, app(0))
        assert opens(client)

    def test_confirming_the_address_does_not_open(self, staff: User) -> None:
        client = Client()
        assert sign_in(client, staff).url == "/accounts/confirm-email/"
        (link,) = LINK.findall(str(mail.outbox[-1].body))
        assert not opens(client)
        client.post(link)
        assert EmailAddress.objects.get(user=staff).verified
        assert not opens(client)
        sign_in(client, staff)
        assert not opens(client)

    def test_passkey_opens(self, staff: User) -> None:
        EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
        key = Passkey(staff)
        first = making.sign_in(Client(), staff)
        confirm_again(first)
        key.register(first)
        assert Authenticator.objects.filter(user=staff, type="webauthn").exists()
        assert opens(first)  # making it has proved it, in this very session
        client = Client()
        key.sign_in(client)
        record = client.session["account_authentication_methods"][-1]
        assert (record["method"], record["type"], record["passwordless"]) == (
            *("mfa", "webauthn"),
            True,
        )
        assert opens(client)

    def test_passkey_of_another_does_not(self, staff: User, trader: User, app: App) -> None:
        EmailAddress.objects.create(user=trader, email=trader.email, verified=True, primary=True)
        key = Passkey(trader)
        first = making.sign_in(Client(), trader)
        confirm_again(first)
        key.register(first)
        key.user = staff  # says so in its answer
        client = Client()
        key.sign_in(client)
        assert client.get("/connections/").status_code == 302
        assert not opens(client)

    def test_session_made_past_every_form_does_not(self, staff: User, app: App) -> None:
        client = Client()
        making.force_login(client, staff)
        assert not opens(client)

    def test_second_factor_of_somebody_else_in_this_browser_does_not(
        self, staff: User, trader: User, app: App
    ) -> None:
        making.totp(trader)
        client = making.sign_in(Client(), trader, second_factor=True)
        making.force_login(client, staff)
        assert not opens(client)


class TestSessions:
    def test_keys_of_sessions_in_a_copy_of_the_database_let_nobody_in(self, trader: User) -> None:
        owner = making.sign_in(Client(), trader)
        assert owner.get("/connections/").status_code == 200
        keys = {*Session.objects.values_list("pk", flat=True)}
        keys |= {*UserSession.objects.values_list("session_key", flat=True)}
        assert keys
        for key in keys:
            for cookie in (key, Signer().sign(key), f"{key}:{'A' * 43}"):
                thief = Client()
                thief.cookies[settings.SESSION_COOKIE_NAME] = cookie
                answer = thief.get("/connections/")
                assert answer.status_code == 302
                assert answer["Location"].startswith("/accounts/login/")
        assert owner.get("/connections/").status_code == 200

    def test_old_session_stays_out_when_a_factor_is_set_up_elsewhere(self, staff: User) -> None:
        old = making.sign_in(Client(), staff)
        assert not opens(old)
        making.totp(staff)
        assert opens(another_session(staff, second_factor=True))
        assert not opens(old)
        asked = old.get("/admin/", follow=True).request["PATH_INFO"]
        assert asked == "/accounts/2fa/reauthenticate/"

    def test_password_confirmed_again_does_not_open(self, staff: User, app: App) -> None:
        client = making.sign_in(Client(), staff)
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        assert not opens(client)

    def test_code_entered_later_opens(self, staff: User, app: App) -> None:
        client = making.sign_in(Client(), staff)
        answer = client.post("/accounts/2fa/reauthenticate/?next=/admin/", {"code": app(0)})
        assert answer.url == "/admin/"
        assert opens(client)

    @pytest.mark.parametrize(("age", "still"), [(11.9, True), (12.1, False), (100.0, False)])
    def test_twelve_hours_after_the_code_it_closes(
        self, staff: User, app: App, age: float, still: bool
    ) -> None:
        client = making.sign_in(Client(), staff, second_factor=True, age=age * HOUR)
        assert opens(client) is still

    def test_session_of_staff_ends_after_twelve_hours(self, staff: User, app: App) -> None:
        client = Client()
        sign_in(client, staff)
        enter_code(client, app(0))
        assert client.session.get_expiry_age() <= 12 * HOUR

    @pytest.mark.parametrize("lost", ["is_staff", "is_active"])
    def test_staff_who_left_are_out_at_once(self, staff: User, app: App, lost: str) -> None:
        client = making.sign_in(Client(), staff, second_factor=True)
        assert opens(client)
        User.objects.filter(pk=staff.pk).update(**{lost: False})
        assert client.get("/admin/").status_code == 302
        assert client.get("/admin/", follow=True).status_code in {200, 403}
        assert b"Support desk" not in client.get("/admin/", follow=True).content

    def test_trader_with_a_second_factor_is_no_staff(self, trader: User) -> None:
        making.totp(trader)
        client = making.sign_in(Client(), trader, second_factor=True)
        assert client.get("/admin/").status_code == 302
        assert client.get("/admin/login/").status_code == 403
