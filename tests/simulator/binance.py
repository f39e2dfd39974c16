"""Binance as documented: spot and wallet API, USD-M futures, and the practice sites (demo and
testnet), which have keys of their own and no wallet API.

Sources: binance/binance-spot-api-docs, the wallet and futures pages of developers.binance.com,
bodies recorded from users' reports, and ccxt. What nobody confirmed is marked "unconfirmed".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from decimal import Decimal
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .binance_keys import DEMO_HOST, SAMPLES, TESTNET_HOST
from .wire import Answer, Asked, Check, Endpoint, Exchange, Family, Refused, Reply, Request

HOST: Final = "api.binance.com"
FUTURES_HOST: Final = "fapi.binance.com"
DEMO_FUTURES_HOST, TESTNET_FUTURES_HOST = "demo-fapi.binance.com", "testnet.binancefuture.com"
SPOT_HOSTS: Final = (HOST, DEMO_HOST, TESTNET_HOST)
FUTURES_HOSTS: Final = (FUTURES_HOST, DEMO_FUTURES_HOST, TESTNET_FUTURES_HOST)
WIDEST_WINDOW_MS: Final = 60_000
# Of apiRestrictions, in the order of the newest documented body.
FLAGS: Final = (
    *("enableReading", "enableWithdrawals", "enableInternalTransfer", "enableMargin"),
    *("enableFutures", "permitsUniversalTransfer", "enableVanillaOptions", "enableFixApiTrade"),
    *("enableFixReadOnly", "enableSpotAndMarginTrading", "enablePortfolioMarginTrading"),
)


def error(code: int, message: str, status: int = 400) -> Reply:
    return Reply(status, {"code": code, "msg": message})


def missing(name: str) -> Reply:
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return error(-1102, text)


OUT_OF_TIME = error(-1021, "Timestamp for this request is outside of the recvWindow.")
BAD_SIGNATURE = error(-1022, "Signature for this request is not valid.")
REJECTED: Final = "Invalid API-key, IP, or permissions for action"


# --- what is checked ---------------------------------------------------------------------------


def parameters(request: Request) -> dict[str, str]:
    """Query string and form body; where both have a parameter, the query string's is used."""
    return dict(parse_qsl(request.body, keep_blank_values=True)) | request.params


def payload(query: str, body: str = "") -> str:
    """What the signature covers: query string, then body, without `&` between them."""
    return _unsigned(query) + _unsigned(body)


def _unsigned(text: str) -> str:
    return "&".join(pair for pair in text.split("&") if not pair.startswith("signature="))


