"""The pages of findings, through the door a person uses."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import egress, hygiene
from connections.models import (
    Connection,
    ConnectionTest,
    Exchange,
    Finding,
    FindingChange,
    Outage,
    Thresholds,
)
from connections.rules import RULES
from tests import making, many

LIST = "/findings/"
ACTS = ("acknowledge", "snooze", "suppress", "reopen")
HTMX = {"HX-Request": "true"}
CARD = re.compile(r'id="finding-(\d+)"')


def page(response: Any) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


@pytest.fixture(autouse=True)
def within_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a day is about to end, the clock stands still."""
    now = timezone.now()
    if (late := now.replace(hour=23, minute=58)) < now:
        monkeypatch.setattr(timezone, "now", lambda: late)


def found(connection: Connection, rule: str = "no_ip_restriction", **fields: Any) -> Finding:
    usual: dict[str, Any] = {"severity": Finding.Severity.WARNING}
    if fields.get("state") == "snoozed":
        usual["snoozed_until"] = timezone.now() + timedelta(days=3)
    return Finding.objects.create(connection=connection, rule=rule, **{**usual, **fields})


def say(client: Client, finding: Finding, act: str, **values: Any) -> Any:
    headers = values.pop("headers", {})
    return client.post(reverse(f"findings:{act}", args=[finding.pk]), values, headers=headers)


def day(ahead: int) -> str:
    return (timezone.now().date() + timedelta(days=ahead)).isoformat()


def shown(text: str) -> list[int]:
    return [int(number) for number in CARD.findall(text)]


@pytest.fixture
def finding(connection: Connection) -> Finding:
    return found(connection)


