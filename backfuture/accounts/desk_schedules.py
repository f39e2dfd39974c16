"""What the product does by the clock, and whether it is late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import crontab
from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from backfuture.schedules import KNOWN

from .schedule_admin import rhythm

# The clock (Celery's beat) writes down every three minutes what it has started.
WRITTEN_WITHIN = timedelta(minutes=4)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`last` and `next` are None where nobody knows: it never ran, or is switched off. One that is
    due, or about to be, may have run since: the clock has not written it down yet."""

    title: str
    harm: str
    rhythm: str
    last: datetime | None = None
    next: datetime | None = None
    off: bool = False
    due: bool = False
    late: bool = False


def schedules(now: datetime) -> list[Schedule]:
    """All there are; the late ones first."""
    rows = PeriodicTask.objects.select_related("interval", "crontab").filter(name__in=list(KNOWN))
    found = {row.name: row for row in rows}
    shown = [_schedule(name, found.get(name), now) for name in KNOWN]
    return sorted(shown, key=lambda each: not (each.late or each.off))


def _schedule(name: str, row: PeriodicTask | None, now: datetime) -> Schedule:
    title, harm = str(KNOWN[name].title), str(KNOWN[name].harm)
    if row is None:
        return Schedule(title, harm, gettext("not set up yet"), late=True)
    due = _after(row.schedule, row.last_run_at or row.date_changed) if row.enabled else None
    return Schedule(
        title,
        harm,
        rhythm(row),
        row.last_run_at,
        due,
        off=not row.enabled,
        due=due is not None and now >= due - timedelta(minutes=1),
        late=due is not None and now > due + WRITTEN_WITHIN,
    )


def _after(rule: Any, last: datetime) -> datetime:
    if not isinstance(rule, crontab):
        return last + rule.run_every  # type: ignore[no-any-return]
    local, delta, _now = rule.remaining_delta(last)
    return local + delta  # type: ignore[no-any-return]
