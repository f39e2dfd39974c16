"""Celery's doors. A task takes ids and calls one function."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from connections import auditor, telling
from connections.tasks import publish

from . import pair_lists, suspending
from .models import PairList

BEAT_S = 30  # backfuture/timetable.py
# Some requests of 30 s at most, one after the other, and the writing (markets.py).
REFRESH_LIMIT_S = 180


@shared_task
def start_refreshing_pairs() -> None:
    """Every half minute: a message for each list that is due. One that no worker has begun by the
    next look is sent again then."""
    for code, market in pair_lists.due(timezone.now()):
        publish(refresh_pairs, code, market, expires=BEAT_S)


# No soft limit before the hard one: ccxt's parser is not to be interrupted by something that it
# would take for a bad row.
@shared_task(soft_time_limit=REFRESH_LIMIT_S, time_limit=REFRESH_LIMIT_S)
def refresh_pairs(code: str, market: str) -> None:
    now = timezone.now()
    if touched := pair_lists.refresh(code, market, now=now):
        auditor.audit(now=now, connections=touched)
        telling.after_audit(now=now, connections=touched)


def want(code: str, market: str) -> None:
    """For a page that finds a list never read: somebody waits for it, so it is asked for now."""
    asked = PairList.objects.filter(exchange=code, market=market, asked_at__isnull=False)
    if pair_lists.known(code, market) and not asked.exists():
        publish(refresh_pairs, code, market, expires=BEAT_S)


@shared_task
def look_after() -> None:
    """Every few seconds: keys that ended, and suspensions that their owners do not know of."""
    now = timezone.now()
    suspending.suspend_overdue(now=now)
    suspending.tell(now=now)
