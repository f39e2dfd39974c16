"""Linear perpetuals: the lists of pairs and prices of all exchanges, with what else is in them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from . import envelopes
from .listed import Listed, usual
from .market_shapes import Rows, Shape, filters, joined, word
from .spot_markets import BROKERAGE

FAR: Final = 4133404800000  # what Binance has for "never"
MARCH: Final = 1774598400000  # 27 March 2026
BTC: Final = usual("binance", "futures")[0]


def _mexc(pair: Listed, settle: str = "") -> Any:
    return {
        "symbol": joined(pair, "_"),
        "baseCoin": pair.base,
        "quoteCoin": pair.quote,
        "settleCoin": settle or pair.quote,
        "contractSize": float(pair.step),
        "priceUnit": float(pair.tick),
        "volUnit": 1,
        "minVol": pair.contracts,
        "maxVol": 1000000,
        "state": 0 if pair.traded else 3,
    }


def _mexc_price(pair: Listed) -> Any:
    return {"symbol": joined(pair, "_"), "lastPrice": float(pair.price), "timestamp": FAR}


def _mexc_answer(rows: Rows) -> Any:
    return {"success": True, "code": 0, "data": rows}


def _kucoin(pair: Listed, settle: str = "") -> Any:
    base = "XBT" if pair.base == "BTC" else pair.base  # KuCoin's name for it in futures
    return {
        "symbol": f"{base}{pair.quote}M",
        "type": "FFWCSX",
        "expireDate": None,
        "baseCurrency": base,
        "quoteCurrency": pair.quote,
        "settleCurrency": settle or pair.quote,
        "maxOrderQty": 1000000,
        "lotSize": 1,  # also the smallest order
        "tickSize": float(pair.tick),
        "multiplier": float(pair.step),
        "isInverse": bool(settle),
        "status": word(pair, "Open", "Paused"),
        "lastTradePrice": float(pair.price),
        "nextFundingRateTime": 25481884,
    }


def _binance(pair: Listed) -> Any:
    return {
        "symbol": joined(pair),
        "contractType": "PERPETUAL",
        "deliveryDate": FAR,
        "status": word(pair, "TRADING", "SETTLING"),
        "baseAsset": pair.base,
        "quoteAsset": pair.quote,
        "marginAsset": pair.quote,
        "pricePrecision": 8,
        "quantityPrecision": pair.step_places,
        "filters": filters(pair, {"filterType": "MIN_NOTIONAL", "notional": pair.cost}),
    }


def _binance_price(pair: Listed) -> Any:
    return {"symbol": joined(pair), "lastPrice": pair.price, "closeTime": 1763722800000}


def _okx(pair: Listed, settle: str = "") -> Any:
    """A contract is of a hundred steps, and parts of it are traded."""
    lots = Decimal(pair.least) / Decimal(pair.step) / 100
    return {
        "instType": "SWAP",
        "instId": joined(pair, "-") + "-SWAP",
        "uly": joined(pair, "-"),
        "instFamily": joined(pair, "-"),
        "baseCcy": "",
        "quoteCcy": "",
        "settleCcy": settle or pair.quote,
        "ctVal": f"{Decimal(pair.step) * 100:f}",
        "ctMult": "1",
        "ctValCcy": pair.base,
        "ctType": "inverse" if settle else "linear",
        "lever": "100",
        "tickSz": pair.tick,
        "lotSz": "0.01",
        "minSz": f"{lots:f}",
        "state": word(pair, "live", "suspend"),
    }


def _okx_price(pair: Listed) -> Any:
    return {"instType": "SWAP", "instId": joined(pair, "-") + "-SWAP", "last": pair.price}


def _bitget(pair: Listed) -> Any:
    return {
        "symbol": joined(pair),
        "baseCoin": pair.base,
        "quoteCoin": pair.quote,
        "supportMarginCoins": [pair.quote],
        "minTradeNum": pair.least,
        "priceEndStep": "1",
        "volumePlace": str(pair.step_places),
        "pricePlace": str(pair.tick_places),
        "sizeMultiplier": pair.step,
        "symbolType": "perpetual",
        "minTradeUSDT": pair.cost,
        "symbolStatus": word(pair, "normal", "off"),
    }


def _bitget_price(pair: Listed) -> Any:
    return {"symbol": joined(pair), "lastPr": pair.price, "markPrice": pair.price}


def _gate(pair: Listed) -> Any:
    return {
        "name": joined(pair, "_"),
        "type": "direct",
        "quanto_multiplier": pair.step,
        "order_price_round": pair.tick,
        "order_size_min": pair.contracts,
        "order_size_max": 1000000,
        "order_price_deviate": "0.5",
        "mark_price": pair.price,
        "status": word(pair, "trading", "delisting"),
        "enable_decimal": False,
        "create_time": 1546905600,
    }


def _gate_price(pair: Listed) -> Any:
    return {"contract": joined(pair, "_"), "last": pair.price, "mark_price": pair.price}


def _htx(pair: Listed, dated: str = "") -> Any:
    return {
        "symbol": pair.base,
        "contract_code": joined(pair, "-") + (f"-{dated}" if dated else ""),
        "contract_size": float(pair.step),
        "price_tick": float(pair.tick),
        "delivery_date": "20260327" if dated else "",
        "delivery_time": str(MARCH) if dated else "",
        "create_date": "20201021",
        "contract_status": 1 if pair.traded else 4,
        "business_type": "futures" if dated else "swap",
        "pair": joined(pair, "-"),
        "contract_type": "quarter" if dated else "swap",
    }


def _htx_price(pair: Listed) -> Any:
    bid = [float(pair.price), 100]
    return {"contract_code": joined(pair, "-"), "close": pair.price, "bid": bid, "ask": bid}


def _htx_prices(rows: Rows) -> Any:
    return {"status": "ok", "ticks": rows, "ts": 1763722800000}


def _bingx(pair: Listed) -> Any:
    open_word = word(pair, "true", "false")
    return {
        "contractId": "100",
        "symbol": joined(pair, "-"),
        "size": pair.step,
        "quantityPrecision": pair.step_places,
        "pricePrecision": pair.tick_places,
        "tradeMinLimit": 0,
        "tradeMinQuantity": float(pair.least),
        "tradeMinUSDT": float(pair.cost),
        "currency": pair.quote,
        "asset": pair.base,
        "status": 1 if pair.traded else 25,
        "apiStateOpen": open_word,
        "apiStateClose": open_word,
    }


def _bingx_price(pair: Listed) -> Any:
    return {"symbol": joined(pair, "-"), "lastPrice": pair.price, "lastQty": "0.0001"}


def _coinbase(pair: Listed) -> Any:
    return {
        "product_id": f"{pair.base}-PERP-INTX",
        "price": pair.price,
        "base_increment": pair.step,
        "quote_increment": pair.tick,
        "price_increment": pair.tick,
        "quote_min_size": pair.cost,
        "base_min_size": pair.least,
        "is_disabled": False,
        "trading_disabled": not pair.traded,
        "product_type": "FUTURE",
        "display_name": f"{pair.base} PERP",
        "base_currency_id": "",
        "quote_currency_id": pair.quote,
        "future_product_details": {
            "contract_expiry": "",
            "contract_size": "1",
            "contract_root_unit": pair.base,
            "contract_expiry_type": "PERPETUAL",
        },
    }


def _bybit(pair: Listed, kind: str = "LinearPerpetual") -> Any:
    return {
        "symbol": joined(pair) if kind == "LinearPerpetual" else joined(pair) + "-27MAR26",
        "contractType": kind,
        "status": word(pair, "Trading", "Closed"),
        "baseCoin": pair.base,
        "quoteCoin": pair.quote,
        "settleCoin": pair.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0" if kind == "LinearPerpetual" else str(MARCH),
        "priceFilter": {"minPrice": pair.tick, "maxPrice": "1999999", "tickSize": pair.tick},
        "lotSizeFilter": {
            "maxOrderQty": "1190",
            "minOrderQty": pair.least,
            "qtyStep": pair.step,
            "minNotionalValue": pair.cost,
        },
    }


def _bybit_price(pair: Listed) -> Any:
    return {"symbol": joined(pair), "lastPrice": pair.price, "openInterestValue": "1"}


IN_DOLLARS: Final = Listed("BTC", "USD", BTC.price, BTC.tick, BTC.step, BTC.least, BTC.cost)
DATED: Final = _binance(BTC) | {
    "symbol": "BTCUSDT_260327",
    "contractType": "CURRENT_QUARTER",
    "deliveryDate": MARCH,
}

FUTURES: Final[Mapping[str, Shape]] = {
    "mexc": Shape(
        *("api.mexc.com", "/api/v1/contract/detail", _mexc),
        *("/api/v1/contract/ticker", _mexc_price),
        wrap=_mexc_answer,
        extra=(_mexc(IN_DOLLARS, settle="BTC"),),
    ),
    "kucoin": Shape(
        *("api-futures.kucoin.com", "/api/v1/contracts/active", _kucoin),
        *("/api/v1/contracts/active", _kucoin),
        wrap=envelopes.kucoin,
        extra=(_kucoin(IN_DOLLARS, settle="XBT"),),
    ),
    "binance": Shape(
        *("fapi.binance.com", "/fapi/v1/exchangeInfo", _binance),
        *("/fapi/v1/ticker/24hr", _binance_price),
        wrap=envelopes.binance,
        wrap_prices=list,
        extra=(DATED,),
    ),
    "okx": Shape(
        *("www.okx.com", "/api/v5/public/instruments", _okx, "/api/v5/market/tickers", _okx_price),
        wrap=envelopes.okx,
        query={"instType": "SWAP"},
        extra=(_okx(IN_DOLLARS, settle="BTC"),),
    ),
    "bitget": Shape(
        *("api.bitget.com", "/api/v2/mix/market/contracts", _bitget),
        *("/api/v2/mix/market/tickers", _bitget_price),
        wrap=envelopes.bitget,
        by_quote={"productType": "{quote}-FUTURES"},
    ),
    "gate": Shape(
        *("api.gateio.ws", "/api/v4/futures/usdt/contracts", _gate),
        *("/api/v4/futures/usdt/tickers", _gate_price),
    ),
    "htx": Shape(
        *("api.hbdm.vn", "/linear-swap-api/v1/swap_contract_info", _htx),
        *("/linear-swap-ex/market/detail/batch_merged", _htx_price),
        wrap=envelopes.htx,
        wrap_prices=_htx_prices,
        extra=(_htx(BTC, dated="260327"),),
    ),
    "bingx": Shape(
        *("open-api.bingx.com", "/openApi/swap/v2/quote/contracts", _bingx),
        *("/openApi/swap/v2/quote/ticker", _bingx_price),
        wrap=envelopes.bingx,
    ),
    "coinbase": Shape(
        *("api.coinbase.com", BROKERAGE, _coinbase, BROKERAGE, _coinbase),
        wrap=envelopes.coinbase,
        query={"product_type": "FUTURE"},
    ),
    "bybit": Shape(
        *("api.bybit.com", "/v5/market/instruments-info", _bybit),
        *("/v5/market/tickers", _bybit_price),
        wrap=envelopes.bybit("linear"),
        query={"category": "linear"},
        extra=(_bybit(BTC, kind="LinearFutures"),),
    ),
}
