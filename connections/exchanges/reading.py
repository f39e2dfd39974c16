"""Readers that several exchanges share: each gives None or "" rather than a guess."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from itertools import islice
from typing import Any

from .base import Answer, Call, Known, Permissions, Verdict

AMOUNT = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
EXACT = Context(prec=200)  # no amount is rounded
IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]+)(?![\w:])")


def transport_problem(answer: Answer) -> Verdict | None:
    """What can be said before the body is read; None when the body should decide."""
    if answer.failure in {"connect", "timeout"}:
        return Verdict("unavailable")
    if answer.failure == "unsignable":
        return Verdict("ambiguous", ("invalid_key", "bad_secret"))
    if answer.status is not None and answer.status >= 500:
        return Verdict("unavailable", code=code_of(answer.data))
    if answer.status == 429:
        return Verdict("rate_limited", code=code_of(answer.data))
    if answer.failure and answer.status == 403:
        # A page of the edge network, not of the exchange's API: it says nothing about a key.
        return Verdict("ambiguous", ("restricted", "rate_limited", "unavailable"))
    return Verdict("unexpected") if answer.failure else None


def code_of(data: Any) -> str:
    """The exchange's own code as text, from a number or a string; short, and never prose."""
    code = data.get("code") if isinstance(data, dict) else None
    if isinstance(code, bool) or not isinstance(code, int | str):
        return ""
    text = str(code)
    return text if re.fullmatch(r"-?\w{1,20}", text) else ""


def message_of(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    for name in ("msg", "message"):
        if isinstance(data.get(name), str):
            return str(data[name])
    return ""


def ip_in(text: str) -> str:
    """The first IP address in a message, or ""."""
    for match in IP.finditer(text):
        try:
            return str(ipaddress.ip_address(match.group()))
        except ValueError:
            continue
    return ""


def moment(value: Any) -> datetime | None:
    """Milliseconds since 1970 as a moment, or None when it is not such a number."""
    number = whole_number(value)
    if number is None or not 1_000_000_000_000 <= number <= 9_999_999_999_999:
        return None
    return datetime.fromtimestamp(number / 1000, UTC).replace(microsecond=0)


def iso_moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):  # the first and the last year have no neighbours
        return None


def whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
        return int(value)
    return value if isinstance(value, int) and 0 <= value < 10**18 else None


def amount_of(value: Any) -> Decimal | None:
    """An amount of money from text or from a JSON number; None for what is none."""
    if isinstance(value, float):
        value = f"{Decimal(repr(value)):f}"  # small ones have an exponent
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return Decimal(value) if AMOUNT.fullmatch(str(value)) else None


def of_the_whole(row: Mapping[str, Any], currency: str, whole: str, free: str) -> dict[str, Any]:
    """A balance row from the whole of a currency and what is free of it; the rest is in use. Where
    several currencies are margin together, what is free of one is more than there is of it."""
    name, all_of_it, rest = row.get(currency), amount_of(row.get(whole)), row.get(free)
    if all_of_it is None:
        return {"currency": name, "free": rest}
    left = min(all_of_it, amount_of(rest) or Decimal())
    used = EXACT.subtract(all_of_it, left)
    return {"currency": name, "free": f"{left:f}", "used": f"{used:f}"}


def words_of(value: Any) -> tuple[str, ...] | None:
    """A comma list as words, or None when it is not one."""
    if not isinstance(value, str):
        return None
    return tuple(word.strip() for word in value.split(",") if word.strip())


def short_text(value: Any, limit: int = 64) -> str:
    """A label or an account number as printable text; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)[:limit]
    return text if text.isprintable() else ""


def permissions_from(
    granted: Mapping[str, str], words: Iterable[str], unknown_words: Iterable[str], call: Call
) -> Permissions:
    """Rights from a key's list of words. `granted` maps a right to the word that gives it. A right
    whose word is missing is a "no", but only where the list is not empty and every word in it was
    understood: an unknown word may be the one that grants it."""
    unknown = ", ".join(short_text(word, 30) or "?" for word in islice(unknown_words, 5))
    denied = False if any(words) and not unknown else None
    silence = f"unknown word {unknown}" if unknown else "not listed"
    values: dict[str, Known] = {}
    evidence: dict[str, str] = {}
    for name in Permissions.NAMES:
        values[name] = True if name in granted else denied
        evidence[name] = f"{call}: {granted.get(name, silence)}"
    return Permissions.of(values, evidence)
