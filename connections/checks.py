"""System checks: what would make keys unsafe or unreadable, named before it does any harm."""

from __future__ import annotations

import base64
import ipaddress
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from . import exchanges, vault, vault_keys

CREATE = "`python manage.py keys create` makes a first set of keys."


def usable_key(key: object) -> bool:
    """Whether a key is as long as 32 random bytes and not evidently made by hand."""
    return isinstance(key, str) and len(_bytes_of(key)) >= 32 and len(set(key)) >= 12


def _bytes_of(key: str) -> bytes:
    try:
        return base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return key.encode()


@register(Tags.security)
def fernet_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    keys = settings.FERNET_KEYS
    if not isinstance(keys, (list, tuple)) or not keys:
        yield Error("FERNET_KEYS is not a list of keys.", hint=CREATE, id="connections.E001")
        return
    if not all(usable_key(key) for key in keys):
        yield Error(
            "A key in FERNET_KEYS has fewer than 32 random bytes.",
            hint=CREATE,
            id="connections.E002",
        )
    if len(set(keys)) < len(keys):
        yield Error(
            "FERNET_KEYS holds the same key twice.",
            hint="Each rotation adds a new key in front; remove the repeated one.",
            id="connections.E003",
        )
    if settings.SECRET_KEY in keys:
        yield Error(
            "SECRET_KEY is one of FERNET_KEYS.",
            hint="Sessions and sealed keys must not share a key. " + CREATE,
            id="connections.E004",
        )


@register(Tags.security)
def fingerprint_pepper(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    pepper = settings.FINGERPRINT_PEPPER
    if not usable_key(pepper) or pepper in {settings.SECRET_KEY, *(settings.FERNET_KEYS or ())}:
        yield Error(
            "FINGERPRINT_PEPPER is missing, short, or used for something else too.",
            hint=CREATE,
            id="connections.E005",
        )


@register(Tags.security)
def public_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    try:
        vault.public_keys()
    except vault.SealedError as error:
        yield Error(str(error), hint=CREATE, id="connections.E006")


@register(Tags.security)
def recovery_key(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    try:
        vault_keys.recovery_key()
    except vault.SealedError as error:
        yield Error(
            str(error),
            hint="Use the line that `keys create --recovery FILE` printed, or leave it out.",
            id="connections.E016",
        )


@register(Tags.security)
def private_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    file = settings.VAULT_PRIVATE_KEYS_FILE
    if settings.ROLE == "web":
        yield from _web_cannot_open(file)
    elif settings.ROLE == "worker" or file:
        yield from _worker_can_open(file)


def _web_cannot_open(file: str) -> Iterator[CheckMessage]:
    if file and os.access(file, os.R_OK):
        yield Error(
            "The web process can read the private keys of the vault.",
            hint="Give VAULT_PRIVATE_KEYS_FILE, and the right to read it, to the worker alone.",
            id="connections.E007",
        )


def _worker_can_open(file: str) -> Iterator[CheckMessage]:
    try:
        private = vault.private_keys(file)
    except vault.SealedError as error:
        yield Error(
            str(error),
            hint="Set VAULT_PRIVATE_KEYS_FILE for the worker to the file that `keys create` made.",
            id="connections.E008",
        )
        return
    with suppress(vault.SealedError):  # E006 says it
        if not vault.fits(private):
            yield Error(
                "No private key fits the first of VAULT_PUBLIC_KEYS.",
                hint="What is sealed now could not be opened. Use the pair from one `keys create`.",
                id="connections.E009",
            )
    if os.name == "posix" and stat.S_IMODE(os.stat(file).st_mode) & 0o077:
        yield Error(
            "The file of private keys can be read by others than its owner.",
            hint="chmod 600",
            id="connections.E010",
        )


@register(Tags.security)
def exchange_gateway(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    url = settings.EXCHANGE_GATEWAY_URL
    if not url:
        return
    if not settings.DEBUG and not settings.ALLOW_EXCHANGE_GATEWAY:
        yield Error(
            "EXCHANGE_GATEWAY_URL sends every signed request to another address.",
            hint="Remove it, or set ALLOW_EXCHANGE_GATEWAY=1 if this is a test or a demo.",
            id="connections.E011",
        )
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        yield Error(
            "EXCHANGE_GATEWAY_URL is not an http(s) address.",
            hint="For example http://127.0.0.1:8900",
            id="connections.E012",
        )


@register(Tags.security)
def notice_hosts(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    if settings.ALLOW_PRIVATE_NOTICE_HOSTS:
        yield Warning(
            "ALLOW_PRIVATE_NOTICE_HOSTS lets users' notices reach hosts of your own network.",
            hint="Remove it unless every user may know what answers there.",
            id="connections.W016",
        )


@register(Tags.security)
def server_addresses(app_configs: Sequence[AppConfig] | None, **_: Any) -> Iterator[CheckMessage]:
    for address in settings.SERVER_IPS:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield Error(
                f"SERVER_IPS holds {address!r}, which is no IP address.",
                hint="Users copy these onto their key's IP list: addresses separated by commas.",
                id="connections.E013",
            )


@register(Tags.database)
def exchange_rows(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> Iterator[CheckMessage]:
    from django.db import DatabaseError

    from .models import Exchange

    if not databases:
        return
    try:
        rows = set(Exchange.objects.values_list("code", flat=True))
    except DatabaseError:  # not migrated yet
        return
    known = set(exchanges.EXCHANGES)
    for code in sorted(rows - known):
        yield Error(
            f"The exchange {code!r} has a row and no code.",
            hint="Switch its connections off and delete the row, or bring the code back.",
            id="connections.E014",
        )
    for code in sorted(known - rows):
        yield Error(
            f"The exchange {code!r} has code and no row.",
            hint="`python manage.py migrate` adds it.",
            id="connections.E015",
        )
