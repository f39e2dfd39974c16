"""The refill ladder: what a deal buys at which price, what it costs at worst, and when it is even.

Pure arithmetic on Decimal. Sizes, funds and losses are in the quote currency, percentages are
percent (1.5 is 1.5 %), prices are those of the pair. A ladder is one deal: the first order (base
order) at the entry price and up to `refills` refills (safety orders), each further away from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Literal

from connections.exchanges.problems import gettext_noop

_ = gettext_noop

Direction = Literal["long", "short"]

MOST_REFILLS = 50
HUNDRED = Decimal(100)
UNCOUNTED = 21  # digits after the first: nobody counts those of a larger number
ONE = Decimal(1)
PRECISION = Context(
    prec=50, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation, DivisionByZero, Overflow]
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a ladder is made of. `first` and `refill` in the quote currency, per deal; `step`,
    `take_profit` and `fee` (of every order's amount) in percent; `deals` open at once."""

    first: Decimal
    refill: Decimal
    refills: int
    step: Decimal
    step_scale: Decimal = ONE
    volume_scale: Decimal = ONE
    take_profit: Decimal = ONE
    deals: int = 1
    leverage: Decimal = ONE
    fee: Decimal = Decimal(0)
    at_once: int = 0  # refills placed at once; 0: all
    direction: Direction = "long"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why no ladder can be made: the setting it is about, and a sentence to fill with `facts`."""

    setting: str
    text: str
    facts: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Rung:
    """One order, and the deal as it stands right after it at that price."""

    number: int  # 0 is the first order
    size: Decimal  # Qk
    deviation: Decimal  # Dk, percent from the entry
    price: Decimal  # Pk
    funds: Decimal  # all orders so far
    quantity: Decimal  # of the base currency, so far
    average: Decimal  # Ak, of all orders so far, without fees
    even: Decimal  # price at which closing pays for everything, fees included
    target: Decimal  # price at which the profit is taken, fees paid
    move: Decimal  # percent from here to `even`: up for long, down (negative) for short
    loss: Decimal  # closing right here, fees included: negative is a loss
    margin: Decimal  # funds / leverage
    liquidation: Decimal  # price, from here on, at which the loss has eaten the whole margin


@dataclass(frozen=True, slots=True)
class Ladder:
    settings: Settings
    rungs: tuple[Rung, ...]

    @property
    def funds(self) -> Decimal:
        """F: what one deal takes when every refill is bought, before leverage."""
        return self.rungs[-1].funds

    @property
    def worst_case(self) -> Decimal:
        """F · M / L: the margin of all deals when every refill of each is bought."""
        with localcontext(PRECISION):
            return self.funds * self.settings.deals / self.settings.leverage

    @property
    def reserved(self) -> Decimal:
        """The margin of all deals as they open: first orders, and the refills placed at once."""
        placed = self.settings.at_once or self.settings.refills
        with localcontext(PRECISION):
            funds = self.rungs[min(placed, self.settings.refills)].funds
            return funds * self.settings.deals / self.settings.leverage

    @property
    def liquidated_at(self) -> Rung | None:
        """The first rung whose margin is gone before the refill after it is bought, or, of the last
        one, as soon as it is. Exchanges ask for some margin more, and close earlier."""
        long = self.settings.direction == "long"
        if self.settings.leverage <= 1 and long:
            return None
        for rung, after in zip(self.rungs, [*self.rungs[1:], self.rungs[-1]], strict=True):
            if rung.liquidation >= after.price if long else rung.liquidation <= after.price:
                return rung
        return None


def faults(settings: Settings) -> list[Fault]:
    """Everything that stands against a ladder of these settings; empty when it can be built."""
    found = _out_of_range(settings)
    if not found and settings.direction == "long":
        last = deviation(settings, settings.refills)
        if last >= HUNDRED:
            found.append(
                Fault(
                    "step",
                    _(
                        "The last refill would be %(deviation)s %% below the entry: a price cannot "
                        "fall by 100 %% or more. Lower the step, its scale or the refills."
                    ),
                    (("deviation", last),),
                )
            )
    return found


def _out_of_range(settings: Settings) -> list[Fault]:
    found = []
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if isinstance(value, Decimal) and not value.is_finite():
            found.append(Fault(each.name, _("Enter a number.")))
        elif not isinstance(value, str) and value < 0:
            found.append(Fault(each.name, _("Enter a number that is not negative.")))
    if found:
        return found
    for name in ("first", "leverage", "deals", "take_profit"):
        if not getattr(settings, name):
            found.append(Fault(name, _("Enter a number above zero.")))
    if settings.refills > MOST_REFILLS:
        text = _("At most %(most)s refills.")
        found.append(Fault("refills", text, (("most", MOST_REFILLS),)))
    if settings.refills:
        for name in ("refill", "step", "step_scale", "volume_scale"):
            if not getattr(settings, name):
                found.append(Fault(name, _("Enter a number above zero.")))
    if settings.at_once > settings.refills:
        text = _("Not more than there are refills.")
        found.append(Fault("at_once", text))
    if settings.direction == "short" and settings.take_profit >= HUNDRED:
        found.append(Fault("take_profit", _("A price cannot fall by 100 %% or more.")))
    if settings.fee >= HUNDRED:
        found.append(Fault("fee", _("A fee is less than 100 %%.")))
    return found


def size(settings: Settings, number: int) -> Decimal:
    """Q0 = B, Qk = S · v^(k-1)."""
    with localcontext(PRECISION):
        if number == 0:
            return settings.first
        return settings.refill * settings.volume_scale ** (number - 1)


def deviation(settings: Settings, number: int) -> Decimal:
    """Dk = d · (s^k - 1) / (s - 1), or d · k when s is 1; percent."""
    scale = settings.step_scale
    if number == 0:
        return Decimal(0)
    with localcontext(PRECISION):
        if scale == 1:
            return settings.step * number
        return settings.step * (scale**number - 1) / (scale - 1)


def build(settings: Settings, entry: Decimal) -> Ladder:
    """All rungs from the price `entry` on. Raises ValueError for settings with `faults`, and for
    an entry that is no price."""
    if faults(settings) or not entry.is_finite() or entry <= 0:
        raise ValueError("no ladder can be built of this")
    rungs: list[Rung] = []
    funds = quantity = Decimal(0)
    with localcontext(PRECISION):
        for number in range(settings.refills + 1):
            amount, away = size(settings, number), deviation(settings, number)
            sign = -1 if settings.direction == "long" else 1
            price = entry * (1 + sign * away / HUNDRED)
            funds, quantity = funds + amount, quantity + amount / price
            rungs.append(_rung(settings, number, amount, away, price, funds, quantity))
    return Ladder(settings, tuple(rungs))


def _rung(
    settings: Settings,
    number: int,
    amount: Decimal,
    away: Decimal,
    price: Decimal,
    funds: Decimal,
    quantity: Decimal,
) -> Rung:
    average, fee, profit = funds / quantity, settings.fee / HUNDRED, settings.take_profit / HUNDRED
    worth, margin = quantity * price, funds / settings.leverage
    if settings.direction == "long":
        even = average * (1 + fee) / (1 - fee)
        target = even * (1 + profit)
        loss = worth * (1 - fee) - funds * (1 + fee)
        liquidation = min(price, (funds * (1 + fee) - margin) / (quantity * (1 - fee)))
    else:
        even = average * (1 - fee) / (1 + fee)
        target = even * (1 - profit)
        loss = funds * (1 - fee) - worth * (1 + fee)
        liquidation = max(price, (funds * (1 - fee) + margin) / (quantity * (1 + fee)))
    return Rung(
        number=number,
        size=amount,
        deviation=away,
        price=price,
        funds=funds,
        quantity=quantity,
        average=average,
        even=even,
        target=target,
        move=(even / price - 1) * HUNDRED,
        loss=loss,
        margin=margin,
        liquidation=liquidation,
    )
