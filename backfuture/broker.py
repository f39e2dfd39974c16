"""The embedded broker: one file per message in EMBEDDED_BROKER_DIR, nothing to install or run.

A message is written beside its place and renamed into it, so a reader meets it whole or not
at all; a reader takes it by renaming it away, so one process gets it. (kombu's own filesystem
transport writes messages and its exchange tables in place and passes them through the shared
temporary folder.) A message that is lost only costs time: the work is a row in the database.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import quote

from django.conf import settings
from kombu.exceptions import OperationalError
from kombu.transport import virtual

logger = logging.getLogger(__name__)

# Unfinished writes and half-taken messages of processes that died are swept after this long.
STALE_SECONDS = 3600
LONGEST_WAIT = 0.5


class Channel(virtual.Channel):
    """Queues are told apart by file name: `<time>-<id>.<queue>.msg`. A name that begins with a
    dot is no message: somebody is writing it or has taken it."""

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.folder = Path(settings.EMBEDDED_BROKER_DIR)
        self._sweep()

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        """Raises OperationalError, as every other broker does, where nothing can be written."""
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}{_ending(queue)}"
        unfinished = self.folder / f".{name}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(message), encoding="utf-8")
            unfinished.rename(self.folder / name)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise OperationalError(f"The broker's folder cannot be written: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for name in self._waiting(queue):
            message = self._take(name)
            if message is not None:
                return message
        raise Empty

    def _take(self, name: str) -> dict[str, Any] | None:
        """The message, or None where another process was quicker or the file is damaged."""
        taken = self.folder / f".{name}"
        try:
            (self.folder / name).rename(taken)
        except FileNotFoundError:
            return None
        text = taken.read_bytes()
        taken.unlink()
        return _read(name, text)

    def _waiting(self, queue: str) -> list[str]:
        """File names, oldest first."""
        ending = _ending(queue)
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:  # nothing was published yet
            return []
        return sorted(name for name in names if name[name.find(".") :] == ending)

    def _size(self, queue: str) -> int:
        return len(self._waiting(queue))

    def _purge(self, queue: str) -> int:
        names = self._waiting(queue)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        return len(names)

    def _sweep(self) -> None:
        for path in self.folder.glob(".*.msg"):
            try:
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:  # finished, or swept by another process
                continue


def _ending(queue: str) -> str:
    return f".{quote(queue, safe='')}.msg"


def _read(name: str, text: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(text))
    except ValueError:
        logger.warning("The broker's message %s is damaged and was dropped.", name)
        return None


class Transport(virtual.Transport):
    Channel = Channel
    default_port = 0
    driver_type = driver_name = "embedded"
    # 200 tasks take 9.7 s at this interval and 100 s at kombu's default of 1 s;
    # an idle worker uses under 2 % of a core.
    polling_interval = 0.1

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Raises TimeoutError early, so that a worker that is asked to end soon does."""
        wait = None if timeout is None else min(timeout, LONGEST_WAIT)
        super().drain_events(connection, timeout=wait, **kwargs)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}  # there is no host

    def driver_version(self) -> str:
        return "1"
