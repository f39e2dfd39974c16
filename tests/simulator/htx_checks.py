"""How HTX's three APIs check a request and refuse it: v1 and v2 of spot, and the contract API.

Every request is signed for the host it is sent to, so each is checked against the host that the
gateway's path names. What nobody confirmed is marked "unconfirmed" beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from .wire import Asked, Check, Family, Refused, Reply, Request

WINDOW_S: Final = 300  # another page says one minute

# What v1 and the contract API say, English and Chinese as recorded; v2 has one text for most.
UNKNOWN_KEY: Final = "Incorrect Access key [Access key错误]"
WRONG_SECRET: Final = "Verification failure [校验失败]"
OUT_OF_TIME: Final = (
    "Invalid submission time or incorrect time format [无效的提交时间，或时间格式错误]"
)
EXPIRED: Final = "API key has expired [API Key已经过期]"
NO_PERMISSION: Final = "API key has no permission [API Key没有权限]"


# --- signatures --------------------------------------------------------------------------------


def to_sign(method: str, host: str, path: str, query: str) -> str:
    """What the signature covers: parameters as sent, sorted, without the signature itself."""
    pairs = sorted(pair for pair in query.split("&") if not pair.startswith("Signature="))
    return "\n".join((method, host, path, "&".join(pairs)))


def digest(secret: str, text: str) -> str:
    made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def _signature(request: Request, secret: str) -> str:
    return digest(secret, to_sign(request.method, request.host, request.path, request.query))


def _api_key(request: Request) -> str:
    return request.params.get("AccessKeyId", "")


def _in_time(request: Request, now_ms: int) -> bool:
    try:
        sent = datetime.strptime(request.params.get("Timestamp", ""), "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return abs(now_ms / 1000 - sent.replace(tzinfo=UTC).timestamp()) <= WINDOW_S


# --- refusals: one envelope for each of the three APIs -----------------------------------------


def v1(code: str, message: str) -> Reply:
    return Reply(200, {"status": "error", "err-code": code, "err-msg": message, "data": None})


def not_valid(message: str) -> Reply:
    return v1("api-signature-not-valid", f"Signature not valid: {message}")


def v2(code: int, message: str) -> Reply:
    return Reply(200, {"code": code, "message": message})


def contract(code: int, message: str) -> Reply:
    body = {"status": "error", "err_code": code, "err_msg": message, "ts": 1641259756727}
    return Reply(200, body)


def _refuse_when(true: Callable[[Asked], bool], reply: Callable[[Asked], Reply]) -> Check:
    def check(asked: Asked) -> None:
        if true(asked):
            raise Refused(reply(asked))

    return check


def _checks(
    missing: Reply,
    unknown_key: Reply,
    wrong_secret: Reply,
    out_of_time: Reply,
    expired: Reply,
    address: Callable[[Asked], Reply],
    no_permission: Reply,
) -> tuple[Check, ...]:
    """In the order of refusals. Unconfirmed: no source shows a request with two faults."""
    return (
        _refuse_when(lambda asked: "Signature" not in asked.request.params, lambda _: missing),
        _refuse_when(lambda asked: asked.found is None, lambda _: unknown_key),
        _refuse_when(
            lambda asked: (
                asked.request.params["Signature"] != _signature(asked.request, asked.key.secret)
            ),
            lambda _: wrong_secret,
        ),
        _refuse_when(
            lambda asked: not _in_time(asked.request, asked.world.now_ms()), lambda _: out_of_time
        ),
        _refuse_when(lambda asked: asked.key.expired, lambda _: expired),
        _refuse_when(lambda asked: not asked.address_allowed, address),
        _refuse_when(
            lambda asked: asked.endpoint.permission not in asked.key.permissions,
            lambda _: no_permission,
        ),
    )


def _seen_address(asked: Asked) -> str:
    return f"Incorrect IP address [IP地址错误]:{asked.world.seen_ip}"


INVALID: Final = v2(1003, "invalid signature")
SPOT_V1 = Family(
    api_key=_api_key,
    checks=_checks(
        missing=v1("login-required", "Signature is missing"),
        unknown_key=not_valid(UNKNOWN_KEY),
        wrong_secret=not_valid(WRONG_SECRET),
        out_of_time=not_valid(OUT_OF_TIME),
        expired=not_valid(EXPIRED),
        address=lambda asked: not_valid(_seen_address(asked)),
        no_permission=not_valid(NO_PERMISSION),
    ),
    faults={
        "down": Reply(503, v1("gateway-internal-error", "Failed to load data.").body),
        "rate_limit": v1(
            "base-request-exceed-frequency-limit",
            "Frequency of requests has exceeded the limit, please try again later",
        ),
        "clock": not_valid(OUT_OF_TIME),
        # Documented of orders; that a refused region gets it is unconfirmed.
        "restricted": v1("base-operation-forbidden", "The operation is forbidden for current user"),
    },
)
SPOT_V2 = Family(
    api_key=_api_key,
    # Codes from the table of v2's account calls; which of them a fault gets is unconfirmed.
    checks=_checks(
        *(INVALID, INVALID, INVALID, INVALID, INVALID),
        address=lambda _: v2(2000, "IP address not allowed"),
        no_permission=v2(1002, "forbidden"),
    ),
    faults={
        "down": Reply(503, v2(500, "system error").body),
        "rate_limit": SPOT_V1.faults["rate_limit"],
        "clock": INVALID,
        "restricted": v2(1002, "forbidden"),
    },
)
CONTRACTS = Family(
    api_key=_api_key,
    # v5's own refusals are unconfirmed: these are the older contract API's.
    checks=_checks(
        missing=contract(403, WRONG_SECRET),
        unknown_key=contract(403, UNKNOWN_KEY),
        wrong_secret=contract(403, WRONG_SECRET),
        out_of_time=contract(12001, "Invalid submission time."),
        expired=contract(12004, "Private key is expired."),
        address=lambda _: contract(12005, "Incorrect IP address."),
        no_permission=contract(403, NO_PERMISSION),
    ),
    faults={
        "down": Reply(503, contract(1431, "The system is in maintenance.").body),
        "rate_limit": contract(1032, "The number of access exceeded the limit."),
        "clock": contract(12001, "Invalid submission time."),
        "restricted": contract(
            1224, "Your country/region can't meet the requirements for opening contracts."
        ),
    },
)
