"""`manage.py keys` as an operator uses it: new keys, who uses which, rotation, recovery."""

from __future__ import annotations

import io
import json
import stat
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database

from connections import keyring, replacing, services, vault, worker
from connections.exchanges.base import Credentials
from connections.models import AccessEvent, Connection, Credential
from tests import making
from tests.key_files import KeyFiles
from tests.simulator import sample

SECRET = "secret-of-the-canary-51c2"


@pytest.fixture
def files(tmp_path, settings, monkeypatch) -> KeyFiles:
    monkeypatch.setattr(keyring, "PAUSE", 0)  # nobody else writes
    return KeyFiles(tmp_path, settings)


@pytest.fixture
def rows(trader, mexc) -> list[Connection]:
    return [
        making.connection(trader, mexc, name, making.credentials(secret=f"{SECRET}-{name}"))
        for name in ("One", "Two", "Three")
    ]


@pytest.fixture
def recoverable(files, tmp_path) -> Path:
    """The file to keep offline; its key is in the settings from here on."""
    offline = tmp_path / "offline.json"
    line = files.keys("create", "--recovery", offline).splitlines()[0]
    files.env.write_text(files.env.read_text() + line + "\n")
    files.restart()
    return offline


def opened(row: Connection) -> Credentials:
    key = Credential.objects.get(connection=row)
    event = AccessEvent(connection=row, credential=key, why="a test of the tests")
    with vault.opened(key.sealed, key, event=event) as credentials:
        return credentials


def all_open(rows: list[Connection]) -> bool:
    return [opened(row).secret for row in rows] == [f"{SECRET}-{row.name}" for row in rows]


def damage(row: Connection) -> Credential:
    """Its value is from another row: well locked, and not to be opened here."""
    other = Credential.objects.exclude(connection=row).first()
    key = Credential.objects.get(connection=row)
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE connections_credential SET sealed = (SELECT sealed FROM "
            "connections_credential WHERE hint = %s) WHERE hint = %s",
            [other.hint, key.hint],
        )
    return key


def used(found: list[dict]) -> list[int]:
    return [key["rows"] for key in found]


class TestCreate:
    def test_recovery_pair_is_split_between_file_and_output(self, files, tmp_path):
        offline = tmp_path / "offline.json"
        out = files.keys("create", "--recovery", offline)
        ((key_id, private),) = json.loads(offline.read_text()).items()
        assert out.startswith(f"VAULT_RECOVERY_KEY={key_id}:")
        assert private not in out
        assert "offline" in out
        assert stat.S_IMODE(offline.stat().st_mode) == 0o600

    def test_recovery_file_is_never_overwritten(self, files, tmp_path):
        offline = tmp_path / "offline.json"
        offline.write_text("precious")
        assert "never overwritten" in files.failing("create", "--recovery", offline)
        assert offline.read_text() == "precious"

    def test_added_keys_stand_in_front(self, files, settings):
        before = files.values(), json.loads(files.private.read_text())
        out = files.keys("create", "--add")
        after, private = files.values(), json.loads(files.private.read_text())
        for name in ("FERNET_KEYS", "VAULT_PUBLIC_KEYS"):
            new, old = after[name].split(",")
            assert old == before[0][name] != new
        new_id = after["VAULT_PUBLIC_KEYS"].partition(":")[0]
        assert list(private) == [new_id, "test"]
        assert private["test"] == before[1]["test"]
        files.restart()
        assert vault.fits(vault.private_keys(settings.VAULT_PRIVATE_KEYS_FILE))
        assert "the worker first" in out
        assert "keys rotate" in out

    def test_lost_private_file_begins_anew_only_where_it_is_lost(self, files):
        assert "so it is not lost" in files.failing("create", "--add", "--private-lost")
        files.private.unlink()
        assert "is not there" in files.failing("create", "--add")
        assert "keys recover" in files.keys("create", "--add", "--private-lost")
        assert len(json.loads(files.private.read_text())) == 1
        assert stat.S_IMODE(files.private.stat().st_mode) == 0o600

    def test_word_that_stands_alone_is_refused(self, files):
        with pytest.raises(CommandError, match="goes with --add"):
            files.keys("create", "--private-lost")


