"""Answers that no exchange documents and that a client has to survive.

Each mode takes the request and the reply that the exchange would have given.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final

from aiohttp import web

from .wire import Reply

MB: Final = 1024 * 1024
BIG: Final = 50 * MB
PAUSE_S: Final = 0.2
Mode = Callable[[web.BaseRequest, Reply], Awaitable[web.StreamResponse]]

PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>{}</body></html>"


async def _garbage(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(reply.content[: len(reply.content) // 2] or b"{")


async def _html(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return web.Response(text=PAGE.format("Checking your browser"), content_type="text/html")


async def _waf(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    page = PAGE.format("Access denied")
    return web.Response(status=403, text=page, content_type="text/html")


async def _hang(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


async def _huge(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = await _started(http)
    for _ in range(BIG // 65536):
        await response.write(b"[" * 65536)
    return response


async def _gzip_bomb(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    packed = await asyncio.to_thread(_bomb)
    return _json(packed, **{"Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * BIG)


async def _redirect(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """To another host, which the request log would show."""
    target = f"http://{http.host}/collector.example/collect"
    return web.Response(status=302, headers={"Location": target})


async def _drip(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = await _started(http)
    while True:
        await response.write(b" ")
        await asyncio.sleep(PAUSE_S)


async def _header_drip(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    # aiohttp sends headers in one piece, so these go past it.
    transport = http.transport
    line = b"HTTP/1.1 200 OK\r\n"
    while transport:  # until the client leaves, which cancels this
        transport.write(line)
        line = b"X-Drip: 1\r\n"
        await asyncio.sleep(PAUSE_S)
    return web.Response()


async def _deep(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(b"[" * 200_000 + b"]" * 200_000)


async def _nan(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(_changed(reply, _no_number).content.replace(b"Infinity", b"1e999"))


async def _empty(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(b"")


async def _binary(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(bytes(range(256)))


async def _wrong_shape(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return _json(_changed(reply, _other_type).content)


def _json(body: bytes, **headers: str) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers=headers)


async def _started(http: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(http)
    return response


def _changed(reply: Reply, change: Callable[[Any], Any]) -> Reply:
    """The reply with all values changed but those that say success."""
    body = reply.body
    if not isinstance(body, dict):
        return Reply(200, change(body))
    kept = {name: body[name] for name in ("code", "success") if name in body}
    return Reply(200, change(body) | kept)


def _no_number(value: Any) -> Any:
    """Numbers in strings become NaN, numbers become infinite."""
    if isinstance(value, dict):
        return {name: _no_number(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_no_number(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        return math.nan
    return math.inf if isinstance(value, int | float) and not isinstance(value, bool) else value


def _other_type(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _other_type(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return {"items": value}
    return "yes" if isinstance(value, bool) else [value]


MODES: Final[Mapping[str, Mode]] = {
    "garbage": _garbage,
    "html": _html,
    "waf": _waf,
    "hang": _hang,
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
    "redirect": _redirect,
    "drip": _drip,
    "header_drip": _header_drip,
    "deep": _deep,
    "nan": _nan,
    "empty": _empty,
    "binary": _binary,
    "wrong_shape": _wrong_shape,
}
