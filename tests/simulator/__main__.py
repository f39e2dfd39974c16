"""`python -m tests.simulator serve` runs the simulator, `... keys` lists what can be pasted."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Iterable, Sequence

from . import EXCHANGES, SAMPLE_KEYS, SEEN_IP, KeySpec, Simulator

TITLES = ("exchange", "scenario", "api key", "secret", "passphrase", "what happens")
WIDEST = 96  # private keys stick out of their column


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.command == "serve":
        serve(options.host, options.port, options.seen_ip)
    elif options.json:
        print(json.dumps([_as_dict(key) for key in SAMPLE_KEYS], indent=2))
    else:
        print(table(SAMPLE_KEYS))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run until interrupted")
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--port", type=int, default=8900)
    serving.add_argument("--seen-ip", default=SEEN_IP, help="the address exchanges see us under")
    listing = commands.add_parser("keys", help="list the sample keys")
    listing.add_argument("--json", action="store_true")
    return parser


def serve(host: str, port: int, seen_ip: str) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Simulator(port, host=host, seen_ip=seen_ip) as simulator:
        names = ", ".join(exchange.code for exchange in EXCHANGES)
        print(f"Simulating {names} at {simulator.url}", flush=True)
        ended.wait()


def table(keys: Iterable[KeySpec]) -> str:
    """The sample keys in columns, with the values to paste."""
    rows = [TITLES, *(_cells(key) for key in keys)]
    longest = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    widths = [min(width, WIDEST) for width in longest]
    return "\n".join(_line(row, widths) for row in rows)


def _cells(key: KeySpec) -> tuple[str, ...]:
    # A private key of several lines stays in its row; it may be pasted with these escapes.
    return tuple(value.replace("\n", "\\n") for value in _as_dict(key).values())


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _as_dict(key: KeySpec) -> dict[str, str]:
    return {
        "exchange": key.exchange,
        "scenario": key.scenario,
        "api_key": key.api_key,
        "secret": key.paste_secret,
        "passphrase": key.paste_passphrase,
        "what_happens": key.note,
    }


if __name__ == "__main__":
    main()
