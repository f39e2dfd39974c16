"""The files of keys: replaced as a whole, everything else in them kept, or not touched at all."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from backfuture import environment
from connections import keyring_files, vault
from connections.keyring_files import Refused

KEY_ID, PUBLIC, PRIVATE = vault.new_key_pair()
OLD = "k" * 20 + "0123456789-_abcdefghijk"
REST = "\n# a comment, FERNET_KEYS=not-this-one\nSITE_URL='https://example.com'\n\nDEBUG=0\n"
OUTER, INNER = f"FERNET_KEYS={OLD}\n", f"VAULT_PUBLIC_KEYS={KEY_ID}:{PUBLIC}\n"
LINES = OUTER + INNER


@pytest.fixture
def private(tmp_path) -> Path:
    return written(tmp_path / "private-keys.json", json.dumps({KEY_ID: PRIVATE}))


@pytest.fixture
def env(tmp_path) -> Path:
    return written(tmp_path / ".env", LINES + REST)


def written(file: Path, text: str) -> Path:
    file.write_bytes(text.encode())
    file.chmod(0o600)
    return file


def read(file: Path, monkeypatch, name: str) -> list[str]:
    """As the settings read it."""
    monkeypatch.setattr(environment.Environment, "ENVIRON", {})
    return environment.read(file).list(name)


@pytest.mark.parametrize(
    ("line", "old"),
    [
        (f"FERNET_KEYS={OLD}", [OLD]),
        (f'FERNET_KEYS="{OLD}"', [OLD]),
        (f"FERNET_KEYS='{OLD}'", [OLD]),
        (f"export FERNET_KEYS={OLD}", [OLD]),
        (f'FERNET_KEYS="{OLD},{OLD[::-1]}"', [OLD, OLD[::-1]]),
        (f"FERNET_KEYS={OLD},", [OLD]),
        (f"FERNET_KEYS={OLD}=", [OLD + "="]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_new_key_comes_first_however_the_line_is_written(
    tmp_path, private, monkeypatch, line, old, end
):
    text = f"{line}\nVAULT_PUBLIC_KEYS={KEY_ID}:{PUBLIC}\n{REST}".replace("\n", end)
    env = written(tmp_path / ".env", text)
    added = keyring_files.add_keys(env, private)
    keys = read(env, monkeypatch, "FERNET_KEYS")
    assert keys[1:] == old
    assert vault.outer_id(keys[0]) == added.outer
    assert re.search(r"=([\"']?)", line)[1] == re.search(r"FERNET_KEYS=([\"']?)", _text(env))[1]
    assert _text(env).endswith(REST.replace("\n", end))
    assert read(env, monkeypatch, "SITE_URL") == ["https://example.com"]
    assert list(json.loads(private.read_text())) == [added.inner, KEY_ID]


def _text(file: Path) -> str:
    return file.read_bytes().decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (INNER + REST, "no line FERNET_KEYS="),
        (OUTER + LINES, "more than one line FERNET_KEYS="),
        (f"#{LINES}", "no line FERNET_KEYS="),
        (f" {LINES}", "no line FERNET_KEYS="),
        (f"FERNET_KEYS=\n{INNER}", "no key in the line FERNET_KEYS="),
        (f"FERNET_KEYS=$OTHER\n{INNER}", "only the name of another"),
        (OUTER, "no line VAULT_PUBLIC_KEYS="),
        (f"{OUTER}VAULT_PUBLIC_KEYS=other:{PUBLIC}\n", "has no key 'other'"),
        (rf'FERNET_KEYS="{OLD}\\x"' + f"\n{INNER}", "not in a form that can be changed"),
    ],
)
def test_file_that_cannot_be_changed_is_refused_and_both_are_left(tmp_path, private, text, reason):
    env = written(tmp_path / ".env", text)
    before = private.read_bytes()
    with pytest.raises(Refused) as caught:
        keyring_files.add_keys(env, private)
    assert reason in str(caught.value)
    assert OLD not in str(caught.value)
    assert (env.read_bytes(), private.read_bytes()) == (text.encode(), before)
    assert sorted(os.listdir(tmp_path)) == [".env", "private-keys.json"]


@pytest.mark.parametrize("content", ["", "[]", "5", '{"a": "b"}', '{"a": 5}', "\xff"])
def test_private_file_in_another_form_is_refused(env, private, content):
    private.write_bytes(content.encode("latin-1"))
    with pytest.raises(Refused):
        keyring_files.add_keys(env, private)
    assert env.read_text() == LINES + REST


@pytest.mark.parametrize("missing", ["env", "private"])
def test_missing_file_is_named(env, private, missing):
    file = {"env": env, "private": private}[missing]
    file.unlink()
    with pytest.raises(Refused, match=f"{file} is not there"):
        keyring_files.add_keys(env, private)


def test_rights_and_links_are_kept(env, private, tmp_path, monkeypatch):
    env.chmod(0o640)
    link = tmp_path / "link.env"
    link.symlink_to(env)
    keyring_files.add_keys(link, private)
    assert link.is_symlink()
    assert stat.S_IMODE(env.stat().st_mode) == 0o640
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert all(
        len(read(env, monkeypatch, name)) == 2 for name in ("FERNET_KEYS", "VAULT_PUBLIC_KEYS")
    )


@pytest.mark.parametrize("stage", ["fsync", "rename"])
@pytest.mark.parametrize("call", [1, 2])
def test_cut_short_leaves_whole_files_whose_newest_keys_fit(env, private, monkeypatch, stage, call):
    """The private half is there before anything is sealed for it."""
    calls = []
    real = getattr(os, stage)

    def fail(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(KeyboardInterrupt):
        keyring_files.add_keys(env, private)
    monkeypatch.setattr(os, stage, real)
    assert env.read_text() == LINES + REST
    assert KEY_ID in json.loads(private.read_text())
    keyring_files.add_keys(env, private)
    first = read(env, monkeypatch, "VAULT_PUBLIC_KEYS")[0].partition(":")[0]
    assert first in json.loads(private.read_text())


def test_leftover_of_a_killed_command_is_in_nobodys_way(env, private):
    left = written(env.with_name(".env.new"), "half of someth" * 100)
    keyring_files.add_keys(env, private)
    assert not left.exists()
    assert env.read_text().endswith(REST)


def test_second_command_at_once_is_refused(env, private):
    with keyring_files.Change(env), pytest.raises(Refused, match="Another command"):
        keyring_files.add_keys(env, private)
    assert keyring_files.add_keys(env, private)


def test_retiring_leaves_the_newest(env, private, settings, monkeypatch):
    added = keyring_files.add_keys(env, private)
    settings.FERNET_KEYS = read(env, monkeypatch, "FERNET_KEYS")
    settings.VAULT_PUBLIC_KEYS = read(env, monkeypatch, "VAULT_PUBLIC_KEYS")
    settings.VAULT_PRIVATE_KEYS_FILE = str(private)
    keyring_files.check_retiring(env, private)
    assert len(read(env, monkeypatch, "FERNET_KEYS")) == 2
    keyring_files.retire(env, private)
    assert read(env, monkeypatch, "FERNET_KEYS") == settings.FERNET_KEYS[:1]
    assert read(env, monkeypatch, "VAULT_PUBLIC_KEYS") == settings.VAULT_PUBLIC_KEYS[:1]
    assert list(json.loads(private.read_text())) == [added.inner]
    assert env.read_text().endswith(REST)


@pytest.mark.parametrize("other", ["FERNET_KEYS", "VAULT_PUBLIC_KEYS", "private"])
def test_files_of_another_site_are_not_retired(
    env, private, settings, monkeypatch, tmp_path, other
):
    keyring_files.add_keys(env, private)
    for name in ("FERNET_KEYS", "VAULT_PUBLIC_KEYS"):
        kept = slice(1) if name == other else slice(None)
        setattr(settings, name, read(env, monkeypatch, name)[kept])
    settings.VAULT_PRIVATE_KEYS_FILE = str(private)
    if other == "private":
        private = written(tmp_path / "other.json", json.dumps({KEY_ID: PRIVATE}))
    before = env.read_text(), private.read_text()
    with pytest.raises(Refused, match="does not hold the keys"):
        keyring_files.retire(env, private)
    assert (env.read_text(), private.read_text()) == before
