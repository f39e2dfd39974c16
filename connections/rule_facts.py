"""What the rules look at, one row for each connection: what is known of it, of its strategies and
of their pairs. Django writes these, since databases differ in JSON and spans of time; the rules
over them are plain (rule_sets.py).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Max,
    Min,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Greatest

from .exchanges.lifetimes import LIFETIMES
from .models import Connection, Credential
from .rules import MARGIN_WITH_SPOT, MARGIN_WITH_TRADING, ONE_TRADING_RIGHT, TRANSFER_WITH_TRADING

Expressions = dict[str, Any]
Rows = tuple[tuple[str, ...], QuerySet[Any]]  # the names of the columns, and what selects them

MAY = {
    right: Q(**{f"permissions__{right}": True})
    for right in ("read", "spot_trade", "futures_trade", "margin", "transfer", "withdraw")
}
MAY_TRADE = MAY["spot_trade"] | MAY["futures_trade"] | MAY["margin"]


def facts(connections: Collection[UUID] | None) -> Rows:
    """What is known of each connection, one row for each."""
    rows = Connection.objects.all()
    if connections is not None:
        rows = rows.filter(pk__in=connections)
    columns = {**_itself(), **_rights(), **_ages(), **_ends()}
    in_use = Q(credentials__state=Credential.State.ACTIVE)
    rows = rows.annotate(key=FilteredRelation("credentials", condition=in_use))
    return tuple(columns), rows.annotate(**columns).order_by().values_list(*columns)


def running(connections: Collection[UUID] | None) -> Rows:
    """How many strategies are enabled on each connection that has one, in all and by market."""
    strategy: Any = Connection._meta.get_field("strategies").related_model
    enabled = strategy.objects.filter(enabled=True)
    if connections is not None:
        enabled = enabled.filter(connection__in=connections)
    counts = {
        "strategies": Count("pk"),
        "spot": Count("pk", filter=Q(market="spot")),
        "futures": Count("pk", filter=Q(market="futures")),
    }
    rows = enabled.order_by().values("connection_id").annotate(**counts)
    return ("connection_id", *counts), rows.values_list("connection_id", *counts)


def delisted(connections: Collection[UUID] | None) -> Rows:
    """How many pairs of enabled strategies are not traded any more, one row for each connection
    that has one."""
    strategy: Any = Connection._meta.get_field("strategies").related_model
    gone = strategy.objects.filter(
        enabled=True, connection__isnull=False, pairs__active=False
    ).order_by()
    if connections is not None:
        gone = gone.filter(connection__in=connections)
    names = {
        "gone": Count("pairs", distinct=True),
        "gone_first": Min("pairs__symbol"),
        "gone_last": Max("pairs__symbol"),
    }
    rows = gone.values("connection_id").annotate(**names)
    return ("connection_id", *names), rows.values_list("connection_id", *names)


def _itself() -> Expressions:
    return {
        "connection_id": F("pk"),
        "owned_by": F("owner_id"),
        "added_at": F("created_at"),
        "last_test": F("tested_at"),
        "failing_from": F("failing_since"),
        "trouble": F("problem"),
        "tested": _is(paused_at=None, exchange__paused=False),
        "exchange_paused": _is(paused_at=None, exchange__paused=True),
        # A key that was taken back has told nothing yet, just as one whose test says nothing.
        "untold": Case(
            When(Q(permissions__read=True) | Q(permissions__read=False), then=Value(False)),
            default=_is(status__in=(Connection.Status.FAILED, Connection.Status.NEW)),
            output_field=BooleanField(),
        ),
        "no_date": Cast(Value(None), DateTimeField()),
    }


def _rights() -> Expressions:
    """What the key is proven to be allowed. Silence is neither yes nor no and finds nothing."""
    one_right = Q(exchange__in=ONE_TRADING_RIGHT)
    return {
        "refused": _is(status=Connection.Status.REFUSED),
        "may_withdraw": _is(MAY["withdraw"]),
        "may_transfer": _is(MAY["transfer"]),
        "transfer_comes_along": _is(MAY_TRADE, exchange__in=TRANSFER_WITH_TRADING),
        "excess_spot": _is(MAY["spot_trade"], ~one_right),
        "excess_futures": _is(MAY["futures_trade"], ~one_right),
        "excess_margin": _is(MAY["margin"], ~Q(exchange__in=MARGIN_WITH_TRADING)),
        "margin_with_spot": _is(exchange__in=MARGIN_WITH_SPOT),
        "any_ip": _is(ip_restricted=False),
        "ip_unknown": _is(MAY["read"], ip_restricted=None),
    }


def _ages() -> Expressions:
    """Empty where no key is in use."""
    return {
        "made_at": Case(
            When(key__isnull=False, then=Coalesce("key_created_at", "key__created_at")),
            output_field=DateTimeField(),
        ),
        "made_from": _where(Q(key_created_at=None), "entered"),
        "used_at": Coalesce("key__last_used_at", "key__created_at"),
        "rested_at": Greatest(
            "key__created_at",
            Coalesce("key__last_used_at", "key__created_at"),
            Coalesce("last_ok_at", "key__created_at"),
        ),
    }


def _ends() -> Expressions:
    """The date that the exchange tells, else the one its rules come to. A good test after a date
    that was only computed proves that it was not the end."""
    computed = F("made_at") + _days_of("days")
    open_key = Q(key__isnull=False, ip_restricted=False)
    counted_in = Q(exchange__in=_those_with("told"), key_expires_at__isnull=False)
    return {
        "ends_at": Case(
            When(key_expires_at__isnull=False, then=F("key_expires_at")),
            When(open_key & (Q(last_ok_at=None) | Q(last_ok_at__lt=computed)), then=computed),
            output_field=DateTimeField(),
        ),
        "ends_from": _where(Q(key_expires_at=None), "computed"),
        "dies_at": Case(
            When(open_key & MAY_TRADE & ~counted_in, then=F("rested_at") + _days_of("idle_days")),
            output_field=DateTimeField(),
        ),
    }


def _those_with(what: str) -> list[str]:
    return [code for code, lifetime in LIFETIMES.items() if getattr(lifetime, what)]


def _days_of(what: str) -> Case:
    """So many days as the connection's exchange counts, none where it has no such rule."""
    return Case(
        *(
            When(exchange=code, then=Value(timedelta(days=getattr(LIFETIMES[code], what))))
            for code in _those_with(what)
        ),
        output_field=DurationField(),
    )


def _where(true: Q, word: str) -> Case:
    return Case(When(true, then=Value(word)), default=Value(""), output_field=CharField())


def _is(*conditions: Q, **lookups: Any) -> ExpressionWrapper[Q]:
    return ExpressionWrapper(Q(*conditions, **lookups), output_field=BooleanField())
