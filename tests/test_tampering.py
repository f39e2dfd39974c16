"""10,000 sealed values that somebody worked on: none opens to anything but what was sealed for that
very row, nothing but SealedError leaves, and no page falls over one of them."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from backfuture.accounts import locking
from backfuture.accounts.models import User
from connections import vault, worker
from connections.exchanges.base import Credentials
from connections.models import Connection, Credential
from tests import making

SEED = 20_261_121
CASES = 10_000
OUTER = ["o" * 43, "u" * 43]
ATTACKERS = Credentials("attackers-key", "attackers-secret", "")


@dataclass(frozen=True)
class Row:
    """What a value is tied to."""

    binding: str


class Noted:
    """An event that is not kept: 10,000 of them are no part of what is tested."""

    saved = 0

    def save(self, *, force_insert: bool = False) -> None:
        Noted.saved += 1


@dataclass(frozen=True)
class Value:
    row: Row
    key: Credentials
    token: bytes
    lock: Fernet

    @property
    def inner(self) -> bytes:
        return self.lock.decrypt(self.token)

    def wrapped(self, inner: bytes) -> bytes:
        """Under the outer lock again: the attacker holds FERNET_KEYS."""
        return self.lock.encrypt(inner)


@pytest.fixture
def keys(settings: Any, tmp_path: Path) -> dict[str, X25519PrivateKey]:
    """Two inner keys that the worker has, two outer ones, and a recovery key that it has not."""
    pairs = {name: vault.new_key_pair() for name in ("a", "b", "recovery")}
    file = tmp_path / "private.json"
    file.write_text(json.dumps({pairs[name][0]: pairs[name][2] for name in ("a", "b")}))
    file.chmod(0o600)
    settings.VAULT_PRIVATE_KEYS_FILE = str(file)
    settings.VAULT_PUBLIC_KEYS = [":".join(pairs[name][:2]) for name in ("a", "b")]
    settings.VAULT_RECOVERY_KEY = ":".join(pairs["recovery"][:2])
    settings.FERNET_KEYS = OUTER
    return {key_id: _private(text) for key_id, _, text in pairs.values()}


def _private(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(text))


@pytest.fixture
def values(keys: dict[str, X25519PrivateKey], settings: Any) -> list[Value]:
    """Of two users, several rows and revisions; under each key, with and without recovery box."""
    made = []
    both, recovery = list(settings.VAULT_PUBLIC_KEYS), settings.VAULT_RECOVERY_KEY
    for user, row, revision in itertools.product((1, 2), ("row-a", "row-b"), (1, 2)):
        settings.VAULT_PUBLIC_KEYS = both if revision == 1 else both[::-1]
        settings.VAULT_RECOVERY_KEY = recovery if row == "row-a" else ""
        tied = Row(f"{user}|{row}|{revision}")
        key = Credentials(f"key-{tied.binding}", f"secret-{tied.binding}", "phrase" * revision)
        settings.FERNET_KEYS = OUTER if user == 1 else OUTER[::-1]
        lock = vault.outer_lock()
        made.append(Value(tied, key, vault.seal(key, tied).token(lock), lock))  # type: ignore[arg-type]
    settings.FERNET_KEYS, settings.VAULT_PUBLIC_KEYS = OUTER, both
    settings.VAULT_RECOVERY_KEY = recovery
    return made


def opened(token: bytes, row: Row) -> Credentials | None:
    """None for a SealedError; anything else that is raised leaves, and fails the test."""
    sealed = vault.Sealed(token=token, fernet=vault.outer_lock())
    try:
        with vault.opened(sealed, row, event=Noted()) as credentials:
            return credentials
    except vault.SealedError as error:
        assert not set(str(error).split()) & {"key-", "secret-"}
        return None


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def resized(data: bytes, chance: random.Random) -> bytes:
    size, more = chance.randrange(len(data)), chance.randbytes(chance.randrange(1, 40))
    ways = (data[:size], data[size:], data + more, more + data, data[:size] + more + data[size:])
    return chance.choice((*ways, data * 2, data[:size] + data[size + 1 :], b"", data[::-1]))


def mixed(value: Value, other: Value, chance: random.Random) -> bytes:
    """Parts of one in the other: version, key ids, boxes, in any order and number."""
    parts = value.inner.split(b".") + other.inner.split(b".") + [b"", b"v1", b"v2", b"\0", b"."]
    how_many = chance.choice((1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 9))
    return b".".join([chance.choice([b"v1", *parts]), *chance.choices(parts, k=how_many - 1)])


ODD = ["[]", "5", "null", '""', "{}", "[" * 5000, "NaN", '{"api_key": 1, "secret": "s"}', "\udc80"]
ODD += ['{"api_key": "a", "secret": "s"}', '{"api_key": "a", "secret": "s", "passphrase": null}']
ODD += ['{"api_key": "a", "secret": "s", "passphrase": "", "more": ""}', "", "\0", "1" * 5000]
POINTS = [bytes(32), b"\1" + bytes(31), b"\xff" * 32, bytes([0xED, *[0xFF] * 30, 0x7F])]


def box_of_attacker(value: Value, other: Value, chance: random.Random) -> bytes:
    """Holds the public keys and FERNET_KEYS, and can write into the database."""
    key_id, public = chance.choice(list(vault.public_keys().items()))
    good = json.dumps({"api_key": "attackers-key", "secret": "attackers-secret", "passphrase": ""})
    row, text = chance.choice([(other.row, good), (value.row, chance.choice(ODD))])
    purposes = (vault.WORKER, vault.RECOVERY, "seed", "")
    purpose = chance.choice(purposes) if row is other.row else vault.WORKER
    info = f"v1|{purpose}|{row.binding}".encode()
    box = vault.SUITE.encrypt(text.encode(errors="surrogateescape"), public, info=info)
    if chance.random() < 0.3:  # points at which every secret is the same
        box = chance.choice(POINTS) + box[32:]
    coded = base64.urlsafe_b64encode(box)
    recovery = value.inner.split(b".")[3:]
    return b".".join([b"v1", key_id.encode(), coded, *chance.choice([recovery, []])])


def cases(values: list[Value], chance: random.Random) -> Iterator[tuple[str, Value, bytes]]:
    ways: dict[str, Callable[[Value, Value], bytes]] = {
        "flip": lambda v, o: flipped(v.token, chance),
        "flip inside": lambda v, o: v.wrapped(flipped(v.inner, chance)),
        "resize": lambda v, o: resized(v.token, chance),
        "resize inside": lambda v, o: v.wrapped(resized(v.inner, chance)),
        "splice": lambda v, o: v.token[: (n := chance.randrange(len(v.token)))] + o.token[n:],
        "splice inside": lambda v, o: v.wrapped(
            v.inner[: (n := chance.randrange(len(v.inner)))] + o.inner[n:]
        ),
        "mix": lambda v, o: v.wrapped(mixed(v, o, chance)),
        "swap": lambda v, o: o.token,
        "swap inside": lambda v, o: v.wrapped(o.inner),
        "attacker": lambda v, o: v.wrapped(box_of_attacker(v, o, chance)),
        "unwrapped": lambda v, o: v.inner,
        "wrapped twice": lambda v, o: v.wrapped(v.token),
        "lock of sessions": lambda v, o: locking.lock(v.inner.decode(), "session").encode(),
    }
    rare = {"swap", "unwrapped", "wrapped twice", "lock of sessions"}
    names = [name for name in ways for _ in range(1 if name in rare else 6)]
    for _ in range(CASES):
        value, other = chance.sample(values, 2)
        name = chance.choice(names)
        yield name, value, ways[name](value, other)


def test_none_opens_to_what_was_not_sealed_for_its_row(values: list[Value]) -> None:
    print(f"seed {SEED}")
    for value in values:
        assert opened(value.token, value.row) == value.key
    tried, unchanged, wrong, before = Counter[str](), Counter[str](), [], Noted.saved
    for name, value, token in cases(values, random.Random(SEED)):
        result = opened(token, value.row)
        tried[name] += 1
        if result == value.key:  # base64 has characters that say nothing, and bits of the last
            unchanged[name] += 1
        elif result is not None:
            wrong.append((name, value, token))
    assert wrong == []
    assert sum(tried.values()) == CASES and len(tried) == 13
    assert Noted.saved == before + CASES
    for name in ("swap", "swap inside", "attacker", "unwrapped", "lock of sessions"):
        assert unchanged[name] == 0, name
    assert sum(unchanged.values()) < CASES / 10, unchanged


def test_every_other_row_user_and_revision_is_refused(values: list[Value]) -> None:
    for value, other in itertools.permutations(values, 2):
        assert opened(value.token, other.row) is None
        assert opened(value.wrapped(other.inner), value.row) is None
    for odd in ("1|row-a|01", "1|row-a|1|", "1|row-a", "|1|row-a|1", "1|row-a|1\n", ""):
        assert opened(values[0].token, Row(odd)) is None


def test_box_for_recovery_is_none_for_the_worker(
    values: list[Value], keys: dict[str, X25519PrivateKey]
) -> None:
    """Not under its own id, and not under the worker's, whoever has which private key."""
    value = next(one for one in values if one.inner.count(b".") == 4)
    version, inner, box, recovery, recovery_box = value.inner.split(b".")
    for parts in (
        (version, recovery, recovery_box),
        (version, inner, recovery_box),
        (version, inner, recovery_box, recovery, box),
        (version, recovery, recovery_box, inner, box),
        (version, recovery, box),
    ):
        assert opened(value.wrapped(b".".join(parts)), value.row) is None
    swapped = vault.Sealed(
        token=value.wrapped(b".".join((version, inner, recovery_box, recovery, box))),
        fernet=vault.outer_lock(),
    )
    with (
        pytest.raises(vault.SealedError),
        vault.opened_for_recovery(swapped, value.row, keys, event=Noted()),
    ):
        pass


