"""What holds on every page, found by following the links: nothing breaks the Content-Security-
Policy, nothing is kept in the browser, and everything works without JavaScript."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import canary
from tests.chromium import IN_A_BROWSER
from tests.running import PASSWORD, Site, wait_for
from tests.simulator import KeySpec

pytestmark = IN_A_BROWSER

# The browser's own event, whatever a page does with its errors.
REPORT = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`))"""
STORED = "() => ({...localStorage, ...sessionStorage})"
# The choice of a theme, there and at the desk, and whether the desk's navigation is open.
MAY_KEEP = {"theme", "adminTheme", "sidebarDesktopOpen"}

MAKE_USER = """
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from backfuture.accounts.models import User
user = User.objects.create_user("{email}", "{password}", is_staff={staff}, is_superuser={staff})
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
if {app}:
    seed = generate_totp_secret()
    TOTP.activate(user, seed)
    print(seed, *RecoveryCodes.activate(user).generate_codes())
"""
LET_TIME_PASS = """
from backfuture.accounts.models import User
from backfuture.accounts.sessions import SessionStore
from django.contrib.sessions.models import Session
who = str(User.objects.get(email="{email}").pk)
for row in Session.objects.all():
    session = SessionStore(row.session_key)
    if session.get("_auth_user_id") == who:
        records = session.get("account_authentication_methods", [])
        session["account_authentication_methods"] = [
            dict(record, at=record["at"] - 600) for record in records
        ]
        session.save()
"""
# Pages that no link leads to: where one is sent, or comes to from a mail.
SENT_TO = [
    "/accounts/confirm/",
    "/accounts/confirmed/",
    "/accounts/confirm-email/",
    "/accounts/inactive/",
    "/accounts/logout/",
    "/accounts/2fa/",
    "/accounts/2fa/reauthenticate/",
    "/accounts/2fa/recovery-codes/",
    "/accounts/2fa/recovery-codes/generate/",
    "/accounts/2fa/totp/deactivate/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
    "/accounts/password/reset/done/",
    "/accounts/password/reset/key/done/",
]
FOR_STRANGERS = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
    "/accounts/password/reset/key/1-set-password/",
    "/accounts/confirm-email/",
    "/accounts/confirm-email/no-such-key/",
    "/accounts/inactive/",
]
ERRORS = {"/nothing-here/": 404, "/connections/?secret=x": 400}
# What a trader with a connection and an app must have come past.
MUST_SEE = {
    *(f"connections:{name}" for name in ["list", "choose", "new", "detail", "tests", "past_test"]),
    *(f"connections:{name}" for name in ["rename", "replace", "delete"]),
    *(f"accounts:{name}" for name in ["security", "activity", "delete", "confirm", "confirmed"]),
    *("account_email", "account_change_password", "account_logout", "usersessions_list"),
    *("mfa_index", "mfa_deactivate_totp", "mfa_reauthenticate", "mfa_generate_recovery_codes"),
    *("mfa_list_webauthn", "mfa_add_webauthn"),
    *("findings:list", "exchanges:list"),
    *(f"notices:{name}" for name in ["list", "settings", "new_channel"]),
}


@dataclass
class Person:
    """Someone with an account, and what they know."""

    email: str
    seed: str = ""
    codes: list[str] = field(default_factory=list)
    key: KeySpec | None = None

    def secrets(self) -> list[str]:
        key = [self.key.api_key, self.key.secret, self.key.passphrase] if self.key else []
        return [PASSWORD, self.seed, *self.codes, *key]


