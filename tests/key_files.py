"""The vault's keys on disk, and this process running with them."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from connections import vault


class KeyFiles:
    """Both files in a folder. What is changed in them counts after `restart`, as it does for the
    product's processes."""

    def __init__(self, folder: Path, settings: Any) -> None:
        self.settings, self.out = settings, ""
        self.env, self.private = folder / ".env", folder / "private-keys.json"
        self.env.write_text(
            "# kept\n"
            f"FERNET_KEYS={','.join(settings.FERNET_KEYS)}\n"
            f"VAULT_PUBLIC_KEYS={','.join(settings.VAULT_PUBLIC_KEYS)}\n"
        )
        self.private.write_bytes(Path(settings.VAULT_PRIVATE_KEYS_FILE).read_bytes())
        for file in (self.env, self.private):
            file.chmod(0o600)
        settings.VAULT_PRIVATE_KEYS_FILE = str(self.private)
        self.printed, self.secrets = "", self._secrets()

    def keys(self, *words: str | Path) -> str:
        """Runs the command; what it printed is returned and kept in `out`, also when it fails."""
        out = io.StringIO()
        if "--add" in words or words[0] == "rotate":
            words = (*words, "--env-file", self.env, "--private-file", self.private)
        try:
            call_command("keys", *map(str, words), stdout=out)
        finally:
            self.out = out.getvalue()
            self.printed += self.out
            self.secrets |= self._secrets()
        return self.out

    def failing(self, *words: str | Path) -> str:
        """As `keys`, for a command that must end with exit code 1; its last sentence too."""
        try:
            self.keys(*words)
        except CommandError as error:
            assert error.returncode == 1
            self.printed += str(error)
            return self.out + str(error)
        raise AssertionError(f"the command did not fail: {self.out}")

    def doctor(self) -> dict[str, Any]:
        with suppress(CommandError):
            self.keys("doctor", "--json")
        return dict(json.loads(self.out))

    def add(self) -> None:
        self.keys("create", "--add")
        self.restart()

    def restart(self) -> None:
        values = self.values()
        self.settings.FERNET_KEYS = values["FERNET_KEYS"].split(",")
        self.settings.VAULT_PUBLIC_KEYS = values["VAULT_PUBLIC_KEYS"].split(",")
        self.settings.VAULT_RECOVERY_KEY = values.get("VAULT_RECOVERY_KEY", "")
        vault.private_keys.cache_clear()

    def values(self) -> dict[str, str]:
        lines = [line for line in self.env.read_text().splitlines() if "=" in line]
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def _secrets(self) -> set[str]:
        found = set(self.values()["FERNET_KEYS"].split(","))
        if self.private.exists():
            found |= set(json.loads(self.private.read_text()).values())
        return found
