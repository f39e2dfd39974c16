"""A person's own account: how it is secured, what happened to it, its data, its end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connections.events import AccessEvent, record
from connections.models import Connection

from . import own_data, step_up, view_as
from .models import User

EVENTS_ON_A_PAGE = 50


@login_required
@require_safe
def security(request: HttpRequest) -> HttpResponse:
    user = request.user
    factors = list(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    context = {
        "factors": factors,
        "passkeys": factors.count(Authenticator.Type.WEBAUTHN),
        "has_app": Authenticator.Type.TOTP in factors,
        "has_codes": Authenticator.Type.RECOVERY_CODES in factors,
        "unverified": EmailAddress.objects.filter(user=user, verified=False).exists(),
        "sessions": UserSession.objects.filter(user=user).count(),
        "refusal": step_up.refusal_for(_owner(request)),
        "events": AccessEvent.objects.about(user).select_related("actor", "connection")[:5],
        **_support(_owner(request)),
    }
    return render(request, "accounts/security.html", context)


@login_required
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """What happened to one's account and keys, newest first; `?connection=` for one of them."""
    events = AccessEvent.objects.about(request.user).select_related("actor", "connection")
    connection = _chosen_connection(request)
    if connection:
        events = events.filter(connection=connection)
    page = Paginator(events, EVENTS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/activity.html", {"page": page, "connection": connection})


def _chosen_connection(request: HttpRequest) -> Connection | None:
    try:
        wanted = UUID(request.GET.get("connection", ""))
    except ValueError:
        return None
    return Connection.objects.owned_by(request.user).filter(pk=wanted).first()


def _support(owner: User) -> dict[str, Any]:
    """Whether support may look, until when, and who did."""
    given = view_as.open_grant(owner, now=timezone.now())
    return {"given": given, "looks": view_as.who_looked(owner, given) if given else []}


@login_required
@require_POST
def let_support_look(request: HttpRequest) -> HttpResponse:
    if not step_up.is_fresh(request):
        return _confirm_first(request)
    view_as.grant(_owner(request), now=timezone.now())
    messages.success(request, _("Support may look for an hour. You can end it at any time."))
    return redirect("accounts:security")


@login_required
@require_POST
def end_support_look(request: HttpRequest) -> HttpResponse:
    if view_as.end(_owner(request), now=timezone.now()):
        messages.success(request, _("Ended. Support sees your pages no longer."))
    return redirect("accounts:security")


@login_required
@require_POST
def stop_viewing(request: HttpRequest) -> HttpResponse:
    """For a member of staff who sees the site as a user does: back to what they are."""
    viewing = getattr(request, "viewing", None)
    view_as.leave(request)
    if viewing is None:
        return redirect("accounts:security")
    return redirect("admin:accounts_user_view_as", viewing.owner.pk)


@login_required
@require_POST
def export(request: HttpRequest) -> HttpResponse:
    if not step_up.is_fresh(request):
        return _confirm_first(request)
    user = _owner(request)
    record(AccessEvent.Kind.EXPORTED, actor=user, owner=user)
    name = f"backfuture-{timezone.now():%Y-%m-%d}.json"
    return JsonResponse(
        own_data.export(user),
        json_dumps_params={"indent": 2},
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class DeleteAccountForm(forms.Form):
    """Typed confirmation: one's own e-mail address."""

    confirm = forms.CharField(max_length=254)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["confirm"].label = _("Your e-mail address")
        self.fields["confirm"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"]).strip()
        if typed.casefold() != self.user.email.casefold():
            raise forms.ValidationError(_("Type the address exactly as it stands above."))
        return typed


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest) -> HttpResponse:
    user = _owner(request)
    if user.is_staff or step_up.is_frozen(user):
        return _not_now(request, user)
    if not step_up.is_fresh(request):
        return _confirm_first(request, back_to=request.path)
    form = DeleteAccountForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        own_data.delete_account(user)
        logout(request)
        messages.success(
            request,
            _("Your account is gone and its keys are destroyed. Delete them at the exchanges too."),
        )
        return redirect("account_login")
    connections = Connection.objects.owned_by(user).select_related("exchange")
    return render(request, "accounts/delete.html", {"form": form, "connections": connections})


@login_required
@require_safe
def confirm(request: HttpRequest) -> HttpResponse:
    """The part of a key's form that asks who is there, fetched again while the form is open."""
    return render(
        request, step_up.Confirmation.template, {"confirmation": step_up.Confirmation(request)}
    )


@login_required
@require_safe
def confirmed(request: HttpRequest) -> HttpResponse:
    """Where a passkey that was used in another tab ends: go back to the form."""
    return render(request, "accounts/confirmed.html")


def _not_now(request: HttpRequest, user: User) -> HttpResponse:
    text = _("Your password was just reset. The account can be deleted a day after that.")
    if user.is_staff:  # who looked at what must stay known
        text = _("You are support staff. Somebody else has to take that from you first.")
    messages.error(request, text)
    return redirect("accounts:security")


def _confirm_first(request: HttpRequest, back_to: str = "") -> HttpResponse:
    back = back_to or resolve_url("accounts:security")
    return redirect(step_up.address(request, back_to=back))


def _owner(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]
