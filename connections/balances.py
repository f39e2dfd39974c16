"""What a test found on the accounts that trades are paid from.

A test keeps the accounts it read (`balances_of`: their markets, and of which currencies the
amount is known, null for all) and what is on them (`balances`, each row with its account's
markets). A row with no markets belongs to an account that pays for no trade. Tests of before have
rows without markets and no accounts: of them nothing is known, for either market.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final

from .models import ConnectionTest

AMOUNT: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
EXACT: Final = Context(prec=100)  # what is added here is never rounded


@dataclass(frozen=True, slots=True)
class Purse:
    """One account as a test read it. `markets` are those it pays for: both on a unified account,
    whose money is there once and not for each of them. `currencies` None: all are known."""

    markets: tuple[str, ...]
    currencies: tuple[str, ...] | None
    rows: tuple[dict[str, Any], ...]

    def total(self, currency: str) -> Decimal | None:
        """Free and in use together; None where that currency is not known."""
        if self.currencies is not None and currency not in self.currencies:
            return None
        whole = Decimal()
        for row in self.rows:
            if row["currency"] == currency:
                whole = EXACT.add(whole, _amount(row))
        return whole


def purses(test: ConnectionTest) -> list[Purse]:
    """The accounts that pay for trades and were read, in the order of reading."""
    return [_purse(test, account) for account in test.balances_of]


def _purse(test: ConnectionTest, account: dict[str, Any]) -> Purse:
    markets, currencies = account["markets"], account["currencies"]
    rows = tuple(row for row in test.balances if row.get("markets") == markets)
    return Purse(tuple(markets), None if currencies is None else tuple(currencies), rows)


def _amount(row: dict[str, Any]) -> Decimal:
    """Zero where it cannot be read as an amount of money, or is a debt."""
    parts = [str(row[name]) for name in ("free", "used")]
    if not all(AMOUNT.fullmatch(part) for part in parts):
        return Decimal()
    return max(EXACT.add(*map(Decimal, parts)), Decimal())
