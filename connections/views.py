"""The pages of a trader's connections. Other people's objects do not exist here: 404."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from . import exchanges, pages, services, tasks
from .exchanges.base import Exchange
from .forms import ConnectForm, DeleteForm, KeyForm, NameForm
from .models import Connection, ConnectionTest, Credential
from .presentation import server_ips

View = Callable[..., HttpResponse]

SECRETS = ("api_key", "secret", "passphrase")


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
                _("A key must never stand in an address. Enter it in the form."),
                content_type="text/plain",
            )
        return for_the_signed_in(request, *args, **kwargs)

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
        {"summaries": [pages.summary(row) for row in mine], "notices": pages.notices()},
    )


@own_page
@require_safe
def choose(request: HttpRequest) -> HttpResponse:
    return render(request, "connections/choose.html", {"cards": pages.cards()})


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, code: str) -> HttpResponse:
    row = services.offered(code)
    if row is None:
        messages.info(request, _("That exchange is not offered yet. Choose another one."))
        return redirect("connections:choose")
    suggested = {"name": services.suggest_name(request.user, row.known)}
    form = ConnectForm(request.POST or None, exchange=row.known, initial=suggested)
    if request.method == "POST" and form.is_valid():
        try:
            connection, test = services.connect(
                owner=request.user,
                exchange=row,
                name=form.cleaned_data["name"],
                credentials=form.credentials,  # type: ignore[arg-type]
            )
            tasks.wake(test)
            return redirect(connection)
        except services.SameKey as same:
            if _sent_twice(same.connection, form.cleaned_data["name"]):
                return redirect(same.connection)
            form.add_error("api_key", _same_key(same))
        except services.NameTaken:
            form.add_error("name", _("You already have a connection of this name."))
    return _key_page(request, "connections/new.html", row.known, form, row=row)


@own_page
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    panel = pages.latest_panel(connection)
    return render(
        request,
        "connections/detail.html",
        {
            "connection": connection,
            "summary": pages.summary(connection),
            "panel": panel,
            "polling": panel.polling,
            "credential": _key(connection, Credential.State.ACTIVE),
            "pending": _key(connection, Credential.State.PENDING),
            "history": pages.history(connection),
        },
    )


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def test(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The panel of the newest test, polled while it runs; POST asks for a new test."""
    connection = own(request, pk)
    if request.method == "POST":
        _ask_for_test(request, connection)
        if not request.htmx:  # type: ignore[attr-defined]
            return redirect(connection)
        connection = own(request, pk)
    elif not request.htmx:  # type: ignore[attr-defined]
        return redirect(connection)
    context = {
        "connection": connection,
        "panel": pages.latest_panel(connection),
        "summary": pages.summary(connection),
    }
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
@require_http_methods(["GET", "HEAD", "POST"])
def replace(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    exchange = exchanges.EXCHANGES.get(connection.exchange_id)
    if exchange is None:
        messages.info(request, _("This exchange is no longer supported. Delete the connection."))
        return redirect(connection)
    form = KeyForm(request.POST or None, exchange=exchange)
    if request.method == "POST" and form.is_valid():
        try:
            test = services.replace_key(
                connection,
                by=request.user,
                credentials=form.credentials,  # type: ignore[arg-type]
            )
            tasks.wake(test)
            return redirect(connection)
        except services.SameKey as same:
            form.add_error("api_key", _same_key(same))
        except services.TooSoon:
            form.add_error(None, _("Several keys were tried just now. Wait a minute."))
    return _key_page(request, "connections/replace.html", exchange, form, connection=connection)


@own_page
@require_POST
def discard_new_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    if services.discard_new_key(connection):
        messages.success(request, _("The new key was destroyed. The old one stays in use."))
    return redirect(connection)


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    form = NameForm(request.POST or None, initial={"name": connection.name})
    if request.method == "POST" and form.is_valid():
        try:
            services.rename(connection, form.cleaned_data["name"])
            messages.success(request, _("The name was changed."))
            return redirect(connection)
        except services.NameTaken:
            form.add_error("name", _("You already have a connection of this name."))
    return render(request, "connections/rename.html", {"connection": connection, "form": form})


@own_page
@require_POST
def pause(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    services.pause(connection)
    messages.success(request, _("Paused. Nothing uses this key until you resume."))
    return redirect(connection)


@own_page
@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    tasks.wake(services.resume(connection, by=request.user))
    messages.success(request, _("Resumed."))
    return redirect(connection)


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    form = DeleteForm(request.POST or None, connection=connection)
    if request.method == "POST" and form.is_valid():
        exchange = connection.exchange.name
        services.delete(connection)
        messages.success(
            request,
            _("Deleted, and its key destroyed here. Delete the key at %(exchange)s too.")
            % {"exchange": exchange},
        )
        return redirect("connections:list")
    context = {
        "connection": connection,
        "form": form,
        "exchange": exchanges.EXCHANGES.get(connection.exchange_id),
    }
    return render(request, "connections/delete.html", context)


def _ask_for_test(request: HttpRequest, connection: Connection) -> None:
    reason = ConnectionTest.Reason.USER
    try:
        tasks.wake(services.request_test(connection, by=request.user, reason=reason))
    except services.TooSoon as soon:
        text = _("The last test was only just asked for. Wait %(seconds)d seconds.")
        messages.info(request, text % {"seconds": soon.seconds})
    except services.Paused:
        messages.info(request, _("This is paused, so its key is not used. Resume it first."))
    except Credential.DoesNotExist:
        messages.info(request, _("There is no key to test. Replace the key first."))


def _key_page(
    request: HttpRequest, template: str, exchange: Exchange, form: KeyForm, **more: Any
) -> HttpResponse:
    context = {
        "exchange": exchange,
        "guide": [(_(step.title), _(step.text), step.shows_ips) for step in exchange.guide],
        "form": form,
        "server_ips_text": server_ips(exchange),
        **more,
    }
    return render(request, template, context)


def _key(connection: Connection, state: Credential.State) -> Credential | None:
    return connection.credentials.filter(state=state).defer("sealed").first()


def _sent_twice(saved: Connection, name: str) -> bool:
    """The same form again, and not an earlier key whose secret is being corrected."""
    just_now = timezone.now() - saved.created_at < services.PAUSE_BETWEEN_TESTS
    return saved.name == name and just_now


def _same_key(same: services.SameKey) -> str:
    text = _(
        "You already connected this key as “%(name)s”. To correct its secret, open that connection "
        "and choose Replace key. For another connection, create a key of its own."
    )
    return text % {"name": same.connection.name}
