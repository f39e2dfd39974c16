"""The user's pages as support sees them (view_as.py): what would be refused is drawn, so that one
can say where it is, but grey, and cannot be pressed."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve
from django.utils.html import escape
from django.utils.translation import gettext

from . import view_as

# Our own templates: an attribute's value stands in quotes, and what people typed is escaped.
ATTRIBUTES = r"""(?:[^>"']|"[^"]*"|'[^']*')*"""
TAG = re.compile(rf"<(/?)(a|form|button|input|select|textarea)\b({ATTRIBUTES})>")
HREF = re.compile(r'\shref="([^"]*)"')
ACTION = re.compile(r'\saction="([^"]*)"')
POSTS = re.compile(r'\smethod="post"')


def greyed(page: str) -> str:
    """Links and forms that lead to nothing on the list lose their way there."""
    why = escape(gettext("The user's alone: you are only reading."))
    refused = False  # within such a form

    def mend(found: re.Match[str]) -> str:
        nonlocal refused
        whole, closing, tag, more = found[0], found[1], found[2], found[3]
        if tag == "form":
            refused = not closing and not _may_send(more)
        elif tag == "a" and not closing and not _may_open(more):
            return f'<a{HREF.sub("", more)} aria-disabled="true" title="{why}">'
        elif refused and not closing:
            return f'<{tag}{more.rstrip("/")} disabled title="{why}">'
        return whole

    return TAG.sub(mend, page)


def _may_open(attributes: str) -> bool:
    href = HREF.search(attributes)
    return href is None or _leads_to(href[1]) in {"", *view_as.PAGES}


def _may_send(attributes: str) -> bool:
    action = ACTION.search(attributes)
    name = _leads_to(action[1] if action else "")
    return name == view_as.LEAVE if POSTS.search(attributes) else name in {"", *view_as.PAGES}


def _leads_to(address: str) -> str:
    """The name of a page of ours; "" for this page itself and for other sites."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not parts.path:
        return ""
    try:
        return resolve(parts.path).view_name
    except Resolver404:
        return parts.path
