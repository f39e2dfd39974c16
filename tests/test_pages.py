"""The pages of a trader, through the door a trader uses."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.dateformat import format as date_format

from connections.exchanges import EXCHANGES
from connections.exchanges.base import Balance, KeyFacts, Permissions
from connections.exchanges.problems import PROBLEMS
from connections.models import Connection, ConnectionTest, Credential, Exchange
from tests import making

MEXC_KEY = {"api_key": "mx0vglTestTestTest", "secret": "0123456789abcdef0123456789abcdef"}
KUCOIN_KEY = {
    "api_key": "6705f5c311545b000157d3eb",
    "secret": "110f31fc-61c5-4baf-a29f-3f19a62bbf5d",
    "passphrase": "my-passphrase-77",
}
NEW_MEXC = "/connections/new/mexc/"
TAGS = re.compile(r"<[^>]+>")
ICON = re.compile(r"#([a-z-]+)\"/>")
LISTED = re.compile(r"/tests/([0-9a-f-]{36})/\">")


def page(response) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def url(connection: Connection, name: str = "detail") -> str:
    return reverse(f"connections:{name}", args=[connection.pk])


class TestConnecting:
    def test_cards_offer_what_staff_offer(self, browser):
        Exchange.objects.filter(code="binance").update(offered=False)
        text = page(browser.get("/connections/new/"))
        assert 'href="/connections/new/mexc/"' in text
        assert 'href="/connections/new/kucoin/"' in text
        assert "Binance" in text
        assert text.count("Not yet offered") == 1

    def test_steps_show_our_addresses_and_the_key_page(self, browser):
        text = page(browser.get(NEW_MEXC))
        assert "203.0.113.7,203.0.113.8" in text
        assert "MEXC takes at most 10 addresses for a key." in text
        assert "https://www.mexc.com/user/openapi" in text
        assert 'value="MEXC Spot Main"' in text

    def test_kucoin_asks_for_the_passphrase_of_the_key(self, browser):
        text = page(browser.get("/connections/new/kucoin/"))
        assert 'name="passphrase"' in text
        assert "Not your login or trading password" in text

    def test_saving_leads_to_the_page_with_the_running_test(self, browser, trader):
        response = browser.post(NEW_MEXC, {"name": "Mine", **MEXC_KEY})
        connection = Connection.objects.get()
        assert response.url == url(connection)
        assert connection.owner == trader
        text = page(browser.get(response.url))
        assert "Testing" in text
        assert 'hx-trigger="every 1s"' in text

    def test_kucoin_too(self, browser):
        browser.post("/connections/new/kucoin/", {"name": "Mine", **KUCOIN_KEY})
        assert Connection.objects.get().credentials.get().hint == "d3eb"

    def test_sent_twice_it_makes_one(self, browser):
        first = browser.post(NEW_MEXC, {"name": "Mine", **MEXC_KEY})
        second = browser.post(NEW_MEXC, {"name": "Mine", **MEXC_KEY})
        assert first.url == second.url
        assert ConnectionTest.objects.count() == 1

    def test_same_key_under_another_name_is_refused_with_the_first_name(self, browser):
        browser.post(NEW_MEXC, {"name": "Mine", **MEXC_KEY})
        assert "already connected this key as “Mine”" in page(
            browser.post(NEW_MEXC, {"name": "Other", **MEXC_KEY})
        )

    def test_taken_name_is_refused_and_kept_in_the_form(self, browser, connection):
        text = page(browser.post(NEW_MEXC, {"name": connection.name, **MEXC_KEY}))
        assert "already have a connection of this name" in text
        assert f'value="{connection.name}"' in text
        for value in MEXC_KEY.values():
            assert value not in text

    def test_exchange_not_offered_leads_back_to_the_choice(self, browser, mexc):
        mexc.offered = False
        mexc.save()
        assert browser.get(NEW_MEXC).url == "/connections/new/"
        assert browser.get("/connections/new/mtgox/").url == "/connections/new/"

    @pytest.mark.parametrize(
        ("values", "fault"),
        [
            ({"secret": ""}, "Nothing was entered here"),
            ({"secret": "abc def"}, "space or a line break"),
            ({"api_key": "mx0********0042"}, "masked form"),
            ({"api_key": "mx0vglTestTestTesé"}, "character inside that no key has"),
            ({"api_key": "k" * 600}, "too long"),
            ({"api_key": MEXC_KEY["secret"], "secret": MEXC_KEY["api_key"]}, "look swapped"),
            ({"secret": MEXC_KEY["api_key"]}, "This is the API key again"),
        ],
    )
    def test_bad_paste_is_named_and_nothing_typed_is_lost(self, browser, values, fault):
        text = page(browser.post(NEW_MEXC, {"name": "Kept name", **MEXC_KEY, **values}))
        assert fault in text
        assert 'value="Kept name"' in text
        assert not Connection.objects.exists()
        for value in {**MEXC_KEY, **values}.values():
            assert not value or value not in text

    def test_padding_of_a_paste_is_taken_off(self, browser):
        padded = {name: f'\u200b "{value}"\n' for name, value in MEXC_KEY.items()}
        browser.post(NEW_MEXC, {"name": "Mine", **padded})
        assert Credential.objects.get().hint == MEXC_KEY["api_key"][-4:]

    def test_key_in_an_address_is_refused(self, browser):
        assert browser.get(NEW_MEXC, {"api_key": "x"}).status_code == 400


SECRET_FIELDS = re.compile(r"<(?:input|textarea)[^>]*name=\"(?:api_key|secret|passphrase)\"[^>]*>")


TEXT_AREAS = re.compile(r"<textarea[^>]*>(.*?)</textarea>", re.DOTALL)
FORMS = [*(f"/connections/new/{code}/" for code in EXCHANGES), "replace"]


@pytest.mark.parametrize("path", FORMS)
def test_secret_fields_keep_browsers_hands_off(browser, connection, path):
    response = browser.get(url(connection, "replace") if path == "replace" else path)
    text = response.content.decode()
    fields = SECRET_FIELDS.findall(text)
    assert len(fields) >= 2
    assert all(not content.strip() for content in TEXT_AREAS.findall(text))
    for field in fields:
        assert 'autocomplete="off"' in field
        assert 'translate="no"' in field
        assert 'spellcheck="false"' in field
        assert "value=" not in field
    assert "no-store" in response["Cache-Control"]


class TestTesting:
    def test_polling_ends_by_itself(self, browser, connection):
        htmx = {"HX-Request": "true"}
        assert "every 1s" in page(browser.get(url(connection, "test"), headers=htmx))
        making.finish(connection, making.report())
        text = page(browser.get(url(connection, "test"), headers=htmx))
        assert "every 1s" not in text
        assert "Connected" in text

    def test_without_javascript_the_page_refreshes_itself_while_testing(self, browser, connection):
        assert 'http-equiv="refresh"' in page(browser.get(url(connection)))
        making.finish(connection, making.report())
        assert 'http-equiv="refresh"' not in page(browser.get(url(connection)))

    def test_waiting_long_is_said(self, browser, connection):
        making.age(connection, seconds=6)
        assert "starts by itself" in page(browser.get(url(connection)))

    def test_testing_again(self, browser, connection):
        making.finish(connection, making.report())
        making.age(connection, seconds=11)
        browser.post(url(connection, "test"))
        assert connection.tests.count() == 2

    @pytest.mark.parametrize(("days", "shown"), [(0, "H:i"), (1, "j M, H:i"), (40, "j M, H:i")])
    def test_next_test_is_told_with_its_day_where_that_is_another(
        self, browser, connection, days, shown
    ):
        making.finish(connection, making.report("failed", problem="invalid_key"))
        at = timezone.now() + timedelta(days=days)
        Connection.objects.update(next_test_at=at)
        text = page(browser.get(url(connection)))
        assert f">Next test: {date_format(at, shown)} UTC.<" in re.sub("</svg>", ">", text)

    def test_of_an_exchange_that_support_paused_none_is_offered_or_promised(
        self, browser, connection, mexc
    ):
        making.finish(connection, making.report("failed", problem="invalid_key"))
        making.age(connection, minutes=1)
        text = page(browser.get(url(connection)))
        assert 'id="test-again"' in text and "Next test:" in text
        mexc.paused = True
        mexc.save()
        text = page(browser.get(url(connection)))
        assert "Support has paused MEXC: no key is tested on it" in text
        assert 'id="test-again"' not in text and "Next test:" not in text
        text = page(browser.post(url(connection, "test"), follow=True))
        assert "Support has paused MEXC, so no key is tested on it until that ends." in text
        assert "Resume" not in text
        assert connection.tests.count() == 1

    def test_of_a_paused_connection_has_to_wait_for_its_owner(self, browser, connection):
        making.finish(connection, making.report())
        browser.post(url(connection, "pause"))
        text = page(browser.post(url(connection, "test"), follow=True))
        assert "This is paused, so its key is not used. Resume it first." in text
        assert "Support has paused" not in text

    def test_testing_again_too_soon_says_how_long_to_wait(self, browser, connection):
        making.finish(connection, making.report())
        response = browser.post(url(connection, "test"), follow=True)
        assert "only just asked for" in page(response)
        assert connection.tests.count() == 1

    @pytest.mark.parametrize("code", sorted(PROBLEMS))
    def test_each_problem_is_said_with_its_advice(self, browser, connection, code):
        causes = ("invalid_key", "key_expired") if code == "ambiguous" else ()
        making.finish(connection, making.report("failed", problem=code, causes=causes))
        text = page(browser.get(url(connection)))
        problem = PROBLEMS[code]
        assert problem.title.format(exchange="MEXC")[:20] in text.replace("&#x27;", "'")
        assert f"{code}-{str(connection.tests.get().pk)[:8]}" in text
        if causes:
            assert "Invalid API key" in text
            assert "The API key has expired" in text

    def test_address_the_exchange_saw_is_shown(self, browser, connection):
        making.finish(
            connection, making.report("failed", problem="ip_not_allowed", seen_ip="198.51.100.9")
        )
        text = page(browser.get(url(connection)))
        assert "198.51.100.9" in text
        assert "203.0.113.7,203.0.113.8" in text

    def test_withdrawal_is_refused_with_the_way_out(self, browser, connection):
        facts = KeyFacts(Permissions(True, True, withdraw=True), True)
        making.finish(connection, making.report("refused", facts=facts))
        text = page(browser.get(url(connection)))
        assert "Refused: withdrawal is enabled" in text
        assert "Untick Withdraw" in text

    def test_unknown_is_said_as_unknown(self, browser, connection):
        facts = KeyFacts(Permissions(read=True, spot_trade=True), None)
        making.finish(
            connection,
            making.report("warnings", warnings=("withdraw_unknown",), facts=facts),
        )
        assert "does not tell us whether this key may withdraw" in page(
            browser.get(url(connection))
        )

    def test_balances_are_shown_as_they_came(self, browser, connection):
        balance = Balance("USDT", "1234567.000000001", "0", "1234567.000000001")
        making.finish(connection, making.report(balances=(balance,)))
        assert "1234567.000000001" in page(browser.get(url(connection))).replace(",", "")

    def test_past_test_has_its_own_page(self, browser, connection):
        test = making.finish(connection, making.report())
        text = page(browser.get(reverse("connections:past_test", args=[connection.pk, test.pk])))
        assert "GET /api/v3/time" in text


class TestKeeping:
    def test_list_shows_status_and_what_it_is_ready_for(self, browser, connection):
        making.finish(connection, making.report())
        text = page(browser.get("/connections/"))
        assert "MEXC Spot Main" in text
        assert "Connected" in text
        assert connection.credentials.get().hint in text

    def test_list_shows_what_the_key_may_do_and_how_old_it_is(self, browser, connection):
        facts = KeyFacts(Permissions(True, True, withdraw=False), True)
        making.finish(connection, making.report(facts=facts))
        three_days_ago = timezone.now() - timedelta(days=3, minutes=1)
        connection.credentials.update(created_at=three_days_ago)
        text = page(browser.get("/connections/"))
        rights = re.findall(r"<li class=\"right .*?</li>", text)
        assert [(ICON.findall(right), TAGS.sub("", right)) for right in rights] == [
            (["check"], "Read: yes"),
            (["check"], "Spot: yes"),
            (["help"], "Futures: unknown"),
            (["x"], "Withdraw: no"),
        ]
        assert "Key entered 3 days ago" in re.sub(r"\s+", " ", TAGS.sub("", text))

    def test_all_tests_are_listed_newest_first_a_page_at_a_time(self, browser, connection):
        for _ in range(26):
            making.finish(connection, making.report())
            making.asked_again(connection)
        newest_first = [str(test.pk) for test in connection.tests.order_by("-queued_at")]
        response = browser.get(url(connection))
        text = page(response)
        assert url(connection, "tests") in text
        shown = LISTED.findall(text.split('id="history"')[1])
        assert len(shown) == len(response.context["history"]) == 6
        first = page(browser.get(url(connection, "tests")))
        second = page(browser.get(url(connection, "tests"), {"page": "2"}))
        assert LISTED.findall(first) == newest_first[:25]
        assert LISTED.findall(second) == newest_first[25:]
        assert "Page 2 of 2" in second
        for wrong in ("0", "9", "x"):
            assert browser.get(url(connection, "tests"), {"page": wrong}).status_code == 200

    def test_empty_list_invites_to_connect(self, browser):
        assert "/connections/new/" in page(browser.get("/connections/"))

    def test_renaming(self, browser, connection):
        browser.post(url(connection, "rename"), {"name": "  New   name "})
        connection.refresh_from_db()
        assert connection.name == "New name"

    def test_replacing_keeps_the_old_key_until_the_new_one_passes(self, browser, connection):
        making.finish(connection, making.report())
        browser.post(url(connection, "replace"), MEXC_KEY)
        text = page(browser.get(url(connection)))
        assert "…Test" in text or "Test" in text
        assert connection.credentials.in_use().count() == 2
        browser.post(url(connection, "discard_new_key"))
        assert connection.credentials.in_use().count() == 1

    def test_pausing_and_resuming(self, browser, connection):
        browser.post(url(connection, "pause"))
        assert "Paused" in page(browser.get(url(connection)))
        browser.post(url(connection, "resume"))
        connection.refresh_from_db()
        assert connection.paused_at is None

    def test_deleting_needs_the_typed_name(self, browser, connection):
        text = page(browser.post(url(connection, "delete"), {"confirm": "something"}))
        assert "Type the name exactly" in text
        assert Connection.objects.exists()
        browser.post(url(connection, "delete"), {"confirm": "mexc spot main"})
        assert not Connection.objects.exists()
        assert not Credential.objects.exists()

    def test_deleting_names_the_exchange_and_leads_there(self, browser, connection):
        text = page(browser.get(url(connection, "delete")))
        assert "At MEXC, nothing changes" in text
        assert f'href="{EXCHANGES["mexc"].key_page}"' in text

    def test_deleting_at_an_exchange_that_left_the_code_leads_nowhere(self, browser, connection):
        Exchange.objects.create(code="mtgox")
        Connection.objects.update(exchange="mtgox")
        text = page(browser.get(url(connection, "delete")))
        assert "At mtgox, nothing changes: the key stays valid there" in text
        assert 'href=""' not in text and "API page" not in text


PAGES = ("detail", "test", "tests", "rename", "replace", "delete")
REPLACING = ("discard_new_key", "use_other_account", "go_back", "destroy_old_key")
ACTIONS = ("test", "rename", "replace", *REPLACING, "pause", "resume", "delete")


class TestWhoMay:
    @pytest.mark.parametrize("path", ["/connections/", "/connections/new/", NEW_MEXC])
    def test_anonymous_is_asked_to_sign_in(self, client, db, path):
        assert client.get(path).url.startswith("/accounts/login/")

    @pytest.mark.parametrize("name", PAGES)
    def test_anonymous_sees_no_connection(self, client, connection, name):
        assert client.get(url(connection, name)).url.startswith("/accounts/login/")

    @pytest.mark.parametrize("name", ACTIONS)
    def test_anonymous_does_nothing(self, client, connection, name):
        assert client.post(url(connection, name)).url.startswith("/accounts/login/")

    @pytest.mark.parametrize("name", PAGES)
    def test_others_pages_are_not_found(self, stranger, connection, name):
        assert self._as(stranger).get(url(connection, name)).status_code == 404

    @pytest.mark.parametrize("name", ACTIONS)
    def test_others_actions_are_not_found(self, stranger, connection, name):
        assert self._as(stranger).post(url(connection, name)).status_code == 404
        assert Connection.objects.get().paused_at is None

    def test_staff_have_no_way_round_it(self, staff, connection):
        assert self._as(staff).get(url(connection)).status_code == 404

    def test_past_test_of_another_connection_is_not_found(
        self, browser, stranger, mexc, connection
    ):
        other = making.connection(stranger, mexc, "Other")
        foreign = other.tests.get()
        path = reverse("connections:past_test", args=[connection.pk, foreign.pk])
        assert browser.get(path).status_code == 404

    @pytest.mark.parametrize("name", (*REPLACING, "pause", "resume"))
    def test_state_changes_by_post_alone(self, browser, connection, name):
        assert browser.get(url(connection, name)).status_code == 405

    def _as(self, user) -> Client:
        client = Client()
        making.sign_in(client, user)
        return client


@pytest.mark.parametrize("path", ["/connections/", "detail", "tests"])
def test_queries_do_not_grow_with_rows(browser, trader, mexc, django_assert_num_queries, path):
    def fill(number: int) -> Connection:
        made = making.connection(trader, mexc, f"Connection {number}")
        for _ in range(number + 1):
            making.finish(made, making.report())
            making.asked_again(made)
        return made

    first = fill(0)
    where = path if path.startswith("/") else url(first, path)
    browser.get(where)
    with CaptureQueriesContext(database) as few:
        browser.get(where)
    for number in range(1, 12):
        fill(number)
    for _ in range(11):
        making.finish(first, making.report())
        making.asked_again(first)
    with django_assert_num_queries(len(few)):
        browser.get(where)


@pytest.mark.parametrize("way", ["detail", "test"])
def test_a_result_that_comes_while_a_page_is_read_is_shown_or_asked_for_again(
    browser, connection, way
):
    where, ajax = url(connection, way), {"HX-Request": "true"} if way == "test" else {}
    with CaptureQueriesContext(database) as reads:
        browser.get(where, headers=ajax)
    seen = set()
    for number in range(1, len(reads) + 1):
        with database.execute_wrapper(making.ResultBeforeRead(connection, number)):
            text = page(browser.get(where, headers=ajax))
        headline = re.search(r'id="connection-status".*?</div>', text, re.DOTALL).group()
        asks_again = 'hx-trigger="every 1s"' in text
        assert ("Testing" in headline) == asks_again, f"a result before read {number}"
        assert asks_again or "Connected" in headline, f"a result before read {number}"
        seen.add(asks_again)
        making.asked_again(connection)
        Connection.objects.filter(pk=connection.pk).update(status="new")
    assert seen == {True, False}
