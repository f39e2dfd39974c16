"""Risk levels as data: each fills every setting of a strategy, and says what it risks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import ladder
from .models import StrategyConfig

Risk, Recovery = StrategyConfig.Risk, StrategyConfig.Recovery

# What a version of a strategy holds, in the order of the form.
SETTINGS = (
    "market",
    "direction",
    "risk",
    "margin_limit",
    "leverage",
    "first_order",
    "refill_order",
    "max_refills",
    "refill_step",
    "step_scale",
    "volume_scale",
    "refills_at_once",
    "max_deals",
    "take_profit",
    "fee",
    "recovery",
    "recovery_threshold",
    "recovery_close",
    "recovery_loss",
)
USUAL_LIMIT = Decimal(500)  # of the quote currency, to begin with
CENT = Decimal("0.01")
SMALLEST = Decimal("1e-12")  # of an amount that is kept


@dataclass(frozen=True, slots=True)
class Preset:
    """`shape` is the ladder for orders of 1, without leverage; `leverage` is for futures. The loss
    that Recovery Mode may take is a share of the margin limit."""

    sentence: Promise
    shape: ladder.Settings
    leverage: Decimal
    recovery: str
    threshold: Decimal | None = None
    close: Decimal | None = None
    loss_share: Decimal | None = None

    def settings(self, market: str, margin_limit: Decimal | None = None) -> dict[str, Any]:
        """Every setting but the market, the direction and the risk level. First and refill orders
        are of one size, the largest round one whose worst case is within the margin limit."""
        limit = USUAL_LIMIT if margin_limit is None else margin_limit
        leverage = self.leverage if market == StrategyConfig.Market.FUTURES else Decimal(1)
        of_one = ladder.build(replace(self.shape, leverage=leverage), Decimal(1)).worst_case
        order = _cut(limit / of_one)
        return {
            "margin_limit": limit,
            "leverage": leverage,
            "first_order": order,
            "refill_order": order,
            "max_refills": self.shape.refills,
            "refill_step": self.shape.step,
            "step_scale": self.shape.step_scale,
            "volume_scale": self.shape.volume_scale,
            "refills_at_once": self.shape.at_once,
            "max_deals": self.shape.deals,
            "take_profit": self.shape.take_profit,
            "fee": self.shape.fee,
            **self._recovery(limit),
        }

    def _recovery(self, limit: Decimal) -> dict[str, Any]:
        loss = self.loss_share and _cut(limit * self.loss_share)
        return {
            "recovery": self.recovery,
            "recovery_threshold": self.threshold,
            "recovery_close": self.close,
            "recovery_loss": loss,
        }


def _cut(amount: Decimal) -> Decimal:
    """To whole cents; less than 1, as of bitcoin, to three digits that count."""
    step = CENT if amount >= 1 else max(SMALLEST, Decimal(1).scaleb(amount.adjusted() - 2))
    return amount.quantize(step, ROUND_DOWN)


def _shape(
    refills: int, step: str, step_scale: str, volume_scale: str, deals: int, take_profit: str
) -> ladder.Settings:
    return ladder.Settings(
        first=Decimal(1),
        refill=Decimal(1),
        refills=refills,
        step=Decimal(step),
        step_scale=Decimal(step_scale),
        volume_scale=Decimal(volume_scale),
        take_profit=Decimal(take_profit),
        deals=deals,
        fee=Decimal("0.1"),
        at_once=2,
    )


PRESETS: Mapping[str, Preset] = {
    Risk.CONSERVATIVE: Preset(
        _(
            "Few refills of nearly the same size, one deal at a time. It stops refilling in a deep "
            "fall, so a deal may stay open at a loss for long."
        ),
        _shape(4, "2", "1.2", "1.2", 1, "1.5"),
        Decimal(1),
        Recovery.STOP_REFILLS,
        threshold=Decimal(10),
    ),
    Risk.BALANCED: Preset(
        _(
            "Refills that grow and stand further apart, two deals at a time. In a deep fall it "
            "closes a part at a loss, up to the allowance, to keep the rest going."
        ),
        _shape(6, "1.5", "1.25", "1.3", 2, "1.2"),
        Decimal(2),
        Recovery.REDUCE,
        threshold=Decimal(12),
        close=Decimal(25),
        loss_share=Decimal("0.05"),
    ),
    Risk.AGGRESSIVE: Preset(
        _(
            "Many refills that grow fast, with little between them, and nothing that stops them. "
            "Most of the margin goes into the last ones: a fall beyond them loses the most."
        ),
        _shape(7, "1", "1.3", "1.5", 2, "1"),
        Decimal(3),
        Recovery.OFF,
    ),
}
