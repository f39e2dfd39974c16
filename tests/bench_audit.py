"""`make bench-audit`: how long the auditor takes for all connections, on PostgreSQL and SQLite,
beside the same rules written as a loop over objects. Prints a table, then one line of JSON.

The first audit finds everything, the second one comes a day later, when little has changed. Each
size has a process and a database of its own, which is dropped at the end.
`python -m tests.bench_audit --sizes 10000` for less; DATABASE_URL names the PostgreSQL server.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

SIZES = (10_000, 100_000, 1_000_000)
POSTGRESQL = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/bench_audit")
HEAD = f"{'':30}{'rows':>10}{'found':>9}{'first s':>9}{'again s':>9}{'queries':>9}{'peak MB':>9}"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options.add_argument("--one", nargs=2, metavar=("KIND", "ROWS"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))
        return
    smallest = min(given.sizes)
    runs = [("row by row", smallest), ("SQLite", smallest)]
    runs += [("PostgreSQL", rows) for rows in given.sizes]
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n{HEAD}", flush=True)
    figures = []
    for kind, rows in runs:
        result = in_a_process(kind, rows)
        again = f"{result['again']:9.2f}" if result["again"] else f"{'':9}"
        print(
            f"{result['database']:30}{rows:>10,}{result['found']:>9,}{result['seconds']:>9.2f}"
            f"{again}{result['queries']:>9,}{result['peak_mb']:>9.0f}",
            flush=True,
        )
        if kind != "row by row":
            names = ("database", "rows", "seconds", "queries", "peak_mb")
            figures.append({name: result[name] for name in names})
    print(json.dumps(figures))


def in_a_process(kind: str, rows: int) -> dict[str, Any]:
    """In its own process, so that the memory is that of this size alone."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if kind != "SQLite":
        environment["DATABASE_URL"] = POSTGRESQL
    command = [sys.executable, "-m", "tests.bench_audit", "--one", kind, str(rows)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(kind: str, rows: int) -> dict[str, Any]:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.db import connection

    # Another name than the tests' own database has.
    settings: Any = connection.settings_dict["TEST"]
    settings["NAME"] = f"bench_audit_{os.getpid()}" if kind != "SQLite" else settings["NAME"]
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        return measure_here(kind, rows)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def measure_here(kind: str, rows: int) -> dict[str, Any]:
    from connections.auditor import audit
    from connections.models import Finding
    from tests import generated, row_by_row
    from tests.many import NOW

    generated.connections(rows, NOW)
    generated.tidy()
    result: dict[str, Any] = {"database": kind, "rows": rows, "again": 0}
    if kind == "row by row":
        result["database"] = "PostgreSQL, row by row"
        result |= timed(lambda: row_by_row.audit(NOW))
        result["found"] = Finding.objects.count()
        # Both find the same, or the comparison is of nothing.
        one_way = findings()
        Finding.objects.all().delete()
        audit(now=NOW)
        assert findings() == one_way, "the sets find something else"
        return result
    result |= timed(lambda: audit(now=NOW))
    result["found"] = Finding.objects.count()
    later = NOW + timedelta(days=1)
    generated.move_on(later)
    generated.tidy()
    again = timed(lambda: audit(now=later))
    assert again["queries"] == result["queries"], "the number of queries depends on the rows"
    return {**result, "again": again["seconds"], "peak_mb": again["peak_mb"]}


def findings() -> list[tuple[Any, ...]]:
    from connections.models import Finding

    facts = ("connection_id", "rule", "severity", "until", "amount", "detail")
    return sorted(Finding.objects.values_list(*facts), key=str)


def timed(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, statements sent, and the most memory this process has had so far."""
    with counted() as statements:
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"seconds": round(seconds, 2), "queries": statements[0], "peak_mb": round(peak_mb)}


@contextmanager
def counted() -> Any:
    from django.db import connection

    statements = [0]

    def count(execute: Any, *arguments: Any) -> Any:
        statements[0] += 1
        return execute(*arguments)

    with connection.execute_wrapper(count):
        yield statements


if __name__ == "__main__":
    sys.exit(main())
