"""`make bench-sweep`: the scheduled tests of many connections, all due at once, on PostgreSQL and
Redis, over simulated exchanges that answer after 50 ms. Two workers sweep; one of them is killed in
the middle (kill -9). Meanwhile somebody asks for a test of their own every second.

Prints what it saw, then one line of JSON. `--connections 300` for less. DATABASE_URL names the
PostgreSQL server, on which a database is made and dropped, CELERY_BROKER_URL the Redis.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

DELAY_S = 0.05  # of each of an exchange's answers to a signed request
ASKED_EVERY_S = 1.0
OWN = 40  # connections whose owners ask; they are not due
DUE, OWN_NAME = "due", "own"  # how names begin
PER_OWNER = 10
GIVEN_UP_S = 180  # without a test that ends
SWEPT = "reason IN ('scheduled', 'retry', 'confirm')"
SERVICES = {  # read here: tests/settings.py names others
    "DATABASE_URL": os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "CELERY_BROKER_URL": os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/11"),
}


# --- processes of their own ------------------------------------------------------------------


def simulate(port: int, keys: list[Any]) -> None:
    """The exchanges."""
    from tests.simulator import Simulator

    with Simulator(port, keys=keys):
        threading.Event().wait()


def fill(file: Path) -> None:
    """Run with a site's settings: makes the connections that the file lists. None is due yet."""
    import django

    django.setup()
    from backfuture.accounts.models import User
    from connections import vault
    from connections.exchanges.base import Credentials
    from connections.models import Connection, Credential

    rows = json.loads(file.read_text())
    owners = [User(email=f"{number}@example.com") for number in range(len(rows) // PER_OWNER + 1)]
    User.objects.bulk_create(owners)
    connections, keys = [], []
    for number, (name, exchange, *values) in enumerate(rows):
        connection = Connection(
            owner=owners[number // PER_OWNER],
            exchange_id=exchange,
            name=f"{name}{number}",
            status="connected",
            permissions={"read": True},
        )
        credentials = Credentials(*values)
        key = Credential(
            connection=connection,
            hint=credentials.api_key[-4:],
            fingerprint=vault.fingerprint(exchange, credentials.api_key),
        )
        key.sealed = vault.seal(credentials, key)
        connections.append(connection)
        keys.append(key)
    Connection.objects.bulk_create(connections, batch_size=1000)
    Credential.objects.bulk_create(keys, batch_size=1000)


def ask() -> None:
    """Run with a site's settings: "Test now", again and again, as a page does it. One line of
    JSON for each: seconds until it was started, and until it had ended."""
    import django

    django.setup()
    from django.utils import timezone

    from connections import services, tasks
    from connections.models import Connection, ConnectionTest

    mine = Connection.objects.filter(name__startswith=OWN_NAME)
    own = list(mine.select_related("exchange", "owner"))
    turn = 0
    while True:
        connection = own[turn % len(own)]
        turn += 1
        began, asked = time.monotonic(), timezone.now()
        test = services.request_test(
            connection, by=connection.owner, reason=ConnectionTest.Reason.USER
        )
        tasks.wake(test)
        while test.is_open:
            time.sleep(0.02)
            test = ConnectionTest.objects.get(pk=test.pk)
        told = {"start": test.started_at - asked, "total": test.finished_at - asked}
        seconds = {name: span.total_seconds() for name, span in told.items()}
        print(json.dumps({**seconds, "outcome": test.outcome}), flush=True)
        time.sleep(max(0, ASKED_EVERY_S - (time.monotonic() - began)))


# --- the bench -------------------------------------------------------------------------------


class Exchanges:
    """As tests.running.Site wants its simulator, in a process of its own."""

    def __init__(self, port: int, keys: list[Any]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        spawn = multiprocessing.get_context("spawn")
        self.process = spawn.Process(target=simulate, args=(port, keys), daemon=True)

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()


def keys_for(count: int) -> list[Any]:
    """Good keys, spread over all exchanges."""
    from connections import exchanges
    from tests.simulator import sample

    models = [sample(code, "good") for code in exchanges.EXCHANGES]
    return [
        replace(
            model,
            api_key=f"{model.api_key[:-8]}{number:08x}",
            scenario=str(number),
            delay_s=DELAY_S,
        )
        for number in range(count)
        for model in [models[number % len(models)]]
    ]


class Bench:
    def __init__(self, folder: Path, count: int) -> None:
        from tests.running import Site, free_port

        self.count = count
        keys = keys_for(count + OWN)
        self.site = Site(
            folder,
            **SERVICES,
            SWEEP_PACE="1000",
            LOG_LEVEL="ERROR",
        )
        self.site.exchanges = Exchanges(free_port(), keys)  # type: ignore[assignment]
        self.keys = folder / "keys.json"
        self.keys.touch(mode=0o600)
        rows = [
            (DUE if number < count else OWN_NAME, k.exchange, k.api_key, k.secret, k.passphrase)
            for number, k in enumerate(keys)
        ]
        self.keys.write_text(json.dumps(rows))
        self.answers: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        with self.site:
            self._own_process("fill", str(self.keys)).wait()
            second = self._second_sweeper()
            time.sleep(10)  # until all of them stand
            asker = self._own_process("ask", stdout=subprocess.PIPE)
            threading.Thread(target=self._listen, args=(asker,), daemon=True).start()
            time.sleep(3)
            try:
                return self._sweep()
            finally:
                for process in (asker, second):
                    process.kill()

    def _sweep(self) -> dict[str, Any]:
        before = len(self.answers)
        self.site.execute(
            "UPDATE connections_connection SET next_test_at = now() WHERE left(name, 3) = ?", DUE
        )
        began = time.monotonic()
        in_flight = self._until(self.count // 4, began)
        self.site.kill(" sweeper@")
        killed_s = time.monotonic() - began
        self._until(self.count, began)
        seconds = time.monotonic() - began
        time.sleep(5)  # for what should not come
        return self._told(seconds, killed_s, in_flight, self.answers[before:])

    def _until(self, tested: int, began: float) -> int:
        """Waits until so many are tested; how many are under way then."""
        done, moved = 0, time.monotonic()
        while done < tested:
            time.sleep(0.5)
            now, under_way = self.site.rows(
                "SELECT count(*) FILTER (WHERE status = 'done' AND outcome <> ''), "  # noqa: S608
                f"count(*) FILTER (WHERE status = 'running') FROM connections_connectiontest"
                f" WHERE {SWEPT}"
            )[0]
            if now > done:
                done, moved = now, time.monotonic()
            if time.monotonic() - moved > GIVEN_UP_S:
                print(f"nothing moved for {GIVEN_UP_S} s")
                break
        print(f"{done:>7} tested, {under_way} under way, {time.monotonic() - began:6.1f} s")
        return int(under_way)

    def _told(
        self, seconds: float, killed_s: float, in_flight: int, answers: list[dict[str, Any]]
    ) -> dict[str, Any]:
        rows = self.site.rows
        (tested,) = rows(
            "SELECT count(DISTINCT connection_id) FROM connections_connectiontest"  # noqa: S608
            f" WHERE {SWEPT} AND outcome <> ''"
        )[0]
        # Each time a key was opened, its exchange was asked.
        (again,) = rows(
            "SELECT coalesce(sum(times - 1), 0) FROM (SELECT count(*) AS times"
            " FROM connections_accessevent WHERE kind = 'opened' AND actor_id IS NULL"
            " GROUP BY connection_id) AS openings"
        )[0]
        outcomes = rows(
            "SELECT reason, outcome, problem, count(*) FROM connections_connectiontest"
            " GROUP BY 1, 2, 3 ORDER BY 4 DESC"
        )
        for outcome in outcomes:
            print("  ", *outcome)
        starts = [answer["start"] for answer in answers]
        totals = [answer["total"] for answer in answers]
        print(f"killed after {killed_s:.1f} s with {in_flight} tests under way at both workers")
        print(f"opened again: {again}")
        print(
            f"own tests: {len(answers)}; start median {statistics.median(starts):.3f} s,"
            f" total median {statistics.median(totals):.3f} s, max {max(totals):.3f} s"
        )
        return {
            "tests_per_s": round(tested / seconds, 1),
            "interactive_start_s_max": round(max(starts), 3),
            "interactive_total_s_p95": round(statistics.quantiles(totals, n=20)[-1], 3),
            "lost": self.count - tested,
            "repeated": max(0, int(again) - in_flight),
        }

    def _listen(self, asker: subprocess.Popen[str]) -> None:
        for line in asker.stdout or ():
            self.answers.append(json.loads(line))

    def _own_process(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.bench_sweep", *words],
            env={**self.site.environment, "DJANGO_SETTINGS_MODULE": "backfuture.settings"},
            text=True,
            **options,
        )

    def _second_sweeper(self) -> subprocess.Popen[bytes]:
        """As on another machine: the supervisor here starts one."""
        from backfuture import roles

        private = str(self.site.folder / "keys" / "private-keys.json")
        own = {"BACKFUTURE_ROLE": "worker", roles.PRIVATE: private}
        words = [word.replace("sweeper@", "second-sweeper@") for word in roles.sweeper_command()]
        return subprocess.Popen(
            ["nice", sys.executable, *words], env={**self.site.environment, **own}
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("do", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=int, default=10_000)
    given = parser.parse_args()
    if given.do[:1] == ["fill"]:
        fill(Path(given.do[1]))
    elif given.do == ["ask"]:
        ask()
    else:
        with tempfile.TemporaryDirectory(prefix="backfuture-bench-") as folder:
            print(f"{given.connections:,} connections, {os.cpu_count()} cores")
            print(json.dumps(Bench(Path(folder), given.connections).run()))


if __name__ == "__main__":
    main()
