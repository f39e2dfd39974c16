"""What `keys` says: ids of keys and counts, never a key or a value."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from . import vault
from .keyring import Outcome, Run
from .keyring_inventory import Inventory, Problems
from .models import Credential, NoticeChannel

BEFORE_RETIRING = (
    "Before `keys rotate --retire-old`, make sure that every process was restarted with the new "
    "keys: one that was not could still store something under the old ones."
)

# --- create ----------------------------------------------------------------------------------


def recovery_pair(public_key: str, file: Path) -> str:
    return (
        f"VAULT_RECOVERY_KEY={public_key}\n"
        f"Put this line into the environment of every process, and take {file} offline now: with "
        "it and the database every API key can be opened. Restart all processes; then "
        "`keys rotate` gives the keys that are stored already a box for it."
    )


def added(outer: str, inner: str, env_file: Path, private_file: Path) -> str:
    return (
        f"Put the outer key {outer} and the inner key {inner} in front of those in {env_file}; "
        f"the private half is in {private_file}. Keep new copies of both files."
    )


# --- doctor ----------------------------------------------------------------------------------


def described(
    found: Inventory, private: Collection[str] | None, problems: Problems
) -> dict[str, Any]:
    """All that the doctor knows. `private` names the private keys at hand; None where there are
    none, so that nothing was opened."""
    unused = _unused(found, private)
    return {
        "rows": found.rows,
        "channels": found.channels,
        "to_rotate": found.stale,
        "outer": _outer(found),
        "inner": _inner(found, private),
        "recovery": _recovery(found),
        "others": {name: dict(texts) for name, texts in found.others.items()},
        "opened": private is not None,
        "unreadable": problems.count,
        "unreadable_rows": [
            {name: str(value) for name, value in each._asdict().items() if value}
            for each in problems.named
        ],
        "unreadable_others": found.lost_others,
        "unused": unused,
        # What cannot be opened yet may turn out to need one of them.
        "may_be_removed": [] if problems.count or found.lost_others else unused,
    }


def table(data: dict[str, Any]) -> Iterator[str]:
    found = _sealed(data["rows"], data["channels"])
    yield f"{found}; not under the newest keys: {data['to_rotate']}"
    for kind in ("outer", "inner", "recovery"):
        for key in data[kind]:
            yield _line(f"{kind} key", key["id"] or "none", key["note"], key["rows"])
    for name, texts in data["others"].items():
        yield f"{sum(texts.values())} {name}"
        for key_id, count in texts.items():
            yield _line("outer key", key_id or "none", "" if key_id else "cannot be opened", count)
    yield from _rows(data["unreadable_rows"], data["unreadable"])
    yield from _verdict(data)


def unreadable(problems: Problems) -> Iterator[str]:
    return _rows([each._asdict() for each in problems.named], problems.count)


def how_many_unreadable(rows: int, others: int) -> str:
    texts = f" and {others} other texts" if others else ""
    return f"{_values(rows)}{texts} cannot be opened."


def _verdict(data: dict[str, Any]) -> Iterator[str]:
    if not data["opened"]:
        yield (
            "Nothing was opened, since VAULT_PRIVATE_KEYS_FILE is not set here. Where it is, the "
            "doctor opens every row."
        )
    elif not data["unreadable"]:
        yield f"Opened, every one: {_sealed(data['rows'], data['channels'])}."
    if data["may_be_removed"]:
        yield f"Nothing uses these, they may be removed: {', '.join(data['may_be_removed'])}."
        yield BEFORE_RETIRING
    elif data["unused"]:
        yield f"Nothing uses these, keep them until all opens: {', '.join(data['unused'])}."


# --- rotate, recover ---------------------------------------------------------------------------


def rotated(found: Inventory, run: Run, others: int) -> Iterator[str]:
    yield from unreadable(run.problems)
    yield (
        f"Sealed anew: {_count(run, Outcome.ANEW)}. Each was opened once more, and was the same, "
        "before it was written."
    )
    if others:
        yield f"Other rows put under the newest outer key: {others}."
    newest = found.newest
    keys = f"outer key {newest.outer}, inner key {newest.inner}"
    recovery = f", recovery key {newest.recovery}" if newest.recovery else ""
    yield f"Under {keys}{recovery}: {found.total - found.stale} of {_values(found.total)}."


def may_go(found: Inventory, private: Collection[str] | None) -> Iterator[str]:
    if unused := _unused(found, private):
        yield f"Nothing uses these any more, they may go: {', '.join(unused)}."
        yield BEFORE_RETIRING


def retired(run: Run, env_file: Path, private_file: Path) -> Iterator[str]:
    yield (
        f"Opened under the newest keys, every one: {_count(run, Outcome.KEPT)}. The old keys were "
        "removed from "
        f"{env_file} and {private_file}."
    )
    yield (
        "Restart all processes. Who signed in before the new keys signs in again. Backups from "
        "before need the old keys: keep copies of those, apart from the backups, as long as you "
        "keep the backups."
    )


def recovered(run: Run, file: Path) -> Iterator[str]:
    yield from unreadable(run.problems)
    yield (
        f"Recovered: {_count(run, Outcome.ANEW)}. Each was opened once more, and was the same, "
        f"before it was written. {_count(run, Outcome.KEPT)} opened without it."
    )
    yield (
        f"{file} was on this machine now. Take it away, make a new recovery pair with "
        "`keys create --recovery`, and run `keys rotate`."
    )


# --- lines of tables -----------------------------------------------------------------------------


def _rows(named: list[dict[str, Any]], count: int) -> Iterator[str]:
    for each in named:
        where = f"chat service {each.get('channel')}"
        if each.get("credential"):
            where = f"connection {each['connection']}, credential {each['credential']}"
        yield f"cannot be opened: {where}: {each['reason']}"
    if count > len(named):
        yield f"and {count - len(named)} more"


def _outer(found: Inventory) -> list[dict[str, Any]]:
    return [
        {
            "id": key_id,
            "position": place,
            "note": f"{place} in FERNET_KEYS{', newest' if place == 1 else ''}",
            "rows": found.outer[key_id],
        }
        for place, key_id in enumerate(map(vault.outer_id, vault.fernet_keys()), 1)
    ]


def _inner(found: Inventory, private: Collection[str] | None) -> list[dict[str, Any]]:
    known = dict.fromkeys([*vault.public_keys(), *(private or ()), *found.inner])
    return [
        {
            "id": _plain(key_id),
            "note": _note(key_id, found.newest.inner, private),
            "rows": found.inner[key_id],
        }
        for key_id in known
    ]


def _recovery(found: Inventory) -> list[dict[str, Any]]:
    known = dict.fromkeys([found.newest.recovery, *found.recovery])
    return [
        {
            "id": _plain(key_id),
            "note": "in VAULT_RECOVERY_KEY" if key_id and key_id == found.newest.recovery else "",
            "rows": found.recovery[key_id],
        }
        for key_id in known
    ]


def _unused(found: Inventory, private: Collection[str] | None) -> list[str]:
    outer = [f"outer key {key_id}" for key_id in found.unused_outer()]
    return outer + [f"inner key {key_id}" for key_id in found.unused_inner(private or ())]


def _note(key_id: str, newest: str, private: Collection[str] | None) -> str:
    missing = private is not None and key_id not in private
    notes = ["newest"] * (key_id == newest) + ["private half missing"] * missing
    return ", ".join(notes)


def _count(run: Run, outcome: Outcome) -> str:
    return _sealed(run.outcomes[Credential, outcome], run.outcomes[NoticeChannel, outcome])


def _sealed(keys: int, channels: int) -> str:
    """ "3 sealed keys", "3 sealed keys and 1 address of a chat service"."""
    found = "1 sealed key" if keys == 1 else f"{keys} sealed keys"
    if not channels:
        return found
    chats = (
        "1 address of a chat service" if channels == 1 else f"{channels} addresses of chat services"
    )
    return f"{found} and {chats}"


def _values(count: int) -> str:
    return "1 sealed value" if count == 1 else f"{count} sealed values"


def _plain(key_id: str) -> str:
    """An id comes out of what is stored: nothing in it may act on a terminal."""
    return ascii(key_id[:16])[1:-1]


def _line(kind: str, key_id: str, note: str, rows: int) -> str:
    return f"  {kind:<14}{key_id:<18}{note:<32}{rows:>8}"
