"""Where the parts of a ladder's picture stand: numbers in, coordinates out.

Two panels over the same orders, the first at the left. Above: each order's price, the average and
the take profit after it, and the move back to even. Below: the margin of all deals, order by
order, beside the margin limit. Coordinates are text, ready for an attribute in any language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from .ladder import Ladder

WIDTH, HEIGHT = 360, 344
SIDE = 56.0  # where labels beside the panels end
DIGIT = 8.3  # the width of one in a label, in the largest type it is shown in
LEFT, RIGHT = 62.0, 352.0  # of both panels; labels stand left of them
PRICES_TOP, PRICES_BOTTOM = 14.0, 178.0
MONEY_TOP, MONEY_BOTTOM = 222.0, 318.0
NUMBERS = 334.0  # base line of the orders' numbers
ROOM = 52.0  # for one number under an order
LINE = 13.0  # between two labels above each other
WIDEST_BAR = 26.0


@dataclass(frozen=True, slots=True)
class Level:
    """One order: the middle of its column, and where its prices stand."""

    number: int
    x: str
    price: str
    average: str
    target: str
    even: str
    labelled: bool  # there is room for its numbers


@dataclass(frozen=True, slots=True)
class Bar:
    """The margin up to one order: of those before it, and on top of that its own."""

    x: str
    width: str
    before: str
    before_height: str
    own: str
    own_height: str
    over: bool  # more than the limit


@dataclass(frozen=True, slots=True)
class Drawing:
    """`limit` is empty where there is none. Labels: of the entry, of the last order's price, of the
    worst case and of the limit; "" where another one stands for it too."""

    levels: tuple[Level, ...]
    bars: tuple[Bar, ...]
    prices: str
    averages: str
    targets: str
    limit: str
    entry_label: str
    last_label: str
    worst_label: str
    limit_label: str


def draw(ladder: Ladder, limit: Decimal | None) -> Drawing:
    """The picture of a ladder. `limit` is the margin limit, in the same currency as the funds."""
    levels = _levels(ladder)
    money = _Scale([0.0, float(limit or 0), float(ladder.worst_case)], MONEY_BOTTOM, MONEY_TOP)
    limit_at = money.at(float(limit)) if limit else None
    worst = money.at(float(ladder.worst_case))
    worst_label, limit_label = _apart(worst, limit_at)
    entry, last = float(levels[0].price), float(levels[-1].price)
    return Drawing(
        levels=levels,
        bars=_bars(ladder, money, limit),
        prices=_path(levels, "price"),
        averages=_path(levels, "average"),
        targets=_path(levels, "target"),
        limit="" if limit_at is None else _text(limit_at),
        entry_label=_text(entry + 4),
        last_label=_text(last + 4) if abs(entry - last) >= LINE else "",
        worst_label=_text(worst_label + 4),
        limit_label="" if limit_label is None else _text(limit_label + 4),
    )


def view_box(labels: Iterable[str]) -> str:
    """The picture's own bounds, further out to the left where one of `labels` needs it: a price of
    0.00000912 is not to lose its zeros."""
    more = max(0, ceil(max(map(len, labels)) * DIGIT - SIDE))
    return f"{-more} 0 {WIDTH + more} {HEIGHT}"


class _Scale:
    """From values to coordinates: the smallest of `values` at `low`, the largest at `high`."""

    def __init__(self, values: Sequence[float], low: float, high: float) -> None:
        self.least, self.most = min(values), max(values)
        self.low, self.high = low, high

    def at(self, value: float) -> float:
        span = self.most - self.least
        share = (value - self.least) / span if span else 0.5
        return self.low + share * (self.high - self.low)


def _levels(ladder: Ladder) -> tuple[Level, ...]:
    rungs = ladder.rungs
    values = [float(one) for rung in rungs for one in (rung.price, rung.target, rung.even)]
    prices = _Scale(values, PRICES_BOTTOM, PRICES_TOP)
    shown = _labelled(len(rungs))
    return tuple(
        Level(
            number=rung.number,
            x=_text(_middle(rung.number, len(rungs))),
            price=_text(prices.at(float(rung.price))),
            average=_text(prices.at(float(rung.average))),
            target=_text(prices.at(float(rung.target))),
            even=_text(prices.at(float(rung.even))),
            labelled=rung.number in shown,
        )
        for rung in rungs
    )


def _labelled(count: int) -> set[int]:
    """Every order there is room for, and always the last one."""
    every = int(-(-ROOM // ((RIGHT - LEFT) / count)))
    return set(range(count - 1, -1, -every))


def _bars(ladder: Ladder, money: _Scale, limit: Decimal | None) -> tuple[Bar, ...]:
    count = len(ladder.rungs)
    width = min(WIDEST_BAR, (RIGHT - LEFT) / count * 0.7)
    deals, leverage = ladder.settings.deals, ladder.settings.leverage
    bars = []
    for rung in ladder.rungs:
        total = rung.margin * deals
        before = total - rung.size * deals / leverage
        top, middle = money.at(float(total)), money.at(float(before))
        bars.append(
            Bar(
                x=_text(_middle(rung.number, count) - width / 2),
                width=_text(width),
                before=_text(middle),
                before_height=_text(MONEY_BOTTOM - middle),
                own=_text(top),
                own_height=_text(max(middle - top, 0)),
                over=bool(limit) and total > (limit or 0),
            )
        )
    return tuple(bars)


def _middle(number: int, count: int) -> float:
    return LEFT + (number + 0.5) * (RIGHT - LEFT) / count


def _path(levels: Sequence[Level], name: str) -> str:
    """Of one price over all orders, as steps: it stands until the next order is bought."""
    half = (RIGHT - LEFT) / len(levels) / 2
    points = []
    for level in levels:
        y = getattr(level, name)
        points += [f"{_text(float(level.x) - half)},{y}", f"{_text(float(level.x) + half)},{y}"]
    return " ".join(points)


def _apart(worst: float, limit: float | None) -> tuple[float, float | None]:
    """Where two labels stand, so that neither covers the other: the higher one gives way."""
    if limit is None or abs(worst - limit) >= LINE:
        return worst, limit
    if worst <= limit:
        return limit - LINE, limit
    return worst, worst - LINE


def _text(coordinate: float) -> str:
    return f"{coordinate:.1f}"
