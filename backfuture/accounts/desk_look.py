"""How the support desk looks: django-unfold's settings (settings.py takes them from here)."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

# The hue of the mark and of the users' pages (static/backfuture/app.css).
HUE = 262
SHADES = {
    "50": (97.5, 0.012),
    "100": (94, 0.03),
    "200": (88.5, 0.06),
    "300": (80.5, 0.095),
    "400": (70, 0.14),
    "500": (62, 0.16),
    "600": (47, 0.15),
    "700": (41, 0.13),
    "800": (35, 0.11),
    "900": (29, 0.09),
    "950": (21, 0.06),
}


def mark(request: object) -> str:
    return static("backfuture/mark.svg")


def styles(request: object) -> str:
    return static("backfuture/desk.css")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("BackFuture support desk"),
    "SITE_HEADER": "BackFuture",
    "SITE_SUBHEADER": _("Support desk"),
    "SITE_URL": "/",
    "SITE_ICON": mark,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": mark}],
    "STYLES": [styles],
    "DASHBOARD_CALLBACK": "backfuture.accounts.desk_home.add_figures",
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            shade: f"oklch({light}% {chroma} {HUE})" for shade, (light, chroma) in SHADES.items()
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "backfuture.accounts.desk_menu.navigation",
    },
    # What was looked for stays on the server: no history in the browser's storage.
    "COMMAND": {"show_history": False},
    "ACCOUNT": {
        "navigation": [{"title": _("Security"), "link": reverse_lazy("accounts:security")}]
    },
}
