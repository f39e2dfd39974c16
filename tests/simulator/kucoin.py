"""KuCoin as documented: classic spot and account API, futures overview, unified twin of the key
endpoint, and the European site, where none of our keys exists.

Sources: Kucoin/kucoin-api-docs, KuCoin's own SDK, bodies recorded from users' reports, and ccxt.
What nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote_plus

from .keys import Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

EU_HOST: Final = "api.kucoin.eu"
HOSTS: Final = ("api.kucoin.com", EU_HOST)
FUTURES_HOSTS: Final = ("api-futures.kucoin.com",)
WINDOW_MS: Final = 5000


def error(code: str, message: str, status: int) -> Reply:
    return Reply(status, {"code": code, "msg": message})


OUT_OF_TIME = error("400002", "Invalid KC-API-TIMESTAMP.", 400)
NO_PERMISSION = error("400007", "Access denied, require more permission.", 403)


# --- what is checked ---------------------------------------------------------------------------


def digest(secret: str, text: str) -> str:
    """Base64 of HMAC-SHA256: of a request, and of the passphrase from key version 2 on."""
    made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def to_sign(timestamp: str, method: str, target: str, body: str = "") -> str:
    """What the signature covers. `target` is path and query."""
    return timestamp + method + target + body


def _api_key(request: Request) -> str:
    return request.headers.get("KC-API-KEY", "")


def _has_headers(asked: Asked) -> None:
    names = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
    if not all(asked.request.headers.get(name) for name in names):
        # Text and status as measured by a user.
        message = f"Please check the header of your request for {', '.join(names)}."
        raise Refused(error("400001", message, 400))


def _key_exists(asked: Asked) -> None:
    # No source shows what an expired key gets; KuCoin deletes expired keys.
    if asked.found is None or asked.found.expired:
        message = "The API key does not exist or site mismatch."
        raise Refused(error("400003", message, 401))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        raise Refused(error("400006", "Invalid request ip", 403))


def _in_time(asked: Asked) -> None:
    sent = asked.request.headers["KC-API-TIMESTAMP"]
    if not sent.isdigit() or abs(asked.world.now_ms() - int(sent)) > WINDOW_MS:
        raise Refused(OUT_OF_TIME)


def _signature_fits(asked: Asked) -> None:
    request = asked.request
    target = request.path + (f"?{request.query}" if request.query else "")
    timestamp = request.headers["KC-API-TIMESTAMP"]
    # KuCoin's own SDK signs the query before it is escaped; ccxt sends it as it signs it.
    right = {
        digest(asked.key.secret, to_sign(timestamp, request.method, form, request.body))
        for form in (target, unquote_plus(target))
    }
    if request.headers["KC-API-SIGN"] not in right:
        raise Refused(error("400005", "Invalid KC-API-SIGN", 401))


def _passphrase_fits(asked: Asked) -> None:
    """Version 1 sends the passphrase itself, 2 and 3 its digest."""
    headers, key = asked.request.headers, asked.key
    version = headers.get("KC-API-KEY-VERSION", "1")
    if version not in {"1", "2", "3"}:
        raise Refused(error("400007", "Invalid KC-API-KEY-VERSION", 400))
    right = key.passphrase if version == "1" else digest(key.secret, key.passphrase)
    if headers["KC-API-PASSPHRASE"] != right:
        raise Refused(error("400004", "Invalid KC-API-PASSPHRASE", 401))


def _not_frozen(asked: Asked) -> None:
    if asked.key.disabled:
        raise Refused(error("411100", "User are frozen.", 403))  # status unconfirmed


def _permitted(asked: Asked) -> None:
    if asked.endpoint.permission not in asked.key.permissions:
        raise Refused(NO_PERMISSION)


CLASSIC = Family(
    api_key=_api_key,
    # The order of refusals. Unconfirmed. The signature comes before the passphrase here, so that
    # a wrong secret gets 400005 and a wrong passphrase 400004. A wrong secret spoils both; ccxt
    # issue 9369 shows a request with both wrong that got 400004, so it may be the other way.
    checks=(
        _has_headers,
        _key_exists,
        _address_allowed,
        _in_time,
        _signature_fits,
        _passphrase_fits,
        _not_frozen,
        _permitted,
    ),
    faults={
        "down": error("500000", "Internal Server Error", 503),  # documented with 500
        "rate_limit": Reply(
            429,
            {"code": "429000", "msg": "Too many requests. System-level rate limit exceeded."},
            headers={
                "gw-ratelimit-limit": "2000",
                "gw-ratelimit-remaining": "0",
                "gw-ratelimit-reset": "5000",
            },
        ),
        "clock": OUT_OF_TIME,
        # Recorded of orders, without status; errors of business arrive with 200.
        "restricted": error(
            "600004",
            "Unfortunately, trading is currently unavailable in your location due to country, "
            "region, or IP restrictions.",
            200,
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _ok(data: Any) -> Any:
    return {"code": "200000", "data": data}


def _status(asked: Asked) -> Any:
    return _ok({"status": "open", "msg": ""})


def _timestamp(asked: Asked) -> Any:
    return _ok(asked.world.now_ms())


def _my_ip(asked: Asked) -> Any:
    return _ok(asked.world.seen_ip)  # shape of the v2 twin, in a client's test


def _key_info(asked: Asked) -> Any:
    """`ipWhitelist` is absent where there is none (Kucoin.Net's recorded answer). The documented
    example masks its addresses; that real answers do is unconfirmed."""
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(NO_PERMISSION)
    optional = {"ipWhitelist": ",".join(key.ip_whitelist)} if key.ip_whitelist else {}
    ends = {"expiredAt": _ms(key.expires_at.timestamp())} if key.expires_at else {}
    return _ok(
        {
            "remark": key.label,
            "apiKey": key.api_key,
            "apiVersion": 3,
            "permission": ",".join(key.permissions),
            **optional,
            "createdAt": _ms(key.created_at.timestamp()),
            **ends,
            "uid": int(key.uid),
            "isMaster": True,
            "region": "NO",
            "kycStatus": 1,
            "siteType": "global",
        }
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _accounts(asked: Asked) -> Any:
    """Accounts for trading, and in `own` "main" dollars that no order can use."""
    held = [("trade", name, *amounts) for name, amounts in asked.key.balances.items()]
    if main := asked.key.own.get("main"):
        held.append(("main", "USDT", main, "0"))
    return _ok(
        [
            {
                "id": str(number),
                "currency": currency,
                "type": kind,
                "balance": str(Decimal(free) + Decimal(used)),
                "available": free,
                "holds": used,
            }
            for number, (kind, currency, free, used) in enumerate(held, 1)
        ]
    )


def _orders(asked: Asked) -> Any:
    page = {"currentPage": 1, "pageSize": 50, "totalNum": 0, "totalPage": 0}
    return _ok({**page, "items": []})


def _active_orders(asked: Asked) -> Any:
    if not asked.request.params.get("symbol"):
        # Code for a parameter error; text and status unconfirmed.
        raise Refused(error("400100", "symbol cannot be empty", 400))
    return _ok([])


def _none(asked: Asked) -> Any:
    return _ok([])


def _futures_overview(asked: Asked) -> Any:
    currency = asked.request.params.get("currency", "XBT")
    amounts = asked.key.futures_balances.get(currency, ("0", "0"))
    free, used = (float(amount) for amount in amounts)
    margins = {"positionMargin": 0, "orderMargin": used, "unrealisedPNL": 0, "frozenFunds": 0}
    totals = {"accountEquity": free + used, "marginBalance": free + used}
    return _ok({**totals, **margins, "availableBalance": free, "currency": currency})


def _private(path: str, answer: Answer, permission: str = "General") -> Endpoint:
    return Endpoint("GET", path, answer, HOSTS, CLASSIC, permission)


def _futures(path: str, answer: Answer) -> Endpoint:
    return Endpoint("GET", path, answer, FUTURES_HOSTS, CLASSIC, "Futures")


# Rights: "API-PERMISSION" of each call in KuCoin's own SDK.
ENDPOINTS = (
    Endpoint("GET", "/api/v1/status", _status, HOSTS + FUTURES_HOSTS),
    Endpoint("GET", "/api/v1/timestamp", _timestamp, HOSTS + FUTURES_HOSTS),
    Endpoint("GET", "/api/ua/v1/user/my-ip", _my_ip, HOSTS),
    _private("/api/v1/user/api-key", _key_info),
    _private("/api/ua/v1/user/api-key", _key_info),
    _private("/api/v1/accounts", _accounts),
    _private("/api/v1/orders", _orders),
    _private("/api/v1/hf/orders/active", _active_orders),
    _futures("/api/v1/account-overview", _futures_overview),
    _futures("/api/v1/positions", _none),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(hexes: str) -> tuple[str, str, str]:
    """24 hex digits, a UUID, and a passphrase of 7 to 32 characters without blanks."""
    return hexes[40:], str(uuid.UUID(hexes[:32], version=4)), f"Bf-{hexes[32:40]}"


RIGHTS = Rights(
    read=("General",),
    spot=("Spot",),
    futures=("Futures",),
    withdraw=("Transfer",),
    unknown=("CopyTrade",),
)
_maker = SampleMaker("kucoin", _look, RIGHTS)

KUCOIN = Exchange(
    code="kucoin",
    endpoints=ENDPOINTS,
    # As measured by a user on the futures host.
    not_found=Reply(404, {"code": "404", "msg": "Not Found", "retry": False, "success": False}),
    foreign_hosts=(EU_HOST,),
    samples=(
        *_maker.common(),
        _maker.make("expiring", "Ends in 5 days.", remaining_days=5),
        _maker.make("expired", "Ended: KuCoin no longer knows it.", expired=True),
        _maker.make("disabled", "The account is frozen.", disabled=True),
        _maker.wrong_passphrase(),
    ),
)
