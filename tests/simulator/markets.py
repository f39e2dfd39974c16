"""The public lists of pairs and prices, as endpoints of each simulated exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .futures_markets import FUTURES
from .listed import Listed
from .market_shapes import Shape
from .spot_markets import SPOT
from .wire import Asked, Endpoint, Refused, Reply

SHAPES: Final[Mapping[str, Mapping[str, Shape]]] = {"spot": SPOT, "futures": FUTURES}
MARKETS: Final = ("spot", "futures")
PAGE: Final = 1000  # rows, at Bybit
DOWN: Final = Reply(503, "<html><body>503 Service Temporarily Unavailable</body></html>")


def endpoints(code: str) -> tuple[Endpoint, ...]:
    places = {(shape.host, path) for _, shape in _of(code) for path in _paths(shape)}
    return tuple(_endpoint(code, host, path) for host, path in sorted(places))


def _of(code: str) -> Iterable[tuple[str, Shape]]:
    return ((market, SHAPES[market][code]) for market in MARKETS)


def _paths(shape: Shape) -> tuple[str, str]:
    return shape.path, shape.price_path


def _endpoint(code: str, host: str, path: str) -> Endpoint:
    """Markets that share a path are told apart by the query; without any it is the first one."""
    here = [
        (market, shape)
        for market, shape in _of(code)
        if shape.host == host and path in _paths(shape)
    ]

    def answer(asked: Asked) -> Any:
        params = asked.request.params
        named = [each for each in here if each[1].query.items() <= params.items()]
        # The most exactly named one.
        market, shape = max(named or here[:1], key=lambda each: len(each[1].query))
        return _answer(asked, code, market, shape, path)

    return Endpoint("GET", path, answer, (host,))


def _answer(asked: Asked, code: str, market: str, shape: Shape, path: str) -> Any:
    markets = asked.world.markets
    fault, pairs = markets.fault(code, market), markets.of(code, market)
    # Where list and prices are one, what is said of the list counts.
    asks_list = path == shape.path
    if fault == "down" or (fault == "prices down" and not asks_list):
        raise Refused(DOWN)
    if asks_list and fault == "empty":
        return shape.wrap([])
    pairs = [pair for pair in pairs if _asked_for(pair, shape, asked.request.params)]
    if not asks_list:
        return shape.prices([shape.price(pair) for pair in pairs])
    rows = [*map(shape.row, pairs), *shape.extra]
    if code == "bybit" and market == "futures":
        return _page(shape, rows, asked.request.params)
    return shape.wrap(rows)


def _asked_for(pair: Listed, shape: Shape, params: Mapping[str, str]) -> bool:
    return all(params.get(n) == t.format(quote=pair.quote) for n, t in shape.by_quote.items())


def _page(shape: Shape, rows: list[Any], params: Mapping[str, str]) -> Any:
    first = int(params.get("cursor") or 0)
    answer = shape.wrap(rows[first : first + PAGE])
    following = first + PAGE
    answer["result"]["nextPageCursor"] = str(following) if following < len(rows) else ""
    return answer
