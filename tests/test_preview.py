"""Where the parts of a ladder's picture stand, and how its numbers are said."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from strategies import ladder
from strategies.presentation import (
    THIN,
    column,
    money,
    number,
    pair_names,
    percent,
    plain,
    said,
)
from strategies.preview import (
    LEFT,
    LINE,
    MONEY_BOTTOM,
    MONEY_TOP,
    PRICES_BOTTOM,
    PRICES_TOP,
    RIGHT,
    Drawing,
    draw,
    view_box,
)

SETTINGS = ladder.Settings(
    first=Decimal(10),
    refill=Decimal(20),
    refills=5,
    step=Decimal(2),
    step_scale=Decimal("1.3"),
    volume_scale=Decimal("1.5"),
    take_profit=Decimal("1.5"),
    deals=2,
    fee=Decimal("0.1"),
)


def picture(limit: str | None = "1000", entry: str = "100", **changed: object) -> Drawing:
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]
    return draw(ladder.build(settings, Decimal(entry)), Decimal(limit) if limit else None)


EXTREMES: list[dict[str, object]] = [
    {},
    {"refills": 0},
    {"refills": 50, "step": Decimal("0.01"), "step_scale": Decimal(1)},
    {"refills": 50, "volume_scale": Decimal(10), "step": Decimal("0.01"), "step_scale": Decimal(1)},
    {"direction": "short"},
    {"direction": "short", "refills": 50, "step_scale": Decimal(10)},
    {"leverage": Decimal(125), "direction": "short"},
    {"first": Decimal("1e-12"), "refill": Decimal("1e15")},
    {"step": Decimal("1e-9"), "take_profit": Decimal("1e-9"), "fee": Decimal(0)},
]


@pytest.mark.parametrize("changed", EXTREMES, ids=range(len(EXTREMES)))
@pytest.mark.parametrize("limit", [None, "0.000001", "500", "1e15"])
@pytest.mark.parametrize("entry", ["1e-12", "100", "1e12"])
def test_everything_stands_within_its_panel(
    changed: dict[str, object], limit: str | None, entry: str
) -> None:
    drawn = picture(limit, entry, **changed)
    for level in drawn.levels:
        assert LEFT <= float(level.x) <= RIGHT
        for y in (level.price, level.target, level.even):
            assert PRICES_TOP <= float(y) <= PRICES_BOTTOM
    for bar in drawn.bars:
        assert LEFT <= float(bar.x) <= float(bar.x) + float(bar.width) <= RIGHT
        assert MONEY_TOP <= float(bar.own) <= float(bar.before) <= MONEY_BOTTOM
        assert float(bar.own_height) >= 0 <= float(bar.before_height)
    assert drawn.limit == "" or MONEY_TOP <= float(drawn.limit) <= MONEY_BOTTOM
    assert "," not in drawn.limit


def test_prices_fall_and_sums_grow() -> None:
    drawn = picture()
    prices = [float(level.price) for level in drawn.levels]
    assert prices == sorted(prices)  # further down the page
    tops = [float(bar.own) for bar in drawn.bars]
    assert tops == sorted(tops, reverse=True)
    assert len(drawn.levels) == len(drawn.bars) == 6


def test_average_is_between_the_price_and_the_entry() -> None:
    for level in picture().levels[1:]:
        assert float(level.target) < float(level.average) < float(level.price)


def test_short_is_the_other_way_round() -> None:
    for level in picture(direction="short").levels[1:]:
        assert float(level.target) > float(level.average) > float(level.price)


def test_orders_over_the_limit_are_marked() -> None:
    over = [bar.over for bar in picture("300").bars]
    assert over == sorted(over)
    assert over[-1] and not over[0]
    assert not any(bar.over for bar in picture("100000").bars)


def test_limit_line_is_at_the_height_of_what_it_allows() -> None:
    worst = ladder.build(SETTINGS, Decimal(100)).worst_case
    drawn = picture(str(worst))
    assert drawn.limit == drawn.bars[-1].own


@pytest.mark.parametrize("limit", ["1", "400", "555", "560", "1000"])
def test_labels_of_worst_case_and_limit_do_not_cover_each_other(limit: str) -> None:
    drawn = picture(limit)
    assert abs(float(drawn.worst_label) - float(drawn.limit_label)) >= LINE - 0.2


@pytest.mark.parametrize("refills", [0, 1, 5, 6, 20, 50])
def test_numbers_have_room_and_the_last_is_always_there(refills: int) -> None:
    drawn = picture(refills=refills, step=Decimal("0.1"), step_scale=Decimal(1))
    shown = [float(level.x) for level in drawn.levels if level.labelled]
    assert drawn.levels[-1].labelled
    assert all(right - left >= 46 for left, right in pairwise(shown))


def test_bounds_grow_to_the_left_for_a_long_label() -> None:
    assert view_box(["2.214", "500"]) == "0 0 360 344"
    left, _, width, _ = map(int, view_box(["0.00000912", "310"]).split())
    assert left < 0
    assert left + width == 360


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("0", "0"),
            ("500", "500"),
            ("1350.5", "1350.50"),
            ("499.95168", "499.95"),
            ("309.99424", "309.99"),
            ("89999.99264", f"89{THIN}999.99"),
            ("0.0123456789", "0.012346"),
            ("1e60", number(Decimal("1e60"))),
        ],
    )
    def test_money_is_in_cents_or_five_digits(self, value: str, shown: str) -> None:
        assert money(Decimal(value)) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("0", "0"),
            ("1.50", "1.5"),
            ("0.1234567891", "0.12345679"),
            ("0.00000812", "0.00000812"),
            ("1234.5678912", "1234.5679"),
            ("12345.5", f"12{THIN}345.5"),
            ("1234567890123", f"1{THIN}234{THIN}567{THIN}890{THIN}123"),
            ("-12345.5", f"−12{THIN}345.5"),
            ("99999999.9", f"100{THIN}000{THIN}000"),
            ("1E+3", "1000"),
        ],
    )
    def test_at_most_eight_digits_without_idle_zeros(self, value: str, shown: str) -> None:
        assert number(Decimal(value)) == shown

    @pytest.mark.parametrize(
        ("values", "shown"),
        [
            (["1", "1.5", "10.25"], ["1.00", "1.50", "10.25"]),
            (["1", "2"], ["1", "2"]),
            (["0.00000812", "10000"], ["0.00000812", f"10{THIN}000.00000000"]),
            (["10", "169.8342201"], ["10.0000", "169.8342"]),
            ([], []),
        ],
    )
    def test_column_has_its_points_under_each_other(
        self, values: list[str], shown: list[str]
    ) -> None:
        assert column([Decimal(value) for value in values]) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [("1.234", "+1.23 %"), ("-1", "−1.00 %"), ("-0.001", "0.00 %"), ("0", "0.00 %")],
    )
    def test_move_has_its_sign(self, value: str, shown: str) -> None:
        assert percent(Decimal(value)) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [(Decimal("1.5000"), "1.5"), (Decimal("100"), "100"), (None, ""), (3, "3"), ("x", "x")],
    )
    def test_field_has_the_exact_value(self, value: object, shown: str) -> None:
        assert plain(value) == shown


class TestWords:
    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("margin_limit", "250.50", "250.5 USDT"),
            ("refill_step", Decimal("1.5000"), "1.5 %"),
            ("leverage", "3", "3×"),
            ("refills_at_once", 0, "all"),
            ("refills_at_once", "2", "2"),
            ("risk", "balanced", "Balanced"),
            ("market", "futures", "Futures"),
            ("recovery_loss", "", "none"),
            ("recovery_loss", None, "none"),
            ("margin_limit", "nonsense", "nonsense"),
        ],
    )
    def test_setting_is_said_with_its_unit(self, name: str, value: object, words: str) -> None:
        assert said(name, value, "USDT") == words

    def test_many_pairs_are_counted(self) -> None:
        symbols = ["A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT", "D/USDT:USDT", "E/USDT:USDT"]
        assert pair_names(symbols) == "A/USDT, B/USDT, C/USDT and 2 more"
        assert pair_names(symbols[:2]) == "A/USDT, B/USDT"
        assert pair_names([]) == "no pairs"
