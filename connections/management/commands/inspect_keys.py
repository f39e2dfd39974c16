"""`inspect_keys`: what keys may do, from NDJSON on standard input to NDJSON on standard output.

No database. In: {"id", "exchange", "api_key", "secret", "passphrase"}, one key a line. Out, in
the same order, one report a line. Exit code 0 when every line was inspected, 2 on unusable input.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import math
import sys
from argparse import ArgumentParser
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from itertools import islice
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from connections import egress, exchanges
from connections.exchanges import client, inspection, pasting
from connections.exchanges.base import KeyReport
from connections.presentation import explain

LONGEST_LINE = 64 * 1024  # characters
AHEAD = 2  # times the concurrency


class UnusableLine(Exception):
    """A line that is no request for an inspection; the text says why and quotes nothing."""


class Command(BaseCommand):
    help = "Inspects API keys: NDJSON in, NDJSON out. See the README for the fields."
    requires_system_checks: list[str] = []  # no database and no vault is needed

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=50, help="keys at once (50)")

    def handle(self, *, concurrency: int, **_: Any) -> None:
        if concurrency < 1:
            raise CommandError("--concurrency takes a number from 1 up.", returncode=2)
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # one bad byte must not stop the rest
        gc.freeze()  # what is loaded by now stays: no need to look through it again and again
        try:
            with egress.of_the_site():  # no database is needed here
                unusable = asyncio.run(self._inspect_all(concurrency))
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=2) from None
        if unusable:
            raise CommandError(
                f"{unusable} unusable lines; the others were inspected.", returncode=2
            )

    async def _inspect_all(self, concurrency: int) -> int:
        unusable = done = 0
        async with client.Client(connections=concurrency) as session:
            async for line in _in_order(sys.stdin, session, concurrency):
                unusable += "error" in line
                done += 1
                self.stdout.write(json.dumps(line))
                self.stdout.flush()
                self._show_progress(done)
        return unusable

    def _show_progress(self, done: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done} keys inspected", ending="")


async def _in_order(
    stream: Iterable[str], session: client.Client, concurrency: int
) -> AsyncIterator[dict[str, Any]]:
    """Results in the order of the lines: `concurrency` keys under way, and as many again finished
    ahead of a slow one, so that memory does not grow with the input."""
    lines = (line for line in stream if line.strip())
    gate = asyncio.Semaphore(concurrency)
    ahead: deque[asyncio.Task[dict[str, Any]]] = deque()

    async def one(line: str) -> dict[str, Any]:
        async with gate:
            return await _result(line, session)

    def read() -> asyncio.Task[str | None]:
        # In a thread: a slow writer must not hold up the keys under way.
        return asyncio.create_task(asyncio.to_thread(next, lines, None))

    reading: asyncio.Task[str | None] | None = read()
    while reading or ahead:
        awaited: set[asyncio.Task[Any]] = set(islice(ahead, 1))
        if reading and len(ahead) < AHEAD * concurrency:
            awaited.add(reading)
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        while ahead and ahead[0].done():
            yield ahead.popleft().result()
        if reading and reading.done():
            line = reading.result()
            reading = None if line is None else read()
            if line is not None:
                ahead.append(asyncio.create_task(one(line)))


async def _result(line: str, session: client.Client) -> dict[str, Any]:
    try:
        request = _read(line)
        exchange = exchanges.EXCHANGES[request["exchange"]]
    except UnusableLine as error:
        return {"id": None, "error": str(error)}
    except (KeyError, TypeError):
        return {"id": _id(request), "error": "the exchange is missing or not known"}
    pasted = pasting.clean(exchange, request)
    if pasted.credentials is None:
        report = KeyReport("failed", (), problem=_problem_of(pasted.faults))
    else:
        ask = session.ask_as(exchange, pasted.credentials)
        report = await inspection.Inspection(
            exchange, pasted.credentials, ask, client.read_balances
        ).run()
    return as_line(_id(request), exchange.code, report)


def _read(line: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise UnusableLine("the line is too long")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise UnusableLine("the line is not JSON") from None
    if not isinstance(request, dict):
        raise UnusableLine("the line is not a JSON object")
    return request


def _id(request: dict[str, Any]) -> Any:
    given = request.get("id")
    if isinstance(given, float) and not math.isfinite(given):
        return None
    return given if isinstance(given, str | int | float) else None


def _problem_of(faults: Any) -> str:
    """The fault of the first field that cannot be used, as a problem."""
    for name, problem in (("api_key", "invalid_key"), ("passphrase", "bad_passphrase")):
        if name in faults:
            return problem
    return "bad_secret" if "secret" in faults else "invalid_key"


def as_line(given_id: Any, exchange: str, report: KeyReport) -> dict[str, Any]:
    """One line of the output. A title and advice are there for every outcome but a clean one."""
    facts = report.facts
    title, advice = _words(exchange, report)
    return {
        "id": given_id,
        "exchange": exchange,
        "outcome": report.outcome,
        "problem": report.problem or None,
        "causes": list(report.causes),
        "warnings": list(report.warnings),
        "title": title,
        "advice": advice,
        "permissions": facts.permissions.as_dict(),
        "ip_restricted": facts.ip_restricted,
        "seen_ip": report.seen_ip or None,
        "site": report.site or None,
        "created_at": _iso(facts.created_at),
        "expires_at": _iso(facts.expires_at),
        "uid": facts.uid or None,
        "label": facts.label or None,
        "steps": [
            {
                "name": step.name,
                "ok": step.ok,
                "ms": step.ms,
                "http_status": step.http_status,
                "code": step.code or None,
            }
            for step in report.steps
        ],
    }


def _words(exchange: str, report: KeyReport) -> tuple[str, str]:
    if report.outcome == "connected":
        return "Connected", ""
    if report.outcome == "warnings":
        advice = [step for code in report.warnings for step in explain(code, exchange).advice]
        return "Connected, with warnings", " ".join(advice)
    code = "withdrawal_enabled" if report.outcome == "refused" else report.problem
    words = explain(code, exchange, seen_ip=report.seen_ip)
    if not report.causes:
        return words.title, " ".join(words.advice)
    causes = (explain(cause, exchange) for cause in report.causes)
    return words.title, " ".join(f"{cause.title}: {cause.advice[0]}" for cause in causes)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
