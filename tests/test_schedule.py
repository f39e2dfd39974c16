"""When a key is tested again by itself, told by numbers and times alone."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from connections import schedule
from connections.models import Connection, ConnectionTest, Exchange
from tests import making

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(hours=24)
LATEST = uuid.UUID(int=10_000 * 7)  # of the longest period
HARD = ("invalid_key", "bad_secret", "ip_not_allowed", "no_permission", "key_expired", "unexpected")
MINUTE = timedelta(minutes=1)


def wait(outcome="failed", problem="", retries=0, every=DAY, pk=LATEST):
    following = schedule.after(pk, outcome, problem, retries=retries, now=NOW, every=every)
    return following.at - NOW


@pytest.mark.parametrize("outcome", ["connected", "warnings", "refused"])
def test_key_that_was_judged_is_tested_a_day_later(outcome):
    following = schedule.after(LATEST, outcome, "", retries=4, now=NOW, every=DAY)
    assert (following.at, following.retries) == (NOW + DAY, 0)


@pytest.mark.parametrize(
    ("retries", "minutes"), [(0, 1), (1, 2), (2, 5), (3, 15), (4, 30), (5, 60), (6, 60), (100, 60)]
)
@pytest.mark.parametrize("problem", ["unavailable", "rate_limited", "clock_skew"])
def test_what_may_pass_is_tried_again_after_growing_waits(problem, retries, minutes):
    assert wait(problem=problem, retries=retries) == minutes * MINUTE


@pytest.mark.parametrize(
    ("retries", "minutes"), [(0, 5), (1, 15), (2, 60), (3, 240), (4, 720), (5, 1440), (100, 1440)]
)
@pytest.mark.parametrize("problem", HARD)
def test_what_somebody_has_to_mend_is_tried_ever_less_often(problem, retries, minutes):
    assert wait(problem=problem, retries=retries) == minutes * MINUTE


def test_dead_key_is_asked_less_than_the_exchange_that_is_strictest_bears():
    """BingX: 20 failing calls within 8 minutes. A test of a dead key makes at most three there."""
    at, retries, tests = schedule.to_confirm(NOW) - NOW, 0, 2  # the first one and the second
    while at < timedelta(minutes=8):
        at += wait(problem="invalid_key", retries=retries)
        retries, tests = retries + 1, tests + 1
    assert 3 * tests <= 15


def test_failures_are_counted_and_not_for_ever():
    after = [
        schedule.after(LATEST, "failed", "bad_secret", retries=n, now=NOW, every=DAY).retries
        for n in (0, 1, 99, 100)
    ]
    assert after == [1, 2, 100, 100]


@pytest.mark.parametrize("problem", ["unavailable", "invalid_key"])
def test_no_wait_is_longer_than_the_period_staff_have_set(problem):
    waits = [wait(problem=problem, retries=n, every=timedelta(hours=1)) for n in range(10)]
    assert max(waits) == timedelta(hours=1)


def test_tests_of_one_moment_spread_and_none_comes_later_than_its_period():
    waits = sorted(wait("connected", pk=uuid.uuid4()) for _ in range(1000))
    assert waits[-1] <= DAY
    assert waits[0] >= DAY * 5 / 6
    for tenth in range(10):  # of the four hours, a tenth of the tests in each
        begins = DAY * 5 / 6 + tenth * DAY / 60
        assert 50 < sum(begins <= each < begins + DAY / 60 for each in waits) < 160


def test_connection_keeps_its_place():
    pk = uuid.uuid4()
    assert wait("connected", pk=pk) == wait("connected", pk=pk)


@pytest.mark.parametrize(
    ("suspicion", "retries", "reason"),
    [("", 0, "scheduled"), ("", 2, "retry"), ("invalid_key", 0, "confirm"), ("x", 3, "confirm")],
)
def test_reason_says_why_it_is_tested(suspicion, retries, reason):
    assert schedule.reason_for(Connection(suspicion=suspicion, retries=retries)) == reason


class TestDue:
    @pytest.fixture
    def tested(self, connection: Connection) -> Connection:
        """A connection whose next test is at NOW."""
        making.finish(connection, making.report())
        Connection.objects.update(next_test_at=NOW)
        return connection

    def test_at_its_time_and_not_before(self, tested):
        assert not schedule.due(NOW - timedelta(seconds=1)).exists()
        assert schedule.due(NOW).get() == tested
        assert schedule.exchanges_to_sweep(NOW) == ["mexc"]

    def test_not_while_a_test_is_open(self, tested):
        making.asked_again(tested)
        assert not schedule.due(NOW).exists()

    def test_not_while_paused(self, tested):
        Connection.objects.update(paused_at=NOW)
        assert not schedule.due(NOW).exists()

    def test_not_while_staff_have_paused_its_exchange(self, tested):
        Exchange.objects.update(paused=True)
        assert not schedule.due(NOW).exists()
        assert schedule.exchanges_to_sweep(NOW) == []

    def test_not_where_somebody_is_at_it(self, tested):
        Exchange.objects.update(sweep_until=NOW + timedelta(seconds=1))
        assert schedule.exchanges_to_sweep(NOW) == []
        assert schedule.exchanges_to_sweep(NOW + timedelta(seconds=1)) == ["mexc"]

    def test_claim_of_a_clock_that_was_wrong_holds_nobody_up(self, tested):
        Exchange.objects.update(sweep_until=NOW + timedelta(days=400))
        assert schedule.exchanges_to_sweep(NOW) == ["mexc"]

    def test_who_waited_longest_is_first(self, tested, trader, kucoin):
        other = making.connection(trader, kucoin, "Other")
        making.finish(other, making.report())
        Connection.objects.update(next_test_at=NOW)
        Exchange.objects.filter(pk="mexc").update(sweep_until=NOW - timedelta(minutes=1))
        assert schedule.exchanges_to_sweep(NOW) == ["kucoin", "mexc"]
        Exchange.objects.filter(pk="kucoin").update(sweep_until=NOW)
        assert schedule.exchanges_to_sweep(NOW) == ["mexc", "kucoin"]

    def test_what_lies_beyond_the_period_is_brought_forward(self, tested):
        Connection.objects.update(next_test_at=NOW + timedelta(hours=24))
        assert schedule.bring_forward(NOW, DAY) == 0
        Connection.objects.update(next_test_at=NOW + timedelta(hours=24, seconds=1))
        assert schedule.bring_forward(NOW, DAY) == 1
        assert schedule.due(NOW).get() == tested

    def test_scheduled_test_left_behind_is_found_when_its_lease_has_lapsed(self, tested):
        making.asked_again(tested)
        ConnectionTest.objects.open().update(
            status="running", reason="scheduled", lease_until=NOW, fence=1
        )
        assert not schedule.left_behind(NOW).exists()
        assert schedule.left_behind(NOW + timedelta(seconds=1)).exists()
        assert schedule.exchanges_to_sweep(NOW + timedelta(seconds=1)) == ["mexc"]
        ConnectionTest.objects.update(fence=schedule.MOST_CLAIMS)
        assert not schedule.left_behind(NOW + timedelta(seconds=1)).exists()
