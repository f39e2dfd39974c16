"""The support desk's home: every figure at its boundaries, every link with as many rows behind it,
and nothing for whom it is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from backfuture.accounts import desk_charts, desk_schedules
from backfuture.accounts.desk_home import Card, Home
from backfuture.accounts.models import User
from backfuture.schedules import KNOWN
from connections import counting, desk_figures
from connections.exchanges.problems import MAY_PASS, PROBLEMS
from connections.incidents import Incident
from connections.models import (
    Connection,
    ConnectionTest,
    Exchange,
    Finding,
    HourOfTests,
    Outage,
    Thresholds,
)
from tests import generated, making, many

HOME = reverse("admin:index")
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def desk(staff: User) -> Client:
    return making.desk(Client(), staff)


@pytest.fixture
def clock(db: None) -> None:
    """Every schedule has just been started."""
    making.schedules()
    PeriodicTask.objects.update(last_run_at=timezone.now())


def shown(client: Client) -> Home:
    answer = client.get(HOME)
    assert answer.status_code == 200
    made: Home = answer.context_data["home"]  # type: ignore[attr-defined]
    return made


def card(client: Client, title: str) -> Card:
    return next(card for card in shown(client).cards if card.title == title)


def behind(client: Client, link: str) -> int:
    """Rows of the list that a link leads to."""
    answer = client.get(link)
    assert answer.status_code == 200, link
    return int(answer.context_data["cl"].result_count)  # type: ignore[attr-defined]


def words(client: Client) -> str:
    return re.sub(r"\s+", " ", client.get(HOME).content.decode())


def helper(*rights: str) -> Client:
    """Staff with these rights alone."""
    user = User.objects.create_user("helper@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return making.desk(Client(), user)


def keyed(owner: User, exchange: str = "mexc", **fields: Any) -> Connection:
    now = timezone.now()
    usual = {"tested_at": now, "next_test_at": now + DAY}
    return many.keyed(owner, exchange, **{**usual, **fields})


def failing(owner: User, problem: str, exchange: str = "mexc", **fields: Any) -> Connection:
    usual = {"status": "failed", "failing_since": timezone.now() - HOUR}
    return keyed(owner, exchange, problem=problem, **{**usual, **fields})


def ended(connection: Connection, at: datetime, outcome: str, problem: str = "") -> None:
    ConnectionTest.objects.create(
        connection=connection,
        credential=connection.credentials.get(),
        reason="scheduled",
        status="done",
        queued_at=at,
        finished_at=at,
        outcome=outcome,
        problem=problem,
    )


def waits(connection: Connection, seconds: int, status: str = "queued") -> None:
    ConnectionTest.objects.create(
        connection=connection,
        credential=connection.credentials.get(),
        reason="user",
        status=status,
        queued_at=timezone.now() - timedelta(seconds=seconds),
    )


class TestWhatNeedsAPerson:
    def test_without_anything_it_says_so(self, desk: Client, clock: None) -> None:
        assert "Nothing needs you now." in words(desk)
        home = shown(desk)
        assert {each.number for each in home.cards} == {"0"}
        assert {each.tone for each in home.cards} == {"calm"}
        for each in home.cards:
            assert behind(desk, each.link) == 0

    def test_critical_findings_that_nobody_spoke_of(self, desk: Client, trader: User) -> None:
        now = timezone.now()
        for fields in (
            {},
            {"state": "snoozed", "snoozed_until": now - SECOND},
            {"state": "snoozed", "snoozed_until": now + HOUR},
            {"state": "acknowledged"},
            {"state": "suppressed"},
            {"state": "resolved"},
            {"severity": Finding.Severity.HIGH},
        ):
            usual = {"severity": Finding.Severity.CRITICAL, "rule": "withdraw_enabled"}
            Finding.objects.create(connection=keyed(trader), **{**usual, **fields})
        critical = card(desk, "Critical findings")
        assert (critical.number, critical.tone) == ("2", "bad")
        assert behind(desk, critical.link) == 2
        assert len(shown(desk).findings or ()) == 2
        assert "Nothing needs you now." not in words(desk)

    def test_the_newest_critical_ones_are_named(self, desk: Client, trader: User) -> None:
        now = timezone.now()
        for hours in range(7):
            Finding.objects.create(
                connection=keyed(trader, name=f"Number {hours}"),
                rule="withdraw_enabled",
                severity=40,
                state_since=now - hours * HOUR,
            )
        rows = shown(desk).findings or []
        assert [row.connection for row in rows] == [f"Number {hours}" for hours in range(5)]
        assert rows[0].owner == trader.email
        making.say_why(desk, trader)
        assert desk.get(rows[0].link).status_code == 200

    @pytest.mark.parametrize(
        ("ago", "more", "counts"),
        [
            (HOUR, {}, True),
            (DAY - 60 * SECOND, {}, True),
            (DAY + 10 * SECOND, {}, False),
            (HOUR, {"paused_at": datetime(2026, 1, 1, tzinfo=UTC)}, False),
        ],
    )
    def test_failing_is_new_for_a_day(
        self, desk: Client, trader: User, ago: timedelta, more: dict[str, Any], counts: bool
    ) -> None:
        failing(trader, "bad_secret", failing_since=timezone.now() - ago, **more)
        found = card(desk, "Newly failing")
        assert found.number == str(int(counts))
        assert behind(desk, found.link) == int(counts)

    def test_failing_ones_are_told_by_exchange_and_problem(
        self, desk: Client, trader: User
    ) -> None:
        for exchange, problem, number in (
            ("mexc", "bad_secret", 1),
            ("mexc", "ip_not_allowed", 3),
            ("kucoin", "ip_not_allowed", 2),
        ):
            for _each in range(number):
                failing(trader, problem, exchange)
        rows = shown(desk).failing or []
        assert [(row.exchange, row.problem, row.number) for row in rows] == [
            ("MEXC", "IP not allowed", "3"),
            ("KuCoin", "IP not allowed", "2"),
            ("MEXC", "The secret does not match the API key", "1"),
        ]
        for row in rows:
            assert behind(desk, row.link) == int(row.number)

    def test_what_only_the_exchange_can_mend_is_told_apart(
        self, desk: Client, trader: User, clock: None
    ) -> None:
        began = timezone.now() - HOUR
        Outage.objects.create(exchange_id="kucoin", began_at=began)
        Outage.objects.create(exchange_id="mexc", began_at=began, ended_at=timezone.now())
        for exchange, problem in (
            ("kucoin", "unavailable"),
            ("kucoin", "unavailable"),
            ("kucoin", "bad_secret"),
            ("mexc", "unavailable"),
        ):
            failing(trader, problem, exchange)
        rows = shown(desk).failing or []
        assert [(row.exchange, row.number) for row in rows if row.is_the_exchange] == [
            ("KuCoin", "2")
        ]
        assert rows[-1].is_the_exchange
        text = words(desk)
        assert "KuCoin is down." in text
        assert "MEXC is down." not in text
        assert text.count("it is the exchange</span>") == 1
        assert card(desk, "Newly failing").said == "In the last 24 hours; of 2 it is the exchange."
        assert behind(desk, shown(desk).outages_link) == 1

    def test_of_an_outage_alone_nobody_is_called(
        self, desk: Client, trader: User, clock: None
    ) -> None:
        failing(trader, "unavailable")
        assert card(desk, "Newly failing").tone == "warning"
        Outage.objects.create(exchange_id="mexc", began_at=timezone.now())
        assert card(desk, "Newly failing").tone == "calm"

    def test_many_kinds_of_failure_are_summed_up(self, desk: Client, trader: User) -> None:
        Outage.objects.create(exchange_id="okx", began_at=timezone.now())
        failing(trader, "unavailable", "okx")
        for number in range(13):
            failing(trader, f"problem_{number}")
        home = shown(desk)
        assert len(home.failing or ()) == 11
        assert home.more_failing == 3
        assert "and 3 more" in words(desk)
        assert behind(desk, home.failing_link) == 14

    @pytest.mark.parametrize(
        ("left", "counts"),
        [
            (-SECOND, False),
            (HOUR, True),
            (14 * DAY - HOUR, True),
            (14 * DAY + HOUR, False),
            (None, False),
        ],
    )
    def test_keys_that_end_within_two_weeks(
        self, desk: Client, trader: User, left: timedelta | None, counts: bool
    ) -> None:
        ends = timezone.now() + left if left is not None else None
        keyed(trader, key_expires_at=ends)
        keyed(trader, key_expires_at=ends, paused_at=timezone.now())
        found = card(desk, "Keys that expire")
        assert found.number == str(int(counts))
        assert behind(desk, found.link) == int(counts)

    @pytest.mark.parametrize(
        ("ago", "counts"),
        [(SECOND, 2), (DAY - 60 * SECOND, 2), (DAY + SECOND, 0), (None, 0)],
    )
    def test_strategies_that_were_suspended(
        self, desk: Client, trader: User, ago: timedelta | None, counts: int
    ) -> None:
        connection = keyed(trader)
        at = timezone.now() - ago if ago else None
        for name in ("One", "Two"):
            many.strategy(connection, name, enabled=False, suspended_at=at)
        found = card(desk, "Strategies suspended")
        assert found.number == str(counts)
        assert behind(desk, found.link) == counts

    @pytest.mark.parametrize(
        ("minutes", "more", "counts"),
        [
            (16, {}, True),
            (14, {}, False),
            (16, {"paused_at": datetime(2026, 1, 1, tzinfo=UTC)}, False),
        ],
    )
    def test_tests_that_are_overdue(
        self, desk: Client, trader: User, minutes: int, more: dict[str, Any], counts: bool
    ) -> None:
        keyed(trader, next_test_at=timezone.now() - timedelta(minutes=minutes), **more)
        found = card(desk, "Overdue tests")
        assert found.number == str(int(counts))
        assert behind(desk, found.link) == int(counts)

    def test_of_a_paused_exchange_nothing_is_overdue_or_waits(
        self, desk: Client, trader: User, mexc: Exchange
    ) -> None:
        waits(keyed(trader, next_test_at=timezone.now() - DAY), 900)
        Exchange.objects.filter(pk="mexc").update(paused=True)
        assert card(desk, "Overdue tests").number == "0"
        assert card(desk, "Tests that wait").number == "0"

    def test_what_an_incident_stops_is_neither_overdue_nor_waiting(
        self, desk: Client, trader: User
    ) -> None:
        waits(keyed(trader, next_test_at=timezone.now() - DAY), 900)
        waits(keyed(trader, "okx", next_test_at=timezone.now() - DAY), 900)
        stop = Incident(scope="exchange", exchange_id="mexc", reason="x", state="done")
        stop.confirmed_at = timezone.now()
        stop.save()
        for title in ("Overdue tests", "Tests that wait"):
            assert card(desk, title).number == "1"
            assert behind(desk, card(desk, title).link) == 1
        Incident.objects.update(lifted_at=timezone.now())
        assert card(desk, "Overdue tests").number == "2"

    @pytest.mark.parametrize(
        ("fields", "counts"),
        [
            ({"state": "asked"}, True),
            ({"state": "asked", "asked_at": timezone.now() - HOUR}, False),
            ({"state": "withdrawn"}, False),
            ({"state": "running", "confirmed_at": timezone.now(), "stop_use": False}, True),
            ({"state": "done", "confirmed_at": timezone.now(), "stop_use": False}, False),
            ({"state": "done", "confirmed_at": timezone.now()}, True),
            (
                {
                    "state": "done",
                    "confirmed_at": timezone.now(),
                    "lifted_at": timezone.now(),
                },
                False,
            ),
        ],
    )
    def test_incidents_that_are_not_over(
        self, desk: Client, fields: dict[str, Any], counts: bool
    ) -> None:
        Incident.objects.create(**{"scope": "all", "reason": "x", **fields})
        cards = [each for each in shown(desk).cards if each.title == "Incidents"]
        assert [each.number for each in cards] == ["1"] * counts
        assert [behind(desk, each.link) for each in cards] == [1] * counts
        assert all(each.tone == "bad" for each in cards)


class TestQueue:
    @pytest.mark.parametrize(("seconds", "tone"), [(50, "calm"), (70, "bad")])
    def test_its_depth_and_its_oldest(
        self, desk: Client, trader: User, seconds: int, tone: str
    ) -> None:
        waits(keyed(trader), seconds)
        waits(keyed(trader), 5)
        waits(keyed(trader), 500, status="running")
        waits(keyed(trader, paused_at=timezone.now()), 500)
        found = card(desk, "Tests that wait")
        assert (found.number, found.tone) == ("2", tone)
        assert re.fullmatch(rf"The oldest for {seconds // 10}\d\ss\.", found.said)
        assert behind(desk, found.link) == 2
        assert found.beside == "1 is running." and behind(desk, found.beside_link) == 1

    def test_ages_are_told_in_their_largest_unit(self, desk: Client, trader: User) -> None:
        connection = keyed(trader)
        for seconds, said in ((119, "s"), (7000, "116 min"), (3 * 3600, "3 h")):
            ConnectionTest.objects.all().delete()
            waits(connection, seconds)
            assert said in card(desk, "Tests that wait").said.replace("\N{NO-BREAK SPACE}", " ")


class TestCharts:
    @pytest.fixture(autouse=True)
    def within_one_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """None ends between what is counted and what is shown."""
        now = timezone.now()
        moment = min(now, now.replace(minute=58))
        monkeypatch.setattr(timezone, "now", lambda: moment)

    def test_every_number_has_as_many_tests_behind_it(self, desk: Client, trader: User) -> None:
        connection, now = keyed(trader), timezone.now()
        newest = counting.start_of_hour(now)
        for hours, outcome, problem in (
            (0, "connected", ""),
            (1, "warnings", ""),
            (1, "failed", "bad_secret"),
            (1, "refused", "withdrawal_enabled"),
            (23, "failed", "unavailable"),
            (23, "", ""),
            (24, "connected", ""),
            (20 * 24, "connected", ""),
        ):
            ended(connection, newest - hours * HOUR, outcome, problem)
        waits(connection, 5)
        counting.count_tests(now=now)
        day, month = shown(desk).charts
        assert [total.count for total in day.totals] == [2, 2, 1, 1]
        assert [total.count for total in month.totals] == [4, 2, 1, 1]
        for chart in (day, month):
            bars = [bar for bar in chart.bars if bar.tests]
            for each in (*chart.totals, *bars, chart.bars[3]):
                number = each.count if isinstance(each, desk_charts.Total) else each.tests
                assert behind(desk, each.link) == number
        assert (len(day.bars), len(month.bars)) == (24, 30)
        assert (day.bars[-1].tests, day.bars[-2].tests, day.bars[0].tests) == (1, 3, 2)

    def test_hours_and_days_are_those_of_the_viewer(self, staff: User, trader: User) -> None:
        User.objects.filter(pk=staff.pk).update(time_zone="Asia/Kolkata")
        staff.refresh_from_db()
        zone = timezone.zoneinfo.ZoneInfo("Asia/Kolkata")
        desk, now = making.desk(Client(), staff), timezone.now()
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        HourOfTests.objects.create(hour=counting.start_of_hour(now), good=3, counted_at=now)
        before = counting.start_of_hour(midnight)  # it begins half an hour before midnight
        HourOfTests.objects.update_or_create(hour=before, defaults={"good": 5, "counted_at": now})
        day, month = shown(desk).charts
        assert day.bars[-1].label.endswith(":30")
        assert month.bars[-2].tests == 5

    def test_the_bars_are_drawn_in_proportion(self, desk: Client) -> None:
        now = timezone.now()
        HourOfTests.objects.create(
            hour=counting.start_of_hour(now), good=30, bad=9, dropped=1, counted_at=now
        )
        chart = shown(desk).charts[0]
        assert [number for _y, number in chart.steps] == [0, 20, 40]
        parts = chart.bars[-1].parts
        assert [(part.result, part.y) for part in parts] == [
            ("good", 37.5),
            ("bad", 3.8),
            ("dropped", 0),
        ]
        assert {bar.parts for bar in chart.bars[:-1]} == {()}

    def test_one_test_among_many_is_still_seen(self, desk: Client) -> None:
        now = timezone.now()
        hour = counting.start_of_hour(now)
        HourOfTests.objects.create(hour=hour, good=100_000, bad=1, counted_at=now)
        part = shown(desk).charts[0].bars[-1].parts[-1]
        assert (part.result, part.height) == ("bad", 1.5)

    @pytest.mark.parametrize(
        ("number", "most"), [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (399, 400), (401, 1000)]
    )
    def test_the_scale_ends_at_a_number_easy_to_read(self, number: int, most: int) -> None:
        assert desk_charts._round_up(number) == most

    def test_readers_have_a_table(self, desk: Client) -> None:
        now = timezone.now()
        HourOfTests.objects.create(
            hour=counting.start_of_hour(now), good=1234, bad=1, counted_at=now
        )
        text = words(desk)
        assert 'aria-label="1235 tests; the table below says the same"' in text
        assert "1,234</a></td>" in text
        assert "<script>" not in text

    @pytest.mark.parametrize(("minutes", "old"), [(14, False), (16, True)])
    def test_counts_that_are_old_are_said_to_be(
        self, desk: Client, minutes: int, old: bool
    ) -> None:
        now = timezone.now()
        counted_at = now - timedelta(minutes=minutes)
        HourOfTests.objects.create(hour=counting.start_of_hour(now) - HOUR, counted_at=counted_at)
        assert ("The counts are old." in words(desk)) == old

    def test_days_whose_tests_were_thinned_have_no_list(self, desk: Client) -> None:
        Thresholds.objects.create(pk=1, tests_kept_days=3)
        links = [bool(bar.link) for bar in shown(desk).charts[1].bars]
        assert links == [False] * 27 + [True] * 3


class TestCounting:
    def test_an_hour_is_counted_until_some_time_after_its_end(self, trader: User) -> None:
        connection, now = keyed(trader), datetime(2026, 5, 4, 12, 5, tzinfo=UTC)
        before = datetime(2026, 5, 4, 11, tzinfo=UTC)
        counting.count_tests(now=now)
        ended(connection, before + timedelta(minutes=59), "connected")  # committed late
        counting.count_tests(now=now + timedelta(minutes=5))
        assert HourOfTests.objects.get(hour=before).good == 1
        ended(connection, before + timedelta(minutes=58), "connected")
        counting.count_tests(now=now + HOUR)
        assert HourOfTests.objects.get(hour=before).good == 1

    def test_the_first_run_counts_31_days_and_the_next_what_moves(self, db: None) -> None:
        now = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
        assert counting.count_tests(now=now) == 31 * 24 + 1
        assert counting.count_tests(now=now + 3 * SECOND) == 1
        assert counting.count_tests(now=now + timedelta(minutes=35)) == 2
        assert counting.count_tests(now=now + timedelta(minutes=41)) == 2  # for good
        assert counting.count_tests(now=now + timedelta(minutes=42)) == 1

    def test_after_days_of_standstill_what_is_missing_is_counted(self, trader: User) -> None:
        now = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
        counting.count_tests(now=now)
        ended(keyed(trader), now + DAY, "connected")
        assert counting.count_tests(now=now + 2 * DAY) == 49
        assert HourOfTests.objects.get(hour=counting.start_of_hour(now + DAY)).good == 1

    def test_what_an_earlier_count_overwrote_is_counted_again(self, trader: User) -> None:
        """Two workers at once: the slower one saw less and wrote last."""
        now = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
        hour = counting.start_of_hour(now) - HOUR
        ended(keyed(trader), hour, "connected")
        counting.count_tests(now=now)
        HourOfTests.objects.filter(hour=hour).update(good=0, counted_at=hour + HOUR)
        counting.count_tests(now=now + SECOND)
        assert HourOfTests.objects.get(hour=hour).good == 1

    def test_what_a_clock_ahead_of_time_counted_is_counted_again(self, db: None) -> None:
        now = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
        counting.count_tests(now=now + DAY)
        assert counting.count_tests(now=now) == 31 * 24 + 1

    def test_every_test_that_ended_has_one_result(self, trader: User) -> None:
        connection, now = keyed(trader), datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
        for outcome in ("", "connected", "warnings"):
            ended(connection, now, outcome)
        for problem in ("", *PROBLEMS):
            ended(connection, now, "failed", problem)
        ended(connection, now, "refused", "withdrawal_enabled")
        counting.count_tests(now=now)
        row = HourOfTests.objects.get(hour=counting.start_of_hour(now))
        assert (row.good, row.unanswered, row.dropped) == (2, len(MAY_PASS), 1)
        assert row.good + row.bad + row.unanswered + row.dropped == ConnectionTest.objects.count()


class TestSchedules:
    def test_each_is_told_in_words_with_its_rhythm(self, desk: Client, clock: None) -> None:
        assert all(known.harm for known in KNOWN.values())
        found = shown(desk).schedules or []
        assert [each.title for each in found] == [str(known.title) for known in KNOWN.values()]
        rhythms = {each.title: each.rhythm for each in found}
        assert rhythms["Scheduled tests"] == "every 5 seconds"
        assert rhythms["Summaries"] == "every 10 minutes"
        assert rhythms["Findings"] == "every day at 04:10 UTC"
        assert not any(each.late or each.off for each in found)
        assert len(KNOWN) == behind(desk, shown(desk).schedules_link)

    @pytest.mark.parametrize(("minutes", "late"), [(3, False), (5, True)])
    def test_one_of_every_few_seconds_is_late_when_the_clock_should_have_told(
        self, desk: Client, clock: None, minutes: int, late: bool
    ) -> None:
        ago = timezone.now() - timedelta(minutes=minutes)
        PeriodicTask.objects.filter(name="tell").update(last_run_at=ago)
        assert bool(shown(desk).late) == late
        assert ("nobody is told that a connection broke" in words(desk)) == late
        assert ("Nothing needs you now." in words(desk)) != late

    @pytest.mark.parametrize(
        ("last", "now", "late"),
        [
            ("2026-05-03T04:10:01", "2026-05-04T04:13:00", False),
            ("2026-05-03T04:10:01", "2026-05-04T04:15:00", True),
            ("2026-05-04T04:10:01", "2026-05-05T04:09:00", False),
        ],
    )
    def test_a_daily_one_is_late_minutes_after_its_time(
        self, clock: None, last: str, now: str, late: bool
    ) -> None:
        at = datetime.fromisoformat(last).replace(tzinfo=UTC)
        PeriodicTask.objects.filter(name="audit").update(last_run_at=at)
        rows = desk_schedules.schedules(datetime.fromisoformat(now).replace(tzinfo=UTC))
        assert next(row for row in rows if row.title == "Findings").late == late

    def test_without_a_clock_all_of_them_are_late(self, desk: Client) -> None:
        assert all(each.late for each in shown(desk).schedules or ())
        assert "It has never started." in words(desk)

    def test_a_new_one_waits_for_its_time(self, clock: None) -> None:
        PeriodicTask.objects.update(last_run_at=None)
        rows = desk_schedules.schedules(timezone.now() + timedelta(seconds=30))
        assert not any(row.late for row in rows)

    def test_one_that_is_switched_off_is_said_to_be(self, desk: Client, clock: None) -> None:
        old = timezone.now() - DAY
        PeriodicTask.objects.filter(name="thin").update(enabled=False, last_run_at=old)
        first = (shown(desk).schedules or [])[0]
        assert (first.title, first.off, first.late) == ("Old tests", True, False)
        assert "switched off" in words(desk)


class TestWhoSeesWhat:
    @pytest.mark.parametrize(
        ("right", "cards", "blocks"),
        [
            ("view_finding", {"Critical findings"}, {"findings"}),
            (
                "view_connection",
                {"Newly failing", "Keys that expire", "Overdue tests"},
                {"failing"},
            ),
            ("view_strategyconfig", {"Strategies suspended"}, set()),
            ("view_connectiontest", {"Tests that wait"}, {"charts"}),
            ("view_periodictask", set(), {"schedules"}),
            ("view_incident", {"Incidents"}, set()),
            ("view_exchange", set(), set()),
        ],
    )
    def test_each_block_needs_the_right_to_its_list(
        self, db: None, right: str, cards: set[str], blocks: set[str]
    ) -> None:
        Incident.objects.create(scope="all", reason="x")
        home = shown(helper(right))
        assert {card.title for card in home.cards} == cards
        names = ("findings", "failing", "schedules")
        there = {name for name in names if getattr(home, name) is not None}
        assert there | ({"charts"} if home.charts else set()) == blocks

    def test_outages_are_told_without_the_way_to_their_list(self, trader: User) -> None:
        Outage.objects.create(exchange_id="mexc", began_at=timezone.now())
        client = helper("view_connection")
        text = words(client)
        assert "MEXC is down." in text
        assert "/outage/" not in text

    def test_who_may_see_nothing_is_told_so(self, db: None) -> None:
        text = words(helper())
        assert "There is nothing here that you may see." in text
        assert "Nothing needs you now." not in text

    def test_users_do_not_come_here(self, trader: User) -> None:
        assert making.desk(Client(), trader).get(HOME).status_code in {302, 403}


def test_the_rows_of_the_benchmark_are_what_the_desk_shows(desk: Client) -> None:
    now = timezone.now()
    generated.connections(100, now)
    generated.tests(2000, 100, now)
    counting.count_tests(now=now)
    home = shown(desk)
    # Of 30 days, the chart shows 29 and what has passed of today.
    assert sum(bar.tests for bar in home.charts[1].bars) > 1800
    assert {card.title for card in home.cards if card.number != "0"} >= {
        "Newly failing",
        "Tests that wait",
    }
    for each in home.cards:
        assert behind(desk, each.link) == int(each.number)


def test_as_many_queries_with_one_row_as_with_two_hundred(
    desk: Client, trader: User, clock: None, django_assert_num_queries: Any
) -> None:
    def more(number: int) -> None:
        for _each in range(number):
            connection = failing(trader, "bad_secret", key_expires_at=timezone.now() + DAY)
            Finding.objects.create(connection=connection, rule="withdraw_enabled", severity=40)
            ended(connection, timezone.now(), "failed", "bad_secret")
            waits(connection, 5)
            many.strategy(connection, connection.name, enabled=False, suspended_at=timezone.now())

    more(1)
    Outage.objects.create(exchange_id="mexc", began_at=timezone.now())
    counting.count_tests(now=timezone.now())
    words(desk)
    with CaptureQueriesContext(database) as few:
        words(desk)
    more(199)
    Outage.objects.create(exchange_id="okx", began_at=timezone.now())
    counting.count_tests(now=timezone.now())
    with django_assert_num_queries(len(few)):
        home = shown(desk)
    assert len(home.findings or ()) == desk_figures.SHOWN
    assert {card.number for card in home.cards if card.needs} >= {"200"}
