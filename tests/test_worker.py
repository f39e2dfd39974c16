"""From a saved key to a result on the page, over real HTTP, with the vault in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from connections import replacing, services, tasks, vault, worker
from connections.exchanges.base import Credentials
from connections.models import (
    LEASE,
    AccessEvent,
    Connection,
    ConnectionTest,
    Credential,
    Exchange,
    lapsed,
)
from tests import making
from tests.simulator import SAMPLE_KEYS, KeySpec, Simulator, sample

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def minutes_after_noon(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - NOON) / timedelta(minutes=1)


def credentials_of(key: KeySpec) -> Credentials:
    return Credentials(key.api_key, key.paste_secret, key.paste_passphrase)


def run(connection: Connection) -> ConnectionTest:
    test = connection.tests.open().get()
    worker.run_test(str(test.pk), task_id="task-1")
    connection.refresh_from_db()
    return ConnectionTest.objects.get(pk=test.pk)


@pytest.mark.parametrize(
    ("exchange", "scenario", "status", "problem"),
    [
        ("mexc", "good", "connected", ""),
        ("kucoin", "good", "connected", ""),
        ("mexc", "fallback", "warnings", ""),
        ("kucoin", "withdraw", "refused", "withdrawal_enabled"),
        ("mexc", "read_only", "failed", "no_permission"),
        ("mexc", "wrong_ip", "failed", "ip_not_allowed"),
        ("kucoin", "wrong_passphrase", "failed", "bad_passphrase"),
        ("kucoin", "down", "failed", "unavailable"),
    ],
)
def test_key_is_opened_asked_and_judged(
    trader, request, simulator: Simulator, exchange, scenario, status, problem
):
    row = request.getfixturevalue(exchange)
    key = sample(exchange, scenario)
    connection = making.connection(trader, row, "Mine", credentials_of(key))
    test = run(connection)
    assert (connection.status, connection.problem) == (status, problem)
    assert test.steps[0]["name"] == "reachable"
    assert test.finished_at >= test.started_at >= test.queued_at


def test_opening_is_recorded_with_who_and_why(trader, mexc, simulator):
    key = credentials_of(sample("mexc", "good"))
    connection = making.connection(trader, mexc, "Mine", key)
    run(connection)
    event = AccessEvent.objects.get(kind="opened")
    assert (event.actor, event.why, event.task_id) == (trader, "test: new_key", "task-1")


def test_key_of_one_connection_is_not_opened_for_another(trader, mexc, kucoin, simulator):
    """As who may write to the database could have it: sent to an exchange that is not its own."""
    key = making.connection(trader, kucoin, "Theirs").credentials.get()
    connection = making.connection(trader, mexc, "Mine")
    connection.tests.update(credential=key)
    test = run(connection)
    assert test.problem == "sealed_unreadable"
    lapsed = {"status": "running", "lease_until": test.queued_at - timedelta(hours=1)}
    ConnectionTest.objects.filter(pk=test.pk).update(reason="scheduled", fence=1, **lapsed)
    with transaction.atomic():
        (left,) = worker.claim_due("mexc", 5, timezone.now())
    event = worker.opening(left, "")
    with pytest.raises(vault.SealedError), worker.opened(left, event):
        pass
    assert event._state.adding
    assert not simulator.log


def test_balances_are_kept_with_the_test_as_decimal_text(trader, kucoin, simulator):
    key = credentials_of(sample("kucoin", "good"))
    test = run(making.connection(trader, kucoin, "Mine", key))
    amounts = {"currency": "BTC", "free": "0.015", "used": "0", "total": "0.015"}
    assert {**amounts, "markets": ["spot"]} in test.balances
    assert test.balances_of == [{"markets": ["spot"], "currencies": None}]


def test_steps_tick_while_the_test_runs(trader, mexc, simulator, monkeypatch):
    connection = making.connection(trader, mexc, "Mine", credentials_of(sample("mexc", "good")))
    seen = []
    show = worker._show

    def watch(test, steps):
        show(test, steps)
        seen.append([step["ok"] for step in ConnectionTest.objects.get(pk=test.pk).steps])

    monkeypatch.setattr(worker, "_show", watch)
    run(connection)
    assert seen[0] == [None]
    assert [True] in seen
    assert seen[-1] == [True] * 6


def test_replacing_by_a_key_of_the_same_account_keeps_everything(trader, mexc, simulator):
    connection = making.connection(trader, mexc, "Mine", credentials_of(sample("mexc", "good")))
    run(connection)
    replacing.replace_key(
        connection, by=trader, credentials=credentials_of(sample("mexc", "twin_good"))
    )
    run(connection)
    assert (
        connection.credentials.get(state="active").hint == sample("mexc", "twin_good").api_key[-4:]
    )
    assert connection.tests.count() == 2


def test_replacing_by_a_key_of_another_account_is_refused(trader, mexc, simulator):
    connection = making.connection(trader, mexc, "Mine", credentials_of(sample("mexc", "good")))
    run(connection)
    replacing.replace_key(
        connection, by=trader, credentials=credentials_of(sample("mexc", "other_account"))
    )
    assert run(connection).problem == "different_account"
    assert connection.status == Connection.Status.CONNECTED


def test_secret_that_worked_once_is_no_longer_suspected(trader, mexc, simulator):
    """MEXC's answer to an expired key names a wrong secret too; its contract API is silent here."""
    key = sample("mexc", "good")
    connection = making.connection(trader, mexc, "Mine", credentials_of(key))
    run(connection)
    simulator.change(key.api_key, expired=True)
    simulator.answer("GET", "/api/v1/private/account/assets", 503, {"code": 503})
    making.asked_again(connection)
    assert run(connection).problem == "key_expired"


