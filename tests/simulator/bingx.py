"""BingX as documented: key, spot and perpetual futures calls, and its demo site.

Sources: BingX-API/docs and api-ai-skills, bodies recorded from users' reports, ccxt. What nobody
confirmed is marked "unconfirmed" beside it; so is HTTP 200 under every error.
"""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote_plus

from .keys import KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

DEMO_HOST: Final = "open-api-vst.bingx.com"
HOSTS: Final = ("open-api.bingx.com", DEMO_HOST)
WIDEST_WINDOW_MS: Final = 5000  # also where none is sent
PAGE: Final = "https://bingx.com/en/account/api"
READ, SPOT_TRADE, FUTURES, TRANSFER, WITHDRAW = "2", "1", "3", "4", "5"


def error(code: int, message: str, status: int = 200) -> Reply:
    return Reply(status, {"code": code, "msg": message, "timestamp": 1718551786654})


OUT_OF_TIME = error(100421, "Null timestamp or timestamp mismatch")
NOT_MAIN = error(
    100403,
    "The current account is not the main account. "
    "This endpoint is restricted to main accounts only.",
)


# --- what is checked ---------------------------------------------------------------------------


def signature(secret: str, query: str) -> str:
    """HMAC-SHA256, lower-case hex, over the parameters before they are escaped."""
    return hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()


def unsigned(query: str) -> str:
    return "&".join(pair for pair in query.split("&") if not pair.startswith("signature="))


def _api_key(request: Request) -> str:
    return request.headers.get("X-BX-APIKEY", "")


def _is_signed(asked: Asked) -> None:
    if not asked.request.params.get("signature"):
        text = "Request is missing the signature parameter. Include a valid signature."
        raise Refused(error(100412, text))


def _key_exists(asked: Asked) -> None:
    if asked.found is None:
        raise Refused(error(100413, "Incorrect apiKey"))


def _in_time(asked: Asked) -> None:
    sent = asked.request.params
    at, window = sent.get("timestamp", ""), sent.get("recvWindow", str(WIDEST_WINDOW_MS))
    if not at.isdigit() or not window.isdigit():
        raise Refused(OUT_OF_TIME)
    if abs(asked.world.now_ms() - int(at)) > min(int(window), WIDEST_WINDOW_MS):
        raise Refused(OUT_OF_TIME)


def _signature_fits(asked: Asked) -> None:
    sent = asked.request.params["signature"]
    covered = unsigned(asked.request.query)
    # Documents sign the plain values; BingX was seen to check the escaped ones.
    right = {signature(asked.key.secret, form) for form in (covered, unquote_plus(covered))}
    if sent not in right:
        text = "Signature verification failed due to signature mismatch"
        raise Refused(error(100001, text))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        text = f"your current request IP is {asked.world.seen_ip} does not match IP whitelist"
        more = f" , please go to {PAGE}/ to verify the ip you have set"
        raise Refused(error(100419, text + more))


def _permitted(asked: Asked) -> None:
    needed = asked.endpoint.permission
    if needed not in asked.key.permissions:
        # With full-width commas, as recorded.
        text = (
            "Permission denied as the API key was created without the permission，"
            f"this api need {NAMES[needed]} permission， please config it in {PAGE}"
        )
        raise Refused(error(100004, text))


