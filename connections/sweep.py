"""The scheduled tests: whatever is due is tested, each exchange by one worker at a time.

An exchange's row is claimed by lease and fence, as a test's is. All keys of a sweep are asked on
one event loop, over one session, at the pace that each exchange bears (exchanges/pace.py); one
thread talks to the database, for many tests at once. When a worker is killed its leases lapse, and
the next sweep goes on with the tests it left behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from aiolimiter import AsyncLimiter
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from . import exchanges, results, schedule, vault, worker
from .events import AccessEvent
from .exchanges import client, pace
from .exchanges.base import Answer, Ask, AskAt, Call, KeyReport, Site
from .models import ConnectionTest, Exchange

log = logging.getLogger(__name__)

# Renewed whenever tests are begun or written, and no test lasts for half as long.
LEASE = timedelta(seconds=60)
RENEWED_EVERY_S = 5.0  # at most
BURST_S = 0.2  # so much of a second's requests may go out at once
MOST_AT_ONCE = 60  # tests of one exchange under way
JUDGED_AT_ONCE = 50
# So many of these one after the other are about the exchange or about us and not about keys: it is
# left alone for a while. Bybit asks for ten minutes.
PATIENCE: Mapping[str, tuple[float, timedelta]] = {
    "unavailable": (20, timedelta(minutes=1)),
    "rate_limited": (3, schedule.LONGEST_HOLD),
}

# Locked by the one process of a worker that sweeps; the kernel unlocks it when that dies. Made
# before the worker forks (backfuture/celery.py), so that all of them have the same.
TURN = tempfile.TemporaryFile()  # noqa: SIM115

Taken = tuple[ConnectionTest, AccessEvent]


@contextmanager
def turn() -> Iterator[bool]:
    """Whether this process may sweep: the others are left to what is short."""
    try:
        fcntl.lockf(TURN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(TURN, fcntl.LOCK_UN)


def sweep(*codes: str, until: float, task_id: str = "") -> int:
    """Tests what is due at those of the exchanges that nobody else sweeps, and says how many it
    tested. No test is begun after `until` (time.monotonic)."""
    every = results.period()
    claims = {code: claim(code) for code in codes}
    sweeps = [Sweep(code, fence, every, until, task_id) for code, fence in claims.items() if fence]
    try:
        if sweeps:
            async_to_sync(_run)(sweeps)
    finally:
        for each in sweeps:
            each.release()
    return sum(each.tested for each in sweeps)


def claim(code: str) -> int:
    """The fence to go on with, or 0 where it is somebody else's, paused, or left alone."""
    now = timezone.now()
    free = Exchange.objects.filter(schedule.free_to_sweep(now), pk=code)
    fence = free.values_list("sweep_fence", flat=True).first()
    if fence is None:
        return 0
    mine = free.filter(sweep_fence=fence)
    return fence + 1 if mine.update(sweep_until=now + LEASE, sweep_fence=fence + 1) else 0


async def _run(sweeps: list[Sweep]) -> None:
    async with client.Client(connections=sum(each.room for each in sweeps)) as session:
        runs = (each.run(session) for each in sweeps)
        for ending in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(ending, BaseException):
                log.error("A sweep ended by %s", type(ending).__name__)


