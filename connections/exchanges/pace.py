"""How fast scheduled tests may ask each exchange: requests a second, over all keys together.

Half of what an exchange allows one address, or less: people's own tests share the address, and
are not slowed down. Where limits are counted per account they are no matter here, since each key
is asked a handful of times a day. Changed by SWEEP_PACE for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SLOWEST: Final = 1.0  # for an exchange that nobody has looked up

REQUESTS_PER_SECOND: Final[Mapping[str, float]] = {
    # Weight 6,000 a minute per address (Binance's spot API, "Limits"); a test weighs about 50 in
    # 7 requests, so this is half of it. More ends in bans of 2 minutes to 3 days.
    "binance": 6,
    # "IP 1-3/s for private endpoints" (BingX-API/api-ai-skills, rate-limits.md).
    "bingx": 1,
    # 10 a second in general (bitget.com/api-doc); account/info 1 a second per account.
    "bitget": 5,
    # 600 in 5 s per address, else none for 10 minutes (bybit-exchange.github.io/docs/v5/rate-limit)
    "bybit": 20,
    # Public calls 10 a second per address, of which a test makes one
    # (docs.cdp.coinbase.com, "Advanced Trade REST API rate limits").
    "coinbase": 10,
    # 200 in 10 s per address for public calls (gate.io/docs/developers/apiv4); of those about
    # keys nothing is known.
    "gate": 5,
    # 10 a second per key (huobiapi.github.io/docs/spot/v1); uid and api-key 20 in 2 s, as a client
    # that is much used has it (JKorf/HTX.Net). Per address nothing is known.
    "htx": 5,
    # 2,000 in 30 s for public calls per address (kucoin.com/docs-new/rate-limit).
    "kucoin": 10,
    # What is published differs: 500 in 10 s, 500 weight in 10 s, 20 a second
    # (JKorf/Mexc.Net#42); so under 2 tests of 7 requests a second.
    "mexc": 10,
    # The time 10 in 2 s per address (okx.com/docs-v5), which each test asks once.
    "okx": 10,
}


def requests_per_second(code: str) -> float:
    return REQUESTS_PER_SECOND.get(code, SLOWEST)
