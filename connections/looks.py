"""Nobody of staff sees a person's data without saying why, and every look is on record.

The reason is asked once for each person and kept for the session; that person can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from .desk import DeskAdmin
from .events import AccessEvent, acting_from, event, here, record
from .models import Connection

SESSION_KEY = "reasons_to_look"
MOST_REASONS = 200  # people looked at in one session; older reasons are asked again
LONGEST = 120


class ReasonForm(forms.Form):
    why = forms.CharField(
        label=_("Ticket or reason"),
        max_length=LONGEST,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )


def reason(request: HttpRequest, owner_id: Any) -> str:
    """What was said for looking at this person's data in this session, or ""."""
    return str(request.session.get(SESSION_KEY, {}).get(str(owner_id), ""))


def keep_reason(request: HttpRequest, owner_id: Any, why: str) -> None:
    reasons = request.session.get(SESSION_KEY, {})
    reasons.pop(str(owner_id), None)
    reasons[str(owner_id)] = why
    request.session[SESSION_KEY] = dict(list(reasons.items())[-MOST_REASONS:])


def ask(request: HttpRequest, owner_id: Any, *, back_to: str = "") -> HttpResponse:
    """The way to the page that asks, and back here, or to `back_to`."""
    query = urlencode({"next": back_to or request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('admin:reason', args=[owner_id])}?{query}")


def on_record(request: HttpRequest, owner_id: Any, connection: Any = None) -> None:
    why = reason(request, owner_id)
    looked = AccessEvent.Kind.STAFF_LOOK
    record(looked, actor=request.user, owner_id=owner_id, connection=connection, why=why)


def why(request: HttpRequest, given: str = "") -> Callable[[Any], str]:
    """For each connection what was said: just now for all of them, else for its owner before."""
    return lambda connection: given or reason(request, connection.owner_id)


def acted(request: HttpRequest, what: str, rows: Iterable[Any], given: str = "") -> None:
    """Notes what staff did to these connections, or to what is somebody's and hangs on none, in as
    many statements as to one."""
    said_for = why(request, given)
    events = [
        event(
            AccessEvent.Kind.STAFF_ACTED,
            actor=request.user,
            why=said(what, said_for(each)),
            **({"connection": each} if isinstance(each, Connection) else {"owner": each.owner}),
        )
        for each in rows
    ]
    AccessEvent.objects.bulk_create(events, batch_size=500)


def noting(
    request: HttpRequest, kind: AccessEvent.Kind, what: str, given: str
) -> Callable[[list[Connection]], None]:
    """Notes it for connections, also after the visit is over; as of where it came from."""
    origin, actor, text = here(), request.user, said(what, given)

    def note(some: list[Connection]) -> None:
        with acting_from(origin):
            events = [event(kind, connection=each, actor=actor, why=text) for each in some]
        AccessEvent.objects.bulk_create(events)

    return note


def said(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


class LookedAtAdmin(DeskAdmin):
    """Rows that are somebody's: asks why before one is opened, and notes that it was."""

    def owner_of(self, row: Any) -> Any:
        return row.connection.owner_id

    def connection_of(self, row: Any) -> Any:
        return row.connection

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        show = super().changeform_view
        return self._shown(request, object_id, show, object_id, form_url, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return self._shown(request, object_id, super().history_view, object_id, extra_context)

    def _shown(
        self, request: HttpRequest, object_id: str | None, show: Callable[..., Any], *given: Any
    ) -> Any:
        row = self._looked_at(request, object_id)
        if row is not None and not reason(request, self.owner_of(row)):
            return ask(request, self.owner_of(row))
        response = show(request, *given)
        if row is not None and response.status_code == 200:
            on_record(request, self.owner_of(row), self.connection_of(row))
        return response

    def _looked_at(self, request: HttpRequest, object_id: str | None) -> Any:
        """None for what is not there or nobody's, and for whom it is not: Django answers those. It
        is found as Django finds it, whatever way the address is written."""
        row = self.get_object(request, unquote(object_id)) if object_id else None
        if row is None or self.owner_of(row) is None:
            return None
        return row if self.has_view_permission(request, row) else None
