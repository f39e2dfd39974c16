"""Bybit as documented: API v5 on the main host, its regional twins, demo trading and testnet.

Sources: bybit-exchange/docs, bodies recorded from users' reports, pybit, and ccxt. What nobody
confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .bybit_keys import DEMO_HOST, EU_HOST, JP_HOST, SAMPLES, TESTNET_HOST
from .keys import KeySpec
from .wire import Answer, Asked, Endpoint, Exchange, Family, Refused, Reply, Request

MAIN_HOST: Final = "api.bybit.com"
ELSEWHERE: Final = (
    EU_HOST,
    *(f"api.bybit.{land}" for land in ("tr", "kz", "ae", "nl", "id")),
    "api.bybitgeorgia.ge",
    JP_HOST,
    DEMO_HOST,
    TESTNET_HOST,
)
HOSTS: Final = (MAIN_HOST, *ELSEWHERE)
LIFE_WITHOUT_IPS: Final = timedelta(days=90)
GROUPS: Final = (
    *("ContractTrade", "Spot", "Wallet", "Options", "Derivatives", "CopyTrading", "BlockTrade"),
    *("Exchange", "NFT", "Affiliate", "Earn"),
)


def error(code: int, message: str, status: int = 200) -> Reply:
    """Refusals arrive with HTTP 200 where a status was shown at all."""
    time = round(datetime.now(UTC).timestamp() * 1000)
    body = {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": time}
    return Reply(status, body)


# --- what is checked ---------------------------------------------------------------------------


def _api_key(request: Request) -> str:
    return request.headers.get("X-BAPI-API-KEY", "")


def to_sign(request: Request) -> str:
    """Timestamp, key, window and then the query, or the body of a POST, as it was sent."""
    headers = request.headers
    head = headers["X-BAPI-TIMESTAMP"] + _api_key(request) + headers["X-BAPI-RECV-WINDOW"]
    return head + (request.body if request.method == "POST" else request.query)


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _has_headers(asked: Asked) -> None:
    headers = asked.request.headers
    given = [headers.get(f"X-BAPI-{name}", "") for name in ("TIMESTAMP", "API-KEY", "SIGN")]
    if not all(given) or not headers.get("X-BAPI-RECV-WINDOW"):
        names = "empty value: apiTimestamp[{}] apiKey[{}] apiSignature[{}]".format(*given)
        raise Refused(error(10001, f"{names}: openapi sign params error!"))


# The order from here on is unconfirmed: no source shows a request with two faults.
def _in_time(asked: Asked) -> None:
    """server_time - recv_window <= timestamp < server_time + 1000 (guide)."""
    headers, now = asked.request.headers, asked.world.now_ms()
    sent, window = headers["X-BAPI-TIMESTAMP"], headers["X-BAPI-RECV-WINDOW"]
    readable = sent.isdigit() and window.isdigit()
    if not readable or not now - int(window) <= int(sent) < now + 1000:
        told = f"req_timestamp[{sent}],server_timestamp[{now}],recv_window[{window}]"
        text = "invalid request, please check your server timestamp or recv_window param."
        raise Refused(error(10002, f"{text} {told}"))


def _key_exists(asked: Asked) -> None:
    """In the body, or for account calls with an empty one and the reason phrase alone."""
    if asked.found is not None:
        return
    if asked.request.path.startswith("/v5/account/"):
        raise Refused(Reply(401, "", reason="API key is invalid."))
    raise Refused(error(10003, "API key is invalid."))


def _signature_fits(asked: Asked) -> None:
    text, sent = to_sign(asked.request), asked.request.headers["X-BAPI-SIGN"]
    secret = asked.key.secret
    fits = _rsa_fits(secret, text, sent) if "PRIVATE KEY" in secret else None
    if not (sent == signature(secret, text) if fits is None else fits):
        message = "error sign! please check your signature generation algorithm."
        raise Refused(error(10004, f"{message} origin_string[{text}]"))


def _rsa_fits(pem: str, text: str, sent: str) -> bool:
    """Base64 of RSA with PKCS#1 v1.5 padding over SHA-256."""
    private = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)
    try:
        made = base64.b64decode(sent, validate=True)
        private.public_key().verify(made, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _not_ended(asked: Asked) -> None:
    if asked.key.expired:
        raise Refused(error(33004, "Your api key has expired."))


def _address_allowed(asked: Asked) -> None:
    if not asked.address_allowed:
        message = "Unmatched IP, please check your API key's bound IP addresses."
        raise Refused(error(10010, message))


def _not_banned(asked: Asked) -> None:
    if asked.key.disabled:
        raise Refused(error(10008, "Common banned, please check your account mode"))


NO_PERMISSION = error(10005, "Permission denied, please check your API key permissions.")


def _permitted(asked: Asked) -> None:
    writes = asked.request.method == "POST"
    if writes and asked.key.own.get("readOnly") == "1":
        raise Refused(NO_PERMISSION)
    if asked.endpoint.permission not in {"", *asked.key.permissions}:
        raise Refused(NO_PERMISSION)


FAMILY = Family(
    api_key=_api_key,
    checks=(
        *(_has_headers, _in_time, _key_exists, _signature_fits),
        *(_not_ended, _address_allowed, _not_banned, _permitted),
    ),
    faults={
        "down": error(10016, "Server error.", 503),
        "rate_limit": error(10006, "Too many visits!"),
        "clock": error(10002, "invalid request, please check your server timestamp"),
        "restricted": error(
            10009,
            "Service Restricted: Access is currently unavailable for your region. "
            "Please contact our support team for further assistance",
        ),
    },
)


# --- what is answered --------------------------------------------------------------------------


def _ok(asked: Asked, result: Any) -> Any:
    now = asked.world.now_ms()
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}


