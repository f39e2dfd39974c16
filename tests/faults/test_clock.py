"""The machine's clock jumps while a test is queued or leased: it ends, and is applied once.

Nobody may wait for as long as the jump was: whatever time was written by the wrong clock counts
no longer than it could have under a right one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from connections import results, schedule, services, tasks, worker
from connections.models import Connection, ConnectionTest
from tests import making

pytestmark = [pytest.mark.faults, pytest.mark.django_db]

JUMPS = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=400))
SOON = timedelta(seconds=50)  # of right time: a lease and a little
LONGEST_PAUSE = schedule.RETRY_AFTER[-1] * 1.5
Clock = Callable[[timedelta], None]


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Sets the clock forth or back."""
    offset = timedelta()

    def jump(by: timedelta) -> None:
        nonlocal offset
        offset += by

    monkeypatch.setattr(timezone, "now", lambda: datetime.now(UTC) + offset)
    return jump


@pytest.fixture
def woken(monkeypatch) -> Callable[[], set[str]]:
    """What one sweep wakes."""
    sent: list[str] = []
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda args, **_: sent.append(*args))

    def sweep() -> set[str]:
        sent.clear()
        tasks.wake_waiting_tests()
        return set(sent)

    return sweep


def claimed(connection: Connection) -> ConnectionTest:
    test = worker._claim(str(connection.tests.open().get().pk))
    assert test
    return test


@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_leased_test_ends_and_is_applied_once(connection, clock, woken, tell, way):
    """Its worker lives, but is slow: it writes after another one has taken over."""
    for jump in JUMPS:
        slow = claimed(connection)
        clock(way * jump)
        clock(SOON)
        assert woken() == {str(slow.pk)}
        results.write(claimed(connection), making.report())
        results.write(slow, making.report("failed", problem="bad_secret"))
        connection.refresh_from_db()
        assert (connection.status, connection.suspicion) == ("connected", "")
        assert not connection.tests.open().exists()
        clock(SOON)
        services.request_test(connection, reason=ConnectionTest.Reason.USER)
    tell(f"{len(JUMPS)} jumps of {minutes(JUMPS)} minutes: 0 stuck, each applied once")


@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_queued_test_whose_message_is_lost_is_woken(connection, clock, woken, tell, way):
    waiting = str(connection.tests.get().pk)
    for jump in JUMPS:
        clock(way * jump)
        clock(SOON)
        assert woken() == {waiting}
    results.write(claimed(connection), making.report())
    assert not connection.tests.open().exists()
    tell(f"{len(JUMPS)} jumps of {minutes(JUMPS)} minutes: woken after each")


@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_next_try_by_itself_is_not_put_off(connection, clock, tell, way):
    test = claimed(connection)
    for jump in JUMPS:
        results.write(test, making.report("failed", problem="unavailable"))
        clock(way * jump)
        clock(LONGEST_PAUSE)
        now = timezone.now()
        schedule.bring_forward(now, results.period())
        (test,) = worker.claim_due("mexc", 1, now)
        assert test.reason == "retry"
    tell(f"{len(JUMPS)} jumps of {minutes(JUMPS)} minutes: tried again after each")


@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_owner_may_ask_for_a_test(connection, clock, tell, way):
    for jump in JUMPS:
        results.write(claimed(connection), making.report())
        clock(way * jump)
        clock(SOON)
        assert services.seconds_to_wait(connection) == 0
        services.request_test(connection, reason=ConnectionTest.Reason.USER)
    tell(f"{len(JUMPS)} jumps of {minutes(JUMPS)} minutes: asked for after each")


@pytest.mark.parametrize("way", [1, -1], ids=["forwards", "backwards"])
def test_confirmation_does_not_outlast_a_jump(trader, mexc, tell, way):
    """Whoever confirmed who they are by the old clock is asked again."""
    browser = making.sign_in(Client(), trader, age=way * JUMPS[-1].total_seconds())
    key = making.credentials()
    answer = browser.post(
        f"/connections/new/{mexc.pk}/",
        {"name": "Mine", "api_key": key.api_key, "secret": key.secret},
    )
    assert answer.status_code == 200
    assert "Confirm that it is you" in answer.content.decode()
    assert not Connection.objects.exists()
    tell(f"a jump of {minutes(JUMPS[-1:])} minutes: asked again, nothing saved")


def minutes(jumps: tuple[timedelta, ...]) -> str:
    return ", ".join(f"{jump / timedelta(minutes=1):.0f}" for jump in jumps)
