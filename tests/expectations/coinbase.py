"""Coinbase."""

from .base import Expectations

# No call tells of IP addresses, so that a good key is always warned about.
GOOD = ("warnings", "")
# One and the same 401 for every failed authentication, whatever its cause.
UNAUTHORIZED = ("failed", "ambiguous")

COINBASE = Expectations(
    host="api.coinbase.com",
    scenarios={
        **dict.fromkeys(("good", "good_futures", "twin_good", "other_account", "ecdsa"), GOOD),
        **dict.fromkeys(("deleted", "wrong_secret", "wrong_ip", "disabled", "clock"), UNAUTHORIZED),
    },
    not_asked={
        "coinbase-404-order-unknown": "a single order is not asked for, so that it proves nothing",
    },
)
