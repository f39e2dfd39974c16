"""What owners are told of an incident: what happened, why, what to do now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from django.urls import reverse
from django.utils.translation import gettext, ngettext

from . import exchanges
from .incidents import SUSPENDED_FOR, Incident
from .models import Connection
from .notice_making import one_line
from .notice_words import Said, listed, paragraphs


def stopped() -> str:
    """On the pages of whoever it concerns."""
    return gettext(
        "BackFuture has stopped using keys here because of an incident. No test is made and no key "
        "can be entered until that is over."
    )


def notice(incident: Incident, connections: Sequence[Connection]) -> Said:
    """To one owner, about all their connections that it concerns."""
    count = len(connections)
    subject = ngettext(
        "Delete your API key at %(exchange)s now",
        "Delete your %(count)d API keys at their exchanges now",
        count,
    ) % {"exchange": connections[0].place, "count": count}
    return Said(
        subject,
        paragraphs(
            gettext(
                "API keys that are kept at BackFuture may have leaked. Somebody may be able to use "
                "yours. We cannot tell yet, so do not wait for certainty."
            ),
            gettext("What to do: delete these keys at the exchange. Only you can do that."),
            *_where(connections),
            gettext("Then look there for orders and withdrawals that are not yours."),
            _what_we_do(incident),
            _strategies(connections),
            gettext(
                "Enter new keys here only when we say that this is over; your settings are kept. "
                "We never ask for a key or a password by e-mail or chat."
            ),
        ),
    )


def page(connection: Connection | None) -> str:
    return connection.get_absolute_url() if connection else reverse("connections:list")


def _where(connections: Sequence[Connection]) -> list[str]:
    """For each exchange the keys and its page of keys."""
    by_exchange = sorted(connections, key=attrgetter("exchange_id"))
    return [_at(code, list(rows)) for code, rows in groupby(by_exchange, attrgetter("exchange_id"))]


def _at(code: str, connections: Sequence[Connection]) -> str:
    known = exchanges.EXCHANGES.get(code)
    keys = gettext("%(exchange)s: %(names)s") % {
        "exchange": exchanges.name_of(code),
        "names": listed([_key(connection) for connection in connections]),
    }
    return f"{keys}\n{known.key_page}" if known else keys


def _key(connection: Connection) -> str:
    """Its name and the last four characters of each of its keys, the new one's included."""
    hints = ", ".join(f"…{one_line(key.hint)}" for key in connection.credentials.all())
    return f"{one_line(connection.name)} ({hints})"


def _what_we_do(incident: Incident) -> str:
    done = []
    if incident.stop_use:
        done.append(gettext("We have stopped using them."))
    if incident.destroy:
        done.append(gettext("We destroy our copies of them."))
    return " ".join(done)


def _strategies(connections: Sequence[Connection]) -> str:
    names = [
        one_line(strategy.name)
        for connection in connections
        for strategy in connection.strategies.all()
        if strategy.suspended_for == SUSPENDED_FOR
    ]
    if not names:
        return ""
    return gettext(
        "Suspended: %(names)s. Open orders and positions stay as they are at the exchange; look "
        "at them there."
    ) % {"names": listed(names)}
