"""What HTX's refusals mean. Each of its three APIs has its own codes and its own envelope, and
one code of v1 has six causes, told apart by a message in English, Chinese or both.

Sources: huobiapi/docs and its contract tables, recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .base import Verdict
from .reading import ip_in

# Problems of a second look that say nothing about the key; "" is none.
NO_REASON: Final = frozenset({"", "unexpected", "unavailable", "rate_limited"})

# Part of a message, in lower case -> problem; the first that fits.
MESSAGES: Final = (
    (("access key",), "invalid_key"),
    (("no permission", "没有权限"), "no_permission"),
    (("ip address", "ip地址"), "ip_not_allowed"),
    (("submission time", "提交时间"), "clock_skew"),
    (("expired", "过期"), "key_expired"),
    (("signature method", "签名方法", "signature version"), "bad_secret"),
    (("verification failure", "校验失败"), "bad_secret"),
)
SIGNATURE_CAUSES: Final = (
    *("invalid_key", "bad_secret", "ip_not_allowed"),
    *("key_expired", "clock_skew", "no_permission"),
)

V1: Final = {
    "base-request-exceed-frequency-limit": "rate_limited",
    "rate-too-many-requests": "rate_limited",
    "base-operation-forbidden": "restricted",
    "timeout": "unavailable",
    "gateway-internal-error": "unavailable",
    "system-maintenance": "unavailable",
}
V2: Final = {
    "500": "unavailable",
    "1002": "no_permission",  # "forbidden": looked at again by the reader of keys
    "2000": "ip_not_allowed",
}
CONTRACT: Final = {
    "1010": "restricted",  # no account there
    "1032": "rate_limited",
    "1220": "restricted",  # contracts never opened
    "1224": "restricted",
    "1431": "unavailable",
    "4007": "restricted",  # the account is of another kind
    "12001": "clock_skew",
    "12002": "bad_secret",
    "12003": "bad_secret",
    "12004": "key_expired",
    "12005": "ip_not_allowed",
    "12006": "clock_skew",
    "12007": "invalid_key",
    "12008": "bad_secret",
    "12009": "key_disabled",
}
AMBIGUOUS: Final = {
    "api-signature-not-valid": SIGNATURE_CAUSES,  # with a message we do not know
    "api-signature-check-failed": SIGNATURE_CAUSES,
    "login-required": ("invalid_key", "bad_secret"),
    "1003": ("invalid_key", "bad_secret", "key_expired", "clock_skew"),
    "4007": ("restricted", "unexpected"),
}


def refusal(data: Any, *, contract: bool) -> Verdict | None:
    """What the body alone says; None when it is no refusal that we know. `contract`: the answer
    is of the contract host, which is asked only with a key that has passed on the spot host."""
    if not isinstance(data, dict):
        return None
    code, message = code_in(data), _message(data).lower()
    if "err-code" in data:
        return _verdict(code, _of_v1(code, message), message)
    if "err_code" in data or contract:
        return _of_contracts(code, message, passed=contract)
    return _verdict(code, V2.get(code, ""), message)


def _of_v1(code: str, message: str) -> str:
    if code.startswith("api-signature-"):
        return _by_message(message)
    if code == "invalid-parameter" and message == "request limit":
        return "rate_limited"
    return V1.get(code, "")


def _of_contracts(code: str, message: str, *, passed: bool) -> Verdict | None:
    problem = _by_message(message) if code == "403" else CONTRACT.get(code, "")
    if code == "403" and problem == "bad_secret" and "signature" not in message:
        # Also said, now and then, of a right signature, and of one made for another host.
        if passed:
            return Verdict("unavailable", code=code)
        return Verdict("ambiguous", ("bad_secret", "unavailable"), code)
    return _verdict(code, problem, message) if problem else None


def _by_message(message: str) -> str:
    for parts, problem in MESSAGES:
        if any(part in message for part in parts):
            return problem
    return ""


def _verdict(code: str, problem: str, message: str) -> Verdict | None:
    if problem:
        # The address follows a bracket and a colon, without a space.
        seen_ip = ip_in(message.replace("]:", " ")) if problem == "ip_not_allowed" else ""
        return Verdict(problem, code=code, seen_ip=seen_ip)
    return Verdict("ambiguous", AMBIGUOUS[code], code) if code in AMBIGUOUS else None


def code_in(data: Any) -> str:
    """The code as text, from a number or a string, whichever of its three names it has."""
    if not isinstance(data, dict):
        return ""
    for name in ("err-code", "err_code", "code"):
        value = data.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool):
            text = str(value)
            return text if re.fullmatch(r"[\w-]{1,40}", text) else ""
    return ""


def _message(data: Mapping[str, Any]) -> str:
    for name in ("err-msg", "err_msg", "message", "msg"):
        if isinstance(data.get(name), str):
            return str(data[name])
    return ""
