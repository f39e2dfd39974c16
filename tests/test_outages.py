"""An exchange that does not answer is told once, and nobody hears that their key is bad."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backfuture.accounts.models import User
from connections import notice_making, outages, telling
from connections.models import Connection, Exchange, Notice, Outage, Thresholds
from tests import making
from tests.test_notice_making import AT_ONCE, at_once, prefer
from tests.test_telling import DAY, HOUR, MINUTE, NOW, WORKS, becomes, fails, row, runs


def crowd(exchange: Exchange, number: int, prefix: str = "") -> list[Connection]:
    """Working connections of as many owners, tested just now."""
    owners = [User.objects.create_user(f"{prefix}{n}@example.com") for n in range(number)]
    return [row(owner, exchange, f"{prefix}{n}") for n, owner in enumerate(owners)]


def away(*connections: Connection, at=NOW) -> None:
    for connection in connections:
        fails(connection, "unavailable", at)
        becomes(connection, tested_at=at)


def back(*connections: Connection, at) -> None:
    for connection in connections:
        becomes(connection, **WORKS, tested_at=at)


def told() -> Counter[str]:
    return Counter(Notice.objects.values_list("kind", flat=True))


def open_now() -> list[str]:
    return list(Outage.objects.filter(ended_at=None).values_list("exchange", flat=True))


class TestWhenItBegins:
    @pytest.mark.parametrize(
        ("failing", "passing", "is_outage"),
        [
            (4, 0, False),
            (5, 0, True),
            (5, 4, True),
            (5, 5, False),  # half is not over half
            (6, 5, True),
            (4, 3, False),
            (12, 11, True),
        ],
    )
    def test_five_or_more_and_over_half(self, mexc, failing, passing, is_outage):
        connections = crowd(mexc, failing + passing)
        away(*connections[:failing])
        telling.tell(now=NOW)
        assert open_now() == (["mexc"] if is_outage else [])
        assert told() == ({"outage": failing} if is_outage else {})

    def test_how_many_are_enough_is_what_staff_have_set(self, mexc):
        Thresholds.objects.update_or_create(pk=1, defaults={"outage_least": 2})
        away(*crowd(mexc, 2))
        outages.update(now=NOW)
        assert open_now() == ["mexc"]

    def test_it_began_when_the_first_of_them_failed(self, mexc):
        connections = crowd(mexc, 5)
        for n, connection in enumerate(connections):
            away(connection, at=NOW - n * MINUTE)
        outages.update(now=NOW)
        assert Outage.objects.get().began_at == NOW - 4 * MINUTE

    def test_each_exchange_is_counted_for_itself(self, mexc, kucoin):
        away(*crowd(mexc, 4, "m"), *crowd(kucoin, 4, "k"))
        outages.update(now=NOW)
        assert open_now() == []
        away(*crowd(kucoin, 1, "more"))
        outages.update(now=NOW)
        assert open_now() == ["kucoin"]

    @pytest.mark.parametrize(
        "instead",
        [
            {"problem": "rate_limited"},
            {"problem": "invalid_key"},
            {"status": "refused"},
            {"paused_at": NOW},
            {"tested_at": None},
            {"tested_at": NOW - 30 * MINUTE},
            {"failing_since": NOW - 30 * MINUTE},
        ],
        ids=str,
    )
    def test_only_fresh_silence_of_active_connections_counts(self, mexc, instead):
        connections = crowd(mexc, 5)
        away(*connections)
        becomes(connections[0], **instead)
        outages.update(now=NOW)
        assert open_now() == []

    def test_what_was_tested_long_before_says_nothing_about_now(self, mexc):
        """Each is tested once a day: the share is that of the last half hour's tests."""
        connections = crowd(mexc, 100)
        for connection in connections[5:]:
            becomes(connection, tested_at=NOW - HOUR)
        away(*connections[:5])
        outages.update(now=NOW)
        assert open_now() == ["mexc"]

    def test_paused_exchange_is_not_judged(self, mexc):
        away(*crowd(mexc, 6))
        Exchange.objects.update(paused=True)
        assert telling.tell(now=NOW + HOUR) == 0

    def test_there_is_one_at_a_time(self, mexc):
        Outage.objects.create(exchange=mexc, began_at=NOW)
        with pytest.raises(IntegrityError), transaction.atomic():
            Outage.objects.create(exchange=mexc, began_at=NOW + HOUR)


