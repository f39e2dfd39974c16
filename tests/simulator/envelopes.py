"""What exchanges put around the rows of a list, by exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .market_shapes import Rows


def okx(rows: Rows) -> Any:
    return {"code": "0", "msg": "", "data": rows}


def bitget(rows: Rows) -> Any:
    return {"code": "00000", "msg": "success", "requestTime": 1763722800000, "data": rows}


def kucoin(rows: Rows) -> Any:
    return {"code": "200000", "data": rows}


def htx(rows: Rows) -> Any:
    return {"status": "ok", "ts": 1763722800000, "data": rows}


def bingx(rows: Rows) -> Any:
    return {"code": 0, "msg": "", "debugMsg": "", "data": rows}


def coinbase(rows: Rows) -> Any:
    return {"products": rows, "num_products": len(rows)}


def bybit(category: str) -> Callable[[Rows], Any]:
    def wrap(rows: Rows) -> Any:
        result = {"category": category, "list": rows, "nextPageCursor": ""}
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}

    return wrap


def binance(rows: Rows) -> Any:
    return {"timezone": "UTC", "serverTime": 1763722800000, "exchangeFilters": [], "symbols": rows}
