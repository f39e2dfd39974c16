"""How many rows there are, where nobody counts them to the end."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext

MOST = 10_000  # rows that are counted
PAGED = 1_000  # rows that can be paged through; with a filter of another table each costs a look


class Many(int):
    """A number of rows, of which only so many were counted; printed as what is known."""

    said: str

    def __new__(cls, rows: int, said: str) -> Many:
        made = super().__new__(cls, rows)
        made.said = said
        return made

    def __str__(self) -> str:
        return self.said


def count(rows: QuerySet[Any], most: int = MOST) -> int:
    """How many rows there are, or `Many`: "10,000+", and of a whole table "about 1,000,000"."""
    found = rows.order_by().values("pk")[: most + 1].count()
    if found <= most:
        return found
    about = 0 if rows.query.where else _estimate(rows)
    if about > most:
        return Many(most, gettext("about %(rows)s") % {"rows": _grouped(about)})
    return Many(most, f"{_grouped(most)}+")


def _estimate(rows: QuerySet[Any]) -> int:
    """Three digits of what PostgreSQL's own housekeeping last saw; 0 where nobody knows."""
    seen = _seen(rows.db, rows.model._meta.db_table)
    return round(seen, 3 - len(str(seen)))


def _seen(alias: str, table: str) -> int:
    if connections[alias].vendor != "postgresql":
        return 0
    with connections[alias].cursor() as cursor:
        name = connections[alias].ops.quote_name(table)
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [name])
        found = cursor.fetchone()
    return max(0, int(found[0])) if found else 0


def _grouped(rows: int) -> str:
    return str(number_format(rows, use_l10n=True, force_grouping=True))


def in_words(rows: int) -> str:
    return str(rows) if isinstance(rows, Many) else _grouped(rows)


class LargePaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the first rows alone: whoever looks further narrows the list instead."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return count(rows, PAGED) if isinstance(rows, QuerySet) else len(rows)
