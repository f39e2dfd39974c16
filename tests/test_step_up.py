"""Before a key is entered, replaced or destroyed: is it the owner, within the last five minutes,
and with the second factor where there is one? Through the pages, as in life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.test import Client

from backfuture.accounts.models import User
from connections.models import Connection, Credential
from tests import canary, making
from tests.passkey import Passkey

PASSWORD = "a long enough password"
NEW_PASSWORD = "seven crimson otters juggle"
LATE = 6 * 60
NEW = "/connections/new/kucoin/"
SECOND: dict[str, Any] = {"email": "second@example.com", "verified": True}
App = Callable[[float], str]


@pytest.fixture
def app(trader: User) -> App:
    return making.totp(trader)


@pytest.fixture
def late(trader: User) -> Client:
    """Signed in with the password six minutes ago."""
    EmailAddress.objects.get_or_create(
        user=trader, email=trader.email, defaults={"primary": True, "verified": True}
    )
    return making.sign_in(Client(), trader, age=LATE)


def key(**more: str) -> dict[str, str]:
    made = canary.credentials("kucoin")
    values = {"api_key": made.api_key, "secret": made.secret, "passphrase": made.passphrase}
    return {"name": "Typed name", **values, **more}


def confirmed(client: Client) -> Client:
    """As right after django-allauth's page that asks for the password."""
    session = client.session
    session["account_authentication_methods"][-1]["reauthenticated"] = True
    session.save()
    return client


def path(connection: Connection, name: str) -> str:
    return f"/connections/{connection.pk}/{name}/"


def acts(connection: Connection) -> dict[str, tuple[str, dict[str, str]]]:
    """What asks for a confirmation, and what is sent to it."""
    entered = {"api_key": "mx0vglTestTestTest", "secret": "0123456789abcdef0123456789abcdef"}
    return {
        "enter": ("/connections/new/mexc/", {"name": "Another", **entered}),
        "replace": (path(connection, "replace"), entered),
        "delete": (path(connection, "delete"), {"confirm": connection.name}),
        "delete account": ("/accounts/delete/", {"confirm": connection.owner.email}),
        "export": ("/accounts/export/", {}),
    }


def done(act: str, answer: Any, connection: Connection) -> bool:
    keys = Credential.objects.filter(connection=connection).count()
    return {
        "enter": Connection.objects.filter(name="Another").exists(),
        "replace": keys == 2,
        "delete": not Connection.objects.filter(pk=connection.pk).exists(),
        "delete account": not User.objects.filter(email="trader@example.com").exists(),
        "export": answer.headers.get("Content-Disposition", "").startswith("attachment"),
    }[act]


ACTS = ("enter", "replace", "delete", "delete account", "export")
ON_THE_FORM = ("enter", "replace", "delete")


class TestFreshness:
    @pytest.mark.parametrize("act", ACTS)
    @pytest.mark.parametrize(("age", "passes"), [(4 * 60 + 50, True), (5 * 60 + 1, False)])
    def test_five_minutes_after_the_password_it_asks(
        self, trader: User, connection: Connection, act: str, age: float, passes: bool
    ) -> None:
        client = making.sign_in(Client(), trader, age=age)
        where, sent = acts(connection)[act]
        assert done(act, client.post(where, sent), connection) is passes

    @pytest.mark.parametrize("act", ON_THE_FORM)
    def test_right_password_on_the_form_passes(
        self, late: Client, connection: Connection, act: str
    ) -> None:
        where, sent = acts(connection)[act]
        for wrong in ("", "not the password", NEW_PASSWORD):
            assert not done(act, late.post(where, {**sent, "confirm-password": wrong}), connection)
        assert done(act, late.post(where, {**sent, "confirm-password": PASSWORD}), connection)

    @pytest.mark.parametrize("act", ("delete account", "export"))
    def test_others_lead_to_the_page_that_asks(
        self, late: Client, connection: Connection, act: str
    ) -> None:
        where, sent = acts(connection)[act]
        asked = late.post(where, sent)
        assert asked.url.startswith("/accounts/reauthenticate/?next=")
        late.post(asked.url, {"password": PASSWORD})
        assert done(act, late.post(where, sent), connection)

    def test_confirming_lasts_for_the_next_act(self, late: Client, connection: Connection) -> None:
        late.post("/accounts/reauthenticate/", {"password": PASSWORD})
        where, sent = acts(connection)["delete"]
        assert done("delete", late.post(where, sent), connection)

    def test_guessing_the_password_ends_soon(self, late: Client, connection: Connection) -> None:
        where, sent = acts(connection)["delete"]
        for number in range(12):
            late.post(where, {**sent, "confirm-password": f"guess {number}"})
        assert not done(
            "delete", late.post(where, {**sent, "confirm-password": PASSWORD}), connection
        )

    @pytest.mark.parametrize(
        "goal", ["https://evil.example/", "//evil.example/", "/\\evil.example"]
    )
    def test_page_that_asks_leads_nowhere_else(self, late: Client, goal: str) -> None:
        answer = late.post(f"/accounts/reauthenticate/?next={goal}", {"password": PASSWORD})
        assert answer.url == "/connections/"


