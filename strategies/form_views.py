"""The form of a strategy, its preview as it is typed, and the search for pairs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connections import gate
from connections import views as connection_views
from connections.models import Connection

from . import form_pages, preview_pages, services, tasks
from .filling import as_sent, as_typed, first_values, settle, values_of
from .forms import StrategyForm
from .models import StrategyConfig
from .views import own, strategy_page

NAMES_TRIED = 1000  # before the person has to think of one


@dataclass(frozen=True, slots=True)
class Place:
    """Where the form stands: on a connection, for a new strategy or one that is changed."""

    connection: Connection
    strategy: StrategyConfig | None = None

    @property
    def save_at(self) -> str:
        if self.strategy:
            return reverse("strategies:edit", args=[self.strategy.pk])
        return reverse("strategies:new", args=[self.connection.pk])

    @property
    def preview_at(self) -> str:
        if self.strategy:
            return reverse("strategies:preview", args=[self.strategy.pk])
        return reverse("strategies:preview_new", args=[self.connection.pk])

    @property
    def pairs_at(self) -> str:
        return reverse("strategies:pairs", args=[self.connection.pk])

    @property
    def back_to(self) -> str:
        return self.strategy.get_absolute_url() if self.strategy else reverse("strategies:list")


@strategy_page
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, connection: UUID) -> HttpResponse:
    place = Place(connection_views.own(request, connection))
    if request.method != "POST":
        values = {**first_values("spot", "balanced"), "name": _suggested(place.connection)}
        return _page(request, place, as_sent(values))
    data, again = settle(request.POST)
    if again:
        return _page(request, place, data, look=True)
    form = StrategyForm(data, connection=place.connection)
    if form.is_valid():
        try:
            made = services.create(
                owner=request.user,
                connection=place.connection,
                name=form.cleaned_data["name"],
                settings=form.settings,
                pairs=form.cleaned_data["pairs"],
                now=timezone.now(),
            )
        except services.NameTaken:
            form.add_error("name", _("You already have a strategy of this name."))
        except services.Refused as refused:
            form.refuse(refused.faults)
        else:
            messages.success(request, _("Saved, and switched off. Enable it when you are ready."))
            return redirect(made)
    return _page(request, place, data, form)


@strategy_page
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    strategy = own(request, pk)
    if strategy.connection is None:
        messages.info(request, _("Choose another connection for it first."))
        return redirect(strategy)
    place = Place(strategy.connection, strategy)
    confirmation = gate.confirmation(request) if strategy.enabled else None
    if confirmation and confirmation.refusal:
        context = {"refusal": confirmation.refusal, "strategy": strategy}
        status = 403 if request.method == "POST" else 200
        return render(request, "strategies/refused.html", context, status=status)
    if request.method != "POST":
        return _page(request, place, as_sent(values_of(strategy)), confirmation=confirmation)
    data, again = settle(request.POST)
    confirmed = confirmation is None or confirmation.passes()
    if again:
        return _page(request, place, data, look=True, confirmation=confirmation)
    form = StrategyForm(data, connection=place.connection)
    if form.is_valid() and confirmed and (answer := _changed(request, strategy, form)):
        return answer
    return _page(request, place, data, form, confirmation=confirmation)


def _changed(
    request: HttpRequest, strategy: StrategyConfig, form: StrategyForm
) -> HttpResponse | None:
    """None where nothing was saved: the form says why."""
    try:
        saved = services.change(
            strategy,
            by=request.user,
            name=form.cleaned_data["name"],
            settings=form.settings,
            pairs=form.cleaned_data["pairs"],
            seen_version=form.seen_version,
            now=timezone.now(),
        )
    except services.NameTaken:
        form.add_error("name", _("You already have a strategy of this name."))
    except services.Refused as refused:
        form.refuse(refused.faults)
    except services.NotSafe as unsafe:
        form.add_error(None, _("It is enabled, and would not be safe with these settings:"))
        for reason in unsafe.reasons:
            form.add_error(None, f"{reason.what} {reason.todo}")
    except services.Outdated:
        form.add_error(
            None,
            _(
                "It was changed in another window meanwhile, so this was not saved. Open its page "
                "again in a new tab, and enter there what you still want to change."
            ),
        )
    else:
        same = saved.version == strategy.version
        text = _("Nothing was changed.") if same else _("Saved as version %(n)d.")
        messages.success(request, text % {"n": saved.version})
        return redirect(saved)
    return None


@strategy_page
@require_POST
def preview_new(request: HttpRequest, connection: UUID) -> HttpResponse:
    return _preview(request, Place(connection_views.own(request, connection)))


@strategy_page
@require_POST
def preview(request: HttpRequest, pk: UUID) -> HttpResponse:
    strategy = own(request, pk)
    if strategy.connection is None:
        return redirect(strategy)
    return _preview(request, Place(strategy.connection, strategy))


@strategy_page
@require_safe
def pairs(request: HttpRequest, connection: UUID) -> HttpResponse:
    """The list of pairs beside the form, as it is searched."""
    place = Place(connection_views.own(request, connection))
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(place.save_at)
    market = "futures" if request.GET.get("market") == "futures" else "spot"
    ticked, text = request.GET.getlist("pairs"), request.GET.get("q", "")
    picker = _picker(place.connection, market, ticked, text)
    return render(request, "strategies/_found.html", {"picker": picker, "alone": True})


def _preview(request: HttpRequest, place: Place) -> HttpResponse:
    """The preview alone for htmx, with the fields where another level or market was chosen; else
    the whole page as it was typed."""
    data, again = settle(request.POST)
    if not request.htmx:  # type: ignore[attr-defined]
        return _page(request, place, data, look=again, confirmation=_confirmed(request, place))
    context = _context(request, place, data)
    return render(request, "strategies/_redrawn.html", {**context, "again": again})


def _confirmed(request: HttpRequest, place: Place) -> gate.Confirmation | None:
    """The question to the owner of what is enabled, with whatever was answered looked at."""
    if place.strategy is None or not place.strategy.enabled:
        return None
    confirmation = gate.confirmation(request)
    confirmation.passes()
    return confirmation


def _page(
    request: HttpRequest,
    place: Place,
    data: QueryDict,
    form: StrategyForm | None = None,
    *,
    confirmation: gate.Confirmation | None = None,
    look: bool = False,
) -> HttpResponse:
    """With a `form` that was refused, or else as it was typed: nothing is called a fault yet.
    `look`: says that values were filled in and are to be looked at."""
    context = _context(request, place, data, form)
    more = {"confirmation": confirmation, "look": look}
    return render(request, "strategies/form.html", {**context, **more})


def _context(
    request: HttpRequest, place: Place, data: QueryDict, form: StrategyForm | None = None
) -> dict[str, Any]:
    read = form or StrategyForm(data, connection=place.connection)
    shown = form or StrategyForm(initial=as_typed(data), connection=place.connection)
    typed = request.POST if request.method == "POST" else request.GET
    picker = _picker(place.connection, read.market, data.getlist("pairs"), typed.get("q", ""))
    strategy = place.strategy
    but = strategy.pk if strategy else None
    return {
        "place": place,
        "connection": place.connection,
        "strategy": strategy,
        "form": shown,
        "groups": form_pages.groups(shown, picker.quote),
        "levels": form_pages.levels(data.get("risk", "")),
        "picker": picker,
        "preview": preview_pages.preview_of_form(read, picker.pairs, but=but),
    }


def _picker(
    connection: Connection, market: str, ticked: Sequence[str], text: str
) -> form_pages.Picker:
    """Asks for a list that was never read, since somebody waits for it now."""
    picker = form_pages.picker(connection, market, ticked, text, now=timezone.now())
    if picker.state.never:
        tasks.want(connection.exchange_id, market)
    return picker


def _suggested(connection: Connection) -> str:
    """A name that its owner has not used yet."""
    mine = StrategyConfig.objects.filter(owner=connection.owner_id)
    taken = {name.casefold() for name in mine.values_list("name", flat=True)}
    numbered = (f"{connection.name[:50]} {number}" for number in range(1, NAMES_TRIED))
    return next((name for name in numbered if name.casefold() not in taken), "")
