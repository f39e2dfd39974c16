"""Gate.io as documented: API v4 on the live site, the European site and TestNet.

Sources: Gate's API v4 documents and label table, bodies recorded from users' reports, gate-api and
ccxt. What nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote_plus

from .keys import KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

EU_HOST: Final = "api.gateeu.com"
TEST_HOST: Final = "api-testnet.gateapi.io"
HOSTS: Final = ("api.gateio.ws", EU_HOST, TEST_HOST)
WINDOW_S: Final = 60
READ_ONLY: Final = ":r"  # ends a right that a key has for reading alone


def error(label: str, message: str, status: int) -> Reply:
    return Reply(status, {"label": label, "message": message})


OUT_OF_TIME = error(
    "REQUEST_EXPIRED", "gap between request Timestamp and server time exceeds 60", 403
)


# --- what is checked ---------------------------------------------------------------------------


def signature(
    secret: str, method: str, path: str, query: str, timestamp: str, body: str = ""
) -> str:
    """Hex of HMAC-SHA512 over five lines. `query` is as before escaping."""
    digest = hashlib.sha512(body.encode()).hexdigest()
    text = "\n".join((method, path, query, digest, timestamp))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha512).hexdigest()


def _api_key(request: Request) -> str:
    return request.headers.get("KEY", "")


def _has_headers(asked: Asked) -> None:
    for name in ("KEY", "Timestamp", "SIGN"):
        if not asked.request.headers.get(name):
            # The text is recorded of the European site with the label of a wrong key.
            raise Refused(error("INVALID_KEY", f"Missing required header: {name}", 401))


def _key_exists(asked: Asked) -> None:
    if asked.found is None:
        raise Refused(error("INVALID_KEY", "Invalid key provided", 401))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:  # the newer of two recorded forms
        message = f"Request IP not in whitelist: {asked.world.seen_ip}"
        raise Refused(error("FORBIDDEN", message, 403))


def _in_time(asked: Asked) -> None:
    """In seconds; Gate's own SDK sends a fraction of one too."""
    sent, now = asked.request.headers["Timestamp"], asked.world.now_ms() / 1000
    if not re.fullmatch(r"\d+(\.\d+)?", sent) or abs(now - float(sent)) > WINDOW_S:
        raise Refused(OUT_OF_TIME)


def _signature_fits(asked: Asked) -> None:
    request = asked.request
    right = signature(
        asked.key.secret,
        request.method,
        request.path,
        unquote_plus(request.query),
        request.headers["Timestamp"],
        request.body,
    )
    if request.headers["SIGN"] != right:
        raise Refused(error("INVALID_SIGNATURE", "Signature mismatch", 401))


def _permitted(asked: Asked) -> None:
    """All calls here read, and need the right in either form."""
    right = asked.endpoint.permission
    if right not in {word.removesuffix(READ_ONLY) for word in asked.key.permissions}:
        message = f"Request API key does not have {right} permission"
        raise Refused(error("FORBIDDEN", message, 403))


