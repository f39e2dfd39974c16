"""The vault's keys: `keys create` makes a first set and never touches an existing one."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections import vault


class Command(BaseCommand):
    help = "Makes the keys that BackFuture needs before its first start."
    requires_system_checks: list[str] = []  # they would complain of what is about to be made

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a first set of keys")
        create.add_argument("--env-file", type=Path, default=Path(".env"))
        create.add_argument("--private-file", type=Path, default=Path("var/keys/private-keys.json"))

    def handle(self, *, action: str, env_file: Path, private_file: Path, **_: Any) -> None:
        for file in (env_file, private_file):
            if file.exists():
                raise CommandError(f"{file} exists. Keys are never overwritten.")
        key_id, public, private = vault.new_key_pair()
        # The private file first: an .env whose public key nobody can open would be worse.
        write_private(private_file, json.dumps({key_id: private}) + "\n")
        write_private(env_file, _first_environment(f"{key_id}:{public}"))
        self.stdout.write(
            f"Made {env_file} (every process) and {private_file} (the worker alone).\n"
            "Keep copies of both, apart from each other and from the database. "
            "If the private file is lost, every API key must be entered again."
        )


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner can read, from its first byte on."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def _first_environment(public_key: str) -> str:
    return (
        "# Made by `manage.py keys create`. Private: never commit, mail or paste it.\n"
        f"SECRET_KEY={secrets.token_urlsafe(48)}\n"
        f"FERNET_KEYS={secrets.token_urlsafe(32)}\n"
        f"FINGERPRINT_PEPPER={secrets.token_urlsafe(32)}\n"
        f"VAULT_PUBLIC_KEYS={public_key}\n"
    )
