"""One pair of an exchange's list, read from what ccxt's parser makes of it: each value that can be
read exactly, and None for the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from .base import Market
from .reading import short_text

LONGEST_NAME: Final = 30  # of a currency; the database has no room for more
LONGEST_NUMBER: Final = 60  # characters
TYPES: Final[Mapping[Market, str]] = {"spot": "spot", "futures": "swap"}  # ccxt's words
NAME: Final = re.compile(r"[^\s,/:]+")
# Whatever lies outside is a slip of the exchange's, or worse: 10**-18 is one wei.
SMALLEST, LARGEST = Decimal("1e-18"), Decimal("1e16")


@dataclass(frozen=True, slots=True)
class MarketRow:
    """A pair as listed. Amounts and their step are in the base currency, cost and price in the
    quote currency; None is what the exchange does not tell."""

    symbol: str
    base: str
    quote: str
    active: bool
    min_amount: Decimal | None = None
    min_cost: Decimal | None = None
    amount_step: Decimal | None = None
    price_step: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What was read. With a `problem` there are no rows; prices may be missing all the same."""

    rows: tuple[MarketRow, ...] = ()
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    problem: str = ""


def rows_from(
    raw: Iterable[Any], market: Market, *, digits: bool, least_in_base: bool
) -> dict[str, MarketRow]:
    """By symbol. Of two rows of one name the one that is traded counts. `digits`: a step is written
    as a number of decimal places. `least_in_base`: as in feeds.py."""
    rows: dict[str, MarketRow] = {}
    for each in raw:
        row = _row(each, market, digits, least_in_base) if isinstance(each, dict) else None
        if row and not (row.symbol in rows and rows[row.symbol].active):
            rows[row.symbol] = row
    return rows


def _row(
    raw: Mapping[str, Any], market: Market, digits: bool, least_in_base: bool
) -> MarketRow | None:
    """None where it is not of this market, or its names make no sense."""
    base, quote = (short_text(raw.get(name), LONGEST_NAME) for name in ("base", "quote"))
    is_spot = market == "spot"
    # A dated or an inverse one has another symbol.
    symbol = f"{base}/{quote}" if is_spot else f"{base}/{quote}:{quote}"
    named = all(map(NAME.fullmatch, (base, quote))) and len(symbol) <= 2 * LONGEST_NAME
    if not named or (raw.get("symbol"), raw.get("type")) != (symbol, TYPES[market]):
        return None
    size = Decimal(1) if is_spot else decimal(raw.get("contractSize"))
    step = _times(_step(_at(raw, "precision", "amount"), digits), size)
    smallest = _times(
        decimal(_at(raw, "limits", "amount", "min")), Decimal(1) if least_in_base else size
    )
    return MarketRow(
        symbol,
        base,
        quote,
        raw.get("active") is not False,
        # No order is smaller than a step, whatever is said.
        min_amount=max(filter(None, (step, smallest)), default=None),
        min_cost=decimal(_at(raw, "limits", "cost", "min")),
        amount_step=step,
        price_step=_step(_at(raw, "precision", "price"), digits),
    )


def _at(raw: Any, *path: str) -> Any:
    for name in path:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


def _step(value: Any, digits: bool) -> Decimal | None:
    if not digits:
        return decimal(value)
    places = str(value)
    return Decimal(1).scaleb(-int(places)) if re.fullmatch(r"1?\d", places) else None


def _times(value: Decimal | None, size: Decimal | None) -> Decimal | None:
    return value * size if value and size else None


def decimal(value: Any) -> Decimal | None:
    """A sum of money or an amount, from text or a whole number; None where it is none, or 0."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        number = Decimal(str(value)[:LONGEST_NUMBER])
    except InvalidOperation:
        return None
    return number if number.is_finite() and SMALLEST <= number < LARGEST else None
