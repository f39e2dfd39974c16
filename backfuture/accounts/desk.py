"""The admin site: for staff who used their second factor in this very session, and nobody else.

It has no way in of its own: signing in, setting up and confirming are django-allauth's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.sites import UnfoldAdminSite

from connections.desk import DeskAdmin

from . import desk_pages, desk_search, step_up

# Actions that change nothing but ask an exchange once more. Everything else that is sent to the
# admin needs a confirmation of the last five minutes.
HARMLESS_ACTIONS = {"test_again"}
HARMLESS_PAGES = {"reason", "save_view", "forget_view", "connections_connection_diagnostics"}
MOST_WORDS, LONGEST_SEARCH = 10, 200
# For the desk's own pages alone: unfold's scripts (Alpine) evaluate what stands in its templates'
# attributes, and its styles stand inline. Scripts that stand inline are refused there as well.
POLICY = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}
NEVER_SENT_AGAIN = {"csrfmiddlewaretoken", f"{step_up.PREFIX}-code"}


class DeskSite(UnfoldAdminSite):  # type: ignore[misc]
    index_title = gettext_lazy("Support desk")
    index_template = "desk/home.html"

    def extra_urls(self) -> list[URLPattern]:
        """unfold puts these before the admin's own."""
        view = self.admin_view
        return [
            path("reason/<int:owner_id>/", view(desk_pages.reason), name="reason"),
            path("views/save/", view(desk_pages.save_view), name="save_view"),
            path("views/<int:pk>/forget/", view(desk_pages.forget_view), name="forget_view"),
        ]

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return desk_search.answer(request)

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(
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


def _confirmed(view: Callable[..., Any]) -> Callable[..., Any]:
    """Asks for a code before anything dangerous, on a page that carries what was sent."""
    relaxed = csp_update(POLICY)(view)

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and not _is_harmless(request):
            confirmation = step_up.Confirmation(request)
            if not (confirmation.fresh or (confirmation.answered and confirmation.passes())):
                return _ask(request, confirmation, view)
        _shorten_search(request)
        try:
            return relaxed(request, *args, **kwargs)
        except (ValidationError, OverflowError):  # no row, and no date, is called that
            raise Http404 from None

    guarded.csrf_exempt = getattr(view, "csrf_exempt", False)  # type: ignore[attr-defined]
    return guarded


def _shorten_search(request: HttpRequest) -> None:
    """Each word of a search is a condition on every field: hundreds are too many for a database,
    and so is one of thousands of letters."""
    asked = request.GET.get("q", "")
    words = asked.split()
    if len(words) > MOST_WORDS or len(asked) > LONGEST_SEARCH:
        shorter = request.GET.copy()
        shorter["q"] = " ".join(words[:MOST_WORDS])[:LONGEST_SEARCH]
        request.GET = shorter  # type: ignore[assignment]


def _is_harmless(request: HttpRequest) -> bool:
    """No action but a harmless one, and nothing to be saved."""
    page = request.resolver_match.url_name if request.resolver_match else ""
    if page in HARMLESS_PAGES:
        return True
    asked = _actions(request)
    is_list = bool(page) and str(page).endswith("_changelist")
    return is_list and "_save" not in request.POST and bool(asked) and asked <= HARMLESS_ACTIONS


def _actions(request: HttpRequest) -> set[str]:
    """All that were sent: Django picks among several."""
    return set(request.POST.getlist("action")) - {""}


def _ask(
    request: HttpRequest, confirmation: step_up.Confirmation, view: Callable[..., Any]
) -> HttpResponse:
    sent = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in NEVER_SENT_AGAIN
        for value in values
    ]
    if any("password" in name for name, _value in sent):  # a secret is not carried: type it again
        return redirect(step_up.address(request, back_to=request.get_full_path()))
    # Admin's own views are methods of the model's; ours say what they do and whose they are.
    desk = getattr(view, "desk", getattr(view, "__self__", None))
    known = isinstance(desk, DeskAdmin)
    context = {
        "confirmation": confirmation,
        "sent": sent,
        "verb": getattr(view, "verb", ""),
        "act": _act(request, desk) if known else "",
        "back": _back(request, desk) if known else request.get_full_path(),
    }
    return render(request, "accounts/confirm_action.html", context)


def _act(request: HttpRequest, desk: Any) -> str:
    """What was asked for, as it stood on the button; no more of the rows than their number."""
    if row := _row(request):
        found = desk.get_object(request, unquote(row))
        known = found is not None and desk.has_view_permission(request, found)
        return f"{desk.opts.verbose_name}: {desk.title_of(found)}" if known else ""
    asked = _actions(request)
    title = dict(desk.get_action_choices(request)).get(next(iter(asked), ""))
    if len(asked) != 1 or not title:
        return ""
    number = len(request.POST.getlist(ACTION_CHECKBOX_NAME))
    if request.POST.get("select_across") == "1":
        return _("%(act)s: everything that matches, on all pages") % {"act": title}
    what = desk.opts.verbose_name if number == 1 else desk.opts.verbose_name_plural
    return f"{title}: {number} {what}"


def _back(request: HttpRequest, desk: Any) -> str:
    """The page that it was asked from, where nothing is done."""
    row, chosen = _row(request), request.POST.getlist(ACTION_CHECKBOX_NAME)
    if "from_page" in request.POST and len(chosen) == 1:
        row = quote(chosen[0])
    if not row:
        return request.get_full_path()
    name = f"admin:{desk.opts.app_label}_{desk.opts.model_name}_change"
    return f"{reverse(name, args=[row])}?{request.GET.urlencode()}".rstrip("?")


def _row(request: HttpRequest) -> str:
    """As it stands in the address, or ""."""
    found = request.resolver_match
    return str(found.kwargs.get("object_id", "")) if found else ""
