"""What support can do to connections from the desk's list, and from the page of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.forms import ActionForm

from . import looks, many, reports, tasks
from .events import AccessEvent, record
from .models import Connection, Credential

Rows = QuerySet[Connection]
Row = TypeVar("Row", bound=Model)
Answer = HttpResponse | None
Act = Callable[..., int]  # on connections: how many it was done to


class WhyForm(ActionForm):  # type: ignore[misc]
    why = forms.CharField(
        required=False,
        label="",
        max_length=looks.LONGEST,
        widget=forms.TextInput(attrs={"placeholder": _("Ticket or reason")}),
    )


def said_why(request: HttpRequest) -> str:
    return request.POST.get("why", "").strip()[: looks.LONGEST]


def chosen(
    request: HttpRequest,
    queryset: QuerySet[Row],
    owner_of: Callable[[Row], int],
    most: int = many.MOST,
) -> list[Row]:
    """The rows that an action is for, or none and a sentence that says what is missing."""
    rows = list(queryset[: most + 1])
    if len(rows) > most:
        text = gettext("Nothing was done. Choose %(most)d at most; filters make them fewer.")
        messages.warning(request, text % {"most": most})
        return []
    if not said_why(request) and not all(looks.reason(request, owner_of(row)) for row in rows):
        messages.warning(request, no_reason())
        return []
    return rows


def no_reason() -> str:
    return gettext("Nothing was done. Say why, in the field beside the action.")


class ConnectionActions:
    """Mixed into the admin of connections. Each action answers with a counted sentence, and none
    is done to somebody's connection without a reason."""

    actions = (
        "test_again",
        "pause",
        "resume",
        "ask_to_replace",
        "acknowledge_findings",
        "download_report",
    )

    def has_test_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.test_connection")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.pause_connection")

    def has_ask_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.ask_connection")

    def has_say_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.change_finding")

    def has_report_permission(self, request: HttpRequest) -> bool:
        """It tells of findings as well as of connections."""
        rights = ("export_connection", "view_connection", "view_finding")
        return request.user.has_perms([f"connections.{right}" for right in rights])

    @admin.action(description=_("Test again"), permissions=["test"])
    def test_again(self, request: HttpRequest, queryset: Rows) -> Answer:
        rows = self._chosen(request, queryset)
        if not rows:
            return None
        with transaction.atomic():
            begun, due = many.test(rows, by=request.user, now=timezone.now())
            asked = {test.connection_id for test in begun} | set(due)
            theirs = [row for row in rows if row.pk in asked]
            looks.acted(request, "tested again", theirs, said_why(request))
        for test in begun:
            tasks.wake(test)
        said = [
            ngettext("%(n)d test was asked for.", "%(n)d tests were asked for.", len(begun))
            % {"n": len(begun)}
        ]
        if due:
            waits = ngettext(
                "%(n)d connection is tested in its turn, at the pace of its exchange.",
                "%(n)d connections are tested in their turn, at the pace of their exchanges.",
                len(due),
            )
            said.append(waits % {"n": len(due)})
        if left := len(rows) - len(asked):
            not_now = ngettext(
                "%(n)d connection is paused or stopped, has no key or was tested just now.",
                "%(n)d connections are paused or stopped, have no key or were tested just now.",
                left,
            )
            said.append(not_now % {"n": left})
        return self._say(request, " ".join(said), good=bool(asked), rows=rows)

    @admin.action(description=_("Pause"), permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: Rows) -> Answer:
        done = ngettext_lazy("%(n)d connection was paused.", "%(n)d connections were paused.", "n")
        nothing = gettext("Nothing was done: all of them are paused already.")
        return self._do(request, queryset, many.pause, done, nothing)

    @admin.action(description=_("Resume"), permissions=["pause"])
    def resume(self, request: HttpRequest, queryset: Rows) -> Answer:
        done = ngettext_lazy(
            "%(n)d connection was resumed, and is tested in its turn.",
            "%(n)d connections were resumed, and are tested in their turn.",
            "n",
        )
        nothing = gettext("Nothing was done: none of them is paused.")
        return self._do(request, queryset, many.resume, done, nothing)

    @admin.action(description=_("Ask the owner to replace the key"), permissions=["ask"])
    def ask_to_replace(self, request: HttpRequest, queryset: Rows) -> Answer:
        keys = Prefetch("credentials", Credential.objects.active())
        rows = self._chosen(request, queryset.prefetch_related(None).prefetch_related(keys))
        if not rows:
            return None
        why = looks.why(request, said_why(request))
        done = many.ask_to_replace(rows, by=request.user, why=why, now=timezone.now())
        said = ngettext("%(n)d owner is told.", "%(n)d notices are on their way.", done)
        text = said % {"n": done}
        if left := len(rows) - done:
            told = ngettext(
                "%(n)d was asked today already, or wants no such notice.",
                "%(n)d were asked today already, or want no such notice.",
                left,
            )
            text += " " + told % {"n": left}
        return self._say(request, text, good=bool(done), rows=rows)

    @admin.action(description=_("Acknowledge their findings"), permissions=["say"])
    def acknowledge_findings(self, request: HttpRequest, queryset: Rows) -> Answer:
        done = ngettext_lazy("%(n)d finding was acknowledged.", "%(n)d were acknowledged.", "n")
        nothing = gettext("Nothing was done: none of their findings waits for anybody.")
        return self._do(request, queryset, many.acknowledge, done, nothing)

    @admin.action(description=_("Download the credential report (CSV)"), permissions=["report"])
    def download_report(self, request: HttpRequest, queryset: Rows) -> Any:
        """Of as many as there are: it is streamed. Each owner can read that theirs was in it; that
        is on record before their line leaves."""
        why = said_why(request)
        if not why:
            return self._say(request, no_reason(), good=False, rows=[])
        what = f"credential report, {queryset.count()} connections"
        record(AccessEvent.Kind.EXPORTED, actor=request.user, why=looks.said(what, why))
        name = f"backfuture-credentials-{timezone.now():%Y-%m-%d}.csv"
        note = looks.noting(request, AccessEvent.Kind.EXPORTED, "credential report", why)
        return StreamingHttpResponse(
            reports.csv_parts(reports.rows(queryset, before=note)),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )

    def _do(
        self, request: HttpRequest, queryset: Rows, act: Act, done: Any, nothing: str
    ) -> Answer:
        rows = self._chosen(request, queryset)
        if not rows:
            return None
        why = looks.why(request, said_why(request))
        count = act(rows, by=request.user, why=why, now=timezone.now())
        said = done % {"n": count} if count else nothing
        return self._say(request, said, good=bool(count), rows=rows)

    def _chosen(self, request: HttpRequest, queryset: Rows) -> list[Connection]:
        return chosen(request, queryset, lambda row: row.owner_id)

    def _say(
        self, request: HttpRequest, text: str, *, good: bool, rows: list[Connection]
    ) -> Answer:
        """Back to where it was asked from: the list, or the page of the one."""
        messages.add_message(request, messages.SUCCESS if good else messages.WARNING, text)
        if "from_page" in request.POST and len(rows) == 1:
            back = reverse("admin:connections_connection_change", args=[rows[0].pk])
            return HttpResponseRedirect(back)
        return None
