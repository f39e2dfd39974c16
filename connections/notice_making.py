"""Makes notices: once for each person and key, by each way the person wants, when they want it.

Made is not sent: the deliveries made here are the queue that sending.py works off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from .models import Notice, NoticeChannel, NoticeDelivery, NoticePreferences
from .notices import ALWAYS, Kind
from .presentation import zone_of

BATCH = 100  # owners who are told in one transaction: whoever changes something waits for its end
MOST_OWNERS = 20_000  # of one run
RUN_S = 10.0  # no batch is begun after that; the next call goes on
LONGEST_SUBJECT, LONGEST_TEXT = 200, 10_000

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Draft:
    """A notice that may be made: whether it is depends on what the person wants."""

    user_id: int
    kind: str
    key: str
    subject: str
    text: str
    link: str = ""
    urgent: bool = False
    connection_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Person:
    preferences: NoticePreferences
    zone: tzinfo
    ways: tuple[UUID | None, ...]  # chat services; None stands for e-mail
    has_email: bool

    def wants(self, kind: str) -> bool:
        return bool(self.ways_for(kind)) and self.preferences.wants(kind)

    def ways_for(self, kind: str) -> tuple[UUID | None, ...]:
        """A key that may have leaked is told by e-mail too, whatever is switched off."""
        if kind == Kind.INCIDENT and self.has_email and None not in self.ways:
            return (None, *self.ways)
        return self.ways


def make(
    *,
    user: Any,
    kind: str,
    key: str,
    subject: str,
    text: str,
    now: datetime,
    link: str = "",
    urgent: bool = False,
    connection: Any = None,
) -> Notice | None:
    """The notice, or None: the person does not want it, cannot be told, or was told already.
    `link` may be a path of this site."""
    about = connection.pk if connection else None
    draft = Draft(user.pk, kind, key, subject, text, link, urgent, about)
    return next(iter(make_all([draft], now=now)), None)


def make_all(drafts: Iterable[Draft], *, now: datetime) -> list[Notice]:
    """The same for many, by as many statements as for one.

    The people are locked first: two workers that have the same to say do it one after the other,
    and nobody is deleted meanwhile.
    """
    wished = sorted(drafts, key=lambda draft: (draft.user_id, draft.key))
    if not wished:
        return []
    with transaction.atomic():
        people = _people({draft.user_id for draft in wished})
        notices = _insert([draft for draft in wished if _wanted(draft, people)], now)
        NoticeDelivery.objects.bulk_create(
            NoticeDelivery(
                notice=notice,
                channel_id=way,
                due_at=due(notice, person.preferences, person.zone, now=now),
            )
            for notice in notices
            for person in (people[notice.user_id],)
            for way in person.ways_for(notice.kind)
        )
    return notices


def listeners(kind: str) -> QuerySet[Any]:
    """The people who want to hear about `kind` and can be told."""
    # JSON's own `contains` is not for SQLite. A kind is a plain word, so the quotes delimit it.
    off = Cast("notice_preferences__off", TextField())
    channels = NoticeChannel.objects.filter(owner=OuterRef("pk"))
    plain = Q(notice_preferences=None)
    return (
        get_user_model()
        .objects.filter(is_active=True)
        .annotate(kinds_off=off)
        .filter(plain | ~Q(kinds_off__contains=f'"{kind}"'))
        .filter(plain | Q(notice_preferences__by_email=True) | Exists(channels))
    )


def each_batch(
    rows: QuerySet[Row],
    work: Callable[[list[Row]], int],
    *,
    owner: str = "owner_id",
    locked: tuple[str, ...] = ("self", "owner"),
) -> int:
    """Hands rows on, all those of an owner together, a batch of owners in each transaction; the
    sum of what `work` returns. It must change the rows so that they are not found again.

    They are locked with their owners, and what others are at is left for the next time: whoever
    deletes an account locks its owner first, so nobody may wait here for one.
    """
    found = rows.prefetch_related(None).order_by(owner).values_list(owner, flat=True).distinct()
    owners = list(found[:MOST_OWNERS])
    free = rows.select_for_update(of=locked, no_key=True, skip_locked=True)
    ends, done = monotonic() + RUN_S, 0
    for start in range(0, len(owners), BATCH):
        with transaction.atomic():
            batch = list(free.filter(**{f"{owner}__in": owners[start : start + BATCH]}))
            done += work(batch) if batch else 0
        if monotonic() >= ends:
            break
    return done


def due(notice: Notice, preferences: NoticePreferences, zone: tzinfo, *, now: datetime) -> datetime:
    """When it may be sent. No quiet hour holds up what is always told."""
    if notice.kind in ALWAYS:
        return now
    return when(preferences, zone, urgent=notice.urgent, now=now)


def when(preferences: NoticePreferences, zone: tzinfo, *, urgent: bool, now: datetime) -> datetime:
    """Now, or the first moment at which the clocks in `zone` show the end of the quiet hours."""
    start, end = preferences.quiet_from, preferences.quiet_until
    if start is None or end is None or (urgent and preferences.urgent_in_quiet):
        return now
    local = now.astimezone(zone)
    if not _is_quiet(local.time(), start, end):
        return now
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    wall = datetime.combine(day, end)
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # the clocks skip that time: quiet ends as they jump over it
        return _jump(second, first, zone)
    return first if first > now else second  # they may show it twice


def _is_quiet(shown: time, start: time, end: time) -> bool:
    """The hours may cross midnight; of no length they are none."""
    if start <= end:
        return start <= shown < end
    return shown >= start or shown < end


def _jump(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The moment between the two, to the second, at which the clocks in `zone` are set forward."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _people(ids: Collection[int]) -> dict[int, _Person]:
    """Those of them who are there and active, locked."""
    users = (
        get_user_model()
        .objects.filter(pk__in=ids, is_active=True)
        .select_related("notice_preferences")
        .select_for_update(of=("self",), no_key=True)
        .order_by("pk")
    )
    found = {user.pk: user for user in users}
    channels: dict[int, list[UUID | None]] = {pk: [] for pk in found}
    rows = NoticeChannel.objects.filter(owner__in=found).order_by("created_at")
    for owner_id, channel_id in rows.values_list("owner_id", "pk"):
        channels[owner_id].append(channel_id)
    return {pk: _person(user, channels[pk]) for pk, user in found.items()}


def _person(user: Any, channels: list[UUID | None]) -> _Person:
    preferences = getattr(user, "notice_preferences", None) or NoticePreferences(user=user)
    by_email = [None] if preferences.by_email and user.email else []
    return _Person(preferences, zone_of(user), (*by_email, *channels), bool(user.email))


def _wanted(draft: Draft, people: dict[int, _Person]) -> bool:
    return draft.user_id in people and people[draft.user_id].wants(draft.kind)


def _insert(drafts: list[Draft], now: datetime) -> list[Notice]:
    """Those that were not there yet: the others keep the row, and the id, they have."""
    rows = [
        Notice(
            user_id=draft.user_id,
            kind=draft.kind,
            key=draft.key,
            connection_id=draft.connection_id,
            subject=one_line(draft.subject, LONGEST_SUBJECT),
            text=draft.text[:LONGEST_TEXT],
            link=absolute(draft.link),
            urgent=draft.urgent,
            made_at=now,
        )
        for draft in drafts
    ]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
    made = set(Notice.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    return [row for row in rows if row.pk in made]


def absolute(link: str) -> str:
    """A path of this site with the site before it; anything else as it is."""
    return settings.SITE_URL.rstrip("/") + link if link.startswith("/") else link


def one_line(text: str, longest: int = LONGEST_SUBJECT) -> str:
    """Text of unknown making on one line: no line break gets into a mail's head, nothing turns
    the direction of what follows."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(shown.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
