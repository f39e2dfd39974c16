"""A strategy in a real browser: its form, preview, pairs and gate, with JavaScript and without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.chromium import IN_A_BROWSER
from tests.running import Site
from tests.simulator import sample
from tests.test_browser import Tab, connected

pytestmark = IN_A_BROWSER

PAIRS = """
from decimal import Decimal
from django.utils import timezone
from strategies.models import Pair, PairList
for market, end in (("spot", ""), ("futures", ":USDT")):
    for base, price in (("BTC", "67012.34"), ("ETH", "3245.1"), ("SOL", "156.07")):
        facts = dict(base=base, quote="USDT", min_cost=5, last_price=Decimal(price))
        facts |= dict(seen_at=timezone.now(), active=True)
        where = dict(exchange_id="mexc", market=market, symbol=f"{base}/USDT{end}")
        Pair.objects.update_or_create(**where, defaults=facts)
    lists = dict(refreshed_at=timezone.now(), asked_at=timezone.now())
    PairList.objects.update_or_create(exchange_id="mexc", market=market, defaults=lists)
"""


# Everybody confirmed that it is them so long ago that they are asked again.
LATE = """
from django.contrib.sessions.models import Session
from backfuture.accounts.sessions import SessionStore
for key in Session.objects.values_list("pk", flat=True):
    store = SessionStore(key)
    for record in store.get("account_authentication_methods", []):
        record["at"] -= 3600
    store.modified = True
    store.save()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("strategies")) as running:
        running.manage("shell", "-v", "0", "-c", PAIRS)
        yield running


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def context(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(java_script_enabled=request.param)
    yield made
    made.close()


def opened(context: BrowserContext, site: Site) -> Tab:
    """Signed up, with a tested MEXC connection, at the form of a new strategy."""
    tab = Tab(context.new_page(), site)
    tab.join()
    tab.connect(site.key("strategies"), "Main")
    connected(tab)
    tab.page.goto(site.url + "/strategies/new/")
    expect(tab.page.get_by_role("heading", name="New strategy")).to_be_visible()
    return tab


@pytest.fixture
def tab(context: BrowserContext, site: Site) -> Iterator[Tab]:
    made = opened(context, site)
    yield made
    assert made.complaints == []


@pytest.fixture
def scripted(chromium: Browser, site: Site) -> Iterator[Tab]:
    context = chromium.new_context()
    made = opened(context, site)
    yield made
    assert made.complaints == []
    context.close()


def typed(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name)


def found(page: Page, name: str) -> Locator:
    return page.locator("#pairs-found").get_by_role("checkbox", name=name)


def test_from_the_form_to_enabled_and_off_again(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Name", exact=True).fill("BTC alone")
    found(page, "BTC/USDT").check()
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_role("heading", name="BTC alone")).to_be_visible()
    expect(page.get_by_role("heading", name="It may be enabled")).to_be_visible()
    page.get_by_role("button", name="Enable the strategy").click()
    expect(page.get_by_role("heading", name="It is enabled")).to_be_visible()
    page.goto(tab.site.url + "/strategies/")
    expect(page.get_by_text("Enabled", exact=True)).to_be_visible()
    page.get_by_role("link", name="BTC alone").click()
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("link", name="All of it, with every version").click()
    for what in ("Switched off", "Enabled", "Created"):
        expect(page.get_by_text(what, exact=True)).to_be_visible()


def test_refusal_says_what_to_do(tab: Tab) -> None:
    page = tab.page
    found(page, "BTC/USDT").check()
    typed(page, "Margin limit").fill("90000")
    typed(page, "First order").fill("20000")
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_role("heading", name="It cannot be enabled yet")).to_be_visible()
    expect(page.get_by_text("Lower the orders or the refills")).to_be_visible()
    expect(page.get_by_role("button", name="Enable the strategy")).to_have_count(0)


def test_faults_are_said_and_nothing_is_lost(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Name", exact=True).fill("Kept")
    typed(page, "Take profit").fill("1,5")
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_text("Nothing was done yet")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kept")
    expect(typed(page, "Take profit")).to_have_value("1,5")
    expect(page.locator("#id_take_profit_error")).to_contain_text("a point before the decimals")
    page.get_by_role("alert").get_by_role("link", name="Take profit").click()
    found(page, "ETH/USDT").check()
    typed(page, "Take profit").fill("1.5")
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_role("heading", name="Kept")).to_be_visible()