def signature_fits(secret: str, text: str, signature: str) -> bool:
    """`secret` is an HMAC secret, or the private key whose public half the exchange was given."""
    if "PRIVATE KEY" not in secret:
        right = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(right.encode(), signature.lower().encode())
    try:
        _verify(_public(secret), base64.b64decode(signature, validate=True), text.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


@cache
def _public(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


def _verify(public: Any, signature: bytes, text: bytes) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    else:
        public.verify(signature, text)


def _api_key(request: Request) -> str:
    return request.headers.get("X-MBX-APIKEY", "")


def _key_is_well_formed(asked: Asked) -> None:
    if not re.fullmatch(r"[0-9A-Za-z]{64}", _api_key(asked.request)):
        raise Refused(error(-2014, "API-key format invalid.", 401))


def _is_signed(asked: Asked) -> None:
    sent = parameters(asked.request)
    for name in ("timestamp", "signature"):
        if not sent.get(name):
            raise Refused(missing(name))
    for name in ("timestamp", "recvWindow"):
        if not sent.get(name, "0").isdigit():
            raise Refused(missing(name))


def _in_time(asked: Asked) -> None:
    """timestamp < serverTime + 1000 and serverTime - timestamp <= recvWindow (rest-api.md)."""
    sent, now = parameters(asked.request), asked.world.now_ms()
    window, at = int(sent.get("recvWindow", 5000)), int(sent["timestamp"])
    if window > WIDEST_WINDOW_MS:
        raise Refused(error(-1131, "recvWindow must be less than 60000"))
    if at >= now + 1000:
        ahead = "Timestamp for this request was 1000ms ahead of the server's time."
        raise Refused(error(-1021, ahead))
    if now - at > window:
        raise Refused(OUT_OF_TIME)


def _key_exists(asked: Asked) -> None:
    if asked.found is None:  # measured by a user at the main site
        raise Refused(error(-2008, "Invalid Api-Key ID."))


def _signature_fits(asked: Asked) -> None:
    request = asked.request
    text = payload(request.query, request.body)
    if not signature_fits(asked.key.secret, text, parameters(request)["signature"]):
        raise Refused(BAD_SIGNATURE)


def _not_rejected(asked: Asked) -> None:
    """One answer for an address, a blocked key and a right. Only futures name the address."""
    key = asked.key
    lacks = asked.endpoint.permission not in key.permissions
    futures = asked.request.host in FUTURES_HOSTS
    # What a futures account that was never opened answers is unconfirmed.
    lacks |= futures and key.own.get("futures_account") == "not opened"
    if asked.address_allowed and not key.disabled and not lacks:
        return
    seen = f", request ip: {asked.world.seen_ip}" if futures else "."
    raise Refused(error(-2015, REJECTED + seen, 401))


# The order of refusals. Unconfirmed but for this: an unknown key gets -2008 and a known key with
# a wrong secret -1022, whatever else is wrong with it.
CHECKS: Final[tuple[Check, ...]] = (
    *(_key_is_well_formed, _is_signed, _in_time),
    *(_key_exists, _signature_fits, _not_rejected),
)
SIGNED = Family(
    api_key=_api_key,
    checks=CHECKS,
    faults={
        # Code and text documented; that it comes with 503 is unconfirmed.
        "down": error(
            -1008,
            "Server is currently overloaded with other requests. "
            "Please try again in a few minutes.",
            503,
        ),
        "rate_limit": Reply(
            429,
            {
                "code": -1003,
                "msg": "Too many requests; current limit is 6000 request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API.",
            },
            headers={"Retry-After": "30"},
        ),
        "clock": OUT_OF_TIME,
        "restricted": error(
            0,
            "Service unavailable from a restricted location according to 'b. Eligibility' in "
            "https://www.binance.com/en/terms. Please contact customer service if you believe "
            "you received this message in error.",
            451,
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _time(asked: Asked) -> Any:
    return {"serverTime": asked.world.now_ms()}


def _restrictions(asked: Asked) -> Any:
    """The list of addresses is never told; the end of the trading right only without one."""
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(error(-1002, "You are not authorized to execute this request."))
    flags = {name: name in key.permissions for name in (*FLAGS, *key.permissions)}
    ends = key.expires_at
    optional = {"tradingAuthorityExpirationTime": _ms(ends.timestamp())} if ends else {}
    created = {"createTime": _ms(key.created_at.timestamp())}
    return {"ipRestrict": bool(key.ip_whitelist), **created, **flags, **optional}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _account(asked: Asked) -> Any:
    """Flags and `permissions` describe the account: true for a key that only reads."""
    balances = [
        {"asset": name, "free": free, "locked": used}
        for name, (free, used) in asked.key.balances.items()
    ]
    flags = {"canTrade": True, "canWithdraw": True, "canDeposit": True}
    kind = {"accountType": "SPOT", "permissions": ["SPOT"], "uid": int(asked.key.uid)}
    return {**flags, "balances": balances, **kind}


def _open_orders(asked: Asked) -> Any:
    return []


def _test_order(asked: Asked) -> Any:
    sent = parameters(asked.request)
    needed = ["symbol", "side", "type"]
    if sent.get("type") == "LIMIT":
        needed += ["timeInForce", "quantity", "price"]
    elif "quantity" not in sent:
        needed.append("quoteOrderQty")
    for name in needed:
        if not sent.get(name):
            raise Refused(missing(name))
    return {}


def _futures_account(asked: Asked) -> Any:
    """The fields of the documented body that anyone here reads."""
    assets = [_asset(name, *amounts) for name, amounts in asked.key.futures_balances.items()]
    return {"totalInitialMargin": "0.00000000", "assets": assets, "positions": []}


def _asset(name: str, free: str, used: str) -> dict[str, str]:
    whole = str(Decimal(free) + Decimal(used))
    totals = {"walletBalance": whole, "unrealizedProfit": "0.00000000", "marginBalance": whole}
    return {"asset": name, **totals, "initialMargin": used, "availableBalance": free}


def _spot(path: str, answer: Answer, permission: str, method: str = "GET") -> Endpoint:
    return Endpoint(method, path, answer, SPOT_HOSTS, SIGNED, permission)


def _futures(path: str, answer: Answer) -> Endpoint:
    return Endpoint("GET", path, answer, FUTURES_HOSTS, SIGNED, "enableFutures")


# That futures want `enableFutures` for reading too is reported by users.
ENDPOINTS = (
    Endpoint("GET", "/api/v3/time", _time, SPOT_HOSTS),
    Endpoint(
        *("GET", "/sapi/v1/account/apiRestrictions", _restrictions, (HOST,)),
        *(SIGNED, "enableReading"),
    ),
    _spot("/api/v3/account", _account, "enableReading"),
    _spot("/api/v3/openOrders", _open_orders, "enableReading"),
    _spot("/api/v3/order/test", _test_order, "enableSpotAndMarginTrading", "POST"),
    _futures("/fapi/v3/account", _futures_account),
    _futures("/fapi/v3/positionRisk", _open_orders),
)


BINANCE = Exchange(
    code="binance",
    endpoints=ENDPOINTS,
    not_found=Reply(404, "Not Found"),  # unconfirmed, also for the wallet API at practice sites
    foreign_hosts=(DEMO_HOST, TESTNET_HOST, DEMO_FUTURES_HOST, TESTNET_FUTURES_HOST),
    samples=SAMPLES,
)