def test_connection_deleted_during_its_test_leaves_nothing(trader, mexc, simulator, monkeypatch):
    connection = making.connection(trader, mexc, "Mine", credentials_of(sample("mexc", "good")))
    test_id = str(connection.tests.get().pk)
    report = worker._report

    def delete_meanwhile(test, task_id):
        found = report(test, task_id)
        Connection.objects.get(pk=connection.pk).delete()
        return found

    monkeypatch.setattr(worker, "_report", delete_meanwhile)
    worker.run_test(test_id)
    assert not ConnectionTest.objects.exists()


@pytest.mark.parametrize(
    "key",
    [key for key in SAMPLE_KEYS if key.site],
    ids=lambda key: f"{key.exchange}-{key.scenario}",
)
def test_site_of_an_account_is_found_kept_and_used_from_then_on(trader, simulator, key):
    row = Exchange.objects.get(code=key.exchange)
    connection = making.connection(trader, row, "Elsewhere", credentials_of(key))
    run(connection)
    assert connection.works
    assert connection.site
    assert connection.place != row.name

    simulator.clear_log()
    making.asked_again(connection)
    run(connection)
    assert connection.works
    main = row.known.key_call.host
    asked = [seen.host for seen in simulator.log if seen.path == row.known.key_call.path]
    assert main not in asked or connection.is_demo


