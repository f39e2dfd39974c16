"""Reads the environment and refuses what it cannot read, instead of guessing."""

from __future__ import annotations

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

YES = {"1", "true", "yes", "on"}
NO = {"0", "false", "no", "off", ""}


class Environment(environ.Env):  # type: ignore[misc]
    def switch(self, name: str, default: bool = False) -> bool:
        """A yes-or-no value. `env.bool("ture")` would silently be False."""
        word = str(self.str(name, default="1" if default else "0")).strip().lower()
        if word not in YES | NO:
            raise ImproperlyConfigured(
                f"{name} is set to a word that is neither yes nor no; use 1 or 0."
            )
        return word in YES


def read(file: Path) -> Environment:
    """The process's environment, completed (never overridden) from `file` where it exists."""
    env = Environment()
    if file.is_file():
        env.read_env(str(file))
    return env
