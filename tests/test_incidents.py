"""The incident switch: two people, exact scopes, nothing used while it is stopped, and work that
goes on after a crash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone

from backfuture.accounts.models import User
from connections import (
    auditor,
    channels,
    hooks,
    incident_asking,
    incident_work,
    keyring,
    replacing,
    results,
    schedule,
    sending,
    services,
    sweep,
    tasks,
    telling,
    worker,
)
from connections.events import AccessEvent
from connections.incident_asking import Refused, Wish
from connections.incidents import Incident, Scope, stops
from connections.models import (
    Connection,
    ConnectionTest,
    Credential,
    Exchange,
    Finding,
    Notice,
    NoticePreferences,
)
from connections.notices import Kind
from strategies import services as strategy_services
from strategies import suspending
from strategies.models import StrategyConfig, StrategyEvent
from strategies.services import NotSafe
from tests import making, strategies_made
from tests.key_files import KeyFiles
from tests.simulator import Simulator

State = Incident.State


def operator(email: str) -> User:
    user = User.objects.create_user(email, "x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="run_incident"))
    return user


@pytest.fixture
def anna(db: None) -> User:
    return operator("anna@example.com")


@pytest.fixture
def ben(db: None) -> User:
    return operator("ben@example.com")


@pytest.fixture
def world(trader: User, stranger: User) -> dict[str, Connection]:
    """Two people at two exchanges, all with a tested key; the trader's MEXC key runs a strategy."""
    made = {
        "mine": strategies_made.tested(trader, "Mine"),
        "elsewhere": strategies_made.tested(trader, "Elsewhere", exchange="kucoin", uid="7"),
        "theirs": strategies_made.tested(stranger, "Theirs", uid="8"),
        "far": strategies_made.tested(stranger, "Far", exchange="kucoin", uid="9"),
    }
    for name in ("mine", "theirs"):
        running = strategies_made.strategy(made[name], f"Ladder {name}")
        strategy_services.enable(running, by=running.owner, now=timezone.now())
    return made


def wish(scope: str = Scope.ALL, **more: Any) -> Wish:
    return Wish(scope=scope, reason="The worker's disk was copied", **more)


def confirmed(anna: User, ben: User, wished: Wish | None = None) -> Incident:
    incident = incident_asking.ask(wished or wish(), by=anna, now=timezone.now())
    incident_asking.confirm(incident, by=ben, now=timezone.now())
    return incident


def done(anna: User, ben: User, wished: Wish | None = None) -> Incident:
    incident = confirmed(anna, ben, wished)
    assert incident_work.run(incident.pk)
    incident.refresh_from_db()
    return incident


def rows(connection: Connection) -> list[Any]:
    """Everything of a connection that an incident may touch, sealed values as they stand."""
    keys = Credential.objects.filter(connection=connection).order_by("pk")
    return [
        Connection.objects.filter(pk=connection.pk).values().get(),
        list(keys.values("pk", "state", "revision", "retired_at", "hint")),
        [key.sealed.token(None) if key.sealed else None for key in keys],  # type: ignore[arg-type]
        list(ConnectionTest.objects.filter(connection=connection).values()),
        list(StrategyConfig.objects.filter(connection=connection).values()),
        AccessEvent.objects.filter(connection=connection).count(),
        Notice.objects.filter(user=connection.owner).count(),
    ]


def sealed(connection: Connection) -> int:
    return connection.credentials.filter(sealed__isnull=False).count()


