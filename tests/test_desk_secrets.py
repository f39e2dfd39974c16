"""No address of the desk shows a byte of a key, in any form, whatever it is asked with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.sites import site
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from backfuture.accounts.models import SavedView, User
from connections import channels
from connections.exchanges.base import Credentials
from connections.incidents import Incident
from connections.models import (
    Connection,
    Credential,
    Exchange,
    Finding,
    NoticeChannel,
    Outage,
    Thresholds,
)
from strategies.models import PairList
from tests import canary, making, strategies_made

PAGES = ("changelist", "add", "change", "history", "delete")
CHAT = "jsons://chat.example.org/hooks/t0ken~q~xCANARYtoken99"
SENT = ("diagnostics", "confirm", "withdraw", "ask_to_lift", "lift")
FIELD = re.compile(r'<(?:input|textarea|select)[^>]*name="([^"]+)"')


class Scene:
    """A superuser at the desk, a trader with marked keys, and a row of everything."""

    def __init__(self, staff: User, trader: User) -> None:
        self.client = making.say_why(making.desk(Client(), staff), trader, staff)
        self.keys = [canary.credentials("mexc"), canary.credentials("kucoin")]
        for code, key in zip(("mexc", "kucoin"), self.keys, strict=True):
            row = making.connection(trader, Exchange.objects.get(code=code), f"Main {code}", key)
            making.finish(row, making.report("failed", problem="invalid_key"))
            Finding.objects.create(connection=row, rule="old", severity=20)
        strategies_made.strategy(trader.connections.get(exchange="mexc"), "Ladder")
        channels.add(owner=trader, name="Chat", address=CHAT, now=timezone.now())
        channels.send_test(trader, now=timezone.now())
        Outage.objects.create(exchange_id="mexc", began_at=timezone.now())
        Thresholds.objects.create(pk=1)
        Incident.objects.create(scope="all", reason="A disk was copied", asked_by=trader)
        PairList.objects.get_or_create(exchange_id="mexc", market="spot")
        SavedView.objects.create(user=staff, name="Mine", path="/admin/connections/finding/")
        pace = IntervalSchedule.objects.create(every=5, period="seconds")
        PeriodicTask.objects.create(name="start-sweeps", task="x", interval=pace)
        self.trader = trader

    def leaks_in(self, answer: Any) -> list[str]:
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        everything = body + str(answer.headers).encode() + str(answer.cookies).encode()
        found = [name for key in self.keys for name in canary.found_in(everything, key)]
        sealed = [*Credential.objects.all(), *NoticeChannel.objects.all()]
        tokens = [bytes(row.sealed.token(None)) for row in sealed if row.sealed]
        found += ["sealed value"] * any(token in everything for token in tokens)
        return found + ["address of a chat service"] * (b"CANARYtoken99" in everything)


@pytest.fixture
def scene(staff: User, trader: User) -> Scene:
    return Scene(staff, trader)


def addresses() -> Iterator[str]:
    """Every page of every model, and the desk's own."""
    for model in site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        rows = list(model._default_manager.all()[:50])
        yield from (reverse(f"{name}_{page}") for page in PAGES[:2])
        for row in rows:
            yield from (reverse(f"{name}_{page}", args=[row.pk]) for page in PAGES[2:])
    yield from (reverse(f"admin:{name}") for name in ("index", "jsi18n", "password_change_done"))
    for app in sorted({model._meta.app_label for model in site._registry}):
        yield reverse("admin:app_list", args=[app])
    for pk in User.objects.values_list("pk", flat=True):
        yield reverse("admin:reason", args=[pk])
        yield reverse("admin:auth_user_password_change", args=[pk])
        yield reverse("admin:accounts_user_view_as", args=[pk])
    for user_page in ("accounts/user", "connections/connection"):
        yield f"/admin/{user_page}/not-there/change/"


def test_every_address_of_the_desk(scene: Scene) -> None:
    paths = list(addresses())
    assert len(paths) > 100
    for path in paths:
        answer = scene.client.get(path)
        assert answer.status_code in {200, 302, 403, 404}, path
        assert not scene.leaks_in(answer), path


def test_every_address_that_takes_a_post_alone(scene: Scene) -> None:
    for name in SENT:
        model = Connection if name == "diagnostics" else Incident
        for row in model._default_manager.all():
            path = reverse(f"admin:connections_{model._meta.model_name}_{name}", args=[row.pk])
            answer = scene.client.post(path)
            assert answer.status_code in {200, 302}, name
            assert not scene.leaks_in(answer), name


def test_every_registered_address_was_walked(scene: Scene) -> None:
    """Whatever else a model's admin brings is seen by name."""
    known = {f"{each}" for each in PAGES} | {"password_change", "view_as", *SENT}
    for model, shown in site._registry.items():
        prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
        names = [one.name for one in shown.get_urls() if one.name]
        extra = {name.removeprefix(prefix).removeprefix("auth_user_") for name in names} - known
        assert not extra, model


