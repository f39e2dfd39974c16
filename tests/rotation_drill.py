"""Rotations that are killed while keys are edited: `killed` takes the number of kills, a few in
every run and many among the faults."""

from __future__ import annotations

import io
import json
import os
import queue
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import django
import environ
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "backfuture.settings"
    django.setup()

from backfuture.accounts.models import User
from connections import keyring_files, replacing, results, vault, worker
from connections.events import AccessEvent, event
from connections.exchanges.base import Credentials
from connections.models import Connection, ConnectionTest, Credential, Exchange
from tests import making

ROOT = Path(__file__).resolve().parent.parent


class Site:
    """A database and keys of its own, used by processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.env, self.private = folder / ".env", folder / "keys" / "private-keys.json"
        self.database = f"sqlite:///{folder / 'db.sqlite3'}"
        if server := _server():
            name = f"drill_{secrets.token_hex(4)}"
            self.database = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
            _execute(server, f'CREATE DATABASE "{name}"')
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "ENV_FILE": str(self.env),
            "VAR_DIR": str(folder),
            "DATABASE_URL": self.database,
            "VAULT_PRIVATE_KEYS_FILE": str(self.private),
        }

    def __enter__(self) -> Self:
        files = {"env_file": self.env, "private_file": self.private}
        call_command("keys", "create", **files, stdout=io.StringIO())
        self.run("manage.py", "migrate", "--verbosity", "0")
        return self

    def __exit__(self, *_: object) -> None:
        if server := _server():
            name = urlsplit(self.database).path.lstrip("/")
            _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=pipe, text=True, **options
        )

    def run(self, *words: str) -> str:
        process = self.start(*words)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out
        return out

    def keys(self, *words: str) -> str:
        return self.run("manage.py", "keys", *words)


def _server() -> str:
    """The database server that the tests were given, "" for none."""
    # Not at the top: it would give the processes below other settings than their own.
    from tests.settings import GIVEN

    given = GIVEN.get("DATABASE_URL", "")
    return given if given.startswith("postgres") else ""


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as database:
        database.execute(statement)


@dataclass
class Report:
    on_the_way: int  # rotations that were killed before their end
    edits: int
    longest: float  # seconds that one edit took


def killed(folder: Path, kills: int, rows: int = 60) -> Report:
    """Adds keys and rotates `kills` times, each time killed, while keys are replaced, tested and
    discarded. No key is lost, and each opens under the newest keys alone."""
    with Site(folder) as site:
        editor = site.start("-m", "tests.rotation_drill", str(rows), stdin=subprocess.PIPE)
        _wait(editor)
        on_the_way = 0
        for _ in range(kills):
            keyring_files.add_keys(site.env, site.private)
            _tell(editor, "restart worker")
            on_the_way += _rotate_and_kill(site)
        _tell(editor, "restart all")
        site.keys("rotate", "--retire-old")
        _tell(editor, "restart all")
        out, _ = editor.communicate("stop\n", timeout=60)
        assert editor.returncode == 0, out
        done = json.loads(out)
        assert done["found"] == done["expected"]
        return Report(on_the_way, done["edits"], done["longest"])


def _tell(editor: subprocess.Popen[str], word: str) -> None:
    assert editor.stdin
    editor.stdin.write(f"{word}\n")
    editor.stdin.flush()
    _wait(editor)


def _wait(editor: subprocess.Popen[str]) -> None:
    assert editor.stdout and editor.stdout.readline() == "ready\n"


def _rotate_and_kill(site: Site) -> bool:
    process = site.start("manage.py", "keys", "rotate", "--batch", "4")
    assert process.stdout
    for _ in range(random.randrange(1, 6)):
        process.stdout.readline()
    time.sleep(random.uniform(0, 0.15))
    process.kill()
    process.stdout.close()
    return process.wait(30) == -signal.SIGKILL


# --- in a process of its own -------------------------------------------------------------------


class Editor:
    """Does to keys what traders and the worker do, and remembers what must be there."""

    def __init__(self, rows: int) -> None:
        self.expected: dict[str, dict[str, str]] = {}
        self.edits, self.longest = 0, 0.0
        self.web = _settings()
        exchange = Exchange.objects.get(code="mexc")
        for number in range(rows):
            if number % 20 == 0:
                owner = User.objects.create_user(f"{number}@example.com", "a long enough password")
            key = _key()
            made = making.connection(owner, exchange, f"Key {number}", key)
            self.expected[str(made.pk)] = {"active": key.api_key}
            self._test(made)

    def restart(self, whom: str) -> None:
        """The worker has new keys before anything is rotated; the web may be late."""
        before, values = _settings(), environ.Env()
        values.read_env(os.environ["ENV_FILE"], overwrite=True)
        for name in before:
            setattr(settings, name, values.list(name))
        vault.private_keys.cache_clear()
        self.web = random.choice([before, _settings()]) if whom == "worker" else _settings()

    def edit(self) -> None:
        connection = Connection.objects.get(pk=random.choice(list(self.expected)))
        started = time.monotonic()
        if "pending" not in self.expected[str(connection.pk)]:
            self._replace(connection)
        else:
            random.choice([self._test, self._discard, self._replace])(connection)
        self.longest = max(self.longest, time.monotonic() - started)
        self.edits += 1

    def _replace(self, connection: Connection) -> None:
        making.age(connection, minutes=2)
        key = _key()
        with override_settings(**self.web):
            replacing.replace_key(connection, by=connection.owner, credentials=key)
        self.expected[str(connection.pk)]["pending"] = key.api_key

    def _discard(self, connection: Connection) -> None:
        assert replacing.discard_new_key(connection, by=connection.owner)
        del self.expected[str(connection.pk)]["pending"]

    def _test(self, connection: Connection) -> None:
        """As the worker does; a rotation may come between any two lines."""
        test = worker._claim(str(connection.tests.open().get().pk))
        assert test is not None
        time.sleep(random.uniform(0, 0.02))
        keys = self.expected[str(connection.pk)]
        assert _opened(test.credential) == keys.get("pending", keys["active"])
        results.write(test, making.report())
        assert ConnectionTest.objects.get(pk=test.pk).outcome == "connected"
        if pending := keys.pop("pending", ""):
            keys |= {"active": pending, "replaced": keys["active"]}


def _key() -> Credentials:
    api_key = making.credentials().api_key
    return Credentials(api_key, f"secret of {api_key}")


def _opened(key: Credential) -> str:
    opening = event(AccessEvent.Kind.OPENED, connection=key.connection, key=key, why="drill")
    assert key.sealed is not None
    with vault.opened(key.sealed, key, event=opening) as credentials:
        assert credentials.secret == f"secret of {credentials.api_key}"
        return credentials.api_key


def _settings() -> dict[str, list[str]]:
    return {name: getattr(settings, name) for name in ("FERNET_KEYS", "VAULT_PUBLIC_KEYS")}


def _edit_until_told(rows: int) -> None:
    editor, words = Editor(rows), queue.Queue[str]()
    threading.Thread(target=lambda: [words.put(line) for line in sys.stdin], daemon=True).start()
    print("ready", flush=True)
    while (word := _next(words)) != "stop":
        if word.startswith("restart"):
            editor.restart(word.removeprefix("restart "))
            print("ready", flush=True)
        editor.edit()
        time.sleep(0.005)
    print(json.dumps({**vars(editor), "found": _open_all(), "web": None}))


def _next(words: queue.Queue[str]) -> str:
    try:
        return words.get_nowait().strip()
    except queue.Empty:
        return ""


def _open_all() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key in Credential.objects.filter(sealed__isnull=False).select_related("connection"):
        found.setdefault(str(key.connection_id), {})[key.state] = _opened(key)
    return found


if __name__ == "__main__":
    _edit_until_told(int(sys.argv[1]))
