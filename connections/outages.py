"""Exchanges that do not answer. When most of the connections that were tested lately fail for that
reason, it is the exchange: its users are told that once, and not that their keys are bad.

Who is told through an outage has its beginning as `told_failing_at`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from time import monotonic

from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, Min, OuterRef, Prefetch, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from . import notice_words
from .exchanges.problems import MAY_PASS
from .models import Connection, Credential, Notice, Outage, Thresholds
from .notice_making import BATCH, RUN_S, Draft, each_batch, make_all
from .notices import Kind
from .presentation import zone_of

# What counts is what the tests of the last half hour say: the others, tested once a day, say
# nothing about now. Most of them fail a quarter of an hour after an exchange went away, before
# patience with single connections ends (Thresholds.break_patience_minutes).
WINDOW = timedelta(minutes=30)
# So long after an outage every connection that failed in it has been tested again.
AFTERMATH = timedelta(minutes=90)
AWAY = Q(status=Connection.Status.FAILED, problem="unavailable")


def update(*, now: datetime) -> int:
    """Opens and closes outages and tells those who are affected; how many were told. Where time
    runs out, the others have their turn at one of the next calls."""
    _open(now)
    ends, told = monotonic() + RUN_S, 0
    for outage in Outage.objects.filter(ended_at=None).select_related("exchange").order_by("?"):
        told += _close(outage, now) if _is_over(outage, now) else _tell_of(outage, now)
        if monotonic() >= ends:
            break
    return told


def told_through() -> Exists:
    """Whether the owner of a connection was told of an outage, and of nothing else."""
    return Exists(
        Outage.objects.filter(exchange=OuterRef("exchange"), began_at=OuterRef("told_failing_at"))
    )


def troubled(now: datetime) -> QuerySet[Outage, str]:
    """Exchanges that are away, or were until a moment ago: what may pass there, may still."""
    lately = Q(ended_at=None) | Q(ended_at__gt=now - AFTERMATH)
    return Outage.objects.filter(lately).values_list("exchange", flat=True)


def connections_to_tell() -> QuerySet[Connection]:
    """With all that is said of them."""
    return (
        Connection.objects.filter(paused_at=None)
        .select_related("exchange", "owner")
        .prefetch_related(Prefetch("credentials", Credential.objects.active()), "strategies")
        .order_by("owner_id", "name")
    )


def _open(now: datetime) -> None:
    """Only what failed within the window counts: what fails for long is tested most often, and
    would outnumber the rest."""
    fresh = (
        _tested(now)
        .filter(AWAY, failing_since__gt=now - WINDOW, exchange__paused=False)
        .filter(~Exists(Outage.objects.filter(exchange=OuterRef("exchange"), ended_at=None)))
        .values("exchange")
        .annotate(failing=Count("pk"), since=Min("failing_since"))
        .filter(failing__gte=Thresholds.current().outage_least)
    )
    suspects = {row["exchange"]: row for row in fresh}
    if not suspects:
        return
    answered = (
        _tested(now)
        .filter(~AWAY, exchange__in=suspects)
        .values_list("exchange")
        .annotate(Count("pk"))
    )
    passing = dict(answered)
    Outage.objects.bulk_create(
        (
            Outage(exchange_id=code, began_at=row["since"])
            for code, row in suspects.items()
            if row["failing"] > passing.get(code, 0)
        ),
        ignore_conflicts=True,  # another worker saw it too
    )


def _tested(now: datetime) -> QuerySet[Connection]:
    return Connection.objects.filter(paused_at=None, tested_at__gt=now - WINDOW).order_by()


def _is_over(outage: Outage, now: datetime) -> bool:
    """Under half of those tested lately fail, or nobody is left who could tell."""
    failing = AWAY & Q(failing_since__gte=outage.began_at)
    share = (
        _tested(now)
        .filter(exchange=outage.exchange)
        .aggregate(failing=Count("pk", filter=failing), passing=Count("pk", filter=~AWAY))
    )
    if share["failing"] < share["passing"]:
        return True
    there = Connection.objects.filter(failing, paused_at=None, exchange=outage.exchange)
    return not there.exists()


def _tell_of(outage: Outage, now: datetime) -> int:
    def tell(batch: list[Connection]) -> int:
        Connection.objects.filter(pk__in=[row.pk for row in batch]).update(
            told_failing_at=outage.began_at
        )
        drafts = []
        for owner, rows in groupby(batch, attrgetter("owner")):
            with timezone.override(zone_of(owner)):
                said = notice_words.outage_begun(outage, list(rows))
            drafts.append(_draft(outage, "begin", owner.pk, said))
        return len(make_all(drafts, now=now))

    unheard = connections_to_tell().filter(AWAY, exchange=outage.exchange, told_failing_at=None)
    return each_batch(unheard, tell)


def _close(outage: Outage, now: datetime) -> int:
    """Whoever was told of the beginning is told of the end, and then it has ended: killed in
    between, the next call goes on."""
    begun = Notice.objects.filter(key=_key(outage, "begin"))
    ended = Notice.objects.filter(key=_key(outage, "end"), user=OuterRef("user"))
    left = begun.filter(~Exists(ended)).order_by("user_id")
    owners = list(left.values_list("user_id", flat=True))
    told = 0
    for start in range(0, len(owners), BATCH):
        told += _tell_of_the_end(outage, owners[start : start + BATCH], now)
    Outage.objects.filter(pk=outage.pk, ended_at=None).update(ended_at=now)
    return told


def _tell_of_the_end(outage: Outage, owners: list[int], now: datetime) -> int:
    failing = (
        Connection.objects.filter(exchange=outage.exchange, paused_at=None)
        .exclude(failing_since=None)
        .exclude(problem__in=MAY_PASS)
        .select_related("exchange")
        .order_by("name")
    )
    users = get_user_model().objects.filter(pk__in=owners)
    drafts = []
    for user in users.prefetch_related(Prefetch("connections", failing, "still_failing")):
        with timezone.override(zone_of(user)):
            said = notice_words.outage_ended(outage, user.still_failing)
        drafts.append(_draft(outage, "end", user.pk, said))
    return len(make_all(drafts, now=now))


def _draft(outage: Outage, what: str, owner_id: int, said: notice_words.Said) -> Draft:
    return Draft(
        owner_id,
        Kind.OUTAGE,
        _key(outage, what),
        said.subject,
        said.text,
        link=reverse("exchanges:detail", args=[outage.exchange_id]),
    )


def _key(outage: Outage, what: str) -> str:
    return f"outage:{outage.pk}:{what}"