@pytest.mark.parametrize("field", ["app_label", "sealed"])
def test_autocomplete_and_columns_that_one_may_think_of(scene: Scene, field: str) -> None:
    asked = {"app_label": "connections", "model_name": "connection", "field_name": "credentials"}
    for term in (scene.keys[0].api_key, field):
        answer = scene.client.get(reverse("admin:autocomplete"), {**asked, "term": term})
        assert not scene.leaks_in(answer)


@pytest.mark.parametrize(
    "lookup",
    ["credentials__sealed", "credentials__sealed__contains", "credentials__sealed__startswith"],
)
@pytest.mark.parametrize("label", ["connection", "connectiontest", "finding", "accessevent"])
def test_no_filter_asks_about_a_sealed_value(scene: Scene, label: str, lookup: str) -> None:
    """Else it could be guessed letter by letter."""
    path = reverse(f"admin:connections_{label}_changelist")
    lookup = lookup if label == "connection" else lookup.replace("credentials", "credential")
    answer = scene.client.get(path, {lookup: scene.keys[0].api_key})
    assert answer.status_code in {302, 400}
    assert not scene.leaks_in(answer)


def test_no_search_finds_by_a_secret(scene: Scene) -> None:
    """What was asked comes back in the field of the search, and nothing is found by it."""
    for key in scene.keys:
        for value in filter(None, (key.api_key, key.secret, key.passphrase)):
            for path in (f"/admin/{part}/" for part in ("connections/connection", "accounts/user")):
                answer = scene.client.get(path, {"q": value})
                assert answer.context["cl"].result_count == 0
            found = scene.client.get(reverse("admin:search"), {"s": value, "extended": "1"})
            assert "/change/" not in found.content.decode()
            assert not scene.leaks_in(found)


def test_no_action_and_no_history_tells_one(scene: Scene) -> None:
    offering = [(model, shown.actions) for model, shown in site._registry.items() if shown.actions]
    assert len(offering) > 3
    for model, actions in offering:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        chosen = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
        for action in actions:
            sent = {"action": action, "_selected_action": chosen, "why": "ticket"}
            answer = scene.client.post(path, sent)
            assert not scene.leaks_in(answer), action
            assert not scene.leaks_in(scene.client.get(path)), action
    for path in addresses():
        if path.endswith("/history/"):
            assert not scene.leaks_in(scene.client.get(path)), path
    logged = "".join(f"{row.object_repr}{row.change_message}" for row in LogEntry.objects.all())
    assert not any(canary.found_in(logged, key) for key in scene.keys)


def test_no_form_takes_one(scene: Scene) -> None:
    """No field of any form of the desk is for a key, and what is sent as one is not kept."""
    for path in addresses():
        answer = scene.client.get(path)
        names = re.findall(
            r'<(?:input|textarea|select)[^>]*name="([^"]+)"', answer.content.decode()
        )
        asked = {name for name in names if re.search("key|secret|passphrase|sealed", name)}
        assert not asked - {"separate_keys", "initial-separate_keys"}, path  # a threshold
    row = Credential.objects.first()
    assert row is not None
    before = bytes(row.sealed.token(None))  # type: ignore[attr-defined]
    change = reverse("admin:connections_connection_change", args=[row.connection_id])
    sent = {"name": "Main", "api_key": "x" * 20, "secret": "y" * 20, "sealed": "z"}
    scene.client.post(change, sent)
    row.refresh_from_db()
    assert bytes(row.sealed.token(None)) == before  # type: ignore[attr-defined]


def test_an_error_tells_none(scene: Scene, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Django's page of an error would show every local."""
    settings.DEBUG = True
    scene.client.raise_request_exception = False

    def fails(*_args: Any) -> None:
        key: Credentials = scene.keys[0]
        raise RuntimeError(f"about {len(key.secret)}")

    monkeypatch.setattr("connections.connection_page.context", fails)
    pk = Credential.objects.values_list("connection", flat=True).first()
    answer = scene.client.get(reverse("admin:connections_connection_change", args=[pk]))
    assert answer.status_code == 500
    assert not scene.leaks_in(answer)


@pytest.mark.parametrize("model", [Credential, NoticeChannel])
def test_what_is_sealed_has_no_page(model: Any) -> None:
    assert model not in site._registry
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:connections_{model._meta.model_name}_changelist")


def test_the_walk_would_see_one(scene: Scene) -> None:
    """A key planted in a name is found on the list: else the walk proves nothing."""
    Group.objects.create(name=scene.keys[0].api_key)
    answer = scene.client.get(reverse("admin:auth_group_changelist"))
    assert scene.leaks_in(answer)
