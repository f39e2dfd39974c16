"""Bars of tests by what came of them, drawn on the server: no script, and a table beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from connections.counting import HOUR, start_of_hour
from connections.desk_figures import Hour
from connections.desk_filters import RESULT_WORDS

# Of the drawing, in its own units.
WIDTH, HEIGHT, FOOT, LEFT = 640, 150, 20, 56
GAP = 0.25  # of a bar's place
HOURS, DAYS = 24, 30
TITLES = {"hours": _("The last 24 hours"), "days": _("The last 30 days")}

Link = Callable[[datetime, datetime, str], str]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: tests with the same result."""

    result: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    mark: str  # below the bar; most have none
    x: float
    parts: tuple[Part, ...]
    counts: tuple[int, ...]  # as in RESULT_WORDS
    links: tuple[str, ...]  # of the same
    link: str

    @property
    def tests(self) -> int:
        return sum(self.counts)

    @property
    def cells(self) -> list[tuple[int, str]]:
        return list(zip(self.counts, self.links, strict=True))


@dataclass(frozen=True, slots=True)
class Total:
    result: str
    word: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    bars: tuple[Bar, ...]
    totals: tuple[Total, ...]
    steps: tuple[tuple[float, int], ...]  # height of a line, and its number

    width, height, foot, left = WIDTH, HEIGHT, FOOT, LEFT

    @property
    def bar_width(self) -> float:
        return (WIDTH - LEFT) / len(self.bars) * (1 - GAP)

    @property
    def tests(self) -> int:
        return sum(bar.tests for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Span:
    start: datetime
    end: datetime
    label: str
    mark: str


def by_hour(hours: Iterable[Hour], now: datetime, zone: tzinfo, link: Link) -> Chart:
    newest = start_of_hour(now)
    spans = []
    for back in range(HOURS - 1, -1, -1):
        start = newest - back * HOUR
        local = start.astimezone(zone)
        label = date_format(local, "D H:i")
        spans.append(Span(start, start + HOUR, label, f"{local:%H:%M}" if back % 6 == 5 else ""))
    return _chart(str(TITLES["hours"]), hours, spans, link)


def by_day(hours: Iterable[Hour], now: datetime, zone: tzinfo, link: Link) -> Chart:
    """Days of the viewer's zone; an hour belongs to the day in which it begins."""
    today = now.astimezone(zone).date()
    spans = []
    for back in range(DAYS - 1, -1, -1):
        day = today - timedelta(days=back)
        start, end = (_first_hour(each, zone) for each in (day, day + timedelta(days=1)))
        mark = date_format(day, "j M") if back % 7 == 3 else ""
        spans.append(Span(start, end, date_format(day, "D j M"), mark))
    return _chart(str(TITLES["days"]), hours, spans, link)


def _first_hour(day: date, zone: tzinfo) -> datetime:
    midnight = datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
    hour = start_of_hour(midnight)
    return hour if hour == midnight else hour + HOUR


def _chart(title: str, hours: Iterable[Hour], spans: list[Span], link: Link) -> Chart:
    sums = _sums(hours, spans)
    most = _round_up(max(sum(counts) for counts in sums))
    place = (WIDTH - LEFT) / len(spans)
    bars = tuple(
        Bar(
            span.label,
            span.mark,
            round(LEFT + number * place + place * GAP / 2, 1),
            _parts(counts, most),
            counts,
            tuple(link(span.start, span.end, result) for result in RESULT_WORDS),
            link(span.start, span.end, ""),
        )
        for number, (span, counts) in enumerate(zip(spans, sums, strict=True))
    )
    steps = tuple((round(HEIGHT * (1 - share), 1), int(most * share)) for share in (0, 0.5, 1))
    return Chart(title, bars, _totals(sums, spans, link), steps)


def _sums(hours: Iterable[Hour], spans: list[Span]) -> list[tuple[int, ...]]:
    sums = [[0] * len(RESULT_WORDS) for _span in spans]
    starts = [(span.start, span.end) for span in spans]
    number = 0
    for hour in sorted(hours, key=lambda each: each.start):
        while number < len(spans) and hour.start >= starts[number][1]:
            number += 1
        if number < len(spans) and hour.start >= starts[number][0]:
            for place, result in enumerate(RESULT_WORDS):
                sums[number][place] += getattr(hour, result)
    return [tuple(each) for each in sums]


def _parts(counts: tuple[int, ...], most: int) -> tuple[Part, ...]:
    """From below: what is good first. What is there is seen, however little it is."""
    parts, base = [], float(HEIGHT)
    for result, tests in zip(RESULT_WORDS, counts, strict=True):
        height = max(1.5, HEIGHT * tests / most) if tests else 0
        base -= height
        if tests:
            parts.append(Part(result, round(max(base, 0), 1), round(height, 1)))
    return tuple(parts)


def _totals(sums: list[tuple[int, ...]], spans: list[Span], link: Link) -> tuple[Total, ...]:
    start, end = spans[0].start, spans[-1].end
    return tuple(
        Total(result, str(word), sum(each[place] for each in sums), link(start, end, result))
        for place, (result, word) in enumerate(RESULT_WORDS.items())
    )


def _round_up(number: int) -> int:
    """To 2, 4, 10, 20, 40, 100 and so on, of which half is a whole number too."""
    power = 1
    while number > 10 * power:
        power *= 10
    return next(digit * power for digit in (2, 4, 10) if digit * power >= number)
