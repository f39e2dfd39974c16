"""The ladder's arithmetic: two ladders worked out by hand, and what holds for every ladder."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction as F
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import ladder
from strategies.ladder import Ladder, Settings

D = Decimal
BY_HAND = Settings(
    first=D(10),
    refill=D(10),
    refills=5,
    step=D(1),
    step_scale=D("1.2"),
    volume_scale=D("1.5"),
    take_profit=D("1.5"),
)
STEEP = Settings(
    first=D(100), refill=D(30), refills=4, step=D(1), step_scale=D(4), volume_scale=D(2)
)
CLOSE = D("1e-20")  # these tests reckon with 28 digits


def decimals(least: str, most: str, places: int = 4) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(least), D(most), places=places)


SETTINGS = st.builds(
    Settings,
    first=decimals("0.01", "100000"),
    refill=decimals("0.01", "100000"),
    refills=st.integers(0, 50),
    step=decimals("0.01", "5"),
    step_scale=decimals("0.5", "1.5"),
    volume_scale=decimals("0.5", "2.5"),
    take_profit=decimals("0.01", "50"),
    deals=st.integers(1, 20),
    leverage=decimals("1", "125", 1),
    fee=decimals("0", "2"),
    at_once=st.integers(0, 50),
    direction=st.sampled_from(["long", "short"]),
)
PRICES = decimals("0.0001", "100000", 6)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    settings = draw(SETTINGS)
    settings = replace(settings, at_once=min(settings.at_once, settings.refills))
    assume(not ladder.faults(settings))
    return ladder.build(settings, draw(PRICES))


def same(one: Decimal, other: F) -> bool:
    return abs(F(one) - other) <= F(1, 10**20) * max(abs(other), F(1))


def near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= CLOSE * max(abs(one), abs(other), D(1))


class TestByHand:
    def test_first_vector(self) -> None:
        made = ladder.build(BY_HAND, D(100))
        last = made.rungs[-1]
        assert made.funds == D("141.875")
        assert round(last.deviation, 3) == D("7.442")
        assert round(last.price, 3) == D("92.558")
        assert round(last.average, 3) == D("95.124")
        assert round(last.loss, 2) == D("-3.83")
        assert round(last.target, 3) == round(last.average * D("1.015"), 3)

    def test_second_vector(self) -> None:
        made = ladder.build(STEEP, D(100))
        assert made.funds == 550
        assert made.rungs[-1].deviation == 85
        assert [rung.price for rung in made.rungs] == [100, 99, 95, 79, 15]
        assert [rung.funds for rung in made.rungs] == [100, 130, 190, 310, 550]
        assert round(made.rungs[-1].average, 4) == D("28.2724")
        assert round(made.rungs[-1].move, 2) == D("88.48")
        assert round(made.rungs[-1].loss, 2) == D("-258.20")

    def test_needed_move_at_each_level(self) -> None:
        moves = [round(rung.move, 3) for rung in ladder.build(BY_HAND, D(100)).rungs]
        assert moves == [D(each) for each in ("0", "0.503", "0.984", "1.503", "2.089", "2.771")]

    def test_sizes_one_by_one(self) -> None:
        sizes = [rung.size for rung in ladder.build(BY_HAND, D(100)).rungs]
        assert sizes == [D(10), D(10), D(15), D("22.5"), D("33.75"), D("50.625")]

    def test_short_mirrors_the_prices(self) -> None:
        down, up = (
            ladder.build(replace(BY_HAND, direction=direction), D(100))  # type: ignore[arg-type]
            for direction in ("long", "short")
        )
        for low, high in zip(down.rungs, up.rungs, strict=True):
            assert low.price + high.price == 200
        assert up.rungs[-1].loss < 0
        assert up.rungs[-1].move < 0

    def test_reserved_at_once_are_the_first_order_and_the_refills_placed(self) -> None:
        two = ladder.build(replace(BY_HAND, at_once=2, deals=3), D(100))
        assert two.reserved == 3 * (10 + 10 + 15)
        assert ladder.build(BY_HAND, D(100)).reserved == D("141.875")

    def test_fees_make_it_dearer_to_be_even(self) -> None:
        free, paid = (ladder.build(replace(BY_HAND, fee=fee), D(100)) for fee in (D(0), D("0.1")))
        assert paid.rungs[-1].even > free.rungs[-1].even == free.rungs[-1].average
        assert paid.rungs[-1].loss < free.rungs[-1].loss

    def test_high_leverage_is_liquidated_before_the_last_refill(self) -> None:
        assert ladder.build(BY_HAND, D(100)).liquidated_at is None
        assert ladder.build(replace(BY_HAND, leverage=D(50)), D(100)).liquidated_at is not None

    @pytest.mark.parametrize(("direction", "price"), [("long", "90"), ("short", "110")])
    def test_the_margin_of_the_first_order_can_be_gone_before_its_refill(
        self, direction: str, price: str
    ) -> None:
        """100 at ten times: 10 of margin, lost on the way to a refill at 20 %, which would bring
        enough margin for both, were it ever bought."""
        far = Settings(D(100), D(1000), 1, D(20), leverage=D(10), direction=direction)  # type: ignore[arg-type]
        rung = ladder.build(far, D(100)).liquidated_at
        assert rung is not None
        assert (rung.number, rung.liquidation) == (0, D(price))
        near = replace(far, step=D("9.9"))
        assert ladder.build(near, D(100)).liquidated_at is None


class TestAnotherWay:
    """The formulas once more, as they are written in books, in fractions that are never rounded."""

    @given(ladders())
    def test_every_number_of_every_order(self, made: Ladder) -> None:
        each, entry = made.settings, F(made.rungs[0].price)
        fee, profit = F(each.fee) / 100, F(each.take_profit) / 100
        side = 1 if each.direction == "long" else -1
        sizes = [F(each.first)]
        sizes += [F(each.refill) * F(each.volume_scale) ** k for k in range(each.refills)]
        away, prices = F(0), [entry]
        for k in range(each.refills):  # each step is the one before times the scale
            away += F(each.step) * F(each.step_scale) ** k
            prices.append(entry * (1 - side * away / 100))
        spent = bought = F(0)
        for k, rung in enumerate(made.rungs):
            spent, bought = spent + sizes[k], bought + sizes[k] / prices[k]
            average, worth = spent / bought, bought * prices[k]
            even = average * (1 + side * fee) / (1 - side * fee)
            loss = side * (worth - spent) - fee * (worth + spent)
            assert same(rung.price, prices[k])
            assert same(rung.size, sizes[k])
            assert same(rung.funds, spent)
            assert same(rung.average, average)
            assert same(rung.even, even)
            assert same(rung.target, even * (1 + side * profit))
            assert same(rung.move + 100, even / prices[k] * 100)
            assert same(rung.loss + rung.funds, loss + spent)
            there = bought * F(rung.liquidation)
            left = spent / F(each.leverage) + side * (there - spent) - fee * (there + spent)
            if rung.liquidation == rung.price:
                assert left <= 0 or same(left + spent, spent)
            else:
                assert same(left + spent, spent)
        assert same(made.worst_case, sum(sizes) * each.deals / F(each.leverage))

    @given(ladders())
    def test_without_fees_it_is_what_the_average_alone_says(self, made: Ladder) -> None:
        free = ladder.build(replace(made.settings, fee=D(0)), made.rungs[0].price)
        for rung in free.rungs:
            assert rung.even == rung.average
            assert near(rung.move, (rung.average / rung.price - 1) * 100)


class TestRefused:
    def test_a_price_cannot_fall_by_all_of_it(self) -> None:
        settings = replace(STEEP, refills=5)  # 1 + 4 + 16 + 64 + 256
        assert [fault.setting for fault in ladder.faults(settings)] == ["step"]
        assert not ladder.faults(replace(settings, direction="short"))

    def test_exactly_all_of_it_is_too_much(self) -> None:
        settings = replace(BY_HAND, refills=4, step=D(25), step_scale=D(1))
        assert ladder.faults(settings)
        assert not ladder.faults(replace(settings, step=D("24.99")))

    @pytest.mark.parametrize("refills", [51, 1000])
    def test_more_than_fifty_refills(self, refills: int) -> None:
        settings = replace(BY_HAND, refills=refills, step=D("0.01"), step_scale=D(1))
        assert [fault.setting for fault in ladder.faults(settings)] == ["refills"]
        assert not ladder.faults(replace(settings, refills=50))

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN", "-1"])
    @pytest.mark.parametrize("name", ["first", "refill", "step", "leverage", "fee"])
    def test_what_is_no_amount(self, name: str, value: str) -> None:
        settings: Any = replace(BY_HAND, **{name: D(value)})
        assert name in [fault.setting for fault in ladder.faults(settings)]
        with pytest.raises(ValueError, match="no ladder"):
            ladder.build(settings, D(100))

    @pytest.mark.parametrize("name", ["first", "leverage", "take_profit", "step", "volume_scale"])
    def test_zero_where_it_means_nothing(self, name: str) -> None:
        settings: Any = replace(BY_HAND, **{name: D(0)})
        assert [fault.setting for fault in ladder.faults(settings)] == [name]

    def test_without_refills_their_settings_do_not_matter(self) -> None:
        settings = replace(BY_HAND, refills=0, refill=D(0), step=D(0), step_scale=D(0))
        assert not ladder.faults(settings)
        assert ladder.build(settings, D(100)).funds == 10

    @pytest.mark.parametrize("entry", ["0", "-1", "NaN", "Infinity"])
    def test_what_is_no_price(self, entry: str) -> None:
        with pytest.raises(ValueError, match="no ladder"):
            ladder.build(BY_HAND, D(entry))

    @given(SETTINGS, PRICES)
    def test_no_settings_without_faults_break_it(self, settings: Settings, entry: Decimal) -> None:
        if not ladder.faults(settings):
            ladder.build(settings, entry)


class TestEveryLadder:
    @given(ladders())
    def test_cumulative_sizes_grow(self, made: Ladder) -> None:
        funds = [rung.funds for rung in made.rungs]
        assert funds == sorted(set(funds))

    @given(ladders())
    def test_prices_move_away_from_the_entry(self, made: Ladder) -> None:
        prices = [rung.price for rung in made.rungs]
        down = made.settings.direction == "long"
        assert prices == sorted(set(prices), reverse=down)
        assert all(price > 0 for price in prices)

    @given(ladders())
    def test_average_is_between_first_and_last_price(self, made: Ladder) -> None:
        first = made.rungs[0].price
        for rung in made.rungs:
            low, high = sorted((first, rung.price))
            assert low - CLOSE * high <= rung.average <= high * (1 + CLOSE)

    @given(ladders())
    def test_funds_are_the_closed_form(self, made: Ladder) -> None:
        each = made.settings
        scale, count = each.volume_scale, each.refills
        terms = D(count) if scale == 1 else (scale**count - 1) / (scale - 1)
        by_formula = each.first + each.refill * terms
        assert abs(made.funds - by_formula) <= D("1e-20") * by_formula

    @given(ladders())
    def test_closing_at_even_costs_nothing(self, made: Ladder) -> None:
        fee = made.settings.fee / 100
        for rung in made.rungs:
            worth = rung.quantity * rung.even
            if made.settings.direction == "long":
                assert near(worth * (1 - fee), rung.funds * (1 + fee))
            else:
                assert near(rung.funds * (1 - fee), worth * (1 + fee))

    @given(ladders(), st.integers(1, 5))
    def test_worst_case_scales_with_deals_and_with_one_over_leverage(
        self, made: Ladder, times: int
    ) -> None:
        entry, each = made.rungs[0].price, made.settings
        more = ladder.build(replace(each, deals=each.deals * times), entry)
        less = ladder.build(replace(each, leverage=each.leverage * times), entry)
        assert near(more.worst_case, made.worst_case * times)
        assert near(less.worst_case * times, made.worst_case)

    @given(
        ladders(),
        st.sampled_from(["first", "refill", "volume_scale", "refills", "deals"]),
        decimals("0.01", "1"),
    )
    def test_more_risk_never_costs_less(self, made: Ladder, name: str, more: Decimal) -> None:
        value = getattr(made.settings, name)
        grown = value + (1 if isinstance(value, int) else more)
        riskier: Any = replace(made.settings, **{name: grown})
        assume(not ladder.faults(riskier))
        assert ladder.build(riskier, made.rungs[0].price).worst_case >= made.worst_case

    @given(ladders(), st.sampled_from(["step", "step_scale"]), decimals("0.001", "0.1"))
    def test_a_wider_ladder_is_further_from_even(
        self, made: Ladder, name: str, more: Decimal
    ) -> None:
        assume(made.settings.refills)
        wider: Any = replace(made.settings, **{name: getattr(made.settings, name) + more})
        assume(not ladder.faults(wider))
        other = ladder.build(wider, made.rungs[0].price)
        assert other.rungs[-1].deviation >= made.rungs[-1].deviation
        assert other.worst_case == made.worst_case
        assert other.reserved <= other.worst_case

    @given(ladders(), decimals("0.01", "2"))
    def test_a_higher_fee_loses_more_and_is_further_from_even(
        self, made: Ladder, more: Decimal
    ) -> None:
        dearer = ladder.build(
            replace(made.settings, fee=made.settings.fee + more), made.rungs[0].price
        )
        for rung, other in zip(made.rungs, dearer.rungs, strict=True):
            assert other.loss < rung.loss
            assert abs(other.move) > abs(rung.move) or rung.move * other.move < 0
        assert dearer.worst_case == made.worst_case

    @given(ladders(), decimals("0.01", "49"))
    def test_a_larger_profit_is_further_away(self, made: Ladder, more: Decimal) -> None:
        greedier = replace(made.settings, take_profit=made.settings.take_profit + more)
        other = ladder.build(greedier, made.rungs[0].price)
        up = made.settings.direction == "long"
        for rung, further in zip(made.rungs, other.rungs, strict=True):
            assert (further.target > rung.target) is up
        assert other.worst_case == made.worst_case

    @given(ladders(), decimals("0.1", "100", 1))
    def test_more_leverage_is_never_liquidated_later(self, made: Ladder, more: Decimal) -> None:
        bolder = replace(made.settings, leverage=made.settings.leverage + more)
        other = ladder.build(bolder, made.rungs[0].price)
        assert other.worst_case < made.worst_case
        if made.liquidated_at:
            assert other.liquidated_at
            assert other.liquidated_at.number <= made.liquidated_at.number

    @given(ladders())
    def test_placing_more_at_once_reserves_more(self, made: Ladder) -> None:
        placed = [
            ladder.build(replace(made.settings, at_once=count), made.rungs[0].price).reserved
            for count in range(1, made.settings.refills + 1)
        ]
        assert placed == sorted(set(placed))
        assert not placed or placed[-1] == made.worst_case
