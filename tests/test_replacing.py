"""Replacing a key in place: tested beside the old one, switched at once, kept to go back to, and
destroyed when its time is up. What fails changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from connections import (
    replacing,
    results,
    services,
    worker,
)
from connections.events import AccessEvent
from connections.exchanges.base import KeyFacts, KeyReport, Permissions
from connections.models import Connection, ConnectionTest, Credential, Thresholds
from connections.replacing import NotThere
from strategies.models import StrategyConfig
from tests import making

Kind = AccessEvent.Kind
State = Credential.State
BOTH = Permissions(True, True, True, False, False, False)
OTHER = KeyFacts(making.GOOD, True, uid="43")
SILENT = KeyFacts(making.GOOD, True)
HOUR = timedelta(hours=1)


def tried(connection: Connection, report: KeyReport) -> ConnectionTest:
    """A new key is entered, and its test ends with `report`."""
    making.age(connection, minutes=2)
    replacing.replace_key(connection, by=connection.owner, credentials=making.credentials())
    return making.finish(connection, report)


def strategy(connection: Connection, market: str = "spot", enabled: bool = True) -> StrategyConfig:
    return StrategyConfig.objects.create(
        connection=connection,
        owner=connection.owner,
        name=f"On {market}",
        market=market,
        enabled=enabled,
    )


def states(connection: Connection) -> list[str]:
    keys = connection.credentials.exclude(state=State.RETIRED).order_by("created_at")
    return list(keys.values_list("state", flat=True))


def told(kind: AccessEvent.Kind, key: Credential | None = None) -> list[str]:
    """Why, for each event of a kind."""
    events = AccessEvent.objects.filter(kind=kind).order_by("pk")
    events = events.filter(credential=key) if key else events
    return list(events.values_list("why", flat=True))


class TestTakingOver:
    def test_old_key_is_kept_for_a_day_and_the_new_one_in_use(self, kept, working) -> None:
        assert states(working) == ["replaced", "active"]
        assert kept.destroy_at - kept.replaced_at == 24 * HOUR
        assert timedelta(0) <= timezone.now() - kept.replaced_at < timedelta(seconds=30)
        assert (kept.retired_at, kept.uid) == (None, "42")
        assert told(Kind.KEY_SWITCHED) == [""] and told(Kind.KEY_DESTROYED) == []

    def test_its_sealed_value_is_as_it_was(self, working) -> None:
        before = working.credentials.get().sealed.token(None)
        assert making.replaced(working).sealed.token(None) == before

    def test_strategies_keep_running(self, working) -> None:
        before = StrategyConfig.objects.filter(pk=strategy(working).pk).values().get()
        making.replaced(working)
        assert StrategyConfig.objects.values().get() == before
        assert before["enabled"] and "spot" in working.known_permissions.ready_for

    def test_staff_set_how_long(self, working) -> None:
        Thresholds.objects.create(pk=1, replaced_kept_hours=2)
        kept = making.replaced(working)
        assert kept.destroy_at - kept.replaced_at == 2 * HOUR

    def test_where_none_is_kept_it_is_destroyed_at_once(self, working) -> None:
        Thresholds.objects.create(pk=1, replaced_kept_hours=0)
        old = making.replaced(working)
        assert (old.state, old.sealed, old.destroy_at) == (State.RETIRED, None, None)
        assert told(Kind.KEY_DESTROYED, old) == ["not kept"]
        assert replacing.kept_key(working, now=timezone.now()) is None

    def test_key_that_never_worked_is_not_kept(self, connection) -> None:
        """Its secret is corrected: there is nothing to go back to."""
        making.finish(connection, making.report("failed", problem="bad_secret"))
        old = making.replaced(connection)
        assert (old.state, old.sealed) == (State.RETIRED, None)
        assert told(Kind.KEY_DESTROYED, old) == ["of no use"]

    def test_key_that_may_withdraw_is_not_kept(self, working) -> None:
        making.asked_again(working)
        withdraws = KeyFacts(Permissions(True, True, withdraw=True), True, uid="42")
        making.finish(working, making.report("refused", facts=withdraws))
        assert making.replaced(working).state == State.RETIRED

    def test_key_that_worked_once_is_kept_although_it_fails_now(self, working) -> None:
        for _ in range(2):
            making.asked_again(working)
            dead = making.report("failed", problem="key_expired", facts=KeyFacts())
            making.finish(working, dead)
        assert working.status == "failed"
        assert making.replaced(working).state == State.REPLACED

    def test_next_one_destroys_what_was_kept(self, kept, working) -> None:
        second = making.replaced(working)
        kept.refresh_from_db()
        assert (kept.state, kept.sealed) == (State.RETIRED, None)
        assert (second.state, states(working)) == (State.REPLACED, ["replaced", "active"])
        assert told(Kind.KEY_DESTROYED) == ["replaced again"]

    def test_next_one_that_fails_leaves_what_is_kept(self, kept, working) -> None:
        tried(working, making.report("failed", problem="bad_secret"))
        kept.refresh_from_db()
        assert kept.state == State.REPLACED and kept.sealed

    def test_two_workers_with_one_test_switch_once(self, working) -> None:
        replacing.replace_key(working, by=working.owner, credentials=making.credentials())
        slow = worker._claim(str(working.tests.open().get().pk))
        ConnectionTest.objects.filter(pk=slow.pk).update(
            lease_until=timezone.now() - timedelta(seconds=1)
        )
        fresh = worker._claim(str(slow.pk))
        for test in (slow, fresh, fresh):
            results.write(test, making.report())
        assert states(working) == ["replaced", "active"]
        assert len(told(Kind.KEY_SWITCHED)) == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"state": State.REPLACED},
            {"state": State.REPLACED, "replaced_at": timezone.now()},
            {"destroy_at": timezone.now()},
            {"state": State.RETIRED},
        ],
    )
    def test_database_refuses_a_key_without_its_end(self, connection, wrong) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            connection.credentials.update(**wrong)

    def test_database_refuses_a_second_replaced_key(self, kept, working) -> None:
        now = timezone.now()
        with pytest.raises(IntegrityError), transaction.atomic():
            working.credentials.active().update(
                state=State.REPLACED, replaced_at=now, destroy_at=now
            )


class TestFailing:
    @pytest.mark.parametrize(
        ("report", "problem"),
        [
            (making.report("failed", problem="bad_secret", facts=KeyFacts()), "bad_secret"),
            (making.report(facts=OTHER), "different_account"),
            (making.report(facts=KeyFacts(BOTH, False, uid="42")), "strategies_need_ips"),
            (
                making.report(facts=KeyFacts(making.GOOD, True, uid="42")),
                "strategies_need_more",
            ),
            (
                making.report("refused", facts=KeyFacts(Permissions(True, True, withdraw=True))),
                "withdrawal_enabled",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_it_leaves_everything_as_it_was(self, connection, report, problem) -> None:
        making.finish(connection, making.report(facts=KeyFacts(BOTH, True, uid="42")))
        strategy(connection)
        strategy(connection, "futures")
        Thresholds.objects.create(pk=1, require_ip_restriction=True)
        before = rows_of(connection)
        assert tried(connection, report).problem == problem
        assert rows_of(connection) == before
        replacing.discard_new_key(connection, by=connection.owner)
        assert rows_of(connection) == before

    def test_exchange_that_is_away_leaves_the_key_in_use(self, working) -> None:
        away = making.report("failed", problem="unavailable", facts=KeyFacts())
        tried(working, away)
        assert (states(working), working.status) == (["active", "pending"], "connected")


def rows_of(connection: Connection) -> dict[str, Any]:
    """Everything of a connection but the keys that never were in use, and the tests."""
    keys = connection.credentials.filter(retired_at=None).exclude(state=State.PENDING)
    sealed = [(key.sealed.token(None), key.revision) for key in keys]
    return {
        "connection": Connection.objects.filter(pk=connection.pk).values().get(),
        "keys": [list(keys.defer("sealed").values_list("pk", "state", "uid")), sealed],
        "strategies": list(connection.strategies.order_by("pk").values()),
        "findings": list(connection.findings.order_by("pk").values()),
    }


class TestWhatStrategiesNeed:
    @pytest.mark.parametrize(
        ("market", "enabled", "facts", "passes"),
        [
            ("spot", True, KeyFacts(making.GOOD, False, uid="42"), True),
            ("futures", True, KeyFacts(making.GOOD, True, uid="42"), False),
            ("futures", False, KeyFacts(making.GOOD, True, uid="42"), True),
            ("futures", True, KeyFacts(BOTH, None, uid="42"), True),
            ("spot", True, KeyFacts(Permissions(True, None), True, uid="42"), False),
        ],
    )
    def test_every_market_of_an_enabled_one(self, working, market, enabled, facts, passes) -> None:
        strategy(working, market, enabled)
        outcome = tried(working, making.report("warnings", facts=facts)).outcome
        assert (outcome, "replaced" in states(working)) == (
            ("warnings", True) if passes else ("failed", False)
        )

    @pytest.mark.parametrize(
        ("restricted", "passes"), [(True, True), (False, False), (None, False)]
    )
    def test_ip_restriction_where_it_is_required(self, working, restricted, passes) -> None:
        Thresholds.objects.create(pk=1, require_ip_restriction=True)
        strategy(working)
        facts = KeyFacts(making.GOOD, restricted, uid="42")
        assert tried(working, making.report(facts=facts)).problem == (
            "" if restricted else "strategies_need_ips"
        )

    def test_ip_restriction_is_not_asked_for_without_strategies(self, working) -> None:
        Thresholds.objects.create(pk=1, require_ip_restriction=True)
        assert tried(working, making.report(facts=KeyFacts(making.GOOD, False, uid="42"))).outcome

    def test_strategies_of_other_connections_need_nothing_here(self, working, trader, mexc) -> None:
        strategy(making.connection(trader, mexc, "Other"), "futures")
        assert tried(working, making.report()).outcome == "connected"

    def test_right_that_is_added_lets_it_pass(self, working) -> None:
        strategy(working, "futures")
        assert tried(working, making.report()).problem == "strategies_need_more"
        making.asked_again(working)
        making.finish(working, making.report(facts=KeyFacts(BOTH, True, uid="42")))
        assert states(working) == ["replaced", "active"]


class TestAnotherAccount:
    @pytest.fixture
    def asked(self, working: Connection) -> Connection:
        tried(working, making.report(facts=OTHER))
        return working

    def confirm(self, connection: Connection, uid: str = "43") -> ConnectionTest | None:
        return replacing.confirm_account(connection, by=connection.owner, uid=uid)

    def test_confirmed_it_is_tested_again_and_taken(self, asked) -> None:
        new = asked.credentials.get(state=State.PENDING)
        test = self.confirm(asked)
        assert test.credential == new and test.is_open
        assert states(asked) == ["active", "pending"]
        making.finish(asked, making.report(facts=OTHER))
        assert (asked.uid, asked.status) == ("43", "connected")
        assert states(asked) == ["replaced", "active"]
        kept = asked.credentials.get(state=State.REPLACED)
        assert (kept.uid, asked.credentials.get(pk=new.pk).uid) == ("42", "")
        assert told(Kind.ACCOUNT_CONFIRMED, new) == told(Kind.CONNECTION_MOVED, new) == [""]

    @pytest.mark.parametrize("uid", ["", "42", "44", "43 ", "\0"])
    def test_only_the_account_that_was_found_can_be_confirmed(self, asked, uid) -> None:
        with pytest.raises(NotThere):
            self.confirm(asked, uid)
        assert not asked.tests.open().exists() and told(Kind.ACCOUNT_CONFIRMED) == []

    def test_without_a_new_key_there_is_nothing_to_confirm(self, asked) -> None:
        replacing.discard_new_key(asked, by=asked.owner)
        with pytest.raises(NotThere):
            self.confirm(asked)

    def test_deleted_while_the_exchange_was_asked_nothing_is_written(self, asked) -> None:
        self.confirm(asked)
        claimed = worker._claim(str(asked.tests.open().get().pk))
        services.delete(Connection.objects.for_list().get(pk=asked.pk), by=asked.owner)
        results.write(claimed, making.report(facts=OTHER))
        assert told(Kind.KEY_SWITCHED) == []

    def test_third_account_is_asked_about_again(self, asked) -> None:
        self.confirm(asked)
        third = KeyFacts(making.GOOD, True, uid="44")
        assert making.finish(asked, making.report(facts=third)).problem == "different_account"
        assert asked.uid == "42"
        with pytest.raises(NotThere):
            self.confirm(asked)

    def test_the_connections_own_account_is_not_the_confirmed_one(self, asked) -> None:
        """Its owner said yes to another: what changed meanwhile is asked about."""
        self.confirm(asked)
        assert making.finish(asked, making.report()).problem == "different_account"

    def test_another_key_is_asked_about_again(self, asked) -> None:
        self.confirm(asked)
        assert tried(asked, making.report(facts=OTHER)).problem == "different_account"

    def test_silence_does_not_take_back_what_was_told(self, asked) -> None:
        making.asked_again(asked)
        assert making.finish(asked, making.report(facts=SILENT)).problem == "different_account"
        assert self.confirm(asked) is not None

    def test_confirmed_and_then_silent_it_is_taken_as_confirmed(self, asked) -> None:
        self.confirm(asked)
        assert making.finish(asked, making.report(facts=SILENT)).warnings == ["account_unknown"]
        assert asked.uid == "43"

    def test_it_must_be_enough_for_strategies_all_the_same(self, asked) -> None:
        strategy(asked, "futures")
        self.confirm(asked)
        test = making.finish(asked, making.report(facts=OTHER))
        assert (test.problem, asked.uid) == ("strategies_need_more", "42")

    def test_while_it_is_paused_no_test_is_made(self, asked) -> None:
        services.pause(asked, by=asked.owner)
        asked.refresh_from_db()
        assert self.confirm(asked) is None
        assert asked.credentials.get(state=State.PENDING).uid == "43"

    def test_without_end_it_cannot_be_asked(self, asked) -> None:
        with pytest.raises(services.TooSoon):
            for _ in range(10):
                self.confirm(asked)
                making.finish(asked, making.report(facts=KeyFacts(making.GOOD, True, uid="44")))
                asked.tests.update(uid="43")
        assert asked.tests.count() <= replacing.TRIES_PER_MINUTE + 2

    def test_going_back_leads_to_the_old_account(self, asked) -> None:
        loaded_before = Connection.objects.get(pk=asked.pk)
        self.confirm(asked)
        making.finish(asked, making.report(facts=OTHER, site="eu"))
        replacing.go_back(loaded_before, by=asked.owner, now=timezone.now())
        asked.refresh_from_db()
        assert (asked.uid, asked.site) == ("42", "")
        assert len(told(Kind.CONNECTION_MOVED)) == 2
