"""Breaks, recoveries, ends of keys and new findings: each told once, whoever looks how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backfuture.accounts import own_data
from backfuture.accounts.models import User
from connections import notice_making, telling
from connections.exchanges.problems import PROBLEMS, may_pass
from connections.models import Connection, Exchange, Finding, Notice, Thresholds
from connections.rules import RULES
from strategies import suspending
from tests import making, many, strategies_made
from tests.test_keyring import held
from tests.test_notice_making import AT_ONCE, at_once, prefer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HIGH, CRITICAL = Finding.Severity.HIGH, Finding.Severity.CRITICAL
SOFT = [code for code in PROBLEMS if may_pass(code)]
HARD = [code for code in PROBLEMS if not may_pass(code)]
WORKS = {"status": "connected", "problem": "", "failing_since": None}


def row(owner: User, exchange: Exchange, name: str = "Main", **fields: Any) -> Connection:
    """A connection that has worked until now, without a key."""
    given = {**WORKS, "tested_at": NOW, "last_ok_at": NOW - DAY, **fields}
    return Connection.objects.create(owner=owner, exchange=exchange, name=name, **given)


def becomes(connection: Connection, **fields: Any) -> None:
    Connection.objects.filter(pk=connection.pk).update(**fields)
    connection.refresh_from_db()


def fails(connection: Connection, problem: str = "invalid_key", since: datetime = NOW) -> None:
    status = "refused" if problem == "withdrawal_enabled" else "failed"
    becomes(connection, status=status, problem=problem, failing_since=since)


def runs(connection: Connection, name: str, *, enabled: bool = True) -> None:
    many.strategy(connection, name, enabled=enabled)


def kinds() -> list[str]:
    return list(Notice.objects.order_by("made_at", "pk").values_list("kind", flat=True))


@pytest.fixture
def working(trader: User, mexc: Exchange) -> Connection:
    return row(trader, mexc, "MEXC Spot Main")


class TestBreaks:
    def test_break_and_recovery_are_told_once_however_often_one_looks(self, working):
        fails(working)
        assert sum(telling.tell(now=NOW + n * HOUR) for n in range(50)) == 1
        becomes(working, **WORKS)
        later = NOW + 50 * HOUR
        assert sum(telling.tell(now=later + n * HOUR) for n in range(50)) == 1
        assert kinds() == ["break", "recovery"]
        working.refresh_from_db()
        assert working.told_failing_at is None

    def test_keys_of_notices_name_what_they_are_about(self, working):
        fails(working)
        telling.tell(now=NOW)
        becomes(working, **WORKS)
        telling.tell(now=NOW + HOUR)
        assert set(Notice.objects.values_list("key", "connection")) == {
            (f"break:{working.pk}:{NOW.isoformat()}", working.pk),
            (f"recovery:{working.pk}:{NOW.isoformat()}", working.pk),
        }

    def test_next_break_is_told_again(self, working):
        for n in range(3):
            fails(working, since=NOW + n * HOUR)
            telling.tell(now=NOW + n * HOUR)
            becomes(working, **WORKS)
            telling.tell(now=NOW + n * HOUR + MINUTE)
        assert kinds() == ["break", "recovery"] * 3

    def test_it_says_what_happened_why_and_what_to_do(self, trader, mexc, settings):
        settings.SITE_URL = "https://backfuture.example"
        User.objects.update(time_zone="Europe/Oslo")
        key = making.credentials()
        connection = making.connection(trader, mexc, "MEXC Spot Main", key)
        becomes(connection, last_ok_at=NOW - DAY)
        runs(connection, "Grid A")
        runs(connection, "Grid B")
        runs(connection, "Asleep", enabled=False)
        fails(connection)
        telling.tell(now=NOW)
        notice = Notice.objects.get()
        assert notice.subject == "MEXC Spot Main: Invalid API key"
        assert notice.link == f"https://backfuture.example/connections/{connection.pk}/"
        for words in (
            "MEXC Spot Main has not worked since 21 Nov 2026, 13:00 CET. Invalid API key. "
            "MEXC does not know this API key.",
            "Exchange: MEXC",
            f"API key: ends with {key.api_key[-4:]}",
            "Strategies that cannot trade until it works again: Grid A, Grid B.",
            "What to do:\n1. ",
        ):
            assert words in notice.text
        for secret in (key.api_key, key.secret, key.api_key[-6:], "Asleep"):
            assert secret not in notice.text + notice.subject

    @pytest.mark.parametrize("problem", [*PROBLEMS, "withdrawal_enabled", "never seen before"])
    def test_every_problem_has_words(self, working, problem):
        fails(working, problem, since=NOW - HOUR)
        assert telling.tell(now=NOW) == 1
        notice = Notice.objects.get()
        assert "What to do:\n1. " in notice.text
        assert not {"{", "}", "%"} & set(notice.subject + notice.text)

    def test_name_cannot_pass_for_a_line_of_ours(self, trader, mexc):
        fails(row(trader, mexc, "Main\nWhat to do: visit evil.example\r\nBcc: x"))
        telling.tell(now=NOW)
        notice = Notice.objects.get()
        assert "\nWhat to do: visit" not in notice.text
        assert "\n" not in notice.subject and "\r" not in notice.subject + notice.text

    def test_key_that_never_worked_is_no_news_to_whoever_entered_it(self, working):
        becomes(working, last_ok_at=None)
        fails(working)
        assert telling.tell(now=NOW + DAY) == 0
        becomes(working, **WORKS, last_ok_at=NOW + DAY)
        assert telling.tell(now=NOW + DAY) == 0

    def test_paused_connection_is_left_alone_until_it_goes_on(self, working):
        fails(working)
        becomes(working, paused_at=NOW)
        assert telling.tell(now=NOW) == 0
        becomes(working, paused_at=None)
        assert telling.tell(now=NOW) == 1

    def test_whoever_is_not_interested_is_not_told_later_either(self, working, trader):
        preferences = prefer(trader, off=["break"])
        fails(working)
        assert telling.tell(now=NOW) == 0
        preferences.off = []
        preferences.save()
        assert telling.tell(now=NOW + HOUR) == 0
        becomes(working, **WORKS)
        assert telling.tell(now=NOW + HOUR) == 1
        assert kinds() == ["recovery"]

    def test_hidden_suspicion_is_no_break(self, working):
        """A failure that a second test has not confirmed yet."""
        becomes(working, suspicion="invalid_key")
        assert telling.tell(now=NOW + DAY) == 0

    def test_the_whole_story_by_tests(self, trader, mexc):
        connection = making.connection(trader, mexc, "MEXC Spot Main")
        making.finish(connection, making.report())
        for outcome in ("failed", "failed", "failed", "connected", "connected"):
            making.asked_again(connection)
            problem = "" if outcome == "connected" else "invalid_key"
            making.finish(connection, making.report(outcome, problem=problem))
            telling.tell(now=timezone.now())
        assert kinds() == ["break", "recovery"]


class TestUrgency:
    @pytest.mark.parametrize("problem", HARD)
    def test_what_has_to_be_mended_is_told_at_once(self, working, problem):
        fails(working, problem)
        assert telling.tell(now=NOW) == 1
        assert not Notice.objects.get().urgent

    @pytest.mark.parametrize("problem", SOFT)
    def test_what_may_pass_is_told_when_patience_ends(self, working, problem):
        runs(working, "Grid A")
        fails(working, problem)
        assert telling.tell(now=NOW + 29 * MINUTE + timedelta(seconds=59)) == 0
        assert telling.tell(now=NOW + 30 * MINUTE) == 1
        assert not Notice.objects.get().urgent

    def test_patience_is_what_staff_have_set(self, working):
        Thresholds.objects.update_or_create(pk=1, defaults={"break_patience_minutes": 5})
        fails(working, "rate_limited")
        assert telling.tell(now=NOW + 4 * MINUTE) == 0
        assert telling.tell(now=NOW + 5 * MINUTE) == 1

    def test_nothing_passes_while_staff_have_paused_the_exchange(self, working):
        Exchange.objects.update(paused=True)
        fails(working, "unavailable")
        assert telling.tell(now=NOW + DAY) == 0
        becomes(working, problem="invalid_key")
        assert telling.tell(now=NOW + DAY) == 1

    def test_what_passed_in_time_is_never_told(self, working):
        fails(working, "unavailable")
        telling.tell(now=NOW + 10 * MINUTE)
        becomes(working, **WORKS)
        assert telling.tell(now=NOW + HOUR) == 0
        assert kinds() == []

    def test_key_that_may_withdraw_is_urgent(self, working):
        fails(working, "withdrawal_enabled")
        telling.tell(now=NOW)
        notice = Notice.objects.get()
        assert notice.urgent
        assert "withdraw" in notice.subject + notice.text

    @pytest.mark.parametrize(
        ("problem", "suspends"), [("unexpected", False), ("invalid_key", True)]
    )
    def test_broken_key_under_a_strategy_is_told_urgently_once(self, trader, problem, suspends):
        """By what suspends the strategy, or where nothing does, by the break itself."""
        connection = strategies_made.tested(trader)
        strategies_made.enabled(connection, "Grid A")
        for _ in range(2):
            making.asked_again(connection)
            making.finish(connection, making.report("failed", problem=problem))
        now = timezone.now()
        telling.tell(now=now)
        suspending.tell(now=now)
        urgent = Notice.objects.get(urgent=True)
        assert "Grid A" in urgent.text
        assert urgent.kind == ("suspended" if suspends else "break")
        assert kinds().count("break") == 1

    def test_what_grows_worse_is_told_once_more(self, working):
        """Nothing for you to do, we said; and then there was."""
        since = NOW - HOUR
        story = ["unavailable", "rate_limited", "invalid_key", "bad_secret", "withdrawal_enabled"]
        story += ["unavailable", "invalid_key", "withdrawal_enabled"]
        told = []
        for n, problem in enumerate(story):
            fails(working, problem, since)
            told.append(sum(telling.tell(now=NOW + n * MINUTE) for _ in range(3)))
        assert told == [1, 0, 1, 0, 1, 0, 0, 0]
        becomes(working, **WORKS)
        assert telling.tell(now=NOW + HOUR) == 1


class TestManyAtOnce:
    def test_as_many_queries_for_many_as_for_one(self, mexc):
        def queries(number: int) -> int:
            for n in range(number):
                owner = User.objects.create_user(f"{number}-{n}@example.com")
                connection = row(owner, mexc)
                runs(connection, "Grid A")
                fails(connection)
                connection = row(owner, mexc, "Other", told_failing_at=NOW - DAY)
            with CaptureQueriesContext(database) as seen:
                assert telling.tell(now=NOW) == 2 * number
            assert not [query for query in seen if '"sealed"' in query["sql"]]
            return len(seen)

        assert queries(2) == queries(30) <= 40

    def test_quiet_times_cost_few_queries(self, working):
        with CaptureQueriesContext(database) as seen:
            assert telling.tell(now=NOW) == 0
        selects = [query for query in seen if query["sql"].startswith("SELECT")]
        assert len(selects) <= 6

    def test_all_are_told_however_many_there_are(self, mexc, monkeypatch):
        monkeypatch.setattr(notice_making, "BATCH", 3)
        for n in range(10):
            owner = User.objects.create_user(f"{n}@example.com")
            fails(row(owner, mexc, "One"))
            fails(row(owner, mexc, "Other"))
        assert telling.tell(now=NOW) == 20

    def test_a_call_has_an_end_and_the_next_one_goes_on(self, mexc, monkeypatch):
        monkeypatch.setattr(notice_making, "BATCH", 4)
        monkeypatch.setattr(notice_making, "RUN_S", 0)
        for n in range(7):
            fails(row(User.objects.create_user(f"{n}@example.com"), mexc))
        assert [telling.tell(now=NOW) for _ in range(3)] == [4, 3, 0]

    @AT_ONCE
    def test_several_workers_at_once_tell_each_thing_once(self, trader, stranger, mexc):
        for n in range(30):
            owner = (trader, stranger)[n % 2]
            fails(row(owner, mexc, f"Broken {n}"))
            row(owner, mexc, f"Mended {n}", told_failing_at=NOW - HOUR)
        at_once(*[lambda: telling.tell(now=NOW)] * 4)
        telling.tell(now=NOW + MINUTE)  # what they left to each other
        assert sorted(kinds()) == ["break"] * 30 + ["recovery"] * 30
        assert not Connection.objects.filter(name__startswith="Broken", told_failing_at=None)

    @AT_ONCE
    def test_account_deleted_meanwhile_hinders_nobody(self, trader, stranger, mexc):
        for n in range(20):
            fails(row((trader, stranger)[n % 2], mexc, f"Broken {n}"))
        at_once(lambda: telling.tell(now=NOW), lambda: own_data.delete_account(trader))
        telling.tell(now=NOW)
        assert kinds() == ["break"] * 10

    @AT_ONCE
    def test_connection_somebody_is_at_is_left_for_the_next_time(self, trader, mexc):
        if database.vendor == "sqlite":
            pytest.skip("locks whole databases")
        free, busy = row(trader, mexc, "Free"), row(trader, mexc, "Busy")
        fails(free)
        fails(busy)
        with held(lambda: Connection.objects.select_for_update().get(pk=busy.pk)):
            assert telling.tell(now=NOW) == 1
        assert telling.tell(now=NOW) == 1

    @AT_ONCE
    def test_call_that_dies_marks_nothing_as_told(self, trader, mexc, monkeypatch):
        fails(row(trader, mexc))
        with monkeypatch.context() as broken:
            broken.setattr(notice_making.NoticeDelivery.objects, "bulk_create", None)
            with pytest.raises(TypeError):
                telling.tell(now=NOW)
        assert kinds() == []
        assert telling.tell(now=NOW) == 1


def finding(connection: Connection, rule: str = "old", **fields: Any) -> Finding:
    given = {"severity": HIGH, "state": "open", "until": NOW, **fields}
    return Finding.objects.create(connection=connection, rule=rule, **given)


def ends(connection: Connection, days: float, rule: str = "expiring", **fields: Any) -> Finding:
    return finding(connection, rule, until=NOW + timedelta(days=days), **fields)


def steps() -> list[str]:
    notices = Notice.objects.filter(kind="expiry").order_by("made_at")
    return [key.rpartition(":")[2] for key in notices.values_list("key", flat=True)]


class TestEndings:
    @pytest.mark.parametrize(
        ("days", "step"),
        [
            (14.01, []),
            (14, ["14"]),
            (7.01, ["14"]),
            (7, ["7"]),
            (5, ["7"]),
            (1.01, ["7"]),
            (1, ["1"]),
            (0.1, ["1"]),
            (0, ["1"]),
            (-1, ["1"]),
            (-15, []),
        ],
    )
    @pytest.mark.parametrize("rule", telling.ENDINGS)
    def test_the_step_that_is_nearest_is_told(self, working, rule, days, step):
        ends(working, days, rule)
        telling.after_audit(now=NOW)
        assert steps() == step

    def test_each_step_is_told_once_on_the_way_to_the_end(self, working):
        found = ends(working, 20)
        for day in range(42):
            telling.after_audit(now=NOW + day * DAY / 2)
        assert steps() == ["14", "7", "1"]
        assert list(Notice.objects.order_by("made_at").values_list("key", "urgent")) == [
            (f"expiry:{working.pk}:expiring:{found.until.date()}:{step}", step == 1)
            for step in (14, 7, 1)
        ]

    def test_what_was_told_is_not_even_put_into_words_again(self, working, monkeypatch):
        ends(working, 5)
        telling.after_audit(now=NOW)
        monkeypatch.setattr(telling.notice_words, "ending", None)
        assert telling.after_audit(now=NOW) == 0

    def test_all_are_told_however_many_there_are(self, trader, mexc, monkeypatch):
        monkeypatch.setattr(telling, "BATCH", 3)
        for n in range(10):
            ends(row(trader, mexc, f"Main {n}"), 5)
        assert telling.after_audit(now=NOW) == 10

    def test_steps_are_what_staff_have_set(self, working):
        days = {"expiry_first_days": 30, "expiry_second_days": 20, "expiry_last_days": 3}
        Thresholds.objects.update_or_create(pk=1, defaults=days)
        ends(working, 2.5)
        telling.after_audit(now=NOW)
        assert steps() == ["3"]

    def test_it_names_the_strategies_that_would_stop_and_what_to_do(self, working):
        runs(working, "Grid A")
        ends(working, 6.5)
        telling.after_audit(now=NOW)
        notice = Notice.objects.get()
        assert notice.subject == "MEXC Spot Main: the key expires in 7 days"
        assert notice.connection == working
        for words in ("Grid A", "28 Nov 2026", "Exchange: MEXC", "What to do:\n1. ", "https://"):
            assert words in notice.text

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"state": "open"}, 1),
            ({"state": "acknowledged"}, 1),
            ({"state": "snoozed", "snoozed_until": NOW + DAY}, 0),
            ({"state": "snoozed", "snoozed_until": NOW}, 1),
            ({"state": "suppressed"}, 0),
            ({"state": "resolved"}, 0),
        ],
        ids=str,
    )
    def test_only_what_nobody_put_aside_is_told(self, working, fields, told):
        ends(working, 5, **fields)
        assert telling.after_audit(now=NOW) == told

    def test_another_date_is_told_anew(self, working):
        """A new key ended a renewal later."""
        found = ends(working, 5)
        telling.after_audit(now=NOW)
        Finding.objects.filter(pk=found.pk).update(until=NOW + 100 * DAY)
        assert telling.after_audit(now=NOW + 90 * DAY) == 1

    def test_an_end_is_not_told_again_as_a_finding(self, working):
        ends(working, 5, severity=CRITICAL)
        telling.after_audit(now=NOW)
        assert kinds() == ["expiry"]


class TestNews:
    def test_finding_is_told_once(self, working):
        finding(working)
        assert sum(telling.after_audit(now=NOW + n * HOUR) for n in range(20)) == 1
        notice = Notice.objects.get()
        assert notice.subject == "MEXC Spot Main: Old key"
        assert notice.connection == working
        for words in ("Old key (high)", "Connection: MEXC Spot Main", "What to do:\n1. "):
            assert words in notice.text

    @pytest.mark.parametrize("rule", RULES)
    def test_each_rule_is_told_once_at_most_and_by_one_kind(self, working, rule):
        finding(working, rule, detail="transfer", amount=2)
        told = telling.after_audit(now=NOW)
        kind = "expiry" if rule in telling.ENDINGS else "finding"
        assert kinds() == ([] if rule in {"withdraw_enabled", "failing"} else [kind])
        assert told == len(kinds())

    @pytest.mark.parametrize("fields", [{"severity": 20}, {"severity": 10}], ids=str)
    def test_what_is_less_than_high_is_left_to_the_summary(self, working, fields):
        finding(working, **fields)
        assert telling.after_audit(now=NOW) == 0

    @pytest.mark.parametrize("state", ["acknowledged", "suppressed", "resolved"])
    def test_what_is_not_open_is_not_told(self, working, state):
        finding(working, state=state)
        assert telling.after_audit(now=NOW) == 0

    def test_what_comes_back_or_grows_is_told_again_but_not_what_somebody_reopened(self, working):
        pk = finding(working).pk
        told = []
        for change in (
            {},
            {"state": "acknowledged"},
            {"state": "open"},  # by its owner
            {"severity": CRITICAL},
            {"severity": HIGH},
            {"state": "resolved"},
            {"state": "open", "regressions": 1},
            {"severity": CRITICAL},
        ):
            Finding.objects.filter(pk=pk).update(**change)
            told.append(telling.after_audit(now=NOW))
        assert told == [1, 0, 0, 1, 0, 0, 1, 1]

    def test_all_of_one_owner_come_in_one_notice_the_worst_first(self, trader, stranger, mexc):
        mine = [row(trader, mexc, f"Mine {n}") for n in range(3)]
        for connection in mine:
            finding(connection)
        finding(mine[2], "transfer_enabled", severity=CRITICAL)
        finding(row(stranger, mexc, "Not mine"))
        assert telling.after_audit(now=NOW) == 2
        notice = Notice.objects.get(user=trader)
        assert notice.subject == "4 new findings about your keys"
        assert notice.text.startswith("Transfers are enabled (critical)")
        assert notice.text.count("Old key (high)") == 3
        assert "Not mine" not in notice.text
        assert notice.urgent
        assert Notice.objects.get(user=stranger).subject == "Not mine: Old key"
        assert telling.after_audit(now=NOW) == 0

    def test_no_owner_is_split_by_a_batch(self, trader, stranger, mexc, monkeypatch):
        monkeypatch.setattr(notice_making, "BATCH", 1)
        for n in range(3):
            finding(row(trader, mexc, f"Mine {n}"))
            finding(row(stranger, mexc, f"Theirs {n}"))
        assert telling.after_audit(now=NOW) == 2

    def test_whoever_is_not_interested_is_not_told_later_either(self, working, trader):
        preferences = prefer(trader, off=["finding"])
        finding(working)
        assert telling.after_audit(now=NOW) == 0
        preferences.off = []
        preferences.save()
        assert telling.after_audit(now=NOW) == 0

    def test_long_lists_are_cut(self, trader, mexc):
        for n in range(13):
            finding(row(trader, mexc, f"Mine {n}"))
        telling.after_audit(now=NOW)
        notice = Notice.objects.get()
        assert notice.subject == "13 new findings about your keys"
        assert notice.text.count("Old key (high)") == 10
        assert "and 3 more" in notice.text


class TestAfterAudit:
    def test_only_the_connections_that_were_audited_are_looked_at(self, trader, mexc):
        one, other = row(trader, mexc, "One"), row(trader, mexc, "Other")
        for connection in (one, other):
            finding(connection)
            ends(connection, 5)
        assert telling.after_audit(now=NOW, connections=[]) == 0
        assert telling.after_audit(now=NOW, connections=[one.pk]) == 2
        assert set(Notice.objects.values_list("connection", flat=True)) == {one.pk}
        assert telling.after_audit(now=NOW) == 2

    def test_as_many_queries_for_many_as_for_one(self, mexc):
        def queries(number: int) -> int:
            for n in range(number):
                owner = User.objects.create_user(f"{number}-{n}@example.com")
                connection = row(owner, mexc)
                runs(connection, "Grid A")
                finding(connection)
                ends(connection, 5)
            with CaptureQueriesContext(database) as seen:
                assert telling.after_audit(now=NOW) == 2 * number
            return len(seen)

        assert queries(2) == queries(30)

    @AT_ONCE
    def test_several_workers_at_once_tell_each_thing_once(self, trader, stranger, mexc):
        for n in range(20):
            connection = row((trader, stranger)[n % 2], mexc, f"Main {n}")
            finding(connection)
            ends(connection, 5)
        at_once(*[lambda: telling.after_audit(now=NOW)] * 4)
        telling.after_audit(now=NOW)
        assert kinds().count("expiry") == 20
        texts = "".join(Notice.objects.filter(kind="finding").values_list("text", flat=True))
        assert Notice.objects.filter(kind="finding").count() == 2
        assert texts.count("Old key (high)") == 20

    def test_finding_that_is_inserted_past_the_model_counts_as_untold(self, working):
        """The auditor writes them with statements of its own."""
        finding(working)
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute(
                "INSERT INTO connections_finding (connection_id, rule, severity, state, amount,"
                " detail, first_seen_at, state_since, regressions)"
                " SELECT connection_id, 'transfer_enabled', severity, state, amount,"
                " detail, first_seen_at, state_since, regressions FROM connections_finding"
            )
        assert telling.after_audit(now=NOW) == 1
        assert "2 new findings" in Notice.objects.get().subject
