"""What BingX tells of a key. Three endpoints do, and neither documents nor live answers agree on
their shapes: rights as numbers or as flags, some with addresses, some with a creation date. Each
answer is read as either, and what two of them contradict each other about is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from .base import Call, KeyFacts, Known, Permissions
from .reading import moment, permissions_from, short_text, whole_number

Anything = TypeVar("Anything")

# Number on a key -> the right it gives; "" is a number no rule asks about. 6 is not documented.
NUMBERS: Final = {
    1: "spot_trade",
    2: "read",
    3: "futures_trade",
    4: "transfer",
    5: "withdraw",
    7: "",  # transfers of sub-accounts
}
FLAGS: Final = {
    "enableReading": ("read",),
    "enableSpotAndMarginTrading": ("spot_trade", "margin"),
    "enableFutures": ("futures_trade",),
    "permitsUniversalTransfer": ("transfer",),
    "enableWithdrawals": ("withdraw",),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer says about a key; None and "" where it says nothing."""

    permissions: Permissions = field(default_factory=Permissions)
    ip_restricted: Known = None
    ips: tuple[str, ...] = ()
    created_at: datetime | None = None
    label: str = ""

    @property
    def anything(self) -> bool:
        return bool(self.permissions.evidence)


def told_by(call: Call, data: Any) -> Told:
    if not isinstance(data, Mapping):
        return Told()
    ips = _addresses(data.get("ipAddresses"))
    flag = data.get("ipRestrict")
    return Told(
        permissions=_agreed_rights([_by_numbers(call, data), _by_flags(call, data)]),
        ip_restricted=_agreed([flag if isinstance(flag, bool) else None, _bound(ips)]),
        ips=ips or (),
        created_at=moment(data.get("createTime")),
        label=short_text(data.get("note"), 100),
    )


def agreed(told: Sequence[Told], uid: str = "") -> KeyFacts:
    """All of it together."""
    return KeyFacts(
        permissions=_agreed_rights([each.permissions for each in told]),
        ip_restricted=_agreed([each.ip_restricted for each in told]),
        ips=_first(each.ips for each in told) or (),
        created_at=_first(each.created_at for each in told),
        uid=uid,
        label=_first(each.label for each in told) or "",
    )


def own_row(data: Mapping[str, Any], api_key: str) -> Mapping[str, Any] | None:
    """The own key in a list that may hold others. Keys are shown with their middle masked, so
    that two may look alike: then none is it."""
    rows = data.get("apiInfos", data.get("apiKeyList"))
    own = [
        row
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and _may_be(row.get("apiKey"), api_key)
    ]
    return own[0] if len(own) == 1 else None


def _may_be(shown: Any, api_key: str) -> bool:
    if not isinstance(shown, str):
        return False
    masked = re.fullmatch(r"([^*]{2,})\*+([^*]{2,})", shown)
    if masked:
        return api_key.startswith(masked[1]) and api_key.endswith(masked[2])
    return shown == api_key


def _by_numbers(call: Call, data: Mapping[str, Any]) -> Permissions:
    listed = data.get("permissions")
    if not isinstance(listed, list):
        return Permissions()
    numbers = [whole_number(each) for each in listed]  # seen as numbers and as text
    granted = {NUMBERS[each]: str(each) for each in numbers if each in NUMBERS}
    granted.pop("", None)
    unknown = [str(raw) for raw, each in zip(listed, numbers, strict=True) if each not in NUMBERS]
    words = [str(each) for each in numbers]
    read = permissions_from(granted, words, unknown, call)
    values = {**read.as_dict(), "margin": None}  # no number is documented to say
    return Permissions.of(values, {**read.evidence, "margin": f"{call}: not told"})


def _by_flags(call: Call, data: Mapping[str, Any]) -> Permissions:
    values: dict[str, Known] = {}
    evidence: dict[str, str] = {}
    for flag, rights in FLAGS.items():
        value = data.get(flag)
        if isinstance(value, bool):
            values |= dict.fromkeys(rights, value)
            evidence |= dict.fromkeys(rights, f"{call}: {flag} {str(value).lower()}")
    return Permissions.of(values, evidence)


def _agreed_rights(read: Sequence[Permissions]) -> Permissions:
    """A "yes" to withdrawing stands against any "no"; elsewhere a contradiction is unknown."""
    values = {name: _agreed([getattr(each, name) for each in read]) for name in Permissions.NAMES}
    if any(each.withdraw for each in read):
        values["withdraw"] = True
    evidence = {}
    for name in Permissions.NAMES:
        said = dict.fromkeys(each.evidence[name] for each in read if name in each.evidence)
        if said:
            evidence[name] = "; ".join(said)
    return Permissions.of(values, evidence)


def _agreed(values: Iterable[Known]) -> Known:
    said = {value for value in values if value is not None}
    return said.pop() if len(said) == 1 else None


def _addresses(value: Any) -> tuple[str, ...] | None:
    """A list with one empty text is how BingX says "none"; an empty list is not documented."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(each, str) for each in value):
        return None
    return tuple(short_text(each.strip()) for each in value if each.strip())


def _bound(ips: tuple[str, ...] | None) -> Known:
    return None if ips is None else bool(ips)


def _first(values: Iterable[Anything]) -> Anything | None:
    return next((value for value in values if value), None)
