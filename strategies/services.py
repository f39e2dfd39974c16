"""What can be done with a strategy. Plain functions for views, admin, tasks and commands.

Whoever enables, or changes what is enabled, keeps its exchange account still meanwhile
(accounts.lock): tests write their results under the same lock, so a key that turns unsafe and a
strategy that is enabled on it cannot pass each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from connections.models import Connection
from connections.services import lock, lock_owner

from . import accounts, limits, safety
from .ladder import Fault
from .models import Pair, StrategyConfig, StrategyEvent
from .presets import SETTINGS

Kind = StrategyEvent.Kind


class NotSafe(Exception):
    """The strategy may not run now; `reasons` are the safety rules' own."""

    def __init__(self, reasons: list[safety.Reason]) -> None:
        super().__init__("the strategy may not be enabled")
        self.reasons = reasons


class Refused(Exception):
    """Nothing was saved; `faults` say what is wrong with the settings."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("the settings cannot be saved")
        self.faults = faults


class NameTaken(Exception):
    """Its owner already has a strategy of this name."""


class Outdated(Exception):
    """It was changed since it was looked at."""


class StillEnabled(Exception):
    """It has to be switched off first."""


class OtherExchange(Exception):
    """The connection is not one that this strategy can be moved to."""


def create(
    *,
    owner: Any,
    connection: Connection,
    name: str,
    settings: Mapping[str, Any],
    pairs: Collection[Pair],
    now: datetime,
) -> StrategyConfig:
    """Saves a strategy, switched off. Raises Refused, NameTaken, OtherExchange, and
    Connection.DoesNotExist where it was deleted meanwhile."""
    if connection.owner_id != owner.pk:
        raise OtherExchange
    strategy = StrategyConfig(owner=owner, connection=connection, created_at=now)
    _fill(strategy, name, settings, pairs)
    try:
        with transaction.atomic():
            lock(connection)
            strategy.save(force_insert=True)
            strategy.pairs.set(pairs)
            _record(strategy, Kind.CREATED, owner, now, settings=snapshot(strategy, pairs))
    except IntegrityError:
        _say_if_taken(strategy)
        raise
    return strategy


def change(
    strategy: StrategyConfig,
    *,
    by: Any,
    name: str,
    settings: Mapping[str, Any],
    pairs: Collection[Pair],
    seen_version: int,
    now: datetime,
) -> StrategyConfig:
    """Saves a new version; the same settings again make none. One that is enabled stays enabled,
    so its new settings must be safe; another name always is. Raises Refused, NameTaken, Outdated
    and NotSafe; nothing is saved then."""
    try:
        with transaction.atomic():
            strategy = _locked(strategy)
            if strategy.version != seen_version:
                raise Outdated
            before = snapshot(strategy, strategy.pairs.all())
            _fill(strategy, name, settings, pairs)
            after = snapshot(strategy, pairs)
            if after == before:
                return strategy
            if strategy.enabled and before != {**after, "name": before["name"]}:
                _must_be_safe(strategy, now, pairs)
            strategy.version += 1
            strategy.save()
            strategy.pairs.set(pairs)
            _record(strategy, Kind.CHANGED, by, now, settings=after)
            return strategy
    except IntegrityError:
        _say_if_taken(strategy)
        raise


def enable(
    strategy: StrategyConfig, *, by: Any, now: datetime, seen_version: int | None = None
) -> None:
    """Switches it on, also after a suspension. Raises NotSafe while its key is not proven safe for
    it; the rules are asked here, with everything they look at kept still. Raises Outdated where
    `seen_version`, that of the page it was decided on, is not what stands now."""
    with transaction.atomic():
        locked = _locked(strategy)
        if seen_version not in (None, locked.version):
            raise Outdated
        if not locked.enabled:
            _must_be_safe(locked, now)
            locked.enabled, locked.suspended_at, locked.suspended_for = True, None, ""
            locked.told_suspended_at = None
            locked.save()
            _record(locked, Kind.ENABLED, by, now)
    strategy.refresh_from_db()


def disable(strategy: StrategyConfig, *, by: Any, now: datetime) -> None:
    """Switches it off; a suspended one is then off like any other."""
    with transaction.atomic():
        locked = _locked(strategy)
        if locked.enabled or locked.suspended_at:
            locked.enabled, locked.suspended_at, locked.suspended_for = False, None, ""
            locked.told_suspended_at = None
            locked.save()
            _record(locked, Kind.DISABLED, by, now)
    strategy.refresh_from_db()


def disable_many(
    strategies: Collection[StrategyConfig], *, by: Any, now: datetime
) -> list[StrategyConfig]:
    """Switches off those that run or are suspended, and gives them: a few statements for hundreds.
    Off is always safe, so their accounts are not kept still; the locks it takes are taken in the
    order in which everybody takes them."""
    ids = [strategy.pk for strategy in strategies]
    with transaction.atomic():
        mine = Connection.objects.filter(strategies__in=ids).values("pk")
        on_these = Connection.objects.filter(pk__in=mine).order_by("pk")
        list(on_these.select_for_update(no_key=True).values_list("pk"))
        rows = StrategyConfig.objects.filter(Q(enabled=True) | Q(suspended_at__isnull=False))
        rows = rows.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
        found = {row.pk: row.version for row in rows}
        StrategyConfig.objects.filter(pk__in=list(found)).update(
            enabled=False, suspended_at=None, suspended_for="", told_suspended_at=None
        )
        StrategyEvent.objects.bulk_create(
            StrategyEvent(strategy_id=pk, kind=Kind.DISABLED, by=by, at=now, version=version)
            for pk, version in found.items()
        )
    return [strategy for strategy in strategies if strategy.pk in found]


def suspend(
    strategy: StrategyConfig, code: str, now: datetime, *, told: datetime | None = None
) -> bool:
    """Switches an enabled one off until its owner enables it again, and says whether it was on.
    Under its connection's lock. `told` where somebody else tells its owner."""
    mine = StrategyConfig.objects.enabled().filter(pk=strategy.pk)
    if not mine.update(enabled=False, suspended_at=now, suspended_for=code, told_suspended_at=told):
        return False
    _record(strategy, Kind.SUSPENDED, None, now, why=code)
    return True


