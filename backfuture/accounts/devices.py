"""Browsers someone signed in with before. A new one is told by mail."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from .models import KnownDevice, User

COOKIE = "__Host-device" if settings.HTTPS else "device"
KEPT = timedelta(days=400)  # as long as browsers keep a cookie
LONGEST = 64


def seen_before(request: HttpRequest, user: User) -> bool:
    """Whether `user` signed in with this browser before; from now on they did. The first browser
    of an account counts as seen: there is nobody to warn yet."""
    token = request.COOKIES.get(COOKIE, "")[:LONGEST] or secrets.token_urlsafe(32)
    request.device_token = token  # type: ignore[attr-defined]
    first = not user.devices.exists()
    _, new = KnownDevice.objects.get_or_create(user=user, token_hash=_hash(token))
    return first or not new


def remember(request: HttpRequest, response: HttpResponse) -> None:
    if token := getattr(request, "device_token", ""):
        response.set_cookie(
            COOKIE, token, max_age=KEPT, secure=settings.HTTPS, httponly=True, samesite="Lax"
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
