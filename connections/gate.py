"""Asked before a key is entered, replaced or destroyed, and before a strategy is enabled: is it
really the owner, just now? The app that knows how people sign in answers; it registers itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Confirmation(Protocol):
    """For one request. Pages include `template` within their form."""

    template: str

    @property
    def refusal(self) -> Any:
        """Why keys may not be changed now whatever is entered, or None."""

    def elsewhere(self, *, back_to: str) -> str:
        """The address of a page to confirm on, for what has no form of its own."""

    def passes(self) -> bool:
        """Whether this request may change keys; if not, the page is shown again and says why."""


_ask: Callable[[Any], Confirmation] | None = None


def register(ask: Callable[[Any], Confirmation]) -> None:
    global _ask
    _ask = ask


def confirmation(request: Any) -> Confirmation:
    if _ask is None:  # nobody answers, so nobody may
        raise RuntimeError("no app has registered who confirms that it is the owner")
    return _ask(request)
