"""Sessions in the database, unreadable in a copy of it.

While someone sets up an authenticator app, django-allauth keeps its seed in the session.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions

from . import locking

PURPOSE = "session"


class SessionStore(DatabaseSessions):
    def encode(self, session_dict: dict[str, Any]) -> str:
        return locking.lock(super().encode(session_dict), PURPOSE)

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        text = session_data.decode() if isinstance(session_data, bytes) else session_data
        try:
            return super().decode(locking.unlock(text, PURPOSE))
        except locking.Locked:
            return {}  # as for a session that was altered: sign in again