class Sweep:
    """One exchange under way."""

    def __init__(self, code: str, fence: int, every: timedelta, until: float, task_id: str) -> None:
        self.code, self.fence, self.every = code, fence, every
        self.until, self.task_id = until, task_id
        per_second = pace.requests_per_second(code) * settings.SWEEP_PACE
        burst = max(1.0, per_second * BURST_S)
        self.limiter = AsyncLimiter(burst, burst / per_second)
        # Twice as many tests as requests a second: answers of up to 2 s do not slow it down.
        self.room = max(2, min(MOST_AT_ONCE, math.ceil(2 * per_second)))
        self.busy = self.tested = 0
        self.done: list[tuple[ConnectionTest, KeyReport]] = []
        self.changed = asyncio.Event()
        self.unjudged: list[UUID] = []
        self.last, self.in_a_row = "", 0
        self.hold: timedelta | None = None
        self.lost = self.exhausted = False
        self.renewed = time.monotonic()

    # --- in the event loop -------------------------------------------------------------------

    async def run(self, session: client.Client) -> None:
        async with asyncio.TaskGroup() as tests:
            while True:
                for test, opening in await self._more():
                    tests.create_task(self._test(session, test, opening))
                if not self.busy:
                    break
                await self.changed.wait()
                self.changed.clear()
                await self._finish()
        await self._judge()
        await sync_to_async(self.release)()

    async def _more(self) -> list[Taken]:
        """The next tests, as soon as half of the room is free."""
        free = self.room - self.busy
        over = self.lost or self.exhausted or self.hold or time.monotonic() > self.until
        if over or free < self.room // 2:
            return []
        taken = await sync_to_async(self.take)(free)
        self.exhausted = len(taken) < free
        self.busy += len(taken)
        return taken

    async def _test(self, session: client.Client, test: ConnectionTest, opening: Any) -> None:
        report = await self._report(session, test, opening)  # meanwhile `done` is another list
        self.done.append((test, report))
        self.changed.set()

    async def _report(
        self, session: client.Client, test: ConnectionTest, opening: AccessEvent
    ) -> KeyReport:
        try:
            with worker.opened(test, Recorded(opening)) as credentials:
                ask_at = session.ask_as(exchanges.get(self.code), credentials)
                return await worker.inspect(test, credentials, self._in_turn(ask_at))
        except vault.SealedError as error:
            return worker.unreadable(test, error)
        except Exception as error:
            log.error("A test at %s ended by %s", self.code, type(error).__name__)
            return worker.failed("unexpected")

    def _in_turn(self, ask_at: AskAt) -> AskAt:
        def at(site: Site) -> Ask:
            ask = ask_at(site)

            async def after_waiting(call: Call, params: Mapping[str, str]) -> Answer:
                await self.limiter.acquire()
                return await ask(call, params)

            return after_waiting

        return at

    async def _finish(self) -> None:
        """Writes what has ended by now."""
        done, self.done = self.done, []
        await sync_to_async(self.write)(done)
        self.busy -= len(done)
        self.tested += len(done)
        for test, report in done:
            self.unjudged.append(test.connection_id)
            self._weigh(report.problem)
        if len(self.unjudged) >= JUDGED_AT_ONCE:
            await self._judge()

    def _weigh(self, problem: str) -> None:
        self.in_a_row = self.in_a_row + 1 if problem == self.last else 1
        self.last = problem
        most, hold = PATIENCE.get(problem, (math.inf, timedelta()))
        if self.in_a_row >= most:
            self.hold = hold

    async def _judge(self) -> None:
        tested, self.unjudged = self.unjudged, []
        if tested:
            await sync_to_async(worker.judge)(tested)

    # --- in the database's thread ------------------------------------------------------------

    def take(self, count: int) -> list[Taken]:
        """Up to `count` tests, claimed, with the events of their openings, saved."""
        if not self._is_still_mine():
            return []
        now = timezone.now()
        with transaction.atomic():
            tests = worker.usable(worker.claim_due(self.code, count, now))
            openings = [worker.opening(test, self.task_id) for test in tests]
            AccessEvent.objects.bulk_create(openings)
            worker.stamp(tests, now)
        return list(zip(tests, openings, strict=True))

    def write(self, done: list[tuple[ConnectionTest, KeyReport]]) -> None:
        for test, report in done:
            try:
                results.write(test, report, every=self.every)
            except DatabaseError as error:  # left behind: it is tested again
                log.error("No result written at %s: %s", self.code, type(error).__name__)
                self.lost = True
        self._is_still_mine()

    def _is_still_mine(self) -> bool:
        if not self.lost and time.monotonic() - self.renewed > RENEWED_EVERY_S:
            self.lost = not self._mine().update(sweep_until=timezone.now() + LEASE)
            self.renewed = time.monotonic()
        return not self.lost

    def release(self) -> None:
        """The time stays, for whose turn is next."""
        self._mine().update(sweep_until=timezone.now() + (self.hold or timedelta()))
        self.fence = 0

    def _mine(self) -> Any:
        return Exchange.objects.filter(pk=self.code, sweep_fence=self.fence, paused=False)


class Recorded:
    """An event that was saved with others, before any of their keys is opened."""

    def __init__(self, opening: AccessEvent) -> None:
        self.opening = opening

    def save(self, *, force_insert: bool = False) -> None:
        if self.opening._state.adding:
            raise RuntimeError("no key is opened before that is on record")
