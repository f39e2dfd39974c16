"""The flow in a real browser: first sign-up to Connected, with JavaScript and without."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from connections.exchanges import EXCHANGES
from tests.chromium import IN_A_BROWSER
from tests.running import PASSWORD, Site
from tests.simulator import KeySpec, sample

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("browser")) as running:
        yield running


class Tab:
    """A page that remembers what the browser complained of."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site
        page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    def open(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page

    def join(self, email: str = "") -> None:
        """Someone new, past the pages that test_from_sign_up_to_connected goes through."""
        self.page.context.add_cookies(self.site.visitor().sign_up(email).cookies())
        self.open("/connections/")

    def sign_up(self, email: str) -> None:
        self.open("/")
        self.page.get_by_role("link", name="Sign up").or_(
            self.page.get_by_role("link", name="Create an account")
        ).first.click()
        self.page.get_by_label("Email").or_(self.page.get_by_label("E-mail")).first.fill(email)
        self.page.locator("input[name=password1]").fill(PASSWORD)
        self.page.locator("input[name=password2]").fill(PASSWORD)
        self.page.locator("main button[type=submit], .page button[type=submit]").last.click()
        self.page.wait_for_url("**/connections/")

    def enter(self, key: KeySpec, name: str = "") -> None:
        self.fill(key)
        if name:
            self.page.locator("input[name=name]").fill(name)
        self.page.get_by_role("button", name="Save and test").click()

    def fill(self, key: KeySpec) -> None:
        self.page.locator("[name=api_key]").fill(key.api_key)
        self.page.locator("[name=secret]").fill(key.paste_secret)
        if key.passphrase:
            self.page.locator("[name=passphrase]").fill(key.paste_passphrase)

    def connect(self, key: KeySpec, name: str = "") -> None:
        self.open(f"/connections/new/{key.exchange}/")
        self.enter(key, name)


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def context(request, chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(java_script_enabled=request.param)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, site: Site) -> Iterator[Tab]:
    tab = Tab(context.new_page(), site)
    tab.join()
    yield tab
    assert tab.complaints == []


def connected(tab: Tab) -> None:
    expect(tab.page.locator("#connection-status")).to_contain_text("Connected", timeout=20_000)


def menu(page: Page) -> None:
    page.locator("main details > summary").first.click()


def heading(tab: Tab, text: str) -> None:
    expect(tab.page.get_by_role("heading", name=text).first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("exchange", ["mexc", "kucoin"])
def test_from_sign_up_to_connected(context: BrowserContext, site: Site, exchange: str):
    tab = Tab(context.new_page(), site)
    tab.sign_up(f"{secrets.token_hex(4)}@example.com")
    page = tab.page
    page.locator("main a[href='/connections/new/']").first.click()
    page.locator(f"a[href='/connections/new/{exchange}/']").first.click()
    expect(
        page.get_by_text("203.0.113.7,203.0.113.8").or_(page.locator("input[readonly]")).first
    ).to_be_visible()
    tab.enter(sample(exchange, "good"))
    connected(tab)
    expect(page.get_by_text("USDT").first).to_be_visible()
    assert tab.complaints == []


FAILURES = [
    ("mexc", "read_only", "No trading permission", "tick View Account Details"),
    ("mexc", "wrong_ip", "IP not allowed", "203.0.113.7"),
    ("mexc", "wrong_secret", "The secret does not match the API key", "same key"),
    ("mexc", "expired", "The API key has expired", "Create a new key"),
    ("kucoin", "wrong_passphrase", "Wrong passphrase or secret", "not your login"),
    ("kucoin", "down", "Exchange unavailable", "Nothing for you to do"),
    ("kucoin", "expired", "gave no single reason", "Invalid API key"),
    ("kucoin", "disabled", "The key or the account is blocked", "support"),
    ("kucoin", "rate_limited", "Too many requests", "Wait a few minutes"),
    ("kucoin", "clock", "The clocks do not agree", "nothing for you to do"),
    ("kucoin", "restricted", "Not available from here", "regional site"),
    ("kucoin", "html", "An answer we have not seen before", "Test again"),
]


@pytest.mark.parametrize(("exchange", "scenario", "title", "advice"), FAILURES)
def test_failure_says_what_to_do(tab: Tab, exchange, scenario, title, advice):
    tab.connect(sample(exchange, scenario))
    heading(tab, title)
    expect(tab.page.get_by_text(advice).filter(visible=True).first).to_be_visible()


def test_withdrawal_is_refused_and_the_mended_key_turns_connected(tab: Tab, site: Site):
    key = sample("kucoin", "withdraw")
    was = site.exchanges.world.keys[key.api_key]
    tab.connect(key)
    heading(tab, "Refused: withdrawal is enabled")
    advice = tab.page.get_by_text("Untick Withdrawal").filter(visible=True)
    expect(advice.first).to_be_visible()
    site.exchanges.change(key.api_key, permissions=("General", "Spot"))
    site.age_tests()
    tab.page.reload()
    tab.page.get_by_role("button", name="Test again").first.click()
    connected(tab)
    site.exchanges.change(key.api_key, permissions=was.permissions)


@pytest.fixture
def scripted(chromium: Browser, site: Site) -> Iterator[Tab]:
    """Signed in, with JavaScript alone."""
    context = chromium.new_context()
    tab = Tab(context.new_page(), site)
    tab.join()
    yield tab
    context.close()


@pytest.mark.parametrize("code", EXCHANGES)
def test_every_exchange_connects_and_a_corrected_secret_mends_it(scripted: Tab, code: str):
    page, wrong = scripted.page, sample(code, "wrong_secret")
    scripted.open(f"/connections/new/{code}/")
    for spec in EXCHANGES[code].fields:
        field = page.locator(f"{'textarea' if spec.multiline else 'input'}[name={spec.name}]")
        expect(field).to_be_visible()
        hidden = "none" if spec.name == "api_key" and not spec.multiline else "disc"
        expect(field).to_have_css("-webkit-text-security", hidden)
    asked_for = page.locator("main :is(input, textarea)[translate=no]:not([readonly])")
    expect(asked_for).to_have_count(len(EXCHANGES[code].fields))
    scripted.enter(sample(code, "good"))
    connected(scripted)
    scripted.connect(wrong)
    expect(page.locator(".advice").first).to_be_visible(timeout=20_000)
    expect(page.locator("#test-title")).not_to_be_empty()
    expect(page.locator(".advice").first.locator("li, h3 + p").first).to_be_visible()
    expect(page.locator("#connection-status")).not_to_contain_text("Connected")
    page.get_by_role("link", name="Replace key").click()
    scripted.fill(replace(wrong, wrong_secret=""))
    page.get_by_role("button", name="Save and test").click()
    connected(scripted)
    assert scripted.complaints == []


@pytest.mark.parametrize("lost", ["session", "connection"])
def test_poll_that_lost_its_page_stops_and_says_so(scripted: Tab, lost: str):
    page = scripted.page
    scripted.connect(sample("mexc", "slow"))
    expect(page.locator("#test-panel[hx-trigger]")).to_be_visible()
    if lost == "session":
        page.context.clear_cookies()
    else:
        pk = page.url.rstrip("/").rsplit("/", 1)[-1].replace("-", "")
        for statement in (
            "DELETE FROM connections_connectiontest WHERE connection_id = ?",
            "DELETE FROM connections_credential WHERE connection_id = ?",
            "DELETE FROM connections_connection WHERE id = ?",
        ):
            scripted.site.execute(statement, pk)
    note = page.locator("#signed-out" if lost == "session" else "#gone")
    expect(note).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert asked == []
    note.get_by_role("link").click()
    page.wait_for_url("**/accounts/login/**" if lost == "session" else "**/connections/")


def test_nothing_typed_is_lost_but_the_secrets(tab: Tab):
    tab.open("/connections/new/mexc/")
    tab.page.locator("input[name=name]").fill("Kept name")
    tab.page.locator("input[name=api_key]").fill("mx0 has blanks inside")
    tab.page.get_by_role("button", name="Save and test").click()
    expect(tab.page.get_by_text("space or a line break").first).to_be_visible()
    expect(tab.page.locator("input[name=name]")).to_have_value("Kept name")
    expect(tab.page.locator("input[name=api_key]")).to_have_value("")


def test_replace_pause_and_delete(tab: Tab):
    page = tab.page
    tab.connect(sample("mexc", "good"), "Long lived")
    connected(tab)
    page.get_by_role("link", name="Replace").first.click()
    tab.fill(sample("mexc", "twin_good"))
    page.locator("main form button[type=submit]").last.click()
    connected(tab)
    expect(page.get_by_text(sample("mexc", "twin_good").api_key[-4:]).first).to_be_visible()
    menu(page)
    page.get_by_role("button", name="Pause").first.click()
    expect(page.get_by_text("Paused").first).to_be_visible()
    page.get_by_role("button", name="Resume").first.click()
    menu(page)
    page.get_by_role("link", name="Delete").first.click()
    page.locator("input[name=confirm]").fill("Long lived")
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_url("**/connections/")
    expect(page.get_by_text("its key destroyed here").first).to_be_visible()


def replaced(tab: Tab, name: str, key: KeySpec) -> None:
    tab.connect(sample("mexc", "good"), name)
    connected(tab)
    tab.page.get_by_role("link", name="Replace").first.click()
    tab.fill(key)
    tab.page.locator("main form button[type=submit]").last.click()


def test_replaced_key_is_taken_back_or_destroyed(tab: Tab):
    """On a phone: the buttons are there, and none is wider than the screen."""
    page = tab.page
    page.set_viewport_size({"width": 360, "height": 740})
    old, new = sample("mexc", "good"), sample("mexc", "twin_good")
    replaced(tab, "Taken back", new)
    kept = page.locator("#pending .alert").last  # the one before it may still be going
    expect(kept).to_contain_text(f"…{old.api_key[-4:]}: kept until", timeout=20_000)
    for part in (kept, *kept.get_by_role("button").all()):
        box = part.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360
    kept.get_by_role("button", name="Go back to the old key").click()
    expect(page.get_by_text("The old key is in use again").first).to_be_visible()
    connected(tab)
    expect(kept).to_have_count(0)
    page.get_by_role("link", name="Replace").first.click()
    tab.fill(new)
    page.locator("main form button[type=submit]").last.click()
    expect(kept).to_contain_text("kept until", timeout=20_000)
    kept.get_by_role("button", name="Destroy the old key now").click()
    expect(page.get_by_text("The old key was destroyed here").first).to_be_visible()
    expect(kept).to_have_count(0)


def test_key_of_another_account_is_used_all_the_same(tab: Tab):
    page = tab.page
    replaced(tab, "Moved", sample("mexc", "other_account"))
    heading(tab, "The new key belongs to another account")
    page.get_by_role("button", name="Use it all the same").click()
    expect(page.locator("#pending .alert").last).to_contain_text("kept until", timeout=20_000)
    connected(tab)


def test_browser_keeps_no_secret(chromium: Browser, site: Site):
    context = chromium.new_context()
    tab = Tab(context.new_page(), site)
    tab.sign_up("storage@example.com")
    key = sample("kucoin", "good")
    tab.connect(key)
    connected(tab)
    stored = tab.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    text = stored + str(context.storage_state()) + tab.page.content()
    for value in (key.api_key, key.secret, key.passphrase):
        assert value not in text
    tab.page.go_back()
    for name in ("api_key", "secret", "passphrase"):
        expect(tab.page.locator(f"input[name={name}]")).to_have_value("")
    context.close()