V4 = Family(
    api_key=_api_key,
    # The order of refusals. Unconfirmed: no source shows a request with two faults.
    checks=(_has_headers, _key_exists, _address_allowed, _in_time, _signature_fits, _permitted),
    faults={
        "down": error("TOO_BUSY", "Server is too busy at the moment", 503),
        "rate_limit": error("TOO_MANY_REQUESTS", "Too many requests", 429),
        "clock": OUT_OF_TIME,
        # Recorded of a product that is no longer offered; that a region gets it is unconfirmed.
        "restricted": error("REQUEST_FORBIDDEN", "Request is forbidden", 403),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _time(asked: Asked) -> Any:
    if asked.request.host == EU_HOST:
        _has_headers(asked)  # there even the clock wants them
    return {"server_time": asked.world.now_ms()}


def _detail(asked: Asked) -> Any:
    key = asked.key
    return {
        "user_id": int(key.uid),
        "ip_whitelist": list(key.ip_whitelist),
        "currency_pairs": [],
        "key": {"mode": 1},
        "tier": 2,
        "copy_trading_role": 0,
    }


def _main_keys(asked: Asked) -> Any:
    """All keys of the account, each with twelve readable characters. The documents' example is a
    list and their description one object; `own` says which this key's account gets."""
    if asked.key.fault == "no_key_endpoint":
        raise Refused(error("FORBIDDEN", "Request API key does not have account permission", 403))
    if asked.key.own.get("main_keys") == "object":
        return _row(asked.key)
    keys = asked.world.keys.values()
    return [
        _row(key)
        for key in keys
        if (key.exchange, key.uid, key.site) == ("gate", asked.key.uid, asked.key.site)
        and not key.deleted
    ]


def _row(key: KeySpec) -> dict[str, Any]:
    made = int(key.created_at.timestamp())
    names = dict.fromkeys(word.removesuffix(READ_ONLY) for word in key.permissions)
    return {
        "state": 2 if key.disabled else 1,
        "mode": 1,
        "name": key.label,
        "user_id": int(key.uid),
        "perms": [{"name": name, "read_only": name not in key.permissions} for name in names],
        "ip_whitelist": list(key.ip_whitelist),
        "currency_pairs": [],
        "key": f"{key.api_key[:12]}*****",
        "created_at": made,
        "update_at": made,
        "last_access": made,
    }


def _accounts(asked: Asked) -> Any:
    return [
        {"currency": name, "available": free, "locked": used, "update_id": 1}
        for name, (free, used) in asked.key.balances.items()
    ]


def _futures_account(asked: Asked) -> Any:
    if asked.key.own.get("futures") == "never opened":
        raise Refused(Reply(400, {"label": "USER_NOT_FOUND"}))  # recorded, without a message
    free, used = asked.key.futures_balances.get("USDT", ("0", "0"))
    total = str(Decimal(free) + Decimal(used))
    amounts = {"total": total, "available": free, "order_margin": used, "position_margin": "0"}
    mode = int(asked.key.own.get("margin_mode", "0"))
    return {"user": int(asked.key.uid), "currency": "USDT", "margin_mode": mode, **amounts}


def _none(asked: Asked) -> Any:
    return []


def _private(path: str, answer: Answer, permission: str) -> Endpoint:
    return Endpoint("GET", f"/api/v4/{path}", answer, HOSTS, V4, permission)


# Rights: the permission groups of the documents.
ENDPOINTS = (
    Endpoint("GET", "/api/v4/spot/time", _time, HOSTS),
    _private("account/detail", _detail, "account"),
    _private("account/main_keys", _main_keys, "account"),
    _private("spot/accounts", _accounts, "spot"),
    _private("spot/open_orders", _none, "spot"),
    _private("futures/usdt/accounts", _futures_account, "futures"),
    _private("futures/usdt/positions", _none, "futures"),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(digest: str) -> tuple[str, str, str]:
    """32 and 64 hex digits; the lengths are unconfirmed."""
    return digest[32:], hashlib.sha256(digest.encode()).hexdigest(), ""


def _documented(key: KeySpec) -> KeySpec:
    """The key named good has the mask of the documents' example."""
    if key.scenario != "good":
        return key
    return replace(key, api_key="c5dcfbf1f3a7" + key.api_key[12:])


RIGHTS = Rights(
    read=("account:r", "spot:r"),
    spot=("spot",),
    futures=("futures",),
    withdraw=("withdrawal",),
    unknown=("lottery",),
)
_maker = SampleMaker("gate", _look, RIGHTS)
_futures = RIGHTS.read + RIGHTS.spot + RIGHTS.futures

GATE = Exchange(
    code="gate",
    endpoints=ENDPOINTS,
    not_found=error("NOT_FOUND", "Not Found", 404),  # label of the table
    foreign_hosts=(EU_HOST, TEST_HOST),
    samples=(
        *map(_documented, _maker.common()),
        _maker.make("expiring", "Made 85 days ago, no IPs.", ip_whitelist=(), age_days=85),
        _maker.make("renewed", "Works 100 days on, without IPs.", ip_whitelist=(), age_days=100),
        _maker.make("disabled", "Listed as locked.", disabled=True),
        _maker.make(
            "fallback",
            "Works, but may not read the list of keys: other calls must show its rights.",
            fault="no_key_endpoint",
        ),
        _maker.make(
            "object", "Works; described alone, not in a list.", own={"main_keys": "object"}
        ),
        _maker.make(
            "no_futures",
            "May trade futures, but the futures account was never opened.",
            permissions=_futures,
            own={"futures": "never opened"},
        ),
        _maker.make(
            "futures_only",
            "Trades futures and not spot.",
            permissions=("account:r", *RIGHTS.futures),
        ),
        _maker.make("european", "A key of Gate EU.", site=EU_HOST),
        _maker.make("testnet", "A key of TestNet.", site=TEST_HOST, permissions=_futures),
    ),
)
