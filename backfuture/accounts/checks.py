"""System checks of sign-in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

PER_PROCESS = ("locmem.LocMemCache", "dummy.DummyCache")


@register(Tags.caches)
def shared_cache(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    if settings.CACHES["default"]["BACKEND"].endswith(PER_PROCESS):
        yield Error(
            "The cache is kept by each process for itself.",
            hint="Tries of passwords and used one-time codes are counted in it, and the web runs "
            "as several processes. Leave CACHE_URL out, or name a rediscache://.",
            id="accounts.E001",
        )


@register(Tags.security, deploy=True)
def proxies(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    if settings.BEHIND_TLS_PROXY and settings.ALLAUTH_TRUSTED_PROXY_COUNT < 1:
        yield Warning(
            "All visitors share one address: the proxy's.",
            hint="Set TRUSTED_PROXY_COUNT to the number of proxies in front that add to "
            "X-Forwarded-For (usually 1), else one person's wrong passwords lock out everyone.",
            id="accounts.W001",
        )
