"""How an exchange's lists of pairs and prices look, one shape for each of its markets.

Fields are those of the exchanges' own examples (quoted in ccxt's sources beside each parser), as
far as anybody reads them; numbers where they send numbers, text where they send text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .listed import Listed

Rows = list[Any]


@dataclass(frozen=True)
class Shape:
    """`query` tells this market from others at the same path. `extra` are rows of other kinds,
    which come along in the same list."""

    host: str
    path: str
    row: Callable[[Listed], Any]
    price_path: str
    price: Callable[[Listed], Any]
    wrap: Callable[[Rows], Any] = list
    wrap_prices: Callable[[Rows], Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    by_quote: Mapping[str, str] = field(default_factory=dict)  # productType, for instance
    extra: tuple[Any, ...] = ()

    def prices(self, rows: Rows) -> Any:
        return (self.wrap_prices or self.wrap)(rows)


def joined(pair: Listed, between: str = "") -> str:
    return f"{pair.base}{between}{pair.quote}"


def word(pair: Listed, traded: str, halted: str) -> str:
    return traded if pair.traded else halted


def filters(pair: Listed, notional: Mapping[str, Any]) -> Rows:
    """Binance's."""
    return [
        {"filterType": "PRICE_FILTER", "minPrice": pair.tick, "tickSize": pair.tick},
        {"filterType": "LOT_SIZE", "minQty": pair.least, "maxQty": "9000", "stepSize": pair.step},
        dict(notional),
    ]
