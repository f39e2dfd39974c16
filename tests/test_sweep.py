"""The scheduled tests, over real HTTP: what is due, once, at the pace an exchange bears."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections import replacing, results, schedule, services, sweep, tasks, worker
from connections.exchanges import pace
from connections.exchanges.base import Credentials
from connections.models import AccessEvent, Connection, ConnectionTest, Credential, Exchange
from tests import canary, making
from tests.simulator import KeySpec, Simulator, sample

Reason = ConnectionTest.Reason
Make = Callable[..., Connection]


@pytest.fixture(autouse=True)
def quick(settings) -> None:
    settings.SWEEP_PACE = 1000


@pytest.fixture
def judged(monkeypatch) -> list[list[Any]]:
    """The connections that the auditor is asked about, in place of asking it."""
    asked: list[list[Any]] = []
    monkeypatch.setattr(worker, "judge", lambda connections: asked.append(list(connections)))
    return asked


@pytest.fixture(autouse=True)
def _nobody_judges(judged) -> None: ...


@pytest.fixture
def make(trader, simulator: Simulator) -> Make:
    """Connections that were tested and are due, each with a key of its own."""

    def connect(exchange: str = "mexc", *, tested: bool = True, **fields: Any) -> Connection:
        key = _key(simulator, exchange, **fields)
        row = Exchange.objects.get(pk=exchange)
        number = Connection.objects.count()
        connection = making.connection(trader, row, f"{exchange} {number}", _credentials(key))
        if tested:
            making.finish(connection, making.report(site="", facts=making.report().facts))
        Connection.objects.filter(pk=connection.pk).update(next_test_at=timezone.now())
        connection.key_at_exchange = key
        return connection

    return connect


def _key(simulator: Simulator, exchange: str, **fields: Any) -> KeySpec:
    values = canary.credentials(exchange)
    like = sample(exchange, "good")
    fields = {"permissions": like.permissions, **fields}
    key = KeySpec(
        exchange, canary.mark(), values.api_key, values.secret, values.passphrase, **fields
    )
    simulator.add(key)
    return key


def _credentials(key: KeySpec) -> Credentials:
    return Credentials(key.api_key, key.paste_secret, key.paste_passphrase)


def run(*codes: str, seconds: float = 30) -> int:
    return sweep.sweep(*(codes or ("mexc",)), until=time.monotonic() + seconds, task_id="task-7")


def newest(connection: Connection) -> ConnectionTest:
    connection.refresh_from_db()
    return connection.tests.latest("queued_at")


# --- what is tested --------------------------------------------------------------------------


def test_what_is_due_is_tested_and_its_next_test_is_a_day_later(make):
    connections = [make() for _ in range(5)]
    before = timezone.now()
    assert run() == 5
    for connection in connections:
        test = newest(connection)
        assert (test.status, test.outcome, test.reason) == ("done", "connected", "scheduled")
        assert test.requested_by is None
        assert [step["ok"] for step in test.steps] == [True] * 6
        wait = connection.next_test_at - before
        assert timedelta(hours=20) <= wait <= timedelta(hours=24, minutes=1)
    assert run() == 0


def test_what_is_not_due_is_left(make):
    later = make()
    Connection.objects.filter(pk=later.pk).update(
        next_test_at=timezone.now() + timedelta(minutes=1)
    )
    assert run() == 0
    assert later.tests.count() == 1


@pytest.mark.parametrize("who", ["owner", "staff"])
def test_what_is_paused_is_left(make, who):
    connection = make()
    if who == "owner":
        services.pause(connection, by=connection.owner)
        assert Connection.objects.get(pk=connection.pk).next_test_at is None
        Connection.objects.update(next_test_at=timezone.now())
    else:
        Exchange.objects.update(paused=True)
    assert run() == 0


def test_test_that_an_owner_waits_for_is_not_disturbed(make):
    """Its own worker runs it; the sweep neither takes it nor makes another one."""
    connection, other = make(), make()
    asked = making.asked_again(connection)
    assert run() == 1
    asked.refresh_from_db()
    assert asked.status == "queued"
    assert connection.tests.count() == 2
    assert newest(other).reason == "scheduled"
    worker.run_test(str(asked.pk))
    asked.refresh_from_db()
    assert (asked.status, asked.outcome) == ("done", "connected")
    connection.refresh_from_db()
    assert connection.next_test_at > timezone.now() + timedelta(hours=19)


def test_exchanges_are_swept_side_by_side(make):
    codes = ("mexc", "kucoin", "okx", "bybit")
    connections = [make(code, delay_s=0.05) for code in codes for _ in range(3)]
    assert run(*codes) == len(connections)
    assert {newest(each).outcome for each in connections} == {"connected"}
    times = {code: ConnectionTest.objects.filter(connection__exchange=code) for code in codes}
    spans = {
        code: (
            min(t.started_at for t in rows.filter(reason="scheduled")),
            max(t.finished_at for t in rows.filter(reason="scheduled")),
        )
        for code, rows in times.items()
    }
    assert max(begin for begin, _ in spans.values()) < min(end for _, end in spans.values())


@pytest.mark.parametrize(
    ("scenario", "status", "problem"),
    [
        ({}, "connected", ""),
        ({"ip_whitelist": ()}, "warnings", ""),
        ({"permissions": sample("mexc", "withdraw").permissions}, "refused", "withdrawal_enabled"),
        ({"permissions": sample("mexc", "read_only").permissions}, "failed", "no_permission"),
    ],
)
def test_result_is_the_same_as_by_hand(make, scenario, status, problem):
    connection = make(tested=False, **scenario)
    ConnectionTest.objects.all().delete()
    run()
    newest(connection)
    assert (connection.status, connection.problem) == (status, problem)


def test_failure_that_may_pass_is_tried_again_and_said_so(make, simulator):
    connection = make(fault="down")
    run()
    assert (newest(connection).reason, connection.problem) == ("scheduled", "unavailable")
    assert connection.next_test_at < timezone.now() + timedelta(minutes=1, seconds=1)
    simulator.change(connection.key_at_exchange.api_key, fault=None)
    Connection.objects.update(next_test_at=timezone.now())
    run()
    assert (newest(connection).reason, connection.status) == ("retry", "connected")


def test_failure_of_a_key_that_worked_is_confirmed_soon(make, simulator):
    connection = make(deleted=True)
    run()
    assert (newest(connection).reason, connection.suspicion) == ("scheduled", "invalid_key")
    assert connection.next_test_at < timezone.now() + timedelta(seconds=31)
    Connection.objects.update(next_test_at=timezone.now())
    run()
    assert (newest(connection).reason, connection.problem) == ("confirm", "invalid_key")
    wait = connection.next_test_at - timezone.now()
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


def test_new_key_is_tested_in_place_of_the_old_one_until_only_its_owner_can_help(make, simulator):
    connection = make()
    fine, down = _key(simulator, "mexc"), _key(simulator, "mexc", fault="down")
    replacing.replace_key(connection, by=connection.owner, credentials=_credentials(down))
    making.finish(connection, making.report("failed", problem="unavailable"))
    assert connection.next_test_at < timezone.now() + timedelta(minutes=1, seconds=1)
    Connection.objects.update(next_test_at=timezone.now())
    run()
    assert newest(connection).credential.state == Credential.State.PENDING

    making.age(connection, minutes=2)
    replacing.replace_key(connection, by=connection.owner, credentials=_credentials(fine))
    making.finish(connection, making.report("failed", problem="bad_secret"))
    Connection.objects.update(next_test_at=timezone.now())
    run()
    assert newest(connection).credential.state == Credential.State.ACTIVE


def test_first_test_of_a_connection_made_while_staff_had_paused_the_exchange(make, mexc):
    Exchange.objects.update(paused=True)
    connection = make(tested=False)
    assert run() == 0
    assert not connection.tests.exists()
    Exchange.objects.update(paused=False)
    assert run() == 1
    assert newest(connection).outcome == "connected"


def test_broken_seal_is_one_connection_s_trouble(make):
    broken, fine = make(), make()
    Credential.objects.filter(connection=broken).update(revision=99)
    assert run() == 2
    assert newest(broken).problem == "sealed_unreadable"
    assert newest(fine).outcome == "connected"


# --- what is written down --------------------------------------------------------------------


def test_every_opening_is_on_record_before_it(make, monkeypatch):
    connections = [make() for _ in range(3)]
    recorded: list[int] = []
    opened = worker.opened

    def watch(test, opening):
        assert not opening.opening._state.adding
        recorded.append(opening.opening.pk)
        return opened(test, opening)

    monkeypatch.setattr(worker, "opened", watch)
    run()
    events = AccessEvent.objects.filter(kind="opened")
    assert sorted(events.values_list("pk", flat=True)) == sorted(recorded)
    assert {event.connection_id for event in events} == {each.pk for each in connections}
    assert {(event.actor, event.why, event.task_id) for event in events} == {
        (None, "test: scheduled", "task-7")
    }


def test_key_is_not_opened_by_an_event_that_was_not_saved(connection):
    test = connection.tests.get()
    with (
        pytest.raises(RuntimeError, match="on record"),
        worker.opened(test, sweep.Recorded(worker.opening(test, ""))),
    ):
        pass


def test_scheduled_opening_is_no_use(make):
    connection = make()
    run()
    key = connection.credentials.get()
    assert key.last_opened_at
    assert key.last_used_at is None


def test_auditor_is_asked_about_what_was_tested(make, judged):
    connections = [make() for _ in range(3)]
    run()
    assert sorted(pk for group in judged for pk in group) == sorted(c.pk for c in connections)
    run()
    assert len(judged) == 1


def test_number_of_statements_per_test_is_small(make):
    """Four for a result, its transaction aside; all the others are for many tests at once."""

    def statements(count: int) -> int:
        for _ in range(count):
            make()
        with CaptureQueriesContext(
            database,
        ) as captured:
            assert run() == count
        return len([q for q in captured if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))])

    few, many = statements(2), statements(12)
    assert (many - few) / 10 <= 4


# --- one sweep of an exchange at a time ------------------------------------------------------


def test_second_sweep_of_an_exchange_returns_at_once(make):
    make()
    fence = sweep.claim("mexc")
    assert fence
    assert sweep.claim("mexc") == 0
    began = time.monotonic()
    assert run(seconds=60) == 0
    assert time.monotonic() - began < 20  # of 60 s


def test_claim_lapses_with_its_worker(make):
    make()
    assert sweep.claim("mexc")
    Exchange.objects.update(sweep_until=timezone.now() - timedelta(seconds=1))
    assert run() == 1


def test_exchange_is_free_when_its_sweep_has_ended(make):
    make()
    run()
    assert sweep.claim("mexc")


def test_sweep_that_lost_its_claim_begins_no_more_tests(make, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(sweep, "RENEWED_EVERY_S", 0)
    connections = [make() for _ in range(8)]
    write = results.write

    def taken_over(test, report, **options):
        write(test, report, **options)
        Exchange.objects.update(sweep_fence=99)

    monkeypatch.setattr(results, "write", taken_over)
    assert 0 < run() < 8
    assert not ConnectionTest.objects.open().exists()
    assert Exchange.objects.get(pk="mexc").sweep_fence == 99
    assert sum(each.tests.count() == 2 for each in connections) < 8


def test_exchange_paused_by_staff_in_the_middle_is_left_alone(make, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 2)
    for _ in range(8):
        make()
    write = results.write

    def paused(test, report, **options):
        write(test, report, **options)
        Exchange.objects.update(paused=True)

    monkeypatch.setattr(results, "write", paused)
    assert 0 < run() < 8


def test_no_test_is_begun_after_the_time_of_the_sweep(make):
    make()
    assert run(seconds=-1) == 0
    assert run() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_sweeps_at_once_test_each_connection_once(make):
    connections = [make(delay_s=0.02) for _ in range(12)]
    tallies: list[int] = []

    def work() -> None:
        try:
            tallies.append(run())
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(tallies) == [0, 12]
    assert {each.tests.count() for each in connections} == {2}


# --- when a worker dies ----------------------------------------------------------------------


class Killed(BaseException):
    """As nothing in the product expects it."""


def test_tests_of_a_killed_sweep_are_gone_on_with_and_applied_once(make, monkeypatch):
    connections = [make() for _ in range(4)]
    monkeypatch.setattr(sweep, "async_to_sync", _take_and_die)
    with pytest.raises(Killed):
        run()
    monkeypatch.undo()
    Exchange.objects.update(sweep_until=timezone.now() + sweep.LEASE)  # it released nothing
    begun = set(ConnectionTest.objects.filter(status="running").values_list("pk", flat=True))
    assert len(begun) == 4
    for connection in connections:  # "testing", and nobody else may begin another one
        assert services.request_test(connection, reason=Reason.CONFIRM).pk in begun

    Exchange.objects.update(sweep_until=timezone.now() - timedelta(seconds=1))
    assert run() == 0  # they could still be at work
    ConnectionTest.objects.filter(pk__in=begun).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    monkeypatch.setattr(worker, "judge", lambda connections: None)
    assert schedule.exchanges_to_sweep(timezone.now()) == ["mexc"]
    assert run() == 4
    rows = ConnectionTest.objects.filter(pk__in=begun)
    assert {(row.status, row.outcome, row.fence) for row in rows} == {("done", "connected", 2)}
    assert {each.tests.count() for each in connections} == {2}


def _take_and_die(_: Any) -> Callable[[list[sweep.Sweep]], None]:
    def die(sweeps: list[sweep.Sweep]) -> None:
        sweeps[0].take(10)
        raise Killed

    return die


def test_what_was_given_up_on_writes_nothing(make):
    connection = make(deleted=True)
    ((slow, _),) = sweep.Sweep("mexc", 1, timedelta(1), 0, "").take(1)
    ConnectionTest.objects.filter(pk=slow.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    run()
    results.write(slow, making.report())
    newest(connection)
    assert connection.suspicion == "invalid_key"


def test_test_that_ends_every_sweep_goes_the_way_that_gives_it_up(make, monkeypatch):
    make()
    ((test, _),) = sweep.Sweep("mexc", 1, timedelta(1), 0, "").take(1)
    ConnectionTest.objects.filter(pk=test.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1),
        queued_at=timezone.now() - timedelta(minutes=1),
        fence=schedule.MOST_CLAIMS,
    )
    assert run() == 0
    sent: list[str] = []
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda args, **_: sent.append(*args))
    tasks.wake_waiting_tests()
    assert sent == [str(test.pk)]
    worker.run_test(sent[0])
    assert ConnectionTest.objects.get(pk=test.pk).problem == "unexpected"


def test_waking_leaves_the_sweep_s_own_to_the_sweep(make, monkeypatch):
    make()
    ((test, _),) = sweep.Sweep("mexc", 1, timedelta(1), 0, "").take(1)
    ConnectionTest.objects.filter(pk=test.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1),
        queued_at=timezone.now() - timedelta(minutes=1),
    )
    sent: list[str] = []
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda args, **_: sent.append(*args))
    tasks.wake_waiting_tests()
    assert sent == []


def test_who_asks_for_a_test_that_a_dead_sweep_left_behind_waits_for_no_sweep(make, monkeypatch):
    connection = make()
    ((test, _),) = sweep.Sweep("mexc", 1, timedelta(1), 0, "").take(1)
    reason = ConnectionTest.Reason.USER
    asked = services.request_test(connection, by=connection.owner, reason=reason)
    assert asked == test
    ConnectionTest.objects.filter(pk=test.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1),
        queued_at=timezone.now() - timedelta(minutes=1),
    )
    Exchange.objects.update(sweep_until=timezone.now() + schedule.LONGEST_HOLD)
    sent: list[str] = []
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda args, **_: sent.append(*args))
    tasks.wake_waiting_tests()
    assert sent == [str(test.pk)]
    worker.run_test(sent[0])
    test.refresh_from_db()
    assert (test.status, test.reason, test.requested_by) == ("done", "user", connection.owner)


def test_result_that_cannot_be_written_is_not_lost(make, monkeypatch, caplog):
    first, second = make(), make()
    write = results.write

    def fail_once(test, report, **options):
        if test.connection_id == first.pk:
            raise DatabaseError("with a secret in it")
        write(test, report, **options)

    monkeypatch.setattr(results, "write", fail_once)
    run()
    assert "secret in it" not in caplog.text
    assert newest(second).outcome == "connected"
    monkeypatch.setattr(results, "write", write)
    assert newest(first).status == "running"
    ConnectionTest.objects.filter(status="running").update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    run()
    assert newest(first).outcome == "connected"


# --- pace and outages ------------------------------------------------------------------------


def test_requests_keep_the_exchange_s_pace(make, simulator, settings, monkeypatch):
    settings.SWEEP_PACE = 1
    monkeypatch.setattr(pace, "REQUESTS_PER_SECOND", {"mexc": 20})
    for _ in range(6):
        make()
    simulator.clear_log()
    began = time.monotonic()
    assert run() == 6
    seconds = time.monotonic() - began
    asked = len(simulator.log)
    burst = 20 * sweep.BURST_S
    assert asked >= 30
    assert (asked - burst) / seconds <= 20


def test_setting_multiplies_the_pace(settings, db):
    settings.SWEEP_PACE = 3
    one = sweep.Sweep("bingx", 1, timedelta(1), 0, "")
    assert one.limiter.max_rate / one.limiter.time_period == pytest.approx(3)
    assert one.room == 6


@pytest.mark.parametrize("code", pace.REQUESTS_PER_SECOND)
def test_room_and_pace_leave_a_test_its_time(code, settings, db):
    """A whole test waits for its turn no longer than half of the 30 s it has."""
    settings.SWEEP_PACE = 1
    one = sweep.Sweep(code, 1, timedelta(1), 0, "")
    per_second = one.limiter.max_rate / one.limiter.time_period
    assert per_second == pytest.approx(pace.requests_per_second(code))
    assert 8 * one.room / per_second <= 16


def test_every_exchange_has_a_pace():
    from connections.exchanges import EXCHANGES

    assert set(pace.REQUESTS_PER_SECOND) == set(EXCHANGES)
    assert pace.requests_per_second("unheard_of") == pace.SLOWEST


def test_exchange_that_is_down_is_left_alone_after_twenty_tests(make, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 4)
    connections = [make(fault="down") for _ in range(40)]
    tested = run()
    assert 20 <= tested <= 24
    untested = [each for each in connections if each.tests.count() == 1]
    assert len(untested) == 40 - tested
    assert run() == 0  # not now
    until = Exchange.objects.get(pk="mexc").sweep_until
    assert timedelta(seconds=50) < until - timezone.now() < timedelta(seconds=61)
    assert schedule.exchanges_to_sweep(timezone.now()) == []
    assert schedule.exchanges_to_sweep(timezone.now() + timedelta(minutes=2)) == ["mexc"]


def test_exchange_that_finds_us_too_fast_is_left_alone_for_ten_minutes(make, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 2)
    for _ in range(10):
        make(fault="rate_limit")
    assert run() <= 5
    until = Exchange.objects.get(pk="mexc").sweep_until
    assert timedelta(minutes=9) < until - timezone.now() <= timedelta(minutes=10)


def test_some_keys_that_find_it_down_are_no_outage(make, monkeypatch):
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 4)
    for number in range(30):
        make(**({"fault": "down"} if number % 3 else {}))
    assert run() == 30
    assert sweep.claim("mexc")


# --- the doors -------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch) -> Iterator[list[tuple[list[str], dict[str, Any]]]]:
    messages: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(
        tasks.sweep_exchanges,
        "apply_async",
        lambda args, **options: messages.append((args[0], options)),
    )
    yield messages


def test_message_is_sent_for_what_is_due(make, sent):
    tasks.start_sweeps()
    assert sent == []
    make("kucoin")
    tasks.start_sweeps()
    ((codes, options),) = sent
    assert codes == ["kucoin"]
    assert options["expires"] == 5  # a worker that is busy meets one of them, not hundreds


def test_many_exchanges_are_shared_out(make, sent):
    for code in ("mexc", "kucoin", "binance", "okx", "bitget", "gate"):
        make(code)
    tasks.start_sweeps()
    assert [len(codes) for codes, _ in sent] == [5, 1]


def test_broker_that_is_away_is_no_error(make, monkeypatch, caplog):
    make()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("redis://user:password@host")

    monkeypatch.setattr(tasks.sweep_exchanges, "apply_async", refuse)
    tasks.start_sweeps()
    assert "OSError" in caplog.text
    assert "password" not in caplog.text


def test_task_sweeps_and_sends_for_what_is_left(make, sent):
    connection = make()
    make("kucoin")
    tasks.sweep_exchanges.apply(args=(["mexc"],))
    assert newest(connection).outcome == "connected"
    assert [codes for codes, _ in sent] == [["kucoin"]]


def test_one_process_of_a_worker_sweeps_and_the_others_are_free(make, sent):
    """In its turn when the first one has ended, or is killed."""
    connection = make()
    holder = os.fork()
    if holder == 0:  # another process of the pool
        fcntl.lockf(sweep.TURN, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(holder, os.WUNTRACED)
    try:
        tasks.sweep_exchanges.apply(args=(["mexc"],))
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    assert (connection.tests.count(), sent) == (1, [])
    tasks.sweep_exchanges.apply(args=(["mexc"],))
    assert newest(connection).outcome == "connected"


def test_sweeping_has_its_own_queue_and_time_limits(settings):
    from backfuture.celery import app

    queues = {
        name: app.amqp.router.route({}, f"connections.tasks.{name}")["queue"].name
        for name in ("run_test", "wake_waiting_tests", "start_sweeps", "sweep_exchanges", "audit")
    }
    assert queues == {
        "run_test": "backfuture",
        "wake_waiting_tests": "backfuture",
        "start_sweeps": "backfuture",
        "sweep_exchanges": "sweep",
        "audit": "notices",
    }
    longest = tasks.SWEEP_S + 30  # the last test of a sweep
    assert longest < tasks.sweep_exchanges.soft_time_limit == tasks.sweep_exchanges.time_limit


def test_error_that_nobody_expected_ends_one_sweep_and_not_the_others(make, monkeypatch, caplog):
    make("mexc")
    other = make("kucoin")
    take = sweep.Sweep.take

    def broken(self, count):
        if self.code == "mexc":
            raise ValueError("with a secret in it")
        return take(self, count)

    monkeypatch.setattr(sweep.Sweep, "take", broken)
    assert run("mexc", "kucoin") == 1
    assert newest(other).outcome == "connected"
    assert "secret in it" not in caplog.text
    assert sweep.claim("mexc")


def test_loop_is_closed_behind_a_sweep(make):
    make()
    run()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
