"""Replacing a key through the pages: what they say, whom they ask, what never stands on them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from connections import tasks
from connections.events import AccessEvent
from connections.exchanges.base import Credentials, KeyFacts
from connections.models import Connection, Credential, Thresholds
from strategies.models import StrategyConfig
from tests import canary, making
from tests.test_pages import TAGS, page, url

State = Credential.State
OTHER = making.report(facts=KeyFacts(making.GOOD, True, uid="43"))
BUTTONS = {
    "go_back": "Go back to the old key",
    "destroy_old_key": "Destroy the old key now",
    "use_other_account": "Use it all the same",
}


def words(text: str) -> str:
    return re.sub(r"\s+", " ", TAGS.sub("", text))


def said(browser: Client, connection: Connection, name: str = "detail") -> str:
    return words(page(browser.get(url(connection, name))))


def enter(browser: Client, connection: Connection, key: Credentials | None = None) -> None:
    given = key or making.credentials()
    browser.post(
        url(connection, "replace"),
        {"api_key": given.api_key, "secret": given.secret, "passphrase": given.passphrase},
    )


def states(connection: Connection) -> list[str]:
    keys = connection.credentials.exclude(state=State.RETIRED).order_by("created_at")
    return list(keys.values_list("state", flat=True))


class TestTheWholeLife:
    def test_replaced_and_taken_back(self, browser: Client, working: Connection) -> None:
        old = working.credentials.get()
        enter(browser, working)
        assert "Old key" not in said(browser, working)
        making.finish(working, making.report())
        text = said(browser, working)
        until = timezone.now() + timedelta(hours=24)
        assert f"Replaced key …{old.hint}: kept until {until:%-d %b %Y}" in text
        assert "then destroyed" in text and "Connected" in text
        answer = browser.post(url(working, "go_back"), follow=True)
        text = words(page(answer))
        assert "The old key is in use again, and is tested. The new one was destroyed here." in text
        assert "Testing" in text and "Replaced key" not in text and "Ready for" not in text
        making.finish(working, making.report())
        assert working.credentials.get(state=State.ACTIVE) == old
        assert "Connected" in said(browser, working)

    def test_replaced_and_destroyed_by_its_owner(
        self, browser: Client, working: Connection
    ) -> None:
        old = making.replaced(working)
        text = words(page(browser.post(url(working, "destroy_old_key"), follow=True)))
        assert "The old key was destroyed here. Delete it at MEXC too." in text
        assert "Replaced key" not in text
        old.refresh_from_db()
        assert (old.state, old.sealed) == (State.RETIRED, None)

    def test_replaced_and_destroyed_in_time(self, browser: Client, working: Connection) -> None:
        old = making.replaced(working)
        day_ago = timezone.now() - timedelta(hours=24)
        Credential.objects.filter(pk=old.pk).update(
            replaced_at=day_ago, destroy_at=day_ago + timedelta(hours=24)
        )
        assert "Replaced key" not in said(browser, working)
        answer = browser.post(url(working, "go_back"), follow=True)
        assert "There is no old key to go back to any more." in words(page(answer))
        tasks.destroy_replaced_keys()
        assert states(working) == ["active"]

    def test_of_another_account_and_used_all_the_same(
        self, browser: Client, working: Connection
    ) -> None:
        enter(browser, working)
        making.finish(working, OTHER)
        html = page(browser.get(url(working)))
        assert "The new key belongs to another account" in html
        assert "Margin limits are checked against the new account's balance" in html
        assert '<input type="hidden" name="account" value="43">' in html
        browser.post(url(working, "use_other_account"), {"account": "43"})
        assert "Testing the new key" in said(browser, working)
        making.finish(working, OTHER)
        assert (working.uid, states(working)) == ("43", ["replaced", "active"])
        assert "Use it all the same" not in said(browser, working)

    def test_not_enough_for_a_strategy(self, browser: Client, working: Connection) -> None:
        StrategyConfig.objects.create(
            connection=working, owner=working.owner, name="F", market="futures", enabled=True
        )
        enter(browser, working)
        making.finish(working, making.report())
        text = said(browser, working)
        assert "The new key lacks a right that your strategies need" in text
        assert "is not in use yet" in text
        assert states(working) == ["active", "pending"]


class TestWhatThePagesSay:
    @pytest.mark.parametrize("name", BUTTONS)
    def test_button_stands_only_where_it_does_something(
        self, browser: Client, working: Connection, name: str
    ) -> None:
        assert BUTTONS[name] not in said(browser, working)
        making.replaced(working)
        making.age(working, minutes=2)
        enter(browser, working)
        making.finish(working, OTHER)
        html = page(browser.get(url(working)))
        assert f'<form method="post" action="{url(working, name)}">' in html
        assert BUTTONS[name] in words(html)

    def test_panel_that_is_fetched_alone_offers_the_other_account(
        self, browser: Client, working: Connection
    ) -> None:
        enter(browser, working)
        making.finish(working, OTHER)
        panel = page(browser.get(url(working, "test"), headers={"HX-Request": "true"}))
        assert BUTTONS["use_other_account"] in panel
        past = browser.get(f"{url(working, 'tests')}{working.tests.latest('queued_at').pk}/")
        assert BUTTONS["use_other_account"] not in page(past)

    def test_page_of_the_form_says_how_long_and_what_if_it_leaked(
        self, browser: Client, working: Connection
    ) -> None:
        text = said(browser, working, "replace")
        assert "for 24 hours, so that you can go back" in text
        assert "The old key may have leaked? Delete it at MEXC now" in text
        assert "Destroy the old key now” on the connection" in text
        old = making.replaced(working)
        text = said(browser, working, "replace")
        assert BUTTONS["destroy_old_key"] in text and BUTTONS["go_back"] in text
        assert f"If you replace the key again, …{old.hint} is destroyed" in text

    @pytest.mark.parametrize(
        ("hours", "words"), [(0, "destroyed at once"), (1, "for 1 hour, so that")]
    )
    def test_page_of_the_form_goes_by_what_staff_have_set(
        self, browser: Client, working: Connection, hours: int, words: str
    ) -> None:
        Thresholds.objects.create(pk=1, replaced_kept_hours=hours)
        assert words in said(browser, working, "replace")

    def test_old_key_that_is_used_elsewhere_is_named(
        self, browser: Client, working: Connection
    ) -> None:
        key = making.credentials()
        making.replaced(working, key)
        making.replaced(working)
        making.connection(working.owner, working.exchange, "Another one", key)
        answer = browser.post(url(working, "go_back"), follow=True)
        assert "You use the old key in “Another one” by now" in words(page(answer))

    @pytest.mark.parametrize("account", ["", "42", "44", "\0", "4" * 5000, "<b>"])
    def test_account_that_was_not_found_is_not_confirmed(
        self, browser: Client, working: Connection, account: str
    ) -> None:
        enter(browser, working)
        making.finish(working, OTHER)
        answer = browser.post(url(working, "use_other_account"), {"account": account}, follow=True)
        assert "There is no new key of that account any more." in words(page(answer))
        assert not working.tests.open().exists()

    def test_many_tries_have_to_wait(self, browser: Client, working: Connection) -> None:
        for _ in range(6):
            enter(browser, working)
        making.finish(working, OTHER)
        answer = browser.post(url(working, "use_other_account"), {"account": "43"}, follow=True)
        assert "Several keys were tried just now. Wait a minute." in words(page(answer))
        working.tests.update(queued_at=timezone.now() + timedelta(days=3))  # the clock was ahead
        answer = browser.post(url(working, "use_other_account"), {"account": "43"}, follow=True)
        assert "Several keys were tried" not in words(page(answer))

    def test_activity_tells_it(self, browser: Client, working: Connection) -> None:
        making.replaced(working)
        browser.post(url(working, "destroy_old_key"))
        text = words(page(browser.get("/accounts/activity/")))
        assert "New key in use" in text
        assert "Old key destroyed" in text and "before its time was up" in text


class TestWhomTheyAsk:
    """As `discard_new_key`: the owner, confirmed within five minutes."""

    @pytest.fixture
    def ready(self, working: Connection) -> Connection:
        """With a kept key, and a new one of another account."""
        making.replaced(working)
        making.age(working, minutes=2)
        enter(making.sign_in(Client(), working.owner), working)
        making.finish(working, OTHER)
        return working

    @pytest.mark.parametrize("name", BUTTONS)
    def test_late_they_lead_to_the_page_that_asks(self, ready: Connection, name: str) -> None:
        late = making.sign_in(Client(), ready.owner, age=6 * 60)
        before = list(ready.credentials.order_by("pk").values_list("pk", "state", "uid"))
        answer = late.post(url(ready, name), {"account": "43"})
        assert answer.url.startswith("/accounts/reauthenticate/?next=%2Fconnections%2F")
        assert list(ready.credentials.order_by("pk").values_list("pk", "state", "uid")) == before
        assert not ready.tests.open().exists()

    @pytest.mark.parametrize("name", BUTTONS)
    def test_while_keys_are_frozen_they_do_nothing(self, ready: Connection, name: str) -> None:
        ready.owner.keys_frozen_until = timezone.now() + timedelta(hours=1)
        ready.owner.save()
        client = making.sign_in(Client(), ready.owner)
        before = states(ready)
        assert client.post(url(ready, name), {"account": "43"}).status_code == 403
        assert states(ready) == before and not ready.tests.open().exists()

    @pytest.mark.parametrize("name", BUTTONS)
    def test_others_and_staff_do_not_find_them(
        self, ready: Connection, stranger: Any, staff: Any, name: str
    ) -> None:
        before = states(ready)
        for user in (stranger, staff):
            client = making.sign_in(Client(), user)
            assert client.post(url(ready, name), {"account": "43"}).status_code == 404
        assert client.get(url(ready, name)).status_code == 405
        assert Client().post(url(ready, name)).url.startswith("/accounts/login/")
        assert states(ready) == before

    @pytest.mark.parametrize("name", BUTTONS)
    def test_forged_post_is_refused(self, ready: Connection, name: str) -> None:
        client = making.sign_in(Client(enforce_csrf_checks=True), ready.owner)
        assert client.post(url(ready, name), {"account": "43"}).status_code == 403


def test_no_byte_of_any_key_gets_out(
    browser: Client, trader: Any, kucoin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Over the whole life: replaced, another account, back, destroyed, exported."""
    keys = [canary.credentials("kucoin") for _ in range(4)]
    connection = making.connection(trader, kucoin, "Canary", keys[0])
    making.finish(connection, making.report())
    answers = []

    def look() -> None:
        answers.extend(
            browser.get(url(connection, name)) for name in ("detail", "replace", "tests")
        )
        answers.append(browser.get("/accounts/activity/"))

    def post(name: str, **sent: str) -> None:
        answers.append(browser.post(url(connection, name), sent, follow=True))
        look()

    with caplog.at_level("DEBUG"):
        for key, report in zip(keys[1:], (making.report(), OTHER, making.report()), strict=True):
            making.age(connection, minutes=2)
            enter(browser, connection, key)
            making.finish(connection, report)
            look()
            if report is OTHER:
                post("use_other_account", account="43")
                making.finish(connection, OTHER)
                post("go_back")
                making.finish(connection, making.report())
        exported = browser.post("/accounts/export/")
        post("destroy_old_key")
        tasks.destroy_replaced_keys()
    told = json.loads(exported.content)["connections"][0]["keys"]
    assert sorted(key["state"] for key in told) == ["active", "replaced", "retired", "retired"]
    (kept,) = (key for key in told if key["state"] == "replaced")
    assert kept["destroy_at"] and kept["replaced_at"] and kept["uid"] == "42"
    places = [answer.content + str(answer.headers).encode() for answer in [*answers, exported]]
    places += [caplog.text.encode(), str(dict(browser.session)).encode()]
    places += [each.session_data.encode() for each in Session.objects.all()]
    places += [str(row).encode() for row in AccessEvent.objects.values()]
    rows = Credential.objects.defer("sealed").values("hint", "fingerprint", "uid", "state")
    places += [str(row).encode() for row in rows]
    for key in keys:
        assert not any(canary.found_in(place, key) for place in places)
