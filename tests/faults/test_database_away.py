"""The database, and with it every session, is away for a while: a page says so, and all goes on
by itself once it is back. PostgreSQL is also shut down and killed in the middle of work."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from tests.faults import aftermath, services, sites
from tests.faults.sites import Breakable
from tests.running import PASSWORD, Visitor, wait_for
from tests.simulator import KeySpec

pytestmark = pytest.mark.faults

CLIENTS, SUBMISSIONS = 4, 10  # of each client
MOST_TRIES = 200  # of each client
AWAY_S, LOCKED_S = 2, 2
DELAY_S = 0.1  # of each of an exchange's answers


@contextmanager
def file_away(site: Breakable, _: object) -> Iterator[None]:
    """As when the disk is not mounted: the file cannot be opened, and none is made in its place."""
    database, elsewhere = site.folder / "db.sqlite3", site.folder / "away.sqlite3"
    database.rename(elsewhere)
    database.mkdir()
    try:
        yield
    finally:
        database.rmdir()
        elsewhere.rename(database)


@contextmanager
def server_away(_: object, server: services.Postgres) -> Iterator[None]:
    server.stop(server.end)
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize(("which", "away"), [("embedded", file_away), ("served", server_away)])
def test_page_says_that_the_database_is_away_and_sessions_are_back_with_it(
    request, tell, which, away
):
    site: Breakable = request.getfixturevalue(which)
    server = request.getfixturevalue("postgres") if which == "served" else None
    (visitor,) = site.crowd(1)
    key = site.key(f"away {which}")
    sites.submit(visitor, site.key(f"before {which}"), "Before")
    with away(site, server):
        stranger = site.visitor()
        answers = [
            visitor.get("/connections/"),
            sites.submit(visitor, key, "Away"),
            stranger.get("/accounts/login/"),
            stranger.post("/accounts/login/", {"login": "a@example.com", "password": PASSWORD}),
        ]
        time.sleep(AWAY_S)  # worker and beat notice it too
    assert all(map(sites.in_words, answers))
    assert wait_for(lambda: visitor.get("/connections/").status_code == 200)
    connection = sites.saved(sites.submit(visitor, key, "Away"))
    aftermath.assert_each_applied_once(site, [connection])
    statuses = Counter(answer.status_code for answer in answers)
    tell(f"{len(answers)} pages in words ({dict(statuses)}), sessions and tests go on afterwards")


@pytest.mark.parametrize("which", ["embedded", "served"])
def test_sessions_that_are_locked_are_waited_for(request, tell, which):
    site: Breakable = request.getfixturevalue(which)
    (visitor,) = site.crowd(1)
    visitor.get("/accounts/logout/")
    with sessions_locked(site):
        answer = visitor.post("/accounts/logout/", {})
    assert answer.url.endswith("/accounts/login/")
    assert "/accounts/login/" in visitor.get("/connections/").url
    tell(f"signed out after {LOCKED_S} s of waiting for a lock")


@contextmanager
def sessions_locked(site: Breakable) -> Iterator[None]:
    """Locked at the beginning of the block, and for so long."""
    locked = threading.Event()
    holder = threading.Thread(target=hold_sessions, args=(site, locked))
    holder.start()
    assert locked.wait(30)
    yield
    assert not holder.is_alive()


def hold_sessions(site: Breakable, locked: threading.Event) -> None:
    if site.database.startswith("sqlite"):
        with site.locked_for(LOCKED_S):
            locked.set()
        return
    with psycopg.connect(site.database) as database:
        database.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        locked.set()
        time.sleep(LOCKED_S)


def test_postgres_that_is_restarted_under_work_loses_nothing(
    served: Breakable, postgres: services.Postgres, tell
):
    visitors, over = served.crowd(CLIENTS), threading.Event()
    outages = (postgres.crash, postgres.end)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(submit_all, visitor, over) for visitor in visitors]
        try:
            for outage in outages:
                wait_for(lambda: aftermath.running_tests(served))
                postgres.stop(outage)
                time.sleep(AWAY_S)
                postgres.start()
        finally:
            over.set()
        done = [client.result() for client in clients]
    aftermath.let_leases_lapse(served)
    connections = [connection for saved, _ in done for connection in saved]
    aftermath.assert_each_applied_once(served, connections)
    refused = sum(again for _, again in done)
    tell(
        f"{len(outages)} restarts (one a crash) under {CLIENTS} clients: {len(connections)} saved, "
        f"{refused} times told to try again; all ended, each applied once, 0 open"
    )


def submit_all(visitor: Visitor, over: threading.Event) -> tuple[list[str], int]:
    """Submits until the restarts are over; an error page is tried again, as people do. Gives the
    connections and how often that was."""
    saved: list[str] = []
    again = 0
    while len(saved) < SUBMISSIONS or not over.is_set():
        number = len(saved)
        key = visitor.site.key(f"{id(visitor)} {number}", delay_s=DELAY_S)
        while not (found := try_to_save(visitor, key, f"Mine {number}")):
            again += 1
            assert again < MOST_TRIES
            time.sleep(0.3)
        saved.append(found)
        time.sleep(0.3)
    return saved, again


def try_to_save(visitor: Visitor, key: KeySpec, name: str) -> str:
    answer = sites.submit(visitor, key, name)
    assert answer.status_code == 302 or sites.in_words(answer)
    return sites.saved(answer)
