"""The desk's way into a user's pages: consent, right and reason are asked by view_as.py."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from . import view_as
from .models import User


class LookForm(forms.Form):
    reason = forms.CharField(
        label=_("Why you look (the user sees it)"),
        max_length=view_as.LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Say why you look: the user sees it.")},
    )


def page(request: HttpRequest, object_id: str) -> HttpResponse:
    """GET shows whether the user let support in, POST begins the look."""
    if not request.user.has_perm(view_as.PERMISSION):
        raise PermissionDenied
    if not object_id.isdecimal():
        raise Http404
    owner, now = get_object_or_404(User, pk=object_id), timezone.now()
    form = LookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            view_as.begin(request, owner, reason=form.cleaned_data["reason"], now=now)
            return redirect("connections:list")
        except view_as.Refused as refusal:
            messages.error(request, refusal.sentence)
    context = {
        **admin.site.each_context(request),
        "opts": User._meta,
        "title": _("See the site as this user"),
        "owner": owner,
        "given": view_as.open_grant(owner, now=now),
        "form": form,
    }
    return TemplateResponse(request, "admin/accounts/user/view_as.html", context)


page.verb = _("See the site as this user")  # type: ignore[attr-defined]
