"""The admin site: for staff who used their second factor in this very session, and nobody else.

It has no way in of its own: signing in, setting up and confirming are django-allauth's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import step_up

# Actions that change nothing but ask an exchange once more. Everything else that is sent to the
# admin needs a confirmation of the last five minutes.
HARMLESS_ACTIONS = {"test_again"}
MOST_WORDS = 10
NEVER_SENT_AGAIN = {"csrfmiddlewaretoken", f"{step_up.PREFIX}-code"}


class DeskSite(AdminSite):
    site_header = site_title = gettext_lazy("BackFuture support desk")
    index_title = gettext_lazy("Support desk")
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return (
            super().has_permission(request)
            and is_mfa_enabled(request.user)
            and step_up.used_second_factor(request, step_up.STAFF_SESSION)
        )

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Not a form: the way to what is missing."""
        wanted = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(wanted, {request.get_host()}):
            wanted = resolve_url("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(wanted, resolve_url("account_login"))
        if not (request.user.is_active and request.user.is_staff):
            raise PermissionDenied
        if not is_mfa_enabled(request.user):
            messages.warning(request, _("The support desk opens with a second factor alone."))
            return redirect("mfa_index")
        if self.has_permission(request):
            return redirect(wanted)
        return redirect(step_up.address(request, back_to=wanted))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return super().admin_view(_confirmed(view), cacheable)


def _confirmed(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Asks for a code before anything dangerous, on a page that carries what was sent."""

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST" and not _is_harmless(request):
            confirmation = step_up.Confirmation(request)
            if not (confirmation.fresh or (confirmation.answered and confirmation.passes())):
                return _ask(request, confirmation)
        _shorten_search(request)
        try:
            return view(request, *args, **kwargs)
        except (ValidationError, OverflowError):  # no row, and no date, is called that
            raise Http404 from None

    guarded.csrf_exempt = getattr(view, "csrf_exempt", False)  # type: ignore[attr-defined]
    return guarded


def _shorten_search(request: HttpRequest) -> None:
    """Each word of a search is a condition on every field: hundreds are too many for a database."""
    words = request.GET.get("q", "").split()
    if len(words) > MOST_WORDS:
        shorter = request.GET.copy()
        shorter["q"] = " ".join(words[:MOST_WORDS])
        request.GET = shorter  # type: ignore[assignment]


def _is_harmless(request: HttpRequest) -> bool:
    """All actions that were sent, since Django picks among several; and nothing to be saved."""
    page = request.resolver_match.url_name if request.resolver_match else ""
    asked = set(request.POST.getlist("action")) - {""}
    is_list = bool(page) and str(page).endswith("_changelist")
    return is_list and "_save" not in request.POST and bool(asked) and asked <= HARMLESS_ACTIONS


def _ask(request: HttpRequest, confirmation: step_up.Confirmation) -> HttpResponse:
    sent = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in NEVER_SENT_AGAIN
        for value in values
    ]
    if any("password" in name for name, _value in sent):  # a secret is not carried: type it again
        return redirect(step_up.address(request, back_to=request.get_full_path()))
    return render(
        request, "accounts/confirm_action.html", {"confirmation": confirmation, "sent": sent}
    )