def move(strategy: StrategyConfig, connection: Connection, *, by: Any, now: datetime) -> None:
    """To another connection of its owner at the same exchange, or at any where it has no pairs.
    Raises OtherExchange, StillEnabled (what runs is switched off first), and
    Connection.DoesNotExist where it was deleted meanwhile."""
    try:
        with transaction.atomic():
            locked = _locked(strategy)
            if locked.enabled:
                raise StillEnabled
            elsewhere = locked.pairs.exclude(exchange=connection.exchange_id).exists()
            if connection.owner_id != locked.owner_id or elsewhere:
                raise OtherExchange
            if locked.connection_id != connection.pk:
                locked.connection = connection
                locked.save()
                _record(locked, Kind.MOVED, by, now, why=connection.name)
    except IntegrityError:
        raise Connection.DoesNotExist from None
    strategy.refresh_from_db()


def delete(strategy: StrategyConfig) -> None:
    """With its history. Raises StillEnabled."""
    with transaction.atomic():
        locked = _locked(strategy)
        if locked.enabled:
            raise StillEnabled
        locked.delete()


def snapshot(strategy: StrategyConfig, pairs: Collection[Pair]) -> dict[str, Any]:
    """What a version holds: every setting as text, numbers without idle zeros."""
    values = {name: getattr(strategy, name) for name in ("name", *SETTINGS)}
    return {
        **{name: _text(value) for name, value in values.items()},
        "pairs": sorted(pair.symbol for pair in pairs),
    }


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "" if value is None else str(value)


def _fill(
    strategy: StrategyConfig, name: str, settings: Mapping[str, Any], pairs: Collection[Pair]
) -> None:
    strategy.name = name
    for each in SETTINGS:
        if each in settings:
            setattr(strategy, each, settings[each])
    connection = strategy.connection
    if connection and any(pair.exchange_id != connection.exchange_id for pair in pairs):
        raise OtherExchange
    if faults := limits.faults(strategy, pairs):
        raise Refused(faults)
    strategy.quote = next(iter(pairs)).quote
    strategy.worst_case = limits.worst_case(strategy)


def _say_if_taken(strategy: StrategyConfig) -> None:
    same = StrategyConfig.objects.filter(owner=strategy.owner_id, name__iexact=strategy.name)
    if same.exclude(pk=strategy.pk).exists():
        raise NameTaken from None


def _must_be_safe(
    strategy: StrategyConfig, now: datetime, pairs: Collection[Pair] | None = None
) -> None:
    verdict = safety.verdict(strategy, now=now, pairs=pairs)
    if not verdict.safe:
        raise NotSafe(verdict.reasons)


def _locked(strategy: StrategyConfig) -> StrategyConfig:
    """The strategy as it stands, with its account and itself kept still, in the order in which
    everybody takes these locks: owner, connections, strategy."""
    lock_owner(strategy.owner)
    seen = StrategyConfig.objects.select_related("connection").get(pk=strategy.pk)
    connection = accounts.lock(seen.connection)
    rows = StrategyConfig.objects.select_related("owner")
    found = rows.select_for_update(no_key=True, of=("self",)).get(pk=strategy.pk)
    found.connection = connection
    return found


def _record(strategy: StrategyConfig, kind: Kind, by: Any, now: datetime, **facts: Any) -> None:
    StrategyEvent.objects.create(
        strategy=strategy, kind=kind, by=by, at=now, version=strategy.version, **facts
    )