class TestWhatIsSaid:
    def test_owners_hear_that_it_is_the_exchange_and_nothing_of_their_keys(self, mexc):
        connections = crowd(mexc, 6)
        runs(connections[0], "Grid A")
        away(*connections)
        for n in range(20):  # past everybody's patience
            telling.tell(now=NOW + n * 10 * MINUTE)
        assert told() == {"outage": 6}
        notice = Notice.objects.get(user=connections[0].owner)
        assert notice.subject == "MEXC does not answer"
        for words in ("your keys are not at fault", "Affected: 0.", "Grid A", "nothing for you"):
            assert words in notice.text
        assert not notice.urgent
        assert notice.key == f"outage:{Outage.objects.get().pk}:begin"

    def test_owner_of_several_hears_it_once(self, trader, mexc):
        away(*[row(trader, mexc, f"Mine {n}") for n in range(5)])
        assert telling.tell(now=NOW) == 1
        text = Notice.objects.get().text
        assert "Affected: Mine 0, Mine 1, Mine 2, Mine 3, Mine 4." in text

    def test_whoever_is_met_later_hears_it_too_but_nobody_twice(self, trader, mexc):
        away(*crowd(mexc, 5))
        assert telling.tell(now=NOW) == 5
        one, other = row(trader, mexc, "One"), row(trader, mexc, "Other")
        away(one, at=NOW + HOUR)
        assert telling.tell(now=NOW + HOUR) == 1
        away(other, at=NOW + 2 * HOUR)
        assert telling.tell(now=NOW + 2 * HOUR) == 0

    def test_end_is_told_to_those_who_heard_of_the_beginning(self, trader, stranger, mexc):
        connections = crowd(mexc, 5)
        away(*connections)
        prefer(connections[0].owner, off=["outage"])
        telling.tell(now=NOW)
        bystander = row(stranger, mexc, "Never affected")
        back(*connections, at=NOW + HOUR)
        for n in range(20):
            telling.tell(now=NOW + HOUR + n * 10 * MINUTE)
        assert told() == {"outage": 8}
        ended = Notice.objects.filter(key=f"outage:{Outage.objects.get().pk}:end")
        assert {notice.user_id for notice in ended} == {row.owner_id for row in connections[1:]}
        assert {notice.subject for notice in ended} == {"MEXC answers again"}
        assert Outage.objects.get().ended_at == NOW + HOUR
        bystander.refresh_from_db()
        assert bystander.told_failing_at is None
        assert not Connection.objects.exclude(told_failing_at=None).exists()

    def test_end_lists_what_still_fails_for_another_reason(self, mexc):
        connections = crowd(mexc, 5)
        away(*connections)
        telling.tell(now=NOW)
        fails(connections[0], "key_expired", NOW)
        back(*connections[1:], at=NOW + HOUR)
        telling.tell(now=NOW + HOUR)
        mine = Notice.objects.get(user=connections[0].owner, key__endswith=":end")
        assert "- 0: The API key has expired" in mine.text
        theirs = Notice.objects.get(user=connections[1].owner, key__endswith=":end")
        assert "There is nothing for you to do" in theirs.text


