"""What holds for every visit: where it comes from, whose clock it shows, that signed-in pages are
not kept anywhere, and that nobody's form is stored while they confirm who they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect
from redis.exceptions import RedisError

from connections.events import Origin, acting_from
from connections.presentation import zone_of

from . import devices, step_up, view_as
from .adapters import address_of
from .greyed import greyed
from .models import User

log = logging.getLogger(__name__)


class VisitorMiddleware:
    """After django-allauth's middleware, so that its exception is seen here first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        agent = request.headers.get("User-Agent", "")
        with acting_from(Origin(address_of(request), agent)), timezone.override(_zone(request)):
            response = self.get_response(request)
        add_never_cache_headers(response)  # signed in or not: links of mails show who came
        devices.remember(request, response)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: object, kwargs: object
    ) -> HttpResponse | None:
        """Holds django-allauth's own pages to our rules (step_up.py)."""
        if not view.__module__.startswith("allauth.") or not request.user.is_authenticated:
            return None
        step_up.forget_weaker_confirmations(request)
        name = request.resolver_match.url_name if request.resolver_match else ""
        if name == "account_change_password" and not step_up.is_fresh(request):
            return redirect(step_up.address(request, back_to=request.get_full_path()))
        if _adds_a_way_in(request, str(name)) and step_up.is_frozen(request.user):
            text = _("Your password was just reset. Nothing is added for a day after that.")
            messages.error(request, text)
            return redirect("accounts:security")
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """django-allauth would keep the whole form in the session until it is confirmed."""
        name = request.resolver_match.url_name if request.resolver_match else ""
        if "webauthn" in str(name) and isinstance(exception, (KeyError, ValueError, TypeError)):
            messages.error(request, _("That answer of a passkey could not be read. Try again."))
            return redirect("accounts:security")
        if isinstance(exception, RedisError):  # its text may hold the cache's address
            log.error("The cache does not answer: %s", type(exception).__name__)
            return render(request, "503.html", status=503)
        if not isinstance(exception, ReauthenticationRequired):
            return None
        if not request.user.is_authenticated:
            return redirect("account_login")
        return redirect(step_up.address(request, back_to=request.get_full_path()))


class ViewAsMiddleware:
    """While a member of staff sees the site as a user does (view_as.py): the user's pages on the
    list, by GET, and nothing else. After all others, so that they know the session's own person."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if hasattr(request, "viewing") and is_page and not response.streaming:
            response.content = greyed(response.text).encode(response.charset)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., object], args: object, kwargs: Any
    ) -> HttpResponse | None:
        # The person first: a session that is no longer valid is emptied by that.
        if not request.user.is_authenticated or view_as.SESSION not in request.session:
            return None
        viewing = view_as.current(request, now=timezone.now())
        if viewing is None:
            return _back_to_the_desk(request)
        request.viewing = viewing  # type: ignore[attr-defined]
        name = request.resolver_match.view_name if request.resolver_match else ""
        if name in view_as.ENDS and request.method == "POST":
            return None
        if request.method != "GET" or name not in view_as.PAGES:
            return _not_while_viewing(request)
        view_as.look(viewing, request.path, kwargs.get("pk"))
        _become(request, viewing.owner)
        return None


def _become(request: HttpRequest, owner: User) -> None:
    """For this request alone: the session, its keys and its records stay those of the visitor."""

    async def auser() -> User:
        return owner

    request.user, request.auser = owner, auser
    timezone.activate(zone_of(owner))  # until the visit's own ends, see VisitorMiddleware


def _not_while_viewing(request: HttpRequest) -> HttpResponse:
    response = render(request, "accounts/not_while_viewing.html", status=403)
    if request.htmx:  # type: ignore[attr-defined]
        # It would show nothing of this: it goes to an address that is answered the same.
        response["HX-Redirect"] = resolve_url(view_as.LEAVE)
    return response


def _back_to_the_desk(request: HttpRequest) -> HttpResponse:
    text = _("The look is over: the user's consent, or your session at the desk, has ended.")
    messages.warning(request, text)
    desk = resolve_url("admin:index")
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(desk)  # else the desk would land in a part of the page
    return redirect(desk)


def _zone(request: HttpRequest) -> tzinfo:
    """UTC for whoever is not signed in, and where the person's zone is not known here."""
    return zone_of(request.user) if request.user.is_authenticated else UTC


def _adds_a_way_in(request: HttpRequest, name: str) -> bool:
    added = name == "account_email" and request.method == "POST"
    return added or name in {"mfa_activate_totp", "mfa_add_webauthn"}
