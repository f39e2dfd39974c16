"""What a strategy would cost, as its pages show it: every order, the worst case, and what the
account has beside it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.utils.translation import gettext, ngettext

from . import accounts, ladder
from .forms import StrategyForm
from .ladder import Ladder, Rung
from .models import Pair, StrategyConfig
from .presentation import SETTINGS as WORDS
from .presentation import column, money, number, percent, percents, plain, short
from .preview import Drawing, draw, view_box

EXAMPLE_PRICE = Decimal(100)
# What a ladder is made of: without one of these nothing can be drawn.
LADDER = {"first_order", "refill_order", "max_refills", "refill_step", "step_scale"}
LADDER |= {"volume_scale", "refills_at_once", "max_deals", "take_profit", "fee", "leverage"}
FIRST_RADIO = {name: f"id_{name}_0" for name in ("market", "direction", "risk", "recovery")}


@dataclass(frozen=True, slots=True)
class Note:
    """A fault or a warning. `field` is the id of the field it is about, or ""."""

    field: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One order of the table, its numbers aligned with those above and below."""

    number: int
    over: bool  # more margin than the limit
    price: str
    away: str
    size: str
    funds: str
    average: str
    target: str
    move: str
    margin: str


@dataclass(frozen=True, slots=True)
class Money:
    """What is taken, and of what, in the quote currency. `share` is in percent, for a bar."""

    worst: str
    limit: str
    over: bool
    share: int
    reserved: str
    deals: int
    compared: bool  # with what the account holds, once a pair says in which currency
    balance: str
    taken: str
    others: int
    left: str
    missing: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Numbers beside the picture, short, and the bounds that hold them."""

    entry: str
    last: str
    worst: str
    limit: str

    @property
    def even(self) -> str:
        return gettext("to even, %")

    @property
    def view_box(self) -> str:
        return view_box((self.entry, self.last, self.even, self.worst, self.limit))


@dataclass(frozen=True, slots=True)
class Preview:
    """`picture` and what is beside it are empty while the fields do not make a ladder."""

    notes: list[Note]
    quote: str
    price_of: str
    entry: str
    last: str
    last_move: str
    picture: Drawing | None
    labels: Labels | None
    rows: list[Row]
    money: Money | None
    warnings: list[str]
    leveraged: bool


def preview_of_form(form: StrategyForm, pairs: list[Pair], *, but: UUID | None) -> Preview:
    """Of a form that was sent, as far as it can be read. `but`: the strategy that is changed."""
    form.is_valid()
    readable = LADDER | {"margin_limit"} <= form.readable
    draft = form.instance if readable and not ladder.faults(form.instance.ladder_settings) else None
    return _preview(draft, pairs, _notes(form), but=but)


def preview_of(strategy: StrategyConfig) -> Preview:
    """Of a saved strategy."""
    sound = not ladder.faults(strategy.ladder_settings)
    pairs = list(strategy.pairs.all())
    return _preview(strategy if sound else None, pairs, [], but=strategy.pk)


def _notes(form: StrategyForm) -> list[Note]:
    notes = []
    for name, errors in form.errors.items():
        if name not in ("name", "version", "filled"):
            words = WORDS.get(name)
            label = words.label if words else gettext("Pairs") if name == "pairs" else ""
            field = "" if name == "__all__" else FIRST_RADIO.get(name, f"id_{name}")
            notes += [Note(field, str(label), str(error)) for error in errors]
    return notes


def _preview(
    draft: StrategyConfig | None, pairs: list[Pair], notes: list[Note], *, but: UUID | None
) -> Preview:
    quote = pairs[0].quote if pairs else ""
    if draft is None:
        return Preview(notes, quote, "", "", "", "", None, None, [], None, [], False)
    priced = next((pair for pair in pairs if pair.last_price), None)
    entry = (priced and priced.last_price) or EXAMPLE_PRICE
    built = ladder.build(draft.ladder_settings, entry)
    last = built.rungs[-1]
    return Preview(
        notes=notes,
        quote=quote or gettext("of the quote currency"),
        price_of=f"{priced.base}/{priced.quote}" if priced else "",
        entry=number(entry),
        last=number(last.price),
        last_move=percent(last.move),
        picture=draw(built, draft.margin_limit),
        labels=Labels(*map(short, (entry, last.price, built.worst_case, draft.margin_limit))),
        rows=_rows(built, draft.margin_limit),
        money=_money(draft, built, quote, but),
        warnings=_warnings(built),
        leveraged=built.settings.leverage > 1,
    )


def _rows(built: Ladder, limit: Decimal) -> list[Row]:
    rungs = built.rungs
    margins = [rung.margin * built.settings.deals for rung in rungs]
    sign = 1 if built.settings.direction == "short" else -1
    columns = (
        column([rung.price for rung in rungs]),
        percents([sign * rung.deviation for rung in rungs]),
        column([rung.size for rung in rungs]),
        column([rung.funds for rung in rungs]),
        column([rung.average for rung in rungs]),
        column([rung.target for rung in rungs]),
        percents([rung.move for rung in rungs]),
        column(margins),
    )
    over = [margin > limit for margin in margins]
    rows = enumerate(zip(*columns, strict=True))
    return [Row(number, over[number], *texts) for number, texts in rows]


def _money(draft: StrategyConfig, built: Ladder, quote: str, but: UUID | None) -> Money:
    worst, limit = built.worst_case, draft.margin_limit
    connection = draft.connection
    account = accounts.Account(None, Decimal(0), 0)
    if connection is not None and quote:
        account = accounts.standing(connection, draft.market, quote, but=but)
    left = None if account.balance is None else account.balance - account.taken - worst
    return Money(
        worst=money(worst),
        limit=number(limit),
        over=worst > limit,
        share=_share(worst, limit),
        reserved=money(built.reserved),
        deals=built.settings.deals,
        compared=bool(quote),
        balance="" if account.balance is None else money(account.balance),
        taken=money(account.taken),
        others=account.others,
        left=money(left) if left is not None and left >= 0 else "",
        missing=money(-left) if left is not None and left < 0 else "",
    )


def _share(part: Decimal, whole: Decimal) -> int:
    """In percent, 100 at most; the last one is kept for what is really all of it."""
    if part >= whole:
        return 100
    return min(99, round(part / whole * 100))


def _warnings(built: Ladder) -> list[str]:
    rung = built.liquidated_at
    return [_liquidation(built, rung)] if rung else []


def _liquidation(built: Ladder, rung: Rung) -> str:
    away = abs(rung.liquidation / built.rungs[0].price - 1) * 100
    facts = {
        "leverage": plain(built.settings.leverage),
        "price": number(rung.liquidation),
        "away": percents([away])[0].lstrip("+"),
    }
    left = built.settings.refills - rung.number
    if not left:
        text = gettext(
            "With %(leverage)s× leverage the margin of a deal is gone at its last refill, "
            "%(away)s %% from the entry (%(price)s): the exchange liquidates it there. Lower the "
            "leverage, or the step."
        )
        return text % facts
    text = ngettext(
        "With %(leverage)s× leverage the margin of a deal is gone %(away)s %% from the entry "
        "(%(price)s): the exchange liquidates it before the last refill is bought. Lower the "
        "leverage, or the step.",
        "With %(leverage)s× leverage the margin of a deal is gone %(away)s %% from the entry "
        "(%(price)s): the exchange liquidates it before its last %(left)s refills are bought. "
        "Lower the leverage, or the step.",
        left,
    )
    return text % {**facts, "left": left}
