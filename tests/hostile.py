"""Hostile values, each with a marker of its own, and the forms of a page to put them into."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import quote_from_bytes

# What nobody but its owner may ever read: no answer, log or mail may hold what was typed there.
SECRET = re.compile(
    r"^(?!usable_|form-).*(password|secret|api_key|passphrase|code|credential|address)"
)
PLAIN_MARK, SECRET_MARK = re.compile(rb"mk\d{6}z"), re.compile(rb"sk\d{6}z")
OPEN_TAG = re.compile(rb"<(?:mk|sk)\d{6}z")

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoG"
TEXTS = [
    *("{{ settings.SECRET_KEY }}", "{% load nothing %}", "{% include '../settings.py' %}", "{#"),
    *("=cmd|' /C calc'!A0", "@SUM(1+1)*cmd", "+1", "-2+3", "\t=1"),
    *(
        "' OR '1'='1",
        "'; DROP TABLE accounts_user; --",
        "1) UNION SELECT 1,2--",
        '"',
        "%' --",
        "\\",
    ),
    *(PEM, PEM[40:], "-----END EC PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\\n"),
    *("../../../../etc/passwd", "..%2f..%2f", "file:///etc/passwd", "\\\\host\\share", "C:\\x"),
    *("\r\nSet-Cookie: evil=1", "\r\n\r\n<html>", "%0d%0aX: y", "a\nBcc: you@example.com"),
    *('{"$gt": ""}', '[{"a": [1, 2', '{"__proto__": {}}', "[" * 300, '"\\ud800"', "null"),
    *('"><script>alert(1)</script>', "<img src=x onerror=alert(1)>", "javascript:alert(1)"),
    *(
        "' autofocus onfocus=alert(1) x='",
        "</textarea></title><svg onload=x>",
        "&lt;b&gt;",
        "&#60;",
    ),
    *("%s%s%n", "{0.__class__.__mro__}", "%(password)s", "${jndi:ldap://x}", "$(id)", "`id`"),
    *(
        "\u202e\u2066gpj.exe",
        "\u200b\ufeff",
        "İıſﬀ",
        "Å\u030a" * 50,
        "👩‍👩‍👧‍👦🏴‍☠️",
        "１２３",
        "٣",
        "\U0010ffff",
    ),
    *(
        "\0",
        "\0\0x",
        "\x1b[31m",
        "\x7f\x85\u2028\u2029",
        "\ud800".encode("utf-8", "replace").decode(),
    ),
    *(
        "//evil.example/",
        "https://evil.example",
        "/\\evil.example",
        "/connections/",
        "data:text/html,",
    ),
]
RAW = [b"\xed\xa0\x80", b"\xed\xb0\x80\xed\xa0\x80", b"\xff\xfe", b"\xc3(", b"\xf8\x88\x80\x80\x80"]
NUMBERS = [
    "9999",
    "99999",
    "9" * 19,
    "9" * 400,
    "-1",
    "0",
    "1e999",
    "NaN",
    "9223372036854775808",
    "0x10",
    "1.5",
    "-" * 9,
]
DATES = ["0000-00-00", "9999-12-31", "2026-02-30", "10:99", "-1-1-1", "2026-11-21T10:00:00+99:99"]
# What a browser's passkey would never answer.
CREDENTIALS = ["{}", "[]", "5", '"x"', "null", '{"id": 5}', '{"id": "MARK", "rawId": "MARK"}']
CREDENTIALS += ['{"id": "MQ", "rawId": "MQ", "type": "public-key", "response": {}}']
CREDENTIALS += ['{"id": "MQ", "rawId": "MQ", "type": "x", "response": {"clientDataJSON": "e30"}}']
CREDENTIALS += [
    '{"id": "MQ", "rawId": "MQ", "response": {"clientDataJSON": "AAAA", "signature": 1}}'
]
CREDENTIALS += ['{"rawId": [], "response": {"userHandle": "\\ud800", "attestationObject": "oA"}}']
MEGABYTES = 6  # for each person, how many values may be of 1 MB


@dataclass
class Values:
    """Numbered, so that each is like no other; the same ones for the same seed."""

    chance: random.Random
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    big: int = 0
    count: int = 0

    def make(self, name: str) -> bytes:
        kind = "sk" if SECRET.search(name) else "mk"
        mark = f"{kind}{next(self.numbers):06}z"
        self.count += 1
        if name == "credential" and self.chance.random() < 0.5:
            return self.chance.choice(CREDENTIALS).replace("MARK", f"<{mark}").encode()
        return self._ways()(f"<{mark}")

    def bare(self) -> bytes:
        """As short as a parameter that is a number or a date: no room for a marker."""
        self.count += 1
        return self.chance.choice([*NUMBERS, *DATES]).encode()

    def _ways(self) -> Callable[[str], bytes]:
        pick, chance = self.chance.choice, self.chance.random()
        if chance < 0.01 and self.big < MEGABYTES:
            self.big += 1
            return lambda mark: (mark + "A" * 1_000_000).encode()
        if chance < 0.03:
            return lambda mark: (mark + " x" * 1500).encode()
        if chance < 0.10:
            return lambda mark: pick(RAW) + mark.encode() + pick([b"", *RAW])
        if chance < 0.20:  # a bare one, which its place makes as unique as it can be
            return lambda mark: pick([*NUMBERS, *DATES, *TEXTS]).encode()
        if chance < 0.32:
            return lambda mark: f'"{mark}"@example.com'.encode()
        if chance < 0.40:
            return lambda mark: f"{mark}@{pick(TEXTS)}.example".encode()
        if chance < 0.50:
            return lambda mark: (pick(NUMBERS + DATES) + mark).encode()
        if chance < 0.60:
            noise = bytes(self.chance.randrange(32) for _ in range(8))
            return lambda mark: noise[:4] + mark.encode() + noise[4:]
        return lambda mark: (pick(TEXTS) + mark + pick(["", *TEXTS])).encode()


@dataclass(frozen=True)
class Form:
    """As found on a page. `fields` maps names to the values that a browser would send."""

    page: str
    action: str
    method: str
    fields: dict[str, list[str]]
    buttons: tuple[tuple[str, str], ...]

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        return self.action, self.method, tuple(sorted(self.fields))


class _Finder(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.forms = page, []  # type: ignore[var-annotated]
        self.now: dict[str, str] = {}
        self.fields: dict[str, list[str]] = {}
        self.buttons: list[tuple[str, str]] = []
        self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.now, self.fields, self.buttons = found, {}, []
            return
        name, kind = found.get("name", ""), found.get("type", "")
        if tag == "option" and self.select and "selected" in found:
            self.fields[self.select].append(found.get("value", ""))
        if not name or name == "csrfmiddlewaretoken":
            return
        if tag == "button" or kind == "submit":
            self.buttons.append((name, found.get("value", "")))
        elif tag in {"input", "textarea", "select"}:
            self.select = name if tag == "select" else ""
            sent = kind not in {"checkbox", "radio"} or "checked" in found
            given = found.get("value", "on" if kind == "checkbox" else "")
            self.fields.setdefault(name, []).extend([given] if sent and tag != "select" else [])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self.now:
            action = self.now.get("action") or self.page
            method = self.now.get("method", "get").upper()
            self.forms.append(
                Form(self.page, action, method, self.fields, tuple(self.buttons)),
            )
            self.now = {}


def forms_of(page: str, html: str) -> list[Form]:
    finder = _Finder(page)
    finder.feed(html)
    return finder.forms


def encoded(pairs: list[tuple[str, bytes]]) -> bytes:
    """As a browser would send a form, whatever the bytes."""
    return "&".join(
        f"{quote_from_bytes(name.encode())}={quote_from_bytes(value)}" for name, value in pairs
    ).encode()
