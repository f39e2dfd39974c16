"""What support does to many connections at once: in as many statements as to one.

Whoever asks has checked that they may. Each answers with how many it was done for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from . import hygiene, notice_words
from .events import AccessEvent, event
from .incidents import stops
from .models import Connection, ConnectionTest, Credential, Finding
from .notice_making import Draft, make_all
from .notices import Kind
from .services import PAUSE_BETWEEN_TESTS, Paused, TooSoon, request_test

MOST = 1000  # rows of one action
AT_ONCE = 20  # tests that are begun at once; the others follow at their exchanges' pace
BATCH = 500
ASKED, ACKNOWLEDGED = "asked to replace the key", "findings acknowledged"

Rows = Sequence[Connection]
Why = Callable[[Connection], str]  # each owner reads what was said for looking at theirs


def test(connections: Rows, *, by: Any, now: datetime) -> tuple[list[ConnectionTest], list[UUID]]:
    """The tests that are begun now, and the connections that are tested in their turn, as soon as
    the pace of their exchanges lets them. Neither: paused, without a key, stopped by an
    incident, or tested just now."""
    begun = []
    # Locked in one order, whatever order a list is in, and so by everybody else.
    for connection in sorted(connections[:AT_ONCE], key=lambda row: row.pk):
        try:
            begun.append(request_test(connection, by=by, reason=ConnectionTest.Reason.STAFF))
        except (TooSoon, Paused, Credential.DoesNotExist, Connection.DoesNotExist):
            continue
    return begun, _make_due([each.pk for each in connections[AT_ONCE:]], now)


def _make_due(ids: Collection[UUID], now: datetime) -> list[UUID]:
    keyed = Credential.objects.in_use().filter(connection__in=ids).values("connection")
    ready = Connection.objects.filter(pk__in=ids, paused_at=None, exchange__paused=False)
    ready = ready.filter(stops().outside())
    due = list(ready.filter(pk__in=keyed).order_by().values_list("pk", flat=True))
    Connection.objects.filter(pk__in=due, paused_at=None).update(next_test_at=now)
    return due


def pause(connections: Rows, *, by: Any, why: Why, now: datetime) -> int:
    """Nothing uses their keys from here on; tests under way are dropped."""
    with transaction.atomic():
        rows = _locked(connections, Q(paused_at=None))
        ids = [row.pk for row in rows]
        Connection.objects.filter(pk__in=ids).update(paused_at=now, next_test_at=None)
        ConnectionTest.objects.open().filter(connection__in=ids).update(
            status=ConnectionTest.Status.DONE, finished_at=now, fence=F("fence") + 1
        )
        _record(AccessEvent.Kind.PAUSED, rows, by, why)
    return len(rows)


def resume(connections: Rows, *, by: Any, why: Why, now: datetime) -> int:
    """Ends pauses; each is tested in its turn, since much may have changed meanwhile."""
    with transaction.atomic():
        rows = _locked(connections, Q(paused_at__isnull=False))
        Connection.objects.filter(pk__in=[row.pk for row in rows]).update(
            paused_at=None, next_test_at=now + PAUSE_BETWEEN_TESTS
        )
        _record(AccessEvent.Kind.RESUMED, rows, by, why)
    return len(rows)


def ask_to_replace(connections: Rows, *, by: Any, why: Why, now: datetime) -> int:
    """Tells their owners, at most once a day for each connection. Whoever wants no such notice, or
    was told today, is not counted."""
    by_id = {each.pk: each for each in connections}
    drafts = [_draft(each, now) for each in connections]
    with transaction.atomic():
        made = make_all(drafts, now=now)
        asked = [by_id[notice.connection_id] for notice in made if notice.connection_id]
        _record(AccessEvent.Kind.STAFF_ACTED, asked, by, lambda row: f"{ASKED}: {why(row)}")
    return len(made)


def _draft(connection: Connection, now: datetime) -> Draft:
    said = notice_words.replace_asked(connection)
    key = f"replace:{connection.pk}:{now:%Y-%m-%d}"
    link = connection.get_absolute_url()
    return Draft(
        connection.owner_id, Kind.REPLACE, key, said.subject, said.text, link, False, connection.pk
    )


def acknowledge(connections: Rows, *, by: Any, why: Why, now: datetime) -> int:
    """All their findings that nobody has said anything of yet; how many findings those were."""
    ids = [each.pk for each in connections]
    with transaction.atomic():
        wanting = Finding.objects.wanting_attention(now).filter(connection__in=ids)
        found = list(wanting.select_for_update(no_key=True, of=("self",)).order_by("pk"))
        found, _refused = hygiene.say_of_many(found, Finding.State.ACKNOWLEDGED, by=by, now=now)
        theirs = {finding.connection_id for finding in found}
        said = [row for row in connections if row.pk in theirs]
        acted = AccessEvent.Kind.STAFF_ACTED
        _record(acted, said, by, lambda row: f"{ACKNOWLEDGED}: {why(row)}")
    return len(found)


def _locked(connections: Rows, which: Q) -> list[Connection]:
    rows = Connection.objects.filter(which, pk__in=[each.pk for each in connections])
    return list(rows.select_for_update(no_key=True, of=("self",)).order_by("pk"))


def _record(kind: AccessEvent.Kind, rows: Collection[Connection], by: Any, why: Why) -> None:
    AccessEvent.objects.bulk_create(
        [event(kind, connection=row, actor=by, why=why(row)) for row in rows], batch_size=BATCH
    )
