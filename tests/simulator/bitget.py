"""Bitget as documented: unified accounts (v3), classic accounts (v2), and demo trading, which is
the same host with a header.

Sources: Bitget's documents and code table, bodies recorded from users' reports, bitget-python and
ccxt. What nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote

from .keys import KeySpec, Rights, SampleMaker
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

HOSTS: Final = ("api.bitget.com",)
WINDOW_MS: Final = 30_000
UNIFIED_WORDS: Final = {"uta_mgt", "uta_trade"}
WRITES: Final = "read_and_write"  # stands among a unified key's rights for its permType


def error(code: str, message: str, status: int = 400) -> Reply:
    """The official table says 400 of every code."""
    return Reply(status, {"code": code, "msg": message, "requestTime": 1695808949356, "data": None})


OUT_OF_TIME = error("40004", "Request timestamp expired")
CLASSIC_MODE = error(
    "40084",
    "You are in Classic Account mode, and the Unified Account API is not supported at this time",
)
UNIFIED_MODE = error(
    "40085",
    "You are in Unified Account mode, and the Classic Account API is not supported at this time",
)


# --- what is checked ---------------------------------------------------------------------------


def signature(secret: str, timestamp: str, method: str, target: str, body: str = "") -> str:
    """Base64 of HMAC-SHA256. `target` is path and query, as before escaping."""
    text = timestamp + method + target + body
    made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def _api_key(request: Request) -> str:
    return request.headers.get("ACCESS-KEY", "")


def _has_headers(asked: Asked) -> None:
    for name, code in (
        ("ACCESS-KEY", "40001"),
        ("ACCESS-SIGN", "40002"),
        ("ACCESS-TIMESTAMP", "40005"),
        ("ACCESS-PASSPHRASE", "40011"),
    ):
        if not asked.request.headers.get(name):
            raise Refused(error(code, f"{name.replace('-', '_')} cannot be empty"))


def _in_time(asked: Asked) -> None:
    sent = asked.request.headers["ACCESS-TIMESTAMP"]
    if not sent.isdigit():
        raise Refused(error("40005", "Invalid ACCESS_TIMESTAMP"))
    if abs(asked.world.now_ms() - int(sent)) > WINDOW_MS:
        raise Refused(OUT_OF_TIME)


def _key_exists(asked: Asked) -> None:
    if asked.found is None:  # or 40006 "Invalid ACCESS_KEY": which one when is unconfirmed
        raise Refused(error("40037", "Apikey does not exist"))


def _right_environment(asked: Asked) -> None:
    demo = asked.request.headers.get("paptrading") == "1"
    if demo != (asked.key.own.get("environment") == "demo"):
        raise Refused(error("40099", "exchange environment is incorrect"))


def _signature_fits(asked: Asked) -> None:
    request = asked.request
    target = request.path + (f"?{unquote(request.query)}" if request.query else "")
    timestamp = request.headers["ACCESS-TIMESTAMP"]
    right = signature(asked.key.secret, timestamp, request.method, target, request.body)
    if request.headers["ACCESS-SIGN"] != right:
        raise Refused(error("40009", "sign signature error"))


def _passphrase_fits(asked: Asked) -> None:
    if asked.request.headers["ACCESS-PASSPHRASE"] != asked.key.passphrase:
        raise Refused(error("40012", "apikey/password is incorrect"))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        raise Refused(error("40018", f"invalid ip,current request ip {asked.world.seen_ip}"))


def _not_frozen(asked: Asked) -> None:
    if asked.key.disabled:
        raise Refused(error("40024", "Account has been frozen"))


def _right_mode(asked: Asked) -> None:
    if asked.request.path.startswith("/api/v3/") != _is_unified(asked.key):
        raise Refused(UNIFIED_MODE if _is_unified(asked.key) else CLASSIC_MODE)


def _permitted(asked: Asked) -> None:
    """`permission` are the words of which one is needed."""
    needed = asked.endpoint.permission.split()
    if needed and not set(needed) & set(asked.key.permissions):
        if asked.key.own.get("language") == "zh":  # seen by a user of Bitget's own SDK
            raise Refused(error("40014", "权限不正确，需要现货交易读权限"))
        need = NEEDS.get(needed[0], "uta")
        message = f"Incorrect permissions, need {need} read or {need} write permissions"
        raise Refused(error("40014", message))


NEEDS: Final = {"stor": "spot order", "coor": "future order", "cpor": "future position"}


def _is_unified(key: KeySpec) -> bool:
    return bool(UNIFIED_WORDS & set(key.permissions))


ANY_MODE = Family(
    api_key=_api_key,
    # The order of refusals. Unconfirmed, but an unknown key is reported not to get 40012, and a
    # wrong secret 40009.
    checks=(
        *(_has_headers, _in_time, _key_exists, _right_environment, _signature_fits),
        *(_passphrase_fits, _address_allowed, _not_frozen, _right_mode, _permitted),
    ),
    faults={
        "down": error("40200", "Server upgrade, please try again later", 503),
        "rate_limit": error("429", "Too Many Requests", 429),
        "clock": OUT_OF_TIME,
        # Errors with status 200 are reported too.
        "restricted": error(
            "40000", "Bitget is currently unable to provide services to your region", 200
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _ok(asked: Asked, data: Any) -> Any:
    now = asked.world.now_ms()
    return {"code": "00000", "msg": "success", "requestTime": now, "data": data}


def _time(asked: Asked) -> Any:
    return _ok(asked, {"serverTime": str(asked.world.now_ms())})


def _classic_info(asked: Asked) -> Any:
    key = asked.key
    told = {"userId": key.uid, "inviterId": "", "parentId": 1, "channelCode": "", "channel": ""}
    rights = {"ips": ",".join(key.ip_whitelist), "authorities": list(key.permissions)}
    return _ok(asked, {**told, **rights, "regisTime": "1246566789345"})


def _unified_info(asked: Asked) -> Any:
    """The account's number is `userId` in live answers and `uid` in the documents; live answers
    have underscores in `permType`, the documents hyphens."""
    key = asked.key
    words = [word for word in key.permissions if word != WRITES]
    kind = WRITES if WRITES in key.permissions else "read_only"
    documented = key.own.get("spelling") == "documented"
    told = {"inviterId": None, "parentId": None, "channelCode": "", "channel": ""}
    return _ok(
        asked,
        {
            "uid" if documented else "userId": key.uid,
            **told,
            "ips": ",".join(key.ip_whitelist),
            "permType": kind.replace("_", "-") if documented else kind,
            "permissions": words,
            "regisTime": "1246566789345",
        },
    )


def _classic_assets(asked: Asked) -> Any:
    rows = [
        {"coin": name, "available": free, "frozen": used, "locked": "0"}
        for name, (free, used) in asked.key.balances.items()
    ]
    return _ok(asked, rows)


def _unified_assets(asked: Asked) -> Any:
    rows = [_asset(name, *amounts) for name, amounts in asked.key.balances.items()]
    return _ok(asked, {"accountEquity": "1450.5", "assets": rows})


def _asset(coin: str, free: str, used: str) -> dict[str, str]:
    whole = str(Decimal(free) + Decimal(used))
    return {"coin": coin, "equity": whole, "balance": whole, "available": free, "locked": used}


def _futures_accounts(asked: Asked) -> Any:
    """What is in use is margin of positions, which `locked` does not count."""
    free, used = asked.key.futures_balances.get("USDT", ("0", "0"))
    equity = str(Decimal(free) + Decimal(used))
    amounts = {"locked": "0", "available": free, "crossedMargin": used, "accountEquity": equity}
    return _ok(asked, [{"marginCoin": "USDT", **amounts, "assetMode": "single"}])


def _none(asked: Asked) -> Any:
    return _ok(asked, [])


def _empty_list(asked: Asked) -> Any:
    return _ok(asked, {"list": []})


def _private(path: str, answer: Answer, permission: str = "") -> Endpoint:
    return Endpoint("GET", path, answer, HOSTS, ANY_MODE, permission)


# Rights: what the documents of each call ask for.
ENDPOINTS = (
    Endpoint("GET", "/api/v2/public/time", _time, HOSTS),
    _private("/api/v3/account/info", _unified_info),
    _private("/api/v3/account/assets", _unified_assets, "uta_mgt uta_trade"),
    _private("/api/v3/trade/unfilled-orders", _empty_list, "uta_trade"),
    _private("/api/v3/position/current-position", _empty_list, "uta_trade"),
    _private("/api/v2/spot/account/info", _classic_info, "stor stow"),
    _private("/api/v2/spot/account/assets", _classic_assets, "stor stow"),
    _private("/api/v2/spot/trade/unfilled-orders", _none, "stor stow"),
    _private("/api/v2/mix/account/accounts", _futures_accounts, "coor coow"),
    _private("/api/v2/mix/position/all-position", _none, "cpor cpow"),
)


# --- sample keys -------------------------------------------------------------------------------


def _look(digest: str) -> tuple[str, str, str]:
    """The prefix and the lengths are unconfirmed; a passphrase has 8 to 32 letters and digits."""
    secret = hashlib.sha256(digest.encode()).hexdigest()
    return f"bg_{digest[:32]}", secret, f"Bf{digest[32:42]}"


RIGHTS = Rights(
    read=("stor", "coor", "cpor"),
    spot=("stow",),
    futures=("coow", "cpow"),
    withdraw=("wwow",),
    unknown=("zzow",),
)
_maker = SampleMaker("bitget", _look, RIGHTS)
_unified = ("uta_mgt", "uta_trade", WRITES)
_futures = ("coor", "coow", "cpor", "cpow")

BITGET = Exchange(
    code="bitget",
    endpoints=ENDPOINTS,
    not_found=error("40404", "Request URL NOT FOUND", 404),
    samples=(
        *_maker.common(),
        _maker.wrong_passphrase(),
        _maker.make("disabled", "The account is frozen.", disabled=True),
        _maker.make("futures_only", "Trades futures and may not read spot.", permissions=_futures),
        _maker.make("unified", "Works: a unified account.", permissions=_unified),
        _maker.make(
            *("unified_documented", "Works: a unified account, spelt as in the documents."),
            permissions=_unified,
            own={"spelling": "documented"},
        ),
        _maker.make("unified_read_only", "Reads a unified account.", permissions=_unified[:2]),
        _maker.make("unified_withdraw", "May withdraw.", permissions=(*_unified, "withdraw")),
        _maker.make(
            *("unified_unknown_word", "A unified account with a right that nobody documents."),
            permissions=(*_unified, "uta_lottery"),
        ),
        _maker.make("unified_no_ip", "Works everywhere.", permissions=_unified, ip_whitelist=()),
        _maker.make("demo", "A demo key of a classic account.", own={"environment": "demo"}),
        _maker.make(
            *("unified_demo", "A demo key of a unified account."),
            permissions=_unified,
            own={"environment": "demo"},
        ),
        _maker.make(
            *("chinese", "May not read; told in Chinese."),
            permissions=("wtor",),
            own={"language": "zh"},
        ),
    ),
)
