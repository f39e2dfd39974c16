"""What the pages of a connection show, gathered in one place and ready to print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from . import exchanges, finding_pages, services
from .balance_pages import Balances, balances_of
from .exchanges.base import Permissions
from .finding_pages import Standing
from .history import Day, strips
from .models import Connection, ConnectionTest, Credential
from .models import Exchange as ExchangeRow
from .presentation import (
    Explanation,
    PermissionMark,
    Status,
    StepLine,
    explain,
    explain_all,
    line_marks,
    permission_marks,
    ready_for,
    status_of,
    step_lines,
    yes_no_unknown,
)

BALANCES = ("balances", "balances_of")  # long, and shown with one test alone
DESTROYED, RETIRED = "key_destroyed", Credential.State.RETIRED  # by an incident
WAITING_LONG = timedelta(seconds=4)
HISTORY_SHOWN = 6
TESTS_PER_PAGE = 25


@dataclass(frozen=True, slots=True)
class Card:
    """An exchange to choose, or one that is not offered yet."""

    code: str
    name: str
    offered: bool
    paused: bool = False
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """A connection on one line."""

    connection: Connection
    status: Status
    ready_for: str
    hint: str
    key_created_at: datetime | None
    marks: list[PermissionMark]
    strip: list[Day]
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One test: its steps, and what came of it."""

    connection: Connection
    test: ConnectionTest | None
    lines: list[StepLine]
    status: Status
    explanation: Explanation | None
    causes: list[Explanation]
    warnings: list[Explanation]
    marks: list[PermissionMark]
    ready_for: str
    ip_word: str
    balances: Balances | None
    polling: bool
    waiting_long: bool
    again_in: int
    retry_at: datetime | None
    new_key: bool  # the test is about a key that is to replace the one in use


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One past test in the list of them."""

    test: ConnectionTest
    status: Status
    when: datetime
    who: str
    url: str


def cards() -> list[Card]:
    rows = {row.code: row for row in ExchangeRow.objects.for_choosing()}
    known = [
        Card(code, exchange.name, row.offered, row.paused, row.notice)
        for code, exchange in exchanges.EXCHANGES.items()
        if (row := rows.get(code))
    ]
    return sorted(known, key=lambda card: (not card.offered, rows[card.code].position))


def notices() -> list[tuple[str, str]]:
    return [(row.name, row.notice) for row in ExchangeRow.objects.exclude(notice="")]


def summaries(connections: Iterable[Connection], *, now: datetime) -> list[Summary]:
    """The lines of a list, with what their tests and findings tell."""
    rows = list(connections)
    ids = [row.pk for row in rows]
    if not rows:
        return []
    days = strips(ids, now=now, zone=timezone.get_current_timezone())
    standing = finding_pages.standing(ids, now=now)
    return [summary(row, days[row.pk], standing.get(row.pk)) for row in rows]


def summary(
    connection: Connection,
    strip: list[Day] | None = None,
    standing: Standing | None = None,
    *,
    testing: bool | None = None,
) -> Summary:
    """Expects a connection from `for_list`, which fetches what is read here. `testing` is given
    where a panel stands beside it: both say the same."""
    keys: list[Credential] = connection.active  # type: ignore[attr-defined]
    if testing is None:
        testing = bool(connection.open_tests)  # type: ignore[attr-defined]
    permissions = connection.known_permissions
    return Summary(
        connection,
        status_of(connection, testing=testing),
        ready_for(permissions) if connection.works else gettext("nothing yet"),
        keys[0].hint if keys else "",
        keys[0].created_at if keys else None,
        line_marks(permissions),
        strip or [],
        standing,
    )


def newest_test(connection: UUID) -> ConnectionTest | None:
    tests = ConnectionTest.objects.select_related("connection__exchange", "credential")
    return tests.defer("credential__sealed").filter(connection=connection).first()


def latest_panel(connection: Connection, test: ConnectionTest | None) -> Panel:
    """The panel of the newest test, with what the owner can do next. The test is read before its
    connection: a result that comes between the two is asked for again, never half shown."""
    newest = panel(connection, test)
    key = newest.test.credential if newest.test else None
    destroyed = connection.problem == DESTROYED and (key is None or key.state == RETIRED)
    if not (connection.use_stopped or destroyed):
        return newest
    # What the last test found is no promise now.
    status = status_of(connection, testing=False)
    shown = replace(newest, status=status, ready_for="", balances=None, marks=[], warnings=[])
    if destroyed:
        why = explain(DESTROYED, connection.exchange_id)
        return replace(shown, explanation=why, causes=[], lines=[])
    return shown


def panel(connection: Connection, test: ConnectionTest | None) -> Panel:
    permissions = Permissions.from_stored(test.permissions if test else {})
    finished = test is not None and not test.is_open
    return Panel(
        connection=connection,
        test=test,
        lines=step_lines(test) if test else [],
        status=_status(connection, test),
        explanation=_explanation(test),
        causes=explain_all(test.causes, connection.exchange_id) if test else [],
        warnings=explain_all(test.warnings, connection.exchange_id) if test else [],
        marks=permission_marks(permissions) if finished else [],
        ready_for=ready_for(permissions) if test and test.outcome in Connection.WORKING else "",
        ip_word=yes_no_unknown(test.ip_restricted) if test else "",
        balances=balances_of(test) if test and finished else None,
        polling=bool(test and test.is_open),
        waiting_long=_waits_long(test),
        again_in=services.seconds_to_wait(connection),
        retry_at=None if connection.exchange.paused else connection.next_test_at,
        new_key=bool(test and test.credential.state == Credential.State.PENDING),
    )


def history(connection: Connection) -> list[HistoryLine]:
    return [history_line(connection, test) for test in _tests(connection)[:HISTORY_SHOWN]]


def all_tests(
    connection: Connection, number: str
) -> tuple[Page[ConnectionTest], list[HistoryLine]]:
    """One page of all tests, newest first; the nearest page where there is none of that number."""
    page = Paginator(_tests(connection), TESTS_PER_PAGE).get_page(number)
    return page, [history_line(connection, test) for test in page]


def _tests(connection: Connection) -> QuerySet[ConnectionTest]:
    found = connection.tests.select_related("requested_by", "connection__exchange")
    return found.defer("steps", "permissions", *BALANCES).order_by("-queued_at", "pk")


def history_line(connection: Connection, test: ConnectionTest) -> HistoryLine:
    return HistoryLine(
        test,
        _status(connection, test),
        test.queued_at,
        who_asked(connection, test),
        reverse("connections:past_test", args=[connection.pk, test.pk]),
    )


def who_asked(connection: Connection, test: ConnectionTest) -> str:
    if test.requested_by_id == connection.owner_id:
        return gettext("you")
    return gettext("support") if test.requested_by_id else gettext("BackFuture, by itself")


def _status(connection: Connection, test: ConnectionTest | None) -> Status:
    """The status this one test gives, said in the words used for connections."""
    if test is None:
        return status_of(connection, testing=False)
    if not test.is_open and not test.outcome:
        word = gettext("Dropped")
        return Status(word, "secondary", "x", gettext("It was given up before it had a result."))
    as_found = Connection(
        exchange=connection.exchange,
        status=test.outcome or Connection.Status.NEW,
        problem=test.problem,
        # A test of long ago is told by what it found, not by what has expired since.
        key_expires_at=test.key_expires_at if _still_ahead(test) else None,
    )
    return status_of(as_found, testing=test.is_open)


def _still_ahead(test: ConnectionTest) -> bool:
    return test.key_expires_at is not None and test.key_expires_at > timezone.now()


def _explanation(test: ConnectionTest | None) -> Explanation | None:
    if test is None or not test.problem:
        return None
    return explain(test.problem, test.connection.exchange_id, seen_ip=test.seen_ip)


def _waits_long(test: ConnectionTest | None) -> bool:
    return (
        test is not None
        and test.status == ConnectionTest.Status.QUEUED
        and timezone.now() - test.queued_at > WAITING_LONG
    )
