"""What a confirmed incident does, step by step, in small batches that each end with a commit.

The rows say what is left: who goes on after a crash, or beside somebody else, does what is not done
and nothing twice. The counts grow in the same transactions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Prefetch, QuerySet
from django.utils import timezone

from . import hooks, incident_words, services
from .events import AccessEvent, event, record
from .incident_asking import drop_tests
from .incidents import Incident
from .keyring_rows import free
from .models import Connection, ConnectionTest, Credential
from .notice_making import Draft, make_all
from .notices import Kind
from .presentation import zone_of

RUN_S = 8.0  # of one run; whoever called it calls it again (timetable.py)
AT_ONCE = 100  # owners, or connections, of one transaction
HELD_S = 0.2  # how long rows that somebody else holds are left to them

Step = Incident.Step


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an incident would come to now, step by step. `untold` have an account that is closed,
    so no notice reaches them."""

    connections: int
    tests: int
    strategies: int
    owners: int
    untold: int
    keys: int


def forecast(incident: Incident) -> Forecast:
    """Counts alone: nothing is locked or changed. The incident may be unsaved."""
    inside = Connection.objects.filter(incident.within())
    keys = Credential.objects.filter(connection__in=inside, sealed__isnull=False)
    owners = get_user_model().objects.filter(Exists(_of_owner(keys)))
    return Forecast(
        connections=inside.count(),
        tests=ConnectionTest.objects.open().filter(connection__in=inside).count(),
        strategies=hooks.running(inside),
        owners=owners.filter(is_active=True).count(),
        untold=owners.filter(is_active=False).count(),
        keys=keys.count(),
    )


def run(incident_id: int, *, seconds: float = RUN_S) -> bool:
    """Goes on with it for about so long; whether all of it is done. Safe to call at any time, any
    number of times, by any number of processes."""
    ends = time.monotonic() + seconds
    incident = Incident.objects.under_way().filter(pk=incident_id).first()
    if incident is None:
        return True
    drop_tests(incident, now=timezone.now())  # claimed in the moment in which it was confirmed
    while incident.step != Step.END and time.monotonic() < ends:
        if not WORK[Step(incident.step)](incident):
            _move_on(incident)
        incident.refresh_from_db()
    if incident.step == Step.END:
        _finish(incident)
    return incident.step == Step.END


def run_next() -> bool:
    """Goes on with the oldest that is under way; whether none is left."""
    ids = list(Incident.objects.under_way().values_list("pk", flat=True)[:2])
    return not ids or (run(ids[0]) and len(ids) == 1)


def _move_on(incident: Incident) -> None:
    """To the next step, unless somebody else did so: no step is begun again."""
    names = list(Step)
    following = names[names.index(Step(incident.step)) + 1]
    Incident.objects.filter(pk=incident.pk, step=incident.step).update(step=following)


def _finish(incident: Incident) -> None:
    now, running = timezone.now(), Incident.objects.filter(pk=incident.pk, state="running")
    with transaction.atomic():
        if running.update(state=Incident.State.DONE, finished_at=now):
            record(
                AccessEvent.Kind.INCIDENT,
                exchange=incident.exchange_id or "",
                why=f"incident {incident.pk} done: {incident.suspended} strategies suspended, "
                f"{incident.told} owners told, {incident.destroyed} keys destroyed",
            )


def _keys(incident: Incident) -> QuerySet[Credential]:
    """Those that were there when it was confirmed and are not destroyed yet: replaced ones that
    are kept for a while too, since they may still work at the exchange."""
    keys = Credential.objects.filter(incident.within("connection__"))
    return keys.filter(created_at__lte=incident.confirmed_at, sealed__isnull=False)


def _of_owner(keys: QuerySet[Credential]) -> QuerySet[Credential]:
    return keys.filter(connection__owner=OuterRef("pk"))


# --- one batch of each step; False when nothing is left -----------------------------------------


def _suspend(incident: Incident) -> bool:
    if not incident.suspend:
        return False
    inside = Connection.objects.filter(incident.within())
    note = partial(_count, incident, "suspended")
    return hooks.halt(inside, now=timezone.now(), told=incident.tell, note=note)


