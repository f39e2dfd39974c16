"""The desk's few pages of its own: why a person's data is looked at, and saved views."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from connections import looks

from .models import SavedView, User

MOST_VIEWS = 30


def reason(request: HttpRequest, owner_id: int) -> HttpResponse:
    """Asks why this person's data is looked at, then goes on to where one wanted."""
    if not any(
        isinstance(shown, looks.LookedAtAdmin) and shown.has_view_permission(request)
        for shown in admin.site._registry.values()
    ):  # who may see nobody's has nobody to give a reason for
        raise PermissionDenied
    owner = get_object_or_404(User, pk=owner_id)
    form = looks.ReasonForm(request.POST or None)
    wanted = _safe(request, request.GET.get("next", ""))
    if request.method == "POST" and form.is_valid():
        looks.keep_reason(request, owner.pk, form.cleaned_data["why"])
        return redirect(wanted)
    context = {"title": _("Why do you look?"), "owner": owner, "form": form}
    return render(request, "desk/reason.html", {**admin.site.each_context(request), **context})


def _safe(request: HttpRequest, wanted: str) -> str:
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure()):
        return wanted
    return reverse("admin:index")


def save_view(request: HttpRequest) -> HttpResponse:
    """Keeps the list one looks at, with its filters, under a name; the same name is overwritten."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    path, name = request.POST.get("path", ""), request.POST.get("name", "").strip()
    if not is_list(path):
        raise Http404
    longest = SavedView._meta.get_field("name").max_length
    mine = SavedView.objects.filter(user=_who(request))
    if not name or len(name) > (longest or 0):
        messages.error(request, _("Give the view a name of 1 to 40 characters."))
    elif mine.exclude(name=name).count() >= MOST_VIEWS:
        messages.error(request, _("You have 30 views. Remove one first."))
    else:
        mine.update_or_create(user=_who(request), name=name, defaults={"path": path})
        messages.success(request, _("Saved. The view is in the navigation."))
    return redirect(path)


def forget_view(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    view = get_object_or_404(SavedView, pk=pk, user=_who(request))
    view.delete()
    messages.success(request, _("The view was removed."))
    return redirect(urlsplit(view.path).path)


def is_list(path: str) -> bool:
    """Whether this is the address of a list of the desk, on this site, of bearable length."""
    longest = SavedView._meta.get_field("path").max_length
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or not path.startswith("/") or len(path) > (longest or 0):
        return False
    try:
        match = resolve(parts.path)
    except Resolver404:
        return False
    return match.app_name == "admin" and str(match.url_name).endswith("_changelist")


def _who(request: HttpRequest) -> Any:
    return request.user
