"""How strategies are said on a page: the words of every setting, numbers, and the status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections.models import Connection
from connections.presentation import Status

from .ladder import UNCOUNTED
from .models import StrategyConfig
from .safety import suspended_for

DIGITS = 8  # that are shown of a number which is not whole
IN_TABLES = 7
IN_PICTURES = 6
SMALLEST = Decimal("0.005")  # percent of a move that is said
THIN = "\u202f"  # between thousands: neither a comma nor a point, which mean other things elsewhere
MINUS = "−"
Text = Any  # text, or text to be translated when it is shown


@dataclass(frozen=True, slots=True)
class Words:
    """A setting in ours and in the field's own words. `unit` is a sign, or "quote" for
    the quote currency."""

    label: Text
    term: Text = ""
    unit: str = ""
    hint: Text = ""


SETTINGS: dict[str, Words] = {
    "market": Words(_("Market")),
    "direction": Words(_("Direction")),
    "risk": Words(_("Risk level")),
    "margin_limit": Words(
        _("Margin limit"),
        _("maximum investment"),
        "quote",
        _(
            "All deals together never take more, even when every refill of each is bought. Choose "
            "a level again to fit its orders to a new limit."
        ),
    ),
    "leverage": Words(
        _("Leverage"),
        "",
        "×",
        _("Of a futures position. It makes profit and loss larger, and liquidation nearer."),
    ),
    "first_order": Words(
        _("First order"),
        _("base order"),
        "quote",
        _("Opens each deal. Before leverage: its full size."),
    ),
    "refill_order": Words(
        _("Refill order"),
        _("safety order, averaging order"),
        "quote",
        _("The first refill of each deal. The volume scale makes the next ones."),
    ),
    "max_refills": Words(
        _("Refills at most"), _("max safety orders"), "", _("Of each deal, 50 at most.")
    ),
    "refill_step": Words(
        _("Refill step"),
        _("price deviation"),
        "%",
        _("How far the price moves against a deal before its first refill."),
    ),
    "step_scale": Words(
        _("Step scale"),
        _("safety order step scale"),
        "×",
        _("Each step is the one before times this. 1 keeps them equal."),
    ),
    "volume_scale": Words(
        _("Volume scale"),
        _("safety order volume scale"),
        "×",
        _("Each refill is the one before times this. 1 keeps them equal."),
    ),
    "refills_at_once": Words(
        _("Refills placed at once"),
        _("max active safety orders"),
        "",
        _("Kept open at the exchange in each deal. 0 places all of them."),
    ),
    "max_deals": Words(
        _("Deals open at once"),
        _("max active deals"),
        "",
        _("Of all pairs together. The worst case counts every one of them."),
    ),
    "take_profit": Words(
        _("Take profit"),
        _("target profit"),
        "%",
        _("Beyond the price at which a deal is even, fees paid."),
    ),
    "fee": Words(_("Fee"), _("taker fee"), "%", _("Of every order, as the exchange takes it.")),
    "recovery": Words(_("Recovery Mode"), _("stop loss for deals that run away")),
    "recovery_threshold": Words(
        _("Starts at a loss of"),
        _("trigger"),
        "%",
        _("Of what a deal has taken so far, fees included."),
    ),
    "recovery_close": Words(_("Closes"), _("partial close"), "%", _("Of the position, at once.")),
    "recovery_loss": Words(
        _("Loss allowance"),
        _("maximum loss"),
        "quote",
        _("Closing stops when all deals together have lost this much."),
    ),
}
CHOICES: dict[str, Any] = {
    "market": StrategyConfig.Market,
    "direction": StrategyConfig.Direction,
    "risk": StrategyConfig.Risk,
    "recovery": StrategyConfig.Recovery,
}


# --- numbers ----------------------------------------------------------------------------------
def number(value: Decimal | int) -> str:
    """At most eight digits, but never fewer than stand before the point; no zeros at the end."""
    rounded = _rounded(Decimal(value), DIGITS)
    if rounded.adjusted() >= UNCOUNTED:
        return f"{rounded:.2E}"
    return _grouped(f"{rounded:.{_places(rounded)}f}")


def money(value: Decimal) -> str:
    """In cents, and as many digits more as it takes to see five of a small amount."""
    if value.adjusted() >= UNCOUNTED:
        return number(value)
    places = max(2, 4 - value.adjusted()) if value else 0
    text = plain(value.quantize(Decimal(1).scaleb(-places), context=Context(prec=200)))
    whole, point, rest = text.partition(".")
    return _grouped(f"{whole}.{rest:0<2}" if point else whole)


def short(value: Decimal) -> str:
    """To six digits, for where there is little room: the exact number stands elsewhere."""
    if value and not -7 < value.adjusted() < 8:
        return f"{value:.2E}"
    rounded = _rounded(value, IN_PICTURES)
    return _grouped(f"{rounded:.{_places(rounded)}f}")


def column(values: Sequence[Decimal]) -> list[str]:
    """Numbers to stand under each other, all with as many digits after the point: as many as one
    of them needs, but seven digits at most in the largest and three at least in the smallest."""
    rounded = [_rounded(value, IN_TABLES) for value in values]
    needed = max((_places(value) for value in rounded), default=0)
    sizes = [value.adjusted() for value in rounded if value]
    enough = max(IN_TABLES - 1 - max(sizes, default=0), 2 - min(sizes, default=0), 0)
    return [
        f"{value:.2E}"
        if value.adjusted() >= UNCOUNTED
        else _grouped(f"{value:.{min(needed, enough)}f}")
        for value in rounded
    ]


def percents(values: Sequence[Decimal]) -> list[str]:
    """The same for moves, with their signs and two digits after the point."""
    return [_percent(value) for value in values]


def _percent(value: Decimal) -> str:
    if abs(value) < SMALLEST:
        return "0.00"
    if value.adjusted() >= UNCOUNTED:
        return f"{value:+.2E}".replace("-", MINUS)
    return _grouped(f"{value:+.2f}")


def plain(value: Any) -> str:
    """A setting as it stands in a form's field: exact, no zeros at the end, no grouping."""
    if not isinstance(value, Decimal):
        return "" if value is None else str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: Decimal) -> str:
    return f"{percents([value])[0]} %"


