"""What Gate.io's list of an account's keys tells of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .base import Call, KeyFacts, Permissions, Verdict
from .reading import moment, permissions_from, short_text, whole_number

LIFE_WITHOUT_IPS = timedelta(days=90)  # Gate.io's help, of keys without bound addresses
SHORTEST_MASK = 8  # characters of a key that a mask must leave readable to name it
NORMAL, BLOCKED = 1, {2, 3}  # state of a key: 2 locked, 3 frozen

# Name on a key -> the right to read and the right to change that it gives. Names without a right
# are known too, so that no word is missed when one of them is there.
RIGHTS: dict[str, tuple[str, str]] = {
    "spot": ("read", "spot_trade"),
    "futures": ("read", "futures_trade"),
    "margin": ("", "margin"),
    "wallet": ("", "transfer"),
    **dict.fromkeys(("delivery", "earn", "custody", "options", "account", "loan"), ("", "")),
    **dict.fromkeys(("unified", "copy", "pilot", "otc", "alpha", "crossx", "quant"), ("", "")),
    **dict.fromkeys(("tradfi_spot", "cfd", "cfd_copy", "stock_copy", "sub_accounts"), ("", "")),
}


def own_row(data: Any, api_key: str) -> Mapping[str, Any] | None:
    """The one row whose masked key fits ours; None where none or several do."""
    rows = data if isinstance(data, list) else [data]
    fitting = [row for row in rows if isinstance(row, dict) and _fits(row.get("key"), api_key)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(masked: Any, api_key: str) -> bool:
    if not isinstance(masked, str):
        return False  # a described, but never seen form is an object without the key
    if "*" not in masked:
        return masked == api_key
    shown, _, rest = masked.partition("*")
    end = rest.lstrip("*")
    return len(shown) >= SHORTEST_MASK and api_key.startswith(shown) and api_key.endswith(end)


def facts_of(row: Mapping[str, Any], now: datetime, call: Call) -> KeyFacts | Verdict:
    state = whole_number(row.get("state"))
    if state in BLOCKED:
        return Verdict("key_disabled", code=f"state {state}")
    if state not in {NORMAL, None}:
        # Other numbers are not documented: the key is not usable, and we do not know why.
        return Verdict("ambiguous", ("key_disabled", "key_expired"))
    ips, created_at = addresses(row), _seconds(row.get("created_at"))
    return KeyFacts(
        permissions=_permissions(row.get("perms"), call),
        ip_restricted=None if ips is None else bool(ips),
        ips=ips or (),
        created_at=created_at,
        expires_at=_expiry(ips, created_at, now),
        uid=short_text(row.get("user_id")),
        label=short_text(row.get("name"), 100),
    )


def addresses(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    listed = row.get("ip_whitelist")
    return tuple(filter(None, map(short_text, listed))) if isinstance(listed, list) else None


def _permissions(perms: Any, call: Call) -> Permissions:
    """Withdrawing has no documented name, so a list without it is a "no" by the names alone."""
    granted: dict[str, str] = {}
    names: list[str] = []
    unknown: list[str] = []
    for perm in perms if isinstance(perms, list) else ():
        name, read_only = _perm(perm)
        names.append(name)
        reads, writes = RIGHTS.get(name, ("", ""))
        if "withdraw" in name:
            reads = writes = "withdraw"  # whatever else the word says: stay safe
        elif name not in RIGHTS or read_only is None:
            unknown.append(name)
        granted.setdefault(reads, name)
        if read_only is False:
            granted.setdefault(writes, name)
    return permissions_from(granted, names, unknown, call)


def _perm(perm: Any) -> tuple[str, bool | None]:
    """Name and `read_only`; "?" and None for what is no name and no truth value."""
    if not isinstance(perm, dict):
        return "?", None
    name, read_only = perm.get("name"), perm.get("read_only")
    return (
        name.lower() if isinstance(name, str) else "?",
        read_only if isinstance(read_only, bool) else None,
    )


def _seconds(value: Any) -> datetime | None:
    number = whole_number(value)
    return None if number is None else moment(number * 1000)


def _expiry(
    ips: tuple[str, ...] | None, created_at: datetime | None, now: datetime
) -> datetime | None:
    """Creation + 90 days without addresses. A key that works after that was renewed by a change
    or by use, which is not documented: then its end is not known."""
    if ips != () or created_at is None:
        return None
    ends = created_at + LIFE_WITHOUT_IPS
    return ends if ends > now else None
