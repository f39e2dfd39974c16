"""What each role of staff may do at the desk, cell by cell, asked of the addresses themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.sites import site
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backfuture.accounts import roles, view_as
from backfuture.accounts.models import User
from backfuture.schedules import KNOWN
from connections.incidents import Incident
from connections.models import AccessEvent, Connection, Exchange, Finding, Notice, Thresholds
from strategies import pair_lists
from strategies.models import PairList, StrategyConfig
from tests import making

README = Path(__file__).resolve().parent.parent / "README.md"
PEOPLE = ("Support", "Support lead", "Operator", "Auditor", "superuser", "no role")
WHY = {"why": "ticket 4711"}


class Desk:
    """One person at the desk, who has said why, and what there is to act on."""

    def __init__(self, who: str) -> None:
        make = User.objects.create_user
        self.trader = make("trader@example.com", "x")
        person = make("person@example.com", "x", is_staff=True, is_superuser=who == "superuser")
        if who in roles.ROLES:
            person.groups.add(Group.objects.get(name=who))
        self.client = making.say_why(making.desk(Client(), person), self.trader)
        mexc = Exchange.objects.get(code="mexc")
        self.connection = making.connection(self.trader, mexc, "Main")
        making.finish(self.connection, making.report())
        making.age(self.connection, minutes=1)
        self.finding = Finding.objects.create(connection=self.connection, rule="old", severity=20)
        self.strategy = StrategyConfig.objects.create(
            owner=self.trader, connection=self.connection, name="S", quote="USDT", enabled=True
        )
        pace = IntervalSchedule.objects.create(every=10, period="seconds")
        self.schedule = PeriodicTask.objects.create(name="tell", task="x", interval=pace)
        self.notice = Notice.objects.create(
            user=self.trader, kind="test", key="k", subject="Hello", text="Hello"
        )

        self.pair_list = PairList.objects.create(
            exchange=mexc, market="spot", problem=pair_lists.IMPLAUSIBLE
        )

    def sees(self, name: str, pk: Any = None) -> bool:
        page = "change" if pk else "changelist"
        answer = self.client.get(reverse(f"admin:{name}_{page}", args=[pk] if pk else []))
        assert answer.status_code in {200, 403}
        return bool(answer.status_code == 200)

    def act(self, name: str, action: str, row: Any) -> Any:
        sent = {"action": action, "_selected_action": [str(row.pk)], **WHY}
        return self.client.post(reverse(f"admin:{name}_changelist"), sent)

    def change(self, model: str, pk: Any, /, **sent: str) -> Any:
        return self.client.post(reverse(f"admin:{model}_change", args=[pk]), sent)

    def fresh(self, row: Any) -> Any:
        return type(row)._default_manager.get(pk=row.pk)


CONNECTION, FINDING = "connections_connection", "connections_finding"
STRATEGY, PAIR_LIST = "strategies_strategyconfig", "strategies_pairlist"


def sees(name: str) -> Callable[[Desk], bool]:
    return lambda desk: desk.sees(name)


def sees_one(name: str, which: str) -> Callable[[Desk], bool]:
    return lambda desk: desk.sees(name) and desk.sees(name, getattr(desk, which).pk)


def has_it_tested(desk: Desk) -> bool:
    desk.act(CONNECTION, "test_again", desk.connection)
    return bool(desk.connection.tests.filter(reason="staff").exists())


def acknowledges(desk: Desk) -> bool:
    desk.act(FINDING, "acknowledge", desk.finding)
    return bool(desk.fresh(desk.finding).state == "acknowledged")


def acknowledges_all(desk: Desk) -> bool:
    desk.act(CONNECTION, "acknowledge_findings", desk.connection)
    return bool(desk.fresh(desk.finding).state == "acknowledged")


def suppresses(desk: Desk) -> bool:
    desk.act(FINDING, "suppress", desk.finding)
    return bool(desk.fresh(desk.finding).state == "suppressed")


def writes_notes(desk: Desk) -> bool:
    desk.change(CONNECTION, desk.connection.pk, name="Main", notes="Called")
    return bool(desk.fresh(desk.connection).notes == "Called")


def renames(desk: Desk) -> bool:
    desk.change(CONNECTION, desk.connection.pk, name="Other")
    return bool(desk.fresh(desk.connection).name == "Other")


def pauses(desk: Desk) -> bool:
    desk.act(CONNECTION, "pause", desk.connection)
    by_list = desk.fresh(desk.connection).paused_at is not None
    Connection.objects.update(paused_at=None)
    answer = desk.change(CONNECTION, desk.connection.pk, name="Main", paused="on")
    assert by_list == (answer.status_code == 302) and by_list != (answer.status_code == 403)
    assert by_list == (desk.fresh(desk.connection).paused_at is not None)
    return by_list


def resumes(desk: Desk) -> bool:
    Connection.objects.update(paused_at=timezone.now())
    desk.act(CONNECTION, "resume", desk.connection)
    return bool(desk.fresh(desk.connection).paused_at is None)


def asks(desk: Desk) -> bool:
    desk.act(CONNECTION, "ask_to_replace", desk.connection)
    return bool(Notice.objects.filter(kind="replace").exists())


def exports(desk: Desk) -> bool:
    return bool(desk.act(CONNECTION, "download_report", desk.connection).streaming)


def switches_off(desk: Desk) -> bool:
    desk.act(STRATEGY, "switch_off", desk.strategy)
    return not desk.fresh(desk.strategy).enabled


def changes_exchange(desk: Desk) -> bool:
    sent = {"offered": "on", "position": "10", "notice": "Slow today", "server_ips": ""}
    desk.change("connections_exchange", "mexc", **sent)
    return bool(Exchange.objects.get(code="mexc").notice == "Slow today")


def changes_thresholds(desk: Desk) -> bool:
    Thresholds.objects.create(pk=1)
    numbers = {each.name: each.default for each in Thresholds._meta.fields if each.name != "id"}
    sent = {name: str(value) for name, value in numbers.items() if value is not False}
    desk.change("connections_thresholds", 1, **{**sent, "tests_kept_days": "31"})
    return Thresholds.current().tests_kept_days == 31


def changes_schedule(desk: Desk) -> bool:
    desk.change("django_celery_beat_periodictask", desk.schedule.pk, enabled="on", seconds="30")
    return bool(desk.fresh(desk.schedule).interval.every == 30)


def changes_account(desk: Desk) -> bool:
    desk.change("accounts_user", desk.trader.pk, is_active="on", is_staff="on")
    return bool(desk.fresh(desk.trader).is_staff)


def changes_role(desk: Desk) -> bool:
    group = Group.objects.get(name="Auditor")
    desk.change("auth_group", group.pk, name="Auditors")
    changed = bool(desk.fresh(group).name == "Auditors")
    assert changed == AccessEvent.objects.filter(kind="role_changed").exists()
    return changed


def downloads_diagnostics(desk: Desk) -> bool:
    path = reverse("admin:connections_connection_diagnostics", args=[desk.connection.pk])
    return bool(desk.client.post(path).headers["Content-Type"] == "application/json")


def sees_as_user(desk: Desk) -> bool:
    view_as.grant(desk.trader, now=timezone.now())
    path = reverse("admin:accounts_user_view_as", args=[desk.trader.pk])
    desk.client.post(path, {"reason": "ticket 4711"})
    return bool(desk.client.get("/connections/").context["user"] == desk.trader)


def accepts_shorter(desk: Desk) -> bool:
    desk.act(PAIR_LIST, "believe_shorter", desk.pair_list)
    return bool(desk.fresh(desk.pair_list).problem == pair_lists.BELIEVED)


def switches(desk: Desk) -> bool:
    """Asks for one, and confirms that of somebody else."""
    wish = {"scope": "all", "stop_use": "on", "reason": "A disk was copied"}
    desk.client.post(reverse("admin:connections_incident_add"), wish)
    asked = Incident.objects.exists()
    another = User.objects.create_superuser("another@example.com", "x")
    theirs = Incident.objects.create(scope="all", reason="x", asked_by=another)
    desk.client.post(reverse("admin:connections_incident_confirm", args=[theirs.pk]))
    assert asked == (desk.fresh(theirs).state == "running")
    return asked


# As README.md has it: the action, and who may. Superusers may whatever Django lets them.
TABLE: dict[str, tuple[Callable[[Desk], bool], str]] = {
    "see connections": (sees_one(CONNECTION, "connection"), "Support, Support lead, Auditor"),
    "see tests": (sees("connections_connectiontest"), "Support, Support lead, Auditor"),
    "see findings": (sees_one(FINDING, "finding"), "Support, Support lead, Auditor"),
    "see strategies": (sees_one(STRATEGY, "strategy"), "Support, Support lead, Auditor"),
    "see notices": (sees_one("connections_notice", "notice"), "Support, Support lead, Auditor"),
    "see users": (sees_one("accounts_user", "trader"), "Support, Support lead, Auditor"),
    "see exchanges and outages": (
        lambda desk: desk.sees("connections_exchange") and desk.sees("connections_outage"),
        "Support, Support lead, Operator, Auditor",
    ),
    "see access events": (
        sees("connections_accessevent"),
        "Support lead, Operator, Auditor",
    ),
    "see thresholds": (sees("connections_thresholds"), "Operator, Auditor"),
    "see schedules": (
        sees_one("django_celery_beat_periodictask", "schedule"),
        "Support, Support lead, Operator, Auditor",
    ),
    "see roles": (sees("auth_group"), "Auditor"),
    "see incidents": (sees("connections_incident"), "Operator, Auditor"),
    "download diagnostics": (downloads_diagnostics, "Support, Support lead, Auditor"),
    "see the site as a user who consents": (sees_as_user, "Support, Support lead"),
    "test again": (has_it_tested, "Support, Support lead"),
    "acknowledge findings": (acknowledges, "Support, Support lead"),
    "acknowledge all of a connection": (acknowledges_all, "Support, Support lead"),
    "write notes": (writes_notes, "Support, Support lead"),
    "suppress findings": (suppresses, "Support lead"),
    "rename a connection": (renames, "Support lead"),
    "pause a connection": (pauses, "Support lead"),
    "resume a connection": (resumes, "Support lead"),
    "ask for a new key": (asks, "Support lead"),
    "switch strategies": (switches_off, "Support lead"),
    "export": (exports, "Support lead, Auditor"),
    "change exchanges, notices to users": (changes_exchange, "Operator"),
    "change thresholds, retention": (changes_thresholds, "Operator"),
    "change schedules": (changes_schedule, "Operator"),
    "accept a shorter list of pairs": (accepts_shorter, "Operator"),
    "ask for and confirm incidents": (switches, "Operator"),
    "change accounts": (changes_account, ""),
    "change roles": (changes_role, ""),
}


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("action", TABLE)
def test_cell(db: None, action: str, who: str) -> None:
    does, may = TABLE[action]
    assert does(Desk(who)) == (who == "superuser" or who in may.split(", "))


# What each action of a list is called in the table.
ACTIONS = {
    CONNECTION: {
        "test_again": "test again",
        "pause": "pause a connection",
        "resume": "resume a connection",
        "ask_to_replace": "ask for a new key",
        "acknowledge_findings": "acknowledge all of a connection",
        "download_report": "export",
    },
    FINDING: {
        "acknowledge": "acknowledge findings",
        "snooze": "acknowledge findings",
        "suppress": "suppress findings",
    },
    STRATEGY: {"enable": "switch strategies", "switch_off": "switch strategies"},
    PAIR_LIST: {"believe_shorter": "accept a shorter list of pairs"},
}


def test_every_action_is_in_the_table() -> None:
    shown = {
        f"{m._meta.app_label}_{m._meta.model_name}": each for m, each in site._registry.items()
    }
    offered = {name: set(each.actions or ()) for name, each in shown.items() if each.actions}
    assert offered == {name: set(actions) for name, actions in ACTIONS.items()}
    assert {each for actions in ACTIONS.values() for each in actions.values()} <= set(TABLE)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_of_others_is_refused_at_the_address(db: None, name: str, who: str) -> None:
    """And not only passed over."""
    desk = Desk(who)
    rows: dict[str, Any] = {CONNECTION: desk.connection, FINDING: desk.finding}
    rows |= {STRATEGY: desk.strategy, PAIR_LIST: desk.pair_list}
    for action, cell in ACTIONS[name].items():
        may = who == "superuser" or who in TABLE[cell][1].split(", ")
        answer = desk.act(name, action, rows[name])
        assert (answer.status_code == 403) != may, action


@pytest.mark.parametrize("name", ACTIONS)
def test_what_can_be_no_row_is_not_found(db: None, name: str) -> None:
    sent = {"action": next(iter(ACTIONS[name])), "_selected_action": "nonsense", **WHY}
    answer = Desk("superuser").client.post(reverse(f"admin:{name}_changelist"), sent)
    assert answer.status_code == 404


@pytest.mark.parametrize("action", TABLE)
def test_readme_says_the_same(action: str) -> None:
    names = [name for name in PEOPLE if name in roles.ROLES]
    may = TABLE[action][1].split(", ")
    cells = " | ".join("yes" if name in may else "–" for name in names)
    assert f"| {action} | {cells} | yes |" in README.read_text()


def test_readme_names_no_other_action() -> None:
    rows = re.findall(r"^\| (.+?) \|(?: (?:yes|–) \|){5}$", README.read_text(), re.M)
    assert sorted(rows) == sorted(TABLE)


def test_groups_have_exactly_these_permissions(db: None) -> None:
    for name, rights in roles.ROLES.items():
        rows = Group.objects.get(name=name).permissions.select_related("content_type")
        assert {f"{row.content_type.app_label}.{row.codename}" for row in rows} == rights


@pytest.mark.parametrize("who", ["Support", "Support lead", "Operator", "Auditor"])
def test_home_tells_every_role_when_work_stands_still(db: None, who: str) -> None:
    home = Desk(who).client.get("/admin/").context["home"]
    assert len(home.schedules) == len(KNOWN)
    assert home.late and not home.nothing_to_do


def test_putting_roles_twice_takes_back_what_was_added(db: None) -> None:
    group = Group.objects.get(name="Auditor")
    group.permissions.add(Permission.objects.get(codename="change_user"))
    roles.put_roles(apps)
    assert not group.permissions.filter(codename="change_user").exists()


@pytest.mark.parametrize("model", ["credential", "noticechannel", "savedview"])
def test_no_permission_could_reveal_a_secret(db: None, model: str) -> None:
    assert not Permission.objects.filter(content_type__model=model).exists()
    assert not Permission.objects.filter(codename__contains="credential").exists()


@pytest.mark.parametrize("who", roles.ROLES)
def test_every_change_is_sent_with_a_token(db: None, who: str) -> None:
    """A form of another site, or one without the token, changes nothing."""
    desk = Desk(who)
    desk.client.handler.enforce_csrf_checks = True
    for name in (CONNECTION, FINDING, STRATEGY):
        assert desk.act(name, "pause", desk.connection).status_code == 403
    for path in ("/admin/views/save/", "/admin/views/1/forget/"):
        assert desk.client.post(path, {"name": "x", "path": "/admin/"}).status_code == 403
    assert desk.client.get("/admin/views/save/").status_code == 405


@pytest.mark.parametrize("action", ["pause", "test_again", "ask_to_replace", "download_report"])
def test_nothing_is_done_by_an_address_alone(db: None, action: str) -> None:
    desk = Desk("superuser")
    sent = {"action": action, "_selected_action": str(desk.connection.pk), **WHY}
    desk.client.get(reverse("admin:connections_connection_changelist"), sent)
    assert desk.fresh(desk.connection).paused_at is None
    assert not desk.connection.tests.filter(reason="staff").exists()
    assert not AccessEvent.objects.filter(kind="exported").exists()