class TestDoctor:
    def test_new_site_has_nothing_to_tell(self, db, files):
        found = files.doctor()
        assert (found["rows"], found["unreadable"], found["may_be_removed"]) == (0, 0, [])

    def test_rows_are_counted_by_key(self, rows, files, trader):
        making.totp(trader)
        files.add()
        found = files.doctor()
        assert (found["rows"], found["to_rotate"], found["opened"]) == (3, 3, True)
        assert [(key["position"], key["rows"]) for key in found["outer"]] == [(1, 0), (2, 3)]
        assert used(found["inner"]) == [0, 3]
        assert found["recovery"] == [{"id": "", "note": "", "rows": 3}]
        old = vault.outer_id(vault.fernet_keys()[1])
        assert found["others"] == {"second factors": {old: 1}}
        assert found["may_be_removed"] == []

    def test_table_says_the_same(self, rows, files):
        out = files.keys("doctor")
        assert "3 sealed keys; not under the newest keys: 0" in out
        assert f"outer key     {vault.outer_id(vault.fernet_keys()[0])}" in out
        assert "Opened, every one: 3 sealed keys." in out

    def test_opening_is_recorded_as_any_other(self, rows, files):
        files.keys("doctor")
        events = AccessEvent.objects.filter(why="keys doctor", kind="opened")
        assert {event.connection for event in events} == set(rows)
        assert {event.owner for event in events} == {rows[0].owner}

    def test_without_private_keys_nothing_is_opened(self, rows, files, settings):
        settings.VAULT_PRIVATE_KEYS_FILE = ""
        assert "Nothing was opened" in files.keys("doctor")
        assert not AccessEvent.objects.filter(kind="opened").exists()
        found = files.doctor()
        assert (found["opened"], used(found["outer"]), used(found["inner"])) == (False, [3], [3])

    def test_row_that_does_not_open_is_named_with_its_reason(self, rows, files):
        key = damage(rows[1])
        out = files.failing("doctor")
        assert f"connection {rows[1].pk}, credential {key.pk}: The sealed value was alter" in out
        found = files.doctor()
        assert found["unreadable"] == 1
        assert found["unreadable_rows"][0]["credential"] == str(key.pk)

    def test_row_under_an_unknown_outer_key_is_named(self, rows, files, settings):
        settings.FERNET_KEYS = ["x" * 43]
        assert files.failing("doctor").count("No key in FERNET_KEYS") == 3

    def test_unused_keys_are_named(self, rows, files):
        files.add()
        files.keys("rotate")
        found = files.doctor()
        old = vault.outer_id(vault.fernet_keys()[1])
        assert found["may_be_removed"] == [f"outer key {old}", "inner key test"]
        damage(rows[0])
        found = files.doctor()
        assert (found["may_be_removed"], len(found["unused"])) == ([], 2)


