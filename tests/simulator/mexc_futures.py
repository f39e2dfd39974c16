"""MEXC futures v1, on api.mexc.com (as ccxt calls it) and contract.mexc.com (as documented).

Source: mexcdevelop/apidocs contract_v1_en. Errors arrive with HTTP 200 and `success: false`.
Their texts come from its error table where no user's report shows one.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from .wire import Asked, Endpoint, Family, Refused, Reply, Request

HOSTS: Final = ("api.mexc.com", "contract.mexc.com")
WIDEST_WINDOW_S: Final = 60  # header Recv-Window; 10 where it is absent


def error(code: int, message: str) -> Reply:
    return Reply(200, {"success": False, "code": code, "message": message})


OUT_OF_TIME = error(513, "Invalid request(for open api serves time error)")


def signature(api_key: str, secret: str, request_time: str, params: str) -> str:
    """HMAC-SHA256, hex, over key, time and parameters: of a GET sorted, of a POST the body."""
    total = api_key + request_time + params
    return hmac.new(secret.encode(), total.encode(), hashlib.sha256).hexdigest()


def _api_key(request: Request) -> str:
    return request.headers.get("ApiKey", "")


def _key_exists(asked: Asked) -> None:
    # Text as users report it; the error table says "Unauthorized".
    if asked.found is None:
        raise Refused(error(401, "Not logged in or login has expired"))


def _not_expired(asked: Asked) -> None:
    if asked.key.expired:
        raise Refused(error(402, "Api_key expired"))


def _signature_fits(asked: Asked) -> None:
    request, key = asked.request, asked.key
    params = request.body if request.method == "POST" else _sorted(request.query)
    right = signature(key.api_key, key.secret, _time(request), params)
    if request.headers.get("Signature") != right:
        raise Refused(error(602, "Signature verification failed!"))


def _sorted(query: str) -> str:
    return "&".join(sorted(query.split("&")))


def _time(request: Request) -> str:
    return request.headers.get("Request-Time", "")


def _in_time(asked: Asked) -> None:
    request = asked.request
    at, window = _time(request), request.headers.get("Recv-Window", "10")
    if not at.isdigit() or not window.isdigit():
        raise Refused(OUT_OF_TIME)
    if abs(asked.world.now_ms() - int(at)) > min(int(window), WIDEST_WINDOW_S) * 1000:
        raise Refused(OUT_OF_TIME)


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        raise Refused(error(406, "Accessed IP is not in the whitelist"))


def _permitted(asked: Asked) -> None:
    code, text = REFUSALS[asked.endpoint.permission]
    if asked.endpoint.permission not in asked.key.permissions:
        raise Refused(error(code, text))


REFUSALS: Final = {
    "CONTRACT_ACCOUNT_READ": (701, "Account read permission is required"),
    "CONTRACT_DEAL_READ": (703, "Trade information read permission is required"),
}
FUTURES = Family(
    api_key=_api_key,
    # The order of refusals: unconfirmed, as for spot.
    checks=(
        _key_exists,
        _not_expired,
        _signature_fits,
        _in_time,
        _address_allowed,
        _permitted,
    ),
    faults={
        "down": Reply(503, {"success": False, "code": 501, "message": "System busy"}),
        "rate_limit": error(510, "Excessive frequency of requests"),
        "clock": OUT_OF_TIME,
        "restricted": error(511, "Endpoint inaccessible"),  # unconfirmed
    },
)


def _assets(asked: Asked) -> Any:
    rows = [_asset(name, *amounts) for name, amounts in asked.key.futures_balances.items()]
    return {"success": True, "code": 0, "data": rows}


def _asset(currency: str, free: str, used: str) -> dict[str, Any]:
    """What is in use is the margin of positions."""
    available, frozen = float(free), float(used)
    return {
        "currency": currency,
        "positionMargin": frozen,
        "availableBalance": available,
        "cashBalance": available,
        "frozenBalance": 0,
        "equity": available + frozen,
        "unrealized": 0,
        "bonus": 0,
    }


def _no_positions(asked: Asked) -> Any:
    return {"success": True, "code": 0, "data": []}


FUTURES_ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/v1/private/account/assets",
        _assets,
        HOSTS,
        FUTURES,
        "CONTRACT_ACCOUNT_READ",
    ),
    Endpoint(
        "GET",
        "/api/v1/private/position/open_positions",
        _no_positions,
        HOSTS,
        FUTURES,
        "CONTRACT_DEAL_READ",
    ),
)
