"""Everything that can be said about a key, as codes. The database keeps the code; the words
live here, and an exchange's own file may say them in that exchange's menu names.

Ground floor: standard library alone. Words are marked for translation and translated where
they are shown, before the facts in braces are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


def gettext_noop(text: str) -> str:
    """Marks a text for translation (the name is what `makemessages` looks for)."""
    return text


_ = gettext_noop


@dataclass(frozen=True, slots=True)
class Problem:
    """What happened, why, and what to do. Texts may use {exchange}, {ip} and {server_ips}."""

    code: str
    title: str
    cause: str
    advice: tuple[str, ...]
    may_pass: bool = False  # waiting may help: tested again without the user


@dataclass(frozen=True, slots=True)
class Words:
    """How one exchange says a problem; what is empty keeps the catalogue's own words."""

    title: str = ""
    cause: str = ""
    advice: tuple[str, ...] = ()

    def over(self, problem: Problem) -> Problem:
        return replace(
            problem,
            title=self.title or problem.title,
            cause=self.cause or problem.cause,
            advice=self.advice or problem.advice,
        )


def _catalogue(*problems: Problem) -> Mapping[str, Problem]:
    return {problem.code: problem for problem in problems}


# What a failed test can say. Codes are never renamed, only added.
PROBLEMS = _catalogue(
    Problem(
        "invalid_key",
        _("Invalid API key"),
        _("{exchange} does not know this API key."),
        (
            _("Copy the API key again from {exchange}, whole and without spaces."),
            _("If it is no longer listed there, create a new key and replace it here."),
        ),
    ),
    Problem(
        "bad_secret",
        _("The secret does not match the API key"),
        _("{exchange} knows the API key, but the signature made with this secret is wrong."),
        (
            _("Enter API key and secret again; both must come from the same key."),
            _("{exchange} shows a secret once only. If you no longer have it, create a new key."),
        ),
    ),
    Problem(
        "bad_passphrase",
        _("Wrong passphrase"),
        _("{exchange} did not accept the passphrase of this API key."),
        (
            _(
                "Enter the passphrase you chose when you created this API key. "
                "It is not your login or trading password."
            ),
            _("It cannot be read or changed later: if you no longer know it, create a new key."),
        ),
    ),
    Problem(
        "ip_not_allowed",
        _("IP not allowed"),
        _("The key's IP list at {exchange} lacks our server."),
        (
            _("Open the key at {exchange} and edit its IP list."),
            _("Add our addresses: {server_ips}"),
            _("Save, wait a minute, and test again."),
        ),
    ),
    Problem(
        "no_permission",
        _("No trading permission"),
        _("The key works, but a right that strategies need is switched off."),
        (
            _("Open the key at {exchange} and enable reading and trading."),
            _("Keep withdrawal off."),
            _("Save and test again."),
        ),
    ),
    Problem(
        "key_expired",
        _("The API key has expired"),
        _("{exchange} says that the validity of this key has ended."),
        (
            _("Create a new key at {exchange}, restricted to our IP addresses where it can be."),
            _("Replace the key here. The connection and its history stay."),
        ),
    ),
    Problem(
        "key_disabled",
        _("The key or the account is blocked"),
        _("{exchange} has disabled this key, or the account it belongs to."),
        (
            _("Sign in at {exchange} and look for a notice about your account or this key."),
            _("Ask {exchange}'s support if there is none. BackFuture cannot lift this."),
        ),
    ),
    Problem(
        "clock_skew",
        _("The clocks do not agree"),
        _("Our server's clock and {exchange}'s differ by more than {exchange} accepts."),
        (
            _("There is nothing wrong with your key and nothing for you to do."),
            _("We test again by ourselves."),
        ),
        may_pass=True,
    ),
    Problem(
        "rate_limited",
        _("Too many requests"),
        _("{exchange} asks us to slow down."),
        (_("Wait a few minutes. We test again by ourselves."),),
        may_pass=True,
    ),
    Problem(
        "unavailable",
        _("Exchange unavailable"),
        _("{exchange}'s API does not answer at the moment. This says nothing about your key."),
        (_("Nothing for you to do. We test again by ourselves; you can also test again now."),),
        may_pass=True,
    ),
    Problem(
        "restricted",
        _("Not available from here"),
        _("{exchange} refuses this for reasons of region, product or account type."),
        (
            _("Check at {exchange} whether your account may use the API for this product."),
            _("If your account is of another site of {exchange}, use an account of the main one."),
        ),
    ),
    Problem(
        "ambiguous",
        _("{exchange} refused the key and gave no single reason"),
        _("Its answer has more than one possible cause. Its test lists them in order."),
        (),
    ),
    Problem(
        "unexpected",
        _("An answer we have not seen before"),
        _("{exchange} answered in a way we cannot interpret, so we claim nothing about your key."),
        (
            _("Test again in a few minutes."),
            _("If it stays, send the support code below to our support. It holds no secret."),
        ),
    ),
    # Ours, not the exchange's.
    Problem(
        "sealed_unreadable",
        _("The stored key cannot be opened"),
        _("The sealed key of this connection is damaged, or its vault key is missing."),
        (
            _("Replace the key: enter API key and secret again."),
            _("Nothing can be read from the damaged value, by anyone."),
        ),
    ),
    Problem(
        "key_destroyed",
        _("The key was destroyed here"),
        _("Keys may have leaked, so BackFuture destroyed its copy. It still works at {exchange}."),
        (
            _("Delete the key at {exchange} now. Do not wait, even if it seems untouched."),
            _("Look there for orders and withdrawals that are not yours."),
            _("Create a new key and replace it here: settings and strategies are kept."),
        ),
    ),
    Problem(
        "different_account",
        _("The new key belongs to another account"),
        _("This connection's history and strategies belong to the account of its first key."),
        (
            _("Create the new key in the same {exchange} account as the old one."),
            _("To connect another account, add a new connection."),
        ),
    ),
    Problem(
        "strategies_need_more",
        _("The new key lacks a right that your strategies need"),
        _(
            "A strategy that is switched on here trades on a market for which this key is not "
            "proven ready. So nothing was changed: the old key stays in use."
        ),
        (
            _("Open the new key at {exchange} and enable trading on the markets you use."),
            _("Or switch off the strategies on the market that the key is not for."),
            _("Then test again."),
        ),
    ),
    Problem(
        "strategies_need_ips",
        _("The new key is not restricted to IP addresses"),
        _(
            "Strategies run only on keys restricted to IP addresses here, and one is switched on. "
            "So nothing was changed: the old key stays in use."
        ),
        (
            _("Open the new key at {exchange} and restrict it to our addresses: {server_ips}"),
            _("Save, wait a minute, and test again."),
        ),
    ),
)

