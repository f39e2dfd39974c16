"""What is expected of each exchange's file, by its code."""

from .base import SCENARIOS, Expectations
from .kucoin import KUCOIN
from .mexc import MEXC

EXPECTATIONS: dict[str, Expectations] = {
    "mexc": MEXC,
    "kucoin": KUCOIN,
}

__all__ = ["EXPECTATIONS", "SCENARIOS", "Expectations"]
