"""HTX (Huobi)."""

from .base import Expectations

HTX = Expectations(
    host="api.huobi.pro",
    scenarios={
        # The word is not documented: the key is not usable, and we do not know why.
        "disabled": ("failed", "ambiguous"),
        "no_contracts": ("connected", ""),
    },
    about={
        "htx-ok-apikey-doc": "4ba5cdf2-4a92c5da-718ba144-dbuqg6hkte",
        "htx-ok-apikey-two": "5000d371-edXXXXf5tf-40XXXX8b-ab8e5",  # the second of two
    },
    unrecorded={
        "htx-ok-apikey-two": frozenset({"expires_at"}),  # 7 days after the answer, whenever it was
    },
    not_asked={
        "htx-withdraw-temp-addr": "the answer to a withdrawal, which is never asked for",
    },
)
