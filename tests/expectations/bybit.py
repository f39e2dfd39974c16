"""Bybit."""

from .base import Expectations

BYBIT = Expectations(
    host="api.bybit.com",
    scenarios={
        "eu": ("connected", ""),
        "jp": ("connected", ""),
        "demo": ("connected", ""),
        "testnet": ("connected", ""),
        "rsa": ("connected", ""),
        "classic": ("connected", ""),
        "third_party": ("warnings", ""),
    },
)
