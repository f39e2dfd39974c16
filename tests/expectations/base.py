"""What is expected of one exchange's file, where it is not the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connections.exchanges.problems import PROBLEMS

# Method, path, status, body of an answer that goes with a recorded one.
Served = tuple[str, str, int, Any]


@dataclass(frozen=True)
class Expectations:
    """`scenarios` overrides SCENARIOS below by the name of a sample key's scenario: outcome and
    problem. `not_asked` names recorded answers that no call of the test can meet, and why.
    `argued` names those we read in another way than their `meaning`, and why. `beside` gives
    further answers while one is replayed. `test_orders` are POST calls that the exchange itself
    documents as changing nothing. `about` names the API key that a recorded answer tells of, where
    the key must be found in it; `unrecorded` the facts we read beyond an answer's record."""

    host: str
    scenarios: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    not_asked: Mapping[str, str] = field(default_factory=dict)
    argued: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    beside: Mapping[str, tuple[Served, ...]] = field(default_factory=dict)
    test_orders: frozenset[tuple[str, str]] = frozenset()
    about: Mapping[str, str] = field(default_factory=dict)
    unrecorded: Mapping[str, frozenset[str]] = field(default_factory=dict)


# Scenario -> outcome and problem, for every exchange that says nothing else.
SCENARIOS: dict[str, tuple[str, str]] = {
    "good": ("connected", ""),
    "good_futures": ("connected", ""),
    "twin_good": ("connected", ""),
    "other_account": ("connected", ""),
    "no_ip": ("warnings", ""),
    "expiring": ("warnings", ""),
    "unknown_word": ("warnings", ""),
    "fallback": ("warnings", ""),
    "withdraw": ("refused", ""),
    "read_only": ("failed", "no_permission"),
    "wrong_ip": ("failed", "ip_not_allowed"),
    "wrong_passphrase": ("failed", "bad_passphrase"),
    "wrong_secret": ("failed", "bad_secret"),
    "deleted": ("failed", "invalid_key"),
    "expired": ("failed", "key_expired"),
    "disabled": ("failed", "key_disabled"),
    "restricted": ("failed", "restricted"),
    "down": ("failed", "unavailable"),
    "rate_limited": ("failed", "rate_limited"),
    "clock": ("failed", "clock_skew"),
    "hang": ("failed", "unavailable"),
    "drip": ("failed", "unavailable"),
    "header_drip": ("failed", "unavailable"),
    "waf": ("failed", "ambiguous"),
    "garbage": ("failed", "unexpected"),
    "html": ("failed", "unexpected"),
    "huge": ("failed", "unexpected"),
    "gzip_bomb": ("failed", "unexpected"),
    "redirect": ("failed", "unexpected"),
    "deep": ("failed", "unexpected"),
    "nan": ("failed", "unexpected"),
    "empty": ("failed", "unexpected"),
    "binary": ("failed", "unexpected"),
    "wrong_shape": ("failed", "unexpected"),
}

# What an exchange's answer can mean; the other problems are of what stands in the database.
PROBLEMS_OF_KEYS = set(PROBLEMS) - {
    "sealed_unreadable",
    "key_destroyed",
    "different_account",
    "strategies_need_more",
    "strategies_need_ips",
}
