"""What forbids a strategy's settings whatever its key may do: sums, minimums, limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext, ngettext

from connections.exchanges.problems import gettext_noop

from . import ladder
from .ladder import Fault, Rung
from .models import Pair, StrategyConfig
from .presets import SETTINGS

_ = gettext_noop

# What the ladder calls a setting -> what the strategy calls it.
NAMES = {
    "first": "first_order",
    "refill": "refill_order",
    "refills": "max_refills",
    "step": "refill_step",
    "deals": "max_deals",
    "at_once": "refills_at_once",
}
RECOVERY_NEEDS = {
    StrategyConfig.Recovery.OFF: (),
    StrategyConfig.Recovery.STOP_REFILLS: ("recovery_threshold",),
    StrategyConfig.Recovery.REDUCE: ("recovery_threshold", "recovery_close", "recovery_loss"),
}
MONEY = ("margin_limit", "first_order", "refill_order", "recovery_loss")
MOST_MONEY = Decimal("1e15")  # SQLite keeps 15 digits, and rounds larger ones up
ANY_PRICE = Decimal(1)  # sizes and funds do not depend on it


def faults(strategy: StrategyConfig, pairs: Collection[Pair]) -> list[Fault]:
    """Everything that forbids these settings with these pairs, by the strategy's own fields."""
    found = list(_out_of_range(strategy))
    wrong = {fault.setting for fault in found}
    found += [fault for fault in _beyond_fields(strategy, pairs) if fault.setting not in wrong]
    if found := found or list(_too_large(strategy)):
        return found
    return [*_too_small(strategy, pairs), *_over_the_limit(strategy, pairs)]


def sentence(fault: Fault) -> str:
    """Numbers are shown with no more digits than anybody reads."""
    facts = {name: plain(value) for name, value in fault.facts}
    return gettext(fault.text) % facts


def plain(value: Any) -> str:
    """A number as people write it, with at most eight digits that count; the largest ones short,
    since nobody counts their digits."""
    if not isinstance(value, Decimal):
        return str(value)
    if value.adjusted() >= ladder.UNCOUNTED:
        return f"{value:.2E}"
    digits = max(2, 8 - max(0, value.adjusted() + 1)) if value else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def worst_case(strategy: StrategyConfig) -> Decimal:
    """Of settings without faults; in the quote currency."""
    return ladder.build(strategy.ladder_settings, ANY_PRICE).worst_case


def _out_of_range(strategy: StrategyConfig) -> Iterator[Fault]:
    """What a field alone does not take, with its validators' own words."""
    try:
        names = {field.name for field in strategy._meta.concrete_fields}
        strategy.clean_fields(exclude=names - set(SETTINGS))
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            yield Fault(name, " ".join(messages).replace("%", "%%"))


def _beyond_fields(strategy: StrategyConfig, pairs: Collection[Pair]) -> Iterator[Fault]:
    for fault in ladder.faults(strategy.ladder_settings):
        yield Fault(NAMES.get(fault.setting, fault.setting), fault.text, fault.facts)
    if strategy.market == StrategyConfig.Market.SPOT:
        if strategy.direction == StrategyConfig.Direction.SHORT:
            yield Fault("direction", _("Short needs the futures market: spot can only buy first."))
        if strategy.leverage > 1:
            yield Fault("leverage", _("There is no leverage on spot. Set it to 1."))
    for name in RECOVERY_NEEDS[StrategyConfig.Recovery(strategy.recovery)]:
        if getattr(strategy, name) is None:
            yield Fault(name, _("This Recovery Mode needs a number here."))
        elif not getattr(strategy, name):
            yield Fault(name, _("Enter a number above zero."))
    yield from _pairs(strategy, pairs)


def _pairs(strategy: StrategyConfig, pairs: Collection[Pair]) -> Iterator[Fault]:
    if not pairs:
        yield Fault("pairs", _("Choose at least one pair."))
    quotes = sorted({pair.quote for pair in pairs})
    if len(quotes) > 1:
        text = _(
            "All pairs must share one quote currency, in which everything is counted. Chosen are "
            "pairs in %(quotes)s."
        )
        yield Fault("pairs", text, (("quotes", ", ".join(quotes)),))
    others = [pair.symbol for pair in pairs if pair.market != strategy.market]
    if others:
        text = _("%(pairs)s: not on the market you chose.")
        yield Fault("pairs", text, (("pairs", ", ".join(others)),))


def _too_large(strategy: StrategyConfig) -> Iterator[Fault]:
    for name in MONEY:
        if (getattr(strategy, name) or 0) > MOST_MONEY:
            yield Fault(name, _("Enter %(most)s or less."), (("most", MOST_MONEY),))


def _too_small(strategy: StrategyConfig, pairs: Collection[Pair]) -> Iterator[Fault]:
    """The smallest order of each kind against every pair; the first pair it is too small for."""
    rungs = ladder.build(strategy.ladder_settings, ANY_PRICE).rungs
    for name, orders in (("first_order", rungs[:1]), ("refill_order", rungs[1:])):
        for pair in pairs:
            if orders and (fault := _below_minimum(pair, orders)):
                yield Fault(name, *fault)
                break


def _below_minimum(
    pair: Pair, orders: Sequence[Rung]
) -> tuple[str, tuple[tuple[str, object], ...]] | None:
    """`orders` from an entry at `ANY_PRICE`. An order of less than one step cannot be placed."""
    least, size = pair.min_cost, min(order.size for order in orders)
    facts = (("pair", pair.symbol), ("quote", pair.quote))
    if least is not None and size < least:
        text = _("%(pair)s takes orders of at least %(least)s %(quote)s; this makes %(size)s.")
        return text, (*facts, ("least", least), ("size", size))
    amount = max(pair.min_amount or 0, pair.amount_step or 0)
    if not amount or not pair.last_price:
        return None
    # Sizes and prices both change: the one that buys least may stand anywhere among them.
    tightest = min(orders, key=lambda order: order.size / order.price)
    least = amount * tightest.price * pair.last_price
    if tightest.size < least:
        text = _(
            "%(pair)s takes orders of at least %(amount)s %(base)s, about %(least)s %(quote)s at "
            "the last price; this makes %(size)s."
        )
        more = (("amount", amount), ("base", pair.base), ("least", least))
        return text, (*facts, *more, ("size", tightest.size))
    return None


def _over_the_limit(strategy: StrategyConfig, pairs: Collection[Pair]) -> Iterator[Fault]:
    worst, limit = worst_case(strategy), strategy.margin_limit
    if worst > limit:
        text = ngettext(
            "At worst this takes %(worst)s %(quote)s: all refills of %(deals)s deal. That is over "
            "the margin limit of %(limit)s %(quote)s. Raise the limit, or lower the orders, their "
            "number or their scale.",
            "At worst this takes %(worst)s %(quote)s: all refills of %(deals)s deals at once. That "
            "is over the margin limit of %(limit)s %(quote)s. Raise the limit, or lower the "
            "orders, their number or their scale.",
            strategy.max_deals,
        )
        facts = {"worst": worst, "limit": limit, "deals": strategy.max_deals}
        quote = next(iter(pairs)).quote
        yield Fault("margin_limit", text, (*facts.items(), ("quote", quote)))
