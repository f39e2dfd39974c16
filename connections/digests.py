"""Summaries: each owner's on Monday morning, the support desk's every morning, where they live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from time import monotonic
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from . import exchanges, history
from .findings import snooze_is_over
from .models import Connection, Finding, Notice, NoticeDelivery, Outage
from .notice_making import RUN_S, Draft, listeners, make_all, one_line
from .notice_words import bullets, how_long, moment, paragraphs
from .notices import Kind
from .presentation import status_of, zone_of
from .rules import RULES

MORNING = time(8)
MONDAY = 0
WEEK, DAY = timedelta(days=7), timedelta(days=1)
MOST_LINES = 30  # of one section
BATCH = 500  # owners
MOST_OWNERS = 20_000  # of one call, as far as it gets in its time; the next one goes on
ENDS = ("expiring", "dies_of_inactivity")


@dataclass(slots=True)
class _Week:
    """What there is to say to one owner."""

    connections: list[Connection] = field(default_factory=list)
    open: list[Finding] = field(default_factory=list)
    ended: list[Finding] = field(default_factory=list)

    @property
    def failing(self) -> list[Connection]:
        well = (*Connection.WORKING, Connection.Status.NEW)
        return [row for row in self.connections if row.status not in well and not row.paused_at]


def make_weekly(*, now: datetime) -> int:
    """For each owner once a week; how many were made."""
    monday = _where(now, lambda local: local.weekday() == MONDAY and local.time() >= MORNING)
    if not monday:
        return 0
    year, week, _ = next(iter(monday.values())).isocalendar()
    key = f"weekly:{year}-W{week:02}"
    owners = (
        listeners(Kind.WEEKLY)
        .filter(Exists(Connection.objects.filter(owner=OuterRef("pk"))), time_zone__in=monday)
        .filter(~Exists(Notice.objects.filter(user=OuterRef("pk"), key=key)))
        .order_by("pk")
    )
    due = list(owners.values_list("pk", flat=True)[:MOST_OWNERS])
    ends, made = monotonic() + RUN_S, 0
    for start in range(0, len(due), BATCH):
        batch = get_user_model().objects.filter(pk__in=due[start : start + BATCH])
        made += len(make_all(_weekly_drafts(list(batch), key, now), now=now))
        if monotonic() >= ends:
            break
    return made


def make_staff_daily(*, now: datetime) -> int:
    """For each of the staff once a day; how many were made."""
    morning = _where(now, lambda local: local.time() >= MORNING)
    keys = {name: f"daily:{local.date().isoformat()}" for name, local in morning.items()}
    desk = listeners(Kind.STAFF_DAILY).filter(is_staff=True, time_zone__in=keys)
    told = Notice.objects.filter(kind=Kind.STAFF_DAILY, made_at__gt=now - 2 * DAY, user__in=desk)
    heard = set(told.values_list("user_id", "key"))
    due = [user for user in desk if (user.pk, keys[user.time_zone]) not in heard]
    if not due:
        return 0
    write = _staff_writer(now)
    drafts = [_staff_draft(user, keys[user.time_zone], write) for user in due]
    return len(make_all(drafts, now=now))


def _where(now: datetime, fits: Callable[[datetime], bool]) -> dict[str, datetime]:
    """What the clocks show, in those of the zones that people live in where it fits."""
    User = get_user_model()
    names = User.objects.order_by().values_list("time_zone", flat=True).distinct()
    shown = {name: now.astimezone(zone_of(User(time_zone=name))) for name in names}
    return {name: local for name, local in shown.items() if fits(local)}


def _weekly_drafts(owners: list[Any], key: str, now: datetime) -> Iterable[Draft]:
    weeks = _weeks(owners, now)
    for owner in owners:
        week = weeks[owner.pk]
        with timezone.override(zone_of(owner)):
            text = _weekly_text(week, now)
        subject = _weekly_subject(week)
        link = reverse("connections:list")
        yield Draft(owner.pk, Kind.WEEKLY, key, subject, text, link)


def _weeks(owners: list[Any], now: datetime) -> dict[int, _Week]:
    weeks: dict[int, _Week] = defaultdict(_Week)
    connections = Connection.objects.filter(owner__in=owners).select_related("exchange")
    for connection in connections.order_by("name"):
        weeks[connection.owner_id].connections.append(connection)
    standing = Q(state=Finding.State.ACKNOWLEDGED) | Q(state=Finding.State.OPEN)
    ended = Q(state=Finding.State.RESOLVED, state_since__gt=now - WEEK)
    findings = Finding.objects.filter(
        standing | snooze_is_over(now) | ended, connection__owner__in=owners
    )
    for finding in findings.select_related("connection").order_by("-severity", "until", "pk"):
        week = weeks[finding.connection.owner_id]
        resolved = finding.state == Finding.State.RESOLVED
        (week.ended if resolved else week.open).append(finding)
    return weeks


def _weekly_subject(week: _Week) -> str:
    if not week.failing and not week.open:
        return gettext("Your week: all is well")
    count = len(week.failing) + len(week.open)
    return ngettext(
        "Your week: %(count)d thing to look at", "Your week: %(count)d things to look at", count
    ) % {"count": count}


def _weekly_text(week: _Week, now: datetime) -> str:
    parts = [_section(gettext("Your connections:"), map(_standing, _worst_first(week)))]
    if week.open:
        said = (_said(finding, now) for finding in week.open)
        parts.append(_section(gettext("To look at:"), said))
    elif not week.failing:
        parts.append(gettext("No finding is open. There is nothing for you to do."))
    if week.ended:
        parts.append(_section(gettext("Settled this week:"), map(_title, week.ended)))
    return paragraphs(*parts)


def _worst_first(week: _Week) -> list[Connection]:
    failing = week.failing
    return failing + [row for row in week.connections if row not in failing]


def _standing(connection: Connection) -> str:
    word = status_of(connection, testing=False).word
    return f"{one_line(connection.name)} ({connection.place}): {word}"


def _title(finding: Finding) -> str:
    return f"{one_line(finding.connection.name)}: {_rule(finding.rule)}"


def _said(finding: Finding, now: datetime) -> str:
    said = _title(finding)
    if finding.rule in ENDS and finding.until:
        said += f" ({how_long(finding, now)})"
    if finding.state == Finding.State.ACKNOWLEDGED:
        said += " · " + gettext("acknowledged")
    return said


def _rule(code: str) -> str:
    return str(RULES[code].title) if code in RULES else code


def _section(title: str, lines: Iterable[str]) -> str:
    return title + "\n" + bullets(lines, MOST_LINES)


def _staff_draft(user: Any, key: str, write: Callable[[], str]) -> Draft:
    with timezone.override(zone_of(user)):
        text = write()
    subject, link = gettext("The day at the support desk"), reverse("admin:index")
    return Draft(user.pk, Kind.STAFF_DAILY, key, subject, text, link)


def _staff_writer(now: datetime) -> Callable[[], str]:
    """The last day, counted once; what it gives says it in the current time zone."""
    since = now - DAY
    shares = sorted(history.shares(now).items())
    severe = Finding.objects.filter(
        state=Finding.State.OPEN, severity__gte=Finding.Severity.HIGH, state_since__gt=since
    )
    new = list(severe.order_by().values_list("severity", "rule").annotate(n=Count("pk")))
    outages = list(
        Outage.objects.filter(Q(ended_at=None) | Q(ended_at__gt=since)).select_related("exchange")
    )
    lost = NoticeDelivery.objects.filter(status=NoticeDelivery.Status.GIVEN_UP, due_at__gt=since)
    given_up = lost.count()

    def write() -> str:
        return paragraphs(
            _section(gettext("Failing connections:"), (_share(*each) for each in shares))
            if shares
            else gettext("No connection is active."),
            _section(gettext("New findings, high or critical:"), _counts(new))
            if new
            else gettext("No new finding is high or critical."),
            _section(gettext("Outages:"), map(_outage, outages))
            if outages
            else gettext("No exchange was away."),
            _unsent(given_up),
        )

    return write


def _share(code: str, share: history.Share) -> str:
    said = gettext("%(exchange)s: %(failing)d of %(active)d; %(away)d of them get no answer")
    return said % {
        "exchange": exchanges.name_of(code),
        "failing": share.failing,
        "active": share.active,
        "away": share.unavailable,
    }


def _counts(new: list[tuple[int, str, int]]) -> Iterable[str]:
    for severity, rule, count in sorted(new, key=lambda row: (-row[0], row[1])):
        yield f"{_rule(rule)} ({Finding.Severity(severity).label}): {count}"


def _outage(outage: Outage) -> str:
    ended = moment(outage.ended_at) if outage.ended_at else gettext("still away")
    return f"{outage.exchange.name}: {moment(outage.began_at)} – {ended}"


def _unsent(count: int) -> str:
    if not count:
        return gettext("Every notice could be sent.")
    return ngettext(
        "%(count)d notice could not be sent.", "%(count)d notices could not be sent.", count
    ) % {"count": count}