def test_box_for_recovery_is_none_for_the_worker_even_under_one_key(
    keys: dict[str, X25519PrivateKey], settings: Any
) -> None:
    settings.VAULT_RECOVERY_KEY = settings.VAULT_PUBLIC_KEYS[0]
    row, lock = Row("1|row|1"), vault.outer_lock()
    token = vault.seal(ATTACKERS, row).token(lock)
    version, inner, box, recovery, recovery_box = lock.decrypt(token).split(b".")
    assert inner == recovery
    for parts in ((version, inner, recovery_box), (version, inner, recovery_box, inner, box)):
        assert opened(lock.encrypt(b".".join(parts)), row) is None


def test_attacker_with_all_of_the_web_can_plant_a_key_and_read_none(values: list[Value]) -> None:
    """What no lock without a sender can stop: a box for the right row with the attacker's own."""
    value = values[0]
    planted = vault.seal(ATTACKERS, value.row).token(vault.outer_lock())  # type: ignore[arg-type]
    assert opened(planted, value.row) == ATTACKERS
    assert all(opened(planted, other.row) is None for other in values[1:])


def store(key: Credential, token: bytes) -> None:
    with database.cursor() as cursor:
        sql = "UPDATE connections_credential SET sealed = %s WHERE fingerprint = %s"
        cursor.execute(sql, [database.Database.Binary(token), key.fingerprint])
        assert cursor.rowcount == 1