def code_of(seed: str, later: int = 0) -> str:
    """The code of a step of 30 s. One that has passed counts until the end of the present step,
    so it is not made in its last seconds."""
    if later < 0 and (left := 30 - time.time() % 30) < 8:
        time.sleep(left)
    return format_hotp_value(hotp_value(seed, int(time.time()) // 30 + later))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rules")
    mails = f"filemail:///{folder / 'mails'}"
    with Site(folder, EMAIL_URL=mails, LOG_LEVEL="WARNING") as running:
        yield running


def make(site: Site, email: str, *, staff: bool = False, app: bool = True) -> Person:
    code = MAKE_USER.format(email=email, password=PASSWORD, staff=staff, app=app)
    told = site.manage("shell", "--verbosity", "0", "--command", code).splitlines()
    seed, *codes = told[-1].split() if app else [""]
    return Person(email, seed, codes)


class Guide:
    """A page, with everything the browser complained of and every address it asked for."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        context.set_default_timeout(15_000)
        context.add_init_script(REPORT)
        self.page: Page = context.new_page()
        self.site = site
        self.complaints: list[str] = []
        self.asked: list[str] = []
        context.on("console", self._note)
        context.on("weberror", lambda error: self._complain(str(error.error)))
        context.on("request", lambda request: self.asked.append(request.url))

    def _note(self, message: object) -> None:
        text = str(getattr(message, "text", ""))
        failed_load = text.startswith("Failed to load resource")  # an error page's own status
        kind = getattr(message, "type", "")
        if "Content Security Policy" in text or (kind == "error" and not failed_load):
            self._complain(text)

    def _complain(self, text: str) -> None:
        self.complaints.append(f"{urlsplit(self.page.url).path}: {text}")

    def open(self, path: str) -> int:
        answer = self.page.goto(self.site.url + path)
        assert answer
        return answer.status

    def send(self, values: dict[str, str], within: str = "") -> None:
        """Fills in the form that has these fields, and presses its button."""
        form = self.page.locator(f"{within or 'form'}:has([name='{next(iter(values))}'])").last
        for name, text in values.items():
            form.locator(f"[name='{name}']").fill(text)
        with self.page.expect_navigation():
            form.locator("[type=submit]").first.click()

    def press(self, action: str) -> None:
        """The button of the form that goes there."""
        with self.page.expect_navigation():
            self.page.locator(f"main form[action$='{action}'] [type=submit]").last.click()

    def sign_in(self, who: Person, code: str, path: str = "/accounts/login/") -> None:
        self.open(path)
        self.send({"login": who.email, "password": PASSWORD})
        self.send({"code": code})
        assert "/accounts/" not in self.page.url, self.page.inner_text("main")

    def connect(self, key: KeySpec, name: str, **more: str) -> str:
        self.open(f"/connections/new/{key.exchange}/")
        typed = {"api_key": key.api_key, "secret": key.paste_secret, "passphrase": key.passphrase}
        self.send({"name": name, **{n: v for n, v in typed.items() if v}, **more})
        return urlsplit(self.page.url).path

    def links(self) -> list[str]:
        """Addresses within the site, without what comes after the path."""
        script = "all => all.map(a => [a.origin, a.pathname])"
        found = self.page.locator("a[href]").evaluate_all(script)
        return [path for origin, path in found if origin == self.site.url]


def told(guide: Guide) -> str:
    """Each complaint once, and none of them again."""
    text = "\n".join(dict.fromkeys(guide.complaints))
    guide.complaints.clear()
    return text


def kind(path: str) -> str:
    try:
        return resolve(path).view_name + str(resolve(path).kwargs.get("code", ""))
    except Resolver404:
        return path


def walk(guide: Guide, *starts: str, of_a_kind: int = 2, within: str = "/") -> Iterator[str]:
    """Every page that can be come to, of each kind a few; yields while it is open."""
    waiting, known, counted = list(starts), set(starts), dict[str, int]()
    while waiting:
        path = waiting.pop(0)
        counted[kind(path)] = counted.get(kind(path), 0) + 1
        if counted[kind(path)] > of_a_kind or not path.startswith(within):
            continue
        if (status := guide.open(path)) >= HTTPStatus.BAD_REQUEST:
            guide.complaints.append(f"{path}: a link to it, and it answers {status}")
            continue
        if kept := guide.page.evaluate(STORED).keys() - MAY_KEEP:
            guide.complaints.append(f"{path}: the browser keeps {kept}")
            guide.page.evaluate("sessionStorage.clear()")  # so that each page answers for itself
        yield path
        fresh = [link for link in dict.fromkeys(guide.links()) if link not in known]
        waiting += fresh
        known |= set(fresh)


@pytest.fixture(scope="module")
def trader(site: Site) -> Person:
    return make(site, "trader@example.com")


@pytest.fixture(scope="module")
def tour(chromium: Browser, site: Site, trader: Person) -> Iterator[Guide]:
    """A trader with two connections, one of which fails, and an app that was just used."""
    context = chromium.new_context()
    guide = Guide(context, site)
    guide.sign_in(trader, code_of(trader.seed))
    trader.key = site.key("walked", "kucoin")
    for key in (site.key("failing", "mexc", fault="down"), trader.key):
        guide.connect(key, f"The {key.scenario}")
        expect(guide.page.locator("#test-panel")).to_be_visible()
        expect(guide.page.locator("#test-panel[hx-trigger]")).to_have_count(0, timeout=30_000)
    guide.open("/accounts/2fa/totp/deactivate/")
    if "/reauthenticate/" in guide.page.url:
        guide.send({"code": trader.codes.pop()})
    yield guide
    context.close()


# --- with JavaScript -----------------------------------------------------------------------


def test_no_page_breaks_the_policy_or_keeps_anything(tour: Guide, trader: Person):
    seen = set()
    for path in walk(tour, "/connections/", "/accounts/security/", *SENT_TO):
        if path == "/accounts/logout/":
            seen.add(kind(path))
        seen.add(kind(urlsplit(tour.page.url).path))
    assert not told(tour)
    seen |= {name.partition("new")[0] + "new" for name in seen if ":new" in name}
    assert MUST_SEE - seen == set()
    check_addresses(tour, trader)


def check_addresses(guide: Guide, who: Person) -> None:
    """What was typed or shown is in no address the browser asked for or remembers."""
    script = "() => [location.href, history.state, ...navigation.entries().map(e => e.url)]"
    addresses = "\n".join([*guide.asked, str(guide.page.evaluate(script))]).encode()
    for secret in who.secrets():
        for form in canary.forms(secret) if secret else ():
            assert form not in addresses


def test_pages_change_nothing_of_that_when_they_are_used(tour: Guide):
    """Menus, theme, a rejected form, a test that is polled."""
    page = tour.page
    tour.open("/connections/")
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    page.keyboard.press("Escape")
    tour.open("/connections/new/mexc/")
    tour.send({"name": "Kept", "api_key": "two words", "secret": "x"})
    tour.open("/connections/")
    page.locator("main a[href*='/connections/']").filter(has_text="walked").first.click()
    again = page.locator("form[action$='/test/'] [type=submit]").first
    expect(again).to_be_enabled(timeout=15_000)  # one test in ten seconds
    again.click()
    expect(page.locator("#test-panel[hx-trigger]")).to_have_count(0, timeout=30_000)
    assert not told(tour)


def test_theme_is_all_a_browser_keeps_and_only_when_it_was_chosen(tour: Guide):
    page = tour.page
    tour.open("/accounts/security/")  # a page without htmx
    page.evaluate("sessionStorage.clear()")
    page.locator("details.menu > summary").last.click()
    page.locator("[data-theme-choice=dark]").last.click()
    assert page.evaluate(STORED) == {"theme": "dark"}
    page.locator("[data-theme-choice=auto]").last.click()
    assert page.evaluate(STORED) == {}


def test_stranger_s_pages_and_error_pages(chromium: Browser, site: Site):
    context = chromium.new_context()
    guide = Guide(context, site)
    for path in FOR_STRANGERS:
        assert guide.open(path) == 200, path
        assert guide.page.evaluate(STORED) == {}, path
    for path, status in ERRORS.items():
        assert guide.open(path) == status, path
        assert guide.page.evaluate(STORED) == {}, path
    assert not told(guide)
    context.close()


def test_link_in_a_mail_leaves_no_key_in_what_is_asked_for_next(
    chromium: Browser, site: Site, trader: Person
):
    """The key of a password reset stands in one address, and never in a Referer."""
    context = chromium.new_context()
    guide = Guide(context, site)
    referers: list[str] = []
    context.on("request", lambda asked: referers.append(asked.headers.get("referer", "")))
    guide.open("/accounts/password/reset/")
    guide.send({"email": trader.email})
    guide.page.goto(wait_for(lambda: reset_link(site)))
    key = reset_link(site).rstrip("/").rsplit("-", 1)[-1]
    assert key not in guide.page.url
    assert key not in "".join(referers)
    expect(guide.page.locator("[name=password1]")).to_be_visible()
    assert not told(guide)
    context.close()


def reset_link(site: Site) -> str:
    mails = "".join(file.read_text() for file in (site.folder / "mails").glob("*"))
    found = re.findall(r"http\S+/password/reset/key/\S+", mails)
    return found[-1] if found else ""


def test_desk_breaks_its_policy_nowhere(chromium: Browser, site: Site, tour: Guide):
    staff = make(site, "staff@example.com", staff=True)
    context = chromium.new_context()
    guide = Guide(context, site)
    guide.sign_in(staff, code_of(staff.seed), "/accounts/login/?next=/admin/")
    guide.open("/admin/connections/connection/")
    guide.page.locator("#result_list tbody th a").first.click()
    guide.page.locator("#id_why").fill("ticket 4711")
    guide.page.get_by_role("button", name="Go on").click()
    expect(guide.page.get_by_text("What its owner reads")).to_be_visible()
    seen = set()
    for path in walk(guide, "/admin/", of_a_kind=1, within="/admin/"):
        seen.add(kind(path))
    assert not told(guide)
    lists = {name for name in seen if name.endswith("_changelist")}
    assert {"admin:connections_connection_changelist", "admin:accounts_user_changelist"} <= lists
    assert "admin:connections_connection_change" in seen
    context.close()


# --- without JavaScript --------------------------------------------------------------------


@pytest.fixture
def plain(chromium: Browser, site: Site) -> Iterator[Guide]:
    context = chromium.new_context(java_script_enabled=False)
    yield Guide(context, site)
    context.close()


def test_whole_way_without_javascript(chromium: Browser, site: Site, plain: Guide):
    """Set up an app, sign in with it, connect with a code, sign out everywhere else."""
    who = make(site, "plain@example.com", app=False)
    plain.open("/accounts/login/")
    plain.send({"login": who.email, "password": PASSWORD})
    who.seed, who.codes = set_up_app(plain)

    # Long after the last code, the key's form asks for one.
    site.manage("shell", "--verbosity", "0", "--command", LET_TIME_PASS.format(email=who.email))
    key = site.key("plain", "kucoin")
    path = plain.connect(key, "Plain", **{"confirm-code": who.codes.pop()})
    assert re.fullmatch(r"/connections/[0-9a-f-]{36}/", path), plain.page.inner_text("main")
    wait_for(lambda: "Connected" in reload(plain, path), 30, every=1)

    plain.open("/accounts/logout/")
    plain.press("/accounts/logout/")
    plain.sign_in(who, code_of(who.seed, 1))

    elsewhere = chromium.new_context()
    other = Guide(elsewhere, site)
    other.sign_in(who, who.codes.pop())
    plain.open("/accounts/sessions/")
    plain.press("/accounts/sessions/")
    other.open("/connections/")
    assert "/accounts/login/" in other.page.url
    plain.open("/connections/")
    assert plain.page.url.endswith("/connections/")
    elsewhere.close()
    check_addresses_without_scripts(plain, who, key)


def set_up_app(guide: Guide) -> tuple[str, list[str]]:
    guide.open("/accounts/2fa/totp/activate/")
    if "/reauthenticate/" in guide.page.url:
        guide.send({"password": PASSWORD})
    (seed,) = set(re.findall(r"\b[A-Z2-7]{32}\b", guide.page.content()))
    guide.send({"code": code_of(seed, -1)})
    if "/reauthenticate/" in guide.page.url:
        guide.send({"code": code_of(seed)})
    codes = re.findall(r"\b\d{8}\b", guide.page.locator("main textarea").first.input_value())
    assert len(codes) == 10
    return seed, codes


def reload(guide: Guide, path: str) -> str:
    guide.open(path)
    return guide.page.inner_text("main")


def check_addresses_without_scripts(guide: Guide, who: Person, key: KeySpec) -> None:
    addresses = "\n".join(guide.asked).encode()
    values = [*who.secrets(), key.api_key, key.secret, key.passphrase]
    assert not any(form in addresses for value in values if value for form in canary.forms(value))


def test_every_page_is_whole_without_javascript(plain: Guide, trader: Person, tour: Guide):
    """A heading, forms that know where to go and how, no button that only a script hears."""
    plain.sign_in(trader, trader.codes.pop())
    plain.open("/accounts/2fa/totp/deactivate/")
    if "/reauthenticate/" in plain.page.url:
        plain.send({"code": trader.codes.pop()})
    faults = []
    for path in walk(plain, "/connections/", "/accounts/security/", *SENT_TO, of_a_kind=1):
        if path != "/accounts/confirm/":  # a part of a page
            faults += [f"{path}: {fault}" for fault in faults_of(plain.page)]
    assert not faults, "\n".join(faults)


def faults_of(page: Page) -> Iterator[str]:
    if page.locator("h1").count() != 1:
        yield "not one h1"
    for form in page.locator("form").all():
        method, action = form.get_attribute("method"), form.get_attribute("action")
        if method not in {"post", "get"} or not action:
            yield f"a form without method or action: {action}"
        if method == "post" and not form.locator("[name=csrfmiddlewaretoken]").count():
            yield f"a form without a token: {action}"
    for button in page.locator("button[type=button]").all():
        if button.is_visible():
            yield f"a button that nothing hears: {button.inner_text()}"
    for link in page.locator("a:not([href]), [onclick], [href^='javascript:']").all():
        yield f"a link for scripts alone: {link.inner_text()}"
