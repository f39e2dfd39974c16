"""Sends what is due: e-mails over one connection, chat messages beside each other.

The row is the queue. A claim is one conditional update that grows the fence and counts a try, and
the result is written only where the fence is still the one that was claimed. A worker that dies
between the two leaves its lease to lapse, and the notice is sent again: in the worst case twice,
never not at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q, QuerySet

from . import chats, mails, vault
from .events import AccessEvent, event
from .models import NoticeChannel, NoticeDelivery, lapsed
from .notice_making import due
from .notices import preferences_of
from .presentation import zone_of

log = logging.getLogger(__name__)

Status = NoticeDelivery.Status
Outcome = tuple[NoticeDelivery, str]  # and what went wrong: a code of delivery_words.py, or ""

LEASE = timedelta(seconds=60)  # longer than any run
RUN_S = 15.0  # no new delivery is begun after that
AT_ONCE = 8  # chat services
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240))
MOST_TRIES = len(WAITS) + 1


def send_due(*, now: datetime, seconds: float = RUN_S) -> int:
    """How many were sent. Safe on any number of workers at once."""
    ends = time.monotonic() + seconds
    sent = 0
    with closing(mails.Server()) as server, ThreadPoolExecutor(AT_ONCE) as pool:
        while time.monotonic() < ends:
            talks = [_begin(pool, delivery) for delivery in _claimed_chats(now)]
            for delivery in _claimed_mails(now, server, ends):
                fate = "unexpected" if _kills(delivery) else server.send(delivery.notice)
                sent += _write(delivery, fate, now)
            sent += sum(_write(delivery, talk.result(), now) for delivery, talk in talks)
            if not talks and (server.is_away or not _due(now).filter(channel=None).exists()):
                break
    return sent


def _due(now: datetime) -> QuerySet[NoticeDelivery]:
    free = Q(lease_until=None) | lapsed(now, LEASE)
    return NoticeDelivery.objects.filter(free, status=Status.WAITING, due_at__lte=now)


def _claimed_mails(now: datetime, server: mails.Server, ends: float) -> Iterator[NoticeDelivery]:
    """One by one, each just before it is sent."""
    due = _due(now).filter(channel=None).order_by("due_at", "pk")
    while not server.is_away and time.monotonic() < ends:
        waiting = due.values_list("pk", "fence").first()
        if waiting is None:
            return
        if delivery := _claim(*waiting, now):
            yield delivery


def _claimed_chats(now: datetime) -> list[NoticeDelivery]:
    """A few, of as many services: one that hangs holds nobody up but itself. Those that worked
    the last time come first."""
    first = F("channel__failed_at").asc(nulls_first=True)
    due = _due(now).exclude(channel=None).order_by(first, "due_at", "pk")
    chosen: dict[UUID | None, tuple[int, int]] = {}
    for pk, fence, channel in due.values_list("pk", "fence", "channel_id")[: AT_ONCE * 8]:
        chosen.setdefault(channel, (pk, fence))
    claims = [_claim(pk, fence, now) for pk, fence in list(chosen.values())[:AT_ONCE]]
    return [delivery for delivery in claims if delivery]


def _claim(pk: int, fence: int, now: datetime) -> NoticeDelivery | None:
    claimed = _due(now).filter(pk=pk, fence=fence)
    if not claimed.update(lease_until=now + LEASE, fence=F("fence") + 1, tries=F("tries") + 1):
        return None
    rows = NoticeDelivery.objects.select_related("notice__user", "channel")
    return rows.filter(pk=pk, fence=fence + 1).first()


def _kills(delivery: NoticeDelivery) -> bool:
    """Whether every try of it ended with no word at all: the next worker does not try."""
    return delivery.tries > MOST_TRIES


def _begin(
    pool: ThreadPoolExecutor, delivery: NoticeDelivery
) -> tuple[NoticeDelivery, Future[str]]:
    """Opens the address here, where the database is at hand, and talks in a thread."""
    done: Future[str] = Future()
    channel, notice = delivery.channel, delivery.notice
    if channel is None or not notice.user.is_active or _kills(delivery):
        done.set_result("unexpected" if _kills(delivery) else "gone")
        return delivery, done
    opening = event(AccessEvent.Kind.CHANNEL_OPENED, owner_id=channel.owner_id, why="notice")
    try:
        if channel.sealed is None:
            raise vault.SealedError("There is no address.")
        with vault.opened_text(channel.sealed, channel, event=opening) as address:
            return delivery, pool.submit(_tell, address, notice.subject, notice.text, notice.link)
    except vault.SealedError as error:
        log.error("The address of chat service %s cannot be opened: %s", channel.pk, error)
    done.set_result("sealed_unreadable")
    return delivery, done


def _tell(address: str, *message: str) -> str:
    try:
        chats.understood(address).send(*message)
    except chats.Refused:
        return "not_understood"
    except chats.NotSent as problem:
        return problem.problem
    except Exception:
        # Its text may hold the address, and so may its traceback.
        return "unexpected"
    return ""


def _write(delivery: NoticeDelivery, problem: str, now: datetime) -> bool:
    """Whether it was sent, and this worker was the one to say so."""
    mine = NoticeDelivery.objects.filter(pk=delivery.pk, fence=delivery.fence)
    if not problem:
        result = {"status": Status.SENT, "sent_at": now, "problem": ""}
    elif problem == "gone" or delivery.tries >= MOST_TRIES:
        result = {"status": Status.GIVEN_UP, "problem": problem}
    else:
        result = {"due_at": _again(delivery, now), "problem": problem}
    written = mine.update(lease_until=None, **result)
    if written and delivery.channel_id and problem != "gone":
        _note(delivery.channel_id, problem, now)
    return bool(written) and not problem


def _again(delivery: NoticeDelivery, now: datetime) -> datetime:
    """After a wait that grows, and after quiet hours."""
    user = delivery.notice.user
    later = now + WAITS[delivery.tries - 1]
    return due(delivery.notice, preferences_of(user), zone_of(user), now=later)


def _note(channel_id: UUID, problem: str, now: datetime) -> None:
    channel = NoticeChannel.objects.filter(pk=channel_id)
    if problem:
        channel.update(problem=problem)
        channel.filter(failed_at=None).update(failed_at=now)
    else:
        channel.update(problem="", failed_at=None, worked_at=now)
