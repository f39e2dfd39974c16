"""Many people at once, and one who sends the same form many times at once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from requests import Response

from tests.faults import aftermath, sites
from tests.faults.sites import Breakable
from tests.running import Visitor

pytestmark = pytest.mark.faults

SUBMISSIONS, CLIENTS = 2_000, 16
EXCHANGE = "kucoin"  # that no other test uses on this site
TWINS = 50  # identical forms at once
SLOW_S = 0.5  # of each answer, so that the test of the twins is still open


def test_same_form_sent_many_times_at_once_makes_one_connection(embedded: Breakable, tell):
    (visitor,) = embedded.crowd(1)
    key = embedded.key("twins", delay_s=SLOW_S)
    visitor.get("/connections/new/mexc/")
    before, start = counts(embedded), threading.Barrier(TWINS)

    def send(_: int) -> Response:
        twin = embedded.visitor()
        twin.session.cookies.update(visitor.session.cookies)
        start.wait()
        return sites.submit(twin, key, "Twins")

    with ThreadPoolExecutor(TWINS) as pool:
        answers = list(pool.map(send, range(TWINS)))
    assert Counter(answer.status_code for answer in answers) == {302: TWINS}
    (connection,) = {sites.saved(answer) for answer in answers}
    assert [after - earlier for after, earlier in zip(counts(embedded), before, strict=True)] == [
        1,
        1,
        1,
    ]
    assert aftermath.open_tests(embedded, [connection]) == 1
    aftermath.assert_each_applied_once(embedded, [connection])
    tell(f"{TWINS} identical forms at once: 1 connection, 1 key, 1 open test")


def test_crowd_that_submits_at_once_meets_no_error_and_every_key_can_be_opened(
    embedded: Breakable, tell
):
    people, before = embedded.crowd(CLIENTS), counts(embedded)

    def send(visitor: Visitor) -> list[Response]:
        return [
            sites.submit(visitor, embedded.key(f"{id(visitor)} {n}", EXCHANGE), f"Mine {n}")
            for n in range(SUBMISSIONS // CLIENTS)
        ]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for each in pool.map(send, people) for answer in each]
    connections = [sites.saved(answer) for answer in answers]
    tested = SUBMISSIONS - aftermath.open_tests(embedded, connections)
    enough_of(embedded, EXCHANGE)
    assert Counter(answer.status_code for answer in answers) == {302: SUBMISSIONS}
    added = {after - earlier for after, earlier in zip(counts(embedded), before, strict=True)}
    assert added == {SUBMISSIONS}
    opened = aftermath.opened_keys(embedded)
    assert opened == counts(embedded)[1]
    tell(
        f"{SUBMISSIONS} submissions by {CLIENTS} clients: 0 errors, {SUBMISSIONS} rows, "
        f"{tested} tested meanwhile, {opened} of {opened} keys opened"
    )


def counts(site: Breakable) -> list[int]:
    """Connections, keys and tests."""
    names = ("connection", "credential", "connectiontest")
    queries = [f"SELECT COUNT(*) FROM connections_{name}" for name in names]  # noqa: S608
    return [aftermath.one(site, query) for query in queries]


def enough_of(site: Breakable, exchange: str) -> None:
    """Nobody waits for the rest of these tests; what would wake them is thrown away."""
    site.execute("UPDATE connections_exchange SET paused = true WHERE code = ?", exchange)
    for message in (site.folder / "broker").glob("*.msg"):
        message.unlink(missing_ok=True)
