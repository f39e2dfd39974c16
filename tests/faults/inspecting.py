"""Inspections as the worker makes them, each in a process of its own that measures itself.

Run with keys as JSON on standard input: after a good key that loads everything, one process for
each key; each prints a line of JSON about how its inspection ended, how long it took, and by how
much its resident memory grew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import django

MB = 1024


def inspect(exchange_code: str, *typed: str) -> Any:
    """The report on API key, secret and passphrase, with the product's own limits."""
    from connections import exchanges
    from connections.exchanges import client, inspection
    from connections.exchanges.base import Credentials

    async def run() -> Any:
        exchange, credentials = exchanges.get(exchange_code), Credentials(*typed)
        async with client.Client() as session:
            ask_at = session.ask_as(exchange, credentials)
            return await inspection.Inspection(
                exchange, credentials, ask_at, client.read_balances
            ).run()

    return asyncio.run(run())


def measured(name: str, typed: list[str]) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
    before, began = _resident("VmRSS"), time.monotonic()
    report = inspect(*typed)
    return {
        "name": name,
        "outcome": report.outcome,
        "problem": report.problem,
        "seconds": time.monotonic() - began,
        "grown_mb": (_resident("VmHWM") - before) / MB,
        "ready_for": report.facts.permissions.ready_for,
    }


def _resident(name: str) -> int:
    """In KB."""
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def main() -> None:
    warm, *keys = json.load(sys.stdin)
    assert measured(*warm)["outcome"] == "connected"
    for key in keys:
        if not os.fork():
            os.write(1, (json.dumps(measured(*key)) + "\n").encode())  # one piece each
            os._exit(0)
    for _ in keys:
        os.wait()


if __name__ == "__main__":
    django.setup()
    main()