class TestWhatWasTyped:
    @pytest.mark.parametrize("given", [{}, {"confirm-password": "wrong-Canary-Password"}])
    def test_name_survives_and_secrets_do_not(
        self, late: Client, caplog: pytest.LogCaptureFixture, given: dict[str, str]
    ) -> None:
        sent = key(**given)
        answer = late.post(NEW, sent)
        text = answer.content.decode()
        assert 'value="Typed name"' in text
        assert 'name="confirm-password"' in text
        assert not Connection.objects.exists()
        kept = str(dict(late.session)) + Session.objects.get().session_data + str(late.cookies)
        for name in ("api_key", "secret", "passphrase", "confirm-password"):
            for form in canary.forms(sent.get(name, "none of the kind")):
                for place in (answer.content, str(answer.headers), kept, caplog.text):
                    assert form not in (place if isinstance(place, bytes) else place.encode())

    def test_session_in_the_database_is_locked(self, late: Client, app: App) -> None:
        late.post("/accounts/2fa/reauthenticate/", {"code": app(0)})
        stored = Session.objects.get().session_data
        assert stored.startswith("gAAAA")
        assert "account_authentication" not in stored

    @pytest.mark.parametrize(
        ("where", "sent"),
        [
            ("/accounts/email/", {"action_remove": "canary-77", "email": "second@example.com"}),
            ("/accounts/2fa/totp/activate/", {"code": "canary-77"}),
            ("/accounts/2fa/webauthn/add/", {"name": "canary-77", "credential": "{}"}),
            ("/accounts/2fa/recovery-codes/generate/", {"more": "canary-77"}),
        ],
    )
    @pytest.mark.parametrize("with_factor", [False, True])
    @pytest.mark.parametrize("headers", [{}, {"X-Requested-With": "XMLHttpRequest"}])
    def test_no_form_is_kept_while_somebody_confirms(
        self,
        late: Client,
        request: pytest.FixtureRequest,
        where: str,
        sent: dict[str, str],
        with_factor: bool,
        headers: dict[str, str],
    ) -> None:
        if with_factor and "totp" not in where:
            request.getfixturevalue("app")
        EmailAddress.objects.create(user_id=late.session["_auth_user_id"], **SECOND)
        before = set(late.session.keys())
        answer = late.post(where, sent, headers=headers)
        assert "reauthenticate/?next=" in answer.url
        assert "canary-77" not in str(dict(late.session)) + str(answer.headers)
        assert set(late.session.keys()) == before

    def test_anonymous_form_is_not_kept_either(self, db: None) -> None:
        client = Client()
        client.post("/accounts/2fa/webauthn/add/", {"name": "canary-77"})
        client.post(NEW, key())
        assert not Session.objects.exists()


class TestSecondFactor:
    """Where there is one, only it counts."""

    @pytest.fixture
    def fresh(self, trader: User, app: App) -> Client:
        """Signed in with the password just now, before there was an app."""
        return making.sign_in(Client(), trader)

    @pytest.mark.parametrize("act", ACTS)
    def test_password_of_just_now_is_not_enough(
        self, fresh: Client, connection: Connection, act: str
    ) -> None:
        where, sent = acts(connection)[act]
        given = {**sent, "confirm-password": PASSWORD, "password": PASSWORD}
        assert not done(act, fresh.post(where, given), connection)

    @pytest.mark.parametrize("act", ON_THE_FORM)
    def test_code_on_the_form_is(
        self, fresh: Client, app: App, connection: Connection, act: str
    ) -> None:
        where, sent = acts(connection)[act]
        for wrong in ("000000", PASSWORD):
            assert not done(act, fresh.post(where, {**sent, "confirm-code": wrong}), connection)
        assert done(act, fresh.post(where, {**sent, "confirm-code": app(0)}), connection)

    def test_page_for_the_password_leads_to_the_one_for_the_code(self, fresh: Client) -> None:
        for answer in (
            fresh.get("/accounts/reauthenticate/?next=/connections/"),
            fresh.post("/accounts/reauthenticate/?next=/connections/", {"password": PASSWORD}),
        ):
            assert answer.url.startswith("/accounts/2fa/reauthenticate/")
        assert "reauthenticated" not in str(dict(fresh.session))

    @pytest.mark.parametrize("how", ["password of the sign-in", "password confirmed before"])
    @pytest.mark.parametrize(
        ("where", "sent"),
        [
            ("/accounts/2fa/totp/deactivate/", {}),
            ("/accounts/2fa/recovery-codes/generate/", {}),
            ("/accounts/2fa/webauthn/add/", {"credential": "{}"}),
            ("/accounts/email/", {"action_remove": "", "email": "second@example.com"}),
        ],
    )
    def test_pages_of_factors_and_addresses_ask_for_it_too(
        self, fresh: Client, trader: User, where: str, sent: dict[str, str], how: str
    ) -> None:
        """Also in a session that confirmed by password just before the app was set up elsewhere."""
        if how == "password confirmed before":
            confirmed(fresh)
        EmailAddress.objects.create(user=trader, **SECOND)
        answer = fresh.post(where, sent)
        assert answer.status_code == 302
        assert answer.url.startswith("/accounts/2fa/reauthenticate/")
        assert list(Authenticator.objects.values_list("type", flat=True)) == ["totp"]
        assert EmailAddress.objects.filter(user=trader).count() == 2

    def test_passkey_in_another_tab_confirms(self, late: Client, trader: User) -> None:
        late.post("/accounts/reauthenticate/", {"password": PASSWORD})
        passkey = Passkey(trader)
        passkey.register(late)
        making.sign_in(late, trader, age=600)
        assert "confirm-password" not in late.get("/accounts/confirm/").content.decode()
        late.post(NEW, key(**{"confirm-password": PASSWORD}))
        assert not Connection.objects.exists()
        passkey.confirm(late)
        late.post(NEW, key())
        assert Connection.objects.exists()
