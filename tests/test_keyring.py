"""Rotation beside others who change the same rows: nothing waits, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connection as database
from django.db import transaction

from connections import keyring, keyring_inventory, replacing, results, services, vault, worker
from connections.exchanges.base import Credentials
from connections.models import AccessEvent, Connection, Credential
from tests import making
from tests.key_files import KeyFiles

KEY = Credentials("mx0canarycanary99", "a secret", "a passphrase")
at_once = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def new_keys(tmp_path, settings) -> KeyFiles:
    """The rows made before are under older keys."""
    files = KeyFiles(tmp_path, settings)
    files.add()
    return files


@pytest.fixture
def row_locks() -> None:
    if not database.features.has_select_for_update:
        pytest.skip("SQLite has no row locks: one writer waits for the other")


def opened(key: Credential) -> Credentials:
    with vault.opened(key.sealed, key, event=AccessEvent(why="a test of the tests")) as found:
        return found


def rotated() -> keyring.Run:
    run = keyring.rotation()
    for _ in run:
        pass
    return run


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Runs each in a thread of its own; the errors."""
    errors: list[BaseException] = []

    def one(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=one, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return errors


@contextmanager
def held(lock: Callable[[], object]):
    """Somebody else has locked what `lock` locks, as long as the block lasts."""
    has_it, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            lock()
            has_it.set()
            enough.wait(20)
        database.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert has_it.wait(20)
    try:
        yield
    finally:
        enough.set()
        thread.join(20)


class TestTheWorkerMeanwhile:
    def test_running_test_is_not_disturbed_by_a_rotation(self, trader, mexc, new_keys, settings):
        """The worker opens what it read when it claimed the test, and its result still counts."""
        row = making.connection(trader, mexc, "Mine", KEY)
        claimed = worker._claim(str(row.tests.open().get().pk))
        new_keys.add()
        assert rotated().anew == 1
        assert opened(claimed.credential) == KEY
        results.write(claimed, making.report())
        row.refresh_from_db()
        assert row.status == "connected"

    def test_new_key_that_passes_after_a_rotation_replaces_the_old_one(
        self, trader, mexc, new_keys
    ):
        row = making.connection(trader, mexc, "Mine")
        making.finish(row, making.report())
        replacing.replace_key(row, by=trader, credentials=KEY)
        claimed = worker._claim(str(row.tests.open().get().pk))
        new_keys.add()
        assert rotated().anew == 2
        results.write(claimed, making.report())
        active = row.credentials.get(state="active")
        assert (opened(active), active.revision) == (KEY, 2)

    def test_result_that_fails_after_a_rotation_is_of_the_key_it_was(self, connection, new_keys):
        claimed = worker._claim(str(connection.tests.open().get().pk))
        rotated()
        results.write(claimed, making.report("failed", problem="invalid_key"))
        connection.refresh_from_db()
        assert connection.problem == "invalid_key"


def test_nothing_is_written_that_does_not_open_to_the_same(connection, new_keys, monkeypatch):
    before = connection.credentials.get()
    seal = vault.seal
    monkeypatch.setattr(vault, "seal", lambda known, row: seal(KEY, row))
    run = rotated()
    assert (run.anew, run.problems.count) == (0, 1)
    assert "did not open to the same" in run.problems.named[0].reason
    assert opened(connection.credentials.get()) == opened(before)


def test_row_changed_since_it_was_read_is_not_written_over(connection, new_keys, monkeypatch):
    """Compare and swap, also where no row lock keeps others out; then it is tried again."""
    seal_anew, outcomes = keyring._seal_anew, []

    def somebody_is_faster_once(key, known, written):
        row = Credential.objects.filter(pk=key.pk)
        row.update(revision=1 if outcomes else 7)
        outcomes.append(seal_anew(key, known, written))
        if len(outcomes) == 1:
            assert row.get().revision == 7
            row.update(revision=1)
        return outcomes[-1]

    monkeypatch.setattr(keyring, "_seal_anew", somebody_is_faster_once)
    assert rotated().anew == 1
    assert outcomes == [keyring.Outcome.MISSED, keyring.Outcome.ANEW]
    assert keyring.survey().stale == 0


def test_key_destroyed_meanwhile_stays_destroyed(connection, new_keys, monkeypatch):
    announced = keyring.announced

    def deleted_between(ids, why):
        events = announced(ids, why)
        services.delete(connection, by=connection.owner)
        return events

    monkeypatch.setattr(keyring, "announced", deleted_between)
    run = rotated()
    assert (run.anew, run.problems.count) == (0, 0)
    assert not Connection.objects.exists()


def test_row_that_stays_busy_is_tried_again_and_then_named(connection, new_keys, monkeypatch):
    tries = []
    monkeypatch.setattr(keyring, "PAUSE", 0)
    monkeypatch.setattr(keyring, "announced", lambda ids, why: tries.append(ids) or {})
    run = rotated()
    assert len(tries) == keyring.ROUNDS
    assert [each.connection for each in run.problems.named] == [connection.pk]
    assert "Somebody else" in run.problems.named[0].reason


def test_many_rows_go_through_memory_in_small_parts(trader, mexc, new_keys, monkeypatch):
    for name in "abcde":
        making.connection(trader, mexc, name)
    monkeypatch.setattr(keyring_inventory, "MOST_NAMED", 2)
    assert [len(rows) for rows in keyring_inventory.chunks(2)] == [2, 2, 1]
    problems = keyring_inventory.Problems()
    for key in Credential.objects.all():
        problems.add(key, "a reason")
    assert (problems.count, len(problems.named)) == (5, 2)


def test_event_that_is_not_saved_opens_nothing(connection):
    with pytest.raises(ValueError, match="not saved"):
        keyring.Written(AccessEvent(why="unsaved"))


@at_once
def test_two_rotations_at_once_share_the_work(trader, mexc, tmp_path, settings):
    for number in range(30):
        making.connection(trader, mexc, f"Key {number}")
    KeyFiles(tmp_path, settings).add()
    runs = [keyring.rotation(batch=10) for _ in range(2)]
    assert together(*(lambda run=run: list(run) for run in runs)) == []
    runs.append(rotated())  # what each left to the other for too long
    assert sum(run.anew for run in runs) == 30
    assert set(Credential.objects.values_list("revision", flat=True)) == {2}
    proof = keyring.proof("a test of the tests")
    assert list(proof)[-1] == 30
    assert keyring.survey().stale == 0


@at_once
def test_rotation_and_services_at_once_end_without_a_deadlock(trader, mexc, tmp_path, settings):
    rows = [making.connection(trader, mexc, f"Key {number}") for number in range(6)]
    for row in rows:
        making.finish(row, making.report())
    KeyFiles(tmp_path, settings).add()

    def edit() -> None:
        for row in rows:
            replacing.replace_key(row, by=trader, credentials=making.credentials())
            replacing.discard_new_key(row, by=trader)

    def rotate() -> None:
        for _ in range(3):
            list(keyring.proof("a test of the tests", batch=3))
            list(keyring.rotation(batch=3))

    assert together(edit, rotate) == []
    rotated()
    assert keyring.survey().stale == 0


@at_once
@pytest.mark.parametrize("what", ["connection", "owner", "key"])
def test_rotation_waits_for_nobody(row_locks, trader, mexc, tmp_path, settings, what, monkeypatch):
    """What somebody holds is passed over; a user never waits in a circle with a rotation."""
    busy, free = (making.connection(trader, mexc, name) for name in ("Busy", "Free"))
    KeyFiles(tmp_path, settings).add()
    monkeypatch.setattr(keyring, "PAUSE", 0)
    keys = Credential.objects.filter(connection=busy).select_for_update()
    locks = {
        "connection": lambda: services.lock(busy),
        "owner": lambda: services.lock_owner(trader),
        "key": lambda: list(keys),
    }
    with ExitStack() as stack:
        stack.enter_context(held(locks[what]))
        run = rotated()
        named = {each.connection for each in run.problems.named}
    assert named == ({busy.pk, free.pk} if what == "owner" else {busy.pk})
    assert rotated().problems.count == 0
    assert keyring.survey().stale == 0
