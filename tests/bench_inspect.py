"""`make bench-inspect`: how many keys a second one process inspects, beside a plain ccxt loop and
a bare aiohttp client that sends the same requests. Prints a table, then one line of JSON.

The exchanges are a server of its own process that gives every call the answer a good key got
from the simulator, 100 ms later.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle, islice
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

import aiohttp  # noqa: E402
import ccxt  # noqa: E402
from aiohttp import web  # noqa: E402
from django.conf import settings  # noqa: E402
from yarl import URL  # noqa: E402

from connections import exchanges  # noqa: E402
from connections.exchanges import client, inspection  # noqa: E402
from connections.exchanges.base import Answer, Call, Credentials, Site  # noqa: E402
from tests.simulator import Simulator, sample  # noqa: E402

DELAY_S = 0.1
KEYS, PLAIN_KEYS, MANY_KEYS = 2_000, 20, 20_000
AT_ONCE = 200  # keys under way
PORT = 8971

Asked = list[tuple[Call, Mapping[str, str]]]


def serve(answers: dict[str, bytes], port: int) -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(DELAY_S)
        body = answers.get(f"{request.method} {request.path}", b"{}")
        return web.Response(body=body, content_type="application/json")

    async def run() -> None:
        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()

    asyncio.run(run())


def credentials_of(code: str) -> Credentials:
    key = sample(code, "good")
    return Credentials(key.api_key, key.paste_secret, key.paste_passphrase)


async def record(code: str) -> tuple[dict[str, bytes], Asked]:
    """Every answer a good key gets from the simulator, and the calls in their order."""
    exchange, credentials = exchanges.get(code), credentials_of(code)
    answers: dict[str, bytes] = {}
    asked: Asked = []
    async with client.Client() as session:

        def at(site: Site) -> Any:
            async def ask(call: Call, params: Mapping[str, str]) -> Answer:
                answer = await session.send(exchange, call, params, credentials, site)
                request = client.sign(code, call, {**call.params, **params}, credentials)
                url = request["url"].split("?")[0].removeprefix("https://")
                answers[f"{call.method} /{url}"] = json.dumps(answer.data).encode()
                asked.append((call, dict(params)))
                return answer

            return ask

        report = await inspection.Inspection(exchange, credentials, at, client.read_balances).run()
        assert report.outcome in {"connected", "warnings"}, (code, report.problem)
    return answers, asked


def spread(count: int) -> list[str]:
    return list(islice(cycle(exchanges.EXCHANGES), count))


async def limited(count: int, work: Any) -> list[Any]:
    """Runs `work(code)` for `count` keys over all exchanges, AT_ONCE at a time."""
    codes = iter(spread(count))
    results: list[Any] = []

    async def worker() -> None:
        for code in codes:
            results.append(await work(code))

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return results


async def inspect_all(count: int) -> int:
    """How many ended as good."""
    keys = {code: credentials_of(code) for code in exchanges.EXCHANGES}
    async with client.Client(connections=AT_ONCE) as session:

        async def one(code: str) -> bool:
            exchange = exchanges.get(code)
            ask_at = session.ask_as(exchange, keys[code])
            test = inspection.Inspection(exchange, keys[code], ask_at, client.read_balances)
            return (await test.run()).outcome in {"connected", "warnings"}

        return sum(await limited(count, one))


def presigned(asked: dict[str, Asked]) -> dict[str, list[Mapping[str, Any]]]:
    return {
        code: [
            client.sign(code, call, {**call.params, **params}, credentials_of(code))
            for call, params in calls
        ]
        for code, calls in asked.items()
    }


async def send_all(count: int, requests: dict[str, list[Mapping[str, Any]]]) -> None:
    """The same requests, signed beforehand, one after the other per key."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(code: str) -> None:
            for request in requests[code]:
                url = URL(client._via_gateway(request["url"]), encoded=True)
                headers, body = request["headers"], request["body"]
                async with session.request(
                    request["method"], url, headers=headers, data=body
                ) as response:
                    await response.read()

        await limited(count, one)


