"""What the support desk's page of one connection shows: what its owner reads, the evidence of the
last test, and what happened, from all logs in one list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.urls import reverse
from django.utils.translation import gettext

from . import marks, pages
from .desk import list_of
from .events import AccessEvent
from .models import Connection, FindingChange
from .rules import RULES

SHOWN = 30
BY_TESTS = (
    *("status", "problem", "suspicion", "permissions", "ip_restricted", "key_expires_at"),
    *("uid", "tested_at", "last_ok_at", "failing_since", "next_test_at"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    what: str
    who: str = ""
    detail: str = ""
    color: str = "secondary"
    link: str = ""


def timeline(connection: Connection) -> list[Entry]:
    """The newest of everything, newest first. From where somebody acted is not in it: the whole log
    is for those who may see it."""
    entries = [*_tests(connection), *_findings(connection), *_events(connection)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:SHOWN]


def _tests(connection: Connection) -> Iterator[Entry]:
    tests = connection.tests.select_related("requested_by", "connection__exchange")
    for test in tests.defer("steps", "permissions", "balances").order_by("-queued_at")[:SHOWN]:
        line = pages.history_line(connection, test)
        link = reverse("admin:connections_connectiontest_change", args=[test.pk])
        who = _who(test.requested_by, connection)
        what = gettext("Test: %(result)s") % {"result": line.status.word}
        yield Entry(test.queued_at, what, who, test.get_reason_display(), line.status.color, link)


def _findings(connection: Connection) -> Iterator[Entry]:
    changes = FindingChange.objects.filter(finding__connection=connection)
    for change in changes.select_related("by", "finding").order_by("-at", "-pk")[:SHOWN]:
        rule = RULES.get(change.finding.rule)
        title = str(rule.title) if rule else change.finding.rule
        what = gettext("Finding: %(title)s") % {"title": title}
        link = reverse("admin:connections_finding_change", args=[change.finding_id])
        detail = " · ".join(filter(None, (change.get_state_display(), change.why)))
        yield Entry(change.at, what, _who(change.by, connection), detail, "orange", link)


def _events(connection: Connection) -> Iterator[Entry]:
    events = AccessEvent.objects.filter(connection=connection).select_related("actor")
    for each in events.order_by("-at", "-pk")[:SHOWN]:
        who = _who(each.actor, connection)
        yield Entry(each.at, str(each.get_kind_display()), who, each.why, "secondary")


def _who(person: AbstractBaseUser | None, connection: Connection) -> str:
    if person is None:
        return gettext("BackFuture, by itself")
    return gettext("its owner") if person.pk == connection.owner_id else str(person)


def rest(connection: Connection) -> dict[str, str]:
    """Where the whole of each log is."""
    of_this = {"connection__id__exact": connection.pk}
    lists = ("ConnectionTest", "Finding", "AccessEvent")
    return {name.lower(): list_of(f"connections.{name}", **of_this) for name in lists}


def context(connection: Connection, user: Any) -> dict[str, Any]:
    """For templates/desk/connection.html."""
    newest = pages.newest_test(connection.pk)
    connection.refresh_from_db(fields=BY_TESTS)  # it was read before that test
    panel = pages.latest_panel(connection, newest)
    return {
        "connection": connection,
        "panel": panel,
        "lines": [(line, marks.step(line.state)) for line in panel.lines] if panel else [],
        "seen_by_owner": pages.summary(connection, testing=panel.polling),
        "timeline": timeline(connection),
        "rest": rest(connection),
        "sees_events": user.has_perm("connections.view_accessevent"),
    }
