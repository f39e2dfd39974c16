"""Gathers all that the running product leaves anywhere, channel by channel, and searches it.

`Between` stands between browser and site and keeps every answer. `Sweep.look` reads what changes
(database, broker, cache, sessions, browser, processes), `Sweep.gather` what only grows (output,
mails, answers, files). `search` finds a secret in every form that `canary.forms` knows.
"""

from __future__ import annotations

import email
import email.policy
import json
import pickle
import re
import shutil
import subprocess
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import redis
from playwright.sync_api import BrowserContext

from tests import canary
from tests.running import Site

CHANNELS = (
    "output of web",
    "output of worker",
    "output of beat",
    "mails",
    "rows",
    "dump",
    "sealed column",
    "broker",
    "cache",
    "sessions",
    "answers",
    "headers of answers",
    "addresses asked for",
    "local storage",
    "session storage",
    "cookies",
    "history",
    "console",
    "browser's profile",
    "command lines",
    "environments",
    "file names",
    "files",
)

LONG = 12  # digits; a recovery code has 8

# --- secrets and the search for them -------------------------------------------------------


@dataclass(frozen=True)
class Secret:
    """`shown` names where it stands on purpose: (channel, part of the place's name)."""

    name: str
    value: str
    shown: tuple[tuple[str, str], ...] = ()

    def needles(self) -> list[bytes]:
        """Its forms, without those that hold another one."""
        forms = canary.forms(self.value)
        return [one for one in forms if not any(o != one and o in one for o in forms)]

    def may_stand(self, channel: str, place: str) -> bool:
        return any(channel == name and part in place for name, part in self.shown)


def secrets_of(name: str, key: Any) -> list[Secret]:
    """The parts of a key as it is typed (Credentials or the simulator's KeySpec)."""
    parts = {
        "API key": key.api_key,
        "secret": getattr(key, "paste_secret", key.secret),
        "passphrase": getattr(key, "paste_passphrase", key.passphrase),
    }
    return [Secret(f"{part} of {name}", value) for part, value in parts.items() if value]


def stands_in(data: bytes, needle: bytes) -> bool:
    if needle not in data:
        return False
    if not needle.isdigit() or len(needle) >= LONG:
        return True
    # A few digits turn up within longer numbers by chance.
    return re.search(rb"(?<![0-9A-Za-z])%b(?![0-9A-Za-z])" % needle, data) is not None


def search(pieces: dict[str, bytes], channel: str, secrets: Iterable[Secret]) -> list[str]:
    """A line for each secret in each place, as `channel, place: name`."""
    found = []
    for secret in secrets:
        needles = secret.needles()
        for place, data in pieces.items():
            if secret.may_stand(channel, place):
                continue
            if any(stands_in(data, needle) for needle in needles):
                found.append(f"{channel}, {place}: {secret.name}")
    return found


# --- between browser and site --------------------------------------------------------------


class Between(ThreadingHTTPServer):
    """Passes requests on to the site; keeps every answer and every address that was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.target = 0
        self.kept: list[tuple[str, str, bytes, bytes]] = []  # channel-less: see `pieces`
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def pieces(self) -> Iterator[tuple[str, str, bytes]]:
        for number, (request, asked, headers, body) in enumerate(list(self.kept)):
            place = f"{number} {request}"
            yield "addresses asked for", place, asked.encode()
            yield "headers of answers", place, headers
            yield "answers", place, body

    def statuses(self) -> set[str]:
        return {headers.split(b"\n")[0].decode() for _, _, headers, _ in self.kept}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with closing(HTTPConnection("127.0.0.1", self.server.target, timeout=60)) as site:
            site.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                site.putheader(name, "close" if name.lower() == "connection" else value)
            site.endheaders(body or None)
            answer = site.getresponse()
            text = answer.read()
        self._keep(answer.status, answer.getheaders(), text)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_POST = do_HEAD = do_GET

    def _keep(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self.path.startswith("/static/"):
            return
        asked = "\n".join([self.path, *(self.headers.get(n, "") for n in ("Referer", "Origin"))])
        told = "\n".join([str(status), *(f"{name}: {value}" for name, value in headers)])
        request = f"{self.command} {self.path.partition('?')[0]}"
        self.server.kept.append((request, asked, told.encode(), body))

    def log_message(self, *_: Any) -> None:
        pass


# --- everything ----------------------------------------------------------------------------

IN_SITE = """
import json
from django.contrib.sessions.models import Session
from backfuture.accounts.sessions import SessionStore
from connections.models import Credential
field = Credential._meta.get_field("sealed")
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT id, sealed FROM connections_credential WHERE sealed IS NOT NULL")
    sealed = {str(pk): field.fernet.decrypt(bytes(token)).decode() for pk, token in cursor}
