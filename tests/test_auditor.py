"""The life of a finding, and an auditor that may run at any time, any number of times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext

from backfuture.accounts.models import User
from connections import audit_sql, hygiene, rule_sets
from connections.auditor import Tally, audit
from connections.exchanges import EXCHANGES
from connections.exchanges.base import Permissions
from connections.models import Connection, Finding, FindingChange, Thresholds
from connections.rules import RULES
from strategies.models import StrategyConfig
from tests import generated, row_by_row
from tests.many import NOW, SECOND, ago, ahead, change, everything, found, keyed, may

DAY = timedelta(days=1)
NOTHING = Tally()


def changes(finding: Finding) -> list[tuple[str, int, str | None]]:
    """Its states, severities and who said so, in order."""
    return list(finding.changes.values_list("state", "severity", "by__email"))


@pytest.fixture
def exposed(trader: User) -> Finding:
    """A finding: a key that works from any address."""
    return found(keyed(trader, ip_restricted=False))["no_ip_restriction"]


@pytest.fixture
def ending(trader: User) -> Finding:
    """A finding that grows more severe with time: a key that ends in ten days."""
    return found(keyed(trader, key_expires_at=ahead(days=10)))["expiring"]


class TestLife:
    def test_from_opening_to_coming_back(self, trader: User, staff: User):
        mine = keyed(trader, ip_restricted=False)
        assert audit(now=NOW) == Tally(opened=1)
        finding = mine.findings.get()
        assert (finding.state, finding.first_seen_at, finding.state_since) == ("open", NOW, NOW)

        hygiene.acknowledge(finding, by=trader, now=NOW + DAY)
        assert audit(now=NOW + DAY) == NOTHING

        hygiene.snooze(finding, by=staff, now=NOW + 2 * DAY, until=NOW + 9 * DAY)
        assert audit(now=NOW + 9 * DAY - SECOND) == NOTHING
        assert audit(now=NOW + 9 * DAY) == Tally(changed=1)
        finding.refresh_from_db()
        assert (finding.state, finding.snoozed_until) == ("open", None)
        assert finding.state_since == NOW + 9 * DAY

        change(mine, ip_restricted=True)
        assert audit(now=NOW + 10 * DAY) == Tally(resolved=1)
        finding.refresh_from_db()
        assert (finding.state, finding.regressions) == ("resolved", 0)

        change(mine, ip_restricted=False)
        assert audit(now=NOW + 11 * DAY) == Tally(reopened=1)
        again = mine.findings.get()
        assert again.pk == finding.pk
        assert (again.state, again.regressions) == ("open", 1)
        assert (again.first_seen_at, again.state_since) == (NOW, NOW + 11 * DAY)
        assert changes(again) == [
            ("open", 20, None),
            ("acknowledged", 20, trader.email),
            ("snoozed", 20, staff.email),
            ("open", 20, None),
            ("resolved", 20, None),
            ("open", 20, None),
        ]

    @pytest.mark.parametrize("state", ["acknowledged", "snoozed", "suppressed"])
    def test_a_fact_that_is_gone_ends_any_state(self, trader: User, exposed: Finding, state):
        set_state(exposed, state)
        change(exposed.connection, ip_restricted=True)
        assert audit(now=NOW) == Tally(resolved=1)
        exposed.refresh_from_db()
        assert (exposed.state, exposed.snoozed_until) == ("resolved", None)

    def test_every_return_is_counted(self, exposed: Finding):
        for day in range(1, 4):
            change(exposed.connection, ip_restricted=True)
            audit(now=NOW + day * DAY)
            change(exposed.connection, ip_restricted=False)
            audit(now=NOW + day * DAY + SECOND)
        exposed.refresh_from_db()
        assert exposed.regressions == 3

    def test_one_row_for_rule_and_connection(self, trader: User):
        for _ in range(3):
            keyed(trader, ip_restricted=False, key_expires_at=ahead(days=3))
        assert audit(now=NOW) == Tally(opened=6)
        assert Finding.objects.values("connection", "rule").distinct().count() == 6


class TestSeverity:
    def test_it_grows_as_the_end_comes_nearer(self, ending: Finding):
        assert audit(now=NOW + 3 * DAY) == Tally(changed=1)
        assert audit(now=NOW + 9 * DAY) == Tally(changed=1)
        assert changes(ending) == [("open", 20, None), ("open", 30, None), ("open", 40, None)]
        ending.refresh_from_db()
        assert ending.state_since == NOW

    @pytest.mark.parametrize("state", ["acknowledged", "snoozed"])
    def test_new_danger_is_seen_whatever_was_said(self, ending: Finding, state):
        set_state(ending, state)
        assert audit(now=NOW + 3 * DAY) == Tally(changed=1)
        ending.refresh_from_db()
        assert (ending.state, ending.severity, ending.snoozed_until) == ("open", 30, None)
        assert changes(ending)[1:] == [("open", 30, None)]

    def test_what_is_suppressed_stays_so(self, ending: Finding):
        set_state(ending, "suppressed")
        assert audit(now=NOW + 9 * DAY) == Tally(changed=1)
        ending.refresh_from_db()
        assert (ending.state, ending.severity) == ("suppressed", 40)

    @pytest.mark.parametrize("state", ["acknowledged", "snoozed"])
    def test_less_danger_changes_nothing_that_was_said(self, ending: Finding, state):
        audit(now=NOW + 9 * DAY)
        set_state(ending, state)
        change(ending.connection, key_expires_at=ahead(days=20))
        assert audit(now=NOW + 9 * DAY) == Tally(changed=1)
        ending.refresh_from_db()
        assert (ending.state, ending.severity) == (state, 20)

    def test_facts_change_without_a_word(self, ending: Finding):
        set_state(ending, "acknowledged")
        change(ending.connection, key_expires_at=ahead(days=9))
        assert audit(now=NOW) == Tally(changed=1)
        ending.refresh_from_db()
        assert (ending.state, ending.until) == ("acknowledged", ahead(days=9))
        assert ending.changes.count() == 1


class TestAgain:
    @pytest.mark.parametrize("some", [False, True])
    def test_a_second_audit_changes_nothing(self, trader: User, some: bool):
        generated.connections(60, NOW)
        audit(now=NOW)
        for number, finding in enumerate(Finding.objects.order_by("pk")):
            set_state(finding, ("open", "acknowledged", "snoozed", "suppressed")[number % 4])
        Connection.objects.filter(ip_restricted=False).update(ip_restricted=True)
        audit(now=NOW)
        before = everything()
        assert Finding.objects.filter(state="resolved").exists()
        ids = list(Connection.objects.values_list("pk", flat=True)) if some else None
        with CaptureQueriesContext(database) as queries:
            assert audit(now=NOW, connections=ids) == NOTHING
        assert everything() == before
        assert len(queries)

    def test_nothing_is_written_where_nothing_changed(self, exposed: Finding):
        written = []

        def look(execute: Any, sql: str, *rest: Any) -> Any:
            result = execute(sql, *rest)
            if sql in {audit_sql.CHANGE, audit_sql.OPEN, audit_sql.WRITE_DOWN}:
                written.append(rest[-1]["cursor"].rowcount)
            return result

        with database.execute_wrapper(look):
            audit(now=NOW)
        assert written == [0, 0, 0]

    def test_the_number_of_statements_does_not_depend_on_the_rows(self, trader: User):
        counts = set()
        for count in (3, 300):
            StrategyConfig.objects.all().delete()
            Connection.objects.all().delete()
            User.objects.exclude(pk=trader.pk).delete()
            generated.connections(count, NOW)
            ids = list(Connection.objects.values_list("pk", flat=True))
            for connections in (None, ids):
                with CaptureQueriesContext(database) as queries:
                    audit(now=NOW, connections=connections)
                counts.add((connections is None, len(queries)))
        assert len(counts) == 2
        assert max(count for _, count in counts) <= 14


class TestSome:
    def test_only_those_given_are_judged(self, trader: User):
        mine, other = (keyed(trader, ip_restricted=False) for _ in range(2))
        assert audit(now=NOW, connections=[mine.pk]) == Tally(opened=1)
        assert not other.findings.exists()
        Connection.objects.update(ip_restricted=True)
        other_before = audit(now=NOW, connections=[other.pk])
        assert other_before == NOTHING
        assert mine.findings.get().state == "open"
        assert audit(now=NOW, connections=[mine.pk, other.pk]) == Tally(resolved=1)

    def test_one_finds_what_all_find(self, trader: User):
        generated.connections(60, NOW)
        audit(now=NOW)
        facts = ("connection_id", "rule", "severity", "until", "amount", "detail", "state")
        at_once = sorted(Finding.objects.values_list(*facts), key=str)
        Finding.objects.all().delete()
        for pk in Connection.objects.values_list("pk", flat=True):
            audit(now=NOW, connections=[pk])
        assert sorted(Finding.objects.values_list(*facts), key=str) == at_once

    def test_none_are_none_and_not_all(self, trader: User):
        keyed(trader, ip_restricted=False)
        assert audit(now=NOW, connections=[]) == NOTHING
        assert not Finding.objects.exists()

    def test_one_that_is_deleted_is_no_harm(self, trader: User):
        mine = keyed(trader, ip_restricted=False)
        gone = mine.pk
        mine.delete()
        assert audit(now=NOW, connections=[gone]) == NOTHING


def test_the_sets_find_what_a_loop_over_objects_finds(trader: User, stranger: User):
    scattered([trader, stranger], 300)
    limits = Thresholds.current()
    looped = {
        (connection.pk, rule, facts)
        for connection in Connection.objects.select_related("exchange")
        for rule, facts in row_by_row.judge(connection, limits, NOW).items()
    }
    audit(now=NOW)
    assert looped == {
        (
            each.connection_id,
            each.rule,
            row_by_row.Found(each.severity, each.until, each.amount, each.detail),
        )
        for each in Finding.objects.all()
    }
    assert {rule for _, rule, _ in looped} == set(RULES)


def test_it_is_not_done_within_a_transaction(trader: User):
    with transaction.atomic(), pytest.raises(RuntimeError):
        audit(now=NOW)


def test_an_audit_that_breaks_leaves_nothing_behind(trader: User, monkeypatch):
    keyed(trader, ip_restricted=False)
    with monkeypatch.context() as broken, pytest.raises(Exception):  # noqa: B017
        broken.setattr(audit_sql, "WRITE_DOWN", "INSERT INTO nowhere VALUES (%s)")
        audit(now=NOW)
    assert not Finding.objects.exists()
    assert audit(now=NOW) == Tally(opened=1)


HALTED: tuple[dict[str, bool], ...] = (
    {"BTC/USDT": True, "ETH/USDT": True},
    {"BTC/USDT": True, "LUNA/USDT": False},
    {"ANC/USDT": False, "LUNA/USDT": False, "UST/USDT": False},
)


def scattered(owners: list[User], count: int) -> None:
    """Connections of which anything may be true, likely or not; always the same ones."""
    chance = random.Random(5)

    def once(span: float) -> datetime | None:
        return ago(days=chance.uniform(0, span)) if chance.random() < 0.7 else None

    def maybe() -> bool | None:
        return chance.choice((True, False, None))

    for _ in range(count):
        rights = {name: maybe() for name in Permissions.NAMES}
        spoken = once(100)
        keyed(
            chance.choice(owners),
            chance.choice(list(EXCHANGES)),
            strategies=chance.choices(("spot", "futures"), k=chance.choice((0, 0, 1, 1, 2, 3))),
            pairs=chance.choice((None, *HALTED)),
            key={
                "created_at": ago(days=chance.uniform(0, 120)),
                "last_used_at": once(100),
                "fingerprint": f"{chance.randrange(200):064}",
                "state": chance.choices(("active", "pending", "retired"), (8, 1, 1))[0],
            },
            status=chance.choice(("new", "connected", "warnings", "refused", "failed")),
            problem=chance.choice(("", "bad_secret", "unavailable")),
            permissions=may(**rights) if chance.random() < 0.9 else {},
            ip_restricted=maybe(),
            created_at=ago(days=chance.uniform(0, 3)),
            paused_at=chance.choice((None, None, NOW)),
            tested_at=spoken,
            last_ok_at=once(100),
            failing_since=chance.choice((None, once(3))),
            key_created_at=once(250),
            key_expires_at=chance.choice((None, None, ahead(days=chance.uniform(-5, 20)))),
        )


def set_state(finding: Finding, state: str) -> None:
    """As somebody left it, without a word in its history."""
    until = NOW + 60 * DAY if state == "snoozed" else None
    Finding.objects.filter(pk=finding.pk).update(state=state, snoozed_until=until)


def aside(work: Callable[[], Any]) -> Callable[[], Any]:
    """In a thread, with a connection of its own to the database."""

    def run() -> Any:
        try:
            return work()
        finally:
            database.close()

    return run


@contextmanager
def in_threads(*works: Callable[[], Any]) -> Iterator[list[Future[Any]]]:
    with ThreadPoolExecutor(len(works)) as threads:
        yield [threads.submit(aside(work)) for work in works]


@contextmanager
def before_statement(sql: str, work: Callable[[], Any]) -> Iterator[None]:
    """Does `work` elsewhere when an audit in this thread is about to send that statement."""

    def wait(execute: Any, statement: str, *rest: Any) -> Any:
        if statement == sql:
            with in_threads(work) as done:
                done[0].result(timeout=30)
        return execute(statement, *rest)

    with database.execute_wrapper(wait):
        yield


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_audits_make_no_finding_twice(self, trader: User):
        generated.connections(200, NOW)
        together = Barrier(4)

        def one() -> Tally:
            together.wait(timeout=30)
            return audit(now=NOW)

        with in_threads(one, one, one, one) as running:
            tallies = [each.result(timeout=60) for each in running]
        total = Finding.objects.count()
        assert sorted(each.opened for each in tallies) == [0, 0, 0, total]
        assert FindingChange.objects.count() == total

    def test_audits_of_some_beside_audits_of_all(self, trader: User):
        generated.connections(120, NOW)
        ids = list(Connection.objects.values_list("pk", flat=True))
        together = Barrier(4)

        def all_of_them() -> Tally:
            together.wait(timeout=30)
            return audit(now=NOW)

        def each_alone() -> Tally:
            together.wait(timeout=30)
            for pk in ids[:40]:
                audit(now=NOW, connections=[pk])
            return NOTHING

        def the_other_way_round() -> Tally:
            together.wait(timeout=30)
            return audit(now=NOW, connections=ids[::-1])

        works = (all_of_them, each_alone, the_other_way_round, all_of_them)
        with in_threads(*works) as running:
            for each in running:
                each.result(timeout=60)
        audit(now=NOW)  # those that were in use
        assert FindingChange.objects.count() == Finding.objects.count() > 0
        assert audit(now=NOW) == NOTHING


@pytest.mark.services
@pytest.mark.skipif(database.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
class TestMeanwhile:
    """What happens between an audit's look at all connections and its writing."""

    def test_what_is_in_use_is_left_to_the_next_audit(self, trader: User):
        held, free = (keyed(trader, ip_restricted=False) for _ in range(2))
        holding, audited = Event(), Event()

        def hold() -> None:
            with transaction.atomic():
                Connection.objects.select_for_update(no_key=True).get(pk=held.pk)
                holding.set()
                assert audited.wait(timeout=30)

        with in_threads(hold) as running:
            assert holding.wait(timeout=30)
            assert audit(now=NOW) == Tally(opened=1)  # and did not wait
            audited.set()
            running[0].result(timeout=30)
        assert free.findings.exists()
        assert not held.findings.exists()
        assert audit(now=NOW) == Tally(opened=1)

    def test_what_was_tested_since_is_left_to_the_audit_after_it(self, trader: User):
        mine = keyed(trader, ip_restricted=False)

        def test_finds_it_mended() -> None:
            change(mine, ip_restricted=True, tested_at=NOW)
            audit(now=NOW, connections=[mine.pk])

        with before_statement(audit_sql.LEAVE_OUT_WHAT_MOVES, test_finds_it_mended):
            assert audit(now=NOW) == NOTHING
        assert not Finding.objects.exists()

    def test_what_another_audit_opened_is_not_opened_twice(self, trader: User):
        mine = keyed(trader, ip_restricted=False)
        with before_statement(
            audit_sql.LEAVE_OUT_WHAT_MOVES, lambda: audit(now=NOW, connections=[mine.pk])
        ):
            assert audit(now=NOW) == NOTHING
        assert FindingChange.objects.count() == Finding.objects.count() == 1

    def test_what_another_audit_changed_is_written_down_once(self, trader: User):
        mine = keyed(trader, key_expires_at=ahead(days=10))
        finding = found(mine)["expiring"]
        later = NOW + 3 * DAY
        with before_statement(
            audit_sql.LEAVE_OUT_WHAT_MOVES, lambda: audit(now=later, connections=[mine.pk])
        ):
            assert audit(now=later) == NOTHING
        assert changes(finding) == [("open", 20, None), ("open", 30, None)]

    def test_all_are_judged_by_one_audit_at_a_time(self, trader: User):
        keyed(trader, ip_restricted=False)
        with ThreadPoolExecutor(1) as thread:
            second = []

            def begin_another() -> None:
                second.append(thread.submit(aside(lambda: audit(now=NOW))))
                assert somebody_waits(second[0])

            with before_statement(audit_sql.LEAVE_OUT_WHAT_MOVES, begin_another):
                assert audit(now=NOW) == Tally(opened=1)
            assert second[0].result(timeout=30) == NOTHING

    def test_a_connection_that_is_deleted_spoils_nothing(self, trader: User):
        gone, stays = (keyed(trader, ip_restricted=False) for _ in range(2))
        with before_statement(audit_sql.LEAVE_OUT_WHAT_MOVES, gone.delete):
            audit(now=NOW)
        assert list(Finding.objects.values_list("connection", flat=True)) == [stays.pk]

    def test_what_somebody_said_stands(self, trader: User):
        mine = keyed(trader, key_expires_at=ahead(days=10))
        finding = found(mine)["expiring"]
        set_state(finding, "acknowledged")
        later = NOW + 3 * DAY

        def suppress() -> None:
            hygiene.suppress(finding, by=trader, now=later, why="It is known")

        with before_statement(audit_sql.CHANGE, suppress):
            audit(now=later)
        finding.refresh_from_db()
        assert (finding.state, finding.severity) == ("suppressed", 20)
        assert [state for state, *_ in changes(finding)] == ["open", "suppressed"]
        audit(now=later)
        finding.refresh_from_db()
        assert (finding.state, finding.severity) == ("suppressed", 30)

    def test_who_snoozes_again_what_was_snoozed_until_now_is_heard(self, trader: User):
        mine = keyed(trader, key_expires_at=ahead(days=10))
        finding = found(mine)["expiring"]
        hygiene.snooze(finding, by=trader, now=NOW, until=NOW + DAY)
        later = NOW + DAY

        def snooze() -> None:
            hygiene.snooze(finding, by=trader, now=later, until=later + 3 * DAY)

        for statement in (audit_sql.LEAVE_OUT_WHAT_MOVES, audit_sql.CHANGE):
            with before_statement(statement, snooze):
                audit(now=later)
            finding.refresh_from_db()
            assert (finding.state, finding.snoozed_until) == ("snoozed", later + 3 * DAY)
            later += 3 * DAY
        said = [state for state, *_ in changes(finding)]
        assert said == ["open", "snoozed", "snoozed", "snoozed"]

    def test_what_somebody_reopens_meanwhile_is_written_down_once(self, trader: User):
        mine = keyed(trader, key_expires_at=ahead(days=10))
        finding = found(mine)["expiring"]
        hygiene.snooze(finding, by=trader, now=NOW, until=NOW + DAY)
        later = NOW + DAY

        def reopen() -> None:
            hygiene.reopen(finding, by=trader, now=later - timedelta(seconds=1))

        with before_statement(audit_sql.CHANGE, reopen):
            audit(now=later)
        assert [state for state, *_ in changes(finding)] == ["open", "snoozed", "open"]

    def test_an_audit_of_one_waits_for_its_test_and_sees_what_that_found(self, trader: User):
        mine = keyed(trader, ip_restricted=False)
        with ThreadPoolExecutor(1) as thread, transaction.atomic():
            Connection.objects.select_for_update(no_key=True).get(pk=mine.pk)
            judging = thread.submit(aside(lambda: audit(now=NOW, connections=[mine.pk])))
            assert somebody_waits(judging)
            change(mine, ip_restricted=True, tested_at=NOW)
        assert judging.result() == NOTHING


def somebody_waits(work: Future[Any]) -> bool:
    """Whether a lock is waited for, before `work` is done."""
    end = time.monotonic() + 20
    with database.cursor() as cursor:
        while not work.done() and time.monotonic() < end:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees it once
            cursor.execute(
                "SELECT COUNT(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return True
            time.sleep(0.01)
    return False


def test_moments_are_in_order():
    moments: dict[str, datetime] = rule_sets.moments(NOW, Thresholds())
    assert moments["very_old"] < moments["old"] < moments["unused"] < NOW
    assert NOW < moments["last_notice"] < moments["second_notice"] < moments["first_notice"]
    assert ago(days=2) == moments["at_rest"]