class TestStamps:
    @pytest.fixture
    def key(self, connection):
        return connection.credentials.get()

    def stamped(self, key, minutes, reason="user"):
        """Opened so many minutes after noon; when the row says so, in the same measure."""
        test = key.tests.get()
        test.reason = reason
        worker.stamp([test], NOON + timedelta(minutes=minutes))
        key.refresh_from_db()
        return minutes_after_noon(key.last_opened_at), minutes_after_noon(key.last_used_at)

    @pytest.mark.parametrize("reason", ["new_key", "user", "staff"])
    def test_test_that_somebody_asked_for_is_a_use(self, key, reason):
        assert self.stamped(key, 0, reason) == (0, 0)

    @pytest.mark.parametrize("reason", ["scheduled", "retry", "confirm"])
    def test_test_of_our_own_is_an_opening_and_no_use(self, key, reason):
        assert self.stamped(key, 0, reason) == (0, None)

    def test_at_most_once_in_a_quarter_of_an_hour(self, key):
        told = [self.stamped(key, minutes) for minutes in (0, 14, 15, 29, 31)]
        assert told == [(0, 0), (0, 0), (15, 15), (15, 15), (31, 31)]

    def test_use_is_stamped_although_it_was_opened_just_before(self, key):
        assert self.stamped(key, 0, "scheduled") == (0, None)
        assert self.stamped(key, 5, "user") == (0, 5)

    def test_stamp_of_a_clock_that_was_wrong_is_replaced(self, key):
        self.stamped(key, 9999)
        assert self.stamped(key, 0) == (0, 0)

    def test_row_that_another_worker_stamped_meanwhile_is_left(self, key):
        test = key.tests.get()
        assert test.credential.last_opened_at is None
        Credential.objects.update(last_opened_at=NOON, last_used_at=NOON)
        worker.stamp([test], NOON + timedelta(minutes=1))
        key.refresh_from_db()
        assert key.last_opened_at == NOON

    def test_nothing_is_written_twice(self, key, django_assert_num_queries):
        self.stamped(key, 0)
        test = key.tests.select_related("credential").get()
        with django_assert_num_queries(0):
            worker.stamp([test], NOON + timedelta(minutes=1))

    def test_opening_stamps_and_is_on_record_each_time(self, trader, mexc, simulator):
        connection = making.connection(trader, mexc, "M", credentials_of(sample("mexc", "good")))
        run(connection)
        key = connection.credentials.get()
        assert key.last_opened_at == key.last_used_at is not None
        making.asked_again(connection)
        run(connection)
        assert connection.credentials.get().last_opened_at == key.last_opened_at
        assert AccessEvent.objects.filter(kind="opened").count() == 2


class TestAudit:
    @pytest.fixture
    def connection(self, trader, mexc, simulator):
        return making.connection(trader, mexc, "M", credentials_of(sample("mexc", "good")))

    @pytest.fixture
    def auditor(self, monkeypatch):
        """In place of the real one: the calls, and an error to raise."""
        calls, errors = [], []

        def audit(*, now, connections):
            calls.append(list(connections))
            for error in errors:
                raise error

        monkeypatch.setattr("connections.auditor.audit", audit)
        return calls, errors

    def test_follows_a_test(self, connection, auditor):
        calls, _ = auditor
        tasks.run_test.apply(args=(str(connection.tests.get().pk),))
        assert calls == [[connection.pk]]
        assert connection.tests.get().outcome == "connected"

    def test_is_not_made_where_no_test_was(self, connection, auditor):
        calls, _ = auditor
        services.pause(connection, by=connection.owner)
        tasks.run_test.apply(args=(str(connection.tests.get().pk),))
        assert calls == []

    def test_that_fails_loses_no_test_and_tells_no_secret(self, connection, auditor, caplog):
        _, errors = auditor
        errors.append(ValueError("with a secret in it"))
        done = tasks.run_test.apply(args=(str(connection.tests.get().pk),))
        assert done.successful()
        assert connection.tests.get().outcome == "connected"
        assert "ValueError" in caplog.text
        assert "secret in it" not in caplog.text


def test_a_test_claimed_a_moment_later_than_a_reader_looked_is_still_held(
    connection: Connection,
) -> None:
    """Two workers read their clocks one after the other, and claim in the other order."""
    test = worker._claim(str(connection.tests.open().get().pk))
    assert test is not None and test.lease_until is not None
    for seconds in (0, 0.001, 10):
        looked = test.lease_until - LEASE - timedelta(seconds=seconds)
        assert not ConnectionTest.objects.filter(lapsed(looked), pk=test.pk).exists()
    long_ago = test.lease_until - timedelta(days=1)
    assert ConnectionTest.objects.filter(lapsed(long_ago), pk=test.pk).exists()
