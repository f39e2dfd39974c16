"""A notice is made once, for whoever wants it, by each way they want it, outside quiet hours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.mail import EmailMessage
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from backfuture.accounts import own_data
from backfuture.accounts.models import User
from connections import notice_making, vault
from connections.models import Notice, NoticeChannel, NoticeDelivery, NoticePreferences
from connections.notice_making import Draft
from connections.notices import Kind

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT_ONCE = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def make(user: User, **changes: Any) -> Notice | None:
    given = {
        "kind": Kind.BREAK,
        "key": "break:1",
        "subject": "MEXC Spot Main: Invalid API key",
        "text": "It does not work.",
        "now": NOW,
    }
    return notice_making.make(user=user, **{**given, **changes})


def prefer(user: User, **preferences: Any) -> NoticePreferences:
    return NoticePreferences.objects.create(user=user, **preferences)


def channel(user: User, name: str = "Telegram") -> NoticeChannel:
    made = NoticeChannel(owner=user, name=name, service="tgram")
    made.sealed = vault.seal_text("tgram://token/chat", made)
    made.save(force_insert=True)
    return made


def ways(notice: Notice | None) -> set[str]:
    assert notice is not None
    return {str(way.channel or "mail") for way in notice.deliveries.all()}


def at_once(*works: Callable[[], object]) -> list[object]:
    """What each gives in a thread of its own, all beginning together; errors are raised here."""
    gate, results = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        try:
            gate.wait(20)
            results.append(work())
        except BaseException as error:
            results.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == len(works)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class TestOnce:
    def test_notice_goes_by_mail_at_once_where_nothing_else_was_asked_for(self, trader):
        notice = make(trader)
        assert ways(notice) == {"mail"}
        delivery = notice.deliveries.get()
        assert (delivery.status, delivery.due_at, notice.made_at) == ("waiting", NOW, NOW)

    def test_second_notice_of_one_key_is_not_made(self, trader):
        first = make(trader)
        assert make(trader, subject="Something else") is None
        assert list(Notice.objects.all()) == [first]
        assert NoticeDelivery.objects.count() == 1

    def test_the_same_key_is_another_notice_for_somebody_else(self, trader, stranger):
        assert make(trader) and make(stranger)

    def test_one_key_twice_in_one_call_is_one_notice(self, trader):
        draft = Draft(trader.pk, Kind.BREAK, "break:1", "Subject", "Text")
        assert len(notice_making.make_all([draft, draft], now=NOW)) == 1

    def test_nothing_to_tell_asks_the_database_nothing(self, db):
        with CaptureQueriesContext(database) as queries:
            assert notice_making.make_all([], now=NOW) == []
        assert len(queries) == 0

    @AT_ONCE
    def test_several_workers_at_once_make_one_notice_and_one_delivery_for_each_way(self, trader):
        channel(trader)
        made = at_once(*[lambda: make(trader)] * 6)
        assert len([notice for notice in made if notice]) == 1
        assert NoticeDelivery.objects.count() == 2

    @AT_ONCE
    def test_workers_with_overlapping_lists_do_not_wait_for_each_other_for_ever(self, db):
        users = [User.objects.create_user(f"{number}@example.com") for number in range(20)]
        drafts = [Draft(user.pk, Kind.BREAK, "break:1", "Subject", "Text") for user in users]
        at_once(
            *[lambda: notice_making.make_all(drafts, now=NOW)] * 3,
            *[lambda: notice_making.make_all(drafts[::-1], now=NOW)] * 3,
        )
        assert Notice.objects.count() == NoticeDelivery.objects.count() == 20

    @AT_ONCE
    def test_account_deleted_meanwhile_hinders_nobody(self, trader, stranger):
        drafts = [
            Draft(user.pk, Kind.BREAK, f"break:{number}", "Subject", "Text")
            for user in (trader, stranger)
            for number in range(50)
        ]
        at_once(
            lambda: notice_making.make_all(drafts, now=NOW),
            lambda: own_data.delete_account(trader),
        )
        assert set(Notice.objects.values_list("user", flat=True)) == {stranger.pk}


class TestPreferences:
    def test_kind_that_is_switched_off_is_not_made(self, trader):
        prefer(trader, off=["break"])
        assert make(trader) is None
        assert not Notice.objects.exists()
        assert make(trader, kind=Kind.RECOVERY)

    def test_a_test_cannot_be_switched_off(self, trader):
        prefer(trader, off=["test"])
        assert make(trader, kind=Kind.TEST)

    def test_each_chat_service_is_a_way_of_its_own(self, trader, stranger):
        channel(trader, "Telegram")
        channel(trader, "Discord")
        channel(stranger, "Slack")
        assert ways(make(trader)) == {"mail", "Telegram", "Discord"}

    def test_without_mail_chat_services_stay(self, trader):
        prefer(trader, by_email=False)
        channel(trader)
        assert ways(make(trader)) == {"Telegram"}

    def test_whoever_can_be_told_by_no_way_gets_no_notice(self, trader):
        prefer(trader, by_email=False)
        assert make(trader) is None
        assert not Notice.objects.exists()

    def test_whoever_is_not_active_is_not_told(self, trader):
        User.objects.update(is_active=False)
        assert make(trader) is None

    @pytest.mark.parametrize("off", [[], ["break"], ["weekly", "recovery"], ["weekly", "break"]])
    @pytest.mark.parametrize("by_email", [True, False])
    @pytest.mark.parametrize("chats", [0, 1, 2])
    @pytest.mark.parametrize("active", [True, False])
    def test_whom_the_list_names_are_those_a_notice_is_made_for(
        self, trader, off, by_email, chats, active
    ):
        """A digest chooses its readers in one query, before it reads anything about them."""
        prefer(trader, off=off, by_email=by_email)
        for number in range(chats):
            channel(trader, f"Chat {number}")
        User.objects.update(is_active=active)
        listed = list(notice_making.listeners(Kind.BREAK))
        assert listed == ([trader] if make(trader) else [])

    def test_whoever_never_chose_anything_is_on_the_list(self, trader):
        assert list(notice_making.listeners(Kind.WEEKLY)) == [trader]

    def test_as_many_queries_for_many_as_for_one(self, db):
        def told(number: int) -> int:
            users = [User.objects.create_user(f"{number}-{n}@example.com") for n in range(number)]
            for user in users[::2]:
                prefer(user, quiet_from=time(22), quiet_until=time(7))
                channel(user)
            drafts = [Draft(user.pk, Kind.BREAK, "break:1", "Subject", "Text") for user in users]
            with CaptureQueriesContext(database) as queries:
                assert len(notice_making.make_all(drafts, now=NOW)) == number
            return len(queries)

        assert told(2) == told(40)


class TestWords:
    @pytest.mark.parametrize(
        "evil",
        [
            "Main\r\nBcc: everybody@example.com",
            "Main\nX: y",
            "Main\rX: y",
            "Main\x0b\x0c\x1c\x85X",
            "Main\u2028X",
            "Main\u2029X",
            "Main\x00X",
            "Main \u202egnp.exe",
            "M" * 500,
            "🔑" * 500,
        ],
        ids=ascii,
    )
    def test_subject_stays_one_line_a_mail_can_carry(self, trader, evil):
        notice = make(trader, subject=f"{evil}: Invalid API key")
        assert notice is not None
        assert len(notice.subject) <= 200
        assert notice.subject.isprintable()
        head = EmailMessage(notice.subject, "", to=["a@example.com"]).message()
        assert head["Bcc"] is None
        assert notice.subject.startswith(evil[0])

    def test_long_text_is_cut(self, trader):
        notice = make(trader, text="x" * 100_000)
        assert notice is not None
        assert len(notice.text) == notice_making.LONGEST_TEXT

    def test_link_within_the_site_becomes_whole(self, trader, settings):
        settings.SITE_URL = "https://backfuture.example/"
        notice = make(trader, link="/connections/")
        assert notice is not None
        assert notice.link == "https://backfuture.example/connections/"

    def test_no_link_stays_none(self, trader):
        notice = make(trader)
        assert notice is not None
        assert notice.link == ""


def due(
    zone: str, quiet: tuple[str, str], now: str, *, urgent: bool = False, passes: bool = True
) -> datetime:
    preferences = NoticePreferences(
        quiet_from=time.fromisoformat(quiet[0]),
        quiet_until=time.fromisoformat(quiet[1]),
        urgent_in_quiet=passes,
    )
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return notice_making.when(preferences, ZoneInfo(zone), urgent=urgent, now=moment)


NIGHT = ("22:00", "07:00")


class TestQuietHours:
    @pytest.mark.parametrize(
        ("zone", "quiet", "now", "until"),
        [
            ("UTC", NIGHT, "2026-11-21T21:59:59", "2026-11-21T21:59:59"),
            ("UTC", NIGHT, "2026-11-21T22:00", "2026-11-22T07:00"),
            ("UTC", NIGHT, "2026-11-22T00:00", "2026-11-22T07:00"),
            ("UTC", NIGHT, "2026-11-22T06:59:59", "2026-11-22T07:00"),
            ("UTC", NIGHT, "2026-11-22T07:00", "2026-11-22T07:00"),
            ("UTC", ("12:00", "13:00"), "2026-11-21T12:30", "2026-11-21T13:00"),
            ("UTC", ("12:00", "13:00"), "2026-11-21T13:00", "2026-11-21T13:00"),
            ("UTC", ("00:00", "06:00"), "2026-11-21T00:00", "2026-11-21T06:00"),
            ("UTC", ("18:00", "00:00"), "2026-11-21T18:00", "2026-11-22T00:00"),
            ("UTC", ("08:00", "08:00"), "2026-11-21T08:00", "2026-11-21T08:00"),  # of no length
            ("Europe/Oslo", NIGHT, "2026-11-21T21:00", "2026-11-22T06:00"),  # winter, +1
            ("Europe/Oslo", NIGHT, "2026-07-21T20:00", "2026-07-22T05:00"),  # summer, +2
            ("Asia/Kathmandu", NIGHT, "2026-11-21T16:15", "2026-11-22T01:15"),  # +5:45
            # Spring in Oslo: 29 March 2026, 02:00 becomes 03:00 (01:00 UTC).
            ("Europe/Oslo", NIGHT, "2026-03-28T22:00", "2026-03-29T05:00"),
            ("Europe/Oslo", ("22:00", "02:30"), "2026-03-28T22:00", "2026-03-29T01:00"),
            ("Europe/Oslo", ("22:00", "02:00"), "2026-03-28T22:00", "2026-03-29T01:00"),
            ("Europe/Oslo", ("22:00", "03:00"), "2026-03-28T22:00", "2026-03-29T01:00"),
            # Autumn in Oslo: 25 October 2026, 03:00 becomes 02:00 (01:00 UTC).
            ("Europe/Oslo", NIGHT, "2026-10-24T22:00", "2026-10-25T06:00"),
            ("Europe/Oslo", ("22:00", "02:30"), "2026-10-24T22:00", "2026-10-25T00:30"),
            ("Europe/Oslo", ("22:00", "02:30"), "2026-10-25T01:10", "2026-10-25T01:30"),
            ("Europe/Oslo", ("02:30", "02:45"), "2026-10-25T01:31", "2026-10-25T01:45"),
            # São Paulo had none in 2026; in 2018 midnight of 4 November became 01:00 (03:00 UTC).
            ("America/Sao_Paulo", NIGHT, "2026-11-22T02:00", "2026-11-22T10:00"),
            ("America/Sao_Paulo", ("22:00", "00:30"), "2018-11-04T02:00", "2018-11-04T03:00"),
            ("America/Sao_Paulo", ("22:00", "00:00"), "2018-11-04T02:00", "2018-11-04T03:00"),
            # ... and on 17 February the hour before midnight came twice (02:00 UTC).
            ("America/Sao_Paulo", ("22:00", "23:30"), "2018-02-18T00:30", "2018-02-18T01:30"),
            ("America/Sao_Paulo", ("22:00", "23:30"), "2018-02-18T02:10", "2018-02-18T02:30"),
        ],
    )
    def test_notice_waits_until_the_clocks_show_their_end(self, zone, quiet, now, until):
        assert due(zone, quiet, now) == datetime.fromisoformat(until).replace(tzinfo=UTC)

    @pytest.mark.parametrize(
        ("zone", "day"),
        [
            ("Europe/Oslo", "2026-03-29"),
            ("Europe/Oslo", "2026-10-25"),
            ("America/Sao_Paulo", "2018-11-04"),
            ("America/Sao_Paulo", "2018-02-18"),
            ("Australia/Lord_Howe", "2026-04-05"),  # half an hour
        ],
    )
    @pytest.mark.parametrize(
        "quiet", [NIGHT, ("22:00", "02:15"), ("22:30", "00:15"), ("01:30", "01:45")]
    )
    def test_it_is_the_first_moment_that_is_not_quiet(self, zone, day, quiet):
        """Found again by looking at the clock every five minutes."""
        start, end = map(time.fromisoformat, quiet)
        first = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=24)

        def is_quiet(moment: datetime) -> bool:
            shown = moment.astimezone(ZoneInfo(zone)).time()
            return start <= shown < end if start < end else shown >= start or shown < end

        expected, moments = None, [first + timedelta(minutes=n) for n in range(0, 72 * 60, 5)]
        for moment in reversed(moments):
            expected = expected if is_quiet(moment) else moment
            if expected is not None:
                got = due(zone, quiet, moment.replace(tzinfo=None).isoformat())
                assert got == expected, moment

    def test_urgent_ones_pass_unless_that_is_switched_off(self):
        now = datetime(2026, 11, 21, 23, tzinfo=UTC)
        assert due("UTC", NIGHT, "2026-11-21T23:00", urgent=True) == now
        assert due("UTC", NIGHT, "2026-11-21T23:00", urgent=True, passes=False) > now

    def test_hours_are_those_of_the_persons_zone(self, trader):
        User.objects.update(time_zone="America/Sao_Paulo")
        prefer(trader, quiet_from=time(22), quiet_until=time(7))
        notice = make(trader, now=datetime(2026, 11, 22, 2, tzinfo=UTC))
        assert notice is not None
        assert notice.deliveries.get().due_at == datetime(2026, 11, 22, 10, tzinfo=UTC)

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
    def test_zone_that_does_not_exist_counts_as_utc(self, trader, zone):
        User.objects.update(time_zone=zone)
        prefer(trader, quiet_from=time(12), quiet_until=time(13))
        notice = make(trader)
        assert notice is not None
        assert notice.deliveries.get().due_at == NOW + timedelta(hours=1)