def test_without_javascript_preview_and_search_keep_everything(
    chromium: Browser, site: Site
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = opened(context, site).page
    found(page, "BTC/USDT").check()
    page.get_by_label("Search pairs").fill("sol")
    typed(page, "Fee").fill("0.2")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#pairs-chosen").get_by_role("checkbox", name="BTC/USDT")).to_be_checked()
    expect(found(page, "ETH/USDT")).to_have_count(0)
    expect(typed(page, "Fee")).to_have_value("0.2")
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    page.get_by_role("radio", name="Conservative").check()
    page.get_by_role("button", name="Preview").last.click()
    expect(typed(page, "Fee")).to_have_value("0.1")
    expect(typed(page, "Refills at most")).to_have_value("4")
    expect(page.locator("#preview tbody tr")).to_have_count(5)
    context.close()


def test_level_fills_the_fields_and_a_change_makes_it_custom(scripted: Tab) -> None:
    page = scripted.page
    page.get_by_role("radio", name="Conservative").check()
    expect(typed(page, "Refills at most")).to_have_value("4")
    expect(page.get_by_role("radio", name="Conservative")).to_be_focused()
    typed(page, "Refills at most").fill("3")
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    expect(typed(page, "Refills at most")).to_be_focused()
    expect(page.locator("#preview tbody tr")).to_have_count(4)


def test_preview_is_drawn_again_while_typing(scripted: Tab) -> None:
    page = scripted.page
    found(page, "BTC/USDT").check()
    expect(page.locator("#preview")).to_contain_text("BTC/USDT, entered at its last price")
    expect(page.locator("#id_margin_limit_unit")).to_have_text("USDT")
    typed(page, "Margin limit").press("End")
    page.keyboard.type("0")
    expect(page.locator("#worst-line")).to_contain_text(re.compile("of 5000 USDT"))
    typed(page, "Margin limit").fill("100")
    expect(page.locator("#preview")).to_contain_text("over the margin limit of 100 USDT")
    expect(page.locator("#preview .ladder-own.ladder-over").first).to_be_visible()


def test_password_is_not_sent_with_the_preview(scripted: Tab) -> None:
    """Of a strategy that is enabled, whose form asks whether it is the owner."""
    page = scripted.page
    found(page, "BTC/USDT").check()
    page.get_by_role("button", name="Save, switched off").click()
    page.get_by_role("button", name="Enable the strategy").click()
    scripted.site.manage("shell", "-v", "0", "-c", LATE)
    page.get_by_role("link", name="Change settings").click()
    page.get_by_label("Your BackFuture password").fill("not to be sent")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    typed(page, "Take profit").fill("2")
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    assert any("take_profit=2" in body for body in sent)
    assert not any("not+to+be+sent" in body or "confirm-password" in body for body in sent)


def test_futures_show_leverage_and_its_warning(scripted: Tab) -> None:
    page = scripted.page
    found(page, "BTC/USDT").check()
    expect(typed(page, "Leverage")).to_be_hidden()
    page.get_by_role("radio", name="Futures").check()
    expect(typed(page, "Leverage")).to_have_value("2")
    expect(page.get_by_role("radio", name="Short")).to_be_visible()
    chosen = page.locator("#pairs-chosen").get_by_role("checkbox", name="BTC/USDT")
    expect(chosen).to_be_checked()
    typed(page, "Leverage").fill("25")
    expect(page.locator("#preview .alert-danger")).to_contain_text("liquidates it before")


def test_pairs_are_found_and_ticked_by_keyboard_alone(scripted: Tab) -> None:
    page = scripted.page
    page.get_by_label("Search pairs").focus()
    page.keyboard.type("eth")
    expect(found(page, "BTC/USDT")).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Search", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(found(page, "ETH/USDT")).to_be_checked()
    page.get_by_label("Search pairs").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("btc")
    chosen = page.locator("#pairs-chosen").get_by_role("checkbox", name="ETH/USDT")
    expect(chosen).to_be_checked()
    expect(page.get_by_label("Search pairs")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/strategies/new/"))
    expect(found(page, "BTC/USDT")).to_be_visible()


def test_change_of_two_windows_is_not_lost_silently(scripted: Tab) -> None:
    page = scripted.page
    found(page, "BTC/USDT").check()
    page.get_by_role("button", name="Save, switched off").click()
    page.get_by_role("link", name="Change settings").click()
    other = page.context.new_page()
    other.goto(page.url)
    typed(other, "Take profit").fill("3")
    other.get_by_role("button", name="Save the changes").click()
    expect(other.get_by_text("Saved as version 2")).to_be_visible()
    typed(page, "Take profit").fill("4")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_text("changed in another window").first).to_be_visible()
    expect(typed(page, "Take profit")).to_have_value("4")


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_page_is_wider_than_its_window(scripted: Tab, width: int) -> None:
    page = scripted.page
    page.set_viewport_size({"width": width, "height": 800})
    found(page, "BTC/USDT").check()
    expect(page.locator("#preview")).to_contain_text("BTC/USDT, entered")
    wider = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(wider) <= 0
    page.get_by_role("button", name="Save, switched off").click()
    expect(page.get_by_role("heading", name="It may be enabled")).to_be_visible()
    for path in (page.url, page.url + "history/", scripted.site.url + "/strategies/"):
        page.goto(path)
        assert page.evaluate(wider) <= 0, path


def test_key_that_turns_unsafe_suspends_and_the_owner_brings_it_back(
    scripted: Tab, site: Site
) -> None:
    page = scripted.page
    key = site.keys[-1]
    found(page, "BTC/USDT").check()
    page.get_by_role("button", name="Save, switched off").click()
    page.get_by_role("button", name="Enable the strategy").click()
    expect(page.get_by_role("heading", name="It is enabled")).to_be_visible()
    here = page.url
    site.exchanges.change(key.api_key, permissions=sample("mexc", "withdraw").permissions)
    ask_for_test(scripted)
    expect(page.get_by_role("heading", name="Refused: withdrawal")).to_be_visible(timeout=20_000)
    page.goto(here)
    expect(page.get_by_text("The key may withdraw funds. No strategy")).to_have_count(2)
    expect(page.get_by_text("it never comes back by itself")).to_be_visible()
    site.exchanges.change(key.api_key, permissions=key.permissions)
    ask_for_test(scripted)
    connected(scripted)
    page.goto(here)
    page.get_by_role("button", name="Enable it again").click()
    expect(page.get_by_role("heading", name="It is enabled")).to_be_visible()


def ask_for_test(tab: Tab) -> None:
    """On the connection's page, some time after the last one."""
    tab.site.age_tests()
    tab.page.goto(tab.site.url + "/connections/")
    tab.page.get_by_role("link", name="Main").click()
    tab.page.get_by_role("button", name="Test again").first.click()
