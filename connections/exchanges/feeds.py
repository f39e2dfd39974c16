"""Where each exchange keeps its public lists of pairs and prices, and what ccxt's parser is asked
for. What is not written here is never sent.

Addresses are those that ccxt 4.5.90 builds; a test compares the two. A list may be put together
from several addresses, and ccxt asks for more than is needed here: that is answered with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .base import Market

Path = tuple[str, ...]  # of keys, from an answer to its rows
Asked = Mapping[str, str]  # ccxt's parameters


@dataclass(frozen=True, slots=True)
class Feed:
    """One market of one exchange. `lists` and `prices` are the addresses that may be asked, by GET
    alone; `ending` is what may follow them, as a pattern. Linear futures are asked for where an
    exchange lists them apart."""

    lists: tuple[str, ...]
    prices: tuple[str, ...]
    rows: Path = ("data",)
    price_rows: Path = ("data",)
    spared: tuple[str, ...] = ()  # what ccxt asks for beside it; answered with nothing, not sent
    ending: str = ""
    method: str = "fetch_markets"
    params: Asked = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    # ccxt has HTX's smallest amount in the base currency already, all others in contracts.
    least_in_base: bool = False
    # For each call of fetch_tickers.
    price_params: tuple[Asked, ...] = ({"type": "swap"},)


def _types(types: Any) -> Mapping[str, Any]:
    return {"fetchMarkets": {"types": types}}


SPOT: Final[tuple[Asked, ...]] = ({"type": "spot"},)
LINEAR: Final[Asked] = {"type": "swap", "subType": "linear"}

MEXC: Final = "https://api.mexc.com/api"
KUCOIN_FUTURES: Final = "https://api-futures.kucoin.com/api/v1/contracts/active"
BINANCE: Final = "https://api.binance.com/api/v3"
BINANCE_FUTURES: Final = "https://fapi.binance.com/fapi/v1"
OKX: Final = "https://www.okx.com/api/v5"
BITGET: Final = "https://api.bitget.com/api/v2"
CONTRACTS: Final = f"{BITGET}/mix/market/contracts?productType="
BITGET_PRICES: Final = f"{BITGET}/mix/market/tickers?productType="
GATE: Final = "https://api.gateio.ws/api/v4"
HTX: Final = "https://api.huobi.pro"
HTX_FUTURES: Final = "https://api.hbdm.vn"
BINGX: Final = "https://open-api.bingx.com/openApi"
COINBASE: Final = "https://api.coinbase.com/api/v3/brokerage/market/products"
BYBIT: Final = "https://api.bybit.com/v5/market"
STAMP: Final = r"\?timestamp=\d{13}"  # BingX has one on public calls too
CURSOR: Final = r"&cursor=[\w%.~-]{1,400}"  # Bybit's next page

FEEDS: Final[Mapping[str, Mapping[Market, Feed]]] = {
    "mexc": {
        "spot": Feed(
            lists=(f"{MEXC}/v3/exchangeInfo",),
            prices=(f"{MEXC}/v3/ticker/24hr",),
            rows=("symbols",),
            price_rows=(),
            method="fetch_spot_markets",
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{MEXC}/v1/contract/detail",),
            prices=(f"{MEXC}/v1/contract/ticker",),
            method="fetch_swap_markets",
        ),
    },
    "kucoin": {
        "spot": Feed(
            lists=("https://api.kucoin.com/api/v2/symbols",),
            prices=("https://api.kucoin.com/api/v1/market/allTickers",),
            price_rows=("data", "ticker"),
            options={"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}},
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(KUCOIN_FUTURES,), prices=(KUCOIN_FUTURES,), method="fetch_contract_markets"
        ),
    },
    "binance": {
        "spot": Feed(
            # Without the permissions of each pair, which would be most of it.
            lists=(f"{BINANCE}/exchangeInfo?showPermissionSets=false",),
            prices=(f"{BINANCE}/ticker/24hr",),
            rows=("symbols",),
            price_rows=(),
            params={"showPermissionSets": "false"},
            options=_types(["spot"]),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{BINANCE_FUTURES}/exchangeInfo",),
            prices=(f"{BINANCE_FUTURES}/ticker/24hr",),
            rows=("symbols",),
            price_rows=(),
            options=_types(["linear"]),
            price_params=(LINEAR,),
        ),
    },
    "okx": {
        "spot": Feed(
            lists=(f"{OKX}/public/instruments?instType=SPOT",),
            prices=(f"{OKX}/market/tickers?instType=SPOT",),
            options=_types(["spot"]),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{OKX}/public/instruments?instType=SWAP",),
            prices=(f"{OKX}/market/tickers?instType=SWAP",),
            options=_types(["swap"]),
        ),
    },
    "bitget": {
        "spot": Feed(
            lists=(f"{BITGET}/spot/public/symbols",),
            prices=(f"{BITGET}/spot/market/tickers",),
            spared=(f"{BITGET}/margin/currencies",),
            options=_types(["spot"]),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{CONTRACTS}USDT-FUTURES", f"{CONTRACTS}USDC-FUTURES"),
            prices=(f"{BITGET_PRICES}USDT-FUTURES", f"{BITGET_PRICES}USDC-FUTURES"),
            # Inverse ones, and those for practice.
            spared=tuple(
                f"{CONTRACTS}{kind}-FUTURES" for kind in ("COIN", "SUSDT", "SCOIN", "SUSDC")
            ),
            options=_types(["swap"]),
            price_params=(
                {"type": "swap", "productType": "USDT-FUTURES"},
                {"type": "swap", "productType": "USDC-FUTURES"},
            ),
        ),
    },
    "gate": {
        "spot": Feed(
            lists=(f"{GATE}/spot/currency_pairs",),
            prices=(f"{GATE}/spot/tickers?timezone=utc0",),
            rows=(),
            price_rows=(),
            spared=(f"{GATE}/margin/currency_pairs",),
            options=_types(["spot"]),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{GATE}/futures/usdt/contracts",),
            prices=(f"{GATE}/futures/usdt/tickers?timezone=utc0",),
            rows=(),
            price_rows=(),
            spared=(f"{GATE}/futures/btc/contracts",),
            options=_types(["swap"]),
        ),
    },
    "htx": {
        "spot": Feed(
            lists=(f"{HTX}/v1/common/symbols",),
            prices=(f"{HTX}/market/tickers",),
            options=_types({"spot": True, "linear": False, "inverse": False}),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{HTX_FUTURES}/linear-swap-api/v1/swap_contract_info?business_type=all",),
            prices=(f"{HTX_FUTURES}/linear-swap-ex/market/detail/batch_merged?business_type=swap",),
            price_rows=("ticks",),
            options=_types({"spot": False, "linear": True, "inverse": False}),
            least_in_base=True,
            price_params=(LINEAR,),
        ),
    },
    "bingx": {
        "spot": Feed(
            lists=(f"{BINGX}/spot/v1/common/symbols",),
            prices=(f"{BINGX}/spot/v1/ticker/24hr",),
            rows=("data", "symbols"),
            ending=STAMP,
            method="fetch_spot_markets",
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{BINGX}/swap/v2/quote/contracts",),
            prices=(f"{BINGX}/swap/v2/quote/ticker",),
            ending=STAMP,
            method="fetch_swap_markets",
        ),
    },
    "coinbase": {
        "spot": Feed(
            lists=(COINBASE,),
            prices=(f"{COINBASE}?product_type=SPOT",),
            rows=("products",),
            price_rows=("products",),
            spared=(f"{COINBASE}?product_type=FUTURE",),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{COINBASE}?product_type=FUTURE",),
            prices=(f"{COINBASE}?product_type=FUTURE",),
            rows=("products",),
            price_rows=("products",),
            spared=(COINBASE,),
        ),
    },
    "bybit": {
        "spot": Feed(
            lists=(f"{BYBIT}/instruments-info?category=spot",),
            prices=(f"{BYBIT}/tickers?category=spot",),
            rows=("result", "list"),
            price_rows=("result", "list"),
            options=_types(["spot"]),
            price_params=SPOT,
        ),
        "futures": Feed(
            lists=(f"{BYBIT}/instruments-info?category=linear&limit=1000",),
            prices=(f"{BYBIT}/tickers?category=linear",),
            rows=("result", "list"),
            price_rows=("result", "list"),
            spared=(f"{BYBIT}/instruments-info?category=linear&limit=1000&status=PreLaunch",),
            ending=CURSOR,
            options=_types(["linear"]),
        ),
    },
}
