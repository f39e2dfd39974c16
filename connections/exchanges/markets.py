"""An exchange's list of pairs and their prices: ccxt builds the public requests and parses the
answers, our session sends.

There is no key here and nothing is signed. What feeds.py does not list is never sent, by no other
method than GET. ccxt's own texts go nowhere: what is wrong is a code of problems.py. What one row
holds can spoil that row, not the list.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, Final

import ccxt

from .base import Answer, Market
from .client import Client, NotAllowed
from .feeds import FEEDS, Feed, Path
from .market_rows import Listing, decimal, rows_from

log = logging.getLogger(__name__)

CALL_LIMIT_S: Final = 30.0
BODY_LIMIT: Final = 32 * 1024 * 1024  # bytes, packed and unpacked
# What ccxt may ask for in one reading, the same page again included: Bybit itself tells where its
# list goes on, and could do so for ever.
MOST_ASKED: Final = 20
MOST_BAD_ROWS: Final = 200  # more is no list with bad rows in it, but a shape we do not know
OUR_HEADERS: Final = frozenset({"X-Gate-Size-Decimal"})  # of those that ccxt puts in; no secret


class NotRead(Exception):
    """No usable answer; `problem` is a code of problems.py."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def read(code: str, market: Market) -> Listing:
    """Asks the exchange. Blocks for as long as it takes: for workers alone. Raises LookupError for
    a market that has no feed."""
    feed = FEEDS[code][market]
    with Reader(code, feed) as reader:
        try:
            raw = reader.markets()
        except NotRead as error:
            return Listing(problem=error.problem)
        except NotAllowed:
            # A new ccxt that asks elsewhere, or an exchange that would have it do so.
            log.error("Refused to ask %s for something that is not in feeds.py", code)
            return Listing(problem="unexpected")
        rows = rows_from(raw, market, digits=reader.counts_digits, least_in_base=feed.least_in_base)
        known = [each for each in raw if isinstance(each, dict) and each.get("symbol") in rows]
        prices = reader.prices(known) if rows else {}
        return Listing(tuple(rows.values()), {s: p for s, p in prices.items() if s in rows})


# --- asking ----------------------------------------------------------------------------------


