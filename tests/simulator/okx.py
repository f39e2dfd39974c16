"""OKX as documented: API v5 on the global host and its regional twins, with demo trading behind a
header of every host.

Sources: OKX's API documents, bodies recorded from users' reports, python-okx, and ccxt. What
nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from .keys import KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

MAIN_HOST: Final = "www.okx.com"
REGIONS: Final = ("eea.okx.com", "us.okx.com", "tr.okx.com")
HOSTS: Final = (MAIN_HOST, *REGIONS)
WINDOW_MS: Final = 30_000
KEY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def error(code: str, message: str, status: int = 401) -> Reply:
    """Refusals of a key come without `data`, as users report them."""
    return Reply(status, {"msg": message, "code": code})


def business(code: str, message: str, status: int = 200) -> Reply:
    return Reply(status, {"code": code, "data": [], "msg": message})


OUT_OF_TIME = error("50102", "Timestamp request expired")
NO_PERMISSION = error("50120", "This API key doesn't have permission to use this function")


# --- what is checked ---------------------------------------------------------------------------


def signature(secret: str, text: str) -> str:
    """Base64 of HMAC-SHA256 over timestamp, method, path with query, and body."""
    made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def _api_key(request: Request) -> str:
    return request.headers.get("OK-ACCESS-KEY", "")


# Missing headers are refused with a code each; the order among them is unconfirmed.
MISSING: Final = {
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-PASSPHRASE": "50104",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
}


def _has_headers(asked: Asked) -> None:
    for name, code in MISSING.items():
        if not asked.request.headers.get(name):
            raise Refused(error(code, f"Request header {name} can not be empty."))


def _in_time(asked: Asked) -> None:
    sent = asked.request.headers["OK-ACCESS-TIMESTAMP"]
    try:
        at = round(datetime.fromisoformat(sent).timestamp() * 1000)
    except ValueError:
        raise Refused(error("50112", "Invalid OK-ACCESS-TIMESTAMP")) from None
    if abs(asked.world.now_ms() - at) > WINDOW_MS:
        raise Refused(OUT_OF_TIME)


def _key_exists(asked: Asked) -> None:
    if not KEY.fullmatch(_api_key(asked.request)):
        raise Refused(error("50111", "Invalid OK-ACCESS-KEY"))
    # An unused key is deleted after its time, and reads the same (unconfirmed).
    if asked.found is None or asked.found.expired:
        raise Refused(error("50119", "API key doesn't exist"))


def _environment_fits(asked: Asked) -> None:
    """Keys of demo trading work with its header only, all others without it only."""
    practising = asked.request.headers.get("x-simulated-trading", "0") == "1"
    if practising != (asked.key.own.get("demo") == "1"):
        raise Refused(error("50101", "APIKey does not match current environment."))


# From here on the order is unconfirmed: no source shows a request with two faults.
def _passphrase_fits(asked: Asked) -> None:
    if asked.request.headers["OK-ACCESS-PASSPHRASE"] != asked.key.passphrase:
        raise Refused(error("50105", "Request header OK-ACCESS-PASSPHRASE incorrect."))


def _signature_fits(asked: Asked) -> None:
    request = asked.request
    target = request.path + (f"?{request.query}" if request.query else "")
    text = request.headers["OK-ACCESS-TIMESTAMP"] + request.method + target + request.body
    if request.headers["OK-ACCESS-SIGN"] != signature(asked.key.secret, text):
        raise Refused(error("50113", "Invalid Sign"))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        ip, start = asked.world.seen_ip, asked.key.api_key[:4]  # the real text shows part of it
        message = f"Your IP {ip} is not included in your API key's {start} IP whitelist."
        raise Refused(error("50110", message))


def _not_frozen(asked: Asked) -> None:
    if asked.key.disabled:
        raise Refused(business("50100", "API frozen, please contact customer service.", 400))


def _permitted(asked: Asked) -> None:
    if asked.endpoint.permission not in asked.key.permissions:
        raise Refused(NO_PERMISSION)


FAMILY = Family(
    api_key=_api_key,
    # Observed: headers, then the time, then the key.
    checks=(
        *(_has_headers, _in_time, _key_exists, _environment_fits, _passphrase_fits),
        *(_signature_fits, _address_allowed, _not_frozen, _permitted),
    ),
    faults={
        "down": business("50001", "Service temporarily unavailable. Try again later.", 503),
        "rate_limit": error("50011", "Too Many Requests", 429),
        "clock": OUT_OF_TIME,
        "restricted": business(
            "50121", "You can't access our services through the IP address (203.0.113.7)"
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _ok(rows: list[Any]) -> Any:
    return {"code": "0", "data": rows, "msg": ""}


def _time(asked: Asked) -> Any:
    return _ok([{"ts": str(asked.world.now_ms())}])


def _config(asked: Asked) -> Any:
    """Fields of the documented example, in which the order of `perm` follows no rule."""
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(NO_PERMISSION)
    return _ok(
        [
            {
                "acctLv": key.own.get("acctLv", "1"),
                "acctStpMode": "cancel_maker",
                "autoLoan": False,
                "ip": ",".join(key.ip_whitelist),
                "kycLv": "3",
                "label": key.label,
                "level": "Lv1",
                "mainUid": key.uid,
                "opAuth": "0",
                "perm": ",".join(reversed(key.permissions)),
                "posMode": "net_mode",
                "roleType": "0",
                "type": "0",
                "uid": key.uid,
            }
        ]
    )


def _balance(asked: Asked) -> Any:
    details = [
        {
            "ccy": currency,
            "availBal": free,
            "frozenBal": used,
            "cashBal": str(Decimal(free) + Decimal(used)),
            "eq": str(Decimal(free) + Decimal(used)),
        }
        for currency, (free, used) in asked.key.balances.items()
    ]
    return _ok([{"adjEq": "", "details": details, "uTime": str(asked.world.now_ms())}])


def _none(asked: Asked) -> Any:
    return _ok([])


def _private(path: str, answer: Answer, right: str = "read_only") -> Endpoint:
    return Endpoint("GET", path, answer, HOSTS, FAMILY, right)


def _changing(path: str, right: str) -> Endpoint:
    return Endpoint("POST", path, _none, HOSTS, FAMILY, right, dangerous=True)


ENDPOINTS = (
    Endpoint("GET", "/api/v5/public/time", _time, HOSTS),
    _private("/api/v5/account/config", _config),
    _private("/api/v5/account/balance", _balance),
    _private("/api/v5/account/positions", _none),
    _private("/api/v5/trade/orders-pending", _none),
    _changing("/api/v5/trade/order", "trade"),
    _changing("/api/v5/asset/withdrawal", "withdraw"),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(hexes: str) -> tuple[str, str, str]:
    """A UUID, 32 capital hex digits, and a passphrase with each kind of character."""
    return str(uuid.UUID(hexes[:32], version=4)), hexes[32:].upper(), f"Bf-1{hexes[:8]}"


RIGHTS = Rights(
    read=("read_only",),
    spot=("trade",),
    futures=(),  # the same word; the account's mode says whether futures can be traded
    withdraw=("withdraw",),
    unknown=("copy_trade",),
)
_maker = SampleMaker("okx", _look, RIGHTS)
FUTURES_MODE: Final = {"acctLv": "2"}


def _in_futures_mode(key: KeySpec) -> KeySpec:
    return replace(key, own=FUTURES_MODE) if key.scenario == "good_futures" else key


OKX = Exchange(
    code="okx",
    endpoints=ENDPOINTS,
    not_found=Reply(404, {"msg": "Not Found", "code": "404"}),  # unconfirmed
    foreign_hosts=REGIONS,
    samples=(
        *map(_in_futures_mode, _maker.common()),
        _maker.make("expired", "Deleted after 14 days without use.", expired=True),
        _maker.make("disabled", "OKX has frozen the key.", disabled=True),
        _maker.wrong_passphrase(),
        _maker.make(
            "fallback",
            "Works, but OKX does not tell the key's rights: reading alone is shown.",
            fault="no_key_endpoint",
        ),
        _maker.make("eea", "Made at OKX EEA.", site="eea.okx.com"),
        _maker.make("us", "Made at OKX US.", site="us.okx.com"),
        _maker.make("tr", "Made at OKX TR.", site="tr.okx.com"),
        _maker.make("demo", "Made in demo trading.", own={"demo": "1"}),
        _maker.make("eea_demo", "Of OKX EEA's demo.", site="eea.okx.com", own={"demo": "1"}),
    ),
)
