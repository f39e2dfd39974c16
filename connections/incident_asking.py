"""The two people of an incident: one asks, another confirms, and a stop is lifted the same way.

Each raises Refused where that cannot be said now. The row decides, under its lock, not the copy in
hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext

from .events import AccessEvent, record
from .incidents import PERMISSION, Incident, Scope, in_time
from .models import ConnectionTest

State = Incident.State


class Refused(Exception):
    """`sentence` says to the person why not."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    scope: str
    reason: str
    exchange: str | None = None  # its code
    owner: Any = None
    stop_use: bool = True
    suspend: bool = True
    tell: bool = True
    destroy: bool = True

    def as_incident(self) -> Incident:
        """Unsaved."""
        return Incident(
            scope=self.scope,
            exchange_id=self.exchange if self.scope == Scope.EXCHANGE else None,
            owner=self.owner if self.scope == Scope.OWNER else None,
            reason=self.reason.strip(),
            stop_use=self.stop_use,
            suspend=self.suspend,
            tell=self.tell,
            destroy=self.destroy,
        )


def ask(wish: Wish, *, by: Any, now: datetime) -> Incident:
    """Nothing is done before a second person confirms it."""
    _must_be_allowed(by)
    incident = wish.as_incident()
    if not incident.reason:
        raise Refused(gettext("Say what happened: it is kept with all that is done."))
    if not (wish.stop_use or wish.suspend or wish.tell or wish.destroy):
        raise Refused(gettext("Choose at least one step."))
    if wish.destroy and not (wish.suspend and wish.tell):
        raise Refused(
            gettext("Who destroys keys also suspends what runs on them, and tells their owners.")
        )
    incident.asked_by, incident.asked_at = by, now
    with transaction.atomic():
        incident.save(force_insert=True)
        _write_down(incident, by, "asked")
    return incident


def confirm(incident: Incident, *, by: Any, now: datetime) -> None:
    """The second person. From the end of this on nothing in its scope is used, if that was asked
    for; the rest is for whoever calls incident_work.run."""
    _must_be_allowed(by)
    with transaction.atomic():
        row = _locked(incident)
        if row.state != State.ASKED:
            raise Refused(gettext("It was confirmed or withdrawn already."))
        _must_be_another(row.asked_by_id, by)
        if not in_time(row.asked_at, now):
            raise Refused(gettext("It was asked more than 30 minutes ago. Ask for it again."))
        _must_still_be_allowed(row.asked_by)
        row.state, row.confirmed_by, row.confirmed_at = State.RUNNING, by, now
        row.save(update_fields=["state", "confirmed_by", "confirmed_at"])
        _write_down(row, by, "confirmed")
        drop_tests(row, now=now)
    incident.refresh_from_db()


def withdraw(incident: Incident, *, by: Any, now: datetime) -> None:
    """By either of the two, as long as it is not confirmed."""
    _must_be_allowed(by)
    with transaction.atomic():
        row = _locked(incident)
        if row.state != State.ASKED:
            raise Refused(gettext("It was confirmed or withdrawn already."))
        row.state, row.withdrawn_by, row.withdrawn_at = State.WITHDRAWN, by, now
        row.save(update_fields=["state", "withdrawn_by", "withdrawn_at"])
        _write_down(row, by, "withdrawn")
    incident.refresh_from_db()


def ask_to_lift(incident: Incident, *, by: Any, now: datetime) -> None:
    """That keys of its scope may be used again. What was destroyed stays destroyed."""
    _must_be_allowed(by)
    with transaction.atomic():
        row = _locked(incident)
        if not row.stops_use_now:
            raise Refused(gettext("It does not stop the use of any key."))
        if in_time(row.lift_asked_at, now):
            raise Refused(gettext("That is asked for already. Another person has to confirm it."))
        row.lift_asked_by, row.lift_asked_at = by, now
        row.save(update_fields=["lift_asked_by", "lift_asked_at"])
        _write_down(row, by, "lift asked")
    incident.refresh_from_db()


def lift(incident: Incident, *, by: Any, now: datetime) -> None:
    _must_be_allowed(by)
    with transaction.atomic():
        row = _locked(incident)
        if not row.stops_use_now:
            raise Refused(gettext("It does not stop the use of any key."))
        if not in_time(row.lift_asked_at, now):
            raise Refused(gettext("Somebody has to ask for it first, within 30 minutes."))
        if row.state != State.DONE:
            raise Refused(gettext("It is not done yet. Use goes on when all its steps are."))
        _must_be_another(row.lift_asked_by_id, by)
        _must_still_be_allowed(row.lift_asked_by)
        row.lifted_by, row.lifted_at = by, now
        row.save(update_fields=["lifted_by", "lifted_at"])
        _write_down(row, by, "lifted")
    incident.refresh_from_db()


def drop_tests(incident: Incident, *, now: datetime) -> None:
    """Tests that wait or run in its scope end without a result: whoever is at one finds its fence
    gone. Keys that are asked about at this moment are not asked about again."""
    if not (incident.stop_use or incident.destroy):
        return
    mine = ConnectionTest.objects.open().filter(incident.within("connection__"))
    if not incident.stop_use:  # only keys that are to be destroyed, not those entered since
        mine = mine.filter(credential__created_at__lte=incident.confirmed_at)
    with transaction.atomic():
        dropped = mine.update(
            status=ConnectionTest.Status.DONE, finished_at=now, fence=F("fence") + 1
        )
        Incident.objects.filter(pk=incident.pk).update(dropped=F("dropped") + dropped)


def _locked(incident: Incident) -> Incident:
    return Incident.objects.select_for_update(no_key=True).get(pk=incident.pk)


def _must_be_allowed(by: Any) -> None:
    if not _may(by):
        raise Refused(gettext("You may not do that."))


def _must_still_be_allowed(first: Any) -> None:
    """Whose rights were taken away since they asked is no second person."""
    if not _may(first):
        raise Refused(gettext("Whoever asked for it may not do that any more. Ask for it again."))


def _may(who: Any) -> bool:
    return bool(who.is_active and who.is_staff and who.has_perm(PERMISSION))


def _must_be_another(first: int | None, by: Any) -> None:
    if first is None or first == by.pk:
        raise Refused(gettext("Another person has to confirm what you asked for."))


def _write_down(incident: Incident, by: Any, what: str) -> None:
    why = f"incident {incident.pk} {what}: {incident.reason}"
    record(AccessEvent.Kind.INCIDENT, actor=by, exchange=incident.exchange_id or "", why=why)
