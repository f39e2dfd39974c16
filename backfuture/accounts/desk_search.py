"""The desk's search: what support is told of somebody leads to their page.

unfold's own search would keep what one person found for five minutes, whatever they may see by
then, and read whole tables; this one looks into indexes (connections/lookup.py) and keeps nothing.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.dataclasses import SearchResult

from connections import lookup
from connections.models import Connection, Exchange

from . import desk_menu

SHOWN = 20  # of each kind
LONGEST = 200


def answer(request: HttpRequest) -> HttpResponse:
    began = time.monotonic()
    word = request.GET.get("s", "").replace("\0", "").strip()[:LONGEST]
    if not word:
        return HttpResponse()
    results = [*_lists(request, word), *_users(request, word), *_exchanges(request, word)]
    results += _connections(request, word)
    page = Paginator(results, max(1, len(results)))
    context = {
        "page_obj": page,
        "results": page.page(1),
        "page_counter": 0,
        "execution_time": time.monotonic() - began,
        "command_show_history": False,
    }
    form = "command" if "extended" in request.GET else "search"
    return TemplateResponse(
        request,
        f"unfold/helpers/{form}_results.html",
        context,
        headers={"HX-Trigger": "search"},
    )


def _lists(request: HttpRequest, word: str) -> list[Any]:
    """Entries of the navigation."""
    return [
        SearchResult(str(item["title"]), _("list"), str(item["link"]), item["icon"])
        for group in desk_menu.lists(request)
        for item in group["items"]
        if word.lower() in str(item["title"]).lower()
    ]


def _users(request: HttpRequest, word: str) -> list[Any]:
    if not desk_menu.may_see(request, "accounts.User"):
        return []
    return [
        SearchResult(each.email, _("user"), _change("accounts_user", each.pk), "person")
        for each in lookup.users(word).order_by("email")[:SHOWN]
    ]


def _exchanges(request: HttpRequest, word: str) -> list[Any]:
    if not desk_menu.may_see(request, "connections.Exchange"):
        return []
    small = word.lower()
    return [
        SearchResult(
            each.name,
            _("exchange"),
            _change("connections_exchange", each.code),
            "account_balance",
        )
        for each in Exchange.objects.all()
        if small in each.name.lower() or small == each.code
    ]


def _connections(request: HttpRequest, word: str) -> list[Any]:
    if not desk_menu.may_see(request, "connections.Connection"):
        return []
    found = Connection.objects.filter(pk__in=lookup.connections(word))
    rows = found.select_related("owner", "exchange").order_by("-created_at")[:SHOWN]
    return [
        SearchResult(
            each.name,
            f"{each.exchange.name} · {each.owner.email}",
            _change("connections_connection", each.pk),
            "cable",
        )
        for each in rows
    ]


def _change(name: str, pk: Any) -> str:
    return reverse(f"admin:{name}_change", args=[pk])
