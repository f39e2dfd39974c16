"""The strip of thirty days, the share of failing connections, and the thinning of old tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from backfuture.accounts.models import User
from connections import history
from connections.models import (
    Connection,
    ConnectionTest,
    Credential,
    Exchange,
    Thresholds,
)
from connections.presentation import zone_of
from tests import making

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = NOW.date()


def past(
    connection: Connection, at: datetime, outcome: str = "connected", **fields: Any
) -> ConnectionTest:
    """A finished test of the key in use, or of `credential`."""
    values = {
        "credential": connection.credentials.get(state=Credential.State.ACTIVE),
        "reason": ConnectionTest.Reason.SCHEDULED,
        "status": ConnectionTest.Status.DONE,
        "queued_at": at,
        "finished_at": at,
        "outcome": outcome,
        **fields,
    }
    return ConnectionTest.objects.create(connection=connection, **values)


def another_key(connection: Connection, state: Credential.State) -> Credential:
    """A key entered after the one in use."""
    return Credential.objects.create(
        connection=connection, state=state, hint="next", fingerprint="f" * 64
    )


def strip(connection: Connection, zone: str = "UTC") -> dict[date, history.Day]:
    found = history.strip(connection, now=NOW, zone=ZoneInfo(zone))
    return {day.date: day for day in found}


class TestStrip:
    def test_it_is_thirty_days_ending_today(self, connection: Connection) -> None:
        days = history.strip(connection, now=NOW, zone=UTC)
        assert len(days) == 30
        assert (days[0].date, days[-1].date) == (TODAY - timedelta(days=29), TODAY)
        assert {day.state for day in days} == {"unknown"}

    def test_first_and_last_moment_count(self, connection: Connection) -> None:
        first = datetime(2026, 10, 23, tzinfo=UTC)
        past(connection, first)
        past(connection, first - timedelta(microseconds=1), "failed")
        past(connection, NOW)
        days = history.strip(connection, now=NOW, zone=UTC)
        assert [days[0].state, days[-1].state] == ["ok", "ok"]
        assert sum(day.tests for day in days) == 2

    @pytest.mark.parametrize(
        ("outcomes", "state"),
        [
            (["connected"], "ok"),
            (["warnings"], "ok"),
            (["failed"], "failing"),
            (["refused"], "failing"),
            (["connected", "failed", "connected"], "failing"),
            (["", ""], "unknown"),
            (["", "connected"], "ok"),
        ],
    )
    def test_the_worst_of_the_day_counts(
        self, connection: Connection, outcomes: list[str], state: str
    ) -> None:
        for hour, outcome in enumerate(outcomes):
            past(connection, NOW - timedelta(hours=hour), outcome)
        assert strip(connection)[TODAY].state == state

    def test_counts_are_told(self, connection: Connection) -> None:
        past(connection, NOW, "failed", problem="unavailable")
        past(connection, NOW, "failed", problem="invalid_key")
        past(connection, NOW, "warnings")
        assert strip(connection)[TODAY] == history.Day(TODAY, good=1, bad=2, unanswered=1)

    @pytest.mark.parametrize(
        ("zone", "day"),
        [
            ("UTC", date(2026, 11, 20)),
            ("Asia/Tokyo", date(2026, 11, 21)),
            ("Asia/Kathmandu", date(2026, 11, 21)),
            ("America/Sao_Paulo", date(2026, 11, 20)),
        ],
    )
    def test_half_past_eleven_in_london_is_tomorrow_in_asia(
        self, connection: Connection, zone: str, day: date
    ) -> None:
        past(connection, datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
        assert [each for each, found in strip(connection, zone).items() if found.good] == [day]

    def test_today_is_the_viewers_today(self, connection: Connection) -> None:
        late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
        days = history.strip(connection, now=late, zone=ZoneInfo("Asia/Tokyo"))
        assert days[-1].date == date(2026, 11, 22)

    @pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Sao_Paulo"])
    def test_the_first_day_is_whole_in_every_zone(self, connection: Connection, zone: str) -> None:
        midnight = datetime(2026, 10, 23, tzinfo=ZoneInfo(zone))
        past(connection, midnight)
        past(connection, midnight - timedelta(seconds=1))
        assert [day.tests for day in strip(connection, zone).values()] == [1] + [0] * 29

    def test_a_day_of_25_hours_is_one_day(self, connection: Connection) -> None:
        """The clocks of Oslo went back on 25 October 2026."""
        for hour in (22, 23):
            past(connection, datetime(2026, 10, 25, hour, 59, tzinfo=UTC))
        found = strip(connection, "Europe/Oslo")
        assert [found[date(2026, 10, day)].tests for day in (25, 26)] == [1, 1]

    def test_a_new_key_that_never_passed_says_nothing_about_the_connection(
        self, connection: Connection
    ) -> None:
        past(connection, NOW - timedelta(days=1))
        tried = another_key(connection, Credential.State.PENDING)
        past(connection, NOW, "failed", credential=tried)
        assert strip(connection)[TODAY].state == "unknown"

    def test_the_first_key_speaks_even_if_it_never_passed(self, connection: Connection) -> None:
        first = connection.credentials.get()
        past(connection, NOW, "failed", credential=first)
        Credential.objects.filter(pk=first.pk).update(state="retired", sealed=None)
        assert strip(connection)[TODAY].state == "failing"

    def test_a_key_that_took_over_and_then_failed_speaks(self, connection: Connection) -> None:
        next_key = another_key(connection, Credential.State.RETIRED)
        past(connection, NOW - timedelta(days=1), credential=next_key)
        past(connection, NOW, "failed", credential=next_key)
        assert strip(connection)[TODAY].state == "failing"

    def test_many_take_one_query(self, trader: User, mexc: Exchange) -> None:
        made = [making.connection(trader, mexc, f"Number {n}") for n in range(5)]
        for each in made[:3]:
            past(each, NOW)
        with CaptureQueriesContext(database) as queries:
            found = history.strips([each.pk for each in made], now=NOW, zone=UTC)
        assert len(queries) == 1
        assert [found[each.pk][-1].good for each in made] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("name", ["Not/AZone", "", "../../etc/passwd", "/etc/localtime", "\x00"])
def test_a_zone_nobody_knows_is_utc(trader: User, name: str) -> None:
    trader.time_zone = name
    assert zone_of(trader) is UTC


class TestShares:
    @pytest.fixture
    def fill(self, mexc: Exchange) -> Callable[..., Connection]:
        def one(number: int, **fields: Any) -> Connection:
            owner, _ = User.objects.get_or_create(email=f"owner{number}@example.com")
            name = f"Number {Connection.objects.count()}"
            made = making.connection(owner, mexc, name)
            Connection.objects.filter(pk=made.pk).update(**{"status": "connected", **fields})
            return made

        return one

    def test_each_state_is_counted_once(self, fill: Callable[..., Connection]) -> None:
        fill(1)
        fill(2, status="warnings")
        fill(3, status="failed", problem="invalid_key")
        fill(4, status="failed", problem="unavailable")
        fill(5, status="refused", problem="withdrawal_enabled")
        fill(5, key_expires_at=NOW)
        fill(5, key_expires_at=NOW + timedelta(seconds=1))
        fill(6, status="new")
        fill(7, status="failed", paused_at=NOW)
        assert history.shares(NOW) == {"mexc": history.Share(7, 4, 1, owners=5)}

    def test_of_fewer_than_five_people_nothing_is_told(
        self, fill: Callable[..., Connection]
    ) -> None:
        for number in (1, 2, 3, 4, 4, 4):
            fill(number)
        assert not history.shares(NOW)["mexc"].may_be_told
        fill(5)
        assert history.shares(NOW)["mexc"].may_be_told

    def test_it_takes_one_query(self, fill: Callable[..., Connection]) -> None:
        for number in range(3):
            fill(number)
        with CaptureQueriesContext(database) as queries:
            history.shares(NOW)
        assert len(queries) == 1


class TestThinning:
    KEPT = timedelta(days=30)

    @pytest.fixture(autouse=True)
    def nothing_open(self, connection: Connection) -> None:
        connection.tests.all().delete()

    def left(self, now: datetime = NOW) -> set[Any]:
        before = ConnectionTest.objects.count()
        deleted = history.thin(now=now)
        assert ConnectionTest.objects.count() == before - deleted
        return set(ConnectionTest.objects.values_list("pk", flat=True))

    def test_the_last_of_each_old_day_stays(self, connection: Connection) -> None:
        day = datetime(2026, 9, 1, tzinfo=UTC)
        tests = [
            [past(connection, day + timedelta(days=n, hours=hour), "failed") for hour in (0, 12)]
            + [past(connection, day + timedelta(days=n, hours=23, minutes=59), "failed")]
            for n in range(3)
        ]
        assert self.left() == {of_day[-1].pk for of_day in tests}

    def test_up_to_the_day_all_are_kept(self, connection: Connection) -> None:
        moment = NOW - self.KEPT
        just_old = past(connection, moment - timedelta(microseconds=1), "failed")
        on_the_dot = past(connection, moment, "failed")
        newer = past(connection, moment + timedelta(seconds=1), "failed")
        assert self.left() == {on_the_dot.pk, newer.pk}
        assert just_old.pk not in self.left(NOW + timedelta(seconds=1))

    def test_how_long_is_a_setting(self, connection: Connection) -> None:
        Thresholds.objects.update_or_create(pk=1, defaults={"tests_kept_days": 7})
        old = [past(connection, NOW - timedelta(days=8, hours=n), "failed") for n in range(3)]
        assert self.left() == {old[0].pk}

    def test_the_days_are_those_of_utc(self, connection: Connection) -> None:
        midnight = datetime(2026, 9, 2, tzinfo=UTC)
        before = past(connection, midnight - timedelta(seconds=1), "failed")
        after = past(connection, midnight, "failed")
        assert self.left() == {before.pk, after.pk}

    def test_a_dropped_test_does_not_take_the_place_of_a_result(
        self, connection: Connection
    ) -> None:
        old = NOW - timedelta(days=60)
        result = past(connection, old, "failed")
        dropped = past(connection, old + timedelta(hours=1), "")
        past(connection, NOW)
        assert self.left() & {result.pk, dropped.pk} == {result.pk}

    def test_the_newest_test_stays_even_if_it_was_dropped(self, connection: Connection) -> None:
        old = NOW - timedelta(days=60)
        result = past(connection, old, "failed")
        newest = past(connection, old + timedelta(hours=1), "")
        assert self.left() == {result.pk, newest.pk}

    @pytest.mark.parametrize("outcome", ["connected", "warnings", "refused"])
    def test_what_proves_a_key_stays(self, connection: Connection, outcome: str) -> None:
        old = NOW - timedelta(days=60)
        earlier = past(connection, old, outcome)
        proof = past(connection, old + timedelta(hours=1), outcome)
        last = past(connection, old + timedelta(hours=2), "failed")
        assert self.left() == {proof.pk, last.pk}
        assert earlier.pk not in self.left()

    def test_each_key_keeps_its_own_proof(self, connection: Connection) -> None:
        old = NOW - timedelta(days=60)
        first = past(connection, old)
        second_key = another_key(connection, Credential.State.RETIRED)
        second = past(connection, old + timedelta(hours=1), credential=second_key)
        last = past(connection, old + timedelta(hours=2), "failed", credential=second_key)
        assert self.left() == {first.pk, second.pk, last.pk}

    def test_a_newer_proof_lets_the_old_one_go(self, connection: Connection) -> None:
        old = NOW - timedelta(days=60)
        past(connection, old)
        last = past(connection, old + timedelta(hours=2), "failed")
        newer = past(connection, NOW)
        assert self.left() == {last.pk, newer.pk}

    def test_what_is_under_way_stays(self, connection: Connection) -> None:
        old = NOW - timedelta(days=60)
        running = past(connection, old, "", status="running", finished_at=None)
        last = past(connection, old + timedelta(hours=2), "failed")
        newest = past(connection, NOW)
        assert self.left() == {running.pk, last.pk, newest.pk}

    def test_connections_do_not_stand_in_for_each_other(
        self, connection: Connection, trader: User, mexc: Exchange
    ) -> None:
        other = making.connection(trader, mexc, "Another")
        other.tests.all().delete()
        old = NOW - timedelta(days=60)
        kept = {past(each, old, "failed").pk for each in (connection, other)}
        assert self.left() == kept

    def test_batch_by_batch_and_again_changes_nothing(
        self, connection: Connection, trader: User, mexc: Exchange, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(history, "BATCH", 2)
        for n in range(4):
            making.connection(trader, mexc, f"Number {n}").tests.all().delete()
        for each in Connection.objects.all():
            for hour in range(5):
                past(each, NOW - timedelta(days=60, hours=hour), "failed")
        assert history.thin(now=NOW) == 5 * 4
        assert history.thin(now=NOW) == 0

    def test_a_run_that_was_killed_is_run_again(
        self, connection: Connection, trader: User, mexc: Exchange, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(history, "BATCH", 1)
        making.connection(trader, mexc, "Another").tests.all().delete()
        for each in Connection.objects.all():
            for hour in range(3):
                past(each, NOW - timedelta(days=60, hours=hour), "failed")
        whole = history._thin

        def killed(batch: list[Any], before: datetime) -> int:
            if whole(batch, before):
                raise KeyboardInterrupt
            return 0

        with monkeypatch.context() as patched:
            patched.setattr(history, "_thin", killed)
            with pytest.raises(KeyboardInterrupt):
                history.thin(now=NOW)
        assert ConnectionTest.objects.count() == 4
        assert history.thin(now=NOW) == 2
