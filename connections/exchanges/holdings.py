"""What a test keeps of the accounts that trades are paid from: the amounts, and of which
currencies they are known. What was not read is never taken for zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .base import (
    FUTURES_ALONE,
    SPOT_ALONE,
    Account,
    Answer,
    Balance,
    Call,
    Exchange,
    KeyFacts,
    Market,
)

# Of one account. A test keeps two accounts and what belongs to none: within results.MOST_ITEMS.
CURRENCIES_KEPT: Final = 150
# What strategies are counted in: never left out for the small change of hundreds of others.
MONEY: Final = frozenset({"USDT", "USDC", "USD", "EUR", "BTC", "ETH"})

ReadBalances = Callable[[str, list[Mapping[str, Any]]], tuple[Balance, ...]]


@dataclass(frozen=True, slots=True)
class Holdings:
    balances: tuple[Balance, ...] = ()
    accounts: tuple[Account, ...] = ()

    @property
    def markets(self) -> frozenset[Market]:
        """Those whose account was read."""
        return frozenset(market for account in self.accounts for market in account.markets)

    def and_those(self, others: Holdings) -> Holdings:
        return Holdings(self.balances + others.balances, self.accounts + others.accounts)


def held(
    exchange: Exchange, call: Call, answer: Answer, facts: KeyFacts, read: ReadBalances
) -> Holdings:
    """What an accepted answer to a balance call tells."""
    told = exchange.currencies_told(call, answer)
    markets = () if told == () else _paid_for(exchange, call, facts)
    found = read(exchange.code, exchange.balance_rows(answer))
    kept = _kept(found)
    spare = _kept(read(exchange.code, exchange.other_rows(answer)))
    balances = tuple(replace(balance, markets=markets) for balance in kept)
    if not markets:
        return Holdings(balances + spare)
    if len(kept) < len(found):  # of what was left out nothing is known
        told = tuple(balance.currency for balance in kept)
    return Holdings(balances + spare, (Account(markets, told),))


def futures_call(exchange: Exchange, holdings: Holdings, facts: KeyFacts) -> Call | None:
    """What reads the account that futures are paid from, where the key may trade them, that
    account was not read yet, and a call is known to read it."""
    if "futures" in holdings.markets or "futures" not in facts.permissions.ready_for:
        return None
    return next((call for call, markets in exchange.pays.items() if markets == FUTURES_ALONE), None)


def _paid_for(exchange: Exchange, call: Call, facts: KeyFacts) -> tuple[Market, ...]:
    """A unified account pays for futures where futures are proven to be open to the key: some
    sites and modes have none."""
    markets = exchange.pays.get(call, ())
    if len(markets) < 2 or "futures" in facts.permissions.ready_for:
        return markets
    return SPOT_ALONE


def _kept(balances: Iterable[Balance]) -> tuple[Balance, ...]:
    by_weight = sorted(balances, key=lambda each: (each.currency not in MONEY, each.currency))
    return tuple(sorted(by_weight[:CURRENCIES_KEPT], key=lambda each: each.currency))
