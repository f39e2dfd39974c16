"""The pages and words of an account: for each kind of person, within the page's rules."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone
from fido2.cose import ES256
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    RegistrationResponse,
)

from backfuture.accounts import step_up
from backfuture.accounts.models import User
from backfuture.accounts.templatetags import accounts_ui
from connections.events import AccessEvent, Origin, acting_from, record
from connections.models import Connection
from tests import making

PASSWORD = "a long enough password"
NEW_PASSWORD = "quite another long one"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
Kind = AccessEvent.Kind


class Rules(HTMLParser):
    """What the Content-Security-Policy would stop, and what a form must not be without."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.broken: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        data = given.get("type") == "application/json"
        address = given.get("href") or given.get("action") or ""
        secret = given.get("type") == "password" or given.get("name") in SECRETS
        rules = {
            "inline script": tag == "script" and not given.get("src") and not data,
            "inline style": tag == "style" or "style" in given,
            "inline handler": any(name.startswith("on") for name in given),
            "script as address": address.strip().lower().startswith("javascript:"),
            "form without method or action": tag == "form"
            and (given.get("method") != "post" or not given.get("action")),
            "secret with a value": tag == "input"
            and secret
            and bool(given.get("value"))
            and "disabled" not in given,
        }
        self.broken += [f"{rule}: {tag} {attrs}" for rule, breaks in rules.items() if breaks]


SECRETS = {"code", "confirm-code", "confirm-password", "api_key", "secret", "passphrase"}


def page(response: Any, status: int = 200) -> str:
    assert response.status_code == status, getattr(response, "url", response.content[:300])
    text = response.content.decode()
    assert Rules(text).broken == []
    return re.sub(r"\s+", " ", text)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def passkey(user: User, name: str = "Phone") -> Authenticator:
    """A passkey as a browser would have registered it."""
    key = generate_private_key(SECP256R1()).public_key()
    credential_id = secrets.token_bytes(32)
    attested = AttestedCredentialData.create(
        b"\0" * 16, credential_id, ES256.from_cryptography_key(key)
    )
    data = AuthenticatorData.create(b"\0" * 32, AuthenticatorData.FLAG.AT, 0, attested)
    registered = RegistrationResponse.from_dict(
        {
            "id": credential_id,
            "rawId": credential_id,
            "type": "public-key",
            "response": {
                "clientDataJSON": CollectedClientData.create(
                    CollectedClientData.TYPE.CREATE, b"challenge", "http://testserver"
                ),
                "attestationObject": AttestationObject.create("none", data, {}),
            },
            "clientExtensionResults": {"credProps": {"rk": True}},
        }
    )
    credential = json.loads(json.dumps(dict(registered), default=dict))
    return Authenticator.objects.create(
        user=user, type=Authenticator.Type.WEBAUTHN, data={"name": name, "credential": credential}
    )


def nothing(user: User) -> None: ...


def app_and_codes(user: User) -> None:
    making.totp(user)
    making.recovery_codes(user)


def passkey_alone(user: User) -> None:
    passkey(user)


def everything(user: User) -> None:
    app_and_codes(user)
    passkey(user)


PEOPLE: dict[str, Callable[[User], None]] = {
    "password": nothing,
    "app": app_and_codes,
    "passkey": passkey_alone,
    "everything": everything,
}
FOR_ALL = (
    "/accounts/security/",
    "/accounts/activity/",
    "/accounts/delete/",
    "/accounts/confirm/",
    "/accounts/confirmed/",
    "/accounts/2fa/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
    "/accounts/sessions/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/connections/",
    "/connections/new/mexc/",
)
FOR_SOME = {
    "/accounts/reauthenticate/": {"password"},
    "/accounts/2fa/reauthenticate/": {"app", "everything"},
    "/accounts/2fa/webauthn/reauthenticate/": {"passkey", "everything"},
    "/accounts/2fa/totp/activate/": {"password", "passkey"},
    "/accounts/2fa/totp/deactivate/": {"app", "everything"},
    "/accounts/2fa/recovery-codes/": {"app", "everything"},
    "/accounts/2fa/recovery-codes/generate/": set(PEOPLE),
}


