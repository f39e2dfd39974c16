"""What a key is judged by: one code for each rule, its title, and the numbers that are the same
for everybody. What staff may change is in Thresholds.

The rules themselves are sets (rule_sets.py), the words about a finding are in rule_words.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .findings import Finding

INFO, WARNING, HIGH, CRITICAL = Finding.Severity

# From so many strategies on, one key under several of them is a warning.
MANY_STRATEGIES = 3
# A key that we read every day does not come near its end; one that rests longer may.
AT_REST = timedelta(days=2)

# What an exchange gives with one tick can only be had together, so none of it is too much.
ONE_TRADING_RIGHT = frozenset({"okx", "htx", "coinbase", "bitget"})  # spot and futures
MARGIN_WITH_TRADING = frozenset({"okx", "htx"})
MARGIN_WITH_SPOT = frozenset({"bingx"})
TRANSFER_WITH_TRADING = frozenset({"okx"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`severities` are those a finding of it may have, the lowest first."""

    code: str
    title: Promise
    severities: tuple[Finding.Severity, ...]


def _catalogue(*rules: Rule) -> Mapping[str, Rule]:
    return {rule.code: rule for rule in rules}


# Codes are never renamed, only added: the database keeps them.
RULES = _catalogue(
    Rule("withdraw_enabled", _("Withdrawal is enabled"), (CRITICAL,)),
    Rule("transfer_enabled", _("Transfers are enabled"), (INFO, HIGH)),
    Rule("no_ip_restriction", _("No IP restriction"), (WARNING,)),
    Rule("ip_restriction_unknown", _("IP restriction unknown"), (INFO,)),
    Rule("unused", _("Unused key"), (WARNING,)),
    Rule("old", _("Old key"), (WARNING, HIGH)),
    Rule("expiring", _("The key expires soon"), (WARNING, HIGH, CRITICAL)),
    Rule("dies_of_inactivity", _("About to be deleted for inactivity"), (WARNING, HIGH, CRITICAL)),
    Rule("same_key_own", _("One key in several connections"), (WARNING,)),
    Rule("same_key_elsewhere", _("The same key in another account"), (HIGH,)),
    Rule("several_strategies", _("One key under several strategies"), (INFO, WARNING)),
    Rule("excess_permissions", _("More rights than its strategies need"), (WARNING,)),
    Rule("failing", _("The connection fails"), (HIGH,)),
    Rule("never_tested", _("Never tested"), (WARNING,)),
    Rule("delisted_pair", _("A pair is not traded any more"), (HIGH,)),
)

# What is read from the key. A failed test that tells nothing of it settles none of these: a key
# that could withdraw before it stopped working is not safe now. Nor does a key not tested yet.
READ_FROM_THE_KEY = (
    "withdraw_enabled",
    "transfer_enabled",
    "no_ip_restriction",
    "ip_restriction_unknown",
    "expiring",
    "dies_of_inactivity",
    "excess_permissions",
)
# What cannot be judged while staff have paused the exchange, since nothing is tested there.
SEEN_BY_TESTS = ("failing", "never_tested")