class TestTwoPeople:
    def test_whole_playbook(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User
    ) -> None:
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        assert all(sealed(each) for each in world.values())
        incident_asking.confirm(incident, by=ben, now=timezone.now())
        assert stops().everything
        assert incident_work.run(incident.pk)
        incident.refresh_from_db()
        assert incident.state == State.DONE
        assert (incident.suspended, incident.told, incident.destroyed) == (2, 2, 4)
        assert not any(sealed(each) for each in world.values())
        revoked = AccessEvent.objects.filter(kind=AccessEvent.Kind.KEY_REVOKED)
        assert {event.connection_id for event in revoked} == {one.pk for one in world.values()}
        assert {event.actor for event in revoked} == {ben}
        steps = AccessEvent.objects.filter(kind=AccessEvent.Kind.INCIDENT).order_by("pk")
        said = [(event.actor, event.why.split(":")[0]) for event in steps]
        name = f"incident {incident.pk}"
        assert said == [
            (anna, f"{name} asked"),
            (ben, f"{name} confirmed"),
            (None, f"{name} done"),
        ]

    def test_who_asked_cannot_confirm(self, anna: User) -> None:
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.confirm(incident, by=anna, now=timezone.now())
        assert Incident.objects.get().state == State.ASKED
        assert not stops().everything

    def test_database_refuses_the_same_person_too(self, anna: User) -> None:
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        with pytest.raises(IntegrityError):
            Incident.objects.filter(pk=incident.pk).update(confirmed_by=anna)

    @pytest.mark.parametrize("who", ["no right", "no staff", "gone"])
    def test_without_the_right_nobody_does_anything(self, anna: User, ben: User, who: str) -> None:
        other = operator("carl@example.com")
        if who == "no right":
            other.user_permissions.clear()
        User.objects.filter(pk=other.pk).update(is_staff=who != "no staff", is_active=who != "gone")
        other = User.objects.get(pk=other.pk)
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        acts: list[Callable[..., Any]] = [incident_asking.confirm, incident_asking.withdraw]
        for act in acts:
            with pytest.raises(Refused):
                act(incident, by=other, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.ask(wish(), by=other, now=timezone.now())
        assert Incident.objects.get().state == State.ASKED

    def test_who_asked_must_still_be_allowed_when_another_confirms(
        self, anna: User, ben: User
    ) -> None:
        """One operator, and somebody who is none any more, are not two."""
        now = timezone.now()
        incident = incident_asking.ask(wish(destroy=False), by=anna, now=now)
        stopped = done(operator("carl@example.com"), ben, wish(destroy=False))
        incident_asking.ask_to_lift(stopped, by=anna, now=now)
        anna.user_permissions.clear()
        with pytest.raises(Refused, match="any more"):
            incident_asking.confirm(incident, by=ben, now=now)
        with pytest.raises(Refused, match="any more"):
            incident_asking.lift(stopped, by=ben, now=now)
        incident.refresh_from_db()
        assert incident.state == State.ASKED and stops().everything

    @pytest.mark.parametrize(("minutes", "fits"), [(29, True), (30, False), (-1, False)])
    def test_half_an_hour_is_left_to_confirm(
        self, anna: User, ben: User, minutes: int, fits: bool
    ) -> None:
        asked = timezone.now()
        incident = incident_asking.ask(wish(), by=anna, now=asked)
        later = asked + timedelta(minutes=minutes)
        if fits:
            incident_asking.confirm(incident, by=ben, now=later)
        else:
            with pytest.raises(Refused):
                incident_asking.confirm(incident, by=ben, now=later)
        assert stops().everything is fits

    @pytest.mark.parametrize("first", [True, False])
    def test_either_withdraws_before_it_is_confirmed(
        self, anna: User, ben: User, first: bool
    ) -> None:
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        incident_asking.withdraw(incident, by=anna if first else ben, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.confirm(incident, by=ben, now=timezone.now())
        assert incident_work.run(incident.pk)
        assert Incident.objects.get().state == State.WITHDRAWN

    def test_confirmed_is_confirmed(self, anna: User, ben: User) -> None:
        incident, carl = confirmed(anna, ben), operator("carl@example.com")
        for act in (incident_asking.confirm, incident_asking.withdraw):
            with pytest.raises(Refused):
                act(incident, by=carl, now=timezone.now())

    @pytest.mark.parametrize(
        "steps",
        [
            {"stop_use": False, "suspend": False, "tell": False, "destroy": False},
            {"suspend": False},
            {"tell": False},
        ],
    )
    def test_steps_have_to_make_sense(self, anna: User, steps: dict[str, bool]) -> None:
        with pytest.raises(Refused):
            incident_asking.ask(wish(**steps), by=anna, now=timezone.now())
        assert not Incident.objects.exists()

    def test_reason_is_asked_for(self, anna: User) -> None:
        with pytest.raises(Refused):
            incident_asking.ask(Wish(scope="all", reason="  "), by=anna, now=timezone.now())


class TestDryRun:
    def test_counts_each_step(self, world: dict[str, Connection]) -> None:
        making.asked_again(world["mine"])
        found = incident_work.forecast(wish().as_incident())
        assert found == incident_work.Forecast(
            connections=4, tests=1, strategies=2, owners=2, untold=0, keys=4
        )

    def test_counts_what_the_scope_holds(
        self, world: dict[str, Connection], trader: User, stranger: User
    ) -> None:
        at_mexc = incident_work.forecast(wish("exchange", exchange="mexc").as_incident())
        assert (at_mexc.connections, at_mexc.strategies, at_mexc.keys) == (2, 2, 2)
        of_one = incident_work.forecast(wish("owner", owner=trader).as_incident())
        assert (of_one.connections, of_one.strategies, of_one.owners) == (2, 1, 1)
        User.objects.filter(pk=stranger.pk).update(is_active=False)
        closed = incident_work.forecast(wish().as_incident())
        assert (closed.owners, closed.untold) == (1, 1)

    @pytest.mark.parametrize("scope", ["all", "exchange", "owner"])
    def test_counts_are_what_is_done(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User, scope: str
    ) -> None:
        making.asked_again(world["mine"])
        making.replaced(world["theirs"])
        User.objects.filter(email="stranger@example.com").update(is_active=scope != "all")
        of = {"exchange": {"exchange": "mexc"}, "owner": {"owner": trader}}.get(scope, {})
        counted = incident_work.forecast(wish(scope, **of).as_incident())
        incident = done(anna, ben, wish(scope, **of))
        assert (incident.dropped, incident.suspended, incident.told, incident.destroyed) == (
            counted.tests,
            counted.strategies,
            counted.owners,
            counted.keys,
        )
        assert counted.tests == 1 and counted.keys >= 2

    def test_changes_nothing(self, world: dict[str, Connection]) -> None:
        before = [rows(each) for each in world.values()]
        incident_work.forecast(wish().as_incident())
        assert [rows(each) for each in world.values()] == before
        assert not Incident.objects.exists()


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "inside"),
        [
            ("exchange", {"mine", "theirs"}),
            ("owner", {"mine", "elsewhere"}),
            ("all", {"mine", "elsewhere", "theirs", "far"}),
        ],
    )
    def test_is_kept_exactly(
        self,
        anna: User,
        ben: User,
        world: dict[str, Connection],
        trader: User,
        scope: str,
        inside: set[str],
    ) -> None:
        for connection in world.values():
            making.asked_again(connection)
        people = {world[name].owner_id for name in inside}
        before = {name: rows(each) for name, each in world.items()}
        exchange = "mexc" if scope == "exchange" else None
        owner = trader if scope == "owner" else None
        incident = done(anna, ben, wish(scope, exchange=exchange, owner=owner))
        assert incident.destroyed == incident.dropped == len(inside)
        assert incident.told == len(people)
        for name, connection in world.items():
            after = rows(connection)
            held = stops().hold(exchange=connection.exchange_id, owner=connection.owner_id)
            assert held is (name in inside)
            assert sealed(connection) == (name not in inside)
            if name not in inside:
                told = connection.owner_id in people  # about another connection of theirs
                assert after[:-1] == before[name][:-1]
                assert after[-1] == before[name][-1] + told

    def test_without_its_owner_it_holds_nobody(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User
    ) -> None:
        incident = confirmed(anna, ben, wish("owner", owner=trader))
        Incident.objects.filter(pk=incident.pk).update(owner=None)
        before = [rows(each) for each in world.values()]
        assert incident_work.run(incident.pk)
        assert [rows(each) for each in world.values()] == before
        assert not stops().owners

    def test_keys_entered_after_it_are_not_destroyed(
        self, anna: User, ben: User, connection: Connection
    ) -> None:
        incident = confirmed(anna, ben, wish(stop_use=False))
        later = making.connection(connection.owner, connection.exchange, "Later")
        assert incident_work.run(incident.pk)
        assert (sealed(connection), sealed(later)) == (0, 1)
        assert later.tests.open().exists()