def by_form(user: User, agent: str) -> Client:
    client = Client(headers={"User-Agent": agent})
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def signed_in(user: User, kind: str, client: Client | None = None) -> Client:
    """Signed in and just confirmed, as django-allauth wants it before a factor changes."""
    PEOPLE[kind](user)
    client = making.sign_in(client or Client(), user, second_factor=kind != "password")
    if kind == "password":
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


@pytest.mark.parametrize("kind", PEOPLE)
class TestEveryPage:
    @pytest.mark.parametrize("path", FOR_ALL)
    def test_opens_for_everyone(self, trader, address, kind, path):
        page(signed_in(trader, kind).get(path))

    @pytest.mark.parametrize("path", FOR_SOME)
    def test_opens_for_whom_it_is(self, trader, address, kind, path):
        response = signed_in(trader, kind).get(path)
        if kind in FOR_SOME[path]:
            page(response)
        else:
            assert response.status_code in {302, 404}

    def test_second_step_of_sign_in(self, trader, address, kind):
        PEOPLE[kind](trader)
        client = Client()
        response = client.post("/accounts/login/", {"login": trader.email, "password": PASSWORD})
        if kind == "password":
            assert response.url == "/connections/"
            return
        text = page(client.get(response.url))
        assert ('name="code"' in text) == (kind != "passkey")
        assert ("Use your passkey" in text) == (kind != "app")

    def test_says_once_what_protects_the_keys(self, trader, address, kind):
        client = signed_in(trader, kind)
        for path in ("/connections/", "/connections/new/mexc/"):
            said = words(page(client.get(path))).count("Only your password protects the keys")
            assert said == (kind == "password")
        hub = words(page(client.get("/accounts/security/")))
        assert ("Only a password protects your exchange keys" in hub) == (kind == "password")


@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
)
def test_pages_before_sign_in_keep_the_rules(client, db, path):
    page(client.get(path))


@pytest.mark.parametrize("path", [*FOR_ALL[:-2], *FOR_SOME])
def test_anonymous_is_asked_to_sign_in(client, db, path):
    assert client.get(path).url.startswith("/accounts/login/")


class TestPasskeys:
    def test_sign_in_offers_one_and_says_what_it_needs(self, client, db):
        text = page(client.get("/accounts/login/?next=/accounts/security/"))
        assert 'data-passkey="sign-in"' in text
        assert text.count('name="next" value="/accounts/security/"') == 2
        assert "Passkeys need JavaScript" in text
        assert "backfuture/passkeys.js" in text

    @pytest.mark.parametrize(
        ("path", "ceremony", "option"),
        [
            ("/accounts/2fa/webauthn/add/", "create", "pubKeyCredParams"),
            ("/accounts/2fa/webauthn/reauthenticate/", "get", "allowCredentials"),
        ],
    )
    def test_browser_finds_its_options(self, trader, address, path, ceremony, option):
        text = page(signed_in(trader, "passkey").get(path))
        assert f'data-passkey="{ceremony}"' in text
        found = re.search(
            r'<script id="passkey-options" type="application/json">(.*?)</script>', text
        )
        assert option in json.loads(found[1])["publicKey"]

    def test_answer_that_does_not_fit_is_said_in_words(self, trader, address):
        client = signed_in(trader, "password")
        client.get("/accounts/2fa/webauthn/add/")
        text = page(client.post("/accounts/2fa/webauthn/add/", {"name": "x", "credential": "{}"}))
        assert "The passkey was not saved" in text

    def test_name_is_shown_as_text(self, trader, address):
        key = passkey(trader, "Blue <b>key</b>")
        client = making.sign_in(Client(), trader, second_factor=True)
        for path in ("", f"keys/{key.pk}/edit/", f"keys/{key.pk}/remove/"):
            text = page(client.get(f"/accounts/2fa/webauthn/{path}"))
            assert "Blue &lt;b&gt;key" in text

    def test_script_is_where_it_is_needed_and_nowhere_else(self, trader, address):
        client = signed_in(trader, "everything")
        assert "passkeys.js" not in page(client.get("/accounts/security/"))
        assert "passkeys.js" not in page(client.get("/connections/new/mexc/"))


