"""Unmistakable values, and a search for them in every form in which they could get out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Callable
from urllib.parse import quote

from connections import exchanges
from connections.exchanges.base import Credentials

# Exchanges that look at an API key's shape before anything else.
SHAPED: dict[str, Callable[[], str]] = {
    "binance": lambda: secrets.token_hex(32),
    "okx": lambda: str(uuid.uuid4()),
}


def credentials(exchange: str) -> Credentials:
    """A key nobody has seen before, in a form that changes under URL and JSON escaping."""
    mark = secrets.token_hex(6)
    has_passphrase = len(exchanges.get(exchange).fields) == 3
    passphrase = f'ph+"{mark}/=' if has_passphrase else ""
    api_key = SHAPED.get(exchange, lambda: f"ck+&{mark}/=")()
    return Credentials(api_key, f'cs+"{mark}\\/=', passphrase)


def forms(value: str) -> set[bytes]:
    """Plain, URL-, JSON-, HTML- and base64-escaped, hex, reversed."""
    raw = value.encode()
    found = {
        raw,
        raw[::-1],
        raw.hex().encode(),
        quote(value, safe="").encode(),
        quote(value).encode(),
        json.dumps(value)[1:-1].encode(),
        value.replace("&", "&amp;").replace('"', "&quot;").encode(),
    }
    for shift in range(3):  # base64 looks different at each offset; its inner part is enough
        coded = base64.b64encode(b"\0" * shift + raw)
        inner = coded[4 if shift else 0 : -4]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return {form for form in found if len(form) >= 8}


def signatures(credentials: Credentials) -> set[bytes]:
    """What KuCoin's passphrase header would be: the one signature known beforehand."""
    if not credentials.passphrase:
        return set()
    digest = hmac.new(credentials.secret.encode(), credentials.passphrase.encode(), hashlib.sha256)
    return {base64.b64encode(digest.digest())}


def found_in(haystack: bytes | str, credentials: Credentials) -> list[str]:
    """The names of the values that are in there in any form; empty is what tests want."""
    data = haystack.encode() if isinstance(haystack, str) else haystack
    values = {
        "api_key": credentials.api_key,
        "secret": credentials.secret,
        "passphrase": credentials.passphrase,
    }
    names = [
        name
        for name, value in values.items()
        if value and any(form in data for form in forms(value))
    ]
    return names + ["signature" for form in signatures(credentials) if form in data]
