"""The two files that hold keys. Each is replaced as a whole or not at all; no key is ever shown."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import environ
from django.conf import settings

from . import vault_keys
from .vault_keys import SealedError

FERNET, PUBLIC = "FERNET_KEYS", "VAULT_PUBLIC_KEYS"


class Refused(Exception):
    """No file was changed. The message says why and holds no key."""


class Added(NamedTuple):
    """The ids of new keys."""

    outer: str
    inner: str


def add_keys(env_file: Path, private_file: Path) -> Added:
    """Puts a new outer key and a new inner pair in front of those in use. Raises Refused."""
    with Change(private_file) as private, Change(env_file) as env:
        entries = _entries(private)
        _refuse_strangers(env, entries, private_file)
        text, added, pair = _with_new_keys(env)
        # The private file first: an .env whose public key nobody can open would be worse.
        private.replace(_json(pair | entries))
        env.replace(text)
    return added


def begin_again(env_file: Path, private_file: Path) -> Added:
    """As `add_keys`, where the private file is lost: a new one is made. Raises Refused."""
    with Change(env_file) as env:
        text, added, pair = _with_new_keys(env)
        try:
            write_private(private_file, _json(pair))
        except FileExistsError:
            raise Refused(f"{private_file} exists, so it is not lost.") from None
        env.replace(text)
    return added


def retire(env_file: Path, private_file: Path) -> None:
    """Leaves the newest outer key and the newest inner pair alone in the files. Raises Refused."""
    with Change(env_file) as env, Change(private_file) as private:
        text, entries = _newest_alone(env, private)
        env.replace(text)
        private.replace(_json(entries))


def check_retiring(env_file: Path, private_file: Path) -> None:
    """Raises Refused where `retire` would, before any work is done."""
    with Change(env_file) as env, Change(private_file) as private:
        _newest_alone(env, private)


def write_private(file: Path, text: str) -> None:
    """Writes a new file that only its owner can read, from its first byte on."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    _sync_folder(file.parent)


