"""How long exchanges let a key live that is not restricted to IP addresses. What an exchange tells
of a key's end comes before what is known here.

`days`: it ends so many days after it was made. `idle_days`: one that may trade is deleted after so
many days without use. Whether our daily reading counts as use is confirmed by none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`told`: the date that the exchange itself gives counts the days without use already."""

    source: str
    days: int | None = None
    idle_days: int | None = None
    told: bool = False


LIFETIMES: Mapping[str, Lifetime] = {
    "mexc": Lifetime("API documents, spot v3, FAQ", days=90),
    "kucoin": Lifetime("https://www.kucoin.com/support/360015102174", idle_days=30),
    # Its 30 days of the trading right are told with the key; this is the deletion beside it, of
    # which only others speak.
    "binance": Lifetime("Bitsgap's help desk; wording of Binance's own page", idle_days=30),
    "okx": Lifetime("https://www.okx.com/help/api-faq", idle_days=14),
    "bitget": Lifetime("none documented"),
    "gate": Lifetime("https://www.gateex.org/help/guide/faq/17521", days=90),
    "htx": Lifetime("https://www.htx.com/en-us/apikey", idle_days=90, told=True),
    "bingx": Lifetime("https://bingx.com/en-gb/account/api", idle_days=14),
    "coinbase": Lifetime("none documented"),
    # 90 days as well, but its date is told and moves when the key is renewed.
    "bybit": Lifetime("create-subuid-apikey.mdx of the API documents"),
}
