"""The pages of a trader's connections. Other people's objects do not exist here: 404."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from . import (
    diagnostics,
    finding_pages,
    incident_words,
    pages,
    replacing,
    services,
    tasks,
)
from .forms import NameForm
from .history import strip
from .models import Connection, ConnectionTest, Credential

View = Callable[..., HttpResponse]

SECRETS = ("api_key", "secret", "passphrase", "address")  # the last of a chat service


def own_page(view: View) -> View:
    """For signed-in people, never cached, and never with a secret in the address."""

    for_the_signed_in = login_required(view)

    @never_cache
    @vary_on_headers("HX-Request")
    @sensitive_post_parameters(*SECRETS)
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Before sign-in, which would repeat the address in its own.
        if any(name in request.GET for name in SECRETS):
            return HttpResponseBadRequest(
                _("A secret must never stand in the address of a page. Enter it in the form."),
                content_type="text/plain",
            )
        try:
            return for_the_signed_in(request, *args, **kwargs)
        except Connection.DoesNotExist:  # deleted in another window meanwhile
            raise Http404 from None

    return guarded


def own(request: HttpRequest, pk: UUID) -> Connection:
    """The connection, if it is the signed-in user's own."""
    return get_object_or_404(Connection.objects.owned_by(request.user).for_list(), pk=pk)


@own_page
@require_safe
def connection_list(request: HttpRequest) -> HttpResponse:
    mine = Connection.objects.owned_by(request.user).for_list()
    return render(
        request,
        "connections/list.html",
        {"summaries": pages.summaries(mine, now=timezone.now()), "notices": pages.notices()},
    )


@own_page
@require_safe
def choose(request: HttpRequest) -> HttpResponse:
    return render(request, "connections/choose.html", {"cards": pages.cards()})


@own_page
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    newest, now = pages.newest_test(pk), timezone.now()
    connection = own(request, pk)
    panel = pages.latest_panel(connection, newest)
    return render(
        request,
        "connections/detail.html",
        {
            "connection": connection,
            "summary": pages.summary(connection, testing=panel.polling),
            "panel": panel,
            "polling": panel.polling,
            "credential": _key(connection, Credential.State.ACTIVE),
            "pending": _key(connection, Credential.State.PENDING),
            "kept": replacing.kept_key(connection, now=now),
            "history": pages.history(connection),
            "days": strip(connection, now=now, zone=timezone.get_current_timezone()),
            "findings": finding_pages.of_connection(connection, now=now),
        },
    )


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The panel of the newest test, polled while it runs; POST asks for a new test."""
    if request.method == "POST":
        _ask_for_test(request, own(request, pk))
    newest = pages.newest_test(pk)
    connection = own(request, pk)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(connection)
    panel = pages.latest_panel(connection, newest)
    summary = pages.summary(connection, testing=panel.polling)
    context = {"connection": connection, "panel": panel, "summary": summary}
    return render(request, "connections/_test.html", context)


@own_page
@require_safe
def tests(request: HttpRequest, pk: UUID) -> HttpResponse:
    """All tests of a connection, a page at a time."""
    connection = own(request, pk)
    page, lines = pages.all_tests(connection, request.GET.get("page", "1"))
    context = {"connection": connection, "page": page, "lines": lines}
    return render(request, "connections/tests.html", context)


@own_page
@require_safe
def past_test(request: HttpRequest, pk: UUID, test_pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    found = get_object_or_404(
        connection.tests.select_related("requested_by", "connection__exchange", "credential").defer(
            "credential__sealed"
        ),
        pk=test_pk,
    )
    if found.is_open:
        return redirect(connection)
    return render(
        request,
        "connections/test.html",
        {
            "connection": connection,
            "test": found,
            "line": pages.history_line(connection, found),
            "panel": pages.panel(connection, found),
        },
    )


@own_page
@require_POST
def diagnose(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A file for a ticket, without any secret."""
    return diagnostics.answer(own(request, pk), by=request.user, now=timezone.now())


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    form = NameForm(request.POST or None, initial={"name": connection.name})
    if request.method == "POST" and form.is_valid():
        try:
            services.rename(connection, form.cleaned_data["name"], by=request.user)
            messages.success(request, _("The name was changed."))
            return redirect(connection)
        except services.NameTaken:
            form.add_error("name", _("You already have a connection of this name."))
    return render(request, "connections/rename.html", {"connection": connection, "form": form})


@own_page
@require_POST
def pause(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    services.pause(connection, by=request.user)
    messages.success(request, _("Paused. Nothing uses this key until you resume."))
    return redirect(connection)


@own_page
@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    tasks.wake(services.resume(connection, by=request.user))
    messages.success(request, _("Resumed."))
    return redirect(connection)


def _ask_for_test(request: HttpRequest, connection: Connection) -> None:
    reason = ConnectionTest.Reason.USER
    try:
        tasks.wake(services.request_test(connection, by=request.user, reason=reason))
    except services.TooSoon as soon:
        text = _("The last test was only just asked for. Wait %(seconds)d seconds.")
        messages.info(request, text % {"seconds": soon.seconds})
    except services.Stopped:
        messages.info(request, incident_words.stopped())
    except services.Paused:
        messages.info(request, _paused(connection))
    except Credential.DoesNotExist:
        messages.info(request, _("There is no key to test. Replace the key first."))


def _paused(connection: Connection) -> str:
    """Only its own pause is its owner's to end."""
    if connection.paused_at:
        return _("This is paused, so its key is not used. Resume it first.")
    text = _("Support has paused %(exchange)s, so no key is tested on it until that ends.")
    return text % {"exchange": connection.exchange.name}


def _key(connection: Connection, state: Credential.State) -> Credential | None:
    return connection.credentials.filter(state=state).defer("sealed").first()
