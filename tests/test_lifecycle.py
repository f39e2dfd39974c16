"""A connection's life: saved, tested, replaced, paused, deleted; applied once, never stuck."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from connections import replacing, results, schedule, services, worker
from connections.events import AccessEvent, record
from connections.exchanges.base import KeyFacts, Permissions
from connections.models import Connection, ConnectionTest, Credential, Thresholds
from tests import making

Reason = ConnectionTest.Reason


def test_connecting_saves_a_sealed_key_and_asks_for_one_test(connection):
    key = connection.credentials.get()
    assert key.state == Credential.State.ACTIVE
    assert len(key.hint) == 4
    assert connection.tests.get().status == ConnectionTest.Status.QUEUED


def test_asking_twice_makes_one_test(connection):
    first = connection.tests.get()
    assert services.request_test(connection, reason=Reason.USER) == first
    assert connection.tests.count() == 1


def test_next_test_waits_ten_seconds(connection):
    making.finish(connection, making.report())
    with pytest.raises(services.TooSoon) as caught:
        services.request_test(connection, reason=Reason.USER)
    assert 8 <= caught.value.seconds <= 10
    making.age(connection, seconds=11)
    assert services.request_test(connection, reason=Reason.USER).is_open


def test_same_key_is_found_and_not_saved_again(trader, mexc, connection):
    key = making.credentials()
    first = making.connection(trader, mexc, "One", key)
    with pytest.raises(services.SameKey) as caught:
        making.connection(trader, mexc, "Two", key)
    assert caught.value.connection == first
    assert not Connection.objects.filter(name="Two").exists()


def test_same_key_of_another_user_is_not_disclosed(trader, stranger, mexc):
    key = making.credentials()
    making.connection(trader, mexc, "One", key)
    assert making.connection(stranger, mexc, "Two", key).pk


def test_name_is_unique_per_user_whatever_its_case(trader, stranger, mexc, connection):
    with pytest.raises(services.NameTaken):
        making.connection(trader, mexc, "mexc spot MAIN")
    assert making.connection(stranger, mexc, "MEXC Spot Main").pk


def test_suggested_name_is_free(trader, mexc, connection):
    assert services.suggest_name(trader, mexc.known) == "MEXC Spot 2"


@pytest.mark.parametrize(
    ("outcome", "problem", "status"),
    [
        ("connected", "", "connected"),
        ("warnings", "", "warnings"),
        ("refused", "", "refused"),
        ("failed", "ip_not_allowed", "failed"),
    ],
)
def test_result_is_written_to_test_and_connection(connection, outcome, problem, status):
    test = making.finish(connection, making.report(outcome, problem=problem))
    assert (test.outcome, connection.status) == (outcome, status)
    assert connection.tested_at
    assert not connection.tests.open().exists()


def test_result_of_a_worker_that_was_given_up_on_is_dropped(connection):
    slow = worker._claim(str(connection.tests.get().pk))
    ConnectionTest.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    fresh = worker._claim(str(slow.pk))
    assert fresh is not None
    results.write(fresh, making.report("connected"))
    results.write(slow, making.report("failed", problem="invalid_key"))
    connection.refresh_from_db()
    assert connection.status == Connection.Status.CONNECTED
    assert connection.tests.get().outcome == "connected"


def test_two_messages_claim_a_test_once(connection):
    test_id = str(connection.tests.get().pk)
    assert worker._claim(test_id) is not None
    assert worker._claim(test_id) is None


def test_test_that_kills_every_worker_is_ended(connection):
    ConnectionTest.objects.update(fence=worker.MOST_CLAIMS)
    worker.run_test(str(connection.tests.get().pk))
    assert connection.tests.get().problem == "unexpected"


def test_failure_that_may_pass_keeps_what_is_known_and_is_tried_again(connection):
    making.finish(connection, making.report())
    making.asked_again(connection)
    making.finish(connection, making.report("failed", problem="unavailable", facts=KeyFacts()))
    assert connection.problem == "unavailable"
    assert connection.known_permissions.spot_trade is True
    assert timedelta(0) < connection.next_test_at - timezone.now() <= timedelta(minutes=1)
    assert schedule.reason_for(connection) == Reason.RETRY


def test_waits_between_tries_grow(connection):
    waits = []
    for _ in range(3):
        making.finish(connection, making.report("failed", problem="unavailable"))
        waits.append(connection.next_test_at - timezone.now())
        making.asked_again(connection)
    assert waits == sorted(waits)
    assert waits[2] > 2 * waits[0]


def test_failure_of_a_key_that_worked_is_believed_the_second_time(connection):
    making.finish(connection, making.report())
    making.asked_again(connection)
    making.finish(connection, making.report("failed", problem="invalid_key", facts=KeyFacts()))
    assert connection.status == Connection.Status.CONNECTED
    assert connection.suspicion == "invalid_key"
    assert connection.next_test_at < timezone.now() + timedelta(minutes=1)

    assert schedule.reason_for(connection) == Reason.CONFIRM
    making.asked_again(connection)
    making.finish(connection, making.report("failed", problem="invalid_key", facts=KeyFacts()))
    assert (connection.status, connection.problem) == ("failed", "invalid_key")
    assert connection.suspicion == ""


def test_doubt_about_a_key_ends_when_it_works_again(connection):
    making.finish(connection, making.report())
    making.asked_again(connection)
    making.finish(connection, making.report("failed", problem="invalid_key", facts=KeyFacts()))
    making.asked_again(connection)
    making.finish(connection, making.report())
    assert (connection.status, connection.suspicion) == ("connected", "")


def test_withdrawal_switched_on_later_is_believed_at_once(connection):
    making.finish(connection, making.report())
    making.asked_again(connection)
    facts = KeyFacts(Permissions(True, True, withdraw=True), True)
    making.finish(connection, making.report("refused", facts=facts))
    assert connection.status == Connection.Status.REFUSED


def test_hard_failure_is_tried_again_ever_less_often(connection):
    waits = []
    for _ in range(3):
        making.finish(connection, making.report("failed", problem="invalid_key", facts=KeyFacts()))
        waits.append(round((connection.next_test_at - timezone.now()) / timedelta(minutes=1)))
        making.asked_again(connection)
    assert waits == [5, 15, 60]
    assert connection.known_permissions == Permissions(evidence={})


def test_hours_between_scheduled_tests_are_for_staff_to_set(connection):
    Thresholds.objects.create(pk=1, test_every_hours=6)
    making.finish(connection, making.report())
    wait = connection.next_test_at - timezone.now()
    assert timedelta(hours=4) < wait <= timedelta(hours=6)


class TestSinceWhen:
    """Times are told in hours after noon."""

    NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
    DEAD = making.report("failed", problem="invalid_key", facts=KeyFacts())
    AWAY = making.report("failed", problem="unavailable", facts=KeyFacts())
    REFUSED = making.report("refused", facts=KeyFacts(Permissions(True, True, withdraw=True)))
    MADE, MADE_LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)

    def told(self, connection, *reports):
        """What stands there after these reports, one an hour: last good test, failing since."""
        for hour, report in enumerate(reports):
            if not connection.tests.open().exists():
                making.asked_again(connection)
            test = worker._claim(str(connection.tests.open().get().pk))
            results.write(test, report, now=self.NOON + timedelta(hours=hour))
        connection.refresh_from_db()
        return self.hour(connection.last_ok_at), self.hour(connection.failing_since)

    def hour(self, moment):
        return None if moment is None else (moment - self.NOON) / timedelta(hours=1)

    def test_key_that_works(self, connection):
        assert self.told(connection, making.report(), making.report("warnings")) == (1, None)
        assert connection.tested_at == self.NOON + timedelta(hours=1)

    def test_key_that_never_worked(self, connection):
        assert self.told(connection, self.DEAD, self.DEAD) == (None, 0)

    def test_failure_counts_from_when_it_is_believed(self, connection):
        assert self.told(connection, making.report(), self.DEAD) == (0, None)
        assert connection.suspicion == "invalid_key"

    def test_failure_that_is_confirmed(self, connection):
        assert self.told(connection, making.report(), *[self.DEAD] * 3) == (0, 2)

    @pytest.mark.parametrize("failure", [AWAY, REFUSED], ids=["unavailable", "refused"])
    def test_failure_that_needs_no_second_look(self, connection, failure):
        assert self.told(connection, making.report(), failure, failure) == (0, 1)

    def test_failure_that_turns_into_another_goes_on(self, connection):
        reports = [making.report(), self.AWAY, self.DEAD, self.DEAD]
        assert self.told(connection, *reports) == (0, 1)
        assert connection.problem == "invalid_key"

    def test_failure_ends_when_it_works_again(self, connection):
        reports = [making.report(), self.AWAY, making.report("warnings")]
        assert self.told(connection, *reports) == (2, None)

    def test_doubt_that_was_unfounded_leaves_no_trace(self, connection):
        assert self.told(connection, making.report(), self.DEAD, making.report()) == (2, None)

    def test_age_of_a_key_is_kept_when_it_is_told_no_more(self, connection):
        told = making.report(facts=KeyFacts(making.GOOD, True, uid="42", created_at=self.MADE))
        self.told(connection, told, making.report(), self.AWAY, self.DEAD, self.DEAD)
        assert connection.key_created_at == self.MADE

    @pytest.mark.parametrize("made", [MADE_LATER, None], ids=["told", "not told"])
    def test_new_key_has_its_own_age(self, connection, trader, made):
        told = KeyFacts(making.GOOD, True, uid="42", created_at=self.MADE)
        self.told(connection, making.report(facts=told), self.DEAD, self.DEAD)
        assert connection.failing_since
        replacing.replace_key(connection, by=trader, credentials=making.credentials())
        facts = KeyFacts(making.GOOD, True, uid="42", created_at=made)
        assert self.told(connection, making.report(facts=facts)) == (0, None)
        assert connection.key_created_at == made
        assert connection.retries == 0

    def test_new_key_that_fails_changes_none_of_it(self, connection, trader):
        told = KeyFacts(making.GOOD, True, uid="42", created_at=self.MADE)
        self.told(connection, making.report(facts=told))
        next_test_at = connection.next_test_at
        replacing.replace_key(connection, by=trader, credentials=making.credentials())
        later = KeyFacts(created_at=self.MADE_LATER)
        failed = making.report("failed", problem="bad_secret", facts=later)
        assert self.told(connection, failed) == (0, None)
        assert connection.key_created_at == self.MADE
        assert connection.next_test_at == next_test_at


class TestReplacing:
    def test_new_key_waits_beside_the_old_one(self, working, trader):
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        states = sorted(working.credentials.values_list("state", flat=True))
        assert states == ["active", "pending"]
        assert services.key_to_test(working).state == Credential.State.PENDING

    def test_new_key_that_passes_takes_over_and_the_old_one_is_kept(self, working, trader):
        old = working.credentials.get()
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        making.finish(working, making.report())
        old.refresh_from_db()
        assert old.state == Credential.State.REPLACED and old.sealed
        assert working.credentials.get(state=Credential.State.ACTIVE) != old

    def test_new_key_that_fails_changes_nothing(self, working, trader):
        old = working.credentials.get()
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        making.finish(working, making.report("failed", problem="bad_secret"))
        old.refresh_from_db()
        assert old.state == Credential.State.ACTIVE
        assert working.status == Connection.Status.CONNECTED

    def test_new_key_of_another_account_is_refused(self, working, trader):
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        test = making.finish(working, making.report(facts=KeyFacts(making.GOOD, True, uid="43")))
        assert test.problem == "different_account"
        assert working.credentials.filter(state=Credential.State.PENDING).exists()

    def test_new_key_may_be_discarded(self, working, trader):
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        assert replacing.discard_new_key(working, by=working.owner)
        assert not working.tests.open().exists()
        assert (
            working.credentials.filter(sealed__isnull=False).get().state == Credential.State.ACTIVE
        )

    def test_third_key_destroys_the_second(self, working, trader):
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        assert working.credentials.filter(sealed__isnull=False).count() == 2
        assert working.tests.open().count() == 1

    def test_test_of_the_old_key_under_way_is_dropped(self, working, trader):
        making.asked_again(working)
        claimed = worker._claim(str(working.tests.open().get().pk))
        replacing.replace_key(working, by=trader, credentials=making.credentials())
        results.write(claimed, making.report("failed", problem="invalid_key"))
        working.refresh_from_db()
        assert working.status == Connection.Status.CONNECTED


def test_paused_connection_is_not_tested(connection):
    services.pause(connection, by=connection.owner)
    connection.refresh_from_db()
    assert not connection.tests.open().exists()
    with pytest.raises(services.Paused):
        services.request_test(connection, reason=Reason.USER)


def test_resuming_asks_for_a_test(connection, trader):
    services.pause(connection, by=connection.owner)
    making.age(connection, minutes=1)
    connection.refresh_from_db()
    assert services.resume(connection, by=trader).is_open


def test_exchange_paused_by_staff_is_not_asked_and_the_test_follows(trader, mexc):
    mexc.paused = True
    mexc.save()
    making.connection(trader, mexc, "Later")
    assert not schedule.due(timezone.now()).exists()
    mexc.paused = False
    mexc.save()
    assert schedule.due(timezone.now()).exists()


def test_deleting_destroys_the_key_and_keeps_the_record_of_its_openings(connection):
    key = connection.credentials.get()
    record(AccessEvent.Kind.OPENED, connection=connection, key=key, why="test")
    services.delete(connection, by=connection.owner)
    assert not Credential.objects.exists()
    kept = AccessEvent.objects.get(kind="opened")
    assert (kept.connection, kept.credential, kept.key_hint) == (None, None, key.hint)
    assert kept.exchange == "mexc" and kept.owner


def test_connection_with_a_broken_seal_says_so_and_can_be_deleted(connection):
    with transaction.atomic():
        Credential.objects.update(revision=99)
    worker.run_test(str(connection.tests.get().pk))
    connection.refresh_from_db()
    assert connection.problem == "sealed_unreadable"
    services.delete(connection, by=connection.owner)


def test_doubt_is_settled_although_a_new_key_failed_meanwhile(connection, trader):
    making.finish(connection, making.report())
    making.asked_again(connection)
    making.finish(connection, making.report("failed", problem="invalid_key", facts=KeyFacts()))
    making.age(connection, minutes=1)
    replacing.replace_key(connection, by=trader, credentials=making.credentials())
    making.finish(connection, making.report("failed", problem="bad_secret", facts=KeyFacts()))
    replacing.discard_new_key(connection, by=connection.owner)
    connection.refresh_from_db()
    assert connection.next_test_at <= timezone.now()


def test_resuming_at_once_still_leads_to_a_test(connection, trader):
    services.pause(connection, by=connection.owner)
    connection.refresh_from_db()
    assert connection.next_test_at is None
    assert services.resume(connection, by=trader) is None
    now = timezone.now()
    assert not schedule.due(now).exists()
    assert schedule.due(now + services.PAUSE_BETWEEN_TESTS).get() == connection


def test_exchange_paused_under_a_waiting_test_is_not_asked(connection, mexc):
    mexc.paused = True
    mexc.save()
    worker.run_test(str(connection.tests.get().pk))
    assert connection.tests.get().status == ConnectionTest.Status.QUEUED
    assert not AccessEvent.objects.filter(kind="opened").exists()


def test_test_of_a_destroyed_key_is_dropped(connection):
    Credential.objects.update(state=Credential.State.RETIRED, sealed=None)
    worker.run_test(str(connection.tests.get().pk))
    test = connection.tests.get()
    assert (test.status, test.outcome) == (ConnectionTest.Status.DONE, "")


def test_new_keys_cannot_be_tried_without_end(connection, trader):
    with pytest.raises(services.TooSoon):
        for _ in range(10):
            replacing.replace_key(connection, by=trader, credentials=making.credentials())
    assert connection.tests.count() <= replacing.TRIES_PER_MINUTE + 1


def test_new_key_of_an_unknown_account_is_taken_with_a_warning(connection, trader):
    making.finish(connection, making.report())
    replacing.replace_key(connection, by=trader, credentials=making.credentials())
    test = making.finish(connection, making.report(facts=KeyFacts(making.GOOD, True)))
    assert (test.outcome, test.warnings) == ("warnings", ["account_unknown"])
    assert connection.status == Connection.Status.WARNINGS


def test_whatever_an_exchange_sends_can_be_stored(connection):
    facts = KeyFacts(making.GOOD, True, ips=("1.2.3.4\x00", "\ud800"), uid="4\x002", label="\ud800")
    test = making.finish(connection, making.report(facts=facts, skew_ms=-(10**15)))
    assert "\x00" not in test.uid + test.label + "".join(test.ips)
    assert test.ips[0].startswith("1.2.3.4")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("act", ["replace", "discard", "delete", "pause", "ask"])
def test_services_and_worker_at_once_end_without_a_deadlock(trader, mexc, act):
    """On PostgreSQL both take row locks; on SQLite one waits for the other."""
    connection = making.connection(trader, mexc, "At once")
    making.finish(connection, making.report())
    making.asked_again(connection)
    claimed = worker._claim(str(connection.tests.open().get().pk))
    acts = {
        "replace": lambda: replacing.replace_key(
            connection, by=trader, credentials=making.credentials()
        ),
        "discard": lambda: replacing.discard_new_key(connection, by=connection.owner),
        "delete": lambda: services.delete(connection, by=connection.owner),
        "pause": lambda: services.pause(connection, by=connection.owner),
        "ask": lambda: services.request_test(connection, reason=Reason.USER),
    }
    errors: list[BaseException] = []

    def run(work) -> None:
        try:
            work()
        except services.TooSoon:
            pass  # the worker was first: its test has only just ended
        except BaseException as error:
            errors.append(error)
        finally:
            database.close()

    threads = [
        threading.Thread(target=run, args=(work,))
        for work in (acts[act], lambda: results.write(claimed, making.report()))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_same_key_sent_twice_at_once_is_saved_once(trader, mexc):
    key = making.credentials()
    outcomes: list[object] = []

    def send(name: str) -> None:
        try:
            outcomes.append(
                services.connect(owner=trader, exchange=mexc, name=name, credentials=key)
            )
        except (services.SameKey, services.NameTaken) as refusal:
            outcomes.append(refusal)
        finally:
            database.close()

    threads = [threading.Thread(target=send, args=(name,)) for name in ("One", "Two", "One")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 3
    assert Connection.objects.count() == 1
    assert sum(isinstance(outcome, services.SameKey) for outcome in outcomes) == 2