class TestWhenItEnds:
    def test_it_stays_until_under_half_fail(self, mexc):
        connections = crowd(mexc, 6)
        away(*connections)
        telling.tell(now=NOW)
        for n, is_open in ((1, True), (2, True), (3, True), (4, False)):
            back(connections[n - 1], at=NOW + n * MINUTE)
            telling.tell(now=NOW + n * MINUTE)
            assert bool(open_now()) is is_open, n

    def test_silence_about_it_is_no_end(self, mexc):
        """Retries lie up to an hour apart: for a while nobody may have been tested."""
        away(*crowd(mexc, 5))
        telling.tell(now=NOW)
        telling.tell(now=NOW + 50 * MINUTE)
        assert open_now() == ["mexc"]

    def test_first_answer_after_a_silence_ends_it(self, mexc):
        connections = crowd(mexc, 5)
        away(*connections)
        telling.tell(now=NOW)
        back(connections[0], at=NOW + HOUR)
        telling.tell(now=NOW + HOUR)
        assert open_now() == []

    def test_what_failed_long_before_does_not_keep_it_open(self, mexc):
        old = crowd(mexc, 8, "old")
        away(*old, at=NOW - 5 * DAY)
        connections = crowd(mexc, 9)
        away(*connections)
        telling.tell(now=NOW)
        assert open_now() == ["mexc"]
        back(*connections[:7], at=NOW + HOUR)
        away(*connections[7:], at=NOW + HOUR)
        for connection in old:
            becomes(connection, tested_at=NOW + HOUR)
        telling.tell(now=NOW + HOUR)
        assert open_now() == []

    def test_it_ends_when_nobody_is_left_who_could_tell(self, mexc):
        connections = crowd(mexc, 5)
        away(*connections)
        telling.tell(now=NOW)
        for connection in connections:
            becomes(connection, paused_at=NOW)
        telling.tell(now=NOW + HOUR)
        assert open_now() == []

    def test_what_is_still_silent_long_after_it_is_a_break_of_its_own(self, mexc):
        connections = crowd(mexc, 5)
        away(*connections)
        telling.tell(now=NOW)
        back(*connections[1:], at=NOW + HOUR)
        telling.tell(now=NOW + HOUR)
        end = NOW + HOUR
        assert telling.tell(now=end + outages.AFTERMATH - MINUTE) == 0
        assert telling.tell(now=end + outages.AFTERMATH) == 1
        assert told()["break"] == 1
        back(connections[0], at=end + DAY)
        assert telling.tell(now=end + DAY) == 1
        assert told()["recovery"] == 1

    def test_next_outage_is_told_again(self, mexc):
        connections = crowd(mexc, 5)
        for n in range(3):
            away(*connections, at=NOW + n * DAY)
            telling.tell(now=NOW + n * DAY)
            back(*connections, at=NOW + n * DAY + HOUR)
            telling.tell(now=NOW + n * DAY + HOUR)
        assert Outage.objects.exclude(ended_at=None).count() == 3
        assert told() == {"outage": 30}


class TestBreaksMeanwhile:
    def test_key_that_turns_out_bad_is_told_at_once(self, mexc):
        connections = crowd(mexc, 6)
        away(*connections)
        telling.tell(now=NOW)
        fails(connections[0], "withdrawal_enabled", NOW)
        assert telling.tell(now=NOW + MINUTE) == 1
        assert Notice.objects.get(kind="break").urgent
        assert telling.tell(now=NOW + MINUTE) == 0
        back(connections[0], at=NOW + 2 * MINUTE)
        assert telling.tell(now=NOW + 2 * MINUTE) == 1
        assert told() == {"outage": 6, "break": 1, "recovery": 1}

    def test_other_trouble_that_may_pass_waits_for_the_end(self, mexc, trader):
        away(*crowd(mexc, 5))
        fails(row(trader, mexc), "rate_limited", NOW)
        telling.tell(now=NOW)
        telling.tell(now=NOW + 5 * HOUR)
        assert told()["break"] == 0

    def test_one_that_comes_back_early_is_not_told_of(self, mexc):
        connections = crowd(mexc, 8)
        away(*connections)
        telling.tell(now=NOW)
        back(connections[0], at=NOW + MINUTE)
        assert telling.tell(now=NOW + MINUTE) == 0
        away(connections[0], at=NOW + 2 * MINUTE)
        assert telling.tell(now=NOW + HOUR) == 0

    def test_outages_elsewhere_change_nothing(self, mexc, kucoin, trader):
        away(*crowd(kucoin, 5))
        fails(row(trader, mexc), "unavailable", NOW)
        telling.tell(now=NOW)
        assert telling.tell(now=NOW + 30 * MINUTE) == 1
        assert told() == {"outage": 5, "break": 1}