class TestAuthenticatorApp:
    def test_secret_is_shown_to_type_and_nothing_translates_it(self, trader, address):
        text = page(signed_in(trader, "password").get("/accounts/2fa/totp/activate/"))
        field = re.search(r'<textarea[^>]*id="totp-secret"[^>]*>[^<]*', text)[0]
        assert re.search(r">[A-Z2-7]{32}$", field)
        assert 'translate="no"' in field
        assert 'src="data:image/svg+xml;base64,' in text

    def test_address_that_is_not_confirmed_comes_first(self, trader, address):
        EmailAddress.objects.update(verified=False)
        text = page(signed_in(trader, "password").get("/accounts/2fa/"))
        assert "Confirm your e-mail address first" in text
        assert "/totp/activate/" not in text

    def test_wrong_code_is_not_sent_back(self, trader, address):
        client = signed_in(trader, "password")
        client.get("/accounts/2fa/totp/activate/")
        text = page(client.post("/accounts/2fa/totp/activate/", {"code": "123457"}))
        assert "123457" not in text
        assert 'aria-invalid="true"' in text

    def test_last_one_is_not_removed_unwarned(self, trader, address):
        client = signed_in(trader, "app")
        assert "your only second factor" in page(client.get("/accounts/2fa/totp/deactivate/"))
        passkey(trader)
        text = page(client.get("/accounts/2fa/totp/deactivate/"))
        assert "Your passkeys and recovery codes stay" in text


class TestRecoveryCodes:
    def test_shown_once_to_copy_and_to_download(self, trader, address):
        making.totp(trader)
        codes = making.recovery_codes(trader)
        client = making.sign_in(Client(), trader, second_factor=True)
        first = page(client.get("/accounts/2fa/recovery-codes/"))
        download = re.search(r'download="[^"]*" href="data:text/plain[^"]*"', first)[0]
        for code in codes:
            assert code in first
            assert code in download
        assert trader.email.replace("@", "%40") in download
        second = page(client.get("/accounts/2fa/recovery-codes/"))
        assert not any(code in second for code in codes)
        assert "10 of 10 codes are left" in second

    def test_few_left_is_said(self, trader, address):
        making.totp(trader)
        making.recovery_codes(trader)
        row = Authenticator.objects.get(type="recovery_codes")
        row.data |= {"used_mask": 0b11111111, "viewed_at": 1}
        row.save()
        client = making.sign_in(Client(), trader, second_factor=True)
        text = page(client.get("/accounts/2fa/"))
        assert "2 of 10 left" in text
        assert "Make new ones" in text