# A key that may withdraw is refused, however well it works otherwise.
REFUSED = Problem(
    "withdrawal_enabled",
    _("Refused: withdrawal is enabled"),
    _("This key may withdraw funds. BackFuture never accepts such a key; no strategy may use it."),
    (
        _("Open the key at {exchange} and switch the withdrawal right off."),
        _("Save and test again. If it cannot be switched off, delete the key and make a new one."),
    ),
)

# What a working key is warned about.
WARNINGS = _catalogue(
    Problem(
        "no_ip_restriction",
        _("No IP restriction"),
        _("The key works from any address. Whoever gets hold of it could trade with it."),
        (_("Restrict the key at {exchange} to our addresses: {server_ips}"),),
    ),
    Problem(
        "ip_restriction_unknown",
        _("IP restriction unknown"),
        _("{exchange} does not tell us whether this key is restricted to IP addresses."),
        (_("Look at {exchange} and restrict it to our addresses: {server_ips}"),),
    ),
    Problem(
        "withdraw_unknown",
        _("Withdrawal right unknown"),
        _("{exchange} does not tell us whether this key may withdraw."),
        (_("Look at {exchange} and make sure that withdrawal is off."),),
    ),
    Problem(
        "trade_unknown",
        _("Trading right unknown"),
        _("{exchange} does not tell us whether this key may trade."),
        (_("Look at {exchange} and make sure that trading is on."),),
    ),
    Problem(
        "account_unknown",
        _("Account of the new key unknown"),
        _("{exchange} did not tell whose key this is, so it was not compared with the old one."),
        (_("Make sure that the new key is of the same {exchange} account as the old one."),),
    ),
    Problem(
        "expires_soon",
        _("The key expires soon"),
        _("After that date the key stops working, with your positions open."),
        (_("Create a new key at {exchange} and replace it here before that date."),),
    ),
)


ALL = {**PROBLEMS, REFUSED.code: REFUSED, **WARNINGS}


def may_pass(code: str) -> bool:
    """Whether waiting may make this problem go away. Retry is decided here and nowhere else."""
    return code in PROBLEMS and PROBLEMS[code].may_pass


MAY_PASS = tuple(filter(may_pass, PROBLEMS))