class TestList:
    def test_a_card_says_what_it_is_what_to_do_and_since_when(
        self, browser: Client, connection: Connection
    ) -> None:
        moment = timezone.now() - timedelta(days=4)
        made = found(connection, first_seen_at=moment, regressions=2)
        FindingChange.objects.create(finding=made, state="open", severity=20, at=moment)
        text = page(browser.get(LIST))
        for words in (
            "No IP restriction",
            "warning",
            "The key works from any address.",
            "What to do",
            "203.0.113.7,203.0.113.8",
            "https://www.mexc.com/user/openapi",
            f'href="{connection.get_absolute_url()}"',
            "4 days ago",
            "came back 2 times",
            "BackFuture: <strong>open, warning</strong>",
        ):
            assert words in text, words

    @pytest.mark.parametrize("rule", RULES)
    def test_every_rule_has_a_card(
        self, browser: Client, connection: Connection, rule: str
    ) -> None:
        found(connection, rule, until=timezone.now(), amount=2, detail="")
        assert str(RULES[rule].title).replace("'", "&#x27;") in page(browser.get(LIST))

    def test_what_wants_attention_stands_first_and_the_worst_of_it(
        self, browser: Client, connection: Connection
    ) -> None:
        acknowledged = found(connection, "withdraw_enabled", severity=40, state="acknowledged")
        info = found(connection, "ip_restriction_unknown", severity=10)
        high = found(connection, "same_key_elsewhere", severity=30)
        snoozed = found(connection, "transfer_enabled", severity=30, state="snoozed")
        over = found(
            connection, "old", state="snoozed", snoozed_until=timezone.now(), until=timezone.now()
        )
        found(connection, "unused", state="suppressed", until=timezone.now())
        found(connection, "never_tested", state="resolved", until=timezone.now())
        order = [each.pk for each in (high, over, info, acknowledged, snoozed)]
        assert shown(page(browser.get(LIST))) == order

    @pytest.mark.parametrize(
        ("state", "rules"),
        [
            ("open", {"no_ip_restriction", "same_key_own"}),
            ("acknowledged", {"unused"}),
            ("snoozed", {"old"}),
            ("suppressed", {"transfer_enabled"}),
            ("resolved", {"never_tested"}),
            ("current", {"no_ip_restriction", "same_key_own", "unused", "old"}),
            ("nonsense", {"no_ip_restriction", "same_key_own", "unused", "old"}),
        ],
    )
    def test_one_state_alone(
        self, browser: Client, connection: Connection, state: str, rules: set[str]
    ) -> None:
        past = {"snoozed_until": timezone.now() - timedelta(seconds=1)}
        moment = timezone.now()
        found(connection)
        found(connection, "same_key_own", state="snoozed", **past)  # the snooze is over
        found(connection, "unused", state="acknowledged", until=moment)
        found(connection, "old", state="snoozed", until=moment)
        found(connection, "transfer_enabled", state="suppressed")
        found(connection, "never_tested", state="resolved", until=moment)
        numbers = shown(page(browser.get(LIST, {"state": state})))
        assert set(Finding.objects.filter(pk__in=numbers).values_list("rule", flat=True)) == rules
        assert len(numbers) == len(rules)

    def test_tabs_count(self, browser: Client, connection: Connection) -> None:
        found(connection)
        found(connection, "same_key_own", state="acknowledged")
        text = page(browser.get(LIST))
        for words in ("Current", "2"), ("Open", "1"), ("Acknowledged", "1"), ("Resolved", "0"):
            assert '{} <span class="num">{}</span>'.format(*words) in text

    def test_one_connection_alone(
        self, browser: Client, connection: Connection, trader: User, mexc: Exchange
    ) -> None:
        other = making.connection(trader, mexc, "Another")
        mine, _not_asked = found(connection), found(other)
        text = page(browser.get(LIST, {"connection": str(connection.pk)}))
        assert shown(text) == [mine.pk]
        assert f'<option value="{connection.pk}" selected>' in text

    @pytest.mark.parametrize("given", ["nonsense", "\x00", "%", "1' OR 1=1", "é" * 500])
    def test_nonsense_in_the_address_shows_all(
        self, browser: Client, finding: Finding, given: str
    ) -> None:
        asked = {"connection": given, "state": given, "page": given}
        assert shown(page(browser.get(LIST, asked))) == [finding.pk]

    def test_twenty_five_on_a_page(self, browser: Client, trader: User, mexc: Exchange) -> None:
        for number in range(30):
            found(making.connection(trader, mexc, f"Number {number}"))
        first, second = (shown(page(browser.get(LIST, {"page": n}))) for n in (1, 2))
        assert (len(first), len(second), len({*first, *second})) == (25, 5, 30)
        text = page(browser.get(LIST, {"state": "open"}))
        assert 'rel="next" href="?state=open&amp;page=2">Next</a>' in text
        text = page(browser.get(LIST, {"state": "open", "page": "2"}))
        assert 'rel="prev" href="?state=open&amp;page=1">Back</a>' in text

    def test_strategies_at_risk_are_named(self, browser: Client, connection: Connection) -> None:
        for name, enabled in {"Ladder <b>": True, "Resting": False}.items():
            many.strategy(connection, name, enabled=enabled)
        found(connection, "expiring", until=timezone.now() + timedelta(days=3))
        text = page(browser.get(LIST))
        assert "Strategies that would stop: Ladder &lt;b&gt;." in text
        assert "Resting" not in text

    def test_times_are_in_the_persons_zone(
        self, browser: Client, trader: User, connection: Connection
    ) -> None:
        User.objects.filter(pk=trader.pk).update(time_zone="Asia/Tokyo")
        found(connection, "expiring", until=datetime(2031, 3, 1, 20, 30, tzinfo=UTC))
        assert "2 Mar 2031, 05:30 JST" in page(browser.get(LIST))

    def test_first_visit_leads_to_connecting(self, browser: Client) -> None:
        text = page(browser.get(LIST))
        assert "Nothing to look at yet" in text
        assert 'href="/connections/new/"' in text

    def test_nothing_found_is_said_with_when_it_was_looked(
        self, browser: Client, connection: Connection
    ) -> None:
        making.finish(connection, making.report())
        Connection.objects.update(tested_at=timezone.now() - timedelta(hours=3))
        text = page(browser.get(LIST))
        assert "Your keys are in order" in text
        assert "looks at every key once a day" in text
        assert "3 hours ago" in text

    @pytest.mark.parametrize("failures", [1, 2])
    def test_keys_are_not_in_order_while_one_fails(
        self,
        browser: Client,
        connection: Connection,
        trader: User,
        mexc: Exchange,
        failures: int,
    ) -> None:
        """Before the failure lasts long enough to be a finding, and before it is confirmed."""
        making.finish(making.connection(trader, mexc, "Another"), making.report())
        making.finish(connection, making.report())
        for _ in range(failures):
            making.asked_again(connection)
            making.finish(connection, making.report("failed", problem="invalid_key"))
        text = page(browser.get(LIST))
        assert "Your keys are in order" not in text
        assert "There is no finding" in text
        assert "What its last test found stands on the page of each." in text
        text = page(browser.get(connection.get_absolute_url()))
        assert "Nothing to mend" not in text
        assert "What the last test found stands on this page." in text

    def test_nothing_in_one_state_leads_back_to_all(
        self, browser: Client, finding: Finding
    ) -> None:
        text = page(browser.get(LIST, {"state": "suppressed"}))
        assert "None of these" in text
        assert "Your keys are in order" not in text

    def test_no_byte_of_a_key_is_on_it(self, browser: Client, trader: User, mexc: Exchange) -> None:
        key = making.credentials()
        made = making.connection(trader, mexc, "Sealed", key)
        for rule in RULES:
            found(made, rule, until=timezone.now(), amount=1)
        stored = made.credentials.get()
        token = bytes(stored.sealed.token(None)).decode()  # type: ignore[union-attr]
        for path in (LIST, made.get_absolute_url(), "/connections/", "/exchanges/mexc/"):
            text = page(browser.get(path))
            for value in (key.api_key, key.secret, token, stored.fingerprint):
                assert value not in text, path

    def test_the_other_side_of_a_shared_key_is_not_named(
        self, browser: Client, connection: Connection, stranger: User, mexc: Exchange
    ) -> None:
        making.connection(stranger, mexc, "The stranger's own")
        found(connection, "same_key_elsewhere", severity=30)
        text = page(browser.get(LIST))
        assert "The same key in another account" in text
        assert "stranger" not in text.lower()


