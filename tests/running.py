"""The whole product as its own processes, in a folder of its own: web, worker, beat, exchanges."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import requests

from tests import canary
from tests.prepared import prepare
from tests.settings import GIVEN
from tests.simulator import KeySpec, Simulator, sample

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a long enough password"
Value = TypeVar("Value")


def wait_for(ask: Callable[[], Value], seconds: float = 20, every: float = 0.1) -> Value:
    """The first true answer. Raises AssertionError when there is none in time."""
    until = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(every)
    return answer


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Site:
    """Started by `with`; `settings` are further environment variables, before those the run was
    given. The exchanges are simulated in this process, so that a test can change their keys.
    `output` is what was printed since the last start, `said` all of it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.exchanges = Simulator()
        self.keys: list[KeySpec] = []
        self.settings = {**GIVEN, **settings}
        self.output: list[str] = []
        self.said: list[str] = []

    def __enter__(self) -> Self:
        self.exchanges.start()
        self.database = _database(self.folder, self.settings.get("DATABASE_URL", ""))
        self.environment = self._environment()
        self.manage("keys", "create", "--env-file", str(self.folder / ".env"), *self._private())
        prepare(self.folder, self.manage, at_a_server=not self.database.startswith("sqlite"))
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.exchanges.stop()
        _drop(self.database, self.settings.get("DATABASE_URL", ""))

    def start(self) -> None:
        self.output.clear()
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "backfuture.supervisor", "--bind", f"127.0.0.1:{self.port}"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read_output, daemon=True).start()
        wait_for(self._answers, 60)

    def stop(self) -> None:
        self.supervisor.send_signal(signal.SIGINT)
        self.supervisor.wait(20)

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def processes(self, words: str) -> list[int]:
        """Process ids of this site's processes whose command line holds `words`."""
        found = subprocess.run(["pgrep", "-f", words], capture_output=True, text=True).stdout
        return [pid for pid in map(int, found.split()) if self._is_ours(pid)]

    def kill(self, words: str) -> None:
        for pid in self.processes(words):
            with_group = os.getpgid(pid)
            os.killpg(with_group, signal.SIGKILL)
            return

    def visitor(self) -> Visitor:
        return Visitor(self)

    def key(self, name: str, exchange: str = "mexc", **fields: Any) -> KeySpec:
        """A good key of its own, but for `fields`, so that tests do not meet over one."""
        values = canary.credentials(exchange)
        fields = {"permissions": sample(exchange, "good").permissions, **fields}
        typed = (values.api_key, values.secret, values.passphrase)
        key = KeySpec(exchange, name, *typed, **fields)
        self.exchanges.add(key)
        self.keys.append(key)
        return key

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read past the product, straight from its database. `?` stands for a value."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as database:
                return database.execute(query, values).fetchall()
        with psycopg.connect(self.database) as database:
            return database.execute(query.replace("?", "%s"), values).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        """Writes past the product, in place of waiting for time to pass."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as database:
                database.execute(statement, values)
                database.commit()
            return
        with psycopg.connect(self.database) as database:
            database.execute(statement.replace("?", "%s"), values)

    def age_tests(self) -> None:
        """In place of waiting until a test may be asked for again."""
        moment = datetime.now(UTC) - timedelta(minutes=1)
        self.execute("UPDATE connections_connectiontest SET queued_at = ?", str(moment))

    @contextmanager
    def locked_for(self, seconds: float) -> Iterator[None]:
        """Nobody else can write connections or tests for that long."""
        locked = threading.Event()
        holder = threading.Thread(target=self._hold_lock, args=(seconds, locked))
        holder.start()
        assert locked.wait(30)
        yield
        holder.join()

    def _hold_lock(self, seconds: float, locked: threading.Event) -> None:
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as database:
                database.isolation_level = None
                database.execute("BEGIN IMMEDIATE")
                locked.set()
                time.sleep(seconds)
                database.execute("ROLLBACK")
            return
        with psycopg.connect(self.database) as database:
            database.execute(
                "LOCK TABLE connections_connection, connections_connectiontest IN EXCLUSIVE MODE"
            )
            locked.set()
            time.sleep(seconds)

    def files(self) -> Iterator[Path]:
        return (file for file in self.folder.rglob("*") if file.is_file())

    def _private(self) -> tuple[str, str]:
        return "--private-file", str(self.folder / "keys" / "private-keys.json")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "ENV_FILE": str(self.folder / ".env"),
            "VAR_DIR": str(self.folder),
            "CELERY_BROKER_URL": "embedded://",
            "EXCHANGE_GATEWAY_URL": self.exchanges.url,
            "ALLOW_EXCHANGE_GATEWAY": "1",
            "SERVER_IPS": "203.0.113.7,203.0.113.8",
            "SITE_URL": self.url,
            "LOG_LEVEL": "DEBUG",
            **self.settings,
            "DATABASE_URL": self.database,
        }

    def _answers(self) -> bool:
        assert self.supervisor.poll() is None, "".join(self.output)
        return any("BackFuture is at" in line for line in self.output)

    def _read_output(self) -> None:
        for line in self.supervisor.stdout or ():
            self.output.append(line)
            self.said.append(line)

    def _is_ours(self, pid: int) -> bool:
        try:
            return str(self.folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except PermissionError:  # a worker hides its memory, and with it its environment
            return self._parent_is_ours(pid)
        except OSError:
            return False

    def _parent_is_ours(self, pid: int) -> bool:
        found = re.search(r"PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
        parent = int(found[1]) if found else 0
        return parent == self.supervisor.pid or (parent > 1 and self._parent_is_ours(parent))


class Visitor:
    """Someone at the site, without JavaScript: follows redirects, sends forms with their token."""

    def __init__(self, site: Site) -> None:
        self.site, self.session = site, requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self._url(path), timeout=30, **options)

    def post(self, path: str, values: dict[str, str]) -> requests.Response:
        token = self.session.cookies.get("csrftoken") or ""
        return self.session.post(
            self._url(path),
            data={**values, "csrfmiddlewaretoken": token},
            headers={"Referer": self._url(path)},
            timeout=30,
        )

    def sign_up(self, email: str = "") -> Visitor:
        self.get("/accounts/signup/")
        email = email or f"{secrets.token_hex(4)}@example.com"
        values = {"email": email, "password1": PASSWORD, "password2": PASSWORD}
        answer = self.post("/accounts/signup/", values)
        assert "/connections/" in answer.url, answer.url
        return self

    def connect(self, key: Any, name: str) -> str:
        """Saves a simulator's key as a new connection; its address."""
        values = {
            "name": name,
            "api_key": key.api_key,
            "secret": key.paste_secret,
            "passphrase": key.paste_passphrase,
        }
        path = f"/connections/new/{key.exchange}/"
        self.get(path)
        answer = self.post(path, values)
        assert answer.status_code == 200
        assert re.search(r"/connections/[0-9a-f-]{36}/$", answer.url), answer.url
        return urlsplit(answer.url).path

    def cookies(self) -> list[dict[str, str]]:
        """For a browser that goes on as this visitor."""
        kept = self.session.cookies.get_dict()
        return [{"name": n, "value": v, "url": self.site.url} for n, v in kept.items()]

    def wait_until_tested(self, path: str, seconds: float = 30) -> str:
        """The page once no test is open any more."""

        def tested() -> str:
            text = self.get(path).text
            return "" if 'http-equiv="refresh"' in text else text

        return wait_for(tested, seconds)

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else self.site.url + path


def _database(folder: Path, given: str) -> str:
    """A database of its own: SQLite in the folder, or a new one at the given server."""
    if not given.startswith("postgres"):
        return f"sqlite:///{folder / 'db.sqlite3'}"
    name = f"site_{secrets.token_hex(4)}"
    with psycopg.connect(given, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(given)._replace(path=f"/{name}"))


def _drop(database: str, given: str) -> None:
    if database.startswith("postgres"):
        name = urlsplit(database).path.lstrip("/")
        with psycopg.connect(given, autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