class TestWhileUseIsStopped:
    def test_nothing_is_queued_claimed_or_swept(
        self, anna: User, ben: User, connection: Connection, simulator: Simulator
    ) -> None:
        waiting = connection.tests.open().get()
        confirmed(anna, ben, wish(destroy=False))
        Connection.objects.update(next_test_at=timezone.now())
        ConnectionTest.objects.filter(pk=waiting.pk).update(status="queued", finished_at=None)
        assert worker.run_test(str(waiting.pk)) is None
        assert schedule.exchanges_to_sweep(timezone.now()) == []
        assert not ConnectionTest.objects.waiting_too_long().exists()
        sweep.sweep("mexc", until=1e18)
        services.drop_open_tests(connection)
        assert not schedule.due(timezone.now()).exists()
        with pytest.raises(services.Stopped):
            services.request_test(connection, reason=ConnectionTest.Reason.USER)
        assert not AccessEvent.objects.filter(kind=AccessEvent.Kind.OPENED).exists()

    def test_worker_asks_last(
        self,
        anna: User,
        ben: User,
        connection: Connection,
        simulator: Simulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Confirmed between the claim and the opening."""
        claim = worker._claim

        def then_confirmed(test_id: str) -> ConnectionTest | None:
            test = claim(test_id)
            confirmed(anna, ben, wish(destroy=False))
            return test

        monkeypatch.setattr(worker, "_claim", then_confirmed)
        worker.run_test(str(connection.tests.open().get().pk))
        assert not AccessEvent.objects.filter(kind=AccessEvent.Kind.OPENED).exists()
        assert not connection.tests.open().exists()

    def test_sweeper_asks_last(
        self,
        anna: User,
        ben: User,
        world: dict[str, Connection],
        simulator: Simulator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Connection.objects.update(next_test_at=timezone.now())
        claim = worker.claim_due

        def then_confirmed(*given: Any) -> list[ConnectionTest]:
            tests = claim(*given)
            if not Incident.objects.exists():
                confirmed(anna, ben, wish("exchange", exchange="mexc", destroy=False))
            return tests

        monkeypatch.setattr(worker, "claim_due", then_confirmed)
        sweep.sweep("mexc", until=1e18)
        assert not AccessEvent.objects.filter(kind=AccessEvent.Kind.OPENED).exists()
        assert not ConnectionTest.objects.open().exists()

    def test_sweeper_asks_once_for_a_batch(
        self, world: dict[str, Connection], django_assert_num_queries: Any
    ) -> None:
        tests = [making.asked_again(each) for each in world.values()]
        found = list(ConnectionTest.objects.filter(pk__in=[one.pk for one in tests]))
        for test in found:
            assert test.connection.owner_id
        with django_assert_num_queries(1):
            assert worker.usable(found) == found

    def test_test_under_way_ends_without_a_result(
        self, anna: User, ben: User, connection: Connection
    ) -> None:
        test = worker._claim(str(connection.tests.open().get().pk))
        assert test is not None
        confirmed(anna, ben, wish(destroy=False))
        results.write(test, making.report())
        test.refresh_from_db()
        assert (test.status, test.outcome) == ("done", "")

    def test_test_under_way_is_dropped_when_its_key_is_destroyed(
        self, anna: User, ben: User, connection: Connection
    ) -> None:
        incident = confirmed(anna, ben, wish(stop_use=False))
        test = making.asked_again(connection)
        claimed = worker._claim(str(test.pk))
        assert claimed is not None
        assert incident_work.run(incident.pk)
        results.write(claimed, making.report())
        connection.refresh_from_db()
        assert (connection.status, connection.problem) == ("failed", "key_destroyed")
        assert ConnectionTest.objects.get(pk=test.pk).outcome == ""

    def test_no_key_is_taken(
        self, anna: User, ben: User, world: dict[str, Connection], mexc: Exchange, kucoin: Exchange
    ) -> None:
        confirmed(anna, ben, wish("exchange", exchange="mexc"))
        mine = world["mine"]
        with pytest.raises(services.Stopped):
            making.connection(mine.owner, mexc, "Another")
        with pytest.raises(services.Stopped):
            replacing.replace_key(mine, by=mine.owner, credentials=making.credentials())
        assert making.connection(mine.owner, kucoin, "Another")

    def test_paused_connection_resumes_without_a_test(
        self, anna: User, ben: User, connection: Connection
    ) -> None:
        services.pause(connection, by=connection.owner)
        confirmed(anna, ben, wish(destroy=False))
        connection.refresh_from_db()
        assert services.resume(connection, by=connection.owner) is None
        assert not connection.tests.open().exists()

    def test_the_vault_s_own_keys_are_changed_all_the_same(
        self,
        anna: User,
        ben: User,
        world: dict[str, Connection],
        trader: User,
        tmp_path: Path,
        settings: Any,
    ) -> None:
        """A leak may ask for exactly that. It is on record and brings nothing back."""
        incident = confirmed(anna, ben, wish("owner", owner=trader))
        KeyFiles(tmp_path, settings).add()
        rotation = iter(keyring.rotation(batch=1))
        next(rotation)
        while not incident_work.run(incident.pk):
            pass
        list(rotation)
        assert (sealed(world["mine"]), sealed(world["elsewhere"])) == (0, 0)
        assert (sealed(world["theirs"]), sealed(world["far"])) == (1, 1)
        assert not keyring.survey().stale
        rotated = AccessEvent.objects.filter(kind="opened", why="keys rotate")
        assert set(rotated.values_list("connection", flat=True)) >= {
            world["theirs"].pk,
            world["far"].pk,
        }
        assert not rotated.exclude(actor=None).exists()

    def test_owners_are_told_through_their_chat_service_all_the_same(
        self, anna: User, ben: User, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[str] = []
        monkeypatch.setattr(sending, "_tell", lambda address, *message: sent.append(address) or "")
        address = "jsons://chat.example.org/hook"
        channels.add(owner=connection.owner, name="Chat", address=address, now=timezone.now())
        done(anna, ben)
        sending.send_due(now=timezone.now() + timedelta(seconds=1))
        assert len(sent) == 1
        assert len(mail.outbox) == 1

    def test_no_strategy_can_be_enabled(
        self, anna: User, ben: User, world: dict[str, Connection]
    ) -> None:
        done(anna, ben, wish(destroy=False))
        strategy = StrategyConfig.objects.get(connection=world["mine"])
        with pytest.raises(NotSafe) as refusal:
            strategy_services.enable(strategy, by=strategy.owner, now=timezone.now())
        assert "stopped" in [reason.code for reason in refusal.value.reasons]

    def test_two_people_lift_it(self, anna: User, ben: User, world: dict[str, Connection]) -> None:
        incident, mine = done(anna, ben, wish(destroy=False)), world["mine"]
        with pytest.raises(Refused):
            incident_asking.lift(incident, by=ben, now=timezone.now())
        incident_asking.ask_to_lift(incident, by=anna, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.lift(incident, by=anna, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.lift(incident, by=ben, now=timezone.now() + timedelta(minutes=31))
        assert stops().everything
        incident_asking.lift(incident, by=ben, now=timezone.now())
        assert not stops().everything
        assert making.asked_again(mine)

    def test_it_is_not_lifted_before_it_is_done(self, anna: User, ben: User) -> None:
        incident = confirmed(anna, ben)
        incident_asking.ask_to_lift(incident, by=anna, now=timezone.now())
        with pytest.raises(Refused):
            incident_asking.lift(incident, by=ben, now=timezone.now())

    def test_destroyed_keys_stay_destroyed(
        self, anna: User, ben: User, world: dict[str, Connection]
    ) -> None:
        incident = done(anna, ben)
        incident_asking.ask_to_lift(incident, by=anna, now=timezone.now())
        incident_asking.lift(incident, by=ben, now=timezone.now())
        assert not any(sealed(each) for each in world.values())
        with pytest.raises(Credential.DoesNotExist):
            making.asked_again(world["mine"])


class TestOwners:
    def test_are_told_what_to_do_and_where(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User
    ) -> None:
        done(anna, ben)
        notice = Notice.objects.get(user=trader)
        assert notice.kind == Kind.INCIDENT
        assert notice.urgent
        for part in ("Mine", "Elsewhere", "Ladder mine", world["mine"].exchange.known.key_page):
            assert part in notice.text
        assert world["elsewhere"].exchange.known.key_page in notice.text
        assert "Theirs" not in notice.text
        assert "disk" not in notice.text + notice.subject  # the reason is the operators'

    def test_are_told_once_of_their_strategies(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User
    ) -> None:
        done(anna, ben)
        suspending.tell(now=timezone.now())
        telling.tell(now=timezone.now() + timedelta(hours=2))
        assert [notice.kind for notice in Notice.objects.filter(user=trader)] == [Kind.INCIDENT]

    def test_are_told_of_suspensions_where_nothing_else_tells_them(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User
    ) -> None:
        done(anna, ben, wish(tell=False, destroy=False))
        suspending.tell(now=timezone.now())
        suspending.tell(now=timezone.now())
        notice = Notice.objects.get(user=trader)
        assert notice.kind == Kind.SUSPENDED
        assert "may have leaked" in notice.text

    def test_cannot_switch_it_off_and_quiet_hours_do_not_hold_it_up(
        self, anna: User, ben: User, connection: Connection
    ) -> None:
        NoticePreferences.objects.create(
            user=connection.owner,
            by_email=False,
            off=[Kind.INCIDENT],
            quiet_from=time(0, 0),
            quiet_until=time(23, 59),
            urgent_in_quiet=False,
        )
        done(anna, ben)
        sending.send_due(now=timezone.now() + timedelta(seconds=1))
        assert [message.to for message in mail.outbox] == [[connection.owner.email]]

    def test_strategies_keep_the_reason(
        self, anna: User, ben: User, world: dict[str, Connection]
    ) -> None:
        done(anna, ben)
        for strategy in StrategyConfig.objects.all():
            assert (strategy.enabled, strategy.suspended_for) == (False, "incident")
            assert strategy.events.filter(kind=StrategyEvent.Kind.SUSPENDED).count() == 1

    def test_connection_without_its_key_says_so_and_takes_a_new_one(
        self, anna: User, ben: User, world: dict[str, Connection]
    ) -> None:
        incident, mine = done(anna, ben), world["mine"]
        auditor.audit(now=timezone.now())
        mine.refresh_from_db()
        assert (mine.status, mine.problem, mine.permissions) == ("failed", "key_destroyed", {})
        assert not mine.findings.exclude(state=Finding.State.RESOLVED).exists()
        incident_asking.ask_to_lift(incident, by=anna, now=timezone.now())
        incident_asking.lift(incident, by=ben, now=timezone.now())
        making.age(mine, minutes=5)
        replacing.replace_key(mine, by=mine.owner, credentials=making.credentials())
        making.finish(mine, making.report())
        assert mine.status == "connected"


class TestCrash:
    """Each batch, broken off in its middle, is as if it had not begun."""

    BROKEN = (
        (incident_work, "_count"),
        (incident_work, "make_all"),
        (incident_work, "_say_so"),
        (strategy_services, "_record"),
    )

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(("module", "name"), BROKEN, ids=[name for _, name in BROKEN])
    def test_run_again_ends_the_same_and_does_nothing_twice(
        self,
        anna: User,
        ben: User,
        world: dict[str, Connection],
        monkeypatch: pytest.MonkeyPatch,
        module: Any,
        name: str,
    ) -> None:
        self._small_batches(monkeypatch)
        incident, real, calls = confirmed(anna, ben), getattr(module, name), [0]

        def breaks(*given: Any, **more: Any) -> Any:
            """Every other call dies after its work, before the commit."""
            calls[0] += 1
            answer = real(*given, **more)
            if calls[0] % 2:
                raise KeyboardInterrupt
            return answer

        monkeypatch.setattr(module, name, breaks)
        for _ in range(30):
            try:
                if incident_work.run(incident.pk):
                    break
            except KeyboardInterrupt:
                pass
        assert calls[0] > 1
        self._check(incident, world)

    @pytest.mark.django_db(transaction=True)
    def test_run_by_two_at_once_does_nothing_twice(
        self, anna: User, ben: User, world: dict[str, Connection], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second comes in wherever the first has just looked for what is left."""
        self._small_batches(monkeypatch)
        incident, draw, halt = confirmed(anna, ben), incident_work._drafts, hooks.halt
        inside = [False]

        def and_another(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **more: Any) -> Any:
                if not inside[0]:
                    inside[0] = True
                    incident_work.run(incident.pk)
                return real(*given, **more)

            return call

        monkeypatch.setattr(incident_work, "_drafts", and_another(draw))
        monkeypatch.setattr(hooks, "halt", and_another(halt))
        assert incident_work.run(incident.pk)
        self._check(incident, world)

    def _small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incident_work, "AT_ONCE", 1)
        monkeypatch.setattr(suspending, "HALTED_AT_ONCE", 1)

    def _check(self, incident: Incident, world: dict[str, Connection]) -> None:
        incident.refresh_from_db()
        assert incident.state == State.DONE
        assert (incident.suspended, incident.told, incident.destroyed) == (2, 2, 4)
        kinds = AccessEvent.objects.filter(kind=AccessEvent.Kind.KEY_REVOKED)
        assert kinds.count() == 4
        assert Notice.objects.count() == 2
        assert StrategyEvent.objects.filter(kind=StrategyEvent.Kind.SUSPENDED).count() == 2
        assert not any(sealed(each) for each in world.values())


