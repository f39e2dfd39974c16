"""Chat services that a person adds: sealed when they are added, opened by the worker alone."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.translation import gettext

from . import chats, vault
from .events import AccessEvent, record
from .models import Notice, NoticeChannel, NoticeDelivery
from .notice_making import absolute
from .notices import Kind, preferences_of
from .services import TooSoon as TooSoon
from .services import lock_owner

MOST = 10  # of one person
TESTS, TESTS_WITHIN = 5, timedelta(minutes=10)


class NameTaken(Exception):
    """The person already has a chat service of this name."""


class TooMany(Exception):
    """The person has as many chat services as one may have."""


class NoWay(Exception):
    """There is no way by which the person could be told."""


def add(*, owner: Any, name: str, address: str, now: datetime) -> NoticeChannel:
    """Raises chats.Refused, NameTaken and TooMany; nothing is saved then."""
    service = chats.understood(address).service
    channel = NoticeChannel(owner=owner, name=name, service=service.code, created_at=now)
    channel.sealed = vault.seal_text(address.strip(), channel)
    try:
        with transaction.atomic():
            lock_owner(owner)
            if NoticeChannel.objects.filter(owner=owner).count() >= MOST:
                raise TooMany
            channel.save(force_insert=True)
            # Not by its name: the log outlives the account.
            record(AccessEvent.Kind.CHANNEL_ADDED, owner=owner, actor=owner, why=service.name)
    except IntegrityError:
        raise NameTaken from None
    return channel


def remove(channel: NoticeChannel, *, by: Any) -> None:
    """Its address is destroyed, and what was still to be sent to it is not sent."""
    with transaction.atomic():
        lock_owner(channel.owner)
        gone, _ = NoticeChannel.objects.filter(pk=channel.pk).delete()
        if gone:
            kind = AccessEvent.Kind.CHANNEL_REMOVED
            record(kind, owner=channel.owner, actor=by, why=service_name(channel.service))


def send_test(user: Any, *, now: datetime, channel: NoticeChannel | None = None) -> Notice:
    """A notice at once, quiet hours or not: by `channel`, or by every way the person wants.
    Raises TooSoon and NoWay."""
    with transaction.atomic():
        lock_owner(user)
        _keep_pace(user, now)
        ways = [channel] if channel else _ways(user)
        if not ways:
            raise NoWay
        notice = Notice.objects.create(
            user=user,
            kind=Kind.TEST,
            key=f"test:{uuid.uuid4()}",
            subject=gettext("Test: notices reach you here"),
            text=gettext(
                "You asked for this test. Notices about your connections will arrive the same way."
            ),
            link=absolute(reverse("notices:settings")),
            made_at=now,
        )
        NoticeDelivery.objects.bulk_create(
            NoticeDelivery(notice=notice, channel=way, due_at=now) for way in ways
        )
    return notice


def service_name(code: str) -> str:
    known = chats.BY_CODE.get(code)
    return known.name if known else code


def _ways(user: Any) -> list[NoticeChannel | None]:
    by_mail = [None] if preferences_of(user).by_email else []
    return [*by_mail, *NoticeChannel.objects.filter(owner=user).defer("sealed")]


def _keep_pace(user: Any, now: datetime) -> None:
    """What was asked in the future was asked by a clock that was wrong."""
    mine = Notice.objects.filter(user=user, kind=Kind.TEST)
    asked = mine.filter(made_at__gt=now - TESTS_WITHIN, made_at__lte=now)
    times = list(asked.order_by("-made_at").values_list("made_at", flat=True)[:TESTS])
    if len(times) == TESTS:
        left = (times[-1] + TESTS_WITHIN - now).total_seconds()
        raise TooSoon(max(1, -int(-left // 1)))