def _tell(incident: Incident) -> bool:
    if not incident.tell:
        return False
    people = get_user_model().objects.filter(pk__gt=incident.told_up_to)
    mine = people.filter(Exists(_of_owner(_keys(incident)))).order_by("pk")
    batch = list(mine[:AT_ONCE])
    if not batch:
        return False
    with transaction.atomic():
        made = make_all(_drafts(incident, batch), now=timezone.now())
        here = Incident.objects.filter(pk=incident.pk, told_up_to=incident.told_up_to)
        if not here.update(told_up_to=batch[-1].pk, told=F("told") + len(made)):
            transaction.set_rollback(True)  # somebody else has told these
    return True


def _drafts(incident: Incident, owners: list[Any]) -> list[Draft]:
    keys = _keys(incident).filter(connection=OuterRef("pk"))
    rows = Connection.objects.filter(Exists(keys), owner__in=owners).select_related("exchange")
    kept = Prefetch("credentials", Credential.objects.not_destroyed().defer("sealed"))
    by_owner: dict[int, list[Connection]] = {owner.pk: [] for owner in owners}
    for connection in rows.prefetch_related(kept, "strategies").order_by("name"):
        by_owner[connection.owner_id].append(connection)
    return [_draft(incident, owner, by_owner[owner.pk]) for owner in owners if by_owner[owner.pk]]


def _draft(incident: Incident, owner: Any, connections: list[Connection]) -> Draft:
    with timezone.override(zone_of(owner)):
        said = incident_words.notice(incident, connections)
    one = connections[0] if len(connections) == 1 else None
    return Draft(
        owner.pk,
        Kind.INCIDENT,
        f"incident:{incident.pk}",
        said.subject,
        said.text,
        link=incident_words.page(one),
        urgent=True,
        connection_id=one.pk if one else None,
    )


def _destroy(incident: Incident) -> bool:
    """Under the locks of the connections, which are those of their keys and tests (services.py),
    and of their owners: what others are at is left for the next batch."""
    if not incident.destroy:
        return False
    wanted = _keys(incident).filter(connection=OuterRef("pk"))
    rows = Connection.objects.filter(Exists(wanted)).select_related("owner").order_by("pk")
    if not rows.exists():
        return False
    with transaction.atomic():
        connections = {row.pk: row for row in free(rows, "self", "owner")[:AT_ONCE]}
        _destroy_keys(incident, connections)
    if not connections:
        time.sleep(HELD_S)
    return True


def _destroy_keys(incident: Incident, connections: dict[Any, Connection]) -> None:
    mine = _keys(incident).filter(connection__in=list(connections))
    keys = list(mine.defer("sealed"))
    AccessEvent.objects.bulk_create(
        event(
            AccessEvent.Kind.KEY_REVOKED,
            connection=connections[key.connection_id],
            key=key,
            actor_id=incident.confirmed_by_id,
            why=f"incident {incident.pk}",
        )
        for key in keys
    )
    now, ids = timezone.now(), [key.pk for key in keys]
    ConnectionTest.objects.open().filter(credential__in=ids).update(
        status=ConnectionTest.Status.DONE, finished_at=now, fence=F("fence") + 1
    )
    _count(incident, "destroyed", services.retire(Credential.objects.filter(pk__in=ids)))
    _say_so(list(connections))


def _say_so(connections: list[Any]) -> None:
    """Nothing is known of a connection without a key. A key entered since speaks for itself."""
    left = Credential.objects.in_use().filter(connection=OuterRef("pk"))
    Connection.objects.filter(~Exists(left), pk__in=connections).update(
        status=Connection.Status.FAILED,
        problem="key_destroyed",
        permissions={},
        ip_restricted=None,
        key_expires_at=None,
        key_created_at=None,
        suspicion="",
        failing_since=None,  # told by the incident, not as a break
        next_test_at=None,
        retries=0,
    )


def _count(incident: Incident, name: str, more: int) -> None:
    Incident.objects.filter(pk=incident.pk).update(**{name: F(name) + more})


WORK: dict[Incident.Step, Callable[[Incident], bool]] = {
    Step.SUSPEND: _suspend,
    Step.TELL: _tell,
    Step.DESTROY: _destroy,
}
