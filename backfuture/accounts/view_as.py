"""Support sees the site as a user sees it: with the user's consent, for an hour at most, reading
alone, and every page on record.

The session stays that of the member of staff. It notes which consent they look by; for each
request that is asked anew (middleware.py), so the look ends with the consent, by the clock, and
with the right to it. Whatever is not on the list below is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext

from connections.events import AccessEvent, record
from connections.models import Connection
from connections.services import lock_owner

from .models import User, ViewGrant

PERMISSION = "accounts.view_as_user"
SESSION = "view_as"
LEAVE = "accounts:stop_viewing"
ENDS = frozenset({LEAVE, "account_logout"})  # by POST alone: the session's end is the look's
MARK = "as the user: "  # of the access events, before the page's path
ONCE_IN = timedelta(minutes=1)  # the same page again within that is one look
LONGEST_REASON = 80

# By GET alone. None takes a key, changes anything, hands out a file or is about the account.
PAGES = frozenset(
    {
        "home",
        "connections:list",
        "connections:detail",
        "connections:test",
        "connections:tests",
        "connections:past_test",
        "findings:list",
        "exchanges:list",
        "exchanges:detail",
        "notices:list",
        "strategies:list",
        "strategies:detail",
        "strategies:history",
    }
)

Kind = AccessEvent.Kind


class Refused(Exception):
    """`sentence` says to the member of staff why they cannot look."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Viewing:
    """A look that is under way."""

    owner: User
    staff: User
    until: datetime
    reason: str


# --- the owner's side ----------------------------------------------------------------------------


def grant(owner: User, *, now: datetime) -> ViewGrant:
    """From now on for an hour. One that is open stays as it is: nothing makes it longer."""
    with transaction.atomic():
        lock_owner(owner)
        if found := open_grant(owner, now=now):
            return found
        made = ViewGrant.objects.create(owner=owner, granted_at=now, until=now + ViewGrant.LASTS)
        record(Kind.VIEW_GRANTED, actor=owner, owner=owner)
    return made


def end(owner: User, *, now: datetime) -> bool:
    """At once, for everybody who is looking."""
    with transaction.atomic():
        lock_owner(owner)
        ended = ViewGrant.objects.open(now).filter(owner=owner).update(ended_at=now)
        if ended:
            record(Kind.VIEW_ENDED, actor=owner, owner=owner)
    return bool(ended)


def open_grant(owner: User, *, now: datetime) -> ViewGrant | None:
    return ViewGrant.objects.open(now).filter(owner=owner).first()


def who_looked(owner: User, given: ViewGrant) -> QuerySet[Any, Any]:
    """By that consent: each member of staff, how many pages, and when last."""
    looks = AccessEvent.objects.about(owner).filter(
        kind=Kind.STAFF_LOOK, at__range=(given.granted_at, given.until), why__startswith=f"{MARK}/"
    )
    by_person = looks.order_by().values("actor__email")
    return by_person.annotate(pages=Count("pk"), last=Max("at")).order_by("actor__email")


# --- the side of the member of staff -------------------------------------------------------------


def begin(request: HttpRequest, owner: User, *, reason: str, now: datetime) -> None:
    """Raises Refused. Whoever calls it has asked for a fresh second factor."""
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not _may(request):
        raise Refused(gettext("You may not do that."))
    if not reason:
        raise Refused(gettext("Say why you look: the user sees it."))
    given = open_grant(owner, now=now)
    if given is None or not _can_be_viewed(owner):
        raise Refused(gettext("The user has not let support in, or no longer. Ask them to."))
    _record(request.user, owner, f"begin ({reason})")
    request.session[SESSION] = {"grant": given.pk, "staff": request.user.pk, "reason": reason}


def leave(request: HttpRequest) -> None:
    request.session.pop(SESSION, None)


def current(request: HttpRequest, *, now: datetime) -> Viewing | None:
    """The look of this session, if it may still go on; if not, it is over for good."""
    kept: dict[str, Any] = request.session.get(SESSION, {})
    staff: Any = request.user
    if _may(request) and kept and staff.pk == kept["staff"]:
        grants = ViewGrant.objects.open(now).select_related("owner")
        given = grants.filter(pk=kept["grant"]).first()
        if given is not None and _can_be_viewed(given.owner):
            return Viewing(given.owner, staff, given.until, kept["reason"])
    leave(request)
    return None


def look(viewing: Viewing, path: str, connection: object) -> None:
    """On record before the page is made."""
    why = f"{MARK}{path} ({viewing.reason})"[:200]
    lately = AccessEvent.objects.about(viewing.owner).filter(
        kind=Kind.STAFF_LOOK, actor=viewing.staff, why=why, at__gt=timezone.now() - ONCE_IN
    )
    if not lately.exists():
        _record(viewing.staff, viewing.owner, f"{path} ({viewing.reason})", connection)


def _may(request: HttpRequest) -> bool:
    """Everything that lets them into the support desk, and the right to this."""
    return admin.site.has_permission(request) and request.user.has_perm(PERMISSION)


def _can_be_viewed(owner: User) -> bool:
    """Not staff: what they may see beyond their own is not the consent's."""
    return owner.is_active and not owner.is_staff


def _record(staff: Any, owner: User, what: str, connection: object = None) -> None:
    mine = None
    if isinstance(connection, UUID):
        mine = Connection.objects.owned_by(owner).filter(pk=connection).first()
    record(Kind.STAFF_LOOK, actor=staff, owner_id=owner.pk, connection=mine, why=f"{MARK}{what}")
