"""Gate.io."""

from .base import Expectations

GATE = Expectations(
    host="api.gateio.ws",
    scenarios={
        # Gate documents no answer for a region; the nearest label has more than one cause.
        "restricted": ("failed", "ambiguous"),
        "renewed": ("warnings", ""),
        # One object without a readable key cannot be told to be ours.
        "object": ("connected", ""),
        "no_futures": ("connected", ""),
        "futures_only": ("connected", ""),
        "european": ("connected", ""),
        "testnet": ("connected", ""),
    },
    beside={
        # Asked where the key is not in the list, as a sub-account's.
        "gate-ok-detail": (("GET", "/api/v4/account/main_keys", 200, []),),
    },
    not_asked={
        "gate-withdraw-probe-ok": "the answer to cancelling a withdrawal, which is never sent",
    },
)