stored = Session.objects.values_list("session_key", "session_data")
sessions = {key: SessionStore().decode(data) for key, data in stored}
print(json.dumps([sealed, sessions]))
"""
BROWSER = """async () => ({
    local: JSON.stringify([{...localStorage}, await indexedDB.databases(), await caches.keys()]),
    session: JSON.stringify({...sessionStorage}),
    history: JSON.stringify([location.href, document.title, window.name, history.state,
        ...navigation.entries().map((entry) => [entry.url, entry.getState() ?? null])]),
})"""


class Sweep:
    def __init__(self, site: Site, between: Between, profile: Path) -> None:
        self.site, self.between, self.profile = site, between, profile
        self.pieces: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.broker = site.environment["CELERY_BROKER_URL"]
        self.monitor = _Monitor(self.broker) if self.broker.startswith("redis") else None

    def add(self, channel: str, place: str, data: bytes | str) -> None:
        assert channel in CHANNELS, channel
        self.pieces[channel][place] = data.encode() if isinstance(data, str) else data

    # What changes.

    def look(self, moment: str, context: BrowserContext | None = None) -> None:
        for channel, place, data in (
            *self._rows(),
            *self._dump(),
            *self._opened(),
            *self._queues_and_cache(),
            *self._processes(),
            *(self._browser(context) if context else ()),
        ):
            self.add(channel, f"{place} {moment}", data)

    def _rows(self) -> Iterator[tuple[str, str, bytes]]:
        """As the database gives them: bytes as bytes, all else as text."""
        for table in self._tables():
            rows = self.site.rows(f'SELECT * FROM "{table}"')  # noqa: S608  our own tables
            values = [value for row in rows for value in row]
            text = "\n".join(str(v) for v in values if not isinstance(v, bytes | memoryview))
            raw = b"\n".join(bytes(v) for v in values if isinstance(v, bytes | memoryview))
            yield "rows", table, text.encode() + b"\n" + raw

    def _tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if not self.site.database.startswith("sqlite"):
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return [name for (name,) in self.site.rows(query)]

    def _dump(self) -> Iterator[tuple[str, str, bytes]]:
        """What a thief of the files or of a backup has: SQLite's with its log, pg_dump's text."""
        if self.site.database.startswith("sqlite"):
            for file in self.site.folder.glob("db.sqlite3*"):
                yield "dump", file.name, file.read_bytes()
            return
        words = [shutil.which("pg_dump") or "pg_dump", "--dbname", self.site.database]
        yield "dump", "pg_dump", subprocess.run(words, capture_output=True, check=True).stdout

    def _opened(self) -> Iterator[tuple[str, str, bytes]]:
        """With the site's own FERNET_KEYS, as a thief of .env would: sessions, and the sealed
        column without its outer lock."""
        words = ("shell", "--verbosity", "0", "--command", IN_SITE)
        sealed, sessions = json.loads(self.site.manage(*words).splitlines()[-1])
        for key, box in sealed.items():
            yield "sealed column", key, box.encode()
        for key, values in sessions.items():
            assert values, "a session could not be decoded"
            yield "sessions", key, json.dumps(values).encode()

    def _queues_and_cache(self) -> Iterator[tuple[str, str, bytes]]:
        for file in _files(self.site.folder / "broker"):
            yield "broker", file.name, file.read_bytes()
        for file in _files(self.site.folder / "cache"):
            if file.suffix != ".djcache":  # the lock, which is empty
                continue
            with suppress(FileNotFoundError), file.open("rb") as opened:  # deleted when expired
                pickle.load(opened)  # noqa: S301  our own: when it expires
                yield "cache", file.name, zlib.decompress(opened.read())
        if self.monitor:
            yield "broker", "commands", self.monitor.said()
            yield from self.monitor.stored()

    def _processes(self) -> Iterator[tuple[str, str, bytes]]:
        for pid, role in self.site_processes():
            with suppress(OSError):
                yield "command lines", f"{pid} {role}", Path(f"/proc/{pid}/cmdline").read_bytes()
            with suppress(OSError):  # a worker's cannot be read: that is promised elsewhere
                yield "environments", f"{pid} {role}", Path(f"/proc/{pid}/environ").read_bytes()

    def site_processes(self) -> Iterator[tuple[int, str]]:
        for pid in self.site.processes("python"):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                yield (
                    pid,
                    next((r for r in ("gunicorn", "worker", "beat") if r.encode() in words), ""),
                )

    def _browser(self, context: BrowserContext) -> Iterator[tuple[str, str, str]]:
        for page in context.pages:
            if not page.url.startswith("http"):
                continue
            told = page.evaluate(BROWSER)
            yield "local storage", page.url, told["local"]
            yield "session storage", page.url, told["session"]
            yield "history", page.url, told["history"]
        yield "cookies", "all", json.dumps(context.cookies())

    # What only grows.

    def gather(self) -> None:
        """All there is by now. The browser is closed, so that its files are complete."""
        for role in ("web", "worker", "beat"):
            lines = [line for line in self.site.said if line.startswith(role)]
            self.add(f"output of {role}", "lines", "".join(lines))
        for file in _files(self.site.folder / "mails"):
            self.add("mails", file.name, b"".join(_mail_parts(file)))
        for channel, place, data in self.between.pieces():
            self.add(channel, place, data)
        for file in _files(self.profile):
            self.add("browser's profile", str(file.relative_to(self.profile)), file.read_bytes())
        names = [str(file.relative_to(self.site.folder)) for file in self.site.folder.rglob("*")]
        self.add("file names", "all", "\n".join(names))
        for file in _files(self.site.folder):
            name = str(file.relative_to(self.site.folder))
            if not name.startswith("static/"):
                self.add("files", name, file.read_bytes())

    def listen(self, context: BrowserContext) -> None:
        """To the browser's console, from now on."""

        def note(message: Any) -> None:
            self.add("console", str(len(self.pieces["console"])), message.text)

        self.add("console", "start", " ")
        context.on("console", note)
        context.on("weberror", lambda error: self.add("console", "error", str(error.error)))

    def tidy(self) -> None:
        """Takes out of a shared Redis what was left there."""
        if self.monitor:
            self.monitor.tidy()

    def found(self, channel: str, secrets: Iterable[Secret]) -> list[str]:
        return search(self.pieces[channel], channel, secrets)