class TestRotate:
    def test_everything_ends_under_the_newest_keys(self, rows, files, trader):
        making.recovery_codes(trader)
        files.add()
        out = files.keys("rotate")
        found = files.doctor()
        assert (found["to_rotate"], used(found["outer"]), used(found["inner"])) == (
            0,
            [3, 0],
            [3, 0],
        )
        assert found["others"] == {"second factors": {found["outer"][0]["id"]: 1}}
        assert all_open(rows)
        assert "3 of 3 sealed values rotated" in out
        assert "Sealed anew: 3 sealed keys" in out
        assert "every process was restarted" in out.splitlines()[-1]

    def test_batches_are_shown_one_by_one(self, rows, files):
        files.add()
        out = files.keys("rotate", "--batch", "1")
        assert [line.split()[0] for line in out.splitlines()[:3]] == ["1", "2", "3"]

    def test_terminal_shows_them_in_place(self, rows, files):
        files.add()
        screen = Screen()
        call_command("keys", "rotate", batch=2, stdout=screen)
        shown = screen.getvalue()
        assert "\r2 of 3 sealed values rotated\r3 of 3 sealed values rotated\nSealed" in shown

    def test_second_time_changes_nothing(self, rows, files):
        files.add()
        files.keys("rotate")
        before = list(Credential.objects.values_list("pk", "revision"))
        assert "Sealed anew: 0 sealed keys" in files.keys("rotate")
        assert list(Credential.objects.values_list("pk", "revision")) == before

    def test_recovery_key_set_later_reaches_every_row(self, rows, files, recoverable):
        assert files.doctor()["to_rotate"] == 3
        files.keys("rotate")
        found = files.doctor()
        assert (found["to_rotate"], used(found["recovery"])) == (0, [3])

    def test_destroyed_keys_are_left_alone(self, rows, files):
        services.delete(rows[0], by=rows[0].owner)
        making.finish(rows[1], making.report())
        making.replaced(rows[1])
        replacing.destroy_old_key(rows[1], by=rows[1].owner)
        assert Credential.objects.filter(state="retired", sealed__isnull=True).count() == 1
        files.add()
        assert "Sealed anew: 2 sealed keys" in files.keys("rotate")

    def test_replaced_key_that_is_kept_is_sealed_anew_as_the_others(self, rows, files):
        making.finish(rows[1], making.report())
        kept = making.replaced(rows[1])
        files.add()
        assert "Sealed anew: 4 sealed keys" in files.keys("rotate")
        kept.refresh_from_db()
        assert (kept.state, kept.revision) == ("replaced", 2)
        assert all_open([rows[0], rows[2]])

    def test_row_that_does_not_open_is_left_named_and_no_key_may_go(self, rows, files):
        key = damage(rows[2])
        files.add()
        out = files.failing("rotate", "--retire-old")
        assert f"credential {key.pk}" in out
        assert "1 sealed value cannot be opened" in out
        assert Credential.objects.get(pk=key.pk).revision == key.revision
        assert len(files.values()["FERNET_KEYS"].split(",")) == 2
        assert all_open(rows[:2])

    def test_opening_is_recorded_before_it_happens(self, rows, files, monkeypatch):
        files.add()
        before = AccessEvent.objects.count()

        def refuse(*_: object, **__: object) -> None:
            assert AccessEvent.objects.filter(why="keys rotate").count() == 3
            raise KeyboardInterrupt

        monkeypatch.setattr(vault, "opened", refuse)
        with pytest.raises(KeyboardInterrupt):
            files.keys("rotate")
        assert AccessEvent.objects.count() == before + 3

    def test_cannot_begin_with_keys_that_do_not_fit(self, rows, files, settings):
        _, public, _ = vault.new_key_pair()
        settings.VAULT_PUBLIC_KEYS = [f"test:{public}"]
        assert "No private key" in files.failing("rotate")
        settings.VAULT_PRIVATE_KEYS_FILE = ""
        assert "VAULT_PRIVATE_KEYS_FILE is not set" in files.failing("rotate")
        assert not AccessEvent.objects.filter(kind="opened").exists()

    @pytest.mark.parametrize("batch", ["0", "-1", "many"])
    def test_batch_is_a_number_of_rows(self, files, batch):
        with pytest.raises(CommandError, match="whole number"):
            files.keys("rotate", "--batch", batch)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestRetire:
    def test_old_keys_go_and_every_row_opens_without_them(self, rows, files):
        files.add()
        out = files.keys("rotate", "--retire-old")
        assert "Opened under the newest keys, every one: 3 sealed keys" in out
        assert len(files.values()["FERNET_KEYS"].split(",")) == 1
        assert len(files.values()["VAULT_PUBLIC_KEYS"].split(",")) == 1
        assert len(json.loads(files.private.read_text())) == 1
        assert files.env.read_text().startswith("# kept\n")
        files.restart()
        assert all_open(rows)

    def test_text_that_no_key_opens_keeps_the_old_keys(self, rows, files, monkeypatch):
        files.add()
        monkeypatch.setattr(keyring, "others", [Texts(Counter({"": 2}))])
        assert "2 other texts cannot be opened" in files.failing("rotate", "--retire-old")
        assert len(files.values()["FERNET_KEYS"].split(",")) == 2

    def test_text_that_stays_under_an_old_key_keeps_it(self, rows, files, monkeypatch):
        files.add()
        monkeypatch.setattr(keyring, "others", [Texts(Counter({vault.fernet_keys()[1]: 1}))])
        out = files.failing("rotate", "--retire-old")
        assert "Under old keys again, or still: 1." in out
        assert len(files.values()["FERNET_KEYS"].split(",")) == 2

    def test_row_stored_with_old_keys_meanwhile_keeps_them(
        self, rows, files, trader, mexc, settings, monkeypatch
    ):
        files.add()
        proof = keyring.proof

        def late_web(why: str) -> keyring.Run:
            newest = settings.FERNET_KEYS
            settings.FERNET_KEYS = newest[1:]
            making.connection(trader, mexc, "Late")
            settings.FERNET_KEYS = newest
            return proof(why)

        monkeypatch.setattr(keyring, "proof", late_web)
        assert "Under old keys again, or still: 1." in files.failing("rotate", "--retire-old")
        assert len(files.values()["FERNET_KEYS"].split(",")) == 2

    def test_files_of_other_keys_are_refused_before_any_work(self, rows, files):
        files.keys("create", "--add")  # and not restarted
        assert "does not hold the keys" in files.failing("rotate", "--retire-old")
        assert not AccessEvent.objects.filter(kind="opened").exists()


class Texts:
    """Other texts under the outer lock, which no rotation changes."""

    name = "stubborn texts"

    def __init__(self, found: Counter[str]) -> None:
        self.found = found

    def inventory(self) -> Counter[str]:
        return self.found

    def rotate(self):
        yield 0


