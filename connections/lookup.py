"""Finding whatever somebody names to support: an address, a name, an account, the end of a key.

Each way is one look into an index and gives a bounded number of rows, so it takes as long among a
million connections as among ten. A secret is no way: nothing here reads one.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from .models import Connection, Credential

MOST = 100  # rows that one word may lead to by each way; more are read slowly, and by nobody
SHORTEST_BEGINNING = 3  # of an address or a name
HINT = 4
HELP = _(
    "An e-mail address or a connection's name (or how it begins), an account number at an "
    "exchange, the last four characters of an API key, a fingerprint or an id."
)


def users(word: str) -> QuerySet[Any]:
    """People by their address, or how it begins."""
    people = get_user_model().objects.alias(lower_email=Lower("email"))
    return people.filter(_begins("email", word.replace("\0", "").strip()))


def people(word: str) -> list[int]:
    """Their ids."""
    return list(users(word).values_list("pk", flat=True)[:MOST])


def connections(word: str) -> set[UUID]:
    """The ids of connections that this may mean."""
    owned = Connection.objects.order_by().filter(owner__in=people(word))
    return named(word) | set(owned.values_list("pk", flat=True)[:MOST])


def named(word: str) -> set[UUID]:
    """The same, but for those that only their owner was named for."""
    word = word.replace("\0", "").strip()
    if not word:
        return set()
    found = Connection.objects.order_by()
    ways = [
        found.alias(lower_name=Lower("name")).filter(_begins("name", word)),
        found.filter(uid=word),
        found.filter(pk__in=_keys(word)),
        found.filter(pk__in=_as_id(word)),
    ]
    return {pk for way in ways for pk in way.values_list("pk", flat=True)[:MOST]}


def _begins(field: str, word: str) -> Q:
    """The whole of it in any case; how it begins as it is written, or in small letters."""
    whole = Q(**{f"lower_{field}": word.lower()})
    if len(word) < SHORTEST_BEGINNING:
        return whole
    beginnings = {word, word.lower()}
    return whole | Q(*(((f"{field}__startswith", one)) for one in beginnings), _connector=Q.OR)


def _keys(word: str) -> list[UUID]:
    keys = Credential.objects.order_by()
    if len(word) == HINT:
        keys = keys.filter(hint=word)
    elif len(word) > HINT:
        keys = keys.filter(fingerprint=word.lower())
    else:
        keys = keys.none()
    return list(keys.values_list("connection", flat=True)[:MOST])


def _as_id(word: str) -> list[UUID]:
    try:
        return [UUID(word)]
    except ValueError:
        return []
