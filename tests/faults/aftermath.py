"""What became of what was submitted, read past the product, straight from its database."""

from __future__ import annotations

from collections import Counter

from tests.faults.sites import program
from tests.running import Site, wait_for

FINISHED_S = 90  # for what is left open once a fault is over; never what a test asserts

# Every write of a result, noted by the database itself.
NOTED = {"connections_connectiontest": "finished_at", "connections_connection": "tested_at"}


def note_results(site: Site) -> None:
    site.execute("CREATE TABLE faults_noted (what VARCHAR(60), id VARCHAR(36))")
    if site.database.startswith("postgres"):
        site.execute(
            "CREATE FUNCTION faults_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO faults_noted VALUES (TG_TABLE_NAME, NEW.id); RETURN NEW; END $$"
        )
    for table, column in NOTED.items():
        note = f"BEGIN INSERT INTO faults_noted VALUES ('{table}', NEW.id); END"  # noqa: S608
        if site.database.startswith("postgres"):
            note = "FOR EACH ROW EXECUTE FUNCTION faults_note()"
        site.execute(f"CREATE TRIGGER faults_{table} AFTER UPDATE OF {column} ON {table} {note}")


def one(site: Site, query: str) -> int:
    return int(site.rows(query)[0][0])


def running_tests(site: Site) -> int:
    """Those that a worker holds, not those a dead one left behind."""
    return one(
        site,
        "SELECT COUNT(*) FROM connections_connectiontest"
        " WHERE status = 'running' AND lease_until > '2021-01-01 00:00:00+00:00'",
    )


def let_leases_lapse(site: Site) -> None:
    """In place of waiting out the lease of 45 s."""
    site.execute(
        "UPDATE connections_connectiontest SET lease_until = '2020-01-01 00:00:00+00:00'"
        " WHERE status = 'running'"
    )


def open_tests(site: Site, connections: list[str]) -> int:
    query = "SELECT connection_id FROM connections_connectiontest WHERE status <> 'done'"
    return len({_plain(pk) for (pk,) in site.rows(query)} & set(map(_plain, connections)))


def assert_each_applied_once(site: Site, connections: list[str]) -> None:
    """Waits until they have ended. All of them there, with one key and one test each, written
    once and found to work."""
    wait_for(lambda: not open_tests(site, connections), FINISHED_S, 0.3)
    wanted = sorted(map(_plain, connections))
    rows = site.rows(
        "SELECT c.id, t.id, c.status FROM connections_connection c"
        " JOIN connections_credential k ON k.connection_id = c.id"
        " JOIN connections_connectiontest t ON t.credential_id = k.id"
    )
    found = [row for row in rows if _plain(row[0]) in set(wanted)]
    assert sorted(_plain(connection) for connection, _, _ in found) == wanted
    assert {status for _, _, status in found} == {"connected"}
    noted = Counter(_plain(pk) for (pk,) in site.rows("SELECT id FROM faults_noted"))
    assert {noted[_plain(pk)] for row in found for pk in row[:2]} == {1}


def _plain(pk: object) -> str:
    """SQLite keeps ids without their dashes."""
    return str(pk).replace("-", "")


def opened_keys(site: Site) -> int:
    """How many keys the worker could open."""
    out, _ = program(site, "opening").communicate(timeout=120)
    return int(out)
