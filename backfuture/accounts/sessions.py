"""Sessions in the database, of no use in a copy of it.

While someone sets up an authenticator app, django-allauth keeps its seed in the session, so what
is in one is locked. The keys of sessions stand in two tables as they are; a browser's cookie is
such a key with a signature, which nobody can make who has the database alone.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse

from . import locking

PURPOSE = "session"
SALT = "backfuture.session"


def cookie_of(key: str) -> str:
    return Signer(salt=SALT).sign(key)


def key_in(cookie: str | None) -> str | None:
    """The key of the session that a cookie opens; none where nobody of ours signed it."""
    try:
        return Signer(salt=SALT).unsign(cookie or "")
    except BadSignature:
        return None


class SignedCookies(SessionMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        request.session = self.SessionStore(key_in(cookie))

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        set_now = response.cookies.get(settings.SESSION_COOKIE_NAME)
        if set_now is not None and set_now.value:  # it is empty where the cookie is taken away
            signed = cookie_of(set_now.value)
            set_now.set(set_now.key, signed, signed)
        return response


class SessionStore(DatabaseSessions):
    def __init__(self, session_key: str | None = None) -> None:
        """By its key, or by a whole cookie, as Django's test client knows it."""
        super().__init__(key_in(session_key) or session_key)

    def encode(self, session_dict: dict[str, Any]) -> str:
        return locking.lock(super().encode(session_dict), PURPOSE)

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        text = session_data.decode() if isinstance(session_data, bytes) else session_data
        try:
            return super().decode(locking.unlock(text, PURPOSE))
        except locking.Locked:
            return {}  # as for a session that was altered: sign in again
