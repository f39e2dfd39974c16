"""OKX."""

from .base import Expectations

OKX = Expectations(
    host="www.okx.com",
    scenarios={
        # A key that is not there may have been deleted for disuse, or be of a site we do not know.
        "deleted": ("failed", "ambiguous"),
        "expired": ("failed", "ambiguous"),
        "eea": ("connected", ""),
        "us": ("connected", ""),
        "tr": ("connected", ""),
        "demo": ("connected", ""),
        "eea_demo": ("connected", ""),
    },
    not_asked={
        "ok_subaccount_apikey": "a list of a master account's sub keys",
    },
)
