"""What the pages about notices show of rows, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Prefetch
from django.utils.translation import gettext, ngettext

from .channels import service_name
from .delivery_words import words_for
from .models import Notice, NoticeChannel, NoticeDelivery
from .notices import Kind

ON_A_PAGE = 30
ICONS = {
    Kind.BREAK: ("alert", "red"),
    Kind.RECOVERY: ("check", "green"),
    Kind.SUSPENDED: ("shield-x", "red"),
    Kind.EXPIRY: ("clock", "yellow"),
    Kind.FINDING: ("shield-x", "orange"),
    Kind.REPLACE: ("support", "orange"),
    Kind.OUTAGE: ("cloud-off", "secondary"),
    Kind.WEEKLY: ("list-check", "secondary"),
    Kind.STAFF_DAILY: ("support", "secondary"),
    Kind.TEST: ("info", "blue"),
    Kind.INCIDENT: ("shield-x", "red"),
}
Status = NoticeDelivery.Status


@dataclass(frozen=True)
class State:
    """How it stands with a delivery or a chat service: a colour, an icon, a sentence."""

    color: str
    icon: str
    word: str
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True)
class Way:
    name: str
    state: State


@dataclass(frozen=True)
class Line:
    notice: Notice
    icon: str
    color: str
    kind: str
    link: str
    ways: tuple[Way, ...]


def page_of(user: Any, number: str | None, now: datetime) -> tuple[Page[Any], list[Line]]:
    deliveries = NoticeDelivery.objects.select_related("channel").defer("channel__sealed")
    ordered = Prefetch("deliveries", deliveries.order_by("pk"), "all_deliveries")
    rows = Notice.objects.filter(user=user).order_by("-made_at", "-pk").prefetch_related(ordered)
    page = Paginator(rows, ON_A_PAGE).get_page(number)
    return page, [_line(notice, now) for notice in page]


def _line(notice: Notice, now: datetime) -> Line:
    icon, color = ICONS[Kind(notice.kind)]
    deliveries: Iterable[NoticeDelivery] = notice.all_deliveries  # type: ignore[attr-defined]
    ways = tuple(Way(_name(one), delivery_state(one, now)) for one in deliveries)
    label = str(Kind(notice.kind).label)
    return Line(notice, icon, color, label, _path(notice.link), ways)


def _path(link: str) -> str:
    """Where on this site; a notice has no business elsewhere."""
    site = settings.SITE_URL.rstrip("/")
    return link.removeprefix(site) if link.startswith(f"{site}/") else ""


def _name(delivery: NoticeDelivery) -> str:
    return delivery.channel.name if delivery.channel else gettext("E-mail")


def delivery_state(delivery: NoticeDelivery, now: datetime) -> State:
    why = words_for(delivery.problem)
    if delivery.status == Status.SENT:
        return State("green", "check", gettext("sent"), delivery.sent_at)
    if delivery.status == Status.GIVEN_UP:
        return State("red", "x", gettext("could not be sent"), None, why)
    if delivery.problem:
        tries = ngettext("tried once", "tried %(n)d times", delivery.tries) % {"n": delivery.tries}
        word = gettext("%(tries)s, again at") % {"tries": tries}
        return State("yellow", "clock", word, delivery.due_at, why)
    if delivery.due_at > now:
        return State(
            "secondary", "moon", gettext("waits for your quiet hours to end, at"), delivery.due_at
        )
    return State("secondary", "clock", gettext("on its way"))


@dataclass(frozen=True)
class Chat:
    channel: NoticeChannel
    service: str
    state: State


def chats_of(user: Any) -> list[Chat]:
    rows = NoticeChannel.objects.filter(owner=user).defer("sealed")
    return [Chat(row, service_name(row.service), channel_state(row)) for row in rows]


def channel_state(channel: NoticeChannel) -> State:
    if channel.failed_at:
        why = words_for(channel.problem)
        return State("yellow", "alert", gettext("failing since"), channel.failed_at, why)
    if channel.worked_at:
        return State("green", "check", gettext("last worked"), channel.worked_at)
    return State("secondary", "circle", gettext("not used yet"))
