"""Runs the whole product from one command: web server, workers, beat and, for the demo, the
exchange simulator.

    python -m backfuture.supervisor [--bind 127.0.0.1:8000] [--with-simulator PORT]

Every child leads its own process group, is started again when it dies, and ends with the
supervisor. When the supervisor itself is killed by force, Linux ends the children too
(process.end_with_parent); elsewhere they stay and have to be ended by hand. Only workers are
told where the private keys are. One thread and one loop, so that forking stays safe.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TextIO

from . import roles
from .child import Child, say

GRACE_SECONDS = 5  # between asking a child to end and making it
# Statuses that say "I will not start like this" (wsgi.py, celery.py): not worth a second try.
REFUSALS = {"web": 3, **dict.fromkeys(roles.WORKERS, 78)}
PAGE = "/accounts/login/"
LARGEST_PORT = 65535


class CannotStart(Exception):
    """A sentence for whoever typed the command."""


class Supervisor:
    def __init__(self, listener: socket.socket, simulator_port: int | None) -> None:
        self.listener = listener
        self.children = children(listener, simulator_port)
        self.selector = selectors.DefaultSelector()
        self.signals = 0

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.remember_signal)
        self.ask_for_page()
        if os.geteuid() == 0:
            say("note", "this runs as root; a user of its own would be safer")
        try:
            while not self.signals:
                self.start_what_is_due()
                self.wait(0.2)
                self.look_for_deaths()
        finally:
            self.stop()

    def remember_signal(self, *_: Any) -> None:
        self.signals += 1

    def start_what_is_due(self) -> None:
        for child in self.children:
            if child.running is None and time.monotonic() >= child.due:
                if child.role == "beat":  # whatever wrote it is dead, since we hold the lock
                    roles.beat_pidfile().unlink(missing_ok=True)
                child.start()
                read = partial(self.read, child)
                self.selector.register(child.output, selectors.EVENT_READ, read)

    def wait(self, seconds: float) -> None:
        """For output, the web server's answer, or the time to pass."""
        for key, _ in self.selector.select(seconds):
            key.data(key.fileobj)

    def read(self, child: Child, output: int) -> None:
        if not child.pass_on_output():
            self.selector.unregister(output)

    def look_for_deaths(self) -> None:
        for child in self.children:
            if child.running is not None and not child.is_alive():
                self.replace(child, child.status() or 0)

    def replace(self, child: Child, status: int) -> None:
        self.bury(child)
        if child.starts == 1 and status == REFUSALS.get(child.role):
            raise CannotStart(f"BackFuture does not start: the {child.role} says why above.")
        child.plan_restart(status)

    def bury(self, child: Child) -> None:
        with suppress(KeyError, ValueError):  # never started, or its output has already ended
            self.selector.unregister(child.output)
        child.bury()

    def ask_for_page(self) -> None:
        """The question waits in the listener's queue until the web server takes it up."""
        host, port = reachable(self.listener)
        question = socket.create_connection((host, port))
        question.sendall(f"GET {PAGE} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        self.selector.register(question, selectors.EVENT_READ, self.hear_answer)

    def hear_answer(self, question: socket.socket) -> None:
        self.selector.unregister(question)
        with question, suppress(OSError):
            if question.recv(5) == b"HTTP/":
                say("ready", f"BackFuture is at {address(self.listener)} (Ctrl-C ends it)")
                return
        self.ask_for_page()  # the web server died over it

    def stop(self) -> None:
        """Asks all to end, then makes them. A second Ctrl-C shortens the wait."""
        for child in self.children:
            child.ask_to_end()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.is_alive() for child in self.children):
            if time.monotonic() > deadline or self.signals > 1:
                break
            self.wait(0.1)
        for child in self.children:
            self.bury(child)
        roles.beat_pidfile().unlink(missing_ok=True)


def children(listener: socket.socket, simulator_port: int | None) -> list[Child]:
    fd = listener.fileno()
    ours = [
        Child("web", roles.web_command(fd), fds=[fd]),
        Child("worker", roles.worker_command()),
        # Nobody waits for it: it starts after the page is there, and yields the processor.
        Child("sweeper", roles.sweeper_command(), delay=3, niceness=10),
        Child("beat", roles.beat_command()),
    ]
    if simulator_port is None:
        return ours
    return [Child("simulator", roles.simulator_command(simulator_port)), *ours]


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Where this machine reaches a socket that may listen on all addresses."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104


def address(listener: socket.socket) -> str:
    host, port = reachable(listener)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def listen(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > LARGEST_PORT:
        raise CannotStart(f"BackFuture cannot listen on {bind}: it is not of the form HOST:PORT.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=512)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (")[0]
        raise CannotStart(f"BackFuture cannot listen on {bind}: {reason}.") from None


def lock() -> TextIO:
    """Held until the process ends: one set of processes per folder."""
    folder = roles.var_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = (folder / "supervisor.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart(f"BackFuture already runs from {folder}; end that first.") from None
    return file


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m backfuture.supervisor",
        description="Runs web server, workers and beat, and starts again what dies.",
    )
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--with-simulator", type=int, metavar="PORT")
    parser.add_argument("--check", action="store_true", help="only say whether it could start")
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> None:
    with lock(), listen(options.bind) as listener:
        if options.with_simulator is not None:
            listen(f"127.0.0.1:{options.with_simulator}").close()
        if not options.check:
            Supervisor(listener, options.with_simulator).run()


def main(words: Sequence[str] | None = None) -> int:
    try:
        run(arguments(words))
    except CannotStart as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
