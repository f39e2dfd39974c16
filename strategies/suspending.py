"""Strategies stop when their key turns unsafe, and their owner is told once.

In the transaction that writes a test's result (connections/hooks.py), so that nothing is enabled
on a key between its test and this; and by the clock, for keys that end without a test.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from connections.incidents import SUSPENDED_FOR
from connections.models import Connection
from connections.notice_making import Draft, each_batch, make_all, one_line
from connections.notice_words import bullets, paragraphs
from connections.notices import Kind

from . import accounts, safety, services
from .models import StrategyConfig

MOST_AT_ONCE = 500  # connections that one look locks, one after the other
HALTED_AT_ONCE = 50


def after_test(connection: Connection, now: datetime, moved: bool) -> None:
    """Suspends what may not go on after what a test has found. Under the connection's lock."""
    running = StrategyConfig.objects.enabled().filter(connection=connection.pk)
    for strategy in running.select_related("connection__exchange").order_by("pk"):
        if not _judge(strategy, now) and moved and not accounts.covers(strategy):
            services.suspend(strategy, "account", now)


def before_removal(connection: Connection, by: Any) -> None:
    """Its strategies stay, suspended, until they get another connection."""
    for strategy in connection.strategies.filter(enabled=True):
        services.suspend(strategy, "removed", timezone.now())


def suspend_overdue(*, now: datetime) -> int:
    """By the clock: keys that have ended since their last test. How many were suspended."""
    overdue = Q(connection__key_expires_at__lte=now) | Q(
        connection__status=Connection.Status.REFUSED
    )
    found = StrategyConfig.objects.enabled().filter(overdue).order_by("connection")
    suspended = 0
    for pk in found.values_list("connection", flat=True).distinct()[:MOST_AT_ONCE]:
        suspended += _suspend_on(pk, now)
    return suspended


def running_on(connections: QuerySet[Connection]) -> int:
    return StrategyConfig.objects.enabled().filter(connection__in=connections).count()


def halt(
    connections: QuerySet[Connection], *, now: datetime, told: bool, note: Callable[[int], None]
) -> bool:
    """For an incident: suspends what runs on some of these, one exchange account after the other,
    and says whether there may be more. `told`: the incident's own notice names them."""
    found = StrategyConfig.objects.enabled().filter(connection__in=connections)
    ids = found.order_by("connection").values_list("connection", flat=True).distinct()
    some = list(ids[:HALTED_AT_ONCE])
    for pk in some:
        with transaction.atomic():
            locked = accounts.lock(Connection.objects.filter(pk=pk).first())
            running = locked.strategies.filter(enabled=True) if locked else ()
            note(
                sum(
                    services.suspend(each, SUSPENDED_FOR, now, told=now if told else None)
                    for each in running
                )
            )
    return bool(some)


def tell(*, now: datetime) -> int:
    """One notice for each connection whose strategies were suspended; how many were made."""
    rows = StrategyConfig.objects.select_related("owner", "connection__exchange").filter(
        suspended_at__isnull=False, told_suspended_at=None
    )

    def tell_owners(batch: list[StrategyConfig]) -> int:
        ids = [each.pk for each in batch]
        StrategyConfig.objects.filter(pk__in=ids).update(told_suspended_at=now)
        by_cause = sorted(batch, key=_cause)
        drafts = [_draft(list(group)) for _, group in groupby(by_cause, key=_cause)]
        return len(make_all([draft for draft in drafts if draft], now=now))

    return each_batch(rows, tell_owners)


def _judge(strategy: StrategyConfig, now: datetime) -> bool:
    connection: Any = strategy.connection
    code = safety.unsafe(connection, strategy.market, now)
    if code:
        services.suspend(strategy, code, now)
    return bool(code)


def _suspend_on(pk: Any, now: datetime) -> int:
    with transaction.atomic():
        locked = accounts.lock(Connection.objects.filter(pk=pk).first())
        if locked is None:
            return 0
        running = list(locked.strategies.filter(enabled=True))
        for strategy in running:
            strategy.connection = locked
        return sum(_judge(strategy, now) for strategy in running)


def _cause(strategy: StrategyConfig) -> tuple[str, ...]:
    at = strategy.suspended_at
    moment = at.isoformat() if at else ""
    return str(strategy.owner_id), str(strategy.connection_id), strategy.suspended_for, moment


def _draft(together: list[StrategyConfig]) -> Draft | None:
    """None of a connection its owner has just deleted: they were told as they did it."""
    first = together[0]
    if first.suspended_for == "removed":
        return None
    names = [one_line(each.name) for each in together]
    count = len(names)
    subject = ngettext("%(name)s is suspended", "%(count)d strategies are suspended", count) % {
        "name": names[0],
        "count": count,
    }
    what = ngettext(
        "This strategy does not run any more:", "These strategies do not run any more:", count
    )
    where = first.connection.name if first.connection else ""
    text = paragraphs(
        f"{what}\n{bullets(names)}",
        safety.suspended_for(first.suspended_for, first.connection)
        + " "
        + gettext("Connection: %(name)s.") % {"name": one_line(where)},
        gettext(
            "Open orders and positions at the exchange stay as they are: look at them. When the "
            "key has passed a test again, enable the strategy on its page. It never comes back by "
            "itself."
        ),
    )
    link = first.get_absolute_url() if count == 1 else reverse("strategies:list")
    key = ":".join(("suspended", *_cause(first)))
    about = first.connection_id
    return Draft(first.owner_id, Kind.SUSPENDED, key, subject, text, link, True, about)