class Change:
    """A file to be replaced. Its successor is made beside it and locked from the start, so that
    of two commands at once the second stops; one that was cut short is written over."""

    def __init__(self, file: Path) -> None:
        self.shown = file
        self.file = file.resolve()  # a link stays a link
        self.beside = self.file.with_name(f"{self.file.name}.new")
        self.replaced = False

    def __enter__(self) -> Self:
        if not self.file.is_file():
            raise Refused(f"{self.shown} is not there.")
        try:
            self.out = os.open(self.beside, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Refused(
                f"Beside {self.shown} nothing can be written: {error.strerror}."
            ) from None
        try:
            self._take()
        except BaseException:
            os.close(self.out)
            raise
        return self

    def _take(self) -> None:
        if not self._is_mine():
            raise Refused(f"Another command is changing {self.shown}. Try again.")
        try:
            self.content = self.file.read_bytes()
            self.text = self.content.decode()
            was = self.file.stat()
            os.fchown(self.out, was.st_uid, was.st_gid)
            os.fchmod(self.out, was.st_mode & 0o777)
        except (OSError, UnicodeDecodeError):
            self.beside.unlink()
            raise Refused(f"{self.shown} cannot be read, or belongs to another user.") from None

    def _is_mine(self) -> bool:
        try:
            fcntl.flock(self.out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self.out).st_ino == self.beside.stat().st_ino
        except OSError:  # held by another command, or renamed by it just now
            return False

    def replace(self, text: str) -> None:
        os.ftruncate(self.out, 0)
        with os.fdopen(os.dup(self.out), "wb") as out:
            out.write(text.encode())
        os.fsync(self.out)
        os.rename(self.beside, self.file)
        self.replaced = True
        _sync_folder(self.file.parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.replaced:
            self.beside.unlink()
        os.close(self.out)
        vault_keys.private_keys.cache_clear()


def _with_new_keys(env: Change) -> tuple[str, Added, dict[str, str]]:
    """The text of the environment file with new keys in front, their ids, the private half."""
    outer = secrets.token_urlsafe(32)
    inner, public, private = vault_keys.new_key_pair()
    text = _with_list(env, env.text, FERNET, [outer, *_listed(env, FERNET)])
    text = _with_list(env, text, PUBLIC, [f"{inner}:{public}", *_listed(env, PUBLIC)])
    return text, Added(vault_keys.outer_id(outer), inner), {inner: private}


def _newest_alone(env: Change, private: Change) -> tuple[str, dict[str, str]]:
    """Only for the keys that this process has been working with."""
    outer, public = _listed(env, FERNET), _listed(env, PUBLIC)
    if outer != list(settings.FERNET_KEYS) or public != list(settings.VAULT_PUBLIC_KEYS):
        raise Refused(f"{env.shown} does not hold the keys that this command runs with.")
    newest, entries = _id_of(public[0]), _entries(private)
    if entries != _entries_at_hand():
        raise Refused(f"{private.shown} does not hold the keys that this command runs with.")
    text = _with_list(env, env.text, FERNET, outer[:1])
    return _with_list(env, text, PUBLIC, public[:1]), {newest: entries[newest]}


def _refuse_strangers(env: Change, entries: dict[str, str], private_file: Path) -> None:
    newest = _id_of(_listed(env, PUBLIC)[0])
    if newest not in entries:
        raise Refused(
            f"{private_file} has no key {newest!r}, the first of {PUBLIC} in {env.shown}. "
            "If that key is lost, move the file away and use --private-lost."
        )


def _entries(private: Change) -> dict[str, str]:
    try:
        return vault_keys.entries(private.content)
    except SealedError as error:
        raise Refused(f"{private.shown}: {error}") from None


def _entries_at_hand() -> dict[str, str]:
    try:
        return vault_keys.entries(Path(settings.VAULT_PRIVATE_KEYS_FILE).read_bytes())
    except (OSError, SealedError):
        raise Refused("VAULT_PRIVATE_KEYS_FILE cannot be read.") from None


def _id_of(entry: str) -> str:
    return entry.partition(":")[0]


def _json(entries: dict[str, str]) -> str:
    return json.dumps(entries) + "\n"


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- lines of the environment file, in the form that django-environ reads ---------------------


def _listed(env: Change, name: str) -> list[str]:
    """A list in the file, read as the settings read it."""
    return _parsed(_line(env, env.text, name)[1], name)


def _with_list(env: Change, text: str, name: str, values: Sequence[str]) -> str:
    """`text` with another list in the line of `name`, quoted as it was."""
    place, line = _line(env, text, name)
    head, _, value = line.partition("=")
    quote = value[0] if re.fullmatch(r"(['\"]).*\1", value) else ""
    fresh = f"{head}={quote}{','.join(values)}{quote}"
    if _parsed(fresh, name) != list(values):
        raise Refused(f"{env.shown}: the line {name} is not in a form that can be changed.")
    return text[:place] + fresh + text[place + len(line) :]


def _line(env: Change, text: str, name: str) -> tuple[int, str]:
    """The one line that sets `name`: where it begins, and the line."""
    lines = list(re.finditer(rf"^(?:export )?{name}=[^\r\n]*", text, re.MULTILINE))
    if len(lines) != 1:
        count = "no line" if not lines else "more than one line"
        raise Refused(f"{env.shown} has {count} {name}=.")
    if not _parsed(lines[0][0], name):
        raise Refused(f"{env.shown} has no key in the line {name}=, or only the name of another.")
    return lines[0].start(), lines[0][0]


def _parsed(line: str, name: str) -> list[str]:
    class Reader(environ.Env):  # type: ignore[misc]
        ENVIRON: dict[str, str] = {}

    Reader.read_env(io.StringIO(line))
    value = Reader.ENVIRON.get(name, "")
    return [] if value.startswith("$") else [each for each in value.split(",") if each]
