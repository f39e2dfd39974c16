"""What people may say of a finding. Only the auditor resolves one, when its fact is gone.

Each raises Refused where that cannot be said now. That a person may say it at all is for the caller
to check.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from .findings import Finding, FindingChange, Thresholds

State = Finding.State
BATCH = 500


class Refused(Exception):
    """`sentence` says to the person why not."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def acknowledge(finding: Finding, *, by: Any, now: datetime) -> None:
    """Seen; it stays until its fact is gone."""
    _say(finding, State.ACKNOWLEDGED, by=by, now=now)


def snooze(finding: Finding, *, by: Any, now: datetime, until: datetime | None = None) -> None:
    """Open again from that moment on; without one, after the usual number of days."""
    limits = Thresholds.current()
    until = until or now + timedelta(days=limits.snooze_days)
    if until <= now:
        raise Refused(gettext("Choose a date in the future."))
    if until > now + timedelta(days=limits.snooze_most_days):
        said = gettext("A finding can be snoozed for %(days)d days at most.")
        raise Refused(said % {"days": limits.snooze_most_days})
    _say(finding, State.SNOOZED, by=by, now=now, until=until)


def suppress(finding: Finding, *, by: Any, now: datetime, why: str) -> None:
    """Never shown as open again, whatever comes, until somebody reopens it or its fact is gone."""
    _say(finding, State.SUPPRESSED, by=by, now=now, why=_reason(why))


def reopen(finding: Finding, *, by: Any, now: datetime) -> None:
    """Takes back what was said of it."""
    _say(finding, State.OPEN, by=by, now=now)


def say_of_many(
    findings: Collection[Finding], state: Finding.State, *, by: Any, now: datetime, why: str = ""
) -> tuple[list[Finding], list[str]]:
    """Of those of which it can be said, and why not of the others, each sentence once. A snooze
    lasts the usual number of days. In as many statements for a thousand as for a few."""
    days = Thresholds.current().snooze_days if state == State.SNOOZED else 0
    why = _reason(why) if state == State.SUPPRESSED else ""
    done, refused = list[Finding](), dict[str, None]()
    with transaction.atomic():
        rows = _locked([finding.pk for finding in findings])
        for finding in findings:
            if sentence := _refusal(rows.get(finding.pk), state):
                refused[sentence] = None
            else:
                done.append(finding)
        until = now + timedelta(days=days) if days else None
        _write([rows[each.pk] for each in done], state, by=by, now=now, until=until, why=why)
    return done, list(refused)


def _reason(why: str) -> str:
    why = why.strip()
    if not why:
        raise Refused(gettext("Say why this finding is not to be shown any more."))
    longest = FindingChange._meta.get_field("why").max_length
    if longest and len(why) > longest:
        said = gettext("Say it in %(count)d characters at most.")
        raise Refused(said % {"count": longest})
    return why


def _say(
    finding: Finding,
    state: Finding.State,
    *,
    by: Any,
    now: datetime,
    until: datetime | None = None,
    why: str = "",
) -> None:
    with transaction.atomic():
        row = _locked([finding.pk]).get(finding.pk)
        if sentence := _refusal(row, state):
            raise Refused(sentence)
        _write([row] if row else [], state, by=by, now=now, until=until, why=why)
    finding.state, finding.state_since, finding.snoozed_until = state, now, until


def _locked(ids: Collection[Any]) -> dict[Any, Finding]:
    """The rows decide, not the copies in hand, which may be old."""
    rows = Finding.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {row.pk: row for row in rows}


def _refusal(row: Finding | None, state: Finding.State) -> str:
    if row is None or row.state == State.RESOLVED:
        return gettext("There is nothing to say any more: the finding is resolved.")
    if row.state == state and state != State.SNOOZED:
        return gettext("That has been said of it already.")
    if row.state == State.SUPPRESSED and state != State.OPEN:
        return gettext("The finding is suppressed. Reopen it first.")
    return ""


def _write(
    rows: list[Finding],
    state: Finding.State,
    *,
    by: Any,
    now: datetime,
    until: datetime | None,
    why: str,
) -> None:
    said = {"state": state, "state_since": now, "snoozed_until": until}
    Finding.objects.filter(pk__in=[row.pk for row in rows]).update(**said)
    FindingChange.objects.bulk_create(
        [
            FindingChange(
                finding=row, at=now, by=by, state=state, severity=row.severity, until=until, why=why
            )
            for row in rows
        ],
        batch_size=BATCH,
    )
