"""Decides what to tell whom, from what the rows say: nothing is lost with a call that failed.

Every selection leaves out what was told, and marks what it tells in the same transaction. So it
may run at any time, any number of times, on several workers at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from . import notice_words, outages
from .exchanges.problems import MAY_PASS
from .finding_words import Words, words_for
from .findings import snooze_is_over
from .models import Connection, Credential, Finding, Notice, Thresholds
from .notice_making import BATCH, RUN_S, Draft, each_batch, listeners, make_all
from .notices import Kind
from .presentation import zone_of
from .rules import RULES

Status = Connection.Status

ENDINGS = ("expiring", "dies_of_inactivity")
# These are told as what they are, and the others as findings.
TOLD_OTHERWISE = (*ENDINGS, "withdraw_enabled", "failing")
NEWS = tuple(code for code in RULES if code not in TOLD_OTHERWISE)
LOCKED = ("self", "connection", "connection__owner")  # of a finding, see each_batch
KEYS_AT_ONCE = 1_000  # looked up by one query
# What kind of break was told stands at the end of the notice's key: a worse one is told as well.
PASSING, MENDABLE, REFUSED = ":passing", "", ":refused"


def tell(*, now: datetime) -> int:
    """Notices of outages, breaks and recoveries; how many were made."""
    return outages.update(now=now) + _breaks(now) + _recoveries(now)


def after_audit(*, now: datetime, connections: Collection[UUID] | None = None) -> int:
    """Notices of keys that end and of new findings, of some connections or of all."""
    findings = Finding.objects.all()
    if connections is not None:
        findings = findings.filter(connection__in=connections)
    return _endings(findings, now) + _news(findings, now)


def _breaks(now: datetime) -> int:
    """Of connections that worked: whoever enters a key is looking at its first test."""
    rows = outages.connections_to_tell().filter(
        _untold(now) | _grown_worse(), failing_since__isnull=False, last_ok_at__isnull=False
    )

    def tell_owners(batch: list[Connection]) -> int:
        _mark(batch, now)
        return len(make_all(map(_break, batch), now=now))

    return each_batch(rows, tell_owners)


def _untold(now: datetime) -> Q:
    """What has to be mended is told at once, what may pass only when it lasts."""
    patience = timedelta(minutes=Thresholds.current().break_patience_minutes)
    lasting = Q(failing_since__lte=now - patience, exchange__paused=False)
    lasting &= ~Q(exchange__in=outages.troubled(now))
    return (Q(told_failing_at=None) | Q(outages.told_through())) & (
        ~Q(problem__in=MAY_PASS) | lasting
    )


def _grown_worse() -> Q:
    """Its owner heard that it may pass, and now it does not; or that it fails, and now its key may
    even withdraw."""
    told = Notice.objects.filter(
        connection=OuterRef("pk"), made_at=OuterRef("told_failing_at"), kind=Kind.BREAK
    )
    mendable = ~Q(problem__in=MAY_PASS) & Exists(told.filter(key__endswith=PASSING))
    refused = Q(status=Status.REFUSED) & Exists(told.exclude(key__endswith=REFUSED))
    return mendable | refused


def _recoveries(now: datetime) -> int:
    rows = (
        outages.connections_to_tell()
        .filter(status__in=Connection.WORKING, failing_since=None)
        .exclude(told_failing_at=None)
        .annotate(by_outage=outages.told_through())  # its end is told for all
    )

    def tell_owners(batch: list[Any]) -> int:
        drafts = [_recovery(row) for row in batch if not row.by_outage]
        _mark(batch, None)
        return len(make_all(drafts, now=now))

    return each_batch(rows, tell_owners)


def _mark(batch: list[Connection], told: datetime | None) -> None:
    rows = Connection.objects.filter(pk__in=[row.pk for row in batch])
    rows.update(told_failing_at=told)


def _break(connection: Connection) -> Draft:
    if connection.status == Status.REFUSED:
        grade = REFUSED
    else:
        grade = PASSING if connection.problem in MAY_PASS else MENDABLE
    with timezone.override(zone_of(connection.owner)):
        said = notice_words.broken(connection)
    # What it suspended is told on its own, urgently: what still runs is left here.
    runs_on = grade == MENDABLE and bool(notice_words.at_risk(connection))
    key = f"break:{connection.pk}:{_stamp(connection.failing_since)}{grade}"
    return _about(connection, Kind.BREAK, key, said, urgent=grade == REFUSED or runs_on)


def _recovery(connection: Connection) -> Draft:
    with timezone.override(zone_of(connection.owner)):
        said = notice_words.recovered(connection)
    key = f"recovery:{connection.pk}:{_stamp(connection.told_failing_at)}"
    return _about(connection, Kind.RECOVERY, key, said)


def _about(
    connection: Connection, kind: Kind, key: str, said: notice_words.Said, *, urgent: bool = False
) -> Draft:
    return Draft(
        connection.owner_id,
        kind,
        key,
        said.subject,
        said.text,
        link=connection.get_absolute_url(),
        urgent=urgent,
        connection_id=connection.pk,
    )


def _stamp(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def _to_tell(findings: QuerySet[Finding]) -> QuerySet[Finding]:
    """With all that is said of them."""
    return findings.select_related("connection__exchange", "connection__owner").prefetch_related(
        Prefetch("connection__credentials", Credential.objects.active()), "connection__strategies"
    )


def _endings(findings: QuerySet[Finding], now: datetime) -> int:
    """The dates say what is due, and the notices' keys what was told: there is nothing to mark."""
    limits = Thresholds.current()
    steps = (limits.expiry_last_days, limits.expiry_second_days, limits.expiry_first_days)
    far = timedelta(days=steps[-1])  # what ended long ago is told by its break
    near = findings.filter(
        Q(state__in=(Finding.State.OPEN, Finding.State.ACKNOWLEDGED)) | snooze_is_over(now),
        rule__in=ENDINGS,
        until__range=(now - far, now + far),
    )
    due = _untold_steps(near, steps, now)
    free = _to_tell(near).select_for_update(of=LOCKED, no_key=True, skip_locked=True)
    ends, told, left = monotonic() + RUN_S, 0, sorted(due)
    for start in range(0, len(left), BATCH):
        with transaction.atomic():
            batch = list(free.filter(pk__in=left[start : start + BATCH]))
            drafts = [_ending(finding, *due[finding.pk], now) for finding in batch]
            told += len(make_all(drafts, now=now))
        if monotonic() >= ends:
            break
    return told


