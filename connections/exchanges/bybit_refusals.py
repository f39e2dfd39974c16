"""What Bybit's refusals mean: by code, by message, by the text of a page or of a reason phrase.

Messages are read and never kept: that of 10004 repeats the key.
"""

from __future__ import annotations

from typing import Any

from .base import Answer, Verdict
from .reading import code_of, ip_in

# Code -> problem, from Bybit's code table and recorded answers.
PROBLEMS = {
    "10002": "clock_skew",
    "10004": "bad_secret",
    "10005": "no_permission",
    "10006": "rate_limited",
    "10008": "key_disabled",
    "10009": "restricted",
    "10010": "ip_not_allowed",
    "10018": "rate_limited",
    "10020": "no_permission",  # not a unified account
    "10027": "key_disabled",
    "33004": "key_expired",
    "912000014": "no_permission",
    **dict.fromkeys(("10024", "10028", "10032", "20096", "100028", "170209"), "restricted"),
    **dict.fromkeys(("429", "5004", "10000", "10016"), "unavailable"),
}
# (code, what the message holds) -> causes
ANY_OF_THREE = "invalid api-key, ip"
AMBIGUOUS = {
    ("-2015", ""): ("key_expired", "invalid_key", "ip_not_allowed", "no_permission"),
    ("10005", ANY_OF_THREE): ("no_permission", "ip_not_allowed", "invalid_key"),
    ("10007", ""): ("invalid_key", "bad_secret"),
    ("10009", "banned"): ("restricted", "rate_limited"),
}
UNCLEAR_403 = ("restricted", "rate_limited", "unavailable")  # it has several documented causes
# Said in a page or in the reason phrase of an answer without a body -> problem.
PAGES = {
    "block access from your country": "restricted",
    "access too frequent": "rate_limited",
}
REASONS = {
    "api key is invalid": "invalid_key",
    "expired": "key_expired",
    "unmatched ip": "ip_not_allowed",
    "permission": "no_permission",
    "sign": "bad_secret",
    "timestamp": "clock_skew",
}


def code_in(data: Any) -> str:
    """`retCode`; older endpoints write `ret_code`."""
    if not isinstance(data, dict):
        return ""
    return code_of({"code": data.get("retCode", data.get("ret_code"))})


def message_in(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    message = data.get("retMsg", data.get("ret_msg"))
    return message.lower() if isinstance(message, str) else ""


def refusal_in(code: str, message: str) -> Verdict | None:
    """What a code with its message (in lower case) means; None where neither is known."""
    for (ambiguous, words), causes in AMBIGUOUS.items():
        if code == ambiguous and words in message:
            return Verdict("ambiguous", causes, code)
    if code == "403" and "too frequent" in message:
        return Verdict("rate_limited", code=code)
    if code == "10003":  # also said of a key of another site, of demo trading or of the testnet
        return Verdict("invalid_key", code=code, elsewhere=True)
    if code == "10001" and "sign params" in message:  # else a parameter of ours
        return Verdict("bad_secret", code=code)
    if code in PROBLEMS:
        seen_ip = ip_in(message) if code == "10010" else ""
        return Verdict(PROBLEMS[code], code=code, seen_ip=seen_ip)
    return None


def without_json(answer: Answer) -> Verdict | None:
    """Pages of the edge network by their text, and refusals that have only a reason phrase."""
    if answer.failure != "not_json":
        return None
    if answer.status == 403:
        text = answer.text.lower()
        found = next((problem for words, problem in PAGES.items() if words in text), "")
        return Verdict(found) if found else None
    if answer.status != 401 or answer.text.strip():
        return None
    reason = answer.reason.lower()
    if ANY_OF_THREE in reason:
        return Verdict("ambiguous", AMBIGUOUS["10005", ANY_OF_THREE])
    for words, problem in REASONS.items():
        if words in reason:
            return Verdict(problem, elsewhere=problem == "invalid_key")
    # A gateway on the way may put the usual phrase in place of Bybit's; without a body Bybit has
    # been seen to say this of unknown keys alone.
    unsaid = reason.strip() in {"", "unauthorized"}
    return Verdict("invalid_key", elsewhere=True) if unsaid else None
