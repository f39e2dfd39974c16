"""The rules as sets: over all connections at once, or a few of them, always in one statement.

The rules are conditions over what is known of each connection (rule_facts.py) and over the moments
that the thresholds come to (`moments`), plain enough for any database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .models import Thresholds
from .rules import AT_REST, CRITICAL, HIGH, INFO, MANY_STRATEGIES, WARNING


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A rule in SQL: the connections it finds, and what is noted of each. `source` is "known" (the
    columns of `facts`, `running` and `delisted`) or "same" (keys that are used twice)."""

    code: str
    severity: int | str
    where: str
    until: str = "no_date"
    amount: int | str = 0
    detail: str = "''"
    source: str = "known"


def _nearness(date: str) -> str:
    return (
        f"CASE WHEN {date} <= last_notice THEN {CRITICAL} WHEN {date} <= second_notice THEN {HIGH}"
        f" ELSE {WARNING} END"
    )


EXCESS = {
    "spot_trade": "(excess_spot AND spot = 0)",
    "futures_trade": "(excess_futures AND futures = 0)",
    "margin": "(excess_margin AND NOT (margin_with_spot AND spot > 0))",
}

# The first and the last by name, as far as there is room.
GONE_NAMES = (
    "CASE WHEN gone_first = gone_last OR LENGTH(gone_first) + LENGTH(gone_last) > 99"
    " THEN gone_first ELSE gone_first || ',' || gone_last END"
)

RULE_SETS = (
    RuleSet("withdraw_enabled", CRITICAL, "may_withdraw OR refused"),
    RuleSet(
        "transfer_enabled",
        f"CASE WHEN transfer_comes_along THEN {INFO} ELSE {HIGH} END",
        "may_transfer",
    ),
    RuleSet("no_ip_restriction", WARNING, "any_ip"),
    RuleSet("ip_restriction_unknown", INFO, "ip_unknown"),
    RuleSet(
        "unused",
        WARNING,
        "strategies = 0 AND used_at <= unused",
        until="used_at",
    ),
    RuleSet(
        "old",
        f"CASE WHEN made_at <= very_old THEN {HIGH} ELSE {WARNING} END",
        "made_at <= old",
        until="made_at",
        detail="made_from",
    ),
    RuleSet(
        "expiring",
        _nearness("ends_at"),
        "ends_at <= first_notice",
        until="ends_at",
        detail="ends_from",
    ),
    RuleSet(
        "dies_of_inactivity",
        _nearness("dies_at"),
        "dies_at <= first_notice AND rested_at <= at_rest",
        until="dies_at",
        amount="strategies",
    ),
    RuleSet("same_key_own", WARNING, "same_own > 0", amount="same_own", source="same"),
    RuleSet("same_key_elsewhere", HIGH, "same_elsewhere > 0", source="same"),
    RuleSet(
        "several_strategies",
        f"CASE WHEN strategies >= {MANY_STRATEGIES} THEN {WARNING} ELSE {INFO} END",
        "strategies > 1",
        amount="strategies",
    ),
    RuleSet(
        "excess_permissions",
        WARNING,
        f"strategies > 0 AND ({' OR '.join(EXCESS.values())})",
        detail="SUBSTR({}, 2)".format(
            " || ".join(
                f"CASE WHEN {true} THEN ',{right}' ELSE '' END" for right, true in EXCESS.items()
            )
        ),
    ),
    RuleSet(
        "failing",
        HIGH,
        "tested AND NOT refused AND failing_from <= failing",
        until="failing_from",
        detail="trouble",
    ),
    RuleSet(
        "never_tested",
        WARNING,
        "tested AND last_test IS NULL AND added_at <= waiting",
        until="added_at",
    ),
    RuleSet("delisted_pair", HIGH, "gone > 0", amount="gone", detail=GONE_NAMES),
)


def moments(now: datetime, limits: Thresholds) -> dict[str, datetime]:
    """What has happened by then, or ends by then, is late."""
    return {
        "unused": now - timedelta(days=limits.unused_days),
        "old": now - timedelta(days=limits.old_days),
        "very_old": now - timedelta(days=limits.very_old_days),
        "at_rest": now - AT_REST,
        "failing": now - timedelta(hours=limits.failing_hours),
        "waiting": now - timedelta(hours=limits.never_tested_hours),
        "first_notice": now + timedelta(days=limits.expiry_first_days),
        "second_notice": now + timedelta(days=limits.expiry_second_days),
        "last_notice": now + timedelta(days=limits.expiry_last_days),
    }