class TestOnOtherPages:
    def test_the_page_of_a_connection_shows_its_own(
        self, browser: Client, finding: Finding, trader: User, mexc: Exchange
    ) -> None:
        other = found(making.connection(trader, mexc, "Another"), "same_key_own", amount=1)
        text = page(browser.get(finding.connection.get_absolute_url()))
        assert shown(text) == [finding.pk]
        assert str(other.pk) not in shown(text)
        assert f"{LIST}?connection={finding.connection_id}" in text

    def test_settled_ones_are_left_out_there(self, browser: Client, connection: Connection) -> None:
        making.finish(connection, making.report())
        found(connection, state="suppressed")
        found(connection, "same_key_own", state="resolved")
        text = page(browser.get(connection.get_absolute_url()))
        assert shown(text) == []
        assert "Nothing to mend" in text

    def test_the_list_counts_them_and_names_the_worst(
        self, browser: Client, connection: Connection
    ) -> None:
        found(connection)
        found(connection, "withdraw_enabled", severity=40)
        found(connection, "same_key_own", state="acknowledged")
        text = page(browser.get("/connections/"))
        assert "2 findings" in text
        assert "the worst: critical" in text

    @pytest.mark.parametrize("path", ["/connections/", LIST, "/accounts/security/"])
    def test_every_page_counts_what_wants_attention(
        self, browser: Client, connection: Connection, path: str
    ) -> None:
        assert 'class="count"' not in page(browser.get(path))
        found(connection)
        found(connection, "same_key_own", state="acknowledged")
        assert '<span class="count">1</span>' in page(browser.get(path))

    def test_many_are_many(self, browser: Client, connection: Connection, trader: User) -> None:
        makings = [
            Connection(owner=trader, exchange=connection.exchange, name=f"Number {n}")
            for n in range(100)
        ]
        for each in Connection.objects.bulk_create(makings):
            found(each)
        assert '<span class="count">99+</span>' in page(browser.get("/connections/"))

    def test_nobody_is_counted_who_is_not_signed_in(
        self, finding: Finding, django_assert_num_queries: Any
    ) -> None:
        client = Client()
        client.get("/accounts/login/")
        with CaptureQueriesContext(database) as queries:
            client.get("/accounts/login/")
        assert not [each for each in queries if "finding" in each["sql"]]

    def test_strip_and_counts_are_said_in_words(
        self, browser: Client, connection: Connection
    ) -> None:
        making.finish(connection, making.report())
        text = page(browser.get(connection.get_absolute_url()))
        today = timezone.now()
        assert f"{today:%-d %b}: ok, 1 test" in text
        assert text.count(": no test</span>") == 29
        assert "1 day ok" in text
        row = page(browser.get("/connections/"))
        assert "Last 30 days: 1 ok, 0 failing, 29 without a test" in row

    def test_strip_is_in_the_viewers_zone(
        self, browser: Client, connection: Connection, trader: User
    ) -> None:
        User.objects.filter(pk=trader.pk).update(time_zone="Pacific/Kiritimati")  # UTC+14
        test = making.finish(connection, making.report())
        late = timezone.now().replace(hour=23, minute=30) - timedelta(days=3)
        ConnectionTest.objects.filter(pk=test.pk).update(finished_at=late)
        text = page(browser.get(connection.get_absolute_url()))
        assert f"{late + timedelta(days=1):%-d %b}: ok, 1 test" in text

    @pytest.mark.parametrize(
        ("problems", "words"),
        [
            (["invalid_key"], "failing, 1 of 1 test failed<"),
            (["invalid_key", ""], "failing, 1 of 2 tests failed<"),
            (["unavailable", ""], "failing, 1 of 2 tests failed, since the exchange did not"),
            (["unavailable", "invalid_key"], "2 tests failed, 1 of them since the exchange"),
        ],
    )
    def test_failed_days_say_how_much_and_why(
        self, browser: Client, connection: Connection, problems: list[str], words: str
    ) -> None:
        making.finish(connection, making.report())
        key = connection.credentials.get()
        connection.tests.all().delete()
        for problem in problems:
            ConnectionTest.objects.create(
                connection=connection,
                credential=key,
                status="done",
                finished_at=timezone.now(),
                outcome="failed" if problem else "connected",
                problem=problem,
            )
        assert words in page(browser.get(connection.get_absolute_url()))


