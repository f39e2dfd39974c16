"""The desk's navigation: for each person, the lists that they may see."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.html import escape
from django.utils.translation import gettext_lazy as _

# Title of a group, and its lists: title, icon (Material Symbols), model.
GROUPS: tuple[tuple[Any, tuple[tuple[Any, str, str], ...]], ...] = (
    (
        _("Support"),
        (
            (_("Connections"), "cable", "connections.Connection"),
            (_("Tests"), "labs", "connections.ConnectionTest"),
            (_("Findings"), "rule", "connections.Finding"),
            (_("Strategies"), "candlestick_chart", "strategies.StrategyConfig"),
            (_("Notices"), "mail", "connections.Notice"),
            (_("Outages"), "cloud_off", "connections.Outage"),
            (_("Incidents"), "emergency_home", "connections.Incident"),
            (_("Users"), "person", "accounts.User"),
        ),
    ),
    (
        _("Operation"),
        (
            (_("Exchanges"), "account_balance", "connections.Exchange"),
            (_("Pairs"), "currency_exchange", "strategies.Pair"),
            (_("Lists of pairs"), "sync", "strategies.PairList"),
            (_("Thresholds"), "tune", "connections.Thresholds"),
            (_("Schedules"), "schedule", "django_celery_beat.PeriodicTask"),
            (_("Access events"), "history", "connections.AccessEvent"),
        ),
    ),
    (_("Access"), ((_("Roles"), "group", "auth.Group"),)),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups with nothing in them are left out."""
    home = {"title": _("Home"), "icon": "home", "link": reverse_lazy("admin:index")}
    return [{"items": [home]}, *saved_views(request), *lists(request)]


def lists(request: HttpRequest) -> list[dict[str, Any]]:
    groups = []
    for title, entries in GROUPS:
        items = [_item(*each) for each in entries if may_see(request, each[2])]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def saved_views(request: HttpRequest) -> list[dict[str, Any]]:
    """One's own. unfold prints titles as they stand, so these are escaped here."""
    here = request.get_full_path()
    items = [
        {
            "title": escape(view.name),
            "icon": "bookmark",
            "link": view.path,
            "active": view.path == here,
        }
        for view in request.user.saved_views.all()  # type: ignore[union-attr]
    ]
    return [{"title": _("Saved views"), "separator": True, "items": items}] if items else []


def may_see(request: HttpRequest, label: str) -> bool:
    """As the list itself decides it."""
    shown = admin.site._registry.get(apps.get_model(label))
    return shown is not None and shown.has_view_permission(request)


def _item(title: Any, icon: str, label: str) -> dict[str, Any]:
    name = label.lower().replace(".", "_")
    return {"title": title, "icon": icon, "link": reverse(f"admin:{name}_changelist")}
