"""The pairs that the simulated exchanges list, and what a test may change about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

Fault = Literal["down", "prices down", "empty"]
Place = tuple[str, str]  # exchange and market


@dataclass(frozen=True, slots=True)
class Listed:
    """A pair. Amounts and their step in the base currency, cost and price in the quote currency;
    where an exchange counts contracts, one of them is a step."""

    base: str
    quote: str
    price: str
    tick: str
    step: str
    least: str
    cost: str
    traded: bool = True

    @property
    def tick_places(self) -> int:
        return places(self.tick)

    @property
    def step_places(self) -> int:
        return places(self.step)

    @property
    def contracts(self) -> int:
        """The smallest order."""
        return int(Decimal(self.least) / Decimal(self.step))


def places(step: str) -> int:
    return len(step.partition(".")[2])


# Base, price in dollars, tick, step, smallest amount: likely ones, not anybody's.
BASES: Final = (
    ("BTC", "91250.4", "0.1", "0.0001", "0.0001"),
    ("ETH", "3015.28", "0.01", "0.001", "0.002"),
    ("SOL", "141.37", "0.01", "0.01", "0.05"),
    ("XRP", "2.2145", "0.0001", "0.1", "2.5"),
    ("ADA", "0.4521", "0.0001", "1", "12"),
    ("DOGE", "0.15673", "0.00001", "1", "32"),
    ("LINK", "13.452", "0.001", "0.01", "0.4"),
    ("LTC", "88.31", "0.01", "0.001", "0.06"),
    ("SHIB", "0.00000912", "0.00000001", "1", "550000"),
)
DOLLARS: Final = {"coinbase": ("USD", "USDC")}


def usual(code: str, market: str) -> list[Listed]:
    first, second = DOLLARS.get(code, ("USDT", "USDC"))
    if market == "futures":
        first = "USDC" if code == "coinbase" else "USDT"
        return [Listed(*_in(first, row), cost="5") for row in BASES]
    return [
        *(Listed(*_in(first, row), cost="5") for row in BASES),
        *(Listed(*_in(second, row), cost="5") for row in BASES[:3]),
        Listed("ETH", "BTC", "0.03304", "0.00001", "0.0001", "0.0001", "0.0001"),
    ]


def _in(quote: str, row: tuple[str, ...]) -> tuple[str, ...]:
    base, *numbers = row
    return (base, quote, *numbers)


class Markets:
    """What each market lists at the moment. To be changed from any thread."""

    def __init__(self) -> None:
        self._changed: dict[Place, list[Listed]] = {}
        self._faults: dict[Place, Fault] = {}

    def of(self, code: str, market: str) -> list[Listed]:
        here = self._changed.get((code, market))
        return usual(code, market) if here is None else list(here)

    def fault(self, code: str, market: str) -> Fault | None:
        return self._faults.get((code, market))

    def reset(self) -> None:
        self._changed.clear()
        self._faults.clear()

    # --- what a test may bring about -----------------------------------------------------

    def break_down(self, code: str, market: str, fault: Fault) -> None:
        self._faults[code, market] = fault

    def mend(self, code: str, market: str) -> None:
        self._faults.pop((code, market), None)

    def drop(self, code: str, market: str, *bases: str) -> None:
        """They are not listed any more."""
        left = [pair for pair in self.of(code, market) if pair.base not in bases]
        self._changed[code, market] = left

    def halt(self, code: str, market: str, *bases: str) -> None:
        """They are listed and cannot be traded."""
        self._change(code, market, bases, lambda pair: replace(pair, traded=False))

    def _change(
        self, code: str, market: str, bases: tuple[str, ...], change: Callable[[Listed], Listed]
    ) -> None:
        pairs = self.of(code, market)
        self._changed[code, market] = [
            change(pair) if pair.base in bases else pair for pair in pairs
        ]

    def generate(self, code: str, market: str, count: int) -> None:
        """So many pairs in all: the usual ones, and others that are called T0001 and so on."""
        pairs = usual(code, market)
        like = pairs[3]
        pairs += [replace(like, base=f"T{n:04}") for n in range(1, count - len(pairs) + 1)]
        self._changed[code, market] = pairs[:count]
