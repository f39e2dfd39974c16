"""What is expected of each exchange's file, by its code."""

from .base import PROBLEMS_OF_KEYS, SCENARIOS, Expectations
from .binance import BINANCE
from .bingx import BINGX
from .bitget import BITGET
from .bybit import BYBIT
from .coinbase import COINBASE
from .gate import GATE
from .htx import HTX
from .kucoin import KUCOIN
from .mexc import MEXC
from .okx import OKX

EXPECTATIONS: dict[str, Expectations] = {
    "mexc": MEXC,
    "kucoin": KUCOIN,
    "binance": BINANCE,
    "okx": OKX,
    "coinbase": COINBASE,
    "bitget": BITGET,
    "gate": GATE,
    "htx": HTX,
    "bingx": BINGX,
    "bybit": BYBIT,
}

__all__ = ["EXPECTATIONS", "PROBLEMS_OF_KEYS", "SCENARIOS", "Expectations"]
