"""The key that was replaced: kept sealed for a while, taken back, or destroyed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backfuture.accounts import own_data
from backfuture.accounts.models import User
from connections import (
    auditor,
    keyring,
    keyring_inventory,
    replacing,
    results,
    services,
    tasks,
    vault,
    worker,
)
from connections.events import AccessEvent
from connections.exchanges.base import Credentials, KeyFacts
from connections.models import Connection, ConnectionTest, Credential, Exchange, Thresholds
from connections.replacing import NotThere
from strategies.models import StrategyConfig
from tests import making
from tests.key_files import KeyFiles
from tests.test_keyring import at_once, together
from tests.test_replacing import HOUR, Kind, State, states, strategy, told


def went_back(connection: Connection) -> ConnectionTest | None:
    return replacing.go_back(connection, by=connection.owner, now=timezone.now())


def opened(key: Credential) -> Credentials:
    assert key.sealed is not None
    with vault.opened(key.sealed, key, event=AccessEvent(why="a test of the tests")) as found:
        return found


def age_of(key: Credential, **by: float) -> None:
    """As if it had been replaced so long ago."""
    assert key.replaced_at and key.destroy_at
    back = timedelta(**by)
    Credential.objects.filter(pk=key.pk).update(
        replaced_at=key.replaced_at - back, destroy_at=key.destroy_at - back
    )


def several(trader: User, mexc: Exchange, number: int) -> list[Connection]:
    """Connections with a replaced key each."""
    rows = [making.connection(trader, mexc, f"Connection {count}") for count in range(number)]
    for row in rows:
        making.finish(row, making.report())
        making.replaced(row)
    return rows


class TestWhileItIsKept:
    def test_nothing_opens_it(self, kept, working) -> None:
        making.age(working, minutes=1)
        test = ConnectionTest.objects.create(
            connection=working, credential=kept, reason=ConnectionTest.Reason.USER
        )
        worker.run_test(str(test.pk))
        test.refresh_from_db()
        assert (test.status, test.outcome) == (ConnectionTest.Status.DONE, "")
        assert told(Kind.OPENED) == []
        with pytest.raises(vault.SealedError), worker.opened(test, AccessEvent()):
            pass

    def test_sweeps_and_people_test_the_one_in_use(self, kept, working) -> None:
        new = working.credentials.get(state=State.ACTIVE)
        assert services.key_to_test(working) == new
        assert worker._keys_to_test([working]) == {working.pk: new}

    def test_it_may_be_entered_in_another_connection(self, working, trader, mexc) -> None:
        key = making.credentials()
        making.replaced(working, key)
        making.replaced(working)
        assert making.connection(trader, mexc, "Another", key).pk

    def test_it_is_no_key_that_is_used_twice(self, working, trader, stranger, mexc) -> None:
        key = making.credentials()
        making.replaced(working, key)
        making.replaced(working)
        other = making.connection(stranger, mexc, "Theirs", key)
        auditor.audit(now=timezone.now())
        assert not other.findings.filter(rule="same_key_elsewhere").exists()

    def test_rotation_seals_it_anew_and_the_inventory_counts_it(
        self, working, tmp_path, settings
    ) -> None:
        key = making.credentials()
        making.replaced(working, key)
        kept = making.replaced(working)
        KeyFiles(tmp_path, settings).add()
        assert (keyring_inventory.of_rows().rows, keyring.survey().stale) == (2, 2)
        assert list(keyring.rotation())[-1] == 2
        assert keyring.survey().stale == 0
        kept.refresh_from_db()
        assert opened(kept) == key


class TestGoingBack:
    def test_old_key_is_in_use_again_and_the_new_one_destroyed(self, connection) -> None:
        key = making.credentials()
        making.finish(connection, making.report())
        making.replaced(connection, key)
        kept = making.replaced(connection)
        new = connection.credentials.get(state=State.ACTIVE)
        test = went_back(connection)
        for row in (kept, new):
            row.refresh_from_db()
        assert (kept.state, kept.destroy_at, kept.replaced_at) == (State.ACTIVE, None, None)
        assert (new.state, new.sealed) == (State.RETIRED, None)
        assert opened(kept) == key
        assert (test.credential, test.reason) == (kept, ConnectionTest.Reason.USER)
        assert told(Kind.KEY_RESTORED, kept) == told(Kind.KEY_DISCARDED, new) == [""]
        assert told(Kind.CONNECTION_MOVED) == []

    def test_nothing_is_believed_of_it_before_its_test(self, working) -> None:
        ends = timezone.now() + 30 * 24 * HOUR
        facts = KeyFacts(making.GOOD, True, uid="42", expires_at=ends, created_at=timezone.now())
        replacing.replace_key(working, by=working.owner, credentials=making.credentials())
        making.finish(working, making.report(facts=facts))
        went_back(working)
        working.refresh_from_db()
        assert (working.status, working.permissions, working.uid) == ("new", {}, "42")
        known = ("ip_restricted", "key_expires_at", "key_created_at", "failing_since")
        assert [getattr(working, name) for name in known] == [None] * 4
        assert not working.known_permissions.ready_for
        making.finish(working, making.report())
        assert working.status == "connected"
        assert "spot" in working.known_permissions.ready_for

    def test_strategies_stay_as_they_are(self, kept, working) -> None:
        before = StrategyConfig.objects.filter(pk=strategy(working).pk).values().get()
        went_back(working)
        assert StrategyConfig.objects.values().get() == before

    def test_failing_key_that_comes_back_is_believed_to_fail_at_once(self, kept, working) -> None:
        went_back(working)
        making.finish(working, making.report("failed", problem="key_expired", facts=KeyFacts()))
        assert (working.problem, working.suspicion) == ("key_expired", "")

    def test_newer_key_on_trial_is_destroyed_too(self, kept, working) -> None:
        replacing.replace_key(working, by=working.owner, credentials=making.credentials())
        late = worker._claim(str(working.tests.open().get().pk))
        went_back(working)
        results.write(late, making.report())
        assert states(working) == ["active"]
        assert working.credentials.get(state=State.ACTIVE) == kept
        assert working.tests.open().get().credential == kept

    def test_late_result_of_the_new_key_says_nothing_of_the_old(self, kept, working) -> None:
        making.asked_again(working)
        late = worker._claim(str(working.tests.open().get().pk))
        went_back(working)
        results.write(late, making.report("failed", problem="invalid_key"))
        working.refresh_from_db()
        assert (working.status, working.problem) == ("new", "")
        assert working.tests.open().get().credential == kept

    def test_what_was_found_stands_until_the_test(self, working) -> None:
        open_key = KeyFacts(making.GOOD, False, uid="42")
        making.asked_again(working)
        making.finish(working, making.report("warnings", facts=open_key))
        making.age(working, minutes=2)
        replacing.replace_key(working, by=working.owner, credentials=making.credentials())
        making.finish(working, making.report("warnings", facts=open_key))
        auditor.audit(now=timezone.now())
        went_back(working)
        auditor.audit(now=timezone.now())
        assert working.findings.get(rule="no_ip_restriction").state == "open"

    def test_only_once(self, kept, working) -> None:
        went_back(working)
        with pytest.raises(NotThere):
            went_back(working)

    @pytest.mark.parametrize(("hours", "there"), [(23.9, True), (24.1, False)])
    def test_only_in_time(self, kept, working, hours, there) -> None:
        age_of(kept, hours=hours)
        assert bool(replacing.kept_key(working, now=timezone.now())) is there
        if not there:
            with pytest.raises(NotThere):
                went_back(working)
            assert states(working) == ["replaced", "active"]

    def test_never_without_one(self, working) -> None:
        with pytest.raises(NotThere):
            went_back(working)

    def test_not_to_a_key_that_is_used_elsewhere_by_now(self, working, trader, mexc) -> None:
        key = making.credentials()
        making.replaced(working, key)
        making.replaced(working)
        other = making.connection(trader, mexc, "Another", key)
        with pytest.raises(services.SameKey) as caught:
            went_back(working)
        assert caught.value.connection == other
        assert states(working) == ["replaced", "active"]

    def test_to_a_key_whose_secret_was_corrected(self, working) -> None:
        key = making.credentials()
        making.replaced(working, key)
        making.replaced(working, Credentials(key.api_key, "another secret"))
        went_back(working)
        assert states(working) == ["active"]

    def test_while_it_is_paused_the_test_follows_later(self, kept, working) -> None:
        services.pause(working, by=working.owner)
        working.refresh_from_db()
        assert went_back(working) is None
        working.refresh_from_db()
        assert (working.next_test_at, states(working)) == (None, ["active"])
        making.age(working, minutes=1)
        assert services.resume(working, by=working.owner).credential == kept

    def test_paused_by_staff_it_is_due_at_once(self, kept, working, mexc) -> None:
        mexc.paused = True
        mexc.save()
        working.refresh_from_db()
        assert went_back(working) is None
        working.refresh_from_db()
        assert working.next_test_at <= timezone.now()


class TestTheEnd:
    def ended(self, **later: float) -> int:
        return replacing.destroy_due(now=timezone.now() + timedelta(**later))

    def test_it_is_destroyed_when_its_time_is_up(self, kept, working) -> None:
        assert self.ended(hours=23.9) == 0
        assert self.ended(hours=24.1) == 1
        kept.refresh_from_db()
        assert (kept.state, kept.sealed, kept.destroy_at) == (State.RETIRED, None, None)
        assert kept.retired_at and kept.replaced_at
        event = AccessEvent.objects.get(kind=Kind.KEY_DESTROYED)
        assert (event.why, event.credential, event.connection) == ("in time", kept, working)
        assert (event.owner, event.actor, event.key_hint) == (working.owner, None, kept.hint)
        assert states(working) == ["active"]

    def test_once(self, kept) -> None:
        assert [self.ended(hours=25), self.ended(hours=25)] == [1, 0]
        assert len(told(Kind.KEY_DESTROYED)) == 1

    def test_key_that_was_taken_back_meanwhile_is_left_alone(
        self, kept, working, monkeypatch
    ) -> None:
        free = replacing._free

        def taken_back_before(ids):
            went_back(working)
            return free(ids)

        monkeypatch.setattr(replacing, "_free", taken_back_before)
        assert self.ended(hours=25) == 0
        kept.refresh_from_db()
        assert kept.state == State.ACTIVE and kept.sealed
        assert told(Kind.KEY_DESTROYED) == []

    def test_key_replaced_by_a_clock_that_was_ahead_is_not_kept_for_ever(self, kept) -> None:
        age_of(kept, days=-3650)
        assert self.ended() == 0
        kept.refresh_from_db()
        assert kept.destroy_at <= timezone.now() + 24 * HOUR
        assert self.ended(hours=24.1) == 1

    def test_page_promises_no_more_than_that(self, kept, working) -> None:
        age_of(kept, days=-3650)
        now = timezone.now()
        assert replacing.kept_key(working, now=now).until == now + 24 * HOUR

    def test_end_far_away_does_not_keep_it(self, kept) -> None:
        Credential.objects.filter(pk=kept.pk).update(destroy_at=timezone.now() + 9999 * HOUR)
        assert self.ended(hours=24.1) == 1

    def test_shorter_time_holds_for_what_is_kept_already(self, kept, working) -> None:
        age_of(kept, hours=3)
        Thresholds.objects.create(pk=1, replaced_kept_hours=2)
        assert replacing.kept_key(working, now=timezone.now()) is None
        assert self.ended() == 1

    def test_longer_time_does_not(self, kept) -> None:
        Thresholds.objects.create(pk=1, replaced_kept_hours=100)
        assert self.ended(hours=24.1) == 1

    def test_many_end_by_as_many_statements_as_one(
        self, kept, trader, mexc, django_assert_num_queries
    ) -> None:
        with CaptureQueriesContext(database) as few:
            assert self.ended(hours=25) == 1
        several(trader, mexc, 12)
        with django_assert_num_queries(len(few)):
            assert self.ended(hours=25) == 12
        assert len(told(Kind.KEY_DESTROYED)) == 13

    def test_many_end_batch_by_batch(self, trader, mexc, monkeypatch) -> None:
        monkeypatch.setattr(replacing, "BATCH", 2)
        several(trader, mexc, 5)
        assert self.ended(hours=25) == 5

    def test_owner_ends_it_at_once(self, kept, working) -> None:
        assert replacing.destroy_old_key(working, by=working.owner)
        kept.refresh_from_db()
        assert (kept.state, kept.sealed) == (State.RETIRED, None)
        assert told(Kind.KEY_DESTROYED, kept) == ["asked"]
        assert AccessEvent.objects.get(kind=Kind.KEY_DESTROYED).actor == working.owner
        assert not replacing.destroy_old_key(working, by=working.owner)
        assert working.credentials.get(state=State.ACTIVE)

    def test_deleting_the_connection_destroys_it(self, kept, working) -> None:
        services.delete(working, by=working.owner)
        assert not Credential.objects.exists()
        hints = AccessEvent.objects.filter(kind=Kind.CONNECTION_DELETED).values_list("key_hint")
        assert (kept.hint,) in hints and len(hints) == 2

    def test_pause_does_not_stop_its_time(self, kept, working) -> None:
        services.pause(working, by=working.owner)
        assert self.ended(hours=24.1) == 1


def test_every_minute_it_is_looked_for_behind_what_people_wait_for(settings) -> None:
    plan = settings.CELERY_BEAT_SCHEDULE["destroy-replaced-keys"]
    assert plan["task"] == tasks.destroy_replaced_keys.name
    assert plan["schedule"] <= 60
    assert settings.CELERY_TASK_ROUTES[plan["task"]] == {"queue": "notices"}


@pytest.mark.parametrize(("hours", "fine"), [(0, True), (168, True), (169, False)])
def test_staff_may_keep_none_or_keep_them_for_a_week(db, hours, fine) -> None:
    limits = Thresholds(pk=1, replaced_kept_hours=hours)
    with nullcontext() if fine else pytest.raises(ValidationError):
        limits.full_clean()


@at_once
class TestAtOnce:
    """On PostgreSQL all take row locks; on SQLite one waits for the other."""

    def going_back(self, connection: Connection) -> Callable[[], object]:
        def go() -> None:
            with suppress(NotThere):
                replacing.go_back(connection, by=connection.owner, now=timezone.now())

        return go

    def ending(self) -> int:
        return replacing.destroy_due(now=timezone.now() + 25 * HOUR)

    def check(self, connection: Connection) -> None:
        """One key is in use, and what is destroyed is so for good and on record."""
        assert connection.credentials.get(state=State.ACTIVE).sealed
        gone = connection.credentials.filter(state=State.RETIRED, sealed__isnull=True)
        destroyed = AccessEvent.objects.filter(
            connection=connection, kind__in=(Kind.KEY_DESTROYED, Kind.KEY_DISCARDED)
        )
        assert destroyed.count() == gone.count()
        assert set(destroyed.values_list("credential", flat=True)) == set(
            gone.values_list("pk", flat=True)
        )

    @pytest.mark.parametrize("turn", range(4))
    def test_going_back_and_the_end_of_its_time(self, trader, mexc, turn) -> None:
        (row,) = several(trader, mexc, 1)
        works = (self.going_back(row), self.ending)
        assert together(*works[:: 1 if turn % 2 else -1]) == []
        self.ending()  # it leaves a connection alone that somebody else has in hand
        assert row.credentials.filter(sealed__isnull=False).count() == 1
        self.check(row)

    def test_several_workers_destroy_each_once(self, trader, mexc, monkeypatch) -> None:
        monkeypatch.setattr(replacing, "BATCH", 3)
        rows = several(trader, mexc, 10)
        assert together(*[self.ending] * 3) == []
        self.ending()  # what was left because somebody else had it
        for row in rows:
            self.check(row)
        assert len(told(Kind.KEY_DESTROYED)) == 10

    def test_going_back_twice(self, trader, mexc) -> None:
        (row,) = several(trader, mexc, 1)
        assert together(*[self.going_back(row)] * 2) == []
        assert states(row) == ["active"] and len(told(Kind.KEY_RESTORED)) == 1
        self.check(row)

    def test_going_back_while_the_next_key_takes_over(self, trader, mexc) -> None:
        (row,) = several(trader, mexc, 1)
        making.age(row, minutes=2)
        replacing.replace_key(row, by=trader, credentials=making.credentials())
        claimed = worker._claim(str(row.tests.open().get().pk))
        work = (self.going_back(row), lambda: results.write(claimed, making.report()))
        assert together(*work) == []
        self.check(row)
        assert row.credentials.filter(state=State.PENDING).count() == 0

    def test_promotion_by_two_workers(self, trader, mexc) -> None:
        (row,) = several(trader, mexc, 1)
        making.age(row, minutes=2)
        replacing.replace_key(row, by=trader, credentials=making.credentials())
        slow = worker._claim(str(row.tests.open().get().pk))
        past = timezone.now() - timedelta(seconds=1)
        ConnectionTest.objects.filter(pk=slow.pk).update(lease_until=past)
        fresh = worker._claim(str(slow.pk))
        works = [lambda test=test: results.write(test, making.report()) for test in (slow, fresh)]
        assert together(*works, works[1]) == []
        assert states(row) == ["replaced", "active"] and len(told(Kind.KEY_SWITCHED)) == 2
        self.check(row)

    @pytest.mark.parametrize("whose", ["connection", "account"])
    def test_deleting_and_the_end_of_its_time(self, trader, mexc, whose) -> None:
        (row,) = several(trader, mexc, 1)
        ends = {
            "connection": lambda: services.delete(row, by=trader),
            "account": lambda: own_data.delete_account(trader),
        }
        assert together(ends[whose], self.ending, self.ending) == []
        assert not Credential.objects.exists()