class TestConfirming:
    """The part of a key's form that asks who is there."""

    def part(self, user: User, age: float, kind: str = "password") -> str:
        PEOPLE[kind](user)
        client = making.sign_in(Client(), user, second_factor=kind != "password", age=age)
        return page(client.get("/accounts/confirm/"))

    def test_fresh_asks_nothing_but_looks_again(self, trader):
        text = self.part(trader, 0)
        assert words(text).strip() == ""
        assert f'hx-trigger="every {step_up.POLLED_EVERY}s"' in text

    @pytest.mark.parametrize("age", [step_up.FRESH - step_up.POLLED_EVERY, step_up.FRESH + 1])
    def test_field_is_never_fetched_over(self, trader, age):
        text = self.part(trader, age)
        assert 'name="confirm-password"' in text
        assert "hx-get" not in text

    def test_passkey_is_offered_beside_the_code_in_a_tab_of_its_own(self, trader, address):
        text = self.part(trader, step_up.FRESH + 1, "everything")
        assert 'name="confirm-code"' in text
        link = re.search(r'<a [^>]*href="/accounts/2fa/webauthn/reauthenticate/[^>]*>', text)[0]
        assert 'target="_blank"' in link
        assert 'rel="noopener"' in link
        assert "every" not in text

    def test_passkey_alone_is_waited_for(self, trader, address):
        text = self.part(trader, step_up.FRESH + 1, "passkey")
        assert "<input" not in text
        assert f'hx-trigger="every {step_up.POLLED_EVERY}s, look"' in text

    @pytest.mark.parametrize("name", ["new", "replace", "delete"])
    def test_stands_in_every_form_that_changes_keys(self, trader, connection, name):
        client = making.sign_in(Client(), trader, age=step_up.FRESH + 1)
        path = (
            f"/connections/{connection.pk}/{name}/" if name != "new" else "/connections/new/mexc/"
        )
        text = page(client.get(path))
        form = re.search(r'<form method="post" action="/connections/.*?</form>', text)[0]
        assert 'name="confirm-password"' in form
        assert "htmx" in text

    def test_unconfirmed_form_says_that_nothing_was_done(self, trader, address, mexc):
        passkey(trader)
        client = making.sign_in(Client(), trader, second_factor=True, age=step_up.FRESH + 1)
        key = making.credentials()
        values = {"name": "Mine", "api_key": key.api_key, "secret": key.secret}
        text = page(client.post("/connections/new/mexc/", values))
        assert "Nothing was done yet" in text
        assert 'href="#confirm"' in text
        assert key.api_key not in text
        assert not Connection.objects.exists()

    def test_frozen_keys_are_explained_with_a_way_back(self, trader, connection):
        step_up.freeze_keys(trader)
        client = making.sign_in(Client(), trader)
        assert "Keys are frozen for a day" in page(client.get("/connections/new/mexc/"))
        text = page(client.get(f"/connections/{connection.pk}/replace/"))
        assert f'href="/connections/{connection.pk}/"' in text

    def test_missing_second_factor_leads_to_setting_one_up(self, trader, settings):
        settings.REQUIRE_MFA = True
        text = page(making.sign_in(Client(), trader).get("/connections/new/mexc/"))
        assert 'href="/accounts/2fa/">Set up a second factor' in text


def test_desk_carries_what_was_sent_and_asks(staff, mexc):
    making.totp(staff)
    client = making.sign_in(Client(), staff, second_factor=True, age=step_up.FRESH + 1)
    path = "/admin/connections/exchange/mexc/change/"
    text = page(client.post(path, {"notice": "Mind <b>the gap</b>", "position": "7"}))
    assert f'action="{path}"' in text
    assert '<input type="hidden" name="notice" value="Mind &lt;b&gt;the gap&lt;/b&gt;">' in text
    assert 'name="confirm-code"' in text
    assert "field-errors" not in text


class TestActivity:
    @pytest.fixture
    def events(self, trader, staff, connection) -> None:
        key = connection.credentials.get()
        with acting_from(Origin("203.0.113.9", FIREFOX)):
            record(Kind.SIGNED_IN, actor=trader, owner=trader, why="new device")
            record(Kind.SIGN_IN_FAILED, owner=trader)
        with acting_from(Origin("198.51.100.1", "Support's own browser")):
            record(Kind.STAFF_LOOK, actor=staff, connection=connection, why="asked <b>for</b> help")
        record(Kind.OPENED, connection=connection, key=key, why="test: retry")

    def test_says_who_and_from_where_and_why(self, browser, connection, events):
        text = words(page(browser.get("/accounts/activity/")))
        hint = connection.credentials.get().hint
        for said in (
            "by you · from 203.0.113.9 Firefox on Linux",
            "a browser not seen before",
            "who: unknown · from 203.0.113.9",
            "by BackFuture",
            "for a test: tested again by itself",
            "asked &lt;b&gt;for&lt;/b&gt; help",
            f"…{hint}",
        ):
            assert said in text

    def test_where_support_works_from_is_not_shown(self, browser, events):
        text = page(browser.get("/accounts/activity/"))
        assert "by support" in text
        assert "198.51.100.1" not in text
        assert "own browser" not in text

    def test_one_connection_at_a_time_and_never_a_strangers(
        self, browser, stranger, mexc, connection, events
    ):
        other = making.connection(stranger, mexc, "Not yours")
        text = words(page(browser.get("/accounts/activity/", {"connection": connection.pk})))
        assert "Who used this key" in text
        assert "Signed in" not in text
        for wrong in (other.pk, "x", ""):
            text = page(browser.get("/accounts/activity/", {"connection": wrong}))
            assert "Not yours" not in text
            assert "Signed in" in text

    def test_connection_links_to_its_own(self, browser, connection):
        assert f'href="/accounts/activity/?connection={connection.pk}"' in page(
            browser.get(f"/connections/{connection.pk}/")
        )

    def test_goes_by_pages_and_keeps_the_choice(self, browser, trader, connection):
        for _ in range(51):
            record(Kind.RENAMED, connection=connection, actor=trader)
        text = page(browser.get("/accounts/activity/", {"connection": connection.pk}))
        assert f"?connection={connection.pk}&amp;page=2" in text
        assert "Page 1 of 2" in text

    @pytest.mark.parametrize("kind", Kind)
    def test_each_kind_has_a_word_and_an_icon(self, trader, kind):
        event = AccessEvent(kind=kind, owner=trader, actor=trader, at=timezone.now())
        text = render_to_string("accounts/_event.html", {"event": event})
        assert str(Kind(kind).label) in text.replace("&#x27;", "'")
        assert Rules(text).broken == []

    def test_queries_do_not_grow_with_events(
        self, browser, trader, connection, django_assert_max_num_queries
    ):
        for _ in range(30):
            record(Kind.RENAMED, connection=connection, actor=trader)
        for path in ("/accounts/activity/", "/accounts/security/"):
            with django_assert_max_num_queries(13):
                browser.get(path)


