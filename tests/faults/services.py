"""A PostgreSQL server and a Redis of these tests' own: to be killed without disturbing anybody."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.running import free_port, wait_for

SERVER_USER = "postgres"  # the server refuses to run as root
SECRET = secrets.token_hex(8)  # looked for in all that is printed


class Server:
    """A process that listens on a port of 127.0.0.1, from a folder of its own."""

    crash, end = signal.SIGKILL, signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="backfuture-faults-"))

    def command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(self.end)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        self.process = self.run(self.command())
        wait_for(self.answers, 20)

    def stop(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        self.process.wait(20)

    def run(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = SERVER_USER if os.geteuid() == 0 else None
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, user=user, stdout=log, stderr=log)

    def answers(self) -> bool:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), 1)):
            return True
        return False


class Postgres(Server):
    crash, end = signal.SIGQUIT, signal.SIGINT

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self.folder, SERVER_USER)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        data = ["--pgdata", str(self.folder / "data"), "--no-sync"]
        assert self.run([str(postgres_program("initdb")), *data, *options]).wait(60) == 0
        return super().__enter__()

    def answers(self) -> bool:
        """It listens before it has read its log again after a crash."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False

    @property
    def url(self) -> str:
        return f"postgres://postgres:{SECRET}@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        words = [word for setting in settings for word in ("-c", setting)]
        data = str(self.folder / "data")
        return [str(postgres_program("postgres")), "-D", data, "-p", str(self.port), *words]


class Redis(Server):
    @property
    def url(self) -> str:
        return f"redis://:{SECRET}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return ["redis-server", *place, "--save", "", "--requirepass", SECRET]

    def run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)


def postgres_program(name: str) -> Path | None:
    """Debian keeps the server's programs out of the way; the newest version's."""
    if found := shutil.which(name):
        return Path(found)
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)


def missing() -> list[str]:
    """What these servers need and this machine does not have."""
    names = [name for name in ("initdb", "postgres") if postgres_program(name) is None]
    if shutil.which("redis-server") is None:
        names.append("redis-server")
    if os.geteuid() == 0 and SERVER_USER not in {user.pw_name for user in pwd.getpwall()}:
        names.append(f"the user {SERVER_USER}")
    return names
