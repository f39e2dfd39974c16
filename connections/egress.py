"""The addresses from which we ask an exchange, for users to put on their keys' IP lists.

Staff set them per exchange; where none is set, they are the whole site's. Each process asks for
them again every few seconds, since words about a problem need them for many rows at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings

from .models import Exchange

KEPT_S = 15

_kept: tuple[float, dict[str, list[str]]] = (0.0, {})


def addresses(code: str) -> Sequence[str]:
    own: Sequence[str] = _own().get(code, ())
    return own or settings.SERVER_IPS


@contextmanager
def of_the_site() -> Iterator[None]:
    """Within the block the whole site's alone, for what has to work without a database."""
    global _kept
    before, _kept = _kept, (math.inf, {})
    try:
        yield
    finally:
        _kept = before


def forget() -> None:
    """This process asks at once; others within KEPT_S."""
    global _kept
    _kept = (0.0, {})


def _own() -> dict[str, list[str]]:
    global _kept
    read_at, table = _kept
    if not read_at or time.monotonic() - read_at > KEPT_S:
        rows = Exchange.objects.exclude(server_ips="").order_by()
        table = {code: ips.split(",") for code, ips in rows.values_list("code", "server_ips")}
        _kept = (time.monotonic(), table)
    return table
