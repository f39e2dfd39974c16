"""Second factors, passkeys and the question within a key's form, in a real browser."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, CDPSession, Page, expect

from backfuture.accounts import step_up
from tests.chromium import IN_A_BROWSER
from tests.running import PASSWORD, Site
from tests.simulator import sample
from tests.test_browser import Tab

pytestmark = IN_A_BROWSER

# Whoever is signed in has confirmed that it is them so many seconds ago.
AGE = """
import time
from django.contrib.sessions.models import Session
from backfuture.accounts.sessions import SessionStore
for key in Session.objects.values_list("pk", flat=True):
    store = SessionStore(key)
    for record in store.get("account_authentication_methods", []):
        record["at"] = time.time() - {seconds}
    store.modified = True
    store.save()
"""
POLLED = 1000 * (step_up.POLLED_EVERY + 1)
KEY = "mx0vglBrowserTestKey"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("browser-accounts")) as running:
        running.url = f"http://localhost:{running.port}"  # passkeys need a name
        yield running


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def tab(chromium: Browser, site: Site, request) -> Iterator[Tab]:
    yield from signed_up(chromium, site, java_script_enabled=request.param)


@pytest.fixture
def scripted(chromium: Browser, site: Site) -> Iterator[Tab]:
    yield from signed_up(chromium, site)


def signed_up(chromium: Browser, site: Site, **options: bool) -> Iterator[Tab]:
    """Someone new, whose address is confirmed; the browser may not complain of anything."""
    context = chromium.new_context(**options)
    tab = Tab(context.new_page(), site)
    tab.email = f"{secrets.token_hex(4)}@example.com"  # type: ignore[attr-defined]
    tab.join(tab.email)  # type: ignore[attr-defined]
    site.execute("UPDATE account_emailaddress SET verified = TRUE")
    yield tab
    assert tab.complaints == []
    context.close()


def confirm_with_password(page: Page) -> None:
    if "/reauthenticate/" in page.url:
        page.locator("input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()


def sign_out(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/accounts/logout/")
    page.locator("main").get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/")


def sign_in(tab: Tab) -> None:
    page = tab.page
    page.locator("input[name=login]").fill(tab.email)  # type: ignore[attr-defined]
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def code(secret: str, later: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time() + later) // 30))


def test_authenticator_app_from_setting_up_to_a_recovery_code(tab: Tab, site: Site):
    page = tab.page
    tab.open("/accounts/security/")
    page.get_by_role("link", name="Set up a second factor").click()
    page.get_by_role("link", name="Set up an authenticator app").click()
    confirm_with_password(page)
    expect(page.locator("img.qr")).to_be_visible()
    secret = page.locator("#totp-secret").input_value()
    page.locator("input[name=code]").fill("000000")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.locator(".field-errors")).to_be_visible()
    assert page.locator("#totp-secret").input_value() == secret
    page.locator("input[name=code]").fill(code(secret))
    page.get_by_role("button", name="Switch it on").click()
    codes = page.locator("#codes").input_value().split()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert all(each in download.value.path().read_text() for each in codes)
    page.get_by_role("link", name="I have stored them").click()
    expect(page.get_by_text("10 of 10 left")).to_be_visible()
    sign_out(page, site)
    sign_in(tab)
    page.locator("input[name=code]").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/connections/")
    tab.open("/accounts/2fa/")
    expect(page.get_by_text("9 of 10 left")).to_be_visible()


def authenticator(page: Page) -> tuple[CDPSession, str]:
    """A device that holds passkeys and says yes by itself."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def add_passkey(tab: Tab) -> None:
    tab.open("/accounts/2fa/webauthn/add/")
    confirm_with_password(tab.page)
    tab.page.get_by_role("button", name="Add the passkey").click()
    tab.page.wait_for_url("**/recovery-codes/")


