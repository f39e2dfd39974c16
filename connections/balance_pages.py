"""The balances of a test as its page shows them: by account, and what is not known said so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.utils.text import get_text_list
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .balances import Purse, purses
from .exchanges.base import Permissions
from .models import Connection, ConnectionTest

TITLES: Final[dict[tuple[str, ...], Any]] = {
    ("spot",): _("Spot account"),
    ("futures",): _("Futures account"),
    ("spot", "futures"): _("Unified account: spot and futures"),
}
UNREAD: Final = {
    "spot": _("The spot account's balance is not known."),
    "futures": _("The futures account's balance is not known."),
}
NAMED = 3  # so many currencies are named, more are not


@dataclass(frozen=True, slots=True)
class AccountLines:
    title: Any
    note: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Balances:
    """`unread` says of which accounts nothing is known that the key may trade from."""

    accounts: list[AccountLines]
    unread: list[Any]

    @property
    def count(self) -> int:
        return sum(len(account.rows) for account in self.accounts)


def balances_of(test: ConnectionTest) -> Balances:
    found = purses(test)
    read = {market for purse in found for market in purse.markets}
    works = test.outcome in Connection.WORKING
    ready = Permissions.from_stored(test.permissions).ready_for if works else ()
    unread = [UNREAD[market] for market in ready if market not in read]
    return Balances([*map(_lines, found), *_others(test.balances)], unread)


def _lines(purse: Purse) -> AccountLines:
    return AccountLines(TITLES[purse.markets], _note(purse), list(purse.rows))


def _note(purse: Purse) -> str:
    if purse.currencies is None:
        return "" if purse.rows else gettext("Nothing in it.")
    if len(purse.currencies) > NAMED:
        return gettext("There are more currencies in it than are kept with a test.")
    names = {"currencies": get_text_list(list(purse.currencies), gettext("and"))}
    if purse.rows:
        return gettext("Only %(currencies)s was read.") % names
    return gettext("No %(currencies)s in it. Nothing else was read.") % names


def _others(rows: Iterable[dict[str, Any]]) -> list[AccountLines]:
    """Amounts that pay for no trade, and those of tests that did not say whose they are."""
    spare = [row for row in rows if row.get("markets") == []]
    old = [row for row in rows if "markets" not in row]
    found = [
        AccountLines(gettext("Other accounts"), gettext("Not known to pay for trades."), spare),
        AccountLines(gettext("Account not known"), "", old),
    ]
    return [lines for lines in found if lines.rows]
