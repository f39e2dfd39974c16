"""What the form of a strategy is filled with: a level's values, those of a strategy, or what was
typed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import QueryDict

from .forms import Market, Risk, one_of, without_blanks
from .models import StrategyConfig
from .presentation import plain, without_meaning
from .presets import PRESETS, SETTINGS


def first_values(market: str, risk: str) -> dict[str, Any]:
    """A new form: the values of a level on a market."""
    values = {"market": market, "direction": StrategyConfig.Direction.LONG, "risk": risk}
    return {**_preset(risk, market, ""), **values, "filled": f"{risk}/{market}"}


def values_of(strategy: StrategyConfig) -> dict[str, Any]:
    """The form of a strategy as it stands."""
    values: dict[str, Any] = {name: plain(getattr(strategy, name)) for name in SETTINGS}
    filled = f"{strategy.risk}/{strategy.market}"
    pairs = [str(pk) for pk in strategy.pairs.values_list("pk", flat=True)]
    more = {"name": strategy.name, "filled": filled, "version": strategy.version, "pairs": pairs}
    return values | more


def settle(sent: QueryDict) -> tuple[QueryDict, bool]:
    """What was sent, with the level's values where another level or market was chosen since the
    page was drawn, and with the level custom where a value is not the level's any more. And whether
    the fields have to be drawn again, before anybody has seen what would be saved."""
    data = sent.copy()
    market = one_of(Market, data.get("market"), Market.SPOT)
    risk = one_of(Risk, data.get("risk"), Risk.CUSTOM)
    was_risk, _slash, was_market = data.get("filled", "").partition("/")
    other_level = risk in PRESETS and (risk, market) != (was_risk, was_market)
    if other_level:
        for name, value in _preset(risk, market, data.get("margin_limit", "")).items():
            data[name] = value
    elif risk in PRESETS and not _is_preset(data, risk, market):
        risk = Risk.CUSTOM
    data["risk"], data["filled"] = risk, f"{risk}/{market}"
    _leave_out(data, market)
    return data, other_level or market != was_market


def _leave_out(data: QueryDict, market: str) -> None:
    """What has no meaning is not shown, so it must not be in the way."""
    if market == Market.SPOT:
        data["leverage"], data["direction"] = "1", StrategyConfig.Direction.LONG
    for name in without_meaning(market, data.get("recovery", "")) - {"leverage", "direction"}:
        if _decimal(data.get(name, "")) is None:
            data[name] = ""


def as_sent(values: Mapping[str, Any]) -> QueryDict:
    """The values of a form as a browser would send them."""
    data = QueryDict(mutable=True)
    for name, value in values.items():
        data.setlist(name, value if isinstance(value, list) else [str(value)])
    return data


def as_typed(data: QueryDict) -> dict[str, Any]:
    """For a form that is drawn again as it was typed, before it is sent: without its faults."""
    names = ("name", "version", "filled", *SETTINGS)
    typed: dict[str, Any] = {name: data[name] for name in names if name in data}
    return typed | {"pairs": data.getlist("pairs")}


def _preset(risk: str, market: str, limit: str) -> dict[str, str]:
    """The values of a level as text, its orders fitted to the margin limit that was typed."""
    typed = _decimal(limit)
    sensible = typed is not None and 0 < typed < Decimal(10) ** 12
    values = PRESETS[Risk(risk)].settings(market, typed if sensible else None)
    return {name: plain(value) for name, value in values.items()}


def _is_preset(data: QueryDict, risk: str, market: str) -> bool:
    hidden = without_meaning(market, data.get("recovery", ""))
    values = _preset(risk, market, data.get("margin_limit", ""))
    return all(
        _same(data.get(name, ""), value) for name, value in values.items() if name not in hidden
    )


def _same(typed: str, value: str) -> bool:
    return typed == value or (_decimal(typed) is not None and _decimal(typed) == _decimal(value))


def _decimal(typed: str) -> Decimal | None:
    try:
        value = Decimal(without_blanks(typed))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