def _rounded(value: Decimal, digits: int) -> Decimal:
    whole = max(value.adjusted() + 1, 1) if value else 1
    context = Context(prec=max(digits, whole), rounding=ROUND_HALF_EVEN)
    return context.plus(value)


def _places(value: Decimal) -> int:
    exponent = value.normalize(Context(prec=100)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _grouped(text: str) -> str:
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    whole, point, rest = digits.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", THIN)
    return f"{sign.replace('-', MINUS)}{whole}{point}{rest}"


# --- settings ---------------------------------------------------------------------------------
def said(name: str, value: Any, quote: str) -> str:
    """A setting's value in words: "250 USDT", "1.5 %", "Balanced". `value` may be stored text."""
    if value in (None, ""):
        return gettext("none")
    if name in CHOICES:
        labels = dict(CHOICES[name].choices)
        return str(labels.get(value, value)).capitalize()
    try:
        text = number(Decimal(str(value)))
    except InvalidOperation:
        return str(value)
    unit = quote if SETTINGS[name].unit == "quote" else SETTINGS[name].unit
    if name == "refills_at_once" and text == "0":
        return gettext("all")
    return f"{text}{'' if unit == '×' else ' '}{unit}".strip()


def shown_settings(strategy: StrategyConfig) -> list[tuple[Words, str]]:
    """Every setting that has a meaning for this strategy, in the form's order."""
    return [
        (words, said(name, getattr(strategy, name), strategy.quote))
        for name, words in SETTINGS.items()
        if name not in without_meaning(strategy.market, strategy.recovery)
    ]


def without_meaning(market: str, recovery: str) -> set[str]:
    """Settings that say nothing there: spot has no leverage and is always long."""
    none = {"leverage", "direction"} if market == StrategyConfig.Market.SPOT else set()
    if recovery == StrategyConfig.Recovery.OFF:
        return none | {"recovery_threshold", "recovery_close", "recovery_loss"}
    if recovery == StrategyConfig.Recovery.STOP_REFILLS:
        return none | {"recovery_close", "recovery_loss"}
    return none


def pair_names(symbols: Iterable[str], most: int = 3) -> str:
    """ "BTC/USDT, ETH/USDT and 4 more"."""
    names = [symbol.partition(":")[0] for symbol in symbols]
    first, rest = ", ".join(names[:most]), len(names) - most
    if rest <= 0:
        return first or gettext("no pairs")
    return gettext("%(pairs)s and %(n)d more") % {"pairs": first, "n": rest}


# --- status -----------------------------------------------------------------------------------
def status_of(strategy: StrategyConfig) -> Status:
    """The one status shown everywhere. Reads the connection and its exchange."""
    if strategy.suspended_at:
        sentence = suspended_for(strategy.suspended_for, strategy.connection)
        return Status(gettext("Suspended"), "red", "shield-x", sentence)
    if strategy.connection is None:
        sentence = gettext("Its connection was deleted. Choose another one to use it again.")
        return Status(gettext("Without a connection"), "yellow", "plug", sentence)
    if not strategy.enabled:
        sentence = gettext("It does nothing until you enable it.")
        return Status(gettext("Off"), "secondary", "circle", sentence)
    return _enabled(strategy)


def _enabled(strategy: StrategyConfig) -> Status:
    connection = strategy.connection
    if connection is None:
        raise ValueError("an enabled strategy has a connection")
    if connection.paused_at:
        sentence = gettext("It is enabled, but its connection is paused, so it rests.")
        return Status(gettext("Connection paused"), "secondary", "pause", sentence)
    if connection.status == Connection.Status.NEW:
        sentence = gettext("It is enabled; the key it now uses has not been tested yet.")
        return Status(gettext("Key not tested yet"), "yellow", "clock", sentence)
    if not connection.works:
        sentence = gettext("It is enabled, but the last test of its connection failed.")
        return Status(gettext("Connection fails"), "orange", "alert", sentence)
    return may_trade()


def may_trade() -> Status:
    """Of one that is enabled, and whose connection works."""
    return Status(gettext("Enabled"), "green", "check", gettext("It may trade."))
