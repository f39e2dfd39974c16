"""The support desk of key hygiene: findings of everybody, thresholds, outages, the CSV report."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import reports
from connections.models import (
    AccessEvent,
    Connection,
    Exchange,
    Finding,
    FindingChange,
    Outage,
    Thresholds,
)
from tests import making

LIST = reverse("admin:connections_finding_changelist")
CONNECTIONS = reverse("admin:connections_connection_changelist")
NUMBERS = {field.name: field.default for field in Thresholds._meta.fields if field.name != "id"}


@pytest.fixture
def desk(staff: User, trader: User, stranger: User) -> Client:
    return making.say_why(making.desk(Client(), staff), trader, stranger)


@pytest.fixture
def finding(connection: Connection) -> Finding:
    return found(connection)


def found(connection: Connection, rule: str = "no_ip_restriction", **fields: Any) -> Finding:
    usual = {"severity": Finding.Severity.WARNING}
    return Finding.objects.create(connection=connection, rule=rule, **{**usual, **fields})


def helper(*rights: str) -> Client:
    """Staff with these rights alone."""
    user = User.objects.create_user("helper@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return making.desk(Client(), user)


def act(client: Client, action: str, *rows: Any, path: str = LIST, **more: Any) -> Any:
    chosen = [str(row.pk) for row in rows]
    values = {"action": action, "_selected_action": chosen, **more}
    return client.post(path, values)


def report(client: Client, row: Connection, query: str = "", **more: Any) -> Any:
    values = {"why": "audit of May", **more}
    return act(client, "download_report", row, path=CONNECTIONS + query, **values)


def text_of(client: Client, path: str, asked: Any = None) -> str:
    response = client.get(path, asked, follow=True)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def rows(text: str) -> int:
    return text.count('name="_selected_action"')


class TestFindings:
    def test_all_of_everybody_are_listed_the_worst_first(
        self, desk: Client, finding: Finding, stranger: User, mexc: Exchange
    ) -> None:
        found(making.connection(stranger, mexc, "Strange"), "withdraw_enabled", severity=40)
        text = text_of(desk, LIST)
        assert rows(text) == 2
        assert text.index("Withdrawal is enabled") < text.index("No IP restriction")
        assert "stranger@example.com" in text
        assert "trader@example.com" in text

    @pytest.mark.parametrize(
        "asked",
        [
            {"state__exact": "acknowledged"},
            {"severity__exact": "40"},
            {"rule": "withdraw_enabled"},
            {"connection__exchange__code__exact": "kucoin"},
            {"q": "stranger@example.com"},
            {"q": "Strange one"},
        ],
    )
    def test_filters_and_search_find_one_of_two(
        self,
        desk: Client,
        finding: Finding,
        stranger: User,
        kucoin: Exchange,
        asked: dict[str, str],
    ) -> None:
        other = making.connection(stranger, kucoin, "Strange one")
        found(other, "withdraw_enabled", severity=40, state="acknowledged")
        text = text_of(desk, LIST, asked)
        assert rows(text) == 1
        assert "Strange one" in text

    def test_found_by_the_end_of_a_key(
        self, desk: Client, finding: Finding, stranger: User, mexc: Exchange
    ) -> None:
        found(making.connection(stranger, mexc, "Strange"))
        hint = finding.connection.credentials.get().hint
        text = text_of(desk, LIST, {"q": hint})
        assert rows(text) == 1
        assert finding.connection.name in text

    def test_one_is_shown_in_words_with_its_changes_and_nothing_to_edit(
        self, desk: Client, finding: Finding, staff: User
    ) -> None:
        FindingChange.objects.create(
            finding=finding, by=staff, state="suppressed", severity=20, why="A practice account"
        )
        text = text_of(desk, reverse("admin:connections_finding_change", args=[finding.pk]))
        for words in ("The key works from any address.", "A practice account", "staff@example.com"):
            assert words in text
        assert 'name="_save"' not in text
        assert not re.search(r'<(select|textarea|input type="text")[^>]*name="(?!q)', text)

    def test_a_look_is_on_record(self, desk: Client, finding: Finding, staff: User) -> None:
        text_of(desk, reverse("admin:connections_finding_change", args=[finding.pk]))
        looks = AccessEvent.objects.filter(kind=AccessEvent.Kind.STAFF_LOOK)
        event = looks.get()
        assert (event.actor, event.owner, event.connection) == (
            staff,
            finding.connection.owner,
            finding.connection,
        )

    def test_nothing_is_added_edited_or_deleted(self, desk: Client, finding: Finding) -> None:
        change = reverse("admin:connections_finding_change", args=[finding.pk])
        assert desk.post(change, {"state": "resolved"}).status_code == 403
        assert desk.get(reverse("admin:connections_finding_add")).status_code == 403
        delete = reverse("admin:connections_finding_delete", args=[finding.pk])
        assert desk.post(delete, {"post": "yes"}).status_code == 403
        act(desk, "delete_selected", finding, post="yes")
        finding.refresh_from_db()
        assert finding.state == "open"

    @pytest.mark.parametrize(
        ("action", "more", "state"),
        [
            ("acknowledge", {}, "acknowledged"),
            ("snooze", {}, "snoozed"),
            ("suppress", {"why": "A practice account"}, "suppressed"),
        ],
    )
    def test_staff_say_it_of_many_and_it_is_kept_by_whom(
        self,
        desk: Client,
        staff: User,
        connection: Connection,
        action: str,
        more: dict[str, str],
        state: str,
    ) -> None:
        many = [found(connection), found(connection, "same_key_own", amount=1)]
        act(desk, action, *many, **more)
        for each in many:
            each.refresh_from_db()
            change = each.changes.get()
            assert (each.state, change.state, change.by) == (state, state, staff)
            assert change.why == more.get("why", "")
        assert "Done for 2 findings." in text_of(desk, LIST)

    @pytest.mark.parametrize("action", ["acknowledge", "snooze", "suppress"])
    def test_a_thousand_cost_hardly_more_than_two(
        self, desk: Client, trader: User, action: str
    ) -> None:
        Connection.objects.bulk_create(
            Connection(owner=trader, exchange_id="mexc", name=f"Row {n}") for n in range(1000)
        )
        rows = [
            Finding(connection=each, rule="old", severity=20) for each in Connection.objects.all()
        ]
        Finding.objects.bulk_create(rows)
        with CaptureQueriesContext(database) as asked:
            act(desk, action, *Finding.objects.all()[:1], select_across="1", why="known")
        assert "Done for 1000 findings." in text_of(desk, LIST)
        assert FindingChange.objects.count() == 1000
        acted = AccessEvent.objects.filter(kind="staff_acted")
        assert acted.count() == 1000
        assert (
            acted[0].why
            == {
                "acknowledge": "finding acknowledged: known",
                "snooze": "finding snoozed: known",
                "suppress": "finding suppressed: known",
            }[action]
        )
        assert len(asked) < 80, len(asked)

    def test_a_snooze_is_of_thirty_days_or_what_staff_set(
        self, desk: Client, finding: Finding
    ) -> None:
        act(desk, "snooze", finding)
        finding.refresh_from_db()
        assert finding.snoozed_until is not None
        left = finding.snoozed_until - timezone.now()
        assert timedelta(days=29, hours=23) < left <= timedelta(days=30)

    @pytest.mark.parametrize("why", ["", "   "])
    def test_suppressing_needs_a_reason(self, desk: Client, finding: Finding, why: str) -> None:
        act(desk, "suppress", finding, why=why)
        finding.refresh_from_db()
        assert finding.state == "open"
        assert "Nothing was suppressed. Say why" in text_of(desk, LIST)

    def test_a_reason_that_is_too_long_is_refused(self, desk: Client, finding: Finding) -> None:
        act(desk, "suppress", finding, why="x" * 301)
        finding.refresh_from_db()
        assert finding.state == "open"

    def test_those_it_cannot_be_said_of_are_told_once(
        self, desk: Client, connection: Connection
    ) -> None:
        rules = ("old", "unused", "same_key_own")
        settled = [found(connection, rule, state="resolved") for rule in rules[:2]]
        Finding.objects.update(until=timezone.now())
        act(desk, "acknowledge", *settled, found(connection, "same_key_own"))
        text = text_of(desk, LIST)
        assert text.count("the finding is resolved") == 1
        assert "Done for 1 finding." in text

    @pytest.mark.parametrize(
        ("rights", "action", "may"),
        [
            (["view_finding"], "acknowledge", False),
            (["view_finding"], "snooze", False),
            (["view_finding"], "suppress", False),
            (["view_finding", "change_finding"], "acknowledge", True),
            (["view_finding", "change_finding"], "snooze", True),
            (["view_finding", "change_finding"], "suppress", False),
            (["view_finding", "suppress_finding"], "suppress", True),
            (["view_finding", "suppress_finding"], "acknowledge", False),
        ],
    )
    def test_each_act_needs_its_right(
        self, finding: Finding, rights: list[str], action: str, may: bool
    ) -> None:
        client = helper(*rights)
        assert (f'value="{action}"' in text_of(client, LIST)) == may
        act(client, action, finding, why="So.")
        finding.refresh_from_db()
        assert (finding.state != "open") == may

    def test_late_it_asks_for_the_second_factor_first(self, staff: User, finding: Finding) -> None:
        making.totp(staff)
        late = making.sign_in(Client(), staff, second_factor=True, age=6 * 60)
        answer = act(late, "suppress", finding, why="Kept words")
        finding.refresh_from_db()
        assert finding.state == "open"
        assert 'name="why" value="Kept words"' in answer.content.decode()

    def test_list_takes_the_same_number_of_queries_with_more_rows(
        self,
        desk: Client,
        finding: Finding,
        trader: User,
        mexc: Exchange,
        django_assert_num_queries: Any,
    ) -> None:
        text_of(desk, LIST)
        with CaptureQueriesContext(database) as few:
            text_of(desk, LIST)
        for number in range(12):
            found(making.connection(trader, mexc, f"More {number}"))
        with django_assert_num_queries(len(few)):
            text_of(desk, LIST)


class TestThresholds:
    ADD = reverse("admin:connections_thresholds_add")
    CHANGE = reverse("admin:connections_thresholds_change", args=[1])

    def test_navigation_leads_straight_to_the_numbers(self, desk: Client) -> None:
        """Also while nobody has changed one: they hold all the same."""
        lead = reverse("admin:connections_thresholds_changelist")
        for page in (lead, self.CHANGE):
            assert 'name="old_days" value="90"' in text_of(desk, page)
        assert f'action="{self.CHANGE}"' in text_of(desk, lead)
        assert not Thresholds.objects.exists()

    def test_there_is_one_row_at_most(self, desk: Client) -> None:
        assert desk.post(self.CHANGE, NUMBERS).status_code == 302
        assert Thresholds.objects.get().pk == 1
        assert desk.post(self.CHANGE, NUMBERS).status_code == 302
        assert Thresholds.objects.get().pk == 1
        assert desk.get(self.ADD).status_code == 403
        assert desk.post(self.ADD, NUMBERS).status_code == 403

    def test_it_is_never_deleted(self, desk: Client) -> None:
        Thresholds.objects.create(pk=1)
        delete = reverse("admin:connections_thresholds_delete", args=[1])
        assert desk.post(delete, {"post": "yes"}).status_code == 403
        path = reverse("admin:connections_thresholds_changelist")
        act(desk, "delete_selected", Thresholds.current(), path=path, post="yes")
        assert Thresholds.objects.exists()

    def test_every_number_can_be_set(self, desk: Client) -> None:
        """All of them are on the page, so that none is forgotten."""
        Thresholds.objects.create(pk=1)
        text = text_of(desk, self.CHANGE)
        for name in NUMBERS:
            assert f'name="{name}"' in text, name

    @pytest.mark.parametrize("there", [True, False])
    def test_a_change_is_on_record_with_what_was_and_is(
        self, desk: Client, staff: User, there: bool
    ) -> None:
        if there:
            Thresholds.objects.create(pk=1)
        values = {**NUMBERS, "old_days": 60, "snooze_most_days": 45}
        assert desk.post(self.CHANGE, values).status_code == 302
        events = AccessEvent.objects.filter(kind=AccessEvent.Kind.THRESHOLDS_CHANGED)
        assert {event.actor for event in events} == {staff}
        assert {event.why for event in events} == {
            "old_days: 90 -> 60",
            "snooze_most_days: 90 -> 45",
        }
        assert Thresholds.current().old_days == 60

    def test_an_old_page_puts_nothing_back(self, desk: Client) -> None:
        """Somebody else made the first warning earlier while it was open."""
        shown = {f"initial-{name}": value for name, value in NUMBERS.items()}
        desk.post(self.CHANGE, {**NUMBERS, **shown, "expiry_first_days": 60})
        desk.post(self.CHANGE, {**NUMBERS, **shown, "old_days": 60})
        row = Thresholds.current()
        assert (row.expiry_first_days, row.old_days) == (60, 60)
        assert AccessEvent.objects.filter(kind="thresholds_changed").count() == 2

    def test_an_old_page_is_held_to_what_is_there_now(self, desk: Client) -> None:
        shown = {f"initial-{name}": value for name, value in NUMBERS.items()}
        desk.post(self.CHANGE, {**NUMBERS, **shown, "very_old_days": 100})
        answer = desk.post(self.CHANGE, {**NUMBERS, **shown, "old_days": 120})
        assert answer.status_code == 200 and answer.context["adminform"].form.errors
        assert Thresholds.current().old_days == NUMBERS["old_days"]

    def test_saving_the_same_writes_nothing(self, desk: Client) -> None:
        Thresholds.objects.create(pk=1)
        desk.post(self.CHANGE, NUMBERS)
        assert not AccessEvent.objects.filter(kind="thresholds_changed").exists()

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"old_days": 180}, "High must be more days than warning."),
            ({"expiry_second_days": 14}, "must be the most days before the key expires"),
            ({"expiry_last_days": 9}, "The first notice must be the most days"),
            ({"snooze_days": 91}, "The usual snooze must not be longer than the longest."),
            ({"tests_kept_days": 0}, "greater than or equal to 1"),
            ({"snooze_most_days": 400}, "less than or equal to 365"),
            ({"unused_days": "soon"}, "Enter a whole number."),
            ({"unused_days": ""}, "This field is required."),
        ],
    )
    def test_numbers_that_do_not_fit_are_named_and_kept(
        self, desk: Client, values: dict[str, Any], sentence: str
    ) -> None:
        Thresholds.objects.create(pk=1)
        answer = desk.post(self.CHANGE, {**NUMBERS, **values})
        text = answer.content.decode()
        assert answer.status_code == 200
        assert sentence in text
        for typed in values.values():
            assert not typed or f'value="{typed}"' in text
        assert not AccessEvent.objects.filter(kind="thresholds_changed").exists()

    def test_looking_is_not_changing(self, db: None) -> None:
        Thresholds.objects.create(pk=1)
        client = helper("view_thresholds")
        assert 'name="_save"' not in text_of(client, self.CHANGE)
        assert client.post(self.CHANGE, {**NUMBERS, "old_days": 60}).status_code == 403
        assert Thresholds.current().old_days == 90

    def test_a_second_row_is_against_the_database_too(self, db: None) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Thresholds.objects.create(pk=2)


def test_outages_are_looked_at_alone(desk: Client, mexc: Exchange) -> None:
    row = Outage.objects.create(exchange=mexc, began_at=timezone.now())
    assert "MEXC" in text_of(desk, reverse("admin:connections_outage_changelist"))
    change = reverse("admin:connections_outage_change", args=[row.pk])
    assert 'name="_save"' not in text_of(desk, change)
    assert desk.post(change, {"ended_at_0": "2026-01-01"}).status_code == 403
    assert desk.get(reverse("admin:connections_outage_add")).status_code == 403
    assert desk.post(reverse("admin:connections_outage_delete", args=[row.pk])).status_code == 403


def test_changes_have_no_page_of_their_own() -> None:
    assert FindingChange not in site._registry


class TestReport:
    def lines(self, answer: Any) -> list[list[str]]:
        assert answer.status_code == 200
        text = b"".join(answer.streaming_content).decode()
        return list(csv.reader(io.StringIO(text, newline="")))

    def test_it_is_streamed_and_kept_nowhere(self, desk: Client, connection: Connection) -> None:
        answer = report(desk, connection)
        assert answer.streaming
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "no-store" in answer.headers["Cache-Control"]
        today = f"{timezone.now():%Y-%m-%d}"
        assert answer.headers["Content-Disposition"] == (
            f'attachment; filename="backfuture-credentials-{today}.csv"'
        )
        heading, line = self.lines(answer)
        assert heading == list(reports.COLUMNS)
        assert line[:3] == ["trader@example.com", "MEXC Spot Main", "mexc"]

    def test_it_honours_the_filters_of_the_list(
        self, desk: Client, connection: Connection, stranger: User, kucoin: Exchange
    ) -> None:
        making.connection(stranger, kucoin, "Strange")
        making.connection(stranger, connection.exchange, "Strange too")
        query = "?exchange__code__exact=mexc&q=stranger%40example.com"
        answer = report(desk, connection, query, select_across="1")
        assert [line[1] for line in self.lines(answer)[1:]] == ["Strange too"]

    def test_all_of_them_at_once(
        self, desk: Client, connection: Connection, stranger: User, mexc: Exchange
    ) -> None:
        making.connection(stranger, mexc, "Strange")
        answer = report(desk, connection, select_across="1")
        assert len(self.lines(answer)) == 3

    def test_it_is_on_record(self, desk: Client, connection: Connection, staff: User) -> None:
        report(desk, connection)
        event = AccessEvent.objects.get(kind=AccessEvent.Kind.EXPORTED)
        assert (event.actor, event.owner) == (staff, None)
        assert event.why == "credential report, 1 connections: audit of May"

    def test_each_owner_can_read_that_theirs_was_in_it(
        self, desk: Client, connection: Connection, staff: User, stranger: User, mexc: Exchange
    ) -> None:
        making.connection(stranger, mexc, "Strange")
        self.lines(report(desk, connection, select_across="1"))
        told = AccessEvent.objects.filter(kind="exported").exclude(owner=None)
        assert set(told.values_list("owner__email", "actor", "connection__name", "why")) == {
            (
                "trader@example.com",
                staff.pk,
                "MEXC Spot Main",
                "credential report: audit of May",
            ),
            ("stranger@example.com", staff.pk, "Strange", "credential report: audit of May"),
        }
        assert set(told.values_list("ip", flat=True)) == {"127.0.0.1"}
        page = making.sign_in(Client(), stranger).get("/accounts/activity/").content.decode()
        assert "credential report: audit of May" in page

    def test_what_has_not_left_was_not_read(
        self, desk: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On record before a line leaves, and no more than leaves: it goes in parts."""
        monkeypatch.setattr(reports, "CHUNK", 1)
        making.connection(connection.owner, connection.exchange, "Zebra")
        parts = iter(report(desk, connection, select_across="1").streaming_content)
        told = AccessEvent.objects.filter(kind="exported").exclude(owner=None)
        next(parts)
        assert not told.exists()
        assert b"MEXC Spot Main" in next(parts)
        assert [event.connection for event in told] == [connection]
        list(parts)
        assert told.all().count() == 2

    def test_it_needs_a_reason(self, desk: Client, connection: Connection) -> None:
        assert not report(desk, connection, why=" ").streaming
        assert not AccessEvent.objects.filter(kind="exported").exists()

    @pytest.mark.parametrize(
        ("rights", "may"),
        [
            (["view_connection"], False),
            (["view_connection", "change_connection"], False),
            (["view_connection", "view_finding"], False),
            (["view_connection", "export_connection"], False),
            (["view_connection", "view_finding", "export_connection"], True),
        ],
    )
    def test_it_needs_the_right_to_see_both_and_to_take_along(
        self, connection: Connection, rights: list[str], may: bool
    ) -> None:
        client = helper(*rights)
        assert ("download_report" in text_of(client, CONNECTIONS)) == may
        answer = report(client, connection)
        assert answer.streaming == may
        assert AccessEvent.objects.filter(kind="exported").exists() == may

    def test_late_it_asks_for_the_second_factor_first(
        self, staff: User, connection: Connection
    ) -> None:
        making.totp(staff)
        late = making.sign_in(Client(), staff, second_factor=True, age=6 * 60)
        answer = report(late, connection)
        assert not answer.streaming
        assert not AccessEvent.objects.filter(kind="exported").exists()

    def test_a_formula_in_a_name_does_not_run(self, desk: Client, connection: Connection) -> None:
        Connection.objects.filter(pk=connection.pk).update(name="=1+1")
        answer = report(desk, connection)
        assert self.lines(answer)[1][1] == "'=1+1"