class TestRecover:
    def test_lost_private_file_loses_no_key(self, files, recoverable, trader, mexc):
        row = making.connection(trader, mexc, "One", making.credentials(secret=f"{SECRET}-One"))
        files.private.unlink()
        files.keys("create", "--add", "--private-lost")
        files.restart()
        assert "is not in the worker's key file" in files.failing("doctor")
        out = files.keys("recover", "--recovery-file", recoverable)
        assert "Recovered: 1 sealed key" in out
        assert all_open([row])
        assert AccessEvent.objects.filter(why="keys recover", credential__connection=row).exists()
        assert files.doctor()["unreadable"] == 0
        assert "Recovered: 0 sealed keys" in files.keys("recover", "--recovery-file", recoverable)

    def test_row_without_a_box_for_it_is_named(self, rows, files, recoverable, trader, mexc):
        making.connection(trader, mexc, "Four", making.credentials(secret=f"{SECRET}-Four"))
        files.private.unlink()
        files.keys("create", "--add", "--private-lost")
        files.restart()
        out = files.failing("recover", "--recovery-file", recoverable)
        assert "Recovered: 1 sealed key" in out
        assert out.count("no box for a recovery key") == 3
        assert "3 sealed values cannot be opened" in out

    def test_key_of_another_recovery_file_is_named(self, files, recoverable, connection, tmp_path):
        files.private.unlink()
        files.keys("create", "--add", "--private-lost")
        files.restart()
        other = tmp_path / "other.json"
        files.keys("create", "--recovery", other)
        assert "another recovery key" in files.failing("recover", "--recovery-file", other)

    def test_cannot_begin_with_keys_that_do_not_fit(self, files, recoverable, connection, settings):
        _, public, _ = vault.new_key_pair()
        settings.VAULT_PUBLIC_KEYS = [f"test:{public}"]
        assert "No private key" in files.failing("recover", "--recovery-file", recoverable)
        assert not AccessEvent.objects.filter(kind="opened").exists()

    def test_row_that_opens_is_left_as_it_is(self, files, recoverable, connection):
        out = files.keys("recover", "--recovery-file", recoverable)
        assert "1 sealed key opened without it" in out
        assert connection.credentials.get().revision == 1

    def test_file_that_cannot_be_read_is_named(self, db, files, tmp_path):
        missing = tmp_path / "missing.json"
        out = files.failing("recover", "--recovery-file", missing)
        assert f"{missing}: The file of private keys cannot be read" in out


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--add"],
        ["create", "--recovery", "never-made.json"],
        ["doctor"],
        ["rotate"],
        ["recover", "--recovery-file", "none.json"],
    ],
)
def test_web_process_has_no_part_in_it(rows, files, settings, words):
    settings.ROLE = "web"
    before = files.env.read_text(), files.private.read_text()
    assert "web process" in files.failing(*words)
    assert (files.env.read_text(), files.private.read_text()) == before
    assert not AccessEvent.objects.filter(kind="opened").exists()
    for begin in (keyring.survey, keyring.rotation, lambda: keyring.proof("x")):
        with pytest.raises(vault.SealedError, match="web process"):
            begin()


def test_whole_life_of_keys(files, recoverable, trader, mexc, simulator, caplog):
    """Sealed, rotated, old keys retired, private file lost, recovered: the worker opens it all
    along, and nothing secret is printed."""
    good = sample("mexc", "good")
    key = Credentials(good.api_key, good.paste_secret, good.paste_passphrase)
    row = making.connection(trader, mexc, "Mine", key)
    assert outcome_of_test(row) == "connected"
    files.add()
    assert files.doctor()["to_rotate"] == 1
    files.keys("rotate")
    assert files.doctor()["to_rotate"] == 0
    assert outcome_of_test(row) == "connected"
    files.keys("rotate", "--retire-old")
    files.restart()
    assert outcome_of_test(row) == "connected"
    files.private.unlink()
    files.keys("create", "--add", "--private-lost")
    files.restart()
    files.failing("doctor")
    files.keys("recover", "--recovery-file", recoverable)
    files.keys("rotate", "--retire-old")
    files.restart()
    assert outcome_of_test(row) == "connected"
    assert files.doctor()["unreadable"] == 0
    offline = set(json.loads(recoverable.read_text()).values())
    for secret in {key.api_key, key.secret} | files.secrets | offline:
        assert secret not in files.printed + caplog.text


def outcome_of_test(row: Connection) -> str:
    if not row.tests.open().exists():
        making.asked_again(row)
    worker.run_test(str(row.tests.open().get().pk))
    row.refresh_from_db()
    return row.status


def test_help_names_every_action(capsys):
    with pytest.raises(SystemExit):
        call_command("keys", "--help")
    out = capsys.readouterr().out
    assert all(action in out for action in ("create", "doctor", "rotate", "recover"))
