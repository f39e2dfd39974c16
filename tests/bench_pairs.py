"""`make bench-pairs`: how long the search for pairs takes among 5,000 of an exchange, on SQLite and
PostgreSQL, beside Django's own autocomplete view over the same rows. Prints a table, then one line
of JSON.

Whole requests as in life, session and page included, without the network. Each word is asked for
once to warm up and then measured. `python -m tests.bench_pairs --pairs 500` for less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlencode

POSTGRESQL = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
WORDS = ("", "T49", "T49 USDT", "USDT", "no such pair")
REQUESTS = 40
HEAD = f"{'':12}{'search':16}{'p50 ms':>8}{'p95 ms':>8}{'Django p50':>12}{'Django p95':>12}"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--pairs", type=int, default=5_000)
    options.add_argument("--one", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.pairs)))
        return
    print(f"{given.pairs:,} pairs, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n{HEAD}")
    figures = []
    for database in ("SQLite", "PostgreSQL"):
        found = in_a_process(database, given.pairs)
        for word, (ours, theirs) in found.items():
            shown = "".join(f"{each:>8.1f}" for each in ours)
            beside = "".join(f"{each:>12.1f}" for each in theirs)
            print(f"{database:12}{word or '(nothing)':16}{shown}{beside}", flush=True)
        slowest = max(found.values(), key=lambda both: both[0][1])
        figures.append(
            {
                "database": database,
                "pairs": given.pairs,
                "p95_ms": slowest[0][1],
                "django_p95_ms": max(theirs[1] for _ours, theirs in found.values()),
            }
        )
    print(json.dumps(figures))


def in_a_process(database: str, pairs: int) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if database != "SQLite":
        environment["DATABASE_URL"] = POSTGRESQL
    command = [sys.executable, "-m", "tests.bench_pairs", "--one", database]
    command += ["--pairs", str(pairs)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(pairs: int) -> dict[str, Any]:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.db import connection

    settings: Any = connection.settings_dict["TEST"]
    if connection.vendor == "postgresql":
        settings["NAME"] = f"bench_pairs_{os.getpid()}"  # the tests' own has another name
    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        return measure_here(pairs)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def measure_here(pairs: int) -> dict[str, Any]:
    from django.db import connection as database
    from django.test import Client
    from django.urls import reverse

    from backfuture.accounts.models import User
    from strategies.models import Pair
    from tests import making, many

    trader = User.objects.create_user("trader@example.com", "a long enough password")
    staff = User.objects.create_superuser("staff@example.com", "a long enough password")
    connected = many.keyed(trader)
    symbols = [(f"T{n}", "USDT" if n % 5 else "BTC") for n in range(pairs)]
    Pair.objects.bulk_create(
        Pair(exchange_id="mexc", market="spot", symbol=f"{base}/{quote}", base=base, quote=quote)
        for base, quote in symbols
    )
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    asking = making.sign_in(Client(SERVER_NAME="127.0.0.1"), trader)
    desk = making.desk(Client(SERVER_NAME="127.0.0.1"), staff)
    ours = reverse("strategies:pairs", args=[connected.pk])
    field = {"app_label": "strategies", "model_name": "strategyconfig", "field_name": "pairs"}
    theirs = reverse("admin:autocomplete")
    return {
        word: (
            taken(asking, f"{ours}?{urlencode({'q': word, 'market': 'spot'})}"),
            taken(desk, f"{theirs}?{urlencode({**field, 'term': word})}"),
        )
        for word in WORDS
    }


def taken(client: Any, path: str) -> tuple[float, float]:
    """Median and 95th of a hundred, in milliseconds."""
    ms = []
    for _ in range(REQUESTS + 1):
        began = time.perf_counter()
        answer = client.get(path, headers={"HX-Request": "true"})
        ms.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
    return round(statistics.median(ms[1:]), 1), round(statistics.quantiles(ms[1:], n=20)[-1], 1)


if __name__ == "__main__":
    sys.exit(main())