class _Monitor:
    """Redis as broker and cache: every command while the product runs, and what lies there."""

    CACHE = ":1:"  # begins Django's keys: prefix, version, key

    def __init__(self, url: str) -> None:
        self.server = redis.Redis.from_url(url, socket_timeout=None)
        self.number = self.server.connection_pool.connection_kwargs.get("db", 0)
        self.commands: list[str] = []
        listening = threading.Event()
        self.thread = threading.Thread(target=self._listen, args=(listening,), daemon=True)
        self.thread.start()
        assert listening.wait(10)

    def _listen(self, listening: threading.Event) -> None:
        with self.server.monitor() as monitor, suppress(redis.ConnectionError):
            listening.set()
            for command in monitor.listen():
                if command["db"] == self.number:
                    self.commands.append(command["command"])

    def said(self) -> bytes:
        assert self.thread.is_alive(), "nobody listened to the broker"
        return "\n".join(self.commands).encode()

    def stored(self) -> Iterator[tuple[str, str, bytes]]:
        for key in self.server.scan_iter():
            name = key.decode(errors="replace")
            channel = "cache" if name.startswith(self.CACHE) else "broker"
            yield channel, name, key + b"\n" + b"\n".join(self._values(key))

    def tidy(self) -> None:
        for pattern in (f"{self.CACHE}*", "planted", "_kombu.binding*.planted"):
            for key in self.server.scan_iter(pattern):
                self.server.delete(key)

    def _values(self, key: bytes) -> list[bytes]:
        kind = self.server.type(key).decode()
        if kind == "string":
            return [self.server.get(key) or b""]
        if kind == "list":
            return self.server.lrange(key, 0, -1)
        if kind == "hash":
            return [part for pair in self.server.hgetall(key).items() for part in pair]
        if kind == "set":
            return list(self.server.smembers(key))
        if kind == "zset":
            return self.server.zrange(key, 0, -1)
        return [self.server.dump(key) or b""]


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def _mail_parts(file: Path) -> Iterator[bytes]:
    """As it was sent, and every part decoded: a line's end may stand in the middle of a secret."""
    for raw in file.read_bytes().split(b"\n" + b"-" * 79 + b"\n"):
        yield raw
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        yield "\n".join(f"{name}: {value}" for name, value in mail.items()).encode()
        for part in mail.walk():
            if not part.is_multipart():
                yield part.get_payload(decode=True) or b""  # type: ignore[misc]
