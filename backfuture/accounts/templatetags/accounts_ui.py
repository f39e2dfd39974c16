"""What pages and mails of an account say of browsers, of who did something and why."""

from __future__ import annotations

import re

from allauth.account.models import EmailAddress
from allauth.mfa.utils import is_mfa_enabled
from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections import exchanges
from connections.events import AccessEvent
from connections.models import ConnectionTest

from ..adapters import address_of

register = template.Library()

# The first that is found counts: most browsers also name those they came after.
BROWSERS = (
    (r"Edg(e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"Chrome/|CriOS/|Chromium/", "Chrome"),
    (r"Version/.*Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X|Macintosh", "macOS"),
    ("Linux|X11", "Linux"),
)

Kind = AccessEvent.Kind
# Whoever did these had not proved who they are.
BY_UNKNOWN = {Kind.SIGN_IN_FAILED, Kind.FACTOR_FAILED, Kind.PASSWORD_RESET}
BY_SUPPORT = {Kind.STAFF_LOOK, Kind.STAFF_ACTED, Kind.USER_CHANGED, Kind.VIEW_GRANTED}
ALARMING = {*BY_UNKNOWN, *BY_SUPPORT, Kind.FACTOR_REMOVED, Kind.CONNECTION_MOVED, Kind.KEY_REVOKED}
ICONS = {
    Kind.OPENED: "lock",
    Kind.KEY_ENTERED: "key",
    Kind.KEY_REPLACED: "key",
    Kind.KEY_DISCARDED: "trash",
    Kind.KEY_SWITCHED: "check",
    Kind.KEY_RESTORED: "refresh",
    Kind.KEY_DESTROYED: "trash",
    Kind.ACCOUNT_CONFIRMED: "check",
    Kind.CONNECTION_MOVED: "key",
    Kind.CONNECTION_DELETED: "trash",
    Kind.PAUSED: "pause",
    Kind.RESUMED: "play",
    Kind.RENAMED: "pencil",
    Kind.SIGNED_OUT: "logout",
    Kind.SESSIONS_ENDED: "logout",
    Kind.CONFIRMED: "check",
    Kind.FACTOR_ADDED: "shield-check",
    Kind.FACTOR_REMOVED: "shield-x",
    Kind.FACTOR_RESET: "list-check",
    Kind.PASSWORD_CHANGED: "lock",
    Kind.PASSWORD_RESET: "lock",
    Kind.EMAIL_CHANGED: "mail",
    Kind.EXPORTED: "download",
    Kind.STAFF_LOOK: "eye",
    Kind.STAFF_ACTED: "support",
    Kind.USER_CHANGED: "support",
    Kind.VIEW_GRANTED: "eye",
    Kind.VIEW_ENDED: "x",
    Kind.KEY_REVOKED: "trash",
    Kind.CHANNEL_ADDED: "phone",
    Kind.CHANNEL_REMOVED: "trash",
    Kind.CHANNEL_OPENED: "lock",
    Kind.SIGN_IN_FAILED: "alert",
    Kind.FACTOR_FAILED: "alert",
}
REASONS = {
    "new device": _("a browser not seen before"),
    "password": _("password"),
    "totp": _("authenticator app"),
    "webauthn": _("passkey"),
    "recovery_codes": _("recovery codes"),
    "notice": _("to send a notice"),
    "in time": _("it was kept as long as it could be taken back"),
    "asked": _("before its time was up"),
    "replaced again": _("another key was replaced after it"),
    "not kept": _("replaced keys are not kept here"),
    "of no use": _("it never worked, or could withdraw"),
}
TESTS = {f"test: {value}": label for value, label in ConnectionTest.Reason.choices}


@register.filter
def known_device(agent: str | None) -> str:
    """ "Firefox on Linux", or "" for a browser that we do not know."""
    browser, system = _first(BROWSERS, agent or ""), _first(SYSTEMS, agent or "")
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser


@register.filter
def device(agent: str) -> str:
    """The same; a browser that we do not know as it calls itself."""
    return known_device(agent) or agent or gettext("a browser that does not say its name")


def _first(table: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for pattern, name in table if re.search(pattern, agent)), "")


@register.simple_tag(takes_context=True)
def has_second_factor(context: Context, *types: str) -> bool:
    """Whether the visitor, signed in or about to be, has a second factor (of these types)."""
    request = context["request"]
    user = request.user
    if not user.is_authenticated:
        stage = getattr(request, "_login_stage", None)
        user = stage.login.user if stage else user
    return bool(is_mfa_enabled(user, types=list(types) or None))


@register.simple_tag(takes_context=True)
def has_unverified_address(context: Context) -> bool:
    """While one is not confirmed, django-allauth lets nobody set up a second factor."""
    user = context["request"].user
    return bool(EmailAddress.objects.filter(user=user, verified=False).exists())


@register.simple_tag(takes_context=True)
def absolute(context: Context, name: str) -> str:
    """The whole address of one of our pages, for mails."""
    path = reverse(name)
    request = context.get("request")
    return str(request.build_absolute_uri(path)) if request else settings.SITE_URL + path


@register.filter
def visitor_address(request: HttpRequest) -> str:
    return address_of(request) or gettext("unknown")


@register.simple_tag
def key_page(exchange_code: str) -> str:
    """Where that exchange keeps its API keys; "" for one that is no longer supported."""
    known = exchanges.EXCHANGES.get(exchange_code)
    return known.key_page if known else ""


@register.filter
def by_whom(event: AccessEvent) -> str:
    if event.actor_id is None:
        return gettext("who: unknown") if event.kind in BY_UNKNOWN else gettext("by BackFuture")
    return gettext("by you") if event.actor_id == event.owner_id else gettext("by support")


@register.filter
def is_by_support(event: AccessEvent) -> bool:
    """Where support works from is not the owner's business."""
    return event.actor_id is not None and event.actor_id != event.owner_id


@register.filter
def reason(event: AccessEvent) -> str:
    """Why, in words; what support wrote as they wrote it."""
    if event.why in TESTS:
        return gettext("for a test: %(reason)s") % {"reason": TESTS[event.why]}
    return str(REASONS.get(event.why, event.why))


@register.filter
def exchange_name(code: str) -> str:
    return exchanges.name_of(code)


@register.filter
def event_icon(event: AccessEvent) -> str:
    return ICONS.get(Kind(event.kind), "user")


@register.filter
def event_color(event: AccessEvent) -> str:
    """Yellow for what a person should look at twice."""
    new = event.kind == Kind.SIGNED_IN and event.why == "new device"
    return "yellow" if new or event.kind in ALARMING else "secondary"
