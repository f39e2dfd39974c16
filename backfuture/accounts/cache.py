"""The cache that needs no server: files that all processes share.

Tries of passwords and used one-time codes are counted in it, so nobody may push them out, and two
processes may not both be the first.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.filebased import FileBasedCache


class SharedFileCache(FileBasedCache):
    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Django looks first and writes then; here nobody comes between."""
        self._createdir()  # type: ignore[attr-defined]
        with (Path(self._dir) / "lock").open("w") as lock:  # type: ignore[attr-defined]
            fcntl.flock(lock, fcntl.LOCK_EX)
            return super().add(key, value, timeout, version)

    def _cull(self) -> None:
        """What has expired goes first; only then, as Django does, any of the rest."""
        if len(self._list_cache_files()) >= self._max_entries:  # type: ignore[attr-defined]
            for name in self._list_cache_files():  # type: ignore[attr-defined]
                self._drop_if_expired(name)
        super()._cull()  # type: ignore[misc]

    def _drop_if_expired(self, name: str) -> None:
        try:
            with open(name, "rb") as file:
                self._is_expired(file)  # type: ignore[attr-defined]  # deletes it
        except OSError:
            pass  # somebody else was faster
