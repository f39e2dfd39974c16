"""What the form of a strategy shows: its fields with their words, the risk levels, and the pairs to
choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from connections.models import Connection

from . import pair_lists
from .forms import StrategyForm, chosen_pairs, lost_pairs
from .models import Pair, StrategyConfig
from .pair_lists import State
from .presentation import SETTINGS as WORDS
from .presentation import Words, number
from .presets import PRESETS

FOUND = 30  # pairs shown of those a search finds

GROUPS = {
    "money": ("margin_limit", "leverage", "first_order", "refill_order", "max_deals"),
    "refills": ("max_refills", "refills_at_once", "refill_step", "step_scale", "volume_scale"),
    "profit": ("take_profit", "fee"),
    "recovery": ("recovery_threshold", "recovery_close", "recovery_loss"),
}
WHEN = {"leverage": "futures", "recovery_threshold": "recovering"}
WHEN |= {"recovery_close": "reducing", "recovery_loss": "reducing"}


@dataclass(frozen=True, slots=True)
class PairLine:
    """A pair to tick. `gone`: it cannot be traded any more."""

    pk: int
    name: str
    note: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Picker:
    pairs: list[Pair]  # those that are chosen
    chosen: list[PairLine]
    found: list[PairLine]
    text: str
    quote: str  # that of the chosen pairs: all others must share it
    more: bool
    lost: list[str]  # not on the market that was chosen
    state: State
    known: bool  # whether this market's list is ever read


@dataclass(frozen=True, slots=True)
class Level:
    """A risk level to choose: what it risks."""

    value: str
    label: str
    sentence: str
    chosen: bool


# --- pairs ------------------------------------------------------------------------------------
def picker(
    connection: Connection, market: str, given: Sequence[str], text: str, *, now: datetime
) -> Picker:
    """`given`: the numbers of the pairs that are ticked."""
    code = connection.exchange_id
    chosen = chosen_pairs(code, market, given)
    ids = [pair.pk for pair in chosen]
    quote = chosen[0].quote if chosen else ""
    found = pair_lists.search(code, market, text[:60], quote=quote, chosen=ids, limit=FOUND + 1)
    others = [pair for pair in found if pair.pk not in ids]
    return Picker(
        chosen,
        [_line(pair) for pair in chosen],
        [_line(pair) for pair in others[:FOUND]],
        text[:60],
        quote,
        len(others) > FOUND,
        lost_pairs(market, code, given, chosen) if len(chosen) < len(set(given)) else [],
        pair_lists.state_of(code, market, now=now),
        pair_lists.known(code, market),
    )


def _line(pair: Pair) -> PairLine:
    parts = []
    if pair.last_price is not None:
        parts.append(gettext("last %(price)s") % {"price": number(pair.last_price)})
    if pair.min_cost:
        facts = {"cost": number(pair.min_cost), "quote": pair.quote}
        parts.append(gettext("orders from %(cost)s %(quote)s") % facts)
    return PairLine(pair.pk, f"{pair.base}/{pair.quote}", " · ".join(parts), not pair.active)


def levels(chosen: str) -> list[Level]:
    """The presets with what each risks, and custom."""
    sentences = {str(value): str(preset.sentence) for value, preset in PRESETS.items()}
    custom = gettext("Your own values. The preview shows what they cost at worst.")
    return [
        Level(str(value), str(label), sentences.get(value, custom), value == chosen)
        for value, label in StrategyConfig.Risk.choices
    ]


@dataclass(frozen=True, slots=True)
class Input:
    """A field with its words. `when` says where it has a meaning, for the style sheet."""

    field: Any
    words: Words
    unit: str
    when: str


def groups(form: StrategyForm, quote: str) -> dict[str, list[Input]]:
    """The numbers of the form, as they stand together."""
    quote = quote or gettext("quote currency")
    return {
        key: [
            Input(
                form[name],
                WORDS[name],
                quote if WORDS[name].unit == "quote" else WORDS[name].unit,
                WHEN.get(name, ""),
            )
            for name in names
        ]
        for key, names in GROUPS.items()
    }
