"""A new support employee's first case, in a real browser: somebody writes that it does not work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.chromium import IN_A_BROWSER
from tests.running import Site
from tests.simulator import sample
from tests.test_browser import Tab
from tests.test_browser_rules import Guide, code_of, make

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("desk")) as running:
        yield running


class Clicks:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, what: Locator) -> None:
        what.click()
        self.count += 1


def test_failing_user_is_found_understood_and_helped_within_six_clicks(
    chromium: Browser, site: Site
) -> None:
    theirs = chromium.new_context()
    user = Tab(theirs.new_page(), site)
    user.join("ines@example.com")
    user.connect(sample("kucoin", "wrong_ip"), "KuCoin Spot Main")
    expect(user.page.get_by_text("IP not allowed").first).to_be_visible(timeout=20_000)

    staff = make(site, "new@example.com", staff=True)
    mine = chromium.new_context(viewport={"width": 1280, "height": 900})
    guide = Guide(mine, site)
    guide.sign_in(staff, code_of(staff.seed), "/accounts/login/?next=/admin/")
    site.age_tests()  # the user writes some time after their test
    page, click = guide.page, Clicks()

    page.keyboard.press("Control+k")  # the search, as its button says
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("ines@example.com")
    click(page.get_by_role("link", name="KuCoin Spot Main").first)
    page.locator("#id_why").fill("ticket 4711")
    click(page.get_by_role("button", name="Go on"))
    owner_reads = page.locator("section", has_text="What its owner reads")
    expect(owner_reads).to_contain_text("IP not allowed")
    expect(owner_reads.locator("ol li").first).to_be_visible()  # what to tell the user
    click(page.get_by_role("button", name="Test again"))
    expect(page.get_by_text("1 test was asked for.")).to_be_visible()

    assert click.count <= 6
    user.page.goto(site.url + "/accounts/activity/")
    expect(user.page.get_by_text("Looked at by support").first).to_be_visible()
    expect(user.page.get_by_text("ticket 4711").first).to_be_visible()
    mine.close()
    theirs.close()