def test_passkey_from_adding_to_signing_in_without_the_password(scripted: Tab, site: Site):
    page = scripted.page
    device, name = authenticator(page)
    scripted.open("/accounts/2fa/webauthn/add/")
    confirm_with_password(page)
    device.send("WebAuthn.setUserVerified", {"authenticatorId": name, "isUserVerified": False})
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("No passkey was used")).to_be_visible()
    expect(page.get_by_role("button", name="Add the passkey")).to_be_focused()
    device.send("WebAuthn.setUserVerified", {"authenticatorId": name, "isUserVerified": True})
    page.get_by_role("button", name="Add the passkey").click()
    page.wait_for_url("**/recovery-codes/")
    scripted.open("/accounts/2fa/webauthn/add/")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("already holds a passkey")).to_be_visible()
    sign_out(page, site)
    sign_in(scripted)
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url("**/connections/")
    sign_out(page, site)
    scripted.open("/accounts/login/?next=/accounts/2fa/webauthn/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{site.url}/accounts/2fa/webauthn/")
    expect(page.get_by_text("Last used")).to_be_visible()


def age_confirmations(site: Site, seconds: float) -> None:
    site.manage("shell", "--verbosity", "0", "-c", AGE.format(seconds=seconds))


def test_question_comes_while_a_key_is_typed_and_nothing_typed_is_lost(scripted: Tab, site: Site):
    page, asked = scripted.page, []
    page.clock.install()
    scripted.open("/connections/new/mexc/")
    expect(page.locator("#confirm")).to_be_empty()
    page.locator("[name=api_key]").fill(KEY)
    page.locator("[name=secret]").fill(SECRET)
    page.locator("[name=secret]").focus()
    page.on("request", lambda request: asked.append(request.url + str(request.post_data)))
    age_confirmations(site, 290)
    page.clock.run_for(POLLED)
    expect(page.locator("#confirm input")).to_be_visible()
    page.clock.run_for(3 * POLLED)
    assert page.locator("[name=api_key]").input_value() == KEY
    assert page.locator("[name=secret]").input_value() == SECRET
    expect(page.locator("[name=secret]")).to_be_focused()
    assert len(asked) == 1
    assert KEY not in asked[0]
    assert SECRET not in asked[0]


def test_stale_confirmation_is_asked_for_in_the_form(tab: Tab, site: Site):
    page = tab.page
    age_confirmations(site, 400)
    tab.connect(sample("mexc", "good"), "Mine")
    expect(page.get_by_text("Nothing was done yet")).to_be_visible()
    expect(page.locator("[name=secret]")).to_have_value("")
    tab.fill(sample("mexc", "good"))
    page.locator("[name=confirm-password]").fill(PASSWORD)
    page.get_by_role("button", name="Save and test").click()
    expect(page.get_by_role("heading", name="Mine")).to_be_visible()


def test_passkey_confirms_in_another_tab(scripted: Tab, site: Site):
    page = scripted.page
    device, name = authenticator(page)
    add_passkey(scripted)
    age_confirmations(site, 400)
    scripted.open("/connections/new/mexc/")
    scripted.fill(sample("mexc", "twin_good"))
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Or use a passkey").click()
    other = opened.value
    expect(other.get_by_role("button", name="Use your passkey")).to_be_visible()
    credentials = device.send("WebAuthn.getCredentials", {"authenticatorId": name})["credentials"]
    second, name = authenticator(other)
    second.send("WebAuthn.addCredential", {"authenticatorId": name, "credential": credentials[0]})
    other.get_by_role("button", name="Use your passkey").click()
    expect(other.get_by_role("heading", name="Confirmed")).to_be_visible()
    other.close()
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("#confirm")).to_be_empty()
    page.get_by_role("button", name="Save and test").click()
    page.wait_for_url("**/connections/*-*/")


def test_form_of_someone_signed_out_meanwhile_says_so_and_stops(scripted: Tab):
    page, asked = scripted.page, []
    page.clock.install()
    scripted.open("/connections/new/mexc/")
    page.context.clear_cookies()
    page.clock.run_for(POLLED)
    expect(page.locator("#signed-out")).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(3 * POLLED)
    assert asked == []
