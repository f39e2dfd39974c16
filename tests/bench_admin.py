"""`make bench-admin`: how long the support desk's pages take over 1,000,000 connections and
10,000,000 tests, on PostgreSQL: its home, every list, bare, filtered and searched, and a
connection's page. Prints a table, then one line of JSON.

Pages are made as in life, not as Django's test environment makes them, which keeps every context.
Each page is asked for once to warm up and then measured; of each filter the choice that took
longest. The database is made and dropped. `python -m tests.bench_admin --connections 20000 --tests
200000` for less, `--plans` for the plans of the slowest queries, `--keep` for a database that stays
and is not filled again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

LIMIT_MS = 300
DATABASE_URL = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
HEAD = f"{'page':52}{'p50 ms':>8}{'p95 ms':>8}{'queries':>8}{'slowest query ms':>17}"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--connections", type=int, default=1_000_000)
    options.add_argument("--tests", type=int, default=10_000_000)
    options.add_argument("--requests", type=int, default=40, help="of each page")
    options.add_argument("--keep", action="store_true", help="the database, for another run")
    options.add_argument("--plans", action="store_true", help="of slow queries")
    given = options.parse_args()
    print(
        f"{given.connections:,} connections, {given.tests:,} tests,"
        f" {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        flush=True,
    )
    with database(keep=given.keep) as filled:
        if not filled:
            fill(given.connections, given.tests)
        print(HEAD, flush=True)
        figures = measure(given.connections, given.requests, plans=given.plans)
    print(json.dumps({"p95_ms": figures}))


@contextmanager
def database(*, keep: bool) -> Iterator[bool]:
    """Whether it is filled already."""
    import django

    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": DATABASE_URL}
    django.setup()
    from django.db import connection

    settings: Any = connection.settings_dict["TEST"]
    settings["NAME"] = "bench_admin_kept" if keep else f"bench_admin_{os.getpid()}"
    name = connection.settings_dict["NAME"]
    create = connection.creation.create_test_db
    create(verbosity=0, autoclobber=True, serialize=False, keepdb=keep)
    try:
        from connections.models import HourOfTests

        yield HourOfTests.objects.exists()  # counted last
    finally:
        connection.creation.destroy_test_db(name, verbosity=0, keepdb=keep)


def fill(connections: int, tests: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from connections import auditor, counting
    from tests import generated, making

    now, began = timezone.now(), time.perf_counter()
    generated.connections(connections, now)
    generated.tests(tests, connections, now)
    generated.tidy()
    auditor.audit(now=now)
    generated.suspended(now)
    making.schedules()
    began_counting = time.perf_counter()
    counting.count_tests(now=now)
    counted = time.perf_counter() - began_counting
    generated.tidy()
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")  # what so much at once left to be written
    print(
        f"filled in {time.perf_counter() - began:,.0f} s; 31 days of tests were counted in"
        f" {counted:.1f} s",
        flush=True,
    )


def measure(connections: int, requests: int, *, plans: bool) -> dict[str, float]:
    from django.test import Client

    from backfuture.accounts.models import User
    from tests import making

    staff = User.objects.filter(email="staff@example.com").first()
    staff = staff or User.objects.create_superuser("staff@example.com", "a long enough password")
    desk = Desk(making.desk(Client(SERVER_NAME="127.0.0.1"), staff), requests)
    figures = {}
    for name, path in pages(desk, connections):
        figures[name] = desk.measured(name, path)
        if plans and desk.slowest[0] * 1000 > LIMIT_MS / 3:
            desk.explain()
    return figures


def pages(desk: Desk, connections: int) -> Iterator[tuple[str, str]]:
    from django.contrib.admin.sites import site
    from django.urls import reverse

    from connections.models import Connection, Credential
    from tests import making

    chosen = Connection.objects.get(name=f"Connection {connections // 2}")
    key = Credential.objects.get(connection=chosen)
    typed = {
        "e-mail": chosen.owner.email,
        "first letters": "owner1",
        "hint": key.hint,
        "fingerprint": key.fingerprint,
        "name": chosen.name,
        "nothing": "nothing-of-that-kind",
    }
    making.say_why(desk.client, chosen.owner)
    yield "home", reverse("admin:index")
    yield "connection", reverse("admin:connections_connection_change", args=[chosen.pk])
    for model, admin in site._registry.items():
        path = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
        yield model._meta.label, path
        yield from filtered(desk, model._meta.label, path)
        if admin.search_fields:
            for kind, text in typed.items():
                yield f"{model._meta.label}, search by {kind}", f"{path}?{urlencode({'q': text})}"


def filtered(desk: Desk, label: str, path: str) -> Iterator[tuple[str, str]]:
    """Each filter with the choice that takes longest, and the last page there is."""
    shown = desk.get(path).context_data.get("cl")
    if shown is None:  # a page that is no list: the one row of thresholds
        return
    for filter_ in shown.filter_specs:
        choices = [path + choice["query_string"] for choice in filter_.choices(shown)][1:]
        if choices:
            yield f"{label}, filter {filter_.title}", max(choices, key=desk.seconds)
    if shown.paginator.num_pages > 1:
        yield f"{label}, last page", f"{path}?p={shown.paginator.num_pages}"


class Desk:
    """A member of staff at the desk, and what each of their requests cost."""

    def __init__(self, client: Any, requests: int) -> None:
        self.client, self.requests = client, requests
        self.queries = 0
        self.slowest: tuple[float, str, Any] = (0.0, "", None)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer

    def seconds(self, path: str) -> float:
        began = time.perf_counter()
        self.get(path)
        return time.perf_counter() - began

    def measured(self, name: str, path: str) -> float:
        """The 95th of a hundred, in milliseconds."""
        self.get(path)
        with self._watched():
            taken = [self.seconds(path) * 1000 for _ in range(self.requests)]
        p95 = round(statistics.quantiles(taken, n=20)[-1], 1)
        print(
            f"{name[:51]:52}{statistics.median(taken):>8.0f}{p95:>8.0f}"
            f"{self.queries / self.requests:>8.0f}{self.slowest[0] * 1000:>17.0f}",
            flush=True,
        )
        return p95

    @contextmanager
    def _watched(self) -> Iterator[None]:
        from django.db import connection

        self.queries, self.slowest = 0, (0.0, "", None)

        def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            began = time.perf_counter()
            result = execute(sql, params, many, context)
            seconds = time.perf_counter() - began
            self.queries += 1
            self.slowest = max(self.slowest, (seconds, sql, params), key=lambda query: query[0])
            return result

        with connection.execute_wrapper(watch):
            yield

    def explain(self) -> None:
        from django.db import connection

        _seconds, sql, params = self.slowest
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", params)
            print(f"    {sql[:1500]}\n    " + "\n    ".join(line for (line,) in cursor.fetchall()))


if __name__ == "__main__":
    sys.exit(main())
