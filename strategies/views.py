"""The pages of a trader's strategies. Other people's objects do not exist here: 404."""

from __future__ import annotations

from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connections import gate
from connections.forms import DeleteForm
from connections.models import Connection
from connections.views import View, own_page

from . import pages, services
from .forms import seen_version
from .models import StrategyConfig


def strategy_page(view: View) -> View:
    """As `own_page`, for views whose strategy may be deleted in another window meanwhile."""

    @own_page
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except StrategyConfig.DoesNotExist:
            raise Http404 from None

    return guarded


def own(request: HttpRequest, pk: UUID) -> StrategyConfig:
    """The strategy, if it is the signed-in user's own."""
    mine = StrategyConfig.objects.owned_by(request.user)
    return get_object_or_404(mine.select_related("owner", "connection__exchange"), pk=pk)


@strategy_page
@require_safe
def strategy_list(request: HttpRequest) -> HttpResponse:
    mine = StrategyConfig.objects.owned_by(request.user)
    context: dict[str, Any] = {"lines": pages.lines(mine)}
    if not context["lines"]:
        context["connected"] = Connection.objects.owned_by(request.user).exists()
    return render(request, "strategies/list.html", context)


@strategy_page
@require_safe
def choose(request: HttpRequest) -> HttpResponse:
    """Which connection; goes on to the form where there is only one that can be used."""
    choices = pages.choices(request.user)
    usable = [each.connection for each in choices if each.usable]
    if len(usable) == 1:
        return redirect("strategies:new", usable[0].pk)
    return render(request, "strategies/choose.html", {"choices": choices, "usable": usable})


@strategy_page
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _detail(request, own(request, pk))


@strategy_page
@require_POST
def enable(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Asks whether it is the owner, then the safety rules; both answer on the strategy's page."""
    strategy = own(request, pk)
    confirmation = gate.confirmation(request)
    if confirmation.refusal:
        context = {"refusal": confirmation.refusal, "strategy": strategy}
        return render(request, "strategies/refused.html", context, status=403)
    if not confirmation.passes():
        return _detail(request, strategy, confirmation, asked=True)
    try:
        seen = seen_version(request.POST.get("version", ""))
        services.enable(strategy, by=request.user, now=timezone.now(), seen_version=seen)
    except services.Outdated:
        text = _("It was changed in another window meanwhile. Look at it, then enable it.")
        messages.error(request, text)
    except services.NotSafe:
        messages.error(request, _("It was not enabled. What stands against it is listed below."))
    else:
        messages.success(request, _("Enabled. It may trade with this connection from now on."))
    return redirect(strategy)


@strategy_page
@require_POST
def disable(request: HttpRequest, pk: UUID) -> HttpResponse:
    strategy = own(request, pk)
    services.disable(strategy, by=request.user, now=timezone.now())
    text = _("Switched off. Open orders and positions at the exchange stay as they are.")
    messages.success(request, text)
    return redirect(strategy)


@strategy_page
@require_POST
def move(request: HttpRequest, pk: UUID) -> HttpResponse:
    strategy = own(request, pk)
    given = request.POST.get("connection", "")
    home = next((each for each in pages.homes(strategy) if str(each.pk) == given), None)
    if home is None:
        messages.error(request, _("Choose one of your connections to the same exchange."))
        return redirect(strategy)
    try:
        services.move(strategy, home, by=request.user, now=timezone.now())
        messages.success(request, _("Moved to “%(name)s”.") % {"name": home.name})
    except services.StillEnabled:
        messages.error(request, _("It is enabled. Switch it off before you move it."))
    except services.OtherExchange:
        messages.error(request, _("That connection is to another exchange than its pairs."))
    return redirect(strategy)


@strategy_page
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    strategy = own(request, pk)
    form = DeleteForm(request.POST or None, label=_("Name of the strategy"), name=strategy.name)
    if request.method == "POST" and not strategy.enabled and form.is_valid():
        try:
            services.delete(strategy)
            messages.success(request, _("Deleted, with its history."))
            return redirect("strategies:list")
        except services.StillEnabled:  # in another window meanwhile
            strategy.refresh_from_db()
    return render(request, "strategies/delete.html", {"strategy": strategy, "form": form})


@strategy_page
@require_safe
def history(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Every version and everything that happened, a page at a time."""
    strategy = own(request, pk)
    page, events = pages.history(strategy, request.GET.get("page", "1"))
    context = {"strategy": strategy, "page": page, "events": events}
    return render(request, "strategies/history.html", context)


def _detail(
    request: HttpRequest,
    strategy: StrategyConfig,
    confirmation: gate.Confirmation | None = None,
    *,
    asked: bool = False,
) -> HttpResponse:
    found = pages.detail(strategy, now=timezone.now())
    context = {"detail": found, "strategy": strategy, "preview": found.preview, "asked": asked}
    if not strategy.enabled and found.safe:
        context["confirmation"] = confirmation or gate.confirmation(request)
    return render(request, "strategies/detail.html", context)
