"""MEXC as documented: spot v3 on api.mexc.com. Futures are in `mexc_futures.py`.

Sources: mexcdevelop/apidocs spot_v3_en, bodies recorded from users' reports, and ccxt. What
nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from .keys import KeySpec, Rights, SampleMaker
from .mexc_futures import FUTURES_ENDPOINTS
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

HOSTS: Final = ("api.mexc.com",)
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
LIFE_WITHOUT_IPS_DAYS: Final = 90  # FAQ of spot_v3_en


def error(code: int, message: str, status: int = 400) -> Reply:
    """HTTP 400 is reported by users for 10072, 700003 and 700004, and assumed for the others."""
    return Reply(status, {"code": code, "msg": message})


def missing(name: str) -> Reply:
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return error(700004, text)  # as users quote it for the parameter `signature`


OUT_OF_TIME = error(700003, "Timestamp for this request is outside of the recvWindow.")
NO_PERMISSION = error(700007, "No permission to access the endpoint.")


# --- what is checked ---------------------------------------------------------------------------


def parameters(request: Request) -> dict[str, str]:
    """Query string and form body; where both have a parameter, the query string's is used."""
    return dict(parse_qsl(request.body, keep_blank_values=True)) | request.params


def signature(secret: str, query: str, body: str = "") -> str:
    """HMAC-SHA256, lower-case hex, over query string and body without `&` between them."""
    total = _unsigned(query) + _unsigned(body)
    return hmac.new(secret.encode(), total.encode(), hashlib.sha256).hexdigest()


def _unsigned(text: str) -> str:
    rest = "&".join(pair for pair in text.split("&") if not pair.startswith("signature="))
    # Escapes are signed in upper case; a signature over lower case does not match.
    return re.sub("%[0-9a-fA-F]{2}", lambda escape: escape[0].upper(), rest)


def _api_key(request: Request) -> str:
    return request.headers.get("X-MEXC-APIKEY", "")


def _has_key(asked: Asked) -> None:
    if not _api_key(asked.request):
        raise Refused(error(400, "api key required"))


def _is_signed(asked: Asked) -> None:
    _required(asked, "signature")
    _required(asked, "timestamp")
    for name in ("timestamp", "recvWindow"):
        if not parameters(asked.request).get(name, "0").isdigit():
            raise Refused(missing(name))


def _key_exists(asked: Asked) -> None:
    if asked.found is None:
        raise Refused(error(10072, "Api key info invalid"))


def _signature_fits(asked: Asked) -> None:
    request, key = asked.request, asked.key
    right = signature(key.secret, request.query, request.body)
    # An expired key gets the same answer as a wrong secret (ccxt, mexc.py).
    if key.expired or parameters(request)["signature"] != right:
        raise Refused(error(700002, "Signature for this request is not valid."))


def _in_time(asked: Asked) -> None:
    """timestamp < serverTime + 1000 and serverTime - timestamp <= recvWindow (general info)."""
    sent, now = parameters(asked.request), asked.world.now_ms()
    window, at = int(sent.get("recvWindow", 5000)), int(sent["timestamp"])
    if window > 60_000:
        raise Refused(error(700005, "recvWindow must less than 60000"))
    if at >= now + 1000 or now - at > window:
        raise Refused(OUT_OF_TIME)


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        raise Refused(error(700006, f"IP [{asked.world.seen_ip}] not in the ip white list"))


def _permitted(asked: Asked) -> None:
    if not may(asked.key, asked.endpoint.permission):
        raise Refused(NO_PERMISSION)


def may(key: KeySpec, permission: str) -> bool:
    """Documents write rights both as SPOT_WITHDRAW_READ and as SPOT_WITHDRAW_R."""
    short = re.sub("(READ|WRITE)$", lambda word: word[0][0], permission)
    return not permission or permission in key.permissions or short in key.permissions


