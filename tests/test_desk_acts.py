"""What support does to connections, findings and strategies from the desk: counted answers, a
reason for each person, and as many statements for a thousand as for a few."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from backfuture.accounts.models import User
from connections import many, services
from connections.models import (
    AccessEvent,
    Connection,
    ConnectionTest,
    Credential,
    Exchange,
    Finding,
    FindingChange,
    Incident,
    Notice,
    NoticePreferences,
)
from strategies import services as strategies
from strategies.models import StrategyConfig
from strategies.presets import SETTINGS
from tests import making, strategies_made
from tests.many import keyed
from tests.test_desk import helper

LIST = reverse("admin:connections_connection_changelist")
STRATEGIES = reverse("admin:strategies_strategyconfig_changelist")


@pytest.fixture
def desk(staff: User, trader: User) -> Client:
    return making.say_why(making.desk(Client(), staff), trader)


def act(client: Client, action: str, *rows: Any, path: str = LIST, **more: str) -> str:
    """The sentence that answers it."""
    sent = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    client.post(path, sent)
    return messages(client, path)


def messages(client: Client, path: str) -> str:
    answer = client.get(path)
    return " ".join(str(each) for each in answer.context["messages"])


def rows_of(owner: User, number: int, **fields: Any) -> list[Connection]:
    return [keyed(owner, **fields) for _each in range(number)]


def events(kind: str) -> list[tuple[str, str]]:
    found = AccessEvent.objects.filter(kind=kind).select_related("owner", "actor")
    return [(str(event.owner), event.why) for event in found.order_by("pk")]


class TestPausing:
    def test_counts_those_it_was_done_for(self, desk: Client, trader: User) -> None:
        rows = rows_of(trader, 3)
        Connection.objects.filter(pk=rows[0].pk).update(paused_at=timezone.now())
        assert "2 connections were paused." in act(desk, "pause", *rows)
        assert not Connection.objects.filter(paused_at=None).exists()
        assert not Connection.objects.exclude(next_test_at=None).filter(pk=rows[1].pk).exists()
        assert events("paused") == [("trader@example.com", "ticket 4711")] * 2
        assert "3 connections were resumed" in act(desk, "resume", *rows)
        assert Connection.objects.filter(paused_at=None, next_test_at__isnull=False).count() == 3

    def test_drops_tests_under_way(self, desk: Client, connection: Connection) -> None:
        fence = connection.tests.get().fence
        act(desk, "pause", connection)
        test = connection.tests.get()
        assert (test.status, test.outcome, test.fence) == ("done", "", fence + 1)


class TestTestingAgain:
    def test_a_few_are_begun_at_once(self, desk: Client, trader: User) -> None:
        rows = rows_of(trader, 3)
        Connection.objects.filter(pk=rows[0].pk).update(paused_at=timezone.now())
        text = act(desk, "test_again", *rows)
        assert "2 tests were asked for. 1 connection is paused" in text
        assert events("staff_acted") == [("trader@example.com", "tested again: ticket 4711")] * 2

    def test_the_others_follow_at_the_pace_of_their_exchanges(
        self, desk: Client, trader: User
    ) -> None:
        rows = rows_of(trader, many.AT_ONCE + 5)
        later = timezone.now() + timedelta(hours=9)
        Connection.objects.update(next_test_at=later)
        text = act(desk, "test_again", *rows)
        assert f"{many.AT_ONCE} tests were asked for. 5 connections are tested in their" in text
        assert ConnectionTest.objects.filter(reason="staff").count() == many.AT_ONCE
        assert Connection.objects.filter(next_test_at__lt=later).count() == 5

    def test_one_of_an_exchange_that_is_paused_is_left(self, desk: Client, trader: User) -> None:
        Exchange.objects.update(paused=True)
        rows = rows_of(trader, many.AT_ONCE + 2)
        assert "0 tests were asked for. 22 connections are paused" in act(desk, "test_again", *rows)

    def test_one_that_an_incident_stops_is_left(self, desk: Client, trader: User) -> None:
        rows = rows_of(trader, many.AT_ONCE + 2)
        Incident.objects.create(scope="all", reason="x", state="done", confirmed_at=timezone.now())
        assert "0 tests were asked for. 22 connections are paused or stopped" in act(
            desk, "test_again", *rows
        )
        assert not events("staff_acted")


class TestAskingForANewKey:
    def test_its_owner_is_told_once_a_day(self, desk: Client, connection: Connection) -> None:
        assert "1 owner is told." in act(desk, "ask_to_replace", connection)
        notice = Notice.objects.get()
        assert (notice.user, notice.kind, notice.connection) == (
            connection.owner,
            "replace",
            connection,
        )
        assert connection.name in notice.subject
        assert connection.credentials.get().hint in notice.text
        assert "Nobody of support will ever ask you for the key" in notice.text
        assert notice.deliveries.count() == 1
        assert "0 notices are on their way. 1 was asked today" in act(
            desk, "ask_to_replace", connection
        )
        assert events("staff_acted") == [
            ("trader@example.com", "asked to replace the key: ticket 4711")
        ]
        Notice.objects.update(key="replace:of another day")
        assert "1 owner is told." in act(desk, "ask_to_replace", connection)

    def test_not_who_wants_no_such_notice(self, desk: Client, connection: Connection) -> None:
        NoticePreferences.objects.create(user=connection.owner, off=["replace"])
        assert "0 notices" in act(desk, "ask_to_replace", connection)
        assert not events("staff_acted")


class TestAcknowledging:
    def test_all_findings_that_want_attention(
        self, desk: Client, trader: User, staff: User
    ) -> None:
        first, second = rows_of(trader, 2)
        for row, rule in ((first, "old"), (first, "unused"), (second, "old")):
            Finding.objects.create(connection=row, rule=rule, severity=20)
        Finding.objects.create(connection=second, rule="unused", severity=20, state="suppressed")
        assert "3 were acknowledged." in act(desk, "acknowledge_findings", first, second)
        assert Finding.objects.filter(state="acknowledged").count() == 3
        assert FindingChange.objects.filter(by=staff, state="acknowledged").count() == 3
        assert Finding.objects.filter(state="suppressed").exists()
        said = [("trader@example.com", "findings acknowledged: ticket 4711")]
        assert events("staff_acted") == said * 2
        assert "none of their findings waits" in act(desk, "acknowledge_findings", first)
        assert events("staff_acted") == said * 2, "nothing was done to it"


ACTIONS = ("test_again", "pause", "resume", "ask_to_replace", "acknowledge_findings")


class TestHowMany:
    @pytest.mark.parametrize("action", (*ACTIONS, "download_report"))
    def test_none(self, desk: Client, connection: Connection, action: str) -> None:
        assert "Items must be selected" in act(desk, action, why="ticket", index="0")

    @pytest.mark.parametrize("action", ACTIONS)
    def test_a_thousand(self, desk: Client, trader: User, action: str) -> None:
        fill_up(trader, 1000)
        paused = timezone.now() if action == "resume" else None
        Connection.objects.update(paused_at=paused)
        chosen = Connection.objects.all()[:1]
        with CaptureQueriesContext(database) as asked:
            text = act(desk, action, *chosen, select_across="1")
        assert re.search(r"\b(1000|1,000|980)\b", text) or action == "acknowledge_findings", text
        assert len(asked) < 400, len(asked)  # of which 20 tests are asked for one by one
        if action == "pause":
            assert not Connection.objects.filter(paused_at=None).exists()

    @pytest.mark.parametrize("action", ACTIONS)
    def test_more_are_refused_in_words(self, desk: Client, trader: User, action: str) -> None:
        fill_up(trader, 1001)
        text = act(desk, action, *Connection.objects.all()[:1], select_across="1")
        assert "Nothing was done. Choose 1000 at most" in text
        assert not Connection.objects.exclude(paused_at=None).exists()

    def test_the_report_is_streamed_however_many(self, desk: Client, trader: User) -> None:
        fill_up(trader, 1001)
        pk = str(Connection.objects.values_list("pk", flat=True)[0])
        sent = {"action": "download_report", "_selected_action": pk, "select_across": "1"}
        answer = desk.post(LIST, {**sent, "why": "audit"})
        assert b"".join(answer.streaming_content).count(b"\r\n") == 1002

    @pytest.mark.parametrize("action", ["pause", "acknowledge_findings", "ask_to_replace"])
    def test_ten_cost_as_much_as_two(self, desk: Client, trader: User, action: str) -> None:
        def cost(rows: list[Connection]) -> int:
            for row in rows:
                Finding.objects.create(connection=row, rule="old", severity=20)
            with CaptureQueriesContext(database) as asked:
                sent = [str(row.pk) for row in rows]
                desk.post(LIST, {"action": action, "_selected_action": sent})
            return len(asked)

        assert cost(rows_of(trader, 2)) == cost(rows_of(trader, 10))


def fill_up(owner: User, number: int) -> None:
    Connection.objects.bulk_create(
        Connection(owner=owner, exchange_id="mexc", name=f"Row {each}") for each in range(number)
    )

    Credential.objects.bulk_create(
        Credential(connection=row, hint="abcd", fingerprint=f"{row.pk.hex}")
        for row in Connection.objects.all()
    )


class TestReasons:
    """connections/looks.py"""

    @pytest.mark.parametrize("action", (*ACTIONS, "download_report"))
    def test_nothing_is_done_to_somebody_s_connection_without_one(
        self, desk: Client, trader: User, stranger: User, action: str
    ) -> None:
        theirs, mine = keyed(stranger), keyed(trader)
        text = act(desk, action, theirs, mine)
        assert "Nothing was done. Say why, in the field beside the action." in text
        assert not Connection.objects.exclude(paused_at=None).exists()

    def test_one_beside_the_action_is_for_all_of_them(
        self, desk: Client, trader: User, stranger: User
    ) -> None:
        act(desk, "pause", keyed(stranger), keyed(trader), why="outage of May")
        assert {why for _owner, why in events("paused")} == {"outage of May"}

    def test_each_owner_reads_their_own(self, desk: Client, trader: User, stranger: User) -> None:
        session = desk.session
        session["reasons_to_look"] = {str(trader.pk): "one", str(stranger.pk): "two"}
        session.save()
        act(desk, "pause", keyed(stranger), keyed(trader))
        assert set(events("paused")) == {
            ("trader@example.com", "one"),
            ("stranger@example.com", "two"),
        }


class TestPage:
    def test_tells_what_is_wrong_and_what_its_owner_reads(
        self, desk: Client, trader: User, mexc: Exchange
    ) -> None:
        row = making.connection(trader, mexc, "Main")
        making.finish(row, making.report("failed", problem="ip_not_allowed", seen_ip="192.0.2.9"))
        text = desk.get(reverse("admin:connections_connection_change", args=[row.pk])).content
        for words in (
            "Needs attention: IP not allowed",
            "What its owner reads",
            "It saw the address 192.0.2.9",
            "GET /api/v3/time",
            "HTTP 200",
            "12 ms",
            "Key entered",
            "Test: Needs attention",
        ):
            assert words in text.decode(), words

    def test_tells_of_one_moment_when_a_result_comes_while_it_is_read(
        self, desk: Client, connection: Connection
    ) -> None:
        path = reverse("admin:connections_connection_change", args=[connection.pk])
        with CaptureQueriesContext(database) as reads:
            desk.get(path)
        for number in range(1, len(reads) + 1):
            with database.execute_wrapper(making.ResultBeforeRead(connection, number)):
                shown = desk.get(path).context
            over = not shown["panel"].polling
            word = shown["seen_by_owner"].status.word
            assert (word == "Connected") == over, f"a result before read {number}"
            making.asked_again(connection)
            Connection.objects.filter(pk=connection.pk).update(status="new")

    def test_support_sees_its_timeline_without_the_whole_log(self, trader: User) -> None:
        row = keyed(trader)
        AccessEvent.objects.create(kind="opened", connection=row, owner=trader, ip="192.0.2.77")
        client = making.say_why(helper("view_connection"), trader)
        page = reverse("admin:connections_connection_change", args=[row.pk])
        text = client.get(page).content.decode()
        assert "Key opened" in text and "192.0.2.77" not in text
        assert "use and looks" not in text
        assert client.get(reverse("admin:connections_accessevent_changelist")).status_code == 403

    def test_a_button_acts_and_comes_back(self, desk: Client, trader: User) -> None:
        row = keyed(trader)
        sent = {"action": "pause", "_selected_action": str(row.pk), "from_page": "1"}
        answer = desk.post(LIST, sent)
        page = reverse("admin:connections_connection_change", args=[row.pk])
        assert answer.url == page
        text = desk.get(page).content.decode()
        assert "1 connection was paused." in text
        assert 'value="resume"' in text and 'value="pause"' not in text

    def test_notes_are_not_on_the_owner_s_pages_and_are_theirs_to_take(
        self, desk: Client, trader: User, browser: Client
    ) -> None:
        row = keyed(trader, name="Main")
        change = reverse("admin:connections_connection_change", args=[row.pk])
        desk.post(change, {"name": "Main", "notes": "Rang twice~q~"})
        for path in (row.get_absolute_url(), "/connections/", "/accounts/activity/"):
            assert "Rang twice" not in browser.get(path).content.decode()
        making.sign_in(browser, trader)
        exported = browser.post("/accounts/export/").content.decode()
        assert "Rang twice~q~" in exported
        assert events("staff_acted") == [("trader@example.com", "notes changed: ticket 4711")]


class TestPageThatIsOld:
    """What it shows was changed by somebody else while it was open."""

    @pytest.fixture
    def shown(self, desk: Client, trader: User, connection: Connection) -> dict[str, str]:
        """The form as a browser sends it."""
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        text = desk.get(page).content.decode()
        fields = ("name", "initial-name", "notes", "initial-notes", "initial-paused")
        assert all(f'name="{name}"' in text for name in fields)
        bound = desk.get(page).context["adminform"].form
        name, notes = bound.initial["name"], bound.initial["notes"]
        return {
            "name": name,
            "initial-name": name,
            "notes": notes,
            "initial-notes": notes,
            "initial-paused": str(bound.fields["paused"].initial),
        }

    def test_neither_resumes_nor_renames(
        self, desk: Client, trader: User, connection: Connection, shown: dict[str, str]
    ) -> None:
        services.pause(connection, by=trader)
        services.rename(connection, "Mine", by=trader)
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        assert desk.post(page, {**shown, "notes": "Called"}).status_code == 302
        row = Connection.objects.get()
        assert (row.name, row.notes) == ("Mine", "Called")
        assert row.paused_at is not None
        assert not events("resumed") and len(events("renamed")) == 1

    def test_note_of_another_is_not_written_over_unseen(
        self, desk: Client, connection: Connection, shown: dict[str, str]
    ) -> None:
        Connection.objects.update(notes="Called twice.\nNobody there.")
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        answer = desk.post(page, {**shown, "notes": "Mine"})
        text = answer.text
        assert "Somebody else changed this" in text and "Called twice." in text
        assert Connection.objects.get().notes == "Called twice.\nNobody there."
        form = answer.context["adminform"].form
        again = {**shown, "notes": "Mine", "initial-notes": form.data["initial-notes"]}
        assert re.search(r">\s*Mine</textarea>", text)
        assert desk.post(page, again).status_code == 302
        assert Connection.objects.get().notes == "Mine"

    def test_name_that_the_owner_takes_in_that_moment_is_left_to_them(
        self,
        desk: Client,
        connection: Connection,
        shown: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rename = services.rename

        def meanwhile(row: Connection, name: str, **more: Any) -> None:
            keyed(row.owner, name=name)
            rename(row, name, **more)

        monkeypatch.setattr(services, "rename", meanwhile)
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        assert desk.post(page, {**shown, "name": "Mine"}).status_code == 302
        assert "The name was not changed" in messages(desk, page)
        connection.refresh_from_db()
        assert connection.name == "MEXC Spot Main"

    def test_new_one_resumes(
        self, desk: Client, trader: User, connection: Connection, shown: dict[str, str]
    ) -> None:
        services.pause(connection, by=trader)
        making.age(connection, minutes=1)
        page = reverse("admin:connections_connection_change", args=[connection.pk])
        desk.post(page, {**shown, "initial-paused": "True"})
        assert Connection.objects.get().paused_at is None
        test = connection.tests.open().get()
        assert (test.reason, test.requested_by.email) == ("staff", "staff@example.com")


def test_a_notice_that_did_not_arrive_says_why(desk: Client, trader: User) -> None:
    notice = Notice.objects.create(user=trader, kind="test", key="k", subject="Hello")
    notice.deliveries.create(status="given_up", problem="mail_refused")
    page = reverse("admin:connections_notice_change", args=[notice.pk])
    text = desk.get(page).content.decode()
    assert "The mail server refused your address." in text and "mail_refused" not in text


class TestStrategies:
    @pytest.fixture
    def safe(self, trader: User) -> StrategyConfig:
        return strategies_made.strategy(strategies_made.tested(trader), "Safe")

    def test_one_that_is_safe_is_enabled_and_switched_off(
        self, desk: Client, safe: StrategyConfig, staff: User
    ) -> None:
        assert "1 strategy was enabled." in act(desk, "enable", safe, path=STRATEGIES)
        safe.refresh_from_db()
        assert safe.enabled
        assert safe.events.filter(kind="enabled", by=staff).exists()
        assert events("staff_acted") == [("trader@example.com", "strategy enabled: ticket 4711")]
        assert "1 strategy was switched off." in act(desk, "switch_off", safe, path=STRATEGIES)
        safe.refresh_from_db()
        assert not safe.enabled

    def test_one_that_is_not_says_why(self, desk: Client, safe: StrategyConfig) -> None:
        Connection.objects.update(paused_at=timezone.now())
        text = act(desk, "enable", safe, path=STRATEGIES)
        assert "0 strategies were enabled. The connection is paused." in text
        page = reverse("admin:strategies_strategyconfig_change", args=[safe.pk])
        assert "The connection is paused." in desk.get(page).content.decode()

    def test_a_suspended_one_is_its_owner_s(self, desk: Client, safe: StrategyConfig) -> None:
        strategies.enable(safe, by=safe.owner, now=timezone.now())
        strategies.suspend(safe, "failed", timezone.now())
        text = act(desk, "enable", safe, path=STRATEGIES)
        assert "1 is suspended: its owner enables it." in text
        safe.refresh_from_db()
        assert not safe.enabled and safe.suspended_at

    @pytest.mark.parametrize("action", ["enable", "switch_off"])
    def test_none_and_a_thousand_and_without_a_reason(
        self, desk: Client, safe: StrategyConfig, stranger: User, action: str
    ) -> None:
        assert "Items must be selected" in act(desk, action, path=STRATEGIES, index="0")
        theirs = StrategyConfig.objects.create(owner=stranger, name="Theirs", quote="USDT")
        assert "Say why" in act(desk, action, safe, theirs, path=STRATEGIES)
        StrategyConfig.objects.bulk_create(
            StrategyConfig(owner=safe.owner, name=f"S {each}", quote="USDT") for each in range(1000)
        )
        text = act(desk, action, safe, path=STRATEGIES, select_across="1", why="x")
        assert "Nothing was done. Choose" in text

    def test_its_page_shows_every_setting(self, desk: Client, safe: StrategyConfig) -> None:
        page = reverse("admin:strategies_strategyconfig_change", args=[safe.pk])
        text = making.say_why(desk, safe.owner).get(page).content.decode()
        labels = [str(StrategyConfig._meta.get_field(name).verbose_name) for name in SETTINGS]
        assert [label for label in labels if capfirst(label) not in text] == []

    def test_a_thousand_are_switched_off_at_once(self, desk: Client, safe: StrategyConfig) -> None:
        connection = safe.connection
        StrategyConfig.objects.bulk_create(
            StrategyConfig(
                owner=safe.owner, connection=connection, name=f"S {n}", quote="USDT", enabled=True
            )
            for n in range(999)
        )
        StrategyConfig.objects.filter(name__in=["S 1", "S 2"]).update(
            enabled=False, suspended_at=timezone.now(), suspended_for="failed"
        )
        with CaptureQueriesContext(database) as asked:
            text = act(desk, "switch_off", safe, path=STRATEGIES, select_across="1", why="x")
        assert "999 strategies were switched off." in text, "one was off already"
        assert not StrategyConfig.objects.filter(enabled=True).exists()
        assert not StrategyConfig.objects.exclude(suspended_for="").exists()
        assert StrategyConfig.objects.get(name="S 7").events.get().kind == "disabled"
        assert events("staff_acted") == [("trader@example.com", "strategy switched off: x")]
        assert len(asked) < 80, len(asked)

    def test_one_without_a_connection_is_its_owner_s_to_read_too(
        self, desk: Client, trader: User
    ) -> None:
        lone = StrategyConfig.objects.create(
            owner=trader,
            name="Lone",
            quote="USDT",
            suspended_at=timezone.now(),
            suspended_for="removed",
        )
        act(desk, "switch_off", lone, path=STRATEGIES)
        assert events("staff_acted") == [
            ("trader@example.com", "strategy switched off: ticket 4711")
        ]

    def test_its_page_says_in_words_why_it_was_suspended(
        self, desk: Client, safe: StrategyConfig
    ) -> None:
        strategies.enable(safe, by=safe.owner, now=timezone.now())
        strategies.suspend(safe, "no_trading", timezone.now())
        page = reverse("admin:strategies_strategyconfig_change", args=[safe.pk])
        text = desk.get(page).content.decode()
        assert "The key may not trade on this market any more." in text
        assert "no_trading" not in text

    def test_its_page_edits_nothing(self, desk: Client, safe: StrategyConfig) -> None:
        page = reverse("admin:strategies_strategyconfig_change", args=[safe.pk])
        assert 'name="_save"' not in desk.get(page).content.decode()
        assert desk.post(page, {"name": "Other", "enabled": "on"}).status_code == 403
