"""Bitget."""

from .base import Expectations

BITGET = Expectations(
    host="api.bitget.com",
    scenarios={
        # One code for a wrong passphrase and for a passphrase of another key.
        "wrong_passphrase": ("failed", "ambiguous"),
        # Reading futures is proven by a call; no call that may be sent proves trading them.
        "futures_only": ("warnings", ""),
        "unified": ("connected", ""),
        "unified_documented": ("connected", ""),
        "unified_read_only": ("failed", "no_permission"),
        "unified_withdraw": ("refused", ""),
        "unified_unknown_word": ("warnings", ""),
        "unified_no_ip": ("warnings", ""),
        "demo": ("connected", ""),
        "unified_demo": ("connected", ""),
        "chinese": ("failed", "no_permission"),
    },
    not_asked={
        "bitget-40014-spot-write": "the answer to cancelling an order, which is never sent",
        "bitget-40014-transfer": "the answer to a transfer, which is never sent",
    },
)
