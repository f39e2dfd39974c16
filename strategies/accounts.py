"""What the enabled strategies of one exchange account take at worst, against what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum

from connections.balances import Purse, purses
from connections.models import Connection, ConnectionTest, Credential

from .models import StrategyConfig

BESIDE = timedelta(hours=24)  # older than the newest test, another key's test says nothing


@dataclass(frozen=True, slots=True)
class Account:
    """`balance` is None where no test has read it. `taken` by `others` enabled strategies, at
    worst. Both in the quote currency that was asked for."""

    balance: Decimal | None
    taken: Decimal
    others: int


def connections_of(connection: Connection) -> QuerySet[Connection]:
    """All connections to the same exchange account, whoever added them: the account's money is
    one. Where the exchange does not tell which account it is, the connection alone."""
    same = Q(pk=connection.pk)
    if connection.uid:
        same |= Q(exchange=connection.exchange_id, site=connection.site, uid=connection.uid)
    return Connection.objects.filter(same)


def lock(connection: Connection | None) -> Connection | None:
    """The connection as it stands, with all of its account kept still until the end of the
    transaction; None when it is gone by now. Always in one order, so that two people cannot wait
    for each other."""
    while connection is not None:
        rows = connections_of(connection).select_related("exchange").order_by("pk")
        locked = {row.pk: row for row in rows.select_for_update(no_key=True, of=("self",))}
        now = locked.get(connection.pk)
        if now is None or (now.uid, now.site) == (connection.uid, connection.site):
            return now
        connection = now  # tested in between: it is another account than we thought
    return None


def standing(
    connection: Connection, market: str, quote: str, *, but: UUID | None = None
) -> Account:
    """Of the account that pays for trades on `market`, without the strategy `but`. On a unified
    account the strategies of both markets take from the same money."""
    ids = list(connections_of(connection).values_list("pk", flat=True))
    found = [purse for purse in _purses(ids) if market in purse.markets]
    markets = {market}.union(*(purse.markets for purse in found))
    running = StrategyConfig.objects.enabled().filter(
        connection__in=ids, quote=quote, market__in=markets
    )
    others = running.exclude(pk=but) if but else running
    sums = others.aggregate(taken=Sum("worst_case"), others=Count("pk"))
    totals = (purse.total(quote) for purse in found)
    balance = next((total for total in totals if total is not None), None)
    return Account(balance, sums["taken"] or Decimal(0), sums["others"])


def standing_of(strategy: StrategyConfig, connection: Connection) -> Account:
    """What is there for it, beside the others."""
    return standing(connection, strategy.market, strategy.quote, but=strategy.pk)


def covers(strategy: StrategyConfig) -> bool:
    """Whether the account of its connection is known to have enough for it and the others."""
    connection = strategy.connection
    account = standing_of(strategy, connection) if connection else None
    if account is None or account.balance is None:
        return False
    whole: Decimal = strategy.worst_case + account.taken
    return whole <= account.balance


def _purses(connections: list[UUID]) -> list[Purse]:
    """As the newest good test of each key in use has read them, the newest first. One alone is not
    enough: a key reads what it may trade, so of a unified account it may know spot alone."""
    good = ConnectionTest.objects.filter(
        connection=OuterRef("pk"),
        credential__state=Credential.State.ACTIVE,
        outcome__in=Connection.WORKING,
    )
    newest = Subquery(good.order_by("-finished_at").values("pk")[:1])
    each = Connection.objects.filter(pk__in=connections).values_list(newest)
    tests = list(ConnectionTest.objects.filter(pk__in=each).order_by("-finished_at"))
    return [
        purse
        for test in tests
        if test.finished_at and tests[0].finished_at
        if test.finished_at > tests[0].finished_at - BESIDE
        for purse in purses(test)
    ]
