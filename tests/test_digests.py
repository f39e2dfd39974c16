"""Summaries: once a week for each owner, once a day for each of the staff, in their own morning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from backfuture.accounts.models import User
from connections import digests, notice_making
from connections.models import Connection, Notice, NoticeDelivery, Outage
from tests.test_notice_making import AT_ONCE, at_once, prefer
from tests.test_telling import (
    CRITICAL,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    ends,
    fails,
    finding,
    row,
    runs,
)

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)  # of week 48, in the morning


@pytest.fixture
def main(trader, mexc) -> Connection:
    return row(trader, mexc, "MEXC Spot Main")


def lives_in(user: User, zone: str) -> None:
    User.objects.filter(pk=user.pk).update(time_zone=zone)


def text_of(user: User) -> str:
    return Notice.objects.get(user=user).text


class TestWhen:
    @pytest.mark.parametrize(
        ("zone", "from_utc"),
        [
            ("UTC", "2026-11-23T08:00"),
            ("Europe/Oslo", "2026-11-23T07:00"),
            ("America/Sao_Paulo", "2026-11-23T11:00"),
            ("Pacific/Kiritimati", "2026-11-22T18:00"),  # first of all, on our Sunday
            ("Pacific/Pago_Pago", "2026-11-23T19:00"),  # last of all
            ("Asia/Kathmandu", "2026-11-23T02:15"),
            ("Mars/Olympus", "2026-11-23T08:00"),  # taken as UTC
        ],
    )
    def test_it_comes_on_monday_morning_where_the_owner_lives(self, main, trader, zone, from_utc):
        lives_in(trader, zone)
        begins = datetime.fromisoformat(from_utc).replace(tzinfo=UTC)
        assert digests.make_weekly(now=begins - MINUTE) == 0
        assert digests.make_weekly(now=begins) == 1
        notice = Notice.objects.get()
        assert (notice.kind, notice.key, notice.urgent) == ("weekly", "weekly:2026-W48", False)

    def test_it_comes_once_a_week_however_often_one_looks(self, main):
        times = (MONDAY - DAY + n * 2 * HOUR for n in range(9 * 12))
        assert sum(digests.make_weekly(now=now) for now in times) == 2
        keys = Notice.objects.order_by("made_at").values_list("key", flat=True)
        assert list(keys) == ["weekly:2026-W48", "weekly:2026-W49"]

    @pytest.mark.parametrize(
        ("now", "told"),
        [(MONDAY + 15 * HOUR, 1), (MONDAY + 16 * HOUR, 0), (MONDAY + DAY, 0), (NOW, 0)],
        ids=str,
    )
    def test_it_may_be_late_but_not_on_another_day(self, main, now, told):
        """Who comes on a Wednesday hears of the week on Monday."""
        assert digests.make_weekly(now=now) == told

    def test_weeks_at_the_turn_of_the_year_have_their_own_names(self, main):
        digests.make_weekly(now=datetime(2026, 12, 28, 9, tzinfo=UTC))
        digests.make_weekly(now=datetime(2027, 1, 4, 9, tzinfo=UTC))
        assert set(Notice.objects.values_list("key", flat=True)) == {
            "weekly:2026-W53",
            "weekly:2027-W01",
        }

    def test_it_waits_for_the_end_of_quiet_hours(self, main, trader):
        prefer(trader, quiet_from=time(22), quiet_until=time(9, 30))
        digests.make_weekly(now=MONDAY)
        assert NoticeDelivery.objects.get().due_at == MONDAY + 90 * MINUTE

    def test_only_owners_who_want_it_and_can_be_told_get_it(self, main, mexc, trader, stranger):
        """A stranger has no connection; of the others each is in the way somehow."""
        for n, preferences in enumerate(({"off": ["weekly"]}, {"by_email": False}, {})):
            owner = User.objects.create_user(f"{n}@example.com", is_active=bool(preferences))
            prefer(owner, **preferences)
            row(owner, mexc)
        assert digests.make_weekly(now=MONDAY) == 1
        assert Notice.objects.get().user == trader


class TestTheWeek:
    def test_it_shows_all_connections_what_is_open_and_what_is_settled(self, main, trader, mexc):
        broken = row(trader, mexc, "Broken")
        fails(broken)
        row(trader, mexc, "Sleeping", paused_at=NOW)
        finding(main, "old")
        finding(main, "no_ip_restriction", state="acknowledged", severity=20)
        finding(main, "unused", state="suppressed")
        finding(main, "same_key_own", state="snoozed", snoozed_until=MONDAY + DAY)
        finding(main, "several_strategies", state="snoozed", snoozed_until=MONDAY)
        ends(broken, 4.5, severity=CRITICAL)
        finding(broken, "excess_permissions", state="resolved", state_since=MONDAY - 6 * DAY)
        finding(broken, "never_tested", state="resolved", state_since=MONDAY - 8 * DAY)
        digests.make_weekly(now=MONDAY)
        notice = Notice.objects.get()
        assert notice.subject == "Your week: 5 things to look at"
        assert notice.text == (
            "Your connections:\n"
            "- Broken (MEXC): Needs attention: Invalid API key\n"
            "- MEXC Spot Main (MEXC): Connected\n"
            "- Sleeping (MEXC): Paused\n"
            "\n"
            "To look at:\n"
            "- Broken: The key expires soon (the key expires in 3 days)\n"
            "- MEXC Spot Main: Old key\n"
            "- MEXC Spot Main: One key under several strategies\n"
            "- MEXC Spot Main: No IP restriction · acknowledged\n"
            "\n"
            "Settled this week:\n"
            "- Broken: More rights than its strategies need"
        )

    def test_with_nothing_to_say_it_says_that_all_is_well(self, main):
        digests.make_weekly(now=MONDAY)
        notice = Notice.objects.get()
        assert notice.subject == "Your week: all is well"
        assert notice.text == (
            "Your connections:\n- MEXC Spot Main (MEXC): Connected\n\n"
            "No finding is open. There is nothing for you to do."
        )

    def test_one_owner_sees_nothing_of_another(self, main, trader, stranger, mexc):
        theirs = row(stranger, mexc, "Theirs")
        finding(theirs, "same_key_elsewhere")
        digests.make_weekly(now=MONDAY)
        assert "Theirs" not in text_of(trader)
        assert "MEXC Spot Main" not in text_of(stranger)

    def test_long_lists_are_cut(self, trader, mexc):
        for n in range(40):
            finding(row(trader, mexc, f"Main {n}"))
        digests.make_weekly(now=MONDAY)
        assert text_of(trader).count("and 10 more") == 2
        assert Notice.objects.get().subject == "Your week: 40 things to look at"

    def test_names_stay_on_their_lines(self, trader, mexc):
        finding(row(trader, mexc, "Main\nTo look at:\n- lies"))
        digests.make_weekly(now=MONDAY)
        assert text_of(trader).count("\nTo look at:") == 1


class TestManyAtOnce:
    def test_as_many_queries_for_many_as_for_one(self, mexc):
        def queries(number: int, week: int) -> int:
            for n in range(number):
                connection = row(User.objects.create_user(f"{number}-{n}@example.com"), mexc)
                runs(connection, "Grid A")
                finding(connection)
            with CaptureQueriesContext(database) as seen:
                assert digests.make_weekly(now=MONDAY + week * 7 * DAY) >= number
            return len(seen)

        assert queries(2, 0) == queries(30, 1)

    @pytest.mark.parametrize("now", [NOW, MONDAY + HOUR], ids=["saturday", "told already"])
    def test_when_nobody_is_due_next_to_nothing_is_read(self, main, now):
        digests.make_weekly(now=MONDAY)
        with CaptureQueriesContext(database) as seen:
            assert digests.make_weekly(now=now) == 0
        assert len(seen) <= 2

    def test_all_are_told_however_many_there_are(self, mexc, monkeypatch):
        monkeypatch.setattr(digests, "BATCH", 4)
        for n in range(13):
            row(User.objects.create_user(f"{n}@example.com"), mexc)
        assert digests.make_weekly(now=MONDAY) == 13

    @pytest.mark.parametrize(
        "limits", [{"MOST_OWNERS": 4}, {"RUN_S": 0}], ids=["owners", "seconds"]
    )
    def test_a_call_has_an_end_and_the_next_one_goes_on(self, mexc, monkeypatch, limits):
        for name, limit in {"BATCH": 4, **limits}.items():
            monkeypatch.setattr(digests, name, limit)
        for n in range(7):
            row(User.objects.create_user(f"{n}@example.com"), mexc)
        told = [digests.make_weekly(now=MONDAY + n * 10 * MINUTE) for n in range(3)]
        assert told == [4, 3, 0]

    @AT_ONCE
    @pytest.mark.parametrize("make", [digests.make_weekly, digests.make_staff_daily])
    def test_several_workers_at_once_tell_each_once(
        self, mexc, make: Callable[..., int], monkeypatch
    ):
        for n in range(12):
            row(User.objects.create_user(f"{n}@example.com", is_staff=True), mexc)
        made = at_once(*[lambda: make(now=MONDAY)] * 4)
        assert sum(int(str(each)) for each in made) == 12
        assert Notice.objects.count() == NoticeDelivery.objects.count() == 12


class TestTheDesk:
    @pytest.mark.parametrize(
        ("zone", "from_utc"),
        [
            ("UTC", "2026-11-21T08:00"),
            ("Europe/Oslo", "2026-11-21T07:00"),
            ("America/Sao_Paulo", "2026-11-21T11:00"),
            ("Pacific/Kiritimati", "2026-11-20T18:00"),
        ],
    )
    def test_it_comes_every_morning_where_they_live(self, staff, zone, from_utc):
        lives_in(staff, zone)
        begins = datetime.fromisoformat(from_utc).replace(tzinfo=UTC)
        assert digests.make_staff_daily(now=begins - MINUTE) == 0
        assert digests.make_staff_daily(now=begins) == 1
        told = [digests.make_staff_daily(now=begins + n * HOUR - MINUTE) for n in range(1, 74)]
        assert [n for n, made in enumerate(told, 1) if made] == [25, 49, 73]
        assert Notice.objects.filter(key="daily:2026-11-21").count() == 1

    def test_only_active_staff_get_it(self, trader, staff):
        User.objects.create_user("former@example.com", is_staff=True, is_active=False)
        prefer(User.objects.create_user("quiet@example.com", is_staff=True), off=["staff_daily"])
        assert digests.make_staff_daily(now=NOW) == 1
        assert Notice.objects.get().user == staff

    def test_it_counts_the_last_day(self, staff, trader, mexc, kucoin):
        main = row(trader, mexc, "Main")
        fails(row(trader, mexc, "Silent"), "unavailable")
        fails(row(trader, mexc, "Broken"))
        row(trader, kucoin, "Kucoin")
        finding(main, "old", state_since=NOW - HOUR)
        finding(main, "transfer_enabled", state_since=NOW - 2 * DAY)
        finding(main, "withdraw_enabled", severity=CRITICAL, state_since=NOW - HOUR)
        finding(main, "unused", severity=20, state_since=NOW - HOUR)
        Outage.objects.create(exchange=mexc, began_at=NOW - 3 * HOUR)
        Outage.objects.create(
            exchange=kucoin, began_at=NOW - 4 * HOUR, ended_at=NOW - timedelta(hours=3.5)
        )
        Outage.objects.create(exchange=kucoin, began_at=NOW - 9 * DAY, ended_at=NOW - 8 * DAY)
        lost = notice_making.make(
            user=trader, kind="break", key="k", subject="s", text="t", now=NOW - HOUR
        )
        lost.deliveries.update(status="given_up")
        digests.make_staff_daily(now=NOW)
        text = text_of(staff)
        assert text == (
            "Failing connections:\n"
            "- KuCoin: 0 of 1; 0 of them get no answer\n"
            "- MEXC: 2 of 3; 1 of them get no answer\n"
            "\n"
            "New findings, high or critical:\n"
            "- Withdrawal is enabled (critical): 1\n"
            "- Old key (high): 1\n"
            "\n"
            "Outages:\n"
            "- MEXC: 21 Nov 2026, 09:00 UTC – still away\n"
            "- KuCoin: 21 Nov 2026, 08:00 UTC – 21 Nov 2026, 08:30 UTC\n"
            "\n"
            "1 notice could not be sent."
        )
        assert not {"trader", "Silent", "Broken"} & set(text.split())

    def test_on_a_quiet_day_it_says_so(self, staff):
        digests.make_staff_daily(now=NOW)
        assert text_of(staff) == (
            "No connection is active.\n\nNo new finding is high or critical.\n\n"
            "No exchange was away.\n\nEvery notice could be sent."
        )

    def test_times_are_those_of_the_reader(self, staff, mexc):
        lives_in(staff, "America/Sao_Paulo")
        Outage.objects.create(exchange=mexc, began_at=NOW - HOUR)
        digests.make_staff_daily(now=NOW)
        assert "21 Nov 2026, 08:00 -03" in text_of(staff)

    def test_where_all_were_told_nothing_is_counted(self, staff):
        digests.make_staff_daily(now=NOW)
        with CaptureQueriesContext(database) as seen:
            assert digests.make_staff_daily(now=NOW + HOUR) == 0
        assert len(seen) <= 3
