"""The pairs of each exchange, kept in the database: refreshed once a day, searched by pages.

What is stored outlives the exchange's bad days. A pair that is gone is marked, never deleted; a
list that came back empty, or with less than half of what was traded before, is not believed, but
for the one after an operator said that it shrank indeed (`believe_shorter`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import and_
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, CharField, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Concat
from django.utils.translation import gettext

from connections.events import AccessEvent, record
from connections.exchanges.feeds import FEEDS
from connections.exchanges.market_rows import Listing, MarketRow
from connections.models import Exchange
from connections.presentation import explain

from .models import Pair, PairList, StrategyConfig

DAY = timedelta(days=1)
STALE = timedelta(hours=48)
FIRST_RETRY, LAST_RETRY = timedelta(minutes=15), timedelta(hours=6)
# So long a refresh is left alone by others: longer than the task may take (tasks.py).
CLAIMED = timedelta(minutes=4)
DAILY_AT_ONCE = 1  # that one look asks for: twenty lists take ten minutes, not one burst
BATCH = 1_000  # rows in a statement
BIG = 10  # of fewer pairs than that, half may well go in a day
# Problems that are ours; the others are of problems.py. A list that is believed is so for its next
# answer alone, whatever that is, and may shrink to a tenth.
IMPLAUSIBLE, BELIEVED = "list_implausible", "list_believed"
HALF, TENTH = 2, 10
KEPT = ("base", "quote", "active", "min_amount", "min_cost", "amount_step", "price_step", "seen_at")
PRICED = (*KEPT, "last_price", "priced_at")
# As Pair's columns have room for, and a digit less: SQLite rounds the largest ones up.
PLACES, LARGEST = Decimal("1e-12"), Decimal("1e15")
MOST_WORDS, LONGEST_WORD = 4, 30


@dataclass(frozen=True, slots=True)
class State:
    """What a page says about a list. `trouble` is a sentence, "" when all is well."""

    refreshed_at: datetime | None
    stale: bool
    problem: str
    trouble: str

    @property
    def never(self) -> bool:
        return self.refreshed_at is None


def known(code: str, market: str) -> bool:
    return market in FEEDS.get(code, {})


# --- refreshing ------------------------------------------------------------------------------


def due(now: datetime) -> list[tuple[str, str]]:
    """Exchange and market of the lists to ask for, those never read first. To be called every
    half minute or so: of the daily ones it names one at a time. What was read in the future was
    read by a clock that was wrong."""
    lists = {(row.exchange_id, row.market): row for row in PairList.objects.all()}
    for each in lists.values():
        if ahead := [name for name in ("asked_at", "refreshed_at") if _after(now, each, name)]:
            PairList.objects.filter(pk=each.pk).update(**dict.fromkeys(ahead, now))
            each.refresh_from_db()
    rows = {place: lists.get(place) for place in _wanted()}
    late = [place for place, row in rows.items() if _due_at(row) <= now]
    new = [place for place in late if (row := rows[place]) is None or row.refreshed_at is None]
    daily = sorted((place for place in late if place not in new), key=lambda p: _due_at(rows[p]))
    return new + daily[:DAILY_AT_ONCE]


def _after(now: datetime, row: PairList, name: str) -> bool:
    at: datetime | None = getattr(row, name)
    return at is not None and at > now


def _wanted() -> list[tuple[str, str]]:
    used = Q(connections__isnull=False) | Q(offered=True, paused=False)
    codes = Exchange.objects.filter(used).order_by("position", "code").distinct()
    return [(row.code, market) for row in codes for market in FEEDS.get(row.code, ())]


def _due_at(row: PairList | None) -> datetime:
    """A day after it was read, and not before its next try."""
    if row is None or row.asked_at is None:
        return datetime.min.replace(tzinfo=UTC)
    doubled = FIRST_RETRY * (1 << max(0, min(row.failures, 9) - 1))
    retry = row.asked_at + min(doubled, LAST_RETRY)
    return max(retry, row.refreshed_at + DAY) if row.refreshed_at else retry


def refresh(code: str, market: str, *, now: datetime) -> list[UUID]:
    """Asks the exchange, unless somebody is at it, and stores what it says. Gives what `store`
    gives."""
    # Imported here: ccxt has no place in the web process, which searches these lists.
    from connections.exchanges import markets

    if not known(code, market) or not claim(code, market, now=now):
        return []
    listing = markets.read(code, "futures" if market == "futures" else "spot")
    return store(code, market, listing, now=now)


def claim(code: str, market: str, *, now: datetime) -> bool:
    """Whether this list is ours to ask for: nobody else is at it."""
    PairList.objects.get_or_create(exchange_id=code, market=market)
    free = Q(asked_at=None) | Q(asked_at__lte=now - CLAIMED)
    mine = PairList.objects.filter(free, exchange=code, market=market)
    return bool(mine.update(asked_at=now))


def store(code: str, market: str, listing: Listing, *, now: datetime) -> list[UUID]:
    """Writes what was read at `now`. Gives the connections with an enabled strategy on a pair that
    is traded no more, or again."""
    with transaction.atomic():
        # One at a time; what was read earlier is not written over what was read later.
        row = PairList.objects.select_for_update().get(exchange=code, market=market)
        if row.refreshed_at and row.refreshed_at > now:
            return []
        pairs = Pair.objects.filter(exchange=code, market=market)
        before = set(pairs.filter(active=True).values_list("symbol", flat=True))
        share = TENTH if row.problem == BELIEVED else HALF
        if problem := listing.problem or _doubt(listing.rows, before, share):
            row.problem, row.failures = problem, min(row.failures + 1, 99)
        else:
            row.problem, row.failures, row.refreshed_at = "", 0, now
        row.save(update_fields=["problem", "failures", "refreshed_at"])
        if problem:
            return []
        if _doubt(listing.rows, before):
            _on_record(row, f"taken, {len(before)} pairs before", None)
        _write(code, market, listing, now)
        unseen = Q(seen_at=None) | ~Q(seen_at=now)
        pairs.filter(unseen, active=True).update(active=False)
    after = {each.symbol for each in listing.rows if each.active}
    return _using(pairs.filter(symbol__in=before ^ after))


def believe_shorter(chosen: QuerySet[PairList], *, by: Any, why: str) -> int:
    """Of those that were refused as too short the next answer is believed, and asked for at once;
    how many those are."""
    with transaction.atomic():
        refused = chosen.filter(problem=IMPLAUSIBLE).select_for_update(of=("self",))
        rows = list(refused.order_by("pk"))
        for row in rows:
            _on_record(row, f"believed once: {why}", by)
        ids = [row.pk for row in rows]
        PairList.objects.filter(pk__in=ids).update(problem=BELIEVED, failures=0, asked_at=None)
    return len(rows)


def _on_record(row: PairList, what: str, by: Any) -> None:
    why = f"shorter list of {row.market} pairs {what}"
    changed = AccessEvent.Kind.EXCHANGE_CHANGED
    record(changed, actor=by, exchange=row.exchange_id, why=why)


def _doubt(rows: Collection[MarketRow], before: Collection[str], share: int = HALF) -> str:
    """Pairs that are all halted at once are doubted like pairs that are missing."""
    count = sum(each.active for each in rows)
    if not rows:
        return IMPLAUSIBLE if before else "unexpected"
    return IMPLAUSIBLE if len(before) >= BIG and count * share < len(before) else ""


def _write(code: str, market: str, listing: Listing, now: datetime) -> None:
    priced = [row for row in listing.rows if row.symbol in listing.prices]
    unpriced = [row for row in listing.rows if row.symbol not in listing.prices]
    for rows, fields in ((priced, PRICED), (unpriced, KEPT)):  # an old price is better than none
        Pair.objects.bulk_create(
            [_pair(code, market, row, listing.prices.get(row.symbol), now) for row in rows],
            batch_size=BATCH,
            update_conflicts=True,
            unique_fields=["exchange", "market", "symbol"],
            update_fields=fields,
        )


def _pair(code: str, market: str, row: MarketRow, price: Decimal | None, now: datetime) -> Pair:
    rounded = price.quantize(PLACES) if price and price < LARGEST else None
    return Pair(
        exchange_id=code,
        market=market,
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        active=row.active,
        min_amount=_exact(row.min_amount),
        min_cost=_exact(row.min_cost),
        amount_step=_exact(row.amount_step),
        price_step=_exact(row.price_step),
        last_price=rounded or None,
        priced_at=now if rounded else None,
        seen_at=now,
    )


def _exact(value: Decimal | None) -> Decimal | None:
    """None where the column has no room for all of it: half a step is a wrong step."""
    if value is None or value >= LARGEST:
        return None
    rounded = value.quantize(PLACES)
    return rounded if rounded == value else None


def _using(pairs: QuerySet[Pair]) -> list[UUID]:
    strategies = StrategyConfig.objects.enabled().filter(pairs__in=pairs)
    ids = strategies.order_by("connection").values_list("connection", flat=True).distinct()
    return [each for each in ids if each]


# --- asking about them -----------------------------------------------------------------------


def state_of(exchange: str, market: str, *, now: datetime) -> State:
    row = PairList.objects.filter(exchange=exchange, market=market).first() or PairList()
    stale = bool(row.refreshed_at and row.refreshed_at < now - STALE)
    return State(row.refreshed_at, stale, row.problem, trouble(row.problem, exchange))


def trouble(problem: str, exchange: str) -> str:
    if problem == IMPLAUSIBLE:
        return gettext("The new list lacks most of the pairs, so we kept the one we had.")
    if problem == BELIEVED:
        return gettext("The exchange's list became much shorter. It is being read once more.")
    return explain(problem, exchange).title + "." if problem else ""


def search(
    exchange: str,
    market: str,
    text: str,
    *,
    quote: str = "",
    chosen: Collection[Any] = (),
    limit: int = 50,
) -> list[Pair]:
    """Pairs that can be traded and hold every word of `text`: "btc usdt", "BTC/USDT" and "btcusdt"
    all find BTC/USDT. That currency itself comes first, then what begins so, each by name.
    `chosen` (their keys) are left out: they are on the page already."""
    pairs = Pair.objects.listed(exchange, market).exclude(pk__in=list(chosen))
    if quote:
        pairs = pairs.filter(quote=quote)
    words = [word[:LONGEST_WORD] for word in re.findall(r"[^\W_]+", text)][:MOST_WORDS]
    if not words:
        return list(pairs.order_by("symbol")[:limit])
    together = Concat("base", "quote", output_field=CharField())
    rows = pairs.annotate(together=together, rank=_rank(words[0])).filter(_holds(words))
    return list(rows.order_by("rank", "base", "symbol")[:limit])


def _holds(words: list[str]) -> Q:
    # One word may be two that were typed without anything between them.
    each = (Q(symbol__icontains=word) | Q(together__icontains=word) for word in words)
    return reduce(and_, each)


def _rank(word: str) -> Case:
    return Case(
        When(Q(base__iexact=word) | Q(together__iexact=word), then=Value(0)),
        When(Q(base__istartswith=word) | Q(together__istartswith=word), then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
