"""The addresses of chat services are sealed values like any other: counted, rotated, recovered, and
no key goes while one of them needs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database

from backfuture.accounts.models import User
from connections import channels, keyring, keyring_rows, vault
from connections.models import AccessEvent, Connection, NoticeChannel
from tests import making
from tests.key_files import KeyFiles
from tests.test_keyring import held

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADDRESS = "jsons://chat.site.org/hook/canary7c1f9d"


@pytest.fixture
def files(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> KeyFiles:
    monkeypatch.setattr(keyring, "PAUSE", 0)
    return KeyFiles(tmp_path, settings)


@pytest.fixture
def channel(trader: User) -> NoticeChannel:
    return add(trader, "Phone")


def add(owner: User, name: str) -> NoticeChannel:
    return channels.add(owner=owner, name=name, address=f"{ADDRESS}/{name}", now=NOW)


def opened(channel: NoticeChannel) -> str:
    row = NoticeChannel.objects.get(pk=channel.pk)
    assert row.sealed is not None
    event = AccessEvent(why="a test of the tests")
    with vault.opened_text(row.sealed, row, event=event) as address:
        return address


def damage(channel: NoticeChannel, other: NoticeChannel) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE connections_noticechannel SET sealed = (SELECT sealed FROM "
            "connections_noticechannel WHERE name = %s) WHERE name = %s",
            [other.name, channel.name],
        )


def rotated() -> keyring.Run:
    run = keyring.rotation()
    for _ in run:
        pass
    return run


def test_rotated_addresses_open_under_the_newest_keys_alone(
    files: KeyFiles, channel: NoticeChannel, connection: Connection, settings: Any
) -> None:
    files.add()
    assert files.doctor()["to_rotate"] == 2
    out = files.keys("rotate")
    assert "2 of 2 sealed values rotated" in out
    assert "Sealed anew: 1 sealed key and 1 address of a chat service." in out
    assert opened(channel) == f"{ADDRESS}/Phone"
    found = files.doctor()
    assert (found["rows"], found["channels"], found["to_rotate"]) == (1, 1, 0)
    assert [key["rows"] for key in found["outer"]] == [2, 0]
    assert [key["rows"] for key in found["inner"]] == [2, 0]
    files.keys("rotate", "--retire-old")
    files.restart()
    assert (len(settings.FERNET_KEYS), len(settings.VAULT_PUBLIC_KEYS)) == (1, 1)
    assert opened(channel) == f"{ADDRESS}/Phone"
    assert "canary7c1f9d" not in files.printed


def test_second_rotation_changes_nothing(files: KeyFiles, channel: NoticeChannel) -> None:
    files.add()
    assert rotated().anew == 1
    before = raw(channel)
    assert rotated().anew == 0
    assert raw(channel) == before


def test_openings_are_recorded_as_the_channel_they_are(
    files: KeyFiles, channel: NoticeChannel, trader: User
) -> None:
    files.keys("doctor")
    event = AccessEvent.objects.get(why="keys doctor")
    assert (event.kind, event.owner, event.actor) == ("channel_opened", trader, None)


def test_no_key_may_go_while_an_address_is_under_it(
    files: KeyFiles, channel: NoticeChannel, connection: Connection
) -> None:
    files.add()
    for _ in keyring.Run(  # the keys alone
        lambda row, written: keyring._rotate(vault.newest(), row, written),
        why="a test of the tests",
        batch=10,
        wanted=lambda row: not isinstance(row, NoticeChannel),
    ):
        pass
    found = files.doctor()
    assert (found["to_rotate"], found["may_be_removed"], found["unused"]) == (1, [], [])


def test_address_stored_with_old_keys_meanwhile_keeps_them(
    files: KeyFiles, trader: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.add()
    proof = keyring.proof

    def late_web(why: str) -> keyring.Run:
        newest = settings.FERNET_KEYS
        settings.FERNET_KEYS = newest[1:]
        add(trader, "Late")
        settings.FERNET_KEYS = newest
        return proof(why)

    monkeypatch.setattr(keyring, "proof", late_web)
    assert "Under old keys again, or still: 1." in files.failing("rotate", "--retire-old")
    assert len(files.values()["FERNET_KEYS"].split(",")) == 2


def test_address_that_does_not_open_is_named_and_keeps_the_keys(
    files: KeyFiles, channel: NoticeChannel, trader: User
) -> None:
    other = add(trader, "Other")
    damage(channel, other)
    files.add()
    out = files.failing("rotate", "--retire-old")
    assert f"chat service {channel.pk}: The sealed value was altered" in out
    assert "1 sealed value cannot be opened" in out
    assert len(files.values()["FERNET_KEYS"].split(",")) == 2
    found = files.doctor()
    assert found["unreadable_rows"][0]["channel"] == str(channel.pk)
    assert (found["unreadable"], found["may_be_removed"]) == (1, [])
    assert opened(other) == f"{ADDRESS}/Other"


def test_lost_private_file_loses_no_address(files: KeyFiles, trader: User, tmp_path: Path) -> None:
    offline = tmp_path / "offline.json"
    line = files.keys("create", "--recovery", offline).splitlines()[0]
    files.env.write_text(files.env.read_text() + line + "\n")
    files.restart()
    channel = add(trader, "Phone")
    files.private.unlink()
    files.keys("create", "--add", "--private-lost")
    files.restart()
    with pytest.raises(vault.SealedError):
        opened(channel)
    out = files.keys("recover", "--recovery-file", offline)
    assert "Recovered: 0 sealed keys and 1 address of a chat service" in out
    assert opened(channel) == f"{ADDRESS}/Phone"


def test_box_of_a_key_for_recovery_is_no_address(
    files: KeyFiles, trader: User, mexc: Any, tmp_path: Path
) -> None:
    offline = tmp_path / "offline.json"
    line = files.keys("create", "--recovery", offline).splitlines()[0]
    files.env.write_text(files.env.read_text() + line + "\n")
    files.restart()
    keys = vault.private_keys(str(offline))
    key = making.connection(trader, mexc, "Mine").credentials.get()
    with (
        pytest.raises(vault.SealedError),
        vault.opened_text_for_recovery(key.sealed, key, keys, event=AccessEvent(why="x")),
    ):
        pass


def test_address_removed_meanwhile_stays_removed(
    files: KeyFiles, channel: NoticeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.add()
    announced = keyring.announced_channels

    def removed_between(ids: Any, why: str) -> Any:
        events = announced(ids, why)
        channels.remove(channel, by=channel.owner)
        return events

    monkeypatch.setattr(keyring, "announced_channels", removed_between)
    run = rotated()
    assert (run.anew, run.problems.count) == (0, 0)
    assert not NoticeChannel.objects.exists()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("what", ["channel", "owner"])
def test_rotation_waits_for_nobody(
    trader: User, tmp_path: Path, settings: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.features.has_select_for_update:
        pytest.skip("SQLite has no row locks: one writer waits for the other")
    busy = add(trader, "Busy")
    KeyFiles(tmp_path, settings).add()
    monkeypatch.setattr(keyring, "PAUSE", 0)
    rows = NoticeChannel.objects.filter(pk=busy.pk).select_for_update()
    locks = {"channel": lambda: list(rows), "owner": lambda: channels.lock_owner(trader)}
    with held(locks[what]):
        run = rotated()
    assert [each.channel for each in run.problems.named] == [busy.pk]
    assert rotated().anew == 1


def raw(channel: NoticeChannel) -> bytes:
    row = keyring_rows.sealed(NoticeChannel).get(pk=channel.pk)
    return bytes(row.sealed.token(vault.outer_lock()))