class Reader:
    """A context manager: one reading of one market, with a ccxt of its own that nobody else uses
    and that sends nothing itself."""

    def __init__(self, code: str, feed: Feed) -> None:
        self.feed = feed
        self._ccxt = getattr(ccxt, code)(
            {"number": str, "enableRateLimit": False, "options": dict(feed.options)}
        )
        self._ccxt.fetch = self._fetch
        self._answers: dict[str, tuple[str, Any]] = {}  # by URL: the address, and what came
        self._served: dict[str, Any] | None = None  # by address; while it is set, nothing is sent
        self._wrong: Exception | None = None
        self._asked = 0

    def __enter__(self) -> Reader:
        self._open = ExitStack()
        self._loop = self._open.enter_context(asyncio.Runner())
        client = Client(call_limit_s=CALL_LIMIT_S, body_limit=BODY_LIMIT, as_text=True)
        self._client = self._loop.run(client.__aenter__())
        self._open.callback(lambda: self._loop.run(client.__aexit__(None, None, None)))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def counts_digits(self) -> bool:
        """Whether ccxt writes a step as a number of decimal places."""
        return bool(self._ccxt.precisionMode == ccxt.DECIMAL_PLACES)

    def markets(self) -> list[Any]:
        """As ccxt has them. Raises NotRead."""
        feed = self.feed
        method = getattr(self._ccxt, feed.method)
        return self._tolerantly(lambda: method(dict(feed.params)), feed.lists, feed.rows)

    def prices(self, known: list[dict[str, Any]]) -> dict[str, Decimal]:
        """The last prices of the pairs given, by symbol; nothing where they cannot be read."""
        try:
            self._ccxt.set_markets(known)
        except Exception:  # ccxt's parser, on what a stranger wrote
            return {}
        found: dict[str, Decimal] = {}
        for number, params in enumerate(self.feed.price_params):
            found |= self._prices(dict(params), self.feed.prices[number])
        return found

    def _prices(self, params: dict[str, str], address: str) -> dict[str, Decimal]:
        def ask() -> list[Any]:
            return list(self._ccxt.fetch_tickers(None, params).values())

        try:
            tickers = self._tolerantly(ask, (address,), self.feed.price_rows)
        except (NotRead, NotAllowed):
            return {}
        prices = {each["symbol"]: decimal(each.get("last")) for each in tickers}
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def _tolerantly(
        self, ask: Callable[[], list[Any]], addresses: tuple[str, ...], path: Path
    ) -> list[Any]:
        """What `ask` gives. Where the parser breaks, the same answers once more without the rows
        that it breaks on."""
        self._wrong = None
        try:
            found = ask()
        except Exception:  # ours, or whatever the parser makes of what a stranger wrote
            if self._wrong is None:
                return self._without_bad_rows(ask, addresses, path)
        if self._wrong is not None:  # ccxt keeps some errors to itself
            raise self._wrong
        return found

    def _without_bad_rows(
        self, ask: Callable[[], list[Any]], addresses: tuple[str, ...], path: Path
    ) -> list[Any]:
        answers = [data for address, data in self._answers.values() if address in addresses]
        parts = [[row for data in answers for row in rows_at(data, path)]]
        found: list[Any] = []
        bad = 0
        while parts:
            part = parts.pop()
            self._served = {addresses[0]: _with_rows(answers[0], path, part)} if part else {}
            try:
                found += ask() if part else []
            except Exception:
                bad += len(part) == 1
                half = len(part) // 2
                parts += [part[half:], part[:half]] if half else []
            if bad > MOST_BAD_ROWS:
                break
        self._served = None
        if bad > MOST_BAD_ROWS:
            raise NotRead("unexpected")
        return found

    # --- in place of ccxt's own sending ------------------------------------------------------

    def _fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        try:
            address = self._listed(url, method, headers or {}, body)
            if self._served is not None:
                return self._served.get(address, self._nothing)
            self._asked += 1
            if self._asked > MOST_ASKED:
                raise NotRead("unexpected")
            if address in self.feed.spared:
                return self._nothing
            if url not in self._answers:
                self._answers[url] = address, self._ask(url, headers or {})
            return self._answers[url][1]
        except (NotAllowed, NotRead) as error:
            self._wrong = error
            raise

    @property
    def _nothing(self) -> Any:
        return {} if self.feed.rows else []

    def _listed(self, url: str, method: str, headers: Mapping[str, str], body: Any) -> str:
        """The address of the feed that this is."""
        feed = self.feed
        if method == "GET" and body is None and set(headers) <= OUR_HEADERS:
            for address in (*feed.lists, *feed.prices, *feed.spared):
                if re.fullmatch(f"{re.escape(address)}(?:{feed.ending})?", url):
                    return address
        raise NotAllowed("ccxt would ask for something that is not on the list")

    def _ask(self, url: str, headers: Mapping[str, str]) -> Any:
        answer = self._loop.run(self._client.get(url, headers))
        if problem := transport_problem(answer) or self._refusal(url, answer):
            raise NotRead(problem)
        return answer.data

    def _refusal(self, url: str, answer: Answer) -> str:
        """What ccxt makes of an answer that says in its body that it is none."""
        try:
            self._ccxt.handle_errors(200, "", url, "GET", {}, "", answer.data, {}, None)
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection):
            return "rate_limited"
        except ccxt.NetworkError:
            return "unavailable"
        except Exception:
            return "unexpected"
        return ""


def transport_problem(answer: Answer) -> str:
    """What HTTP says, "" when there is a body to read."""
    if answer.failure in {"connect", "timeout"} or (answer.status or 0) >= 500:
        return "unavailable"
    if answer.status in {418, 429}:  # 418 is Binance's ban of those who go on all the same
        return "rate_limited"
    if answer.status in {403, 451}:
        return "restricted"
    return "unexpected" if answer.failure or answer.status != 200 else ""


def rows_at(data: Any, path: Path) -> list[Any]:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if isinstance(data, list) else []


def _with_rows(data: Any, path: Path, rows: list[Any]) -> Any:
    """The answer with these rows alone, and no further page."""
    if not path:
        return rows
    data = data if isinstance(data, dict) else {}
    shell = {name: each for name, each in data.items() if name != "nextPageCursor"}
    return {**shell, path[0]: _with_rows(data.get(path[0]), path[1:], rows)}
