"""The pages of a person's findings, and what they say of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from . import finding_pages, hygiene
from .finding_forms import SnoozeForm, SuppressForm
from .finding_pages import Forms, names_of_fields
from .incidents import stops
from .models import Connection, Finding, Thresholds
from .views import own_page


@own_page
@require_safe
def finding_list(request: HttpRequest) -> HttpResponse:
    return _list(request, request.GET)


@own_page
@require_POST
def acknowledge(request: HttpRequest, number: int) -> HttpResponse:
    text = _("Acknowledged. It stays here until its cause is gone.")
    return _say(request, _own(request, number), hygiene.acknowledge, text)


@own_page
@require_POST
def reopen(request: HttpRequest, number: int) -> HttpResponse:
    return _say(request, _own(request, number), hygiene.reopen, _("Open again."))


@own_page
@require_POST
def snooze(request: HttpRequest, number: int) -> HttpResponse:
    finding = _own(request, number)
    limits = Thresholds.current()
    form = SnoozeForm(
        request.POST, now=timezone.now(), limits=limits, auto_id=names_of_fields(finding)
    )
    if not form.is_valid():
        form.fields["until"].widget.attrs["autofocus"] = True
        return _answer(request, finding, Forms(snooze=form))
    until: datetime = form.cleaned_data["until"]
    text = _("Snoozed until %(day)s.") % {"day": date_format(localtime(until), "j M Y")}
    return _say(request, finding, hygiene.snooze, text, until=until)


@own_page
@require_POST
def suppress(request: HttpRequest, number: int) -> HttpResponse:
    finding = _own(request, number)
    form = SuppressForm(request.POST, auto_id=names_of_fields(finding))
    if not form.is_valid():
        form.fields["why"].widget.attrs["autofocus"] = True
        return _answer(request, finding, Forms(suppress=form))
    text = _("Suppressed. It is not counted any more, and you are told of it no more.")
    return _say(request, finding, hygiene.suppress, text, why=form.cleaned_data["why"])


def _own(request: HttpRequest, number: int) -> Finding:
    mine = Finding.objects.owned_by(request.user).select_related("connection")
    return get_object_or_404(mine, pk=number)


def _say(
    request: HttpRequest, finding: Finding, say: Callable[..., None], text: str, **facts: Any
) -> HttpResponse:
    try:
        say(finding, by=request.user, now=timezone.now(), **facts)
    except hygiene.Refused as refused:
        return _answer(request, finding, refused=refused.sentence)
    return _answer(request, finding, said=text)


def _answer(
    request: HttpRequest,
    finding: Finding,
    forms: Forms | None = None,
    *,
    said: str = "",
    refused: str = "",
) -> HttpResponse:
    """The card alone for htmx; else the page it was on, or with faults the list around it."""
    back = _back(request)
    if request.htmx or forms:  # type: ignore[attr-defined]
        card = finding_pages.card(
            finding, now=timezone.now(), forms=forms or Forms(), said=said, refused=refused
        )
        if not request.htmx:  # type: ignore[attr-defined]
            state = finding_pages.state_now(finding, timezone.now())
            where = {"connection": str(finding.connection_id), "state": state}
            return _list(request, where, back=back, instead=card)
        folded = not back.startswith(reverse("findings:list"))
        context = {"card": card, "back": back, "folded": folded, "alone": True}
        return render(request, "findings/_card.html", context)
    if said:
        messages.success(request, said)
    else:
        messages.error(request, refused)
    return redirect(f"{back}#finding-{finding.pk}")


def _back(request: HttpRequest) -> str:
    """The page of ours that the form was on."""
    given = request.POST.get("back", "")
    ours = given.startswith("/") and url_has_allowed_host_and_scheme(given, None)
    return given if ours else reverse("findings:list")


def _list(
    request: HttpRequest,
    chosen: Any,
    *,
    back: str = "",
    instead: finding_pages.Card | None = None,
) -> HttpResponse:
    listing = finding_pages.listing(
        request.user,
        state=chosen.get("state", ""),
        connection=chosen.get("connection", ""),
        page=chosen.get("page", "1"),
        now=timezone.now(),
    )
    cards = [
        instead if instead and each.finding == instead.finding else each for each in listing.cards
    ]
    context = {"listing": listing, "cards": cards, "back": back or request.get_full_path()}
    if not listing.page.paginator.count:
        context |= _tests_of(request)
    return render(request, "findings/list.html", context)


def _tests_of(request: HttpRequest) -> dict[str, Any]:
    """When a key of this person was last tested, to say that somebody looks; and whether all that
    were tested work: a failure is no finding before it lasts."""
    tested = Connection.objects.owned_by(request.user).exclude(tested_at=None)
    good = tested.filter(stops().outside(), status__in=Connection.WORKING, suspicion="")
    newest = tested.order_by("-tested_at").values_list("tested_at", flat=True).first()
    return {"last_test": newest, "in_order": good.count() == tested.count()}