class TestSaying:
    @pytest.mark.parametrize(
        ("act", "values", "state"),
        [
            ("acknowledge", {}, "acknowledged"),
            ("snooze", {"until": 30}, "snoozed"),
            ("suppress", {"why": "A practice account."}, "suppressed"),
        ],
    )
    def test_it_is_kept_and_said(
        self,
        browser: Client,
        finding: Finding,
        trader: User,
        act: str,
        values: dict[str, Any],
        state: str,
    ) -> None:
        if "until" in values:
            values = {"until": day(values["until"])}
        answer = say(browser, finding, act, **values)
        assert answer.url == f"{LIST}#finding-{finding.pk}"
        finding.refresh_from_db()
        change = finding.changes.get()
        assert (finding.state, change.state, change.by) == (state, state, trader)
        assert change.why == values.get("why", "")
        assert 'class="alert alert-success"' in page(browser.get(LIST))

    @pytest.mark.parametrize("state", ["acknowledged", "snoozed", "suppressed"])
    def test_all_of_it_can_be_taken_back(
        self, browser: Client, connection: Connection, state: str
    ) -> None:
        made = found(connection, state=state)
        say(browser, made, "reopen")
        made.refresh_from_db()
        assert (made.state, made.snoozed_until) == ("open", None)

    def test_snoozed_until_the_morning_of_the_day_where_the_person_is(
        self, browser: Client, finding: Finding, trader: User
    ) -> None:
        User.objects.filter(pk=trader.pk).update(time_zone="America/Sao_Paulo")  # UTC-3
        say(browser, finding, "snooze", until=day(10))
        finding.refresh_from_db()
        assert finding.snoozed_until is not None
        assert finding.snoozed_until.isoformat() == f"{day(10)}T03:00:00+00:00"

    def test_thirty_days_are_offered_and_ninety_the_most(
        self, browser: Client, finding: Finding
    ) -> None:
        text = page(browser.get(LIST))
        assert f'value="{day(30)}"' in text
        assert f'max="{day(90)}"' in text
        assert "90 days at most." in text

    def test_how_long_is_a_setting(self, browser: Client, finding: Finding) -> None:
        Thresholds.objects.create(pk=1, snooze_days=5, snooze_most_days=10)
        text = page(browser.get(LIST))
        assert f'value="{day(5)}"' in text
        assert "Choose a date within 10 days." in page(
            say(browser, finding, "snooze", until=day(11))
        )

    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
    @pytest.mark.parametrize(
        ("until", "sentence"),
        [
            ("", "Choose a date."),
            ("nonsense", "Enter a date as year, month and day"),
            ("2026-02-31", "Enter a date as year, month and day"),
            ("31.12.2026", "Enter a date as year, month and day"),
            ("0001-01-01", "Choose a date in the future."),
            ("9999-12-31", "Choose a date within 90 days."),
            (-1, "Choose a date in the future."),
            (0, "Choose a date in the future."),
            (91, "Choose a date within 90 days."),
        ],
    )
    def test_a_bad_date_is_refused_and_kept(
        self,
        browser: Client,
        finding: Finding,
        until: str | int,
        sentence: str,
        headers: dict[str, str],
    ) -> None:
        if isinstance(until, int):  # days from the one on which the test runs
            until = day(until)
        text = page(say(browser, finding, "snooze", until=until, headers=headers))
        assert sentence in text
        assert 'class="finding-form" open' in text
        assert not until or f'value="{until}"' in text
        assert shown(text) == [finding.pk]
        finding.refresh_from_db()
        assert (finding.state, finding.changes.count()) == ("open", 0)

    @pytest.mark.parametrize("ahead", [1, 90])
    def test_the_first_and_the_last_day_are_taken(
        self, browser: Client, finding: Finding, ahead: int
    ) -> None:
        assert say(browser, finding, "snooze", until=day(ahead)).status_code == 302
        finding.refresh_from_db()
        assert finding.state == "snoozed"

    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
    @pytest.mark.parametrize(
        ("why", "sentence"),
        [("", "Say why"), ("   ", "Say why"), ("x" * 301, "at most 300 characters")],
    )
    def test_suppressing_needs_a_reason(
        self, browser: Client, finding: Finding, why: str, sentence: str, headers: dict[str, str]
    ) -> None:
        text = page(say(browser, finding, "suppress", why=why, headers=headers))
        assert sentence in text
        assert not why.strip() or why in text
        finding.refresh_from_db()
        assert finding.state == "open"

    def test_the_reason_stands_on_the_card(self, browser: Client, connection: Connection) -> None:
        made = found(connection)
        say(browser, made, "suppress", why="<b>My</b> reason")
        text = page(browser.get(LIST, {"state": "suppressed"}))
        assert "Why it may stay so: &lt;b&gt;My&lt;/b&gt; reason" in text
        assert "you: <strong>suppressed</strong>" in text

    def test_what_support_did_is_told_as_that(
        self, browser: Client, finding: Finding, staff: User
    ) -> None:
        hygiene.acknowledge(finding, by=staff, now=timezone.now())
        text = page(browser.get(LIST))
        assert "support: <strong>acknowledged</strong>" in text
        assert staff.email not in text

    @pytest.mark.parametrize("act", ACTS)
    def test_htmx_gets_the_card_alone_and_the_new_count(
        self, browser: Client, connection: Connection, act: str
    ) -> None:
        made = found(connection, state="open" if act != "reopen" else "acknowledged")
        answer = say(browser, made, act, until=day(3), why="So.", headers=HTMX)
        text = page(answer)
        assert shown(text) == [made.pk]
        assert "<html" not in text
        assert 'id="findings-count" hx-swap-oob="true"' in text
        assert 'role="status"' in text
        assert "HX-Request" in answer.headers["Vary"]
        assert "no-store" in answer.headers["Cache-Control"]

    @pytest.mark.parametrize(
        ("given", "back"),
        [
            ("/findings/?state=open&page=2", "/findings/?state=open&page=2"),
            ("/connections/", "/connections/"),
            ("https://evil.example/", LIST),
            ("//evil.example/", LIST),
            ("/\\evil.example/", LIST),
            ("javascript:alert(1)", LIST),
            ("", LIST),
        ],
    )
    def test_it_goes_back_to_where_it_was_said_and_nowhere_else(
        self, browser: Client, finding: Finding, given: str, back: str
    ) -> None:
        answer = say(browser, finding, "acknowledge", back=given)
        assert answer.url == f"{back}#finding-{finding.pk}"

    def test_on_the_page_of_a_connection_the_card_stays_folded(
        self, browser: Client, finding: Finding
    ) -> None:
        back = finding.connection.get_absolute_url()
        text = page(say(browser, finding, "acknowledge", back=back, headers=HTMX))
        assert "<details open>" in text
        assert f'name="back" value="{back}"' in text

    @pytest.mark.parametrize(
        ("state", "act"),
        [("resolved", act) for act in ACTS]
        + [("acknowledged", "acknowledge"), ("open", "reopen"), ("suppressed", "acknowledge")],
    )
    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
    def test_what_cannot_be_said_now_is_refused_in_words(
        self,
        browser: Client,
        connection: Connection,
        state: str,
        act: str,
        headers: dict[str, str],
    ) -> None:
        made = found(connection, state=state)
        answer = say(browser, made, act, until=day(3), why="So.", headers=headers)
        text = page(answer if headers else browser.get(LIST))
        assert 'role="alert"' in text
        made.refresh_from_db()
        assert (made.state, made.changes.count()) == (state, 0)

    def test_buttons_are_those_that_are_not_refused(
        self, browser: Client, connection: Connection
    ) -> None:
        for state in Finding.State.values:
            Finding.objects.all().delete()
            made = found(connection, state=state)
            text = page(browser.get(LIST, {"state": state}))
            offered = {act for act in ACTS if reverse(f"findings:{act}", args=[made.pk]) in text}
            for act in ACTS:
                made = found(connection, "same_key_own", state=state)
                try:
                    self.call(act, made)
                except hygiene.Refused:
                    assert act not in offered, (state, act)
                else:
                    assert act in offered, (state, act)
                made.delete()

    def call(self, act: str, finding: Finding) -> None:
        now = timezone.now()
        more: dict[str, Any] = {"why": "So."} if act == "suppress" else {}
        getattr(hygiene, act)(finding, by=finding.connection.owner, now=now, **more)


