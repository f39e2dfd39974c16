"""The exchanges BackFuture knows, written out in display order."""

from __future__ import annotations

from .base import Exchange
from .kucoin import KuCoin
from .mexc import Mexc

EXCHANGES: dict[str, Exchange] = {exchange.code: exchange for exchange in (Mexc(), KuCoin())}

# On their way: shown as not yet offered. Code -> name.
PLANNED = {
    "binance": "Binance",
    "okx": "OKX",
    "bitget": "Bitget",
    "gate": "Gate.io",
    "htx": "HTX",
    "bingx": "BingX",
    "coinbase": "Coinbase",
    "bybit": "Bybit",
}

__all__ = ["EXCHANGES", "PLANNED", "Exchange", "get", "name_of"]


def get(code: str) -> Exchange:
    """Raises LookupError for a code nobody wrote a file for."""
    return EXCHANGES[code]


def name_of(code: str) -> str:
    return EXCHANGES[code].name if code in EXCHANGES else PLANNED.get(code, code)
