"""What the tests of faults share: sites, people who are signed in, what they submit."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from backfuture import roles
from tests import canary
from tests.running import PASSWORD, ROOT, Site, Visitor
from tests.simulator import KeySpec

# Whatever database and broker the run was given.
EMBEDDED = {"DATABASE_URL": "", "CELERY_BROKER_URL": "embedded://"}
LOOKED_FOR = 5  # keys that are looked for in all that was printed
ADDRESS = re.compile(r"/connections/([0-9a-f-]{36})/$")


class Breakable(Site):
    """A site that can be started again with other settings than at first, and whose people are
    made in the database."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.first = dict(self.environment)
        self.secrets = {"password of people": PASSWORD, **_passwords_in(self.first)}
        self.maker = program(self, "crowd", stdin=subprocess.PIPE)
        return self

    def __exit__(self, *error: Any) -> None:
        self.maker.communicate()
        super().__exit__(*error)

    def restart(self, **settings: str) -> None:
        """With these settings beside the first ones."""
        self.supervisor.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.stop()  # asked a second time, it does not wait for what hangs
        self.environment = {**self.first, **settings}
        self.secrets |= _passwords_in(settings)
        self.start()

    def as_at_first(self) -> Self:
        if self.environment != self.first:
            self.restart()
        return self

    @contextmanager
    def another_web(self, **settings: str) -> Iterator[None]:
        """Another web server, with these settings; within the block visitors go there."""
        self.secrets |= _passwords_in(settings)
        with (
            closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener,
            tempfile.TemporaryFile("w+") as output,
        ):
            server = subprocess.Popen(
                [sys.executable, *roles.web_command(listener.fileno())],
                cwd=ROOT,
                env={**self.environment, **settings},
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            url, self.url = self.url, f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                yield
            finally:
                self.url = url
                server.terminate()
                server.wait(20)
                output.seek(0)
                self.said += output.readlines()

    def crowd(self, size: int) -> list[Visitor]:
        """People who signed in just now."""
        return [person.visitor() for person in self._make(f"{size}")]

    def person(self) -> Person:
        """The same, with a password, a confirmed address and an authenticator app."""
        return self._make(f"1 {PASSWORD}")[0]

    def _make(self, wanted: str) -> list[Person]:
        assert self.maker.stdin and self.maker.stdout
        self.maker.stdin.write(f"{wanted}\n")
        self.maker.stdin.flush()
        made = [Person(self, **each) for each in json.loads(self.maker.stdout.readline())]
        for person in made:
            self.secrets |= {f"session of {person.email}": person.session}
            self.secrets |= {f"seed of {person.email}": person.seed} if person.seed else {}
        return made


@dataclass
class Person:
    site: Site
    email: str
    session: str
    seed: str = ""

    def visitor(self) -> Visitor:
        """Signed in just now."""
        visitor = self.site.visitor()
        visitor.session.cookies.set("sessionid", self.session)
        return visitor

    def code(self, steps: int = 0) -> str:
        """What the authenticator app shows, so many steps of 30 s from now."""
        return format_hotp_value(hotp_value(self.seed, int(time.time()) // 30 + steps))


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Breakable]:
    """A site of which nothing secret is found in what it printed, nor a key in what it kept."""
    with Breakable(folder, **settings) as site:
        yield site
        kept = {str(file): file.read_bytes() for file in site.files()}
        secrets = _secrets_of(site)
    assert_no_key_in({"output": "".join(site.said).encode(), **kept}, site.keys)
    assert [name for name, value in secrets.items() if value in "".join(site.said)] == []


def assert_no_key_in(data: dict[str, bytes], keys: list[KeySpec]) -> None:
    step = max(1, len(keys) // LOOKED_FOR)
    for key in keys[::step]:
        typed = canary.Credentials(key.api_key, key.secret, key.passphrase)
        for where, found in data.items():
            assert canary.found_in(found, typed) == [], where


def in_words(answer: requests.Response) -> bool:
    """A page for people: of this site's look, without a trace of the program."""
    text = answer.text
    return "<h1" in text and "Traceback" not in text and "Error at /" not in text


def program(site: Site, name: str, **options: Any) -> subprocess.Popen[str]:
    """One of these tests' own, with the site's settings, the worker's key file included."""
    private = str(site.folder / "keys" / "private-keys.json")
    more = {
        "VAULT_PRIVATE_KEYS_FILE": private,
        "DJANGO_SETTINGS_MODULE": "backfuture.settings",
        "LOG_LEVEL": "ERROR",
    }
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.faults.{name}"],
        cwd=ROOT,
        env={**site.environment, **more},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


# --- what is sent ----------------------------------------------------------------------------


def submit(visitor: Visitor, key: KeySpec, name: str) -> requests.Response:
    """The form of a new connection, sent once; where it leads is not followed."""
    path = f"/connections/new/{key.exchange}/"
    if "csrftoken" not in visitor.session.cookies:
        assert visitor.get(path).status_code == 200
    values = {
        "name": name,
        "api_key": key.api_key,
        "secret": key.paste_secret,
        "passphrase": key.paste_passphrase,
        "csrfmiddlewaretoken": visitor.session.cookies["csrftoken"],
    }
    url = visitor.site.url + path
    return visitor.session.post(
        url, data=values, headers={"Referer": url}, timeout=60, allow_redirects=False
    )


def saved(answer: requests.Response) -> str:
    """The id of the connection that a submission led to, or nothing."""
    found = ADDRESS.search(answer.headers.get("Location", ""))
    return found[1] if answer.status_code == 302 and found else ""


def _passwords_in(settings: dict[str, str]) -> dict[str, str]:
    """Those that stand in the addresses of services."""
    found = {name: urlsplit(value).password for name, value in settings.items() if "://" in value}
    return {f"password of {name}": password for name, password in found.items() if password}


def _secrets_of(site: Breakable) -> dict[str, str]:
    lines = (site.folder / ".env").read_text().splitlines()
    named = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    named.pop("VAULT_PUBLIC_KEYS")
    private = json.loads((site.folder / "keys" / "private-keys.json").read_text())
    return {**named, **private, **site.secrets}
