"""Error reports (debug page and mails to operators) that cannot carry what a user typed."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

# Of what came with a request, and of what a development server adds: its whole environment.
TOLD = ("REQUEST_METHOD", "PATH_INFO", "HTTP_HOST", "HTTP_USER_AGENT", "REMOTE_ADDR")


class NoLocals(SafeExceptionReporterFilter):
    """Never shows POST data, frame variables, cookies, the environment or settings, whether DEBUG
    is on or off."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        if request is None:
            return {}
        return dict.fromkeys(request.POST, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> ItemsView[str, Any]:
        return {}.items()

    def get_safe_settings(self) -> dict[str, Any]:
        # Django hides by name, and addresses with passwords have harmless names.
        return {}

    def get_safe_cookies(self, request: HttpRequest | None) -> dict[str, Any]:
        return {}

    def get_safe_request_meta(self, request: HttpRequest | None) -> dict[str, Any]:
        # Django hides by name here too, and CSRF_COOKIE and DATABASE_URL are none of its names.
        meta = getattr(request, "META", {})
        return {name: meta[name] for name in TOLD if name in meta}


class Reporter(ExceptionReporter):
    """Without what stands behind the question mark: a search of the support desk, for one, is
    whatever somebody pasted."""

    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        if self.request is not None:
            data["request_GET_items"] = ()
            data["request_insecure_uri"] = self.request.path
        return data