class TestManyAtOnce:
    def test_as_many_queries_for_many_as_for_one(self, mexc, kucoin):
        def queries(exchange: Exchange, number: int) -> tuple[int, int]:
            connections = crowd(exchange, number, exchange.code)
            runs(connections[0], "Grid A")
            away(*connections)
            with CaptureQueriesContext(database) as beginning:
                assert outages.update(now=NOW) == number
            back(*connections[1:], at=NOW + HOUR)
            with CaptureQueriesContext(database) as end:
                assert outages.update(now=NOW + HOUR) == number
            assert not [query for query in end.captured_queries if '"sealed"' in query["sql"]]
            return len(beginning), len(end)

        assert queries(mexc, 5) == queries(kucoin, 60)

    def test_all_are_told_however_many_there_are(self, mexc, monkeypatch):
        monkeypatch.setattr(notice_making, "BATCH", 4)
        monkeypatch.setattr(outages, "BATCH", 4)
        connections = crowd(mexc, 13)
        away(*connections)
        assert telling.tell(now=NOW) == 13
        back(*connections, at=NOW + HOUR)
        assert telling.tell(now=NOW + HOUR) == 13

    @AT_ONCE
    def test_several_workers_at_once_tell_each_owner_once(self, mexc, trader):
        connections = crowd(mexc, 20) + [row(trader, mexc, f"Mine {n}") for n in range(20)]
        away(*connections)
        at_once(*[lambda: telling.tell(now=NOW)] * 4)
        telling.tell(now=NOW + MINUTE)  # what they left to each other
        assert Outage.objects.count() == 1
        assert told() == {"outage": 21}
        back(*connections, at=NOW + HOUR)
        at_once(*[lambda: telling.tell(now=NOW + HOUR)] * 4)
        assert told() == {"outage": 42}
        telling.tell(now=NOW + HOUR)
        assert not Connection.objects.exclude(told_failing_at=None).exists()

    @AT_ONCE
    def test_call_that_dies_at_the_end_is_gone_on_with(self, mexc, monkeypatch):
        monkeypatch.setattr(outages, "BATCH", 2)
        connections = crowd(mexc, 5)
        away(*connections)
        telling.tell(now=NOW)
        back(*connections, at=NOW + HOUR)
        real, calls = outages.make_all, []

        def dies_the_second_time(drafts, *, now):
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError
            return real(drafts, now=now)

        with monkeypatch.context() as patched:
            patched.setattr(outages, "make_all", dies_the_second_time)
            with pytest.raises(RuntimeError):
                outages.update(now=NOW + HOUR)
        assert open_now() == ["mexc"]
        assert outages.update(now=NOW + HOUR) == 3
        assert told() == {"outage": 10}

    def test_the_whole_story_by_tests(self, mexc):
        connections = []
        for n in range(6):
            owner = User.objects.create_user(f"{n}@example.com")
            connections.append(making.connection(owner, mexc, f"Spot {n}"))
            making.finish(connections[-1], making.report())
        for connection in connections[:5]:
            making.asked_again(connection)
            making.finish(connection, making.report("failed", problem="unavailable"))
        telling.tell(now=timezone.now())
        assert told() == {"outage": 5}
        for connection in connections[:5]:
            making.asked_again(connection)
            making.finish(connection, making.report())
        for _ in range(3):
            telling.tell(now=timezone.now() + timedelta(seconds=1))
        assert told() == {"outage": 10}
