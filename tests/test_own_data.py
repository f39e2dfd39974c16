"""What a person sees and takes along of their own, and what is left when the account ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from backfuture.accounts import own_data
from backfuture.accounts.models import KnownDevice, User
from connections import channels, worker
from connections.models import (
    AccessEvent,
    Connection,
    ConnectionTest,
    Credential,
    Finding,
    FindingChange,
    Notice,
    NoticeChannel,
    NoticeDelivery,
    NoticePreferences,
)
from tests import canary, making
from tests.simulator import Simulator, sample
from tests.test_access_events import (
    AGENT,
    HERE,
    STAFFS_AGENT,
    STAFFS_PLACE,
    Scene,
    look,
)
from tests.test_access_events import scene as scene
from tests.test_leaks import every_table

DELETE = "/accounts/delete/"
# What the product keeps for itself beside what it knows of a person.
INTERNAL = {
    Connection: {"owner_id", "suspicion", "next_test_at", "retries", "told_failing_at"},
    Credential: {"connection_id", "revision", "sealed"},
    ConnectionTest: {"connection_id", "credential_id", "requested_by_id", "status", "started_at"}
    | {"lease_until", "fence", "steps", "skew_ms"},
    AccessEvent: {"id", "actor_id", "owner_id", "credential_id", "task_id"},
    Finding: {"id", "connection_id", "told"},
    FindingChange: {"id", "finding_id", "by_id"},
    NoticePreferences: {"user_id"},
    NoticeChannel: {"owner_id", "sealed"},
    Notice: {"user_id", "key"},
    NoticeDelivery: {"id", "notice_id", "lease_until", "fence"},
}
ADDRESS = "jsons://chat.site.org/hook/canary41ab77"


def exported(client: Client) -> dict[str, Any]:
    answer = client.post("/accounts/export/")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    return json.loads(answer.content)


class TestActivity:
    def test_owner_sees_what_happened_and_nobody_elses(self, scene: Scene, stranger: User) -> None:
        other = making.connection(stranger, scene.connection.exchange, "Stranger's own")
        text = scene.browser.get("/accounts/activity/").content.decode()
        for words in ("Key entered", "Signed in", "Confirmed that it is you", HERE):
            assert words in text
        assert scene.connection.name in text
        for path in ("", f"?connection={other.pk}", "?page=2", f"?connection={other.pk}&page=1"):
            page = scene.browser.get(f"/accounts/activity/{path}").content.decode()
            assert other.name not in page.replace("&#x27;", "'")
            assert other.credentials.get().hint not in page.replace("csrf", "")
        theirs = making.sign_in(Client(), stranger).get("/accounts/activity/").content.decode()
        assert scene.connection.name not in theirs
        assert HERE not in theirs

    def test_one_connection_can_be_chosen(self, scene: Scene) -> None:
        second = making.connection(scene.trader, scene.connection.exchange, "Second one")
        text = scene.browser.get(f"/accounts/activity/?connection={second.pk}").content.decode()
        assert "Second one" in text
        assert scene.connection.name not in text

    def test_look_of_support_is_seen_and_not_where_from(self, scene: Scene) -> None:
        look(scene)
        text = scene.browser.get("/accounts/activity/").content.decode()
        assert "Looked at by support" in text
        everything = text + json.dumps(exported(scene.browser))
        assert "staff_look" in everything
        for hidden in (STAFFS_PLACE, STAFFS_AGENT, scene.staff.email):
            assert hidden not in everything, hidden


class TestExport:
    @pytest.fixture
    def key(self, scene: Scene, simulator: Simulator) -> Any:
        """A key of marks, tested once, so that all there is to export is there."""
        key = canary.credentials("kucoin")
        values = {"api_key": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
        simulator.add(replace(sample("kucoin", "good"), scenario="canary", **values))
        scene.browser.post("/connections/new/kucoin/", {"name": "Canary", **values})
        connection = Connection.objects.get(name="Canary")
        worker.run_test(str(connection.tests.get().pk))
        now = timezone.now()
        channels.add(owner=scene.trader, name="Phone", address=ADDRESS, now=now)
        channels.send_test(scene.trader, now=now)
        NoticePreferences.objects.create(user=scene.trader)
        finding = Finding.objects.create(connection=connection, rule="old", severity=20)
        FindingChange.objects.create(
            finding=finding, by=scene.trader, state="acknowledged", severity=20
        )
        return key

    def test_it_has_no_secret(self, scene: Scene, key: Any) -> None:
        app = scene.app()
        codes = making.recovery_codes(scene.trader)
        text = json.dumps(exported(scene.browser))
        assert canary.found_in(text, key) == []
        scene.trader.refresh_from_db()
        secrets = [*codes, app(0), scene.trader.password, str(scene.browser.session.session_key)]
        secrets += [
            str(value) for row in Authenticator.objects.all() for value in row.data.values()
        ]
        secrets += [row.sealed.token(None).decode() for row in Credential.objects.all()]
        secrets += [row.sealed.token(None).decode() for row in NoticeChannel.objects.all()]
        secrets += ["canary41ab77", ADDRESS]
        secrets += KnownDevice.objects.values_list("token_hash", flat=True)
        for secret in secrets:
            assert len(secret) < 6 or secret not in text
        assert "gAAAA" not in text

    def test_it_has_everything_else(self, scene: Scene, key: Any) -> None:
        found = exported(scene.browser)
        assert found["account"]["email"] == scene.trader.email
        assert found["account"]["addresses"][0]["verified"] is True
        assert [one["ip"] for one in found["account"]["sessions"]] == [HERE]
        connection = next(one for one in found["connections"] if one["name"] == "Canary")
        row = Connection.objects.get(name="Canary")
        assert connection["uid"] == row.uid and connection["status"] == row.status
        assert connection["keys"][0]["fingerprint"] == row.credentials.get().fingerprint
        assert connection["tests"][0]["balances"] == row.tests.get().balances
        assert len(found["connections"]) == 2
        assert len(found["events"]) == AccessEvent.objects.filter(owner=scene.trader).count()
        parts = {Connection: connection, Credential: connection["keys"][0]}
        parts |= {ConnectionTest: connection["tests"][0], AccessEvent: found["events"][0]}
        finding, notices = connection["findings"][0], found["notices"]
        parts |= {Finding: finding, FindingChange: finding["changes"][0]}
        parts |= {NoticePreferences: notices["preferences"], Notice: notices["made"][0]}
        parts |= {NoticeChannel: notices["chat_services"][0]}
        parts |= {NoticeDelivery: notices["made"][0]["deliveries"][0]}
        assert finding["changes"][0]["by_you"] is True
        assert found["account"]["time_zone"] == scene.trader.time_zone
        for model, part in parts.items():
            names = {field.attname for field in model._meta.concrete_fields}
            assert names - INTERNAL[model] - set(part) == set(), model

    def test_it_has_nothing_of_others(self, scene: Scene, stranger: User) -> None:
        other = making.connection(stranger, scene.connection.exchange, "Not mine")
        channels.add(owner=stranger, name="Not mine", address=ADDRESS, now=timezone.now())
        channels.send_test(stranger, now=timezone.now())
        text = json.dumps(exported(scene.browser))
        assert "Test: notices" not in text
        for theirs in (str(other.pk), "Not mine", stranger.email, str(other.credentials.get().pk)):
            assert theirs not in text


class TestDeletion:
    def end(self, scene: Scene) -> Any:
        return scene.browser.post(DELETE, {"confirm": scene.trader.email.upper()})

    @pytest.mark.parametrize("typed", ["", "trader", "stranger@example.com", "trader@example.com."])
    def test_it_needs_the_typed_address(self, scene: Scene, typed: str) -> None:
        scene.browser.post(DELETE, {"confirm": typed})
        assert User.objects.filter(pk=scene.trader.pk).exists()

    def test_person_is_gone_everywhere(self, scene: Scene, stranger: User) -> None:
        elsewhere = scene.sign_in()
        assert elsewhere.get("/connections/").status_code == 200
        other = making.connection(stranger, scene.connection.exchange, "Stays")
        phone = channels.add(owner=scene.trader, name="Phone", address=ADDRESS, now=timezone.now())
        channels.send_test(scene.trader, now=timezone.now())
        NoticePreferences.objects.create(user=scene.trader)
        locked = NoticeChannel.objects.get(pk=phone.pk).sealed.token(None)
        token = Credential.objects.get(connection=scene.connection).sealed.token(None)
        assert self.end(scene).url == "/accounts/login/"
        assert not User.objects.filter(email=scene.trader.email).exists()
        for model in (UserSession, KnownDevice, EmailAddress, Notice, NoticePreferences):
            assert not model.objects.filter(user_id=scene.trader.pk).exists()
        assert not NoticeChannel.objects.exists() and not NoticeDelivery.objects.exists()
        assert list(Credential.objects.all()) == [other.credentials.get()]
        assert list(ConnectionTest.objects.all()) == [other.tests.get()]
        left = every_table()
        for trace in (token, locked, scene.trader.email.encode(), HERE.encode(), AGENT.encode()):
            assert trace not in left
        for client in (scene.browser, elsewhere):
            assert client.get("/connections/").status_code == 302
        assert scene.sign_in().get("/connections/").status_code == 302

    def test_events_stay_without_the_person(self, scene: Scene) -> None:
        look(scene)
        scene.sign_in("a wrong one")
        facts = ("pk", "kind", "at", "why", "exchange", "key_hint", "key_fingerprint")
        before = list(AccessEvent.objects.filter(owner=scene.trader).values_list(*facts))
        assert len(before) > 4
        self.end(scene)
        known = [row[0] for row in before]
        assert list(AccessEvent.objects.filter(pk__in=known).values_list(*facts)) == before
        new = AccessEvent.objects.exclude(pk__in=known)
        assert {"deleted", "account_deleted"} <= set(new.values_list("kind", flat=True))
        for event in AccessEvent.objects.exclude(actor=scene.staff):
            assert (event.actor, event.owner, event.ip, event.agent) == (None, None, None, "")
        assert AccessEvent.objects.get(kind="staff_look").owner is None

    def test_events_of_others_keep_their_people(self, scene: Scene, stranger: User) -> None:
        making.totp(stranger)
        sent = {"login": stranger.email, "password": "wrong"}
        Client(REMOTE_ADDR="198.51.100.8").post("/accounts/login/", sent)
        self.end(scene)
        event = AccessEvent.objects.get(owner=stranger)
        assert (event.kind, event.ip) == ("sign_in_failed", "198.51.100.8")

    def test_all_or_nothing(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        def fall_over(*_: Any, **__: Any) -> None:
            raise RuntimeError("boom")

        monkeypatch.setattr(User, "delete", fall_over)
        with pytest.raises(RuntimeError), database.constraint_checks_disabled():
            own_data.delete_account(scene.trader)
        assert Credential.objects.filter(sealed__isnull=False).exists()
        assert AccessEvent.objects.filter(owner=scene.trader, ip=HERE).exists()