NAMES: Final = {READ: "Read", SPOT_TRADE: "Spot Trading", FUTURES: "Perpetual Futures Trading"}
SIGNED = Family(
    api_key=_api_key,
    # The order of refusals. Unconfirmed: no source shows a request with two faults.
    checks=(
        *(_is_signed, _key_exists, _in_time),
        *(_signature_fits, _address_allowed, _permitted),
    ),
    faults={
        "down": error(109500, "The current system is busy, please try again later", 503),
        "rate_limit": error(100410, "Request rate limit exceeded..."),
        "clock": OUT_OF_TIME,
        "restricted": error(
            101484,
            "Account belongs to a restricted region or advanced identity verification is required.",
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _ok(data: Any) -> Any:
    return {"code": 0, "msg": "", "data": data}


def _server_time(asked: Asked) -> Any:
    return _ok({"serverTime": asked.world.now_ms()})


def _uid(asked: Asked) -> Any:
    return _ok({"uid": int(asked.key.uid)})


def _numbers(key: KeySpec) -> list[int]:
    return [int(number) for number in key.permissions]


def _created(key: KeySpec) -> int:
    return round(key.created_at.timestamp() * 1000)


def _told(asked: Asked) -> KeySpec:
    if asked.key.fault == "no_key_endpoint":
        raise Refused(NOT_MAIN)
    return asked.key


def _api_permissions(asked: Asked) -> Any:
    """Rights as numbers at the top level, as seen live. With `own` "shape" "documented", flags
    in an envelope, as api-ai-skills has them."""
    key = _told(asked)
    if key.own.get("shape") == "documented":
        return _ok({**_flags(key), "enableWithdrawals": WITHDRAW in key.permissions})
    return {
        "apiKey": key.api_key,
        "permissions": _numbers(key),
        "ipAddresses": list(key.ip_whitelist) or [""],
        "note": key.label,
    }


def _api_restrictions(asked: Asked) -> Any:
    """At the top level and without code or message, as seen live."""
    key = _told(asked)
    told = {"ipRestrict": bool(key.ip_whitelist), "createTime": _created(key), **_flags(key)}
    return _ok(told) if key.own.get("shape") == "documented" else told


def _flags(key: KeySpec) -> dict[str, bool]:
    return {
        "permitsUniversalTransfer": TRANSFER in key.permissions,
        "enableReading": READ in key.permissions,
        "enableFutures": FUTURES in key.permissions,
        "enableSpotAndMarginTrading": SPOT_TRADE in key.permissions,
    }


def _key_query(asked: Asked) -> Any:
    """All of the account's keys, with the middle of each masked. `apiInfos` is the recorded name
    of the list, `apiKeyList` the documented one."""
    key, sent = asked.key, asked.request.params
    if key.own.get("account") == "sub":
        raise Refused(NOT_MAIN)
    if sent.get("uid") != key.uid:
        raise Refused(error(100400, "uid is invalid"))  # unconfirmed
    rows = [
        _row(each)
        for each in asked.world.keys.values()
        if (each.exchange, each.uid, each.deleted) == ("bingx", key.uid, False)
        and sent.get("apiKey") in (None, each.api_key)
    ]
    return _ok({"apiInfos": rows})


def _row(key: KeySpec) -> dict[str, Any]:
    return {
        "apiKey": f"{key.api_key[:2]}*******{key.api_key[-2:]}",
        "note": key.label,
        "permissions": _numbers(key),
        "ipAddresses": list(key.ip_whitelist) or [""],
        "status": 0,
        "createTime": _created(key),
        "updateTime": _created(key),
    }


def _balance(asked: Asked) -> Any:
    rows = [
        {"asset": name, "free": free, "locked": used}
        for name, (free, used) in asked.key.balances.items()
    ]
    return _ok({"balances": rows})


def _no_orders(asked: Asked) -> Any:
    return _ok({"orders": []})


def _futures_balance(asked: Asked) -> Any:
    return _ok([_asset(name, *both) for name, both in asked.key.futures_balances.items()])


def _asset(name: str, free: str, used: str) -> dict[str, str]:
    whole = str(Decimal(free) + Decimal(used))
    amounts = {"balance": whole, "equity": whole, "availableMargin": free, "usedMargin": used}
    return {"asset": name, **amounts, "freezedMargin": "0"}


def _no_positions(asked: Asked) -> Any:
    return _ok([])


def _private(path: str, answer: Answer) -> Endpoint:
    return Endpoint("GET", f"/openApi{path}", answer, HOSTS, SIGNED, READ)


ENDPOINTS = (
    Endpoint("GET", "/openApi/swap/v2/server/time", _server_time, HOSTS),
    _private("/account/v1/uid", _uid),
    _private("/v1/account/apiPermissions", _api_permissions),
    _private("/v1/account/apiRestrictions", _api_restrictions),
    _private("/account/v1/apiKey/query", _key_query),
    _private("/spot/v1/account/balance", _balance),
    _private("/spot/v1/trade/openOrders", _no_orders),
    _private("/swap/v3/user/balance", _futures_balance),
    _private("/swap/v2/user/positions", _no_positions),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(digits: str) -> tuple[str, str, str]:
    """64 letters and digits each, as in the documents."""
    return digits.translate(CAPITALS), digits[::-1].swapcase(), ""


CAPITALS: Final = str.maketrans("abcdef", "ZsmDcr")
RIGHTS = Rights(
    read=(READ,), spot=(SPOT_TRADE,), futures=(FUTURES,), withdraw=(WITHDRAW,), unknown=("6",)
)
_maker = SampleMaker("bingx", _look, RIGHTS)

BINGX = Exchange(
    code="bingx",
    endpoints=ENDPOINTS,
    not_found=error(100404, "this api path does not exist", 404),  # status unconfirmed
    foreign_hosts=(DEMO_HOST,),
    samples=(
        *_maker.common(),
        _maker.make(
            "documented_shape",
            "Works; its rights are told in the documented shape and not in the one seen live.",
            own={"shape": "documented"},
        ),
        _maker.make(
            "fallback",
            "Works; the two calls about the own key refuse, the list of keys tells.",
            fault="no_key_endpoint",
        ),
        _maker.make(
            "sub_account",
            "Works, but no call tells a sub-account's key its rights.",
            fault="no_key_endpoint",
            own={"account": "sub"},
        ),
        _maker.make("demo", "Works at the demo site alone.", site=DEMO_HOST),
        _maker.make(
            "futures_only",
            "Trades futures and not spot.",
            permissions=RIGHTS.read + RIGHTS.futures,
        ),
    ),
)
