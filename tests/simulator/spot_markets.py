"""Spot: the lists of pairs and prices of all exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import envelopes
from .listed import Listed
from .market_shapes import Rows, Shape, filters, joined, word


def _mexc(pair: Listed) -> Any:
    return {
        "symbol": joined(pair),
        "status": word(pair, "1", "2"),
        "baseAsset": pair.base,
        "baseAssetPrecision": pair.step_places,
        "quoteAsset": pair.quote,
        "quotePrecision": pair.tick_places,
        "quoteAssetPrecision": pair.tick_places,
        "isSpotTradingAllowed": pair.traded,
        "quoteAmountPrecision": pair.cost,
        "baseSizePrecision": pair.least,
        "permissions": ["SPOT"],
        "filters": [],
    }


def _as_binance(pair: Listed) -> Any:
    """MEXC's prices look the same."""
    bids = {"bidPrice": pair.price, "bidQty": "1", "askPrice": pair.price, "askQty": "1"}
    return {"symbol": joined(pair), "lastPrice": pair.price, **bids, "closeTime": 1763722800000}


def _kucoin(pair: Listed) -> Any:
    return {
        "symbol": joined(pair, "-"),
        "baseCurrency": pair.base,
        "quoteCurrency": pair.quote,
        "market": "USDS",
        "baseMinSize": pair.least,
        "quoteMinSize": pair.cost,
        "baseIncrement": pair.step,
        "quoteIncrement": "0.000001",
        "priceIncrement": pair.tick,
        "minFunds": pair.cost,
        "isMarginEnabled": True,
        "enableTrading": pair.traded,
    }


def _kucoin_price(pair: Listed) -> Any:
    return {"symbol": joined(pair, "-"), "buy": pair.price, "sell": pair.price, "last": pair.price}


def _kucoin_prices(rows: Rows) -> Any:
    return {"code": "200000", "data": {"time": 1763722800000, "ticker": rows}}


def _binance(pair: Listed) -> Any:
    return {
        "symbol": joined(pair),
        "status": word(pair, "TRADING", "BREAK"),
        "baseAsset": pair.base,
        "baseAssetPrecision": 8,
        "quoteAsset": pair.quote,
        "quotePrecision": 8,
        "isSpotTradingAllowed": True,
        "filters": filters(pair, {"filterType": "NOTIONAL", "minNotional": pair.cost}),
        "permissions": [],
        "permissionSets": [],
    }


def _okx(pair: Listed) -> Any:
    return {
        "instType": "SPOT",
        "instId": joined(pair, "-"),
        "baseCcy": pair.base,
        "quoteCcy": pair.quote,
        **dict.fromkeys(("uly", "instFamily", "settleCcy", "ctVal", "ctMult", "ctValCcy"), ""),
        "lever": "10",
        "tickSz": pair.tick,
        "lotSz": pair.step,
        "minSz": pair.least,
        "state": word(pair, "live", "suspend"),
    }


def _okx_price(pair: Listed) -> Any:
    return {"instType": "SPOT", "instId": joined(pair, "-"), "last": pair.price, "lastSz": "1"}


def _bitget(pair: Listed) -> Any:
    return {
        "symbol": joined(pair),
        "baseCoin": pair.base,
        "quoteCoin": pair.quote,
        "minTradeAmount": pair.least,
        "pricePrecision": str(pair.tick_places),
        "quantityPrecision": str(pair.step_places),
        "quotePrecision": "8",
        "status": word(pair, "online", "halt"),
        "minTradeUSDT": pair.cost,
    }


def _bitget_price(pair: Listed) -> Any:
    return {"symbol": joined(pair), "lastPr": pair.price, "open": pair.price, "ts": "1763722800000"}


def _gate(pair: Listed) -> Any:
    return {
        "id": joined(pair, "_"),
        "base": pair.base,
        "quote": pair.quote,
        "fee": "0.2",
        "min_base_amount": pair.least,
        "min_quote_amount": pair.cost,
        "amount_precision": pair.step_places,
        "precision": pair.tick_places,
        "trade_status": word(pair, "tradable", "untradable"),
        "sell_start": 0,
        "buy_start": 0,
        "type": "normal",
    }


def _gate_price(pair: Listed) -> Any:
    return {"currency_pair": joined(pair, "_"), "last": pair.price, "lowest_ask": pair.price}


def _htx(pair: Listed) -> Any:
    return {
        "base-currency": pair.base.lower(),
        "quote-currency": pair.quote.lower(),
        "price-precision": pair.tick_places,
        "amount-precision": pair.step_places,
        "symbol-partition": "main",
        "symbol": joined(pair).lower(),
        "state": word(pair, "online", "suspend"),
        "value-precision": 8,
        "min-order-amt": float(pair.least),
        "max-order-amt": 1000,
        "min-order-value": float(pair.cost),
    }


