"""The vault's keys over their life: made, counted, changed, recovered; never overwritten, and
never shown."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from connections import keyring, keyring_files, vault
from connections import keyring_words as words
from connections.keyring_files import write_private
from connections.keyring_inventory import Inventory, Problems

ENV_FILE, PRIVATE_FILE = Path(".env"), Path("var/keys/private-keys.json")


class Command(BaseCommand):
    help = "Makes the keys that BackFuture needs, says what is under which, and changes them."
    requires_system_checks: list[str] = []  # they would complain of what is about to be made

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a first set of keys, or one more")
        which = create.add_mutually_exclusive_group()
        which.add_argument("--add", action="store_true", help="new keys in front of those in use")
        which.add_argument("--recovery", type=Path, metavar="FILE", help="a pair to keep offline")
        create.add_argument(
            "--private-lost", action="store_true", help="with --add: there is no private file left"
        )
        doctor = actions.add_parser("doctor", help="say which keys are in use, and what is lost")
        doctor.add_argument("--json", action="store_true", dest="as_json")
        rotate = actions.add_parser("rotate", help="put everything under the newest keys")
        rotate.add_argument("--retire-old", action="store_true", help="then remove the old ones")
        recover = actions.add_parser("recover", help="seal anew what the recovery key opens")
        recover.add_argument("--recovery-file", type=Path, required=True)
        for action in (create, rotate):
            action.add_argument("--env-file", type=Path)
            action.add_argument("--private-file", type=Path)
        for action in (rotate, recover):
            action.add_argument("--batch", type=_at_least_one, default=keyring.BATCH)

    def handle(self, *, action: str, **options: Any) -> None:
        first = action == "create" and not options["add"] and not options["recovery"]
        if settings.ROLE == "web" and not first:
            raise CommandError("The web process must not touch the keys of the vault.")
        if options.get("private_lost") and not options["add"]:
            raise CommandError("--private-lost goes with --add.")
        try:
            getattr(self, f"_{action}")(**options)
        except (keyring_files.Refused, vault.SealedError) as error:
            raise CommandError(str(error)) from None

    # --- create ------------------------------------------------------------------------------

    def _create(self, *, add: bool, recovery: Path | None, **options: Any) -> None:
        if add:
            self._add_keys(**options)
        elif recovery:
            self._make_recovery_pair(recovery)
        else:
            self._make_first_set(options["env_file"], options["private_file"])

    def _make_first_set(self, env_file: Path | None, private_file: Path | None) -> None:
        env_file, private_file = env_file or ENV_FILE, private_file or PRIVATE_FILE
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

    def _make_recovery_pair(self, file: Path) -> None:
        key_id, public, private = vault.new_key_pair()
        try:
            write_private(file, json.dumps({key_id: private}) + "\n")
        except FileExistsError:
            raise CommandError(f"{file} exists. Keys are never overwritten.") from None
        self.stdout.write(words.recovery_pair(f"{key_id}:{public}", file))

    def _add_keys(self, *, private_lost: bool, **files: Any) -> None:
        env, private = _in_use(**files)
        change = keyring_files.begin_again if private_lost else keyring_files.add_keys
        added = change(env, private)
        self.stdout.write(words.added(added.outer, added.inner, env, private))
        then = "recover" if private_lost else "rotate"
        self.stdout.write(f"Restart all processes, the worker first. Then run `keys {then}`.")

    # --- doctor, rotate, recover ---------------------------------------------------------------

    def _doctor(self, *, as_json: bool, **_: Any) -> None:
        found, private = keyring.survey(), _private_ids()
        problems = found.problems
        if private is not None:
            run = keyring.proof("keys doctor")
            self._watch(run, found.total, "sealed values opened", self._in_place)
            problems = run.problems
        data = words.described(found, private, problems)
        self._say([json.dumps(data, indent=2)] if as_json else words.table(data))
        _fail_on(problems, found.lost_others)

    def _rotate(self, *, batch: int, retire_old: bool, **named: Any) -> None:
        run, files = keyring.rotation(batch), _in_use(**named)
        if retire_old:
            keyring_files.check_retiring(*files)
        self._watch(run, keyring.survey().stale, "sealed values rotated", self._progress)
        changed = sum(keyring.rotate_others())
        found = keyring.survey()
        self._say(words.rotated(found, run, changed))
        _fail_on(run.problems, found.lost_others)
        _fail_on_old(found)
        if retire_old:
            self._retire(*files)
        else:
            self._say(words.may_go(found, _private_ids()))

    def _retire(self, env_file: Path, private_file: Path) -> None:
        """Takes the old keys away only once every row has been opened under the newest ones."""
        run = keyring.proof("keys rotate")
        self._watch(run, keyring.survey().total, "sealed values opened", self._progress)
        found = keyring.survey()
        self._say(words.unreadable(run.problems))
        _fail_on(run.problems, found.lost_others)
        _fail_on_old(found)
        keyring_files.retire(env_file, private_file)
        self._say(words.retired(run, env_file, private_file))

    def _recover(self, *, recovery_file: Path, batch: int, **_: Any) -> None:
        try:
            keys = vault.private_keys(str(recovery_file))
        except vault.SealedError as error:
            raise CommandError(f"{recovery_file}: {error}") from None
        run = keyring.recovery(keys, batch)
        self._watch(run, keyring.survey().total, "sealed values looked at", self._progress)
        self._say(words.recovered(run, recovery_file))
        _fail_on(run.problems)

    # --- what is shown -------------------------------------------------------------------------

    def _watch(self, run: keyring.Run, total: int, what: str, show: Callable[[str], None]) -> None:
        for done in run:
            show(f"{done} of {max(done, total)} {what}")
        self._in_place("")

    def _progress(self, text: str) -> None:
        if self.stdout.isatty():
            self._in_place(text)
        else:
            self.stdout.write(text)
            self.stdout.flush()

    def _in_place(self, text: str) -> None:
        """On a terminal alone; no text ends the line."""
        if self.stdout.isatty():
            self.stdout.write(f"\r{text}" if text else "\n", ending="")
            self.stdout.flush()

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)


def _fail_on(problems: Problems, lost_others: int = 0) -> None:
    if problems.count or lost_others:
        raise CommandError(words.how_many_unreadable(problems.count, lost_others))


def _fail_on_old(found: Inventory) -> None:
    if old := found.stale + found.stale_others:
        raise CommandError(
            f"Under old keys again, or still: {old}. Restart all processes with the new keys, then "
            "run `keys rotate` again. No key was removed."
        )


def _in_use(env_file: Path | None, private_file: Path | None, **_: Any) -> tuple[Path, Path]:
    """The files named, or those that this process was started with."""
    env = os.environ.get("ENV_FILE") or settings.BASE_DIR / ENV_FILE
    private = settings.VAULT_PRIVATE_KEYS_FILE or PRIVATE_FILE
    return env_file or Path(env), private_file or Path(private)


def _private_ids() -> list[str] | None:
    """Which private keys are at hand, None without a file of them."""
    file = settings.VAULT_PRIVATE_KEYS_FILE
    return list(vault.private_keys(file)) if file else None


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("give a whole number of rows, at least 1")
    return int(text)


def _first_environment(public_key: str) -> str:
    return (
        "# Made by `manage.py keys create`. Private: never commit, mail or paste it.\n"
        f"SECRET_KEY={secrets.token_urlsafe(48)}\n"
        f"FERNET_KEYS={secrets.token_urlsafe(32)}\n"
        f"FINGERPRINT_PEPPER={secrets.token_urlsafe(32)}\n"
        f"VAULT_PUBLIC_KEYS={public_key}\n"
    )
