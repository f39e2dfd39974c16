"""How the exchanges are doing, as far as the tests of their keys tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.utils.translation import gettext

from . import exchanges, history
from .finding_pages import Mark
from .history import Share
from .models import Connection, ConnectionTest, Outage
from .models import Exchange as ExchangeRow
from .pages import BALANCES, HistoryLine, Summary, history_line, summary
from .presentation import Color

# All connections are counted for it, so it is done once for all who ask within a minute.
SHARES_KEPT = 60
OUTAGES_SHOWN = 20
TESTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Health:
    """An exchange on one line. `everybody` is there where it may be told (history.py)."""

    exchange: ExchangeRow
    state: Mark
    outage: Outage | None
    everybody: Share | None
    own: Share


@dataclass(frozen=True, slots=True)
class Detail:
    health: Health
    outages: list[Outage]
    lines: list[Summary]
    tests: list[HistoryLine]


def overview(user: Any, *, now: datetime) -> list[Health]:
    """Every exchange that is known, those of one's own connections first."""
    outages = {row.exchange_id: row for row in Outage.objects.filter(ended_at=None)}
    own = history.shares(now, Connection.objects.owned_by(user))
    everybody = _everybody(now)
    rows = [row for row in ExchangeRow.objects.for_choosing() if row.code in exchanges.EXCHANGES]
    found = [_health(row, outages.get(row.pk), everybody, own) for row in rows]
    return sorted(found, key=lambda health: not health.own.active)


def detail(user: Any, exchange: ExchangeRow, *, now: datetime) -> Detail:
    outages = list(exchange.outages.all()[:OUTAGES_SHOWN])
    going_on = next((row for row in outages if row.ended_at is None), None)
    mine = Connection.objects.owned_by(user).filter(exchange=exchange)
    tests = ConnectionTest.objects.filter(connection__in=mine).order_by("-queued_at", "pk")
    tests = tests.select_related("connection__exchange", "requested_by")
    return Detail(
        _health(exchange, going_on, _everybody(now), history.shares(now, mine)),
        [row for row in outages if row.ended_at],
        [summary(row) for row in mine.for_list().order_by("name")],
        [
            history_line(test.connection, test)
            for test in tests.defer("steps", "permissions", *BALANCES)[:TESTS_SHOWN]
        ],
    )


def _everybody(now: datetime) -> dict[str, Share]:
    """Of those exchanges where nobody can be singled out."""
    shares: dict[str, Share] | None = cache.get("connections.shares")
    if shares is None:
        shares = {code: each for code, each in history.shares(now).items() if each.may_be_told}
        cache.set("connections.shares", shares, SHARES_KEPT)
    return shares


def _health(
    row: ExchangeRow, outage: Outage | None, everybody: dict[str, Share], own: dict[str, Share]
) -> Health:
    mine, told = own.get(row.pk, Share()), everybody.get(row.pk)
    return Health(row, _state(row, outage, told or mine), outage, told, mine)


def _state(row: ExchangeRow, outage: Outage | None, share: Share) -> Mark:
    color: Color
    if outage:
        word, color, icon = gettext("Down"), "red", "cloud-off"
    elif row.paused:
        word, color, icon = gettext("Tests are paused"), "secondary", "pause"
    elif not share.active:
        word, color, icon = gettext("Nothing known"), "secondary", "help"
    elif share.unavailable * 2 > share.active:
        word, color, icon = gettext("Often no answer"), "orange", "alert"
    else:
        word, color, icon = gettext("Answers"), "green", "check"
    return Mark(word, color, icon)
