"""One child of the supervisor: a process group and its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from . import process, roles

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # before a dead child is started again; doubles
STEADY_SECONDS = 60  # who lived this long starts again with the first pause


def say(role: str, text: str) -> None:
    with suppress(OSError):  # the terminal is gone; the work is not
        sys.stdout.write(f"{role:<9} | {text}\n")
        sys.stdout.flush()


class Child:
    def __init__(
        self,
        role: str,
        command: Sequence[str],
        fds: Sequence[int] = (),
        *,
        delay: float = 0,
        niceness: int = 0,
    ) -> None:
        self.role, self.command, self.fds = role, [sys.executable, *command], fds
        self.niceness = niceness
        self.running: subprocess.Popen[bytes] | None = None
        self.output = -1
        self.unfinished_line = b""
        self.starts, self.started, self.pause = 0, 0.0, FIRST_PAUSE
        self.due = time.monotonic() + delay

    def start(self) -> None:
        self.output, other_end = os.pipe()
        os.set_blocking(self.output, False)
        self.running = subprocess.Popen(  # noqa: S603  the commands are in roles.py
            self.command,
            cwd=roles.BASE_DIR,
            env=roles.environment_of(self.role),
            stdin=subprocess.DEVNULL,
            stdout=other_end,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self.fds,
            preexec_fn=partial(process.end_with_parent, os.getpid()),
        )
        os.close(other_end)
        if self.niceness:
            least = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self.running.pid, least + self.niceness)
        self.starts, self.started = self.starts + 1, time.monotonic()

    def pass_on_output(self) -> bool:
        """Prints what it has written. False when there is no more to read."""
        try:
            output = os.read(self.output, 65536)
        except BlockingIOError:
            return False
        *lines, self.unfinished_line = (self.unfinished_line + output).split(b"\n")
        for line in lines:
            say(self.role, line.decode(errors="replace").rstrip())
        return bool(output)

    def is_alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def status(self) -> int | None:
        return self.running.returncode if self.running else None

    def ask_to_end(self) -> None:
        """Only the leader is asked: a worker lets its pool finish what it has begun."""
        if self.running is not None and self.is_alive():
            self.running.terminate()

    def bury(self) -> None:
        """Ends what is left of the group and prints its last words."""
        if self.running is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()
        while self.pass_on_output():
            pass
        if self.unfinished_line:
            say(self.role, self.unfinished_line.decode(errors="replace").rstrip())
        self.unfinished_line = b""
        os.close(self.output)
        self.running = None

    def plan_restart(self, status: int) -> None:
        if time.monotonic() - self.started > STEADY_SECONDS:
            self.pause = FIRST_PAUSE
        self.due = time.monotonic() + self.pause
        ending = signal.Signals(-status).name if status < 0 else f"status {status}"
        say(self.role, f"ended ({ending}); starts again in {self.pause:.0f} s")
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
