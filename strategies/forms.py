"""What a person fills in about a strategy. Nothing typed is lost, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from connections.forms import clean_name
from connections.models import Connection

from . import limits
from .models import Pair, StrategyConfig
from .presentation import SETTINGS as WORDS
from .presentation import without_meaning
from .presets import SETTINGS

Risk, Market = StrategyConfig.Risk, StrategyConfig.Market

MOST_PAIRS = 200  # of one strategy, and of one address
CHOSEN_BY_DOTS = ("market", "direction", "risk", "recovery")
NUMBERS = tuple(name for name in SETTINGS if name not in CHOSEN_BY_DOTS)
AS_NUMBER = _("Write it like 1234.5: a point before the decimals, nothing between thousands.")
MESSAGES = {
    "invalid": AS_NUMBER,
    "required": _("Enter a number."),
    "min_value": _("Enter %(limit_value)s or more."),
    "max_value": _("Enter %(limit_value)s or less."),
    "max_decimal_places": _("At most %(max)s digits after the point."),
    "max_digits": _("That number is too long."),
    "max_whole_digits": _("That number is too large."),
}


class Number(forms.DecimalField):
    """Typed with a point. A comma is refused: it means thousands to some and decimals to others."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(without_blanks(value))


class Whole(forms.IntegerField):
    def to_python(self, value: Any) -> Any:
        return super().to_python(without_blanks(value))


def without_blanks(value: Any) -> Any:
    """As numbers on our own pages are grouped, and copied from there."""
    return "".join(value.split()) if isinstance(value, str) else value


class PairsField(forms.Field):
    """Pairs of one market by their numbers; those of the other market become their counterparts."""

    widget = forms.SelectMultiple
    default_error_messages = {
        "required": _("Choose at least one pair."),
        "gone": _("A pair you chose is not listed here any more. Choose another one."),
        "many": _("Choose %(most)d pairs at most."),
    }

    def __init__(self, *, exchange: str, market: str) -> None:
        super().__init__(label=_("Pairs"))
        self.exchange, self.market = exchange, market

    def clean(self, value: Any) -> list[Pair]:
        given = set(value or ())
        if not given:
            raise forms.ValidationError(self.error_messages["required"], "required")
        if len(given) > MOST_PAIRS:
            text = self.error_messages["many"]
            raise forms.ValidationError(text, "many", {"most": MOST_PAIRS})
        found = chosen_pairs(self.exchange, self.market, given)
        if len(found) < len(given):
            raise forms.ValidationError(self.error_messages["gone"], "gone")
        return found


def chosen_pairs(exchange: str, market: str, given: Iterable[str]) -> list[Pair]:
    """What a list of row numbers stands for on a market, by one query for each market."""
    found = _ticked(exchange, given)
    here = {pair.pk: pair for pair in found if pair.market == market}
    named = {(pair.base, pair.quote) for pair in found if pair.market != market}
    if named:
        bases = {base for base, _quote in named}
        others = Pair.objects.listed(exchange, market).filter(base__in=bases)
        here |= {pair.pk: pair for pair in others if (pair.base, pair.quote) in named}
    return sorted(here.values(), key=lambda pair: pair.symbol)


def lost_pairs(market: str, exchange: str, given: Iterable[str], kept: Iterable[Pair]) -> list[str]:
    """Names of pairs of the other market that have no counterpart on this one."""
    here = {(pair.base, pair.quote) for pair in kept}
    ticked = [pair for pair in _ticked(exchange, given) if pair.market != market]
    return sorted(
        f"{each.base}/{each.quote}" for each in ticked if (each.base, each.quote) not in here
    )


def _ticked(exchange: str, given: Iterable[str]) -> list[Pair]:
    numbers = {int(one) for one in given if one.isascii() and one.isdigit() and len(one) < 19}
    if not numbers:
        return []
    return list(Pair.objects.filter(exchange=exchange, pk__in=sorted(numbers)[:MOST_PAIRS]))


class StrategyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name, pairs and settings of a strategy on `connection`. `instance` is a draft, never saved:
    what can be read of the form stands in it, even where the form as a whole is not valid."""

    # Of which level and market the values are, as the page was drawn.
    filled = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)
    version = forms.CharField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = StrategyConfig
        fields = ("name", *SETTINGS)
        field_classes = {
            **dict.fromkeys(NUMBERS, Number),
            **dict.fromkeys(("max_refills", "refills_at_once", "max_deals"), Whole),
        }
        widgets = {
            **dict.fromkeys(CHOSEN_BY_DOTS, forms.RadioSelect),
            **dict.fromkeys(NUMBERS, forms.TextInput),
        }

    def __init__(
        self, data: QueryDict | None = None, *, connection: Connection, initial: Any = None
    ) -> None:
        draft = StrategyConfig(owner_id=connection.owner_id, connection=connection)
        super().__init__(data, initial=initial, instance=draft)
        self.readable: frozenset[str] = frozenset()  # fields whose values the draft has
        self.market = one_of(Market, self._given("market"), Market.SPOT)
        self.fields["pairs"] = PairsField(exchange=connection.exchange_id, market=self.market)
        self.order_fields(("name", "market", "direction", "pairs"))
        self._dress_name()
        for name in SETTINGS:
            self._dress(name)

    def clean_name(self) -> str:
        return clean_name(str(self.cleaned_data["name"]))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        pairs = cleaned.get("pairs")
        if pairs:
            self.instance.quote = pairs[0].quote
        return cleaned

    def _post_clean(self) -> None:
        """Fills the draft, then asks what forbids it as a whole, whatever it is called."""
        super()._post_clean()  # type: ignore[misc]
        self.readable = frozenset(self.cleaned_data)
        if set(self.errors) <= {"name"}:
            self.refuse(limits.faults(self.instance, self.cleaned_data["pairs"]))

    def refuse(self, faults: Iterable[Any]) -> None:
        """Says each fault beside its field."""
        for fault in faults:
            name = fault.setting if fault.setting in self.fields else None
            self.add_error(name, limits.sentence(fault))

    @property
    def seen_version(self) -> int:
        """0 is none."""
        return seen_version(self.cleaned_data["version"]) or 0

    @property
    def settings(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SETTINGS}

    def _given(self, name: str) -> Any:
        return self.data.get(name) if self.is_bound else self.initial.get(name)

    def _dress_name(self) -> None:
        field = self.fields["name"]
        field.label = _("Name")
        field.help_text = _("For you alone, such as BTC ETH New Groups.")
        field.error_messages["required"] = _(
            "Give the strategy a name, such as BTC ETH New Groups."
        )
        field.widget.attrs["autocomplete"] = "off"

    def _dress(self, name: str) -> None:
        field, words = self.fields[name], WORDS[name]
        field.label, field.help_text = words.label, words.hint
        if name not in NUMBERS:
            field.error_messages |= {
                "required": _("Choose one."),
                "invalid_choice": _("Choose one."),
            }
            field.required = name != "direction"
            return
        field.error_messages |= MESSAGES
        field.required = name not in without_meaning(self.market, StrategyConfig.Recovery.OFF)
        field.widget.attrs |= {"inputmode": "decimal", "autocomplete": "off", "class": "num"}


def seen_version(sent: str) -> int | None:
    """The version that the page showed which was sent."""
    return int(sent) if sent.isdecimal() and len(sent) < 10 else None


def one_of(choices: Any, value: Any, otherwise: str) -> str:
    return str(value) if value in choices.values else otherwise