def plain_ccxt(count: int, asked: dict[str, Asked]) -> None:
    """The loop everybody writes: a new instance per key, blocking, implicit methods."""
    for code in spread(count):
        credentials = credentials_of(code)
        exchange = getattr(ccxt, code)(
            {
                "apiKey": credentials.api_key,
                "secret": credentials.secret,
                "password": credentials.passphrase,
                "enableRateLimit": False,
            }
        )
        fetch = exchange.fetch
        exchange.fetch = lambda url, *more, fetch=fetch: fetch(client._via_gateway(url), *more)
        for call, params in asked[code]:
            with suppress(ccxt.BaseError):  # some of the calls are answered by a refusal
                asked_with = {**call.params, **params}
                exchange.request(call.endpoint, list(call.api), call.method, asked_with)


def rss_mb() -> float:
    """Resident memory now, in MB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Any) -> tuple[float, float]:
    """Seconds and CPU seconds of a piece of work."""
    cpu, began = cpu_s(), time.perf_counter()
    work()
    return time.perf_counter() - began, cpu_s() - cpu


def main() -> None:
    answers: dict[str, bytes] = {}
    asked: dict[str, Asked] = {}
    with Simulator() as simulator:
        settings.EXCHANGE_GATEWAY_URL = simulator.url
        for code in exchanges.EXCHANGES:
            found, asked[code] = asyncio.run(record(code))
            answers.update(found)
    settings.EXCHANGE_GATEWAY_URL = f"http://127.0.0.1:{PORT}"
    for exchange in exchanges.EXCHANGES.values():
        type(exchange).clock_window_ms = 10**12  # the recorded time stands still
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(answers, PORT), daemon=True
    )
    server.start()
    time.sleep(2)
    try:
        measure(asked)
    finally:
        server.terminate()


def measure(asked: dict[str, Asked]) -> None:
    gc.freeze()  # as inspect_keys does
    good = asyncio.run(inspect_all(200))
    assert good == 200, f"{200 - good} of 200 keys were misjudged"
    rss_200 = rss_mb()
    seconds, cpu = timed(lambda: asyncio.run(inspect_all(KEYS)))
    requests = presigned(asked)
    bare_s, bare_cpu = timed(lambda: asyncio.run(send_all(KEYS, requests)))
    plain_s, plain_cpu = timed(lambda: plain_ccxt(PLAIN_KEYS, asked))
    asyncio.run(inspect_all(MANY_KEYS))
    rss_20000 = rss_mb()
    rows = [
        ("this inspector", KEYS, KEYS / seconds, 1000 * cpu / KEYS),
        ("bare aiohttp, requests signed before", KEYS, KEYS / bare_s, 1000 * bare_cpu / KEYS),
        ("plain ccxt loop", PLAIN_KEYS, PLAIN_KEYS / plain_s, 1000 * plain_cpu / PLAIN_KEYS),
    ]
    print(f"{len(exchanges.EXCHANGES)} exchanges, answers after 100 ms, {os.cpu_count()} cores")
    print(f"{'':38}{'keys':>7}{'keys/s':>10}{'CPU ms/key':>12}")
    for name, keys, rate, cpu_ms in rows:
        print(f"{name:38}{keys:>7}{rate:>10.1f}{cpu_ms:>12.2f}")
    print(f"memory: {rss_200:.0f} MB after 200 keys, {rss_20000:.0f} MB after {MANY_KEYS:,}")
    figures = {
        "inspector_per_s": round(KEYS / seconds, 1),
        "plain_ccxt_per_s": round(PLAIN_KEYS / plain_s, 2),
        "bare_aiohttp_per_s": round(KEYS / bare_s, 1),
        "cpu_ms_per_key": round(1000 * cpu / KEYS, 2),
        "rss_mb_200": round(rss_200),
        "rss_mb_20000": round(rss_20000),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
