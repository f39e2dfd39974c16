"""ccxt signs, our session sends, the exchange's own file reads.

ccxt never sees an answer here, so nothing of its exception texts, logs, redirects, unlimited
bodies or remembered states exists. It is imported in markets.py beside this file and nowhere else.
The session is one per run, with one TLS context; nothing but the calls on an exchange's allow-list
can be sent through it.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
import ccxt
from ccxt.base.precise import Precise
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from yarl import URL

from .base import MAIN, Answer, Ask, AskAt, Balance, Call, Credentials, Exchange, Site
from .reading import short_text

CALL_LIMIT_S = 10.0
BODY_LIMIT = 2 * 1024 * 1024  # bytes, packed and unpacked
TEXT_LIMIT = 2_000  # bytes of a body that is not JSON, for the exchange's file to recognise


class NotAllowed(Exception):
    """A request that is not on the exchange's allow-list. Nothing was sent."""


class Refused(Exception):
    """Our session gave up on a response; `failure` is one of Answer's words."""

    def __init__(self, failure: str) -> None:
        super().__init__(failure)
        self.failure = failure


class Client:
    """An async context manager. `ask_as` gives what a test asks with, at any site.

    `body_limit` is in bytes, packed and unpacked. `as_text` leaves numbers in answers as they were
    written: amounts of money never pass through a float.
    """

    def __init__(
        self,
        *,
        call_limit_s: float = CALL_LIMIT_S,
        connections: int = 100,
        body_limit: int = BODY_LIMIT,
        as_text: bool = False,
    ) -> None:
        self.call_limit_s = call_limit_s
        self._connections = connections
        self._body_limit = body_limit
        self._numbers = {"parse_float": str, "parse_int": str} if as_text else {}

    async def __aenter__(self) -> Client:
        gateway_is_meant = settings.DEBUG or settings.ALLOW_EXCHANGE_GATEWAY
        if settings.EXCHANGE_GATEWAY_URL and not gateway_is_meant:
            raise ImproperlyConfigured("EXCHANGE_GATEWAY_URL needs ALLOW_EXCHANGE_GATEWAY=1.")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # unpacked here, with a limit
            trust_env=False,  # no proxy and no .netrc from a stray environment
            headers={"Accept-Encoding": "gzip, deflate", "User-Agent": "BackFuture/1"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    def ask_as(self, exchange: Exchange, credentials: Credentials) -> AskAt:
        """For each site a function that sends calls of `exchange` signed by `credentials`."""

        def at(site: Site) -> Ask:
            async def ask(call: Call, params: Mapping[str, str]) -> Answer:
                return await self.send(exchange, call, params, credentials, site)

            return ask

        return at

    async def send(
        self,
        exchange: Exchange,
        call: Call,
        params: Mapping[str, str],
        credentials: Credentials,
        site: Site = MAIN,
    ) -> Answer:
        """One request and its answer; whatever goes wrong on the way is in the answer.

        Raises NotAllowed, before anything is sent, for a call the exchange's file does not list.
        """
        if call not in exchange.calls:
            raise NotAllowed(f"{call} is not on the list of {exchange.code}")
        try:
            request = sign(exchange.code, call, {**call.params, **params}, credentials)
        except NotAllowed:
            raise
        except Exception:
            # Whatever a malformed key makes of signing; the text may hold the key.
            return Answer(failure="unsignable")
        return await self._exchange(_at(site, request))

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """A public address. What may be asked is for the caller to know (markets.py)."""
        request = {"method": "GET", "url": url, "headers": dict(headers), "body": None}
        return await self._exchange(request)

    async def _exchange(self, request: Mapping[str, Any]) -> Answer:
        began = time.monotonic()
        status: int | None = None
        body, failure, reason = b"", "", ""
        try:
            async with asyncio.timeout(self.call_limit_s), self._request(request) as response:
                status, reason = response.status, (response.reason or "")[:200]
                body = await _body(response, self._body_limit)
        except Refused as refusal:
            failure = refusal.failure
        except TimeoutError:
            failure = "timeout"
        except (aiohttp.ClientError, OSError, ValueError):
            failure = "connect"
        data = None
        if not failure:
            data, failure = _parsed(body, self._numbers)
        text = body[:TEXT_LIMIT].decode(errors="replace") if failure == "not_json" else ""
        ms = round((time.monotonic() - began) * 1000)
        return Answer(status, data, failure, ms, time.time_ns() // 1_000_000, text, reason)

    def _request(self, request: Mapping[str, Any]) -> Any:
        return self._session.request(
            request["method"],
            # Already encoded, and signed in that form: it must not be normalised.
            URL(_via_gateway(request["url"]), encoded=True),
            headers=request["headers"],
            data=request["body"],
            allow_redirects=False,
            proxy=settings.EXCHANGE_PROXY_URL or None,
        )


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    if 300 <= response.status < 400:
        raise Refused("redirect")
    packed = bytearray()
    async for chunk in response.content.iter_any():
        packed += chunk
        if len(packed) > limit:
            response.close()
            raise Refused("too_large")
    return _unpacked(bytes(packed), response.headers.get("Content-Encoding", ""), limit)


def _unpacked(packed: bytes, encoding: str, limit: int) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return packed
    if encoding not in {"gzip", "deflate"}:
        raise Refused("encoding")
    unpacker = zlib.decompressobj(wbits=47)  # zlib or gzip, told by the header
    try:
        body = unpacker.decompress(packed, limit)
    except zlib.error:
        raise Refused("encoding") from None
    if unpacker.unconsumed_tail:
        raise Refused("too_large")
    return body


def _parsed(body: bytes, numbers: Mapping[str, Any]) -> tuple[Any, str]:
    """JSON as (data, ""), anything else as (None, "not_json")."""
    try:
        return json.loads(body, parse_constant=_no_constant, **numbers), ""
    except (ValueError, RecursionError):
        return None, "not_json"


def _no_constant(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _at(site: Site, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same request at another site: its host is no part of any signature."""
    if site == MAIN:
        return request
    url = urlsplit(request["url"])
    url = url._replace(netloc=site.hosts.get(url.netloc, url.netloc))
    return {
        **request,
        "url": url.geturl(),
        "headers": {**(request["headers"] or {}), **site.headers},
    }


def _via_gateway(url: str) -> str:
    """`https://HOST/PATH?QUERY` as `GATEWAY/HOST/PATH?QUERY`, after signing, else unchanged."""
    gateway = str(settings.EXCHANGE_GATEWAY_URL)
    return f"{gateway.rstrip('/')}/{url.removeprefix('https://')}" if gateway else url


# --- ccxt ------------------------------------------------------------------------------------


@cache
def _signer(code: str) -> Any:
    # Numbers as text: amounts of money never pass through a float.
    return getattr(ccxt, code)({"number": str})


def sign(
    code: str, call: Call, params: Mapping[str, str], credentials: Credentials
) -> Mapping[str, Any]:
    """The signed request {url, method, headers, body}. Raises whatever ccxt makes of a bad key.

    Credentials are set, used and cleared without an await in between: many tests share one
    signer, and none may ever sign for another.
    """
    signer = _signer(code)
    if call.signed:
        signer.apiKey, signer.secret = credentials.api_key, credentials.secret
        signer.password = credentials.passphrase
    try:
        request = signer.sign(call.endpoint, list(call.api), call.method, dict(params))
    finally:
        signer.apiKey = signer.secret = signer.password = ""
    _must_be(call, request)
    return dict(request)


def _must_be(call: Call, request: Mapping[str, Any]) -> None:
    """What ccxt made of a call must be that call: a new ccxt may build another address."""
    url = urlsplit(request["url"])
    made = (request["method"], url.scheme, url.netloc)
    if made != (call.method, "https", call.host) or not call.is_path(url.path):
        raise NotAllowed(f"{call} would be sent somewhere else")


def read_balances(code: str, rows: list[Mapping[str, Any]]) -> tuple[Balance, ...]:
    """What is not zero, per currency, summed and named by ccxt; unreadable rows are left out."""
    signer = _signer(code)
    accounts: dict[str, Any] = {}
    for row in rows:
        name = signer.safe_currency_code(signer.safe_string(row, "currency"))
        if currency := short_text(name, 20):
            _add(signer, accounts.setdefault(currency, {"free": "0", "used": "0"}), row)
    currencies = sorted(accounts)
    totals = signer.safe_balance(accounts)
    found = (_balance(currency, totals[currency]) for currency in currencies)
    return tuple(balance for balance in found if balance.total.strip("0."))


def _balance(currency: str, amounts: Mapping[str, str]) -> Balance:
    return Balance(currency, amounts["free"], amounts["used"], amounts["total"])


def _add(signer: Any, account: dict[str, str], row: Mapping[str, Any]) -> None:
    for name in ("free", "used"):
        amount = signer.safe_string(row, name) or "0"
        try:
            account[name] = Precise.string_add(account[name], amount)
        except (ValueError, ArithmeticError):
            continue
