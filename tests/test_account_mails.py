"""The mails of an account: what each says of when, from where and what to do."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from django.core import mail
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils import timezone

from tests import making
from tests.test_account_pages import (
    FIREFOX,
    NEW_PASSWORD,
    PASSWORD,
    by_form,
    page,
    passkey,
    words,
)


def sent(subject: str) -> str:
    """The one mail of this subject."""
    found = [each for each in mail.outbox if each.subject == f"[BackFuture] {subject}"]
    assert len(found) == 1, [each.subject for each in mail.outbox]
    body = str(found[0].body)
    assert "&" not in body.replace("&uidb", ""), "escaped for HTML"
    assert not re.search(r"\n\n\n", body)
    assert "{" not in body
    return body


def is_a_warning(body: str) -> None:
    """When, from where, with what, and what to do."""
    assert re.search(r"When: \d+ [A-Z][a-z]{2} \d{4}, \d\d:\d\d:\d\d UTC", body)
    assert "From address: 127.0.0.1" in body
    assert "Browser: Firefox on Linux" in body
    assert "If this was not you" in body
    for path in ("/accounts/password/reset/", "/accounts/activity/", "/accounts/2fa/"):
        assert f"http://testserver{path}" in body
    assert "delete the API keys at your exchanges" in body


@pytest.fixture
def from_firefox(trader, address) -> Client:
    client = by_form(trader, FIREFOX)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    mail.outbox.clear()
    return client


class TestMails:
    def test_new_device(self, trader, from_firefox):
        by_form(trader, FIREFOX)
        is_a_warning(sent("New sign-in to your account"))
        from_firefox.post("/accounts/logout/")
        from_firefox.post("/accounts/login/", {"login": trader.email, "password": PASSWORD})
        assert from_firefox.get("/connections/").status_code == 200
        assert len(mail.outbox) == 1

    def test_password_changed(self, from_firefox):
        values = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        from_firefox.post("/accounts/password/change/", values)
        is_a_warning(sent("Your password was changed"))

    def test_password_reset(self, trader, address):
        client = Client(headers={"User-Agent": FIREFOX})
        client.post("/accounts/password/reset/", {"email": trader.email})
        asked = sent("Choose a new password")
        assert "From address: 127.0.0.1" in asked
        assert "Firefox on Linux" in asked
        assert "do nothing: the old password stays" in asked
        link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", asked)[1]
        path = client.get(link).url
        page(client.get(path))
        client.post(path, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        done = sent("Your password was reset")
        is_a_warning(done)
        assert "24 hours" in done
        assert link not in done

    def test_unknown_address(self, client, db):
        client.post("/accounts/password/reset/", {"email": "nobody@example.com"})
        assert "There is no such account" in sent("There is no account with this address")

    def test_signing_up(self, client, db):
        values = {"email": "new@example.com", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        client.post("/accounts/signup/", values)
        body = sent("Confirm your e-mail address")
        link = re.search(r"http://testserver(/accounts/confirm-email/\S+)", body)[1]
        page(client.get(link))

    def test_signing_up_again(self, client, trader, address):
        values = {"email": trader.email, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        client.post("/accounts/signup/", values)
        body = sent("You already have an account")
        assert "http://testserver/accounts/login/" in body
        assert "http://testserver/accounts/password/reset/" in body

    def test_another_address(self, trader, from_firefox):
        add = {"email": "other@example.com", "action_add": ""}
        from_firefox.post("/accounts/email/", add)
        assert "other@example.com" in sent("Confirm your e-mail address")
        other = EmailAddress.objects.get(email="other@example.com")
        key = EmailConfirmationHMAC(other).key
        from_firefox.post(f"/accounts/confirm-email/{key}/")
        chosen = {"email": "other@example.com", "action_primary": ""}
        from_firefox.post("/accounts/email/", chosen)
        changed = sent("Your e-mail address was changed")
        is_a_warning(changed)
        assert "from trader@example.com to other@example.com" in changed
        assert mail.outbox[-1].to == ["trader@example.com"]
        gone = {"email": "trader@example.com", "action_remove": ""}
        from_firefox.post("/accounts/email/", gone)
        removed = sent("An e-mail address was removed")
        is_a_warning(removed)
        assert "trader@example.com" in removed

    @pytest.mark.django_db(transaction=True)
    def test_authenticator_app(self, trader, from_firefox):
        shown = page(from_firefox.get("/accounts/2fa/totp/activate/"))
        secret = re.search(r'id="totp-secret"[^>]*>(\w+)', shown)[1]
        code = making.format_hotp_value(
            making.hotp_value(secret, int(timezone.now().timestamp()) // 30)
        )
        done = from_firefox.post("/accounts/2fa/totp/activate/", {"code": code})
        assert done.url == "/accounts/2fa/recovery-codes/"
        body = sent("An authenticator app was set up")
        is_a_warning(body)
        assert secret not in body
        assert code not in body
        from_firefox.post("/accounts/2fa/recovery-codes/generate/")
        made = sent("New recovery codes were made")
        is_a_warning(made)
        shown = page(from_firefox.get("/accounts/2fa/recovery-codes/"))
        codes = re.findall(r"\b\d{8}\b", words(shown))
        assert len(codes) >= 10
        assert not any(each in made for each in codes)
        from_firefox.post("/accounts/2fa/totp/deactivate/")
        is_a_warning(sent("The authenticator app was removed"))

    def test_passkey_removed(self, trader, from_firefox):
        key = passkey(trader)
        making.sign_in(from_firefox, trader, second_factor=True)
        from_firefox.post(f"/accounts/2fa/webauthn/keys/{key.pk}/remove/")
        is_a_warning(sent("A passkey was removed"))

    @pytest.mark.parametrize("name", ["mfa/email/webauthn_added", "account/email/password_set"])
    def test_others(self, db, name):
        request = RequestFactory().get("/")
        facts = {"request": request, "timestamp": timezone.now(), "ip": "127.0.0.1"}
        is_a_warning(render_to_string(f"{name}_message.txt", {**facts, "user_agent": FIREFOX}))
        assert render_to_string(f"{name}_subject.txt").strip()

    def test_browser_that_names_itself_a_sentence_is_not_quoted(self, db):
        bait = "Call +1 555 0100 or open http://evil.example to keep your account"
        facts = {
            "request": RequestFactory().get("/"),
            "timestamp": timezone.now(),
            "ip": "127.0.0.1",
        }
        body = render_to_string(
            "accounts/email/new_device_message.txt", {**facts, "user_agent": bait}
        )
        assert "evil" not in body
        assert "a browser we do not know" in body


def test_links_of_a_mail_without_a_visitor_lead_to_the_site(settings):
    settings.SITE_URL = "https://backfuture.example"
    text = Template("{% load accounts_ui %}{% absolute 'home' %}").render(Context())
    assert text == "https://backfuture.example/"
