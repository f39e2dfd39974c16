"""KuCoin."""

from .base import Expectations

KUCOIN = Expectations(
    host="api.kucoin.com",
    scenarios={
        # Expired keys are deleted, and KuCoin says the same of them and of its other sites' keys.
        "deleted": ("failed", "ambiguous"),
        "expired": ("failed", "ambiguous"),
    },
    not_asked={
        "ok_sub_api_key_no_ip": "a list of a master account's sub keys",
        "ok_status_cancelonly": "public; served in its own test",
    },
)
