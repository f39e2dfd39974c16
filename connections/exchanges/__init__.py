"""The exchanges BackFuture knows, written out in display order."""

from __future__ import annotations

from .base import Exchange
from .binance import Binance
from .bingx import BingX
from .bitget import Bitget
from .bybit import Bybit
from .coinbase import Coinbase
from .gate import Gate
from .htx import Htx
from .kucoin import KuCoin
from .mexc import Mexc
from .okx import Okx

EXCHANGES: dict[str, Exchange] = {
    exchange.code: exchange
    for exchange in (
        Mexc(),
        KuCoin(),
        Binance(),
        Okx(),
        Bitget(),
        Gate(),
        Htx(),
        BingX(),
        Coinbase(),
        Bybit(),
    )
}


__all__ = ["EXCHANGES", "Exchange", "get", "name_of"]


def get(code: str) -> Exchange:
    """Raises LookupError for a code nobody wrote a file for."""
    return EXCHANGES[code]


def name_of(code: str) -> str:
    return EXCHANGES[code].name if code in EXCHANGES else code
