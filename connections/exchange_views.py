"""Pages about how the exchanges are doing. Nothing on them is about anybody else."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from . import exchange_pages, exchanges
from .models import Exchange
from .views import own_page


@own_page
@require_safe
def exchange_list(request: HttpRequest) -> HttpResponse:
    found = exchange_pages.overview(request.user, now=timezone.now())
    return render(request, "exchanges/list.html", {"exchanges": found})


@own_page
@require_safe
def detail(request: HttpRequest, code: str) -> HttpResponse:
    exchange = get_object_or_404(Exchange, code=code, code__in=exchanges.EXCHANGES)
    found = exchange_pages.detail(request.user, exchange, now=timezone.now())
    return render(request, "exchanges/detail.html", {"exchange": exchange, "detail": found})