def _untold_steps(
    near: QuerySet[Finding], steps: Sequence[int], now: datetime
) -> dict[int, tuple[str, bool]]:
    """The key of the notice that is due for each finding, and whether it is the last. Only of the
    step that is nearest: what is found late is not told of twice."""
    due: dict[tuple[int, str], tuple[int, bool]] = {}
    facts = near.filter(connection__owner__in=listeners(Kind.EXPIRY)).values_list(
        "connection__owner", "connection", "rule", "until", "pk"
    )
    for owner, connection, rule, end, pk in facts:
        until = end or now
        step = next(days for days in steps if until <= now + timedelta(days=days))
        key = f"expiry:{connection}:{rule}:{until.date().isoformat()}:{step}"
        due[owner, key] = pk, step == steps[0]
    wanted = list(due)
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        owners, keys = zip(*wanted[start : start + KEYS_AT_ONCE], strict=True)
        told = Notice.objects.filter(user__in=owners, key__in=keys)
        for heard in told.values_list("user", "key"):
            due.pop(heard, None)
    return {pk: (key, last) for (_, key), (pk, last) in due.items()}


def _ending(finding: Finding, key: str, last: bool, now: datetime) -> Draft:
    connection = finding.connection
    with timezone.override(zone_of(connection.owner)):
        said = notice_words.ending(finding, _words(finding), now)
    return _about(connection, Kind.EXPIRY, key, said, urgent=last)


def _news(findings: QuerySet[Finding], now: datetime) -> int:
    """What is new, has come back or grown more severe, all of one owner in one notice."""
    as_it_is = F("regressions") * 100 + F("severity")
    rows = _to_tell(
        findings.filter(
            state=Finding.State.OPEN,
            severity__gte=Finding.Severity.HIGH,
            told__lt=as_it_is,
            rule__in=NEWS,
        )
    ).order_by("connection__owner_id", "-severity", "pk")

    def tell_owners(batch: list[Finding]) -> int:
        Finding.objects.filter(pk__in=[row.pk for row in batch]).update(told=as_it_is)
        by_owner = groupby(batch, attrgetter("connection.owner_id"))
        return len(make_all((_found(list(rows)) for _, rows in by_owner), now=now))

    return each_batch(rows, tell_owners, owner="connection__owner_id", locked=LOCKED)


def _found(findings: list[Finding]) -> Draft:
    first = findings[0]
    with timezone.override(zone_of(first.connection.owner)):
        said = notice_words.found([(finding, _words(finding)) for finding in findings])
    one = len({finding.connection_id for finding in findings}) == 1
    return Draft(
        first.connection.owner_id,
        Kind.FINDING,
        f"finding:{first.pk}:{first.regressions}:{first.severity}",
        said.subject,
        said.text,
        link=first.connection.get_absolute_url() if one else reverse("findings:list"),
        urgent=first.severity == Finding.Severity.CRITICAL,
        connection_id=first.connection_id if one else None,
    )


def _words(finding: Finding) -> Words:
    connection = finding.connection
    return words_for(
        finding,
        exchange_code=connection.exchange_id,
        strategies=notice_words.at_risk(connection),
    )
