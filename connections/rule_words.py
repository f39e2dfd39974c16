"""The sentences of each rule: what was found, why it matters, and what to do, in the exchange's own
terms where it has them (finding_words.py puts them together)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext

from . import exchanges
from .exchanges.lifetimes import LIFETIMES, Lifetime
from .findings import Finding
from .presentation import PERMISSION_LABELS, explain
from .rules import TRANSFER_WITH_TRADING


@dataclass(frozen=True, slots=True)
class Told:
    """A finding and what it is about, as the sentences need it."""

    finding: Finding
    code: str
    strategies: tuple[str, ...]

    @property
    def exchange(self) -> str:
        return exchanges.name_of(self.code)

    def say(self, text: str, **facts: object) -> str:
        return text % {"exchange": self.exchange, **facts}

    def advice_for(self, problem: str) -> tuple[str, ...]:
        """What to do about a problem, in the exchange's own menu names."""
        return explain(problem, self.code).advice

    @property
    def names(self) -> str:
        return ", ".join(self.strategies)

    @property
    def lifetime(self) -> Lifetime:
        return LIFETIMES.get(self.code, Lifetime("not known"))

    @property
    def day(self) -> str:
        return _said(self.finding.until, "j M Y")

    @property
    def moment(self) -> str:
        return _said(self.finding.until, "j M Y, H:i T")


Said = tuple[str, tuple[str, ...]]  # what was found; what to do


def _said(moment: datetime | None, form: str) -> str:
    return date_format(localtime(moment), form) if moment else gettext("an unknown date")


def _at_risk(told: Told) -> str:
    """The strategies that stop with the key; "" when there are none."""
    if told.strategies:
        said = gettext("Strategies that would stop: %(names)s.")
        return " " + told.say(said, names=told.names)
    if told.finding.amount:
        said = ngettext(
            "%(count)d enabled strategy would stop.",
            "%(count)d enabled strategies would stop.",
            told.finding.amount,
        )
        return " " + told.say(said, count=told.finding.amount)
    return ""


def _withdraw_enabled(told: Told) -> Said:
    what = gettext(
        "The key may withdraw funds from %(exchange)s. Whoever gets hold of it could empty the "
        "account. No strategy may use it."
    )
    return told.say(what), told.advice_for("withdrawal_enabled")


def _transfer_enabled(told: Told) -> Said:
    if told.code in TRANSFER_WITH_TRADING:
        what = gettext(
            "The key may move funds between your own accounts at %(exchange)s. There this right "
            "comes with the right to trade and cannot be switched off alone."
        )
        advice = gettext(
            "Nothing needs to be done. To keep other funds out of its reach, use a sub-account "
            "of its own for BackFuture."
        )
        return told.say(what), (advice,)
    what = gettext(
        "The key may move funds between accounts at %(exchange)s. No strategy needs that right."
    )
    return told.say(what), (
        told.say(gettext("Open the key at %(exchange)s and switch the transfer right off.")),
        gettext("Keep reading and trading on, and withdrawal off. Save and test again."),
    )


def _no_ip_restriction(told: Told) -> Said:
    what = [explain("no_ip_restriction", told.code).cause]
    if told.lifetime.days:
        ends = gettext("%(exchange)s lets such a key expire %(days)d days after it was made.")
        what.append(told.say(ends, days=told.lifetime.days))
    elif told.lifetime.idle_days:
        # Some exchanges' own words say the rule already.
        if "no_ip_restriction" not in exchanges.EXCHANGES[told.code].words:
            what.append(_idle_rule(told))
        what.append(_reading_as_use(told))
    return " ".join(what), told.advice_for("ip_not_allowed")


def _idle_rule(told: Told) -> str:
    said = gettext(
        "At %(exchange)s, a key that may trade and has no IP restriction stops working after "
        "%(days)d days without use."
    )
    return told.say(said, days=told.lifetime.idle_days)


def _reading_as_use(told: Told) -> str:
    said = gettext("We take our daily test as use; %(exchange)s does not confirm that it is.")
    return told.say(said)


def _ip_restriction_unknown(told: Told) -> Said:
    said = explain("ip_restriction_unknown", told.code)
    return said.cause, said.advice


def _unused(told: Told) -> Said:
    what = gettext(
        "No strategy is enabled on this connection, and nobody has used its key since %(day)s. "
        "A key that nobody needs can only be stolen."
    )
    return told.say(what, day=told.day), (
        told.say(gettext("If you no longer need it, delete the key at %(exchange)s.")),
        gettext("Then delete the connection here."),
        gettext("If you still need it, enable a strategy on it, or test it now."),
    )


def _old(told: Told) -> Said:
    if told.finding.detail == "entered":
        what = gettext(
            "The key is in use here since %(day)s and may be older: %(exchange)s does not tell us "
            "when it was made. The longer a key lives, the more places may have seen it."
        )
    else:
        what = gettext(
            "The key was made at %(exchange)s on %(day)s. The longer a key lives, the more places "
            "may have seen it."
        )
    return told.say(what, day=told.day), _a_new_key(told)


def _a_new_key(told: Told) -> tuple[str, ...]:
    return (
        told.say(gettext("Create a new key at %(exchange)s, restricted to our IP addresses.")),
        gettext("Replace the key here. The connection, its history and its strategies stay."),
        told.say(gettext("When the new key is in use, delete the old one at %(exchange)s.")),
    )