def test_pages_stay_and_the_worker_says_it(
    browser: Client, staff: User, trader: User, stranger: User, mexc: Any
) -> None:
    chance, desk = random.Random(SEED), making.say_why(making.desk(Client(), staff), trader)
    other = making.connection(stranger, mexc, "Other").credentials.get()
    lock = vault.outer_lock()
    theirs = Value(Row(other.binding), ATTACKERS, other.sealed.token(lock), lock)  # type: ignore[arg-type]
    damaged = []
    for number in range(16):
        connection = making.connection(trader, mexc, f"Damaged {number}")
        key = connection.credentials.get()
        own = Value(Row(key.binding), ATTACKERS, key.sealed.token(lock), lock)  # type: ignore[arg-type]
        cut, more = own.token[: chance.randrange(len(own.token))], chance.randbytes(64)
        tokens = [cut, more + own.token, theirs.token, own.wrapped(theirs.inner), own.inner, b""]
        store(key, [*tokens, own.wrapped(mixed(own, theirs, chance)), b"\xff" * 99][number % 8])
        damaged.append(connection)
    changelist = reverse("admin:connections_connection_changelist")
    for client, path in ((browser, "/connections/"), (desk, changelist)):
        text = client.get(path).content.decode()
        assert all(connection.name in text for connection in damaged)
    for connection in damaged:
        assert browser.get(connection.get_absolute_url()).status_code == 200
        change = reverse("admin:connections_connection_change", args=[connection.pk])
        assert desk.get(change).status_code == 200
        worker.run_test(str(connection.tests.get().pk))
        connection.refresh_from_db()
        assert connection.problem == "sealed_unreadable"
        assert browser.get(connection.get_absolute_url()).status_code == 200
    browser.post(f"/connections/{damaged[0].pk}/delete/", {"confirm": damaged[0].name})
    assert Connection.objects.filter(owner=trader).count() == 15
    assert browser.post("/accounts/export/").status_code == 200
