"""Binance."""

from .base import Expectations

BINANCE = Expectations(
    host="api.binance.com",
    scenarios={
        # One answer for an address and a blocked key; no second call tells them apart.
        "wrong_ip": ("failed", "ambiguous"),
        "disabled": ("failed", "ambiguous"),
        "ed25519": ("connected", ""),
        "rsa": ("connected", ""),
        "no_futures_account": ("connected", ""),
        # Neither site tells of withdrawing and of addresses.
        "demo": ("warnings", ""),
        "testnet": ("warnings", ""),
    },
    test_orders=frozenset({("POST", "/api/v3/order/test")}),
)