def _expiring(told: Told) -> Said:
    if told.finding.detail == "computed" and told.lifetime.days:
        what = gettext(
            "A key without IP restriction lives %(days)d days at %(exchange)s. By our count, this "
            "one lives until %(moment)s at the latest. After that it stops working, whatever "
            "positions are open."
        )
        said = told.say(what, days=told.lifetime.days, moment=told.moment)
    else:
        what = gettext(
            "%(exchange)s lets this key live until %(moment)s. After that it stops working, "
            "whatever positions are open."
        )
        said = told.say(what, moment=told.moment)
    return said + _at_risk(told), _a_new_key(told)


def _dies_of_inactivity(told: Told) -> Said:
    what = gettext("Nothing uses the key at the moment. It may be deleted from %(moment)s on.")
    said = [told.say(what, moment=told.moment)]
    if told.lifetime.idle_days:
        said += [_idle_rule(told), _reading_as_use(told)]
    return " ".join(said) + _at_risk(told), (
        gettext("If the connection is paused, resume it; if it fails, mend what its page names."),
        gettext("Then test it. A test that passes starts the count anew."),
        *told.advice_for("ip_not_allowed")[:2],
    )


def _same_key_own(told: Told) -> Said:
    what = ngettext(
        "%(count)d other connection of the same owner uses this key. Whatever goes wrong with it "
        "stops both.",
        "%(count)d other connections of the same owner use this key. Whatever goes wrong with it "
        "stops all of them.",
        told.finding.amount,
    )
    return told.say(what, count=told.finding.amount), (
        told.say(gettext("Create a key of its own at %(exchange)s for each connection.")),
        gettext("Replace the key here, or delete the connection that is not needed."),
    )


def _same_key_elsewhere(told: Told) -> Said:
    what = gettext(
        "Somebody else has connected the same key to BackFuture. Either you have an account here "
        "under another address, or someone else knows your key and its secret."
    )
    return told.say(what), (
        told.say(gettext("If you cannot explain it, delete the key at %(exchange)s at once.")),
        gettext("Change your password there and look through its list of sign-ins."),
        gettext("Create a new key and replace it here. Give it to nobody."),
    )


def _several_strategies(told: Told) -> Said:
    what = ngettext(
        "%(count)d strategy is enabled on this one key.",
        "%(count)d strategies are enabled on this one key.",
        told.finding.amount,
    )
    said = [told.say(what, count=told.finding.amount)]
    if told.strategies:
        said.append(told.say(gettext("They are: %(names)s."), names=told.names))
    said.append(gettext("They share its limits and its margin, and stop together when it expires."))
    return " ".join(said), (
        told.say(gettext("Create a separate key at %(exchange)s, best in a sub-account.")),
        gettext("Add it here as a connection of its own and move one strategy to it."),
    )


def _excess_permissions(told: Told) -> Said:
    rights = [str(PERMISSION_LABELS.get(code, code)) for code in told.finding.detail.split(",")]
    what = gettext(
        "No strategy that is enabled on this connection needs these rights of its key: %(rights)s."
    )
    return told.say(what, rights=", ".join(rights)), (
        told.say(gettext("Open the key at %(exchange)s and switch these rights off.")),
        gettext("Keep reading on, and the trading right that the strategies need."),
        gettext("Save and test again. If they cannot be switched off, create a new key."),
    )


def _failing(told: Told) -> Said:
    problem = explain(told.finding.detail, told.code)
    what = gettext(
        "The tests of this connection have failed since %(moment)s: %(problem)s. %(cause)s"
    )
    said = told.say(what, moment=told.moment, problem=problem.title, cause=problem.cause)
    if told.strategies:
        standing = gettext("Strategies that cannot run: %(names)s.")
        said += " " + told.say(standing, names=told.names)
    return said, problem.advice


def _never_tested(told: Told) -> Said:
    what = gettext(
        "The connection was added on %(day)s and no test of its key has ended since. So nothing "
        "is known about the key, not even whether it may withdraw."
    )
    return told.say(what, day=told.day), (
        gettext("Press Test now on the connection's page."),
        gettext("If no test ends, tell our support: the workers may stand still."),
    )


def _delisted_pair(told: Told) -> Said:
    what = ngettext(
        "%(exchange)s does not trade %(count)d pair of an enabled strategy at present: %(pairs)s. "
        "It was taken off the list or halted.",
        "%(exchange)s does not trade %(count)d pairs of enabled strategies at present, among them "
        "%(pairs)s. They were taken off the list or halted.",
        told.finding.amount,
    )
    pairs = told.finding.detail.replace(",", ", ")
    said = [told.say(what, count=told.finding.amount, pairs=pairs)]
    said.append(gettext("No order is placed there, and what is open may be closed by force."))
    return " ".join(said), (
        told.say(gettext("Look at %(exchange)s for positions and orders in it, and close them.")),
        gettext("Then take the pair out of the strategy, or switch the strategy off."),
        gettext("If trading goes on there, this finding resolves itself within a day."),
    )


SAY: dict[str, Callable[[Told], Said]] = {
    "withdraw_enabled": _withdraw_enabled,
    "transfer_enabled": _transfer_enabled,
    "no_ip_restriction": _no_ip_restriction,
    "ip_restriction_unknown": _ip_restriction_unknown,
    "unused": _unused,
    "old": _old,
    "expiring": _expiring,
    "dies_of_inactivity": _dies_of_inactivity,
    "same_key_own": _same_key_own,
    "same_key_elsewhere": _same_key_elsewhere,
    "several_strategies": _several_strategies,
    "excess_permissions": _excess_permissions,
    "failing": _failing,
    "never_tested": _never_tested,
    "delisted_pair": _delisted_pair,
}