class TestWho:
    @pytest.mark.parametrize("act", ACTS)
    def test_a_look_says_nothing(self, browser: Client, finding: Finding, act: str) -> None:
        path = reverse(f"findings:{act}", args=[finding.pk])
        for headers in ({}, HTMX):
            assert browser.get(path, {"until": day(3)}, headers=headers).status_code == 405
        finding.refresh_from_db()
        assert finding.state == "open"

    @pytest.mark.parametrize("act", ACTS)
    def test_other_peoples_findings_are_not_there(
        self, finding: Finding, stranger: User, act: str
    ) -> None:
        client = making.sign_in(Client(), stranger)
        answer = say(client, finding, act, until=day(3), why="So.")
        assert answer.status_code == 404
        finding.refresh_from_db()
        assert (finding.state, finding.changes.count()) == ("open", 0)

    def test_nor_in_the_list_nor_in_the_count(self, finding: Finding, stranger: User) -> None:
        client = making.sign_in(Client(), stranger)
        text = page(client.get(LIST, {"connection": str(finding.connection_id)}))
        assert shown(text) == []
        assert finding.connection.name not in text
        assert 'class="count"' not in text

    @pytest.mark.parametrize("number", [0, 10**18, 10**30])
    def test_no_such_finding(self, browser: Client, number: int) -> None:
        assert browser.post(f"{LIST}{number}/acknowledge/").status_code == 404

    def test_whoever_is_not_signed_in_is_asked_to(self, finding: Finding) -> None:
        for path in (LIST, "/exchanges/", "/exchanges/mexc/"):
            assert Client().get(path).url.startswith("/accounts/login/")
        assert say(Client(), finding, "acknowledge").url.startswith("/accounts/login/")


