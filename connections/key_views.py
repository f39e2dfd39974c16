"""Pages on which a key is entered, replaced or destroyed: each asks whether it is the owner, just
now (gate.py), beside its own form."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from . import exchanges, gate, incident_words, replacing, services, tasks
from .exchanges.base import Exchange
from .forms import ConnectForm, DeleteForm, KeyForm
from .models import Connection, Thresholds
from .presentation import server_ips
from .views import View, own, own_page

Button = Callable[[HttpRequest, Connection], HttpResponse]


def takes_a_key(view: View) -> View:
    """No form while an incident stops it, so that no key is typed in vain."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except services.Stopped:
            refusal = {"title": _("No key can be used now"), "text": incident_words.stopped()}
            context = {"refusal": refusal, "stopped": True}
            status = 403 if request.method == "POST" else 200
            return render(request, "connections/refused.html", context, status=status)

    return guarded


def confirmed(again: Any) -> Callable[[Button], View]:
    """A button for whoever has just confirmed who they are. Others are sent to do so, and told by
    `again` to press it once more."""

    def decorated(act: Button) -> View:
        @wraps(act)
        def guarded(request: HttpRequest, pk: UUID) -> HttpResponse:
            connection = own(request, pk)
            confirmation = gate.confirmation(request)
            if confirmation.refusal:
                return _refused(request, confirmation, connection)
            if confirmation.passes():
                return act(request, connection)
            messages.info(request, again)
            return redirect(confirmation.elsewhere(back_to=connection.get_absolute_url()))

        return guarded

    return decorated


@own_page
@takes_a_key
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, code: str) -> HttpResponse:
    row = services.offered(code)
    if row is None:
        messages.info(request, _("That exchange is not offered yet. Choose another one."))
        return redirect("connections:choose")
    services.refuse_if_stopped(owner=request.user, exchange=row.code)
    suggested = {"name": services.suggest_name(request.user, row.known)}
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        return _refused(request, confirmation)
    form = ConnectForm(request.POST or None, exchange=row.known, initial=suggested)
    if request.method == "POST" and _both(form, confirmation):
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
    return _key_page(
        request, "connections/new.html", row.known, form, row=row, confirmation=confirmation
    )


@own_page
@takes_a_key
@require_http_methods(["GET", "HEAD", "POST"])
def replace(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    exchange = exchanges.EXCHANGES.get(connection.exchange_id)
    if exchange is None:
        messages.info(request, _("This exchange is no longer supported. Delete the connection."))
        return redirect(connection)
    services.refuse_if_stopped(owner=request.user, exchange=connection.exchange_id)
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        return _refused(request, confirmation, connection)
    form = KeyForm(request.POST or None, exchange=exchange)
    if request.method == "POST" and _both(form, confirmation):
        try:
            test = replacing.replace_key(
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
    return _key_page(
        request,
        "connections/replace.html",
        exchange,
        form,
        connection=connection,
        confirmation=confirmation,
        kept=replacing.kept_key(connection, now=timezone.now()),
        kept_hours=Thresholds.current().replaced_kept_hours,
    )


@own_page
@require_POST
@confirmed(gettext_lazy("Nothing was destroyed yet. Confirm, then discard it again."))
def discard_new_key(request: HttpRequest, connection: Connection) -> HttpResponse:
    if replacing.discard_new_key(connection, by=request.user):
        messages.success(request, _("The new key was destroyed. The old one stays in use."))
    return redirect(connection)


@own_page
@takes_a_key
@require_POST
@confirmed(gettext_lazy("Nothing was changed yet. Confirm, then use the other account again."))
def use_other_account(request: HttpRequest, connection: Connection) -> HttpResponse:
    """The new key is of another account, and its owner wants it all the same."""
    try:
        uid = request.POST.get("account", "")
        tasks.wake(replacing.confirm_account(connection, by=request.user, uid=uid))
        messages.success(request, _("Confirmed. The new key takes over when it passes its test."))
    except replacing.NotThere:
        messages.info(request, _("There is no new key of that account any more."))
    except services.TooSoon:
        messages.info(request, _("Several keys were tried just now. Wait a minute."))
    return redirect(connection)


@own_page
@takes_a_key
@require_POST
@confirmed(gettext_lazy("Nothing was changed yet. Confirm, then go back to the old key again."))
def go_back(request: HttpRequest, connection: Connection) -> HttpResponse:
    try:
        tasks.wake(replacing.go_back(connection, by=request.user, now=timezone.now()))
        text = _(
            "The old key is in use again, and is tested. The new one was destroyed here. Delete it "
            "at %(exchange)s too."
        )
        messages.success(request, text % {"exchange": connection.exchange.name})
    except replacing.NotThere:
        messages.info(request, _("There is no old key to go back to any more. Nothing changed."))
    except services.SameKey as same:
        text = _("You use the old key in “%(name)s” by now, so it cannot come back here.")
        messages.info(request, text % {"name": same.connection.name})
    return redirect(connection)


@own_page
@require_POST
@confirmed(gettext_lazy("Nothing was destroyed yet. Confirm, then destroy the old key again."))
def destroy_old_key(request: HttpRequest, connection: Connection) -> HttpResponse:
    if replacing.destroy_old_key(connection, by=request.user):
        text = _("The old key was destroyed here. Delete it at %(exchange)s too.")
        messages.success(request, text % {"exchange": connection.exchange.name})
    return redirect(connection)


@own_page
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    connection = own(request, pk)
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        return _refused(request, confirmation, connection)
    form = DeleteForm(request.POST or None, label=_("Name of the connection"), name=connection.name)
    if request.method == "POST" and _both(form, confirmation):
        exchange = connection.exchange.name
        services.delete(connection, by=request.user)
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
        "confirmation": confirmation,
    }
    return render(request, "connections/delete.html", context)


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


def _both(form: Form, confirmation: gate.Confirmation) -> bool:
    """Asks both, so that everything that is wrong is said at once."""
    passes = confirmation.passes()
    return form.is_valid() and passes


def _refused(
    request: HttpRequest, confirmation: gate.Confirmation, connection: Connection | None = None
) -> HttpResponse:
    context = {"refusal": confirmation.refusal, "connection": connection}
    status = 403 if request.method == "POST" else 200
    return render(request, "connections/refused.html", context, status=status)


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