def _htx_price(pair: Listed) -> Any:
    price = float(pair.price)
    return {"symbol": joined(pair).lower(), "close": price, "bid": price, "bidSize": 1, "vol": 7.5}


def _bingx(pair: Listed) -> Any:
    return {
        "symbol": joined(pair, "-"),
        "minQty": float(pair.least),
        "minNotional": float(pair.cost),
        "maxNotional": 20000,
        "status": 1 if pair.traded else 25,
        "tickSize": float(pair.tick),
        "stepSize": float(pair.step),
        "apiStateSell": pair.traded,
        "apiStateBuy": pair.traded,
        "timeOnline": 0,
    }


def _bingx_list(rows: Rows) -> Any:
    return envelopes.bingx([]) | {"data": {"symbols": rows}}


def _bingx_price(pair: Listed) -> Any:
    return {"symbol": joined(pair, "-"), "lastPrice": float(pair.price), "closeTime": 1763722800000}


def _coinbase(pair: Listed) -> Any:
    return {
        "product_id": joined(pair, "-"),
        "price": pair.price,
        "base_increment": pair.step,
        "quote_increment": pair.tick,
        "price_increment": pair.tick,
        "quote_min_size": pair.cost,
        "base_min_size": pair.least,
        "status": "online",
        "trading_disabled": not pair.traded,
        "product_type": "SPOT",
        "base_currency_id": pair.base,
        "quote_currency_id": pair.quote,
        "alias": "",
        "alias_to": [],
    }


def _bybit(pair: Listed) -> Any:
    lot = {"basePrecision": pair.step, "quotePrecision": "0.0000001", "minOrderQty": pair.least}
    return {
        "symbol": joined(pair),
        "baseCoin": pair.base,
        "quoteCoin": pair.quote,
        "status": word(pair, "Trading", "Closed"),
        "marginTrading": "utaOnly",
        "lotSizeFilter": {**lot, "minOrderAmt": pair.cost},
        "priceFilter": {"tickSize": pair.tick},
    }


def _bybit_price(pair: Listed) -> Any:
    return {"symbol": joined(pair), "lastPrice": pair.price, "bid1Price": pair.price}


BROKERAGE: Final = "/api/v3/brokerage/market/products"
BITGET: Final = "/api/v2/spot"

SPOT: Final[Mapping[str, Shape]] = {
    "mexc": Shape(
        *("api.mexc.com", "/api/v3/exchangeInfo", _mexc, "/api/v3/ticker/24hr", _as_binance),
        wrap=envelopes.binance,
        wrap_prices=list,
    ),
    "kucoin": Shape(
        *("api.kucoin.com", "/api/v2/symbols", _kucoin),
        *("/api/v1/market/allTickers", _kucoin_price),
        wrap=envelopes.kucoin,
        wrap_prices=_kucoin_prices,
    ),
    "binance": Shape(
        *("api.binance.com", "/api/v3/exchangeInfo", _binance, "/api/v3/ticker/24hr", _as_binance),
        wrap=envelopes.binance,
        wrap_prices=list,
    ),
    "okx": Shape(
        *("www.okx.com", "/api/v5/public/instruments", _okx, "/api/v5/market/tickers", _okx_price),
        wrap=envelopes.okx,
        query={"instType": "SPOT"},
    ),
    "bitget": Shape(
        *("api.bitget.com", f"{BITGET}/public/symbols", _bitget),
        *(f"{BITGET}/market/tickers", _bitget_price),
        wrap=envelopes.bitget,
    ),
    "gate": Shape(
        *("api.gateio.ws", "/api/v4/spot/currency_pairs", _gate),
        *("/api/v4/spot/tickers", _gate_price),
    ),
    "htx": Shape(
        *("api.huobi.pro", "/v1/common/symbols", _htx, "/market/tickers", _htx_price),
        wrap=envelopes.htx,
    ),
    "bingx": Shape(
        *("open-api.bingx.com", "/openApi/spot/v1/common/symbols", _bingx),
        *("/openApi/spot/v1/ticker/24hr", _bingx_price),
        wrap=_bingx_list,
        wrap_prices=envelopes.bingx,
    ),
    "coinbase": Shape(
        *("api.coinbase.com", BROKERAGE, _coinbase, BROKERAGE, _coinbase), wrap=envelopes.coinbase
    ),
    "bybit": Shape(
        *("api.bybit.com", "/v5/market/instruments-info", _bybit),
        *("/v5/market/tickers", _bybit_price),
        wrap=envelopes.bybit("spot"),
        query={"category": "spot"},
    ),
}
