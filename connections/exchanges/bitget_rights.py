"""What a Bitget key tells of itself: classic authority codes, or unified words and `permType`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .base import Call, KeyFacts, Permissions
from .reading import permissions_from, short_text, whole_number, words_of

# Word on a key -> the rights it gives; an empty tuple is a word no rule asks about.
CLASSIC: dict[str, tuple[str, ...]] = {
    "stor": ("read",),
    "coor": ("read",),
    "cpor": ("read",),
    "stow": ("read", "spot_trade"),
    "coow": ("read", "futures_trade"),
    "cpow": ("read",),  # positions; orders are coow
    "smow": ("margin",),
    "wtow": ("transfer",),
    "wwow": ("withdraw",),
    **dict.fromkeys(("smor", "ttor", "ttow", "wtor", "taxr", "taxw", "chor", "chow"), ()),
    **dict.fromkeys(("p2pr", "p2p", "p2pw", "pllr", "pllw"), ()),
}
# Spot and futures are one right here.
UNIFIED: dict[str, tuple[str, ...]] = {
    "uta_mgt": ("read",),
    "uta_trade": ("read", "spot_trade", "futures_trade"),
    "withdraw": ("withdraw",),
    "copy_futures_position": (),
    "copy_futures_order": (),
}
READS, WRITES = "read-only", "read-and-write"
TRADES = ("spot_trade", "futures_trade")
WORDLESS = ("margin", "transfer")  # rights that have no word of their own on a unified key


def classic_facts(data: Mapping[str, Any], call: Call) -> KeyFacts:
    words = _words(data["authorities"])
    unknown = [word for word in words if word.lower() not in CLASSIC]
    return _facts(data, permissions_from(_granted(words, CLASSIC), words, unknown, call))


def unified_facts(data: Mapping[str, Any], call: Call) -> KeyFacts:
    """The words say what a key may touch, `permType` whether it may change it. That one has
    hyphens in the documents and underscores in live answers."""
    words = _words(data["permissions"])
    kind = short_text(data.get("permType"), 30).strip().lower().replace("_", "-")
    granted = _granted(words, UNIFIED)
    unknown = [word for word in words if word.lower() not in UNIFIED]
    if kind not in {READS, WRITES}:
        unknown.append(f"permType {kind or '?'}")
    if kind != WRITES:
        granted = {right: word for right, word in granted.items() if right not in TRADES}
    may = permissions_from(granted, words, unknown, call)
    evidence = {**may.evidence, **dict.fromkeys(WORDLESS, f"{call}: not told")}
    if kind == READS:
        evidence |= dict.fromkeys(TRADES, f"{call}: permType {kind}")
        may = replace(may, spot_trade=False, futures_trade=False)
    return _facts(data, replace(may, margin=None, transfer=None, evidence=evidence))


def _words(listed: Iterable[Any]) -> list[str]:
    """What is no text stays in the list, as a word that nobody knows."""
    return [word if isinstance(word, str) else "?" for word in listed]


def _granted(words: Iterable[str], table: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    granted: dict[str, str] = {}
    for word in words:
        rights = table.get(word.lower(), ())
        if "withdraw" in word.lower():
            rights = ("withdraw",)  # whatever else the word says, it says this: stay safe
        for right in rights:
            granted.setdefault(right, word)
    return granted


def _facts(data: Mapping[str, Any], permissions: Permissions) -> KeyFacts:
    """No date is the key's: `regisTime` is when the account was made."""
    listed = data.get("ips")
    ips = tuple(filter(None, map(short_text, listed))) if isinstance(listed, list) else None
    ips = words_of(listed) if ips is None else ips
    number = whole_number(data.get("userId")) or whole_number(data.get("uid"))
    return KeyFacts(
        permissions=permissions,
        ip_restricted=None if ips is None else bool(ips),
        ips=ips or (),
        uid=str(number or ""),
    )
