"""Every address of the site, and what each kind of person gets there.

The addresses come from the URL resolver, django-allauth's and the admin's included: one that is
not in TABLE fails by its name. How people get into the admin is in test_ways_in.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backfuture.accounts.models import User
from connections import channels, vault
from connections.events import AccessEvent
from connections.exchanges.base import KeyFacts
from connections.incidents import Incident
from connections.models import Connection, Finding, FindingChange, Notice, Outage, Thresholds
from strategies.models import PairList
from tests import making, strategies_made

PEOPLE = ("anonymous", "other", "owner", "no right", "no factor", "superuser")
METHODS = {"GET": {}, "POST": {}, "HTMX": {"HX-Request": "true"}}

# What they get for "GET POST HTMX". "in" is the way to sign in, "go" any other redirect.
# "*" stands for whoever is not named.
SIGN_IN = {"anonymous": "in in in"}
KINDS: dict[str, dict[str, str]] = {
    "ANYBODY_IS_SENT_ON": {"*": "go go go"},
    "PUBLIC_PAGE": {"*": "200 405 200"},
    "PUBLIC_FORM": {"*": "200 200 200"},
    "PUBLIC_LINK": {"*": "200 404 200"},
    "FOR_GUESTS": {"anonymous": "200 200 200", "*": "go go go"},
    "STEP": {**SIGN_IN, "*": "go go go"},  # a stage of signing in, where nobody is
    "SIGN_OUT": {**SIGN_IN, "*": "200 in 200"},
    "OWN_PAGE": {**SIGN_IN, "*": "200 405 200"},
    "OWN_FORM": {**SIGN_IN, "*": "200 200|go 200"},
    "OWN_FORM_CONFIRMED": {**SIGN_IN, "*": "200 200|go 200", "no factor": "go go go"},
    # Staff cannot end their own account: who looked at what must stay known.
    "OWN_END": {**SIGN_IN, "*": "200 200 200", "superuser": "go go go"}
    | {"no right": "go go go", "no factor": "go go go"},
    "OWN_ACT_CONFIRMED": {**SIGN_IN, "*": "405 200 405", "no factor": "405 go 405"},
    "OWN_FACTOR": {**SIGN_IN, "*": "404 404|405 404"},  # nobody here has that one
    "MFA_CONFIRMED": {**SIGN_IN, "*": "go go go", "no right": "200|go|404 200|go|404 200|go|404"}
    | {"superuser": "200|go|404 200|go|404 200|go|404"},
    "APP_REMOVED": {**SIGN_IN, "*": "200 go 200", "no factor": "go go go"}
    | {"other": "404 404 404", "owner": "404 404 404"},
    "BY_PASSWORD": {**SIGN_IN, "*": "go go go", "other": "200 200 200", "owner": "200 200 200"},
    "BY_CODE": {**SIGN_IN, "*": "200 200 200", "other": "go go go", "owner": "go go go"},
    "CONNECTION_PAGE": {**SIGN_IN, "*": "404 405 404", "owner": "200 405 200"},
    "CONNECTION_FORM": {**SIGN_IN, "*": "404 404 404", "owner": "200 200 200"},
    "CONNECTION_ACT": {**SIGN_IN, "*": "405 404 405", "owner": "405 go 405"},
    "CONNECTION_FILE": {**SIGN_IN, "*": "405 404 405", "owner": "405 200 405"},
    "FINDING_ACT": {**SIGN_IN, "*": "405 404 405", "owner": "405 go 405"},
    "FINDING_FORM": {**SIGN_IN, "*": "405 404 405", "owner": "405 200 405"},
    "CHOICE": {**SIGN_IN, "*": "200 405 200", "owner": "go 405 go"},  # of one alone
    "PAIR_SEARCH": {**SIGN_IN, "*": "404 405 404", "owner": "go 405 200"},
    "CONNECTION_PANEL": {**SIGN_IN, "*": "404 404 404", "owner": "go go 200"},
    "OWN_ACT": {**SIGN_IN, "*": "405 go 405"},
    "CHANNEL_FORM": {**SIGN_IN, "*": "404 404 404", "owner": "200 go 200"},
    "CHANNEL_ACT": {**SIGN_IN, "*": "405 404 405", "owner": "405 go 405"},
    "ADMIN_DOOR": {**SIGN_IN, "*": "403 403 403", "superuser": "go go go"}
    | {"no right": "go go go", "no factor": "go go go"},
    "ADMIN_OUT": {"*": "go go go"},
    "ADMIN_HALL": {"*": "in in in", "no right": "200 200|405 200", "superuser": "200 200|405 200"},
    "ADMIN_SENT_ON": {"*": "in in in", "no right": "go go go", "superuser": "go go go"},
    "ADMIN_SWITCH": {"*": "in in in", "no right": "405 403 405", "superuser": "405 go 405"},
    "ADMIN_FILE": {"*": "in in in", "no right": "405 403 405", "superuser": "405 200 405"},
    "ADMIN_FORM": {"*": "in in in", "no right": "403 403 403", "superuser": "200 200 200"},
    "ADMIN_LIST": {"*": "in in in", "no right": "403 403 403", "superuser": "200 200 200"},
    "ADMIN_ROW": {"*": "in in in", "no right": "403 403 403", "superuser": "200 200|go|403 200"},
    "ADMIN_MAYBE": {"*": "in in in", "no right": "403 403 403"}
    | {"superuser": "200|403 200|403 200|403"},
    "ADMIN_REASON": {"*": "in in in", "no right": "403 403 403", "superuser": "200 200 200"},
    "ADMIN_ACT": {"*": "in in in", "no right": "405 404 405", "superuser": "405 404 405"},
    "ADMIN_CLOSED": {"*": "in in in", "no right": "403 405 403", "superuser": "403 405 403"},
    "ADMIN_APP": {"*": "in in in", "no right": "404 404 404", "superuser": "200 200 200"},
    "ADMIN_NOTHING": {"*": "in in in", "no right": "404 404 404", "superuser": "404 404 404"},
}
TABLE = {
    "ANYBODY_IS_SENT_ON": "home",
    "PUBLIC_PAGE": "account_inactive account_email_verification_sent account_reset_password_done "
    "account_reset_password_from_key_done",
    "PUBLIC_FORM": "account_reset_password account_reset_password_from_key",
    "PUBLIC_LINK": "account_confirm_email",
    "FOR_GUESTS": "account_login account_signup",
    "STEP": "account_confirm_login_code mfa_authenticate mfa_login_webauthn",
    "SIGN_OUT": "account_logout",
    "OWN_PAGE": "accounts:security accounts:activity accounts:confirm accounts:confirmed "
    "notices:list "
    "mfa_index mfa_list_webauthn connections:list connections:choose "
    "findings:list exchanges:list exchanges:detail strategies:list",
    "OWN_FORM": "account_email usersessions_list connections:new notices:settings "
    "notices:new_channel",
    "OWN_FORM_CONFIRMED": "account_change_password",
    "OWN_END": "accounts:delete",
    "OWN_ACT_CONFIRMED": "accounts:export",
    "OWN_FACTOR": "mfa_view_recovery_codes mfa_download_recovery_codes",
    "MFA_CONFIRMED": "mfa_activate_totp mfa_generate_recovery_codes mfa_add_webauthn "
    "mfa_remove_webauthn mfa_edit_webauthn mfa_reauthenticate_webauthn account_set_password",
    "APP_REMOVED": "mfa_deactivate_totp",
    "BY_PASSWORD": "account_reauthenticate",
    "BY_CODE": "mfa_reauthenticate",
    "CONNECTION_FILE": "connections:diagnostics",
    "CONNECTION_PAGE": "connections:detail connections:tests connections:past_test "
    "strategies:detail strategies:history",
    "CONNECTION_FORM": "connections:rename connections:replace connections:delete strategies:new "
    "strategies:edit strategies:delete",
    "CONNECTION_ACT": "connections:pause connections:resume connections:discard_new_key "
    "connections:use_other_account connections:go_back connections:destroy_old_key "
    "strategies:enable strategies:disable strategies:move",
    "CHOICE": "strategies:choose",
    "PAIR_SEARCH": "strategies:pairs",
    "FINDING_ACT": "findings:acknowledge findings:reopen",
    "FINDING_FORM": "findings:snooze findings:suppress strategies:preview strategies:preview_new",
    "CONNECTION_PANEL": "connections:test",
    "OWN_ACT": "notices:test accounts:let_support_look accounts:end_support_look "
    "accounts:stop_viewing",
    "CHANNEL_FORM": "notices:remove_channel",
    "CHANNEL_ACT": "notices:test_channel",
    "ADMIN_DOOR": "admin:login",
    "ADMIN_OUT": "admin:logout",
    "ADMIN_HALL": "admin:index admin:password_change_done admin:jsi18n admin:search",
    "ADMIN_SENT_ON": "admin:password_change admin:view_on_site admin:*/<path:object_id>/",
    "ADMIN_SWITCH": "admin:connections_incident_confirm admin:connections_incident_withdraw "
    "admin:connections_incident_ask_to_lift admin:connections_incident_lift",
    "ADMIN_FILE": "admin:connections_connection_diagnostics",
    "ADMIN_FORM": "admin:accounts_user_view_as",
    "ADMIN_LIST": "admin:MODEL_changelist",
    "ADMIN_ROW": "admin:MODEL_change admin:MODEL_history admin:auth_user_password_change",
    "ADMIN_MAYBE": "admin:MODEL_add admin:MODEL_delete",
    "ADMIN_REASON": "admin:reason",
    "ADMIN_ACT": "admin:save_view admin:forget_view",
    "ADMIN_CLOSED": "admin:autocomplete",
    "ADMIN_APP": "admin:app_list",
    "ADMIN_NOTHING": "admin:catch_all",
}
# Whatever else comes into the admin must be put here by somebody who thought about it. Never:
# seeds (mfa), session keys (usersessions), confirmed addresses (account), credentials.
MODELS = {"auth_group", "accounts_user", "connections_exchange", "connections_connection"}
MODELS |= {"connections_connectiontest", "connections_accessevent", "connections_finding"}
MODELS |= {"connections_thresholds", "connections_outage", "connections_notice"}
MODELS |= {"strategies_strategyconfig", "strategies_pair", "strategies_pairlist"}
MODELS |= {"django_celery_beat_periodictask", "connections_incident"}
# Looking is written down, and an empty form unticks the boxes of an account.
MAY_CHANGE = {
    ("superuser", "admin:connections_connection_change"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_connectiontest_change"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_finding_change"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_connection_diagnostics"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_notice_change"): {"connections.AccessEvent"},
    ("superuser", "admin:strategies_strategyconfig_change"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_accessevent_change"): {"connections.AccessEvent"},
    ("superuser", "admin:connections_accessevent_history"): {"connections.AccessEvent"},
    **{
        ("superuser", f"admin:{model}_history"): {"connections.AccessEvent"}
        for model in ("accounts_user", "connections_connection", "connections_connectiontest")
    },
    **{
        ("superuser", f"admin:{model}_history"): {"connections.AccessEvent"}
        for model in ("connections_finding", "connections_notice", "strategies_strategyconfig")
    },
    ("superuser", "admin:accounts_user_change"): {"connections.AccessEvent", "accounts.User"},
}


@dataclass(frozen=True)
class Address:
    name: str
    route: str
    kind: str = field(default="")

    def path(self, world: World) -> str:
        model = re.match(r"admin/(\w+)/(\w+)/", self.route)
        values = dict(world.values)
        if model:
            values["object_id"] = world.rows.get("_".join(model.groups()), 1)
        named = re.sub(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>", r"{\1\2}", self.route)
        if "<int:pk>" in self.route:
            values["pk"] = 1
        if self.route.startswith("notices/"):
            values["pk"] = world.channel.pk
        if self.route.startswith("strategies/"):
            values["pk"] = world.strategy.pk
        return "/" + named.replace("^", "").replace("$", "").format(**values)


def addresses(resolver: Any, names: tuple[str, ...] = (), before: str = "") -> Iterator[Address]:
    for part in resolver.url_patterns:
        route = before + str(part.pattern)
        if isinstance(part, URLResolver):
            inside = (*names, part.namespace) if part.namespace else names
            yield from addresses(part, inside, route)
            continue
        name = ":".join((*names, part.name or route))
        name = "admin:catch_all" if name == "admin:admin/(?P<url>.*)$" else name
        yield Address(name, route, kind_of(name))


def kind_of(name: str) -> str:
    for kind, patterns in TABLE.items():
        for pattern in patterns.split():
            known = [pattern.replace("MODEL", model) for model in MODELS]
            if any(fnmatchcase(name, one) for one in known):
                return kind
    return ""


ADDRESSES = list(addresses(get_resolver()))


@pytest.mark.parametrize("name", sorted(address.name for address in ADDRESSES))
def test_every_address_has_its_entry(name: str) -> None:
    assert kind_of(name), f"{name}: say in TABLE who may come here"


def test_table_names_nothing_that_is_gone() -> None:
    names = [address.name for address in ADDRESSES]
    patterns = [pattern for row in TABLE.values() for pattern in row.split()]
    for pattern in patterns:
        known = [pattern.replace("MODEL", model) for model in MODELS]
        assert any(fnmatchcase(name, one) for name in names for one in known), pattern
    for kind, expected in KINDS.items():
        assert set(PEOPLE) <= set(expected) or "*" in expected, kind


class World:
    """An owner with a tested connection, whose data can be told from all else; and the others."""

    def __init__(self) -> None:
        make = User.objects.create_user
        self.owner = make("the-owner@example.com", "a long enough password")
        key = making.credentials(api_key="mx0OwnersApiKey00z~q~")
        self.connection = making.connection(self.owner, exchange("mexc"), "Owner’s own one", key)
        facts = KeyFacts(making.GOOD, ip_restricted=True, uid="uid~of~owner")
        test = making.finish(self.connection, making.report(facts=facts))
        finding = Finding.objects.create(
            connection=self.connection, rule="no_ip_restriction", severity=20
        )
        FindingChange.objects.create(
            finding=finding, by=self.owner, state="suppressed", severity=20, why="own~why"
        )
        outage = Outage.objects.create(exchange_id="mexc", began_at=timezone.now())
        self.shown = ["Owner’s own one", "z~q~", "uid~of~owner", self.owner.email, "own~why"]
        self.shown.append(self.connection.credentials.get().fingerprint)
        now, address = timezone.now(), "jsons://chat.example.org/hooks/t0ken~q~x"
        self.channel = channels.add(owner=self.owner, name="Chat~q~", address=address, now=now)
        channels.send_test(self.owner, now=now)
        self.strategy = strategies_made.strategy(self.connection, "Ladder~q~x")
        self.secret = [key.api_key, key.secret, "t0ken~q~x"]
        self.people = {
            "anonymous": Client(),
            "owner": making.sign_in(Client(), self.owner),
            "other": making.sign_in(Client(), make("other@example.com", "x")),
            "no right": making.desk(Client(), make("no-right@example.com", "x", is_staff=True)),
            "no factor": making.sign_in(Client(), self._staff("no-factor@example.com")),
            "superuser": making.say_why(
                making.desk(Client(), self._staff("super@example.com")), self.owner
            ),
        }
        self.values = {
            "pk": self.connection.pk,
            "connection": self.connection.pk,
            "test_pk": test.pk,
            "number": finding.pk,
            "object_id": self.connection.pk,
            "content_type_id": ContentType.objects.get_for_model(Connection).pk,
            "app_label": "connections",
            "id": self.owner.pk,
            "owner_id": self.owner.pk,
            "uidb36": self.owner.pk,
            "code": "mexc",
            "key": "x",
            "url": "x/",
        }
        self.rows = {
            "accounts_user": self.owner.pk,
            "auth_group": Group.objects.get(name="Support").pk,
            "connections_accessevent": AccessEvent.objects.filter(owner=self.owner).latest("pk").pk,
            "connections_connection": self.connection.pk,
            "connections_connectiontest": test.pk,
            "connections_exchange": "mexc",
            "connections_finding": finding.pk,
            "connections_thresholds": Thresholds.objects.create(pk=1).pk,
            "connections_outage": outage.pk,
            "connections_incident": Incident.objects.create(scope="all", reason="x").pk,
            "connections_notice": Notice.objects.filter(user=self.owner).latest("made_at").pk,
            "strategies_strategyconfig": self.strategy.pk,
            "strategies_pair": strategies_made.pair("SOL/USDT").pk,
            "strategies_pairlist": PairList.objects.create(exchange_id="mexc", market="spot").pk,
            "django_celery_beat_periodictask": schedule().pk,
        }

    def _staff(self, email: str) -> User:
        user = User.objects.create_superuser(email, "x")
        making.totp(user)
        return user


def schedule() -> PeriodicTask:
    pace = IntervalSchedule.objects.create(every=5, period="seconds")
    task = "connections.tasks.start_sweeps"
    return PeriodicTask.objects.create(name="start-sweeps", task=task, interval=pace)


def exchange(code: str) -> Any:
    return apps.get_model("connections", "Exchange").objects.get(code=code)


@pytest.fixture
def world(db: None, settings: Any) -> World:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    return World()


def rows_of(owner: User) -> dict[str, list[dict[str, Any]]]:
    """Everything of one person, sealed values as they stand."""
    found = {}
    for label, path in {
        "accounts.User": "pk",
        "connections.Connection": "owner",
        "connections.ConnectionTest": "connection__owner",
        "connections.Credential": "connection__owner",
        "connections.Finding": "connection__owner",
        "connections.FindingChange": "finding__connection__owner",
        "connections.AccessEvent": "owner",
        "strategies.StrategyConfig": "owner",
        "strategies.StrategyEvent": "strategy__owner",
        "account.EmailAddress": "user",
        "mfa.Authenticator": "user",
        "usersessions.UserSession": "user",
        "accounts.KnownDevice": "user",
        "accounts.ViewGrant": "owner",
        "connections.NoticePreferences": "user",
        "connections.NoticeChannel": "owner",
        "connections.Notice": "user",
        "connections.NoticeDelivery": "notice__user",
    }.items():
        rows = apps.get_model(label).objects.filter(**{path: owner.pk}).order_by("pk")
        names = [column.attname for column in rows.model._meta.concrete_fields]
        found[label] = [{name: plain(getattr(row, name)) for name in names} for row in rows]
    return found


def rows_written() -> int:
    """In all tables, since the connection was opened. Only SQLite counts them."""
    if database.vendor != "sqlite":
        return time.monotonic_ns()  # so that it always looks
    database.ensure_connection()
    return int(database.connection.total_changes)


def plain(value: Any) -> Any:
    return value.token(None) if isinstance(value, vault.Sealed) else value  # type: ignore[arg-type]


def got(response: Any) -> str:
    if response.status_code not in {301, 302}:
        return str(response.status_code)
    return "in" if response.url.startswith(("/accounts/login/", "/admin/login/")) else "go"


def visit(world: World, who: str, method: str, address: Address) -> Any:
    client = Client(raise_request_exception=False)
    client.cookies = world.people[who].cookies.copy()
    send = client.post if method == "POST" else client.get
    return send(address.path(world), headers=METHODS[method])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", PEOPLE)
def test_each_gets_what_the_table_says(world: World, who: str, method: str) -> None:
    """Each visit is undone, so that one cannot hide the next."""
    before, wrong, seen = rows_of(world.owner), [], set()
    for address in (one for one in ADDRESSES if one.kind):
        cache.clear()  # limits of tries have tests of their own
        with transaction.atomic():
            written = rows_written()
            response = visit(world, who, method, address)
            # Most visits write nothing at all, and looking at every row takes the most time here.
            after = before if rows_written() == written else rows_of(world.owner)
            transaction.set_rollback(True)
        expected = KINDS[address.kind]
        wanted = expected.get(who, expected.get("*", "")).split()[list(METHODS).index(method)]
        if got(response) not in wanted.split("|"):
            wrong.append(f"{address.name}: {got(response)}, not {wanted}")
        answer = str(response.headers) + response.content.decode(errors="replace")
        wrong += [f"{address.name}: shows a secret" for one in world.secret if one in answer]
        leaked = {one for one in (*world.shown, world.strategy.name) if one in answer}
        seen |= leaked
        if leaked and who != "owner" and not (who == "superuser" and "ADMIN" in address.kind):
            wrong.append(f"{address.name}: shows {leaked}")
        changed = {label for label in before if before[label] != after[label]}
        if who != "owner" and changed - MAY_CHANGE.get((who, address.name), set()):
            wrong.append(f"{address.name}: changes {changed} of another")
    assert not wrong, "\n".join(wrong)
    if method == "GET":  # proof that the search can find
        owners = [*world.shown[:-1], world.strategy.name]
        enough = {"owner": owners, "superuser": [*world.shown, world.strategy.name]}.get(who, [])
        assert set(enough) == seen