SPOT = Family(
    api_key=_api_key,
    # The order of refusals. Unconfirmed: no source shows a request with two faults.
    checks=(
        *(_has_key, _is_signed, _key_exists, _signature_fits),
        *(_in_time, _address_allowed, _permitted),
    ),
    faults={
        "down": error(503, "service not available, please try again", 503),
        "rate_limit": Reply(
            429, {"code": 429, "msg": "Too Many Requests"}, headers={"Retry-After": "5"}
        ),
        "clock": OUT_OF_TIME,
        # From the code table; that a refused region gets it is unconfirmed.
        "restricted": error(403, "Access Denied", 403),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _required(asked: Asked, name: str) -> str:
    value = parameters(asked.request).get(name)
    if not value:
        raise Refused(missing(name))
    return value


def _require_symbol(asked: Asked) -> None:
    if _required(asked, "symbol") not in SYMBOLS:
        raise Refused(error(10007, "bad symbol"))


def _ping(asked: Asked) -> Any:
    return {}


def _server_time(asked: Asked) -> Any:
    return {"serverTime": asked.world.now_ms()}


def _key_info(asked: Asked) -> Any:
    """Shape of the one recorded body. Unconfirmed: which right the call needs, what another
    key's `accessKey` brings, `remainingValidity` with an IP list, and words other than VALID."""
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(NO_PERMISSION)
    if _required(asked, "accessKey") != key.api_key:
        raise Refused(error(730706, "API KEY information does not exist"))
    return {
        "note": key.label,
        "accessKey": key.api_key,
        "createTime": key.created_at.isoformat(timespec="milliseconds"),
        "permissions": ",".join(key.permissions),
        "remainingValidity": _days_left(key),
        "ipWhiteList": ",".join(key.ip_whitelist),
        "status": "DISABLED" if key.disabled else "VALID",
    }


def _days_left(key: KeySpec) -> int | None:
    if key.remaining_days is not None:
        return int(key.remaining_days)
    if key.ip_whitelist:
        return None
    return max(0, LIFE_WITHOUT_IPS_DAYS - (datetime.now(UTC) - key.created_at).days)


def _edit_key(asked: Asked) -> Any:
    """The real call rewrites the key's IP list; this one only answers, with the lower-case
    `apikey` that was recorded."""
    sent, key = parameters(asked.request), asked.key
    note, ips = sent.get("note", key.label), sent.get("ipWhiteList", "")
    return {"note": note, "apikey": key.api_key, "ipWhiteList": ips}


def _uid(asked: Asked) -> Any:
    return {"uid": asked.key.uid}


def _account(asked: Asked) -> Any:
    """Flags and `permissions` describe the account: true for a key that only reads."""
    balances = [
        {"asset": name, "free": free, "locked": used}
        for name, (free, used) in asked.key.balances.items()
    ]
    flags = {"canTrade": True, "canWithdraw": True, "canDeposit": True}
    kind = {"updateTime": None, "accountType": "SPOT"}
    return {**flags, **kind, "balances": balances, "permissions": ["SPOT"]}


def _test_order(asked: Asked) -> Any:
    if asked.key.disabled:
        raise Refused(error(30018, "账号暂时不能下单，请联系客服"))
    _require_symbol(asked)
    _required(asked, "side")
    if _required(asked, "type") == "LIMIT":
        _required(asked, "quantity")
        _required(asked, "price")
    return {}


def _open_orders(asked: Asked) -> Any:
    _require_symbol(asked)
    return []


def _no_withdrawals(asked: Asked) -> Any:
    return []


def _private(method: str, path: str, answer: Answer, permission: str = "") -> Endpoint:
    return Endpoint(method, path, answer, HOSTS, SPOT, permission)


# Rights: "Permission" of each call in spot_v3_en; apiKeyInfo's is not documented.
SPOT_ENDPOINTS = (
    Endpoint("GET", "/api/v3/ping", _ping, HOSTS),
    Endpoint("GET", "/api/v3/time", _server_time, HOSTS),
    Endpoint("POST", "/api/v3/apiKeyInfo", _edit_key, HOSTS, SPOT, dangerous=True),
    _private("GET", "/api/v3/apiKeyInfo", _key_info),
    _private("GET", "/api/v3/uid", _uid, "SPOT_ACCOUNT_READ"),
    _private("GET", "/api/v3/account", _account, "SPOT_ACCOUNT_READ"),
    _private("POST", "/api/v3/order/test", _test_order, "SPOT_DEAL_WRITE"),
    _private("GET", "/api/v3/openOrders", _open_orders, "SPOT_DEAL_READ"),
    _private("GET", "/api/v3/capital/withdraw/history", _no_withdrawals, "SPOT_WITHDRAW_READ"),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(digest: str) -> tuple[str, str, str]:
    """18 characters beginning with mx0, and 32 lower-case hex digits."""
    return f"mx0vgl{digest[32:44]}", digest[:32], ""


RIGHTS = Rights(
    read=("SPOT_ACCOUNT_READ", "SPOT_DEAL_READ"),
    spot=("SPOT_DEAL_WRITE",),
    futures=("CONTRACT_ACCOUNT_READ", "CONTRACT_DEAL_READ", "CONTRACT_DEAL_WRITE"),
    withdraw=("SPOT_WITHDRAW_READ", "SPOT_WITHDRAW_WRITE"),
    unknown=("SPOT_HARVEST_WRITE",),
)
_maker = SampleMaker("mexc", _look, RIGHTS)

MEXC = Exchange(
    code="mexc",
    endpoints=SPOT_ENDPOINTS + FUTURES_ENDPOINTS,
    not_found=error(404, "Not Found", 404),  # unconfirmed
    samples=(
        *_maker.common(),
        _maker.make(
            "expiring", "Ends in 5 days: made 85 days ago, no IPs.", ip_whitelist=(), age_days=85
        ),
        _maker.make(
            "expired",
            "Ended after 90 days. MEXC answers as if the secret were wrong.",
            ip_whitelist=(),
            age_days=95,
            expired=True,
        ),
        _maker.make("disabled", "MEXC calls it DISABLED and takes no orders.", disabled=True),
        _maker.make(
            "fallback",
            "Works, but MEXC does not tell the key's rights: other calls must show them.",
            fault="no_key_endpoint",
        ),
    ),
)