def _time(asked: Asked) -> Any:
    now = asked.world.now_ms()
    return _ok(asked, {"timeSecond": str(now // 1000), "timeNano": f"{now}000000"})


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _end(key: KeySpec) -> dict[str, Any]:
    """-2 and 1970 where there is none: for a key with addresses."""
    if key.remaining_days == 9999 or (key.ip_whitelist and key.remaining_days is None):
        return {"deadlineDay": -2, "expiredAt": "1970-01-01T00:00:00Z"}
    at = key.expires_at or key.created_at + LIFE_WITHOUT_IPS
    return {"deadlineDay": (at - datetime.now(UTC)).days, "expiredAt": _moment(at)}


def _key_info(asked: Asked) -> Any:
    key = asked.key
    if key.fault == "no_key_endpoint":
        raise Refused(NO_PERMISSION)
    permissions: dict[str, list[str]] = {group: [] for group in GROUPS}
    for word in key.permissions:
        group, _, name = word.partition(" ")
        permissions.setdefault(group, []).append(name)
    return _ok(
        asked,
        {
            "id": "13770661",
            "note": key.label,
            "apiKey": key.api_key,
            "readOnly": int(key.own.get("readOnly", "0")),
            "secret": "",
            "permissions": permissions,
            "ips": list(key.ip_whitelist) or ["*"],
            "type": int(key.own.get("type", "1")),
            **_end(key),
            "createdAt": _moment(key.created_at),
            "uta": int(key.own.get("uta", "1")),
            "userID": int(key.uid),
            "rsaPublicKey": "",  # its text is unconfirmed
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_1",
            "kycRegion": "NOR",
        },
    )


def _wallet(asked: Asked) -> Any:
    kind = asked.request.params.get("accountType", "")
    unified = asked.key.own.get("uta", "1") == "1"
    if kind not in ({"UNIFIED"} if unified else {"SPOT", "CONTRACT"}):
        raise Refused(error(10001, f"accountType {kind} is not supported"))  # text unconfirmed
    held = asked.key.futures_balances if kind == "CONTRACT" else asked.key.balances
    coins = [
        {
            "coin": currency,
            "walletBalance": str(Decimal(free) + Decimal(used)),
            "locked": used,
            "free": "" if unified else free,
            "totalOrderIM": "0",
            "totalPositionIM": "0",
        }
        for currency, (free, used) in held.items()
    ]
    return _ok(asked, {"list": [{"accountType": kind, "coin": coins}]})


def _none(asked: Asked) -> Any:
    return _ok(asked, {"category": asked.request.params.get("category"), "list": []})


def _done(asked: Asked) -> Any:
    return _ok(asked, {})


def _private(path: str, answer: Answer, right: str = "") -> Endpoint:
    return Endpoint("GET", path, answer, HOSTS, FAMILY, right)


def _changing(path: str, right: str) -> Endpoint:
    return Endpoint("POST", path, _done, HOSTS, FAMILY, right, dangerous=True)


ENDPOINTS = (
    Endpoint("GET", "/v5/market/time", _time, HOSTS),
    _private("/v5/user/query-api", _key_info),
    _private("/v5/account/wallet-balance", _wallet),
    _private("/v5/order/realtime", _none),
    _private("/v5/position/list", _none, "ContractTrade Position"),
    _changing("/v5/order/create", "Spot SpotTrade"),
    _changing("/v5/asset/withdraw/create", "Wallet Withdraw"),
)

BYBIT = Exchange(
    code="bybit",
    endpoints=ENDPOINTS,
    not_found=error(10017, "Route not found."),  # status unconfirmed
    foreign_hosts=ELSEWHERE,
    samples=SAMPLES,
)