class TestDoors:
    def test_task_goes_on_until_all_are_done(
        self, anna: User, ben: User, world: dict[str, Connection], trader: User, stranger: User
    ) -> None:
        first = confirmed(anna, ben, wish("owner", owner=trader))
        second = confirmed(anna, ben, wish("owner", owner=stranger))
        tasks.run_incidents()
        tasks.run_incidents()
        assert set(Incident.objects.values_list("pk", "state")) == {
            (first.pk, "done"),
            (second.pk, "done"),
        }

    def test_command_lists_and_goes_on(
        self, anna: User, ben: User, world: dict[str, Connection], capsys: Any
    ) -> None:
        incident = confirmed(anna, ben)
        call_command("incident", "run", str(incident.pk))
        call_command("incident", "list")
        last = capsys.readouterr().out.splitlines()[-1]
        assert "done, stops use: 2 strategies suspended, 2 owners told, 4 keys destroyed" in last

    @pytest.mark.parametrize("known", [True, False])
    def test_command_goes_on_with_nothing_that_two_people_did_not_want(
        self, anna: User, connection: Connection, known: bool
    ) -> None:
        incident = incident_asking.ask(wish(), by=anna, now=timezone.now())
        with pytest.raises(CommandError):
            call_command("incident", "run", str(incident.pk if known else incident.pk + 1))
        assert sealed(connection) == 1


def test_account_that_ends_leaves_the_incident_without_a_name(
    anna: User, ben: User, world: dict[str, Connection], trader: User
) -> None:
    from backfuture.accounts import own_data

    incident = done(anna, ben, wish("owner", owner=trader))
    own_data.delete_account(trader)
    incident.refresh_from_db()
    assert (incident.owner, incident.state) == (None, State.DONE)


def test_moment_of_the_stop_is_the_confirmation(
    anna: User, ben: User, connection: Connection
) -> None:
    """Not the run of any task: the broker may be away."""
    test_id = str(connection.tests.open().get().pk)
    confirmed(anna, ben)
    assert worker.run_test(test_id) is None
    assert isinstance(Incident.objects.get().confirmed_at, datetime)
