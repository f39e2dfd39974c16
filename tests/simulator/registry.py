"""The simulated exchanges, written out, and all of their sample keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .binance import BINANCE
from .bingx import BINGX
from .bitget import BITGET
from .bybit import BYBIT
from .coinbase import COINBASE
from .gate import GATE
from .htx import HTX
from .keys import KeySpec
from .kucoin import KUCOIN
from .markets import endpoints
from .mexc import MEXC
from .okx import OKX
from .wire import Exchange

# Lists of pairs and prices look alike everywhere, so they have a place of their own.
EXCHANGES: Final[tuple[Exchange, ...]] = tuple(
    replace(exchange, endpoints=(*endpoints(exchange.code), *exchange.endpoints))
    for exchange in (
        MEXC,
        KUCOIN,
        BINANCE,
        OKX,
        BITGET,
        GATE,
        HTX,
        BINGX,
        COINBASE,
        BYBIT,
    )
)
SAMPLE_KEYS: Final[tuple[KeySpec, ...]] = tuple(
    key for exchange in EXCHANGES for key in exchange.samples
)


def sample(exchange: str, scenario: str) -> KeySpec:
    """One sample key. Raises LookupError for a scenario the exchange does not have."""
    for key in SAMPLE_KEYS:
        if (key.exchange, key.scenario) == (exchange, scenario):
            return key
    raise LookupError(f"{exchange} has no sample key {scenario}")
