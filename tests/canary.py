"""Unmistakable values, and a search for them in every form in which they could get out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
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
LEAST = 8  # bytes; what is shorter turns up by chance


def mark() -> str:
    return secrets.token_hex(6)


def credentials(exchange: str) -> Credentials:
    """A key nobody has seen before, in a form that changes under URL and JSON escaping."""
    has_passphrase = len(exchanges.get(exchange).fields) == 3
    passphrase = f'ph+"{mark()}/=' if has_passphrase else ""
    api_key = SHAPED.get(exchange, lambda: f"ck+&{mark()}/=")()
    return Credentials(api_key, f'cs+"{mark()}\\/=', passphrase)


def forms(value: str) -> set[bytes]:
    """The value and its longest plain part (which every escaping leaves alone, so that any is
    seen): as it is, reversed, hex and base64; and the whole URL-, JSON-, HTML-escaped and as
    Python prints it."""
    found = {
        quote(value, safe="").encode(),
        quote(value).encode(),
        json.dumps(value)[1:-1].encode(),
        html.escape(value).encode(),
        repr(value)[1:-1].encode(),
    }
    for part in {value, core(value)}:
        raw = part.encode()
        found |= {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), *base64_of(raw)}
    return {form for form in found if len(form) >= LEAST}


def core(value: str) -> str:
    """The longest run of letters and digits, where it can be told from words and chance."""
    runs = [run for run in re.findall(r"[A-Za-z0-9]{12,}", value) if not run.isalpha()]
    return max(runs, key=len, default=value)


def base64_of(raw: bytes) -> set[bytes]:
    """It looks different at each of three offsets; its inner part is enough."""
    found = set()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        inner = coded[4 if shift else 0 : -4]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


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
