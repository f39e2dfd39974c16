"""What people may say of a finding. Only the auditor resolves one, when its fact is gone.

Each raises Refused where that cannot be said now. That a person may say it at all is for the caller
to check.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from .findings import Finding, FindingChange, Thresholds

State = Finding.State


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
    why = why.strip()
    if not why:
        raise Refused(gettext("Say why this finding is not to be shown any more."))
    longest = FindingChange._meta.get_field("why").max_length
    if longest and len(why) > longest:
        said = gettext("Say it in %(count)d characters at most.")
        raise Refused(said % {"count": longest})
    _say(finding, State.SUPPRESSED, by=by, now=now, why=why)


def reopen(finding: Finding, *, by: Any, now: datetime) -> None:
    """Takes back what was said of it."""
    _say(finding, State.OPEN, by=by, now=now)


def _say(
    finding: Finding,
    state: Finding.State,
    *,
    by: Any,
    now: datetime,
    until: datetime | None = None,
    why: str = "",
) -> None:
    """The row decides, not the copy in hand, which may be old."""
    with transaction.atomic():
        row = Finding.objects.select_for_update(no_key=True).filter(pk=finding.pk).first()
        if row is None or row.state == State.RESOLVED:
            raise Refused(gettext("There is nothing to say any more: the finding is resolved."))
        if row.state == state and state != State.SNOOZED:
            raise Refused(gettext("That has been said of it already."))
        if row.state == State.SUPPRESSED and state != State.OPEN:
            raise Refused(gettext("The finding is suppressed. Reopen it first."))
        said = {"state": state, "state_since": now, "snoozed_until": until}
        Finding.objects.filter(pk=row.pk).update(**said)
        FindingChange.objects.create(
            finding=row, at=now, by=by, state=state, severity=row.severity, until=until, why=why
        )
    for name, value in said.items():
        setattr(finding, name, value)
