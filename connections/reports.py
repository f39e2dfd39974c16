"""The credential report: one line for each connection and the key in use, for spreadsheets.

It is streamed, since there may be a million lines. What users typed goes into cells of a program
that runs formulas, so cells are defused.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal
from uuid import UUID

from django.db.models import Count, QuerySet

from .exchanges.base import Known
from .exchanges.lifetimes import LIFETIMES
from .models import Connection, Credential, Finding

COLUMNS = (
    "owner",
    "connection",
    "exchange",
    "fingerprint",
    "created",
    "rotated",
    "last tested",
    "last ok",
    "last used",
    "active strategies",
    "read",
    "trade",
    "futures",
    "transfer",
    "withdraw",
    "ip restricted",
    "expires",
    "source of expiry",
    "open findings",
)
# The fact stands and nobody decided to leave it so.
STANDING = (Finding.State.OPEN, Finding.State.ACKNOWLEDGED, Finding.State.SNOOZED)
CHUNK = 500

Source = Literal["exchange", "computed", ""]

# Signs by which a spreadsheet knows a formula, in whatever width they are typed.
FORMULA = frozenset("=+-@")
# What may end a cell, depending on the country and on who reads the file.
ENDS_OF_CELLS = re.compile(r"([;\t\r\n])")


@dataclass(frozen=True, slots=True)
class Line:
    """A connection with what the report says of it. Fetched without Django's prefetching, whose
    rows refer to each other in circles and so stay in memory until somebody tidies up."""

    connection: Connection
    keys: list[Credential]  # oldest first
    strategies: int
    findings: list[str]

    @property
    def key(self) -> Credential | None:
        return next((key for key in self.keys if key.state == Credential.State.ACTIVE), None)


def rows(
    connections: QuerySet[Connection] | None = None,
    *,
    before: Callable[[list[Connection]], None] = lambda some: None,
) -> Iterator[list[str]]:
    """The cells of COLUMNS, for all connections or some of them, by owner and name. `before` is
    told of each few hundred before they are read."""
    chosen = Connection.objects.select_related("owner").order_by("owner__email", "name", "pk")
    if connections is not None:
        chosen = chosen.filter(pk__in=connections.order_by().values("pk"))
    found = chosen.iterator(chunk_size=CHUNK)
    while some := list(islice(found, CHUNK)):
        before(some)
        yield from map(_cells, _lines(some))


def _lines(connections: list[Connection]) -> Iterator[Line]:
    ids = [connection.pk for connection in connections]
    keys, findings = defaultdict(list), defaultdict(list)
    for key in Credential.objects.filter(connection__in=ids).order_by("created_at").defer("sealed"):
        keys[key.connection_id].append(key)
    standing = Finding.objects.filter(connection__in=ids, state__in=STANDING).order_by("rule")
    for pk, rule in standing.values_list("connection_id", "rule"):
        findings[pk].append(rule)
    strategies: dict[UUID, int] = dict(
        Connection.objects.filter(pk__in=ids, strategies__enabled=True)
        .order_by()
        .values_list("pk", Count("strategies"))
    )
    for connection in connections:
        pk = connection.pk
        yield Line(connection, keys[pk], strategies.get(pk, 0), findings[pk])


def csv_parts(lines: Iterable[list[str]]) -> Iterator[str]:
    """The whole file, some hundred lines at a time: headings, then `lines`, defused."""
    yield _as_csv([list(COLUMNS)])
    left = iter(lines)
    while part := list(islice(left, CHUNK)):
        yield _as_csv([[defused(cell) for cell in line] for line in part])


def defused(cell: str) -> str:
    """The same text, which no spreadsheet takes for a formula: an apostrophe stands before it."""
    parts = ENDS_OF_CELLS.split(cell)
    parts[::2] = [f"'{part}" if _is_formula(part) else part for part in parts[::2]]
    safe = "".join(parts)
    return f"'{safe}" if ENDS_OF_CELLS.match(safe) else safe


def _is_formula(text: str) -> bool:
    visible = text.lstrip("".join(filter(_is_invisible, text)))
    return unicodedata.normalize("NFKC", visible[:1]) in FORMULA


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "CZ"


def _as_csv(lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue()


def _cells(line: Line) -> list[str]:
    connection, key = line.connection, line.key
    may = connection.known_permissions
    expires, source = expiry(connection, key)
    return [
        connection.owner.email,
        connection.name,
        connection.exchange_id,
        key.fingerprint if key else "",
        _said(connection.created_at),
        _said(key.created_at) if key and key != line.keys[0] else "",
        _said(connection.tested_at),
        _said(connection.last_ok_at),
        _said(key.last_used_at) if key else "",
        str(line.strategies),
        _yes_no(may.read),
        _yes_no(may.spot_trade),
        _yes_no(may.futures_trade),
        _yes_no(may.transfer),
        _yes_no(may.withdraw),
        _yes_no(connection.ip_restricted),
        _said(expires),
        source,
        " ".join(line.findings),
    ]


def expiry(connection: Connection, key: Credential | None) -> tuple[datetime | None, Source]:
    """When the key ends and who says so: the exchange, or its rule for keys without IP addresses,
    counted from the day the key was made. A good test after such a day proves that it was not the
    end."""
    if connection.key_expires_at:
        return connection.key_expires_at, "exchange"
    lifetime = LIFETIMES.get(connection.exchange_id)
    if key is None or connection.ip_restricted is not False or not (lifetime and lifetime.days):
        return None, ""
    ends = (connection.key_created_at or key.created_at) + timedelta(days=lifetime.days)
    if connection.last_ok_at and connection.last_ok_at >= ends:
        return None, ""
    return ends, "computed"


def _said(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""


def _yes_no(value: Known) -> str:
    """Not translated: programs read it."""
    return {True: "yes", False: "no", None: "unknown"}[value]
