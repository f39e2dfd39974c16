"""Every act that matters leaves one event: who, what, when, from where and why. Nobody can change
or remove it, and its owner sees it. (What an account takes along: test_own_data.py.)"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.admin.sites import site
from django.core import mail
from django.db import DatabaseError, IntegrityError, transaction
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import worker
from connections.events import WrittenOnce
from connections.exchanges.base import KeyFacts
from connections.models import AccessEvent, Connection, Exchange
from tests import making

TABLE = "connections_accessevent"
PASSWORD = "a long enough password"
NEW_PASSWORD = "seven crimson otters juggle"
LINK = re.compile(r"https?://testserver(/\S+)")
HERE, STAFFS_PLACE = "198.51.100.7", "198.51.100.99"
AGENT, STAFFS_AGENT = "Mozilla/5.0 (Canary) Firefox/140.0", "Mozilla/5.0 (Staff) Firefox/140.0"
Kind = AccessEvent.Kind


@dataclass
class Scene:
    """A trader at HERE, support elsewhere, and a connection."""

    trader: User
    staff: User
    connection: Connection
    browser: Client
    desk: Client

    def on(self, page: str, /, **sent: str) -> Any:
        return self.browser.post(f"/connections/{self.connection.pk}/{page}/", sent)

    def tested(self) -> Connection:
        making.finish(self.connection, making.report())
        return self.connection

    def guest(self) -> Client:
        return Client(REMOTE_ADDR=HERE, HTTP_USER_AGENT=AGENT)

    def sign_in(self, password: str = PASSWORD) -> Client:
        guest = self.guest()
        guest.post("/accounts/login/", {"login": self.trader.email, "password": password})
        return guest

    def app(self) -> Callable[[float], str]:
        """From now on with an authenticator app, confirmed in this session."""
        app = making.totp(self.trader)
        self.browser.post("/accounts/2fa/reauthenticate/", {"code": app(0)})
        return app

    def admin(self, model: str, pk: Any, /, **sent: str) -> Any:
        return self.desk.post(reverse(f"admin:{model}_change", args=[pk]), sent)


@pytest.fixture
def scene(trader: User, staff: User, connection: Connection) -> Scene:
    for user in (trader, staff):
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    desk = Client(REMOTE_ADDR=STAFFS_PLACE, HTTP_USER_AGENT=STAFFS_AGENT)
    made = Scene(
        trader, staff, connection, Client(), making.say_why(making.desk(desk, staff), trader)
    )
    made.browser = made.sign_in()
    made.browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return made


NEW_KEY = {"api_key": "mx0vglTestTestTest", "secret": "0123456789abcdef0123456789abcdef"}


def reset(scene: Scene) -> None:
    guest = scene.guest()
    guest.post("/accounts/password/reset/", {"email": scene.trader.email})
    (link,) = LINK.findall(str(mail.outbox[-1].body))
    form = guest.get(link).url
    guest.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})


def set_up_app(scene: Scene) -> None:
    page = scene.browser.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    code = making.format_hotp_value(making.hotp_value(secret, int(making.time.time()) // 30))
    scene.browser.post("/accounts/2fa/totp/activate/", {"code": code})


def wrong_code(scene: Scene) -> None:
    app = scene.app()
    wrong = next(code for code in ("135790", "246801") if code not in (app(-30), app(0), app(30)))
    scene.sign_in().post("/accounts/2fa/authenticate/", {"code": wrong})


def change_password(scene: Scene) -> None:
    new = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    scene.browser.post("/accounts/password/change/", {"oldpassword": PASSWORD, **new})


def by_staff(scene: Scene, **sent: str) -> None:
    given = {"name": scene.connection.name, **sent}
    scene.admin("connections_connection", scene.connection.pk, **given)


def look(scene: Scene) -> None:
    scene.desk.get(reverse("admin:connections_connection_change", args=[scene.connection.pk]))


ELSEWHERE_FOUND = making.report(facts=KeyFacts(making.GOOD, True, uid="43"))


def other_account(scene: Scene) -> None:
    scene.tested()
    scene.on("replace", **NEW_KEY)
    making.finish(scene.connection, ELSEWHERE_FOUND)
    scene.on("replace/other-account", account="43")


TRADER, NOBODY, STAFF = "trader", "nobody", "staff"
# What is done, which kind it leaves, who did it, and why.
ACTS: dict[str, tuple[Callable[[Scene], Any], Kind, str, str]] = {
    "enter": (
        lambda s: s.browser.post("/connections/new/mexc/", {"name": "Another", **NEW_KEY}),
        *(Kind.KEY_ENTERED, TRADER, ""),
    ),
    "replace": (lambda s: s.on("replace", **NEW_KEY), Kind.KEY_REPLACED, TRADER, ""),
    "discard": (
        lambda s: (s.on("replace", **NEW_KEY), s.on("replace/discard")),
        *(Kind.KEY_DISCARDED, TRADER, ""),
    ),
    "new key passes": (lambda s: making.replaced(s.tested()), Kind.KEY_SWITCHED, NOBODY, ""),
    "go back": (
        lambda s: (making.replaced(s.tested()), s.on("replace/back")),
        *(Kind.KEY_RESTORED, TRADER, ""),
    ),
    "destroy": (
        lambda s: (making.replaced(s.tested()), s.on("replace/destroy")),
        *(Kind.KEY_DESTROYED, TRADER, "asked"),
    ),
    "confirm the account": (other_account, Kind.ACCOUNT_CONFIRMED, TRADER, ""),
    "move to the account": (
        lambda s: (other_account(s), making.finish(s.connection, ELSEWHERE_FOUND)),
        *(Kind.CONNECTION_MOVED, NOBODY, ""),
    ),
    "delete": (
        lambda s: s.on("delete", confirm=s.connection.name),
        *(Kind.CONNECTION_DELETED, TRADER, ""),
    ),
    "rename": (lambda s: s.on("rename", name="New name"), Kind.RENAMED, TRADER, ""),
    "pause": (lambda s: s.on("pause"), Kind.PAUSED, TRADER, ""),
    "resume": (lambda s: (s.on("pause"), s.on("resume")), Kind.RESUMED, TRADER, ""),
    "sign in": (lambda s: s.sign_in(), Kind.SIGNED_IN, TRADER, "new device"),
    "wrong password": (lambda s: s.sign_in("wrong"), Kind.SIGN_IN_FAILED, NOBODY, ""),
    "wrong password to confirm": (
        lambda s: s.browser.post("/accounts/reauthenticate/", {"password": "wrong"}),
        *(Kind.SIGN_IN_FAILED, NOBODY, ""),
    ),
    "sign out": (lambda s: s.browser.post("/accounts/logout/"), Kind.SIGNED_OUT, TRADER, ""),
    "end sessions": (
        lambda s: (s.sign_in(), s.browser.post("/accounts/sessions/")),
        *(Kind.SESSIONS_ENDED, TRADER, ""),
    ),
    "confirm": (
        lambda s: s.browser.post("/accounts/reauthenticate/", {"password": PASSWORD}),
        *(Kind.CONFIRMED, TRADER, "password"),
    ),
    "confirm by app": (lambda s: s.app(), Kind.CONFIRMED, TRADER, "totp"),
    "add app": (set_up_app, Kind.FACTOR_ADDED, TRADER, "totp"),
    "remove app": (
        lambda s: (s.app(), s.browser.post("/accounts/2fa/totp/deactivate/")),
        *(Kind.FACTOR_REMOVED, TRADER, "totp"),
    ),
    "new recovery codes": (
        lambda s: (s.app(), s.browser.post("/accounts/2fa/recovery-codes/generate/")),
        *(Kind.FACTOR_RESET, TRADER, ""),
    ),
    "wrong code": (wrong_code, Kind.FACTOR_FAILED, NOBODY, "totp"),
    "new password": (change_password, Kind.PASSWORD_CHANGED, TRADER, ""),
    "reset password": (reset, Kind.PASSWORD_RESET, NOBODY, ""),
    "add address": (
        lambda s: s.browser.post("/accounts/email/", {"action_add": "", "email": "b@example.com"}),
        *(Kind.EMAIL_CHANGED, TRADER, ""),
    ),
    "export": (lambda s: s.browser.post("/accounts/export/"), Kind.EXPORTED, TRADER, ""),
    "let support look": (
        lambda s: s.browser.post("/accounts/support/let-in/"),
        *(Kind.VIEW_GRANTED, TRADER, ""),
    ),
    "end the look": (
        lambda s: [s.browser.post(f"/accounts/support/{page}/") for page in ("let-in", "end")],
        *(Kind.VIEW_ENDED, TRADER, ""),
    ),
    "look by staff": (look, Kind.STAFF_LOOK, STAFF, "ticket 4711"),
    "rename by staff": (lambda s: by_staff(s, name="Theirs"), Kind.RENAMED, STAFF, "ticket 4711"),
    "pause by staff": (
        lambda s: by_staff(s, paused="on"),
        *(Kind.PAUSED, STAFF, "ticket 4711"),
    ),
    "resume by staff": (
        lambda s: (by_staff(s, paused="on"), by_staff(s, **{"initial-paused": "True"})),
        *(Kind.RESUMED, STAFF, "ticket 4711"),
    ),
    "notes by staff": (
        lambda s: by_staff(s, notes="Called him"),
        *(Kind.STAFF_ACTED, STAFF, "notes changed: ticket 4711"),
    ),
    "account by staff": (
        lambda s: s.admin("accounts_user", s.trader.pk, is_active="on", is_staff="on"),
        *(Kind.USER_CHANGED, STAFF, "is_staff: ticket 4711"),
    ),
}
BY_THE_WORKER = {"new key passes", "move to the account"}
# django-allauth tells of these when they are saved for good.
WHEN_SAVED = {"add app", "new recovery codes"}
COMMITTED = pytest.mark.django_db(transaction=True, serialized_rollback=True)
# These have tests of their own below.
ELSEWHERE = {
    Kind.OPENED,
    Kind.SIGNED_UP,
    Kind.EXCHANGE_CHANGED,
    Kind.ACCOUNT_DELETED,
    Kind.THRESHOLDS_CHANGED,  # test_hygiene_admin.py
    Kind.ROLE_CHANGED,  # test_roles.py
    Kind.SCHEDULE_CHANGED,  # test_desk_looks.py
    Kind.CHANNEL_ADDED,  # test_channels.py, as the two that follow
    Kind.CHANNEL_REMOVED,
    Kind.CHANNEL_OPENED,
    Kind.INCIDENT,  # test_incidents.py, as the one that follows
    Kind.KEY_REVOKED,
}


def test_every_kind_is_done_here() -> None:
    assert {kind for _, kind, _, _ in ACTS.values()} | ELSEWHERE == set(Kind)


@pytest.mark.parametrize(
    "act", [pytest.param(act, marks=COMMITTED if act in WHEN_SAVED else ()) for act in ACTS]
)
def test_act_leaves_its_event(scene: Scene, act: str) -> None:
    do, kind, who, why = ACTS[act]
    before = set(AccessEvent.objects.values_list("pk", flat=True))
    do(scene)
    event = AccessEvent.objects.exclude(pk__in=before).filter(kind=kind).last()
    assert event, list(AccessEvent.objects.exclude(pk__in=before))
    assert event.owner == scene.trader
    assert event.actor == {TRADER: scene.trader, STAFF: scene.staff, NOBODY: None}[who]
    assert timedelta(0) <= timezone.now() - event.at < timedelta(seconds=30)
    places = {STAFF: (STAFFS_PLACE, STAFFS_AGENT), TRADER: (HERE, AGENT)}
    place = (None, "") if act in BY_THE_WORKER else places.get(who, (HERE, AGENT))
    assert (event.ip, event.agent) == place
    assert event.why == why


def test_account_that_is_made_leaves_its_event(db: None) -> None:
    sent = {"email": "new@example.com", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    Client(REMOTE_ADDR=HERE, HTTP_USER_AGENT=AGENT).post("/accounts/signup/", sent)
    event = AccessEvent.objects.get(kind=Kind.SIGNED_UP)
    assert event.owner == event.actor == User.objects.get(email="new@example.com")
    assert (event.ip, event.agent) == (HERE, AGENT)


def test_switch_of_an_exchange_leaves_its_event(scene: Scene) -> None:
    sent = {"offered": "on", "paused": "on", "notice": "", "position": "100"}
    scene.admin("connections_exchange", "mexc", **sent)
    assert Exchange.objects.get(code="mexc").paused
    event = AccessEvent.objects.get(kind=Kind.EXCHANGE_CHANGED)
    assert (event.actor, event.owner, event.exchange) == (scene.staff, None, "mexc")
    assert "paused: True" in event.why and event.ip == STAFFS_PLACE


def test_opening_of_a_key_leaves_its_event(connection: Connection, simulator: Any) -> None:
    test = connection.tests.get()
    worker.run_test(str(test.pk))
    event = AccessEvent.objects.get(kind=Kind.OPENED)
    key = connection.credentials.get()
    assert (event.owner, event.connection, event.credential) == (connection.owner, connection, key)
    assert (event.key_hint, event.key_fingerprint) == (key.hint, key.fingerprint)
    assert event.why and event.exchange == "mexc" and event.ip is None


def test_password_set_by_staff_leaves_its_event(scene: Scene) -> None:
    path = reverse("admin:auth_user_password_change", args=[scene.trader.pk])
    sent = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    scene.desk.post(path, sent)
    event = AccessEvent.objects.filter(kind=Kind.PASSWORD_CHANGED).get()
    assert (event.actor, event.owner, event.ip) == (scene.staff, scene.trader, STAFFS_PLACE)
    assert event.why == "ticket 4711"


def test_password_is_not_set_without_a_reason(scene: Scene) -> None:
    unsaid = making.desk(Client(), scene.staff)
    path = reverse("admin:auth_user_password_change", args=[scene.trader.pk])
    sent = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert "/reason/" in unsaid.post(path, sent).url
    assert User.objects.get(pk=scene.trader.pk).check_password(PASSWORD)


def test_account_by_staff_writes_over_nothing_that_its_owner_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = reverse("admin:accounts_user_change", args=[scene.trader.pk])
    form = site._registry[User].get_form

    def meanwhile(*given: Any, **more: Any) -> Any:
        """The row is read by now."""
        owner = User.objects.get(pk=scene.trader.pk)
        owner.set_password(NEW_PASSWORD)
        owner.save()
        return form(*given, **more)

    monkeypatch.setattr(site._registry[User], "get_form", meanwhile)
    assert scene.desk.post(page, {"is_active": "on", "is_staff": "on"}).status_code == 302
    owner = User.objects.get(pk=scene.trader.pk)
    assert owner.is_staff and owner.check_password(NEW_PASSWORD)


class TestWrittenOnce:
    @pytest.fixture
    def event(self, connection: Connection) -> AccessEvent:
        return AccessEvent.objects.get(kind=Kind.KEY_ENTERED)

    @pytest.mark.parametrize(
        "change",
        [
            lambda e: e.save(),
            lambda e: e.save(force_update=True, update_fields=["why"]),
            lambda e: e.delete(),
            lambda e: AccessEvent.objects.update(why="else"),
            lambda e: AccessEvent.objects.filter(pk=e.pk).update(why="else"),
            lambda e: AccessEvent.objects.about(e.owner).update(why="else"),
            lambda e: AccessEvent.objects.bulk_update([e], ["why"]),
            lambda e: AccessEvent.objects.update_or_create(pk=e.pk, defaults={"why": "else"}),
            lambda e: AccessEvent.objects.all().delete(),
            lambda e: AccessEvent.objects.filter(pk=e.pk)._raw_delete("default"),
            lambda e: e.connection.access_events.update(why="else"),
            lambda e: e.connection.access_events.all().delete(),
            lambda e: AccessEvent(pk=e.pk, kind=e.kind, why="else").save(),
            lambda e: AccessEvent.objects.bulk_create(
                [AccessEvent(pk=e.pk, kind=e.kind, why="else")],
                update_conflicts=True,
                unique_fields=["pk"],
                update_fields=["why"],
            ),
        ],
    )
    def test_models_refuse(self, event: AccessEvent, change: Callable[[AccessEvent], Any]) -> None:
        before = list(AccessEvent.objects.values())
        event.why = "else"
        with pytest.raises((WrittenOnce, IntegrityError)), transaction.atomic():
            change(event)
        assert list(AccessEvent.objects.values()) == before

    @pytest.mark.skipif(database.vendor != "postgresql", reason="PostgreSQL holds it by a trigger")
    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE connections_accessevent SET why = 'else'",
            "UPDATE connections_accessevent SET at = now()",
            "UPDATE connections_accessevent SET kind = 'opened'",
            "UPDATE connections_accessevent SET ip = '203.0.113.1'",
            "UPDATE connections_accessevent SET owner_id = (SELECT max(id) FROM accounts_user)",
            "UPDATE connections_accessevent SET ip = NULL, why = 'else'",
            "DELETE FROM connections_accessevent",
            "TRUNCATE connections_accessevent",
            "TRUNCATE connections_connection CASCADE",
        ],
    )
    def test_postgresql_refuses(self, event: AccessEvent, staff: User, sql: str) -> None:
        before = list(AccessEvent.objects.values())
        with pytest.raises(DatabaseError, match="kept"), transaction.atomic():
            cursor = database.cursor()
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else it is refused for what waits
            cursor.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER access_events_are_not_emptied")
            cursor.execute(sql)
        assert list(AccessEvent.objects.values()) == before

    def test_row_that_it_is_about_may_go(self, event: AccessEvent) -> None:
        connection = event.connection
        assert connection is not None
        connection.delete()
        kept = AccessEvent.objects.get(pk=event.pk)
        assert (kept.connection, kept.credential) == (None, None)
        assert (kept.kind, kept.at, kept.key_hint) == (event.kind, event.at, event.key_hint)