PAGES = {
    "findings": lambda connection: LIST,
    "connection": lambda connection: connection.get_absolute_url(),
    "list": lambda connection: "/connections/",
    "exchanges": lambda connection: "/exchanges/",
    "exchange": lambda connection: "/exchanges/mexc/",
}


@pytest.mark.parametrize("name", PAGES)
def test_queries_do_not_grow(
    name: str,
    browser: Client,
    connection: Connection,
    trader: User,
    mexc: Exchange,
    django_assert_num_queries: Any,
) -> None:
    def fill(number: int) -> None:
        for _ in range(number):
            made = making.connection(trader, mexc, f"Number {Connection.objects.count()}")
            making.finish(made, making.report())
            many.strategy(made, made.name)
            for each in (made, connection):
                rule = list(RULES)[each.findings.count()]
                row = found(each, rule, until=timezone.now())
                hygiene.acknowledge(row, by=trader, now=timezone.now())
        for n in range(number):
            moment = timezone.now() - timedelta(days=n + 1)
            Outage.objects.create(exchange=mexc, began_at=moment, ended_at=moment)

    path = PAGES[name](connection)
    fill(2)
    egress.addresses("mexc")  # asked for once, by whichever finding is the first to name them
    browser.get(path)
    with CaptureQueriesContext(database) as few:
        browser.get(path)
    fill(8)
    with django_assert_num_queries(len(few)):
        browser.get(path)