class TestSessions:
    def test_this_one_is_marked_and_others_can_be_signed_out(self, trader, address):
        mine, other = (by_form(trader, agent) for agent in (FIREFOX, "<i>odd</i>/1.0"))
        text = page(mine.get("/accounts/sessions/"))
        assert "Firefox on Linux" in text
        assert "&lt;i&gt;odd&lt;/i&gt;/1.0" in text
        assert "from" in text and "127.0.0.1" in text
        assert text.count("This one") == 1
        mine.post("/accounts/sessions/")
        assert other.get("/connections/").status_code == 302
        assert "Sign out all others" not in page(mine.get("/accounts/sessions/"))


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (f"{FIREFOX[:12]} (Windows NT 10.0; Win64) Chrome/130 Safari/537.36", "Chrome on Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130 Safari/537 Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; like Mac OS X) Version/18.0 Mobile Safari/604", "Safari on iPhone"),
        ("Mozilla/5.0 (iPad; like Mac OS X) CriOS/130 Mobile Safari/604", "Chrome on iPad"),
        (
            "Mozilla/5.0 (Linux; Android 15) SamsungBrowser/27 Chrome/125",
            "Samsung Internet on Android",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14) Version/18 Safari/605", "Safari on macOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "a browser that does not say its name"),
    ],
)
def test_browsers_have_names(agent, name):
    assert accounts_ui.device(agent) == name


class TestDeletingTheAccount:
    def test_says_what_happens_and_where_the_keys_are(self, browser, connection):
        text = page(browser.get("/accounts/delete/"))
        assert connection.name in text
        assert 'href="https://www.mexc.com/user/openapi"' in text

    def test_wrong_address_is_refused(self, browser, trader):
        text = page(browser.post("/accounts/delete/", {"confirm": "someone@else.example"}))
        assert "Type the address exactly" in text
        assert User.objects.filter(pk=trader.pk).exists()


def test_file_of_data_can_be_asked_for_twice(browser):
    text = page(browser.get("/accounts/security/"))
    form = re.search(r'<form method="post" action="/accounts/export/"[^>]*>', text)[0]
    assert "data-answers-file" in form  # app.js sends other forms once


@pytest.mark.parametrize("second_factor", [False, True])
def test_page_of_addresses_says_what_a_second_factor_forbids(trader, address, second_factor):
    client = signed_in(trader, "app" if second_factor else "password")
    text = page(client.get("/accounts/email/"))
    assert ('name="action_add"' in text) != second_factor
    assert ("While a second factor is set up" in text) == second_factor
