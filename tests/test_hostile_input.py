"""Hostile values in every field of every form that is found, and in addresses: nothing falls
over, nothing comes back as markup, and nothing that is secret comes back or is written down.

2,500 values; 10,000 with HOSTILE_VALUES=10000 (`make test-hostile`)."""

from __future__ import annotations

import logging
import os
import random
import re
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django import forms
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.core.cache import cache
from django.db import transaction
from django.template import Template
from django.test import Client
from django.urls import reverse

from connections.models import Connection
from tests.hostile import OPEN_TAG, PLAIN_MARK, SECRET_MARK, Form, Values, encoded
from tests.hostile_site import FINE, Site

SEED = 20_261_121
VALUES = int(os.environ.get("HOSTILE_VALUES", "2500"))
# How many values of 10,000 each of them sends.
PEOPLE = {"guest": 1400, "at the step": 600, "resetting": 500, "fresh": 2500, "late": 2000}
PEOPLE |= {"with app": 1000, "desk": 2000}
FORM = "application/x-www-form-urlencoded"
XHR = {"X-Requested-With": "XMLHttpRequest"}
QUERY = ("page", "next", "connection", "q", "email", "p", "o", "e", "all", "_facets", "pairs")
IN_ADMIN = ("_popup", "_changelist_filters", "app_label", "model_name", "field_name", "term")
# Read by views and by no form, or only by some of their actions.
BY_VIEWS = re.compile(
    r"next$|action$|action-toggle$|-page$|-\d-\w+$|_selected_action|select_across|initial-|_FORMS$|form-|username|"
    r"/strategies/.* (connection|direction|filled|leverage|q|risk)$|"
    r"/admin/views/|/admin/.* (from_page|why|s)$"
)
PATHS = ("/connections/new/{}/", "/connections/{}/", "/accounts/confirm-email/{}/", "/{}")
PATHS += ("/strategies/{}/", "/strategies/new/{}/pairs/")
PATHS += ("/accounts/password/reset/key/{}-{}/", "/accounts/2fa/webauthn/keys/{}/edit/")
ADMIN_PATHS = ("/admin/connections/connection/{}/change/", "/admin/r/{}/{}/", "/admin/{}/")
ADMIN_PATHS += ("/admin/r/CONNECTION/{}/",)
ADMIN_PATHS += ("/admin/accounts/user/{}/password/", "/admin/connections/exchange/{}/history/")


def marks(data: bytes) -> list[bytes]:
    return PLAIN_MARK.findall(data) + SECRET_MARK.findall(data)


class Memory(logging.Handler):
    """What went into the log and should not have."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        # "Not Found" is about an address, which visitors may make of anything.
        marked = " Not Found: " not in line and marks(line.encode(errors="replace"))
        broke = record.levelno >= logging.ERROR and not record.name.startswith("django.security")
        if marked or broke:
            self.wrong.append(("a marker in the log: " if marked else "") + _short(record, line))

    def listen(self) -> None:
        """Again before each visit, in case a page sets up the logging anew."""
        root = logging.getLogger()
        if self not in root.handlers:
            root.addHandler(self)
            root.setLevel(logging.DEBUG)


def _short(record: logging.LogRecord, line: str) -> str:
    """The same for the same fault, whatever was sent."""
    if not (record.exc_info and record.exc_info[2]):
        return line[:200]
    *_, last = traceback.extract_tb(record.exc_info[2])
    return f"{record.exc_info[0].__name__} at {last.filename}:{last.lineno}"  # type: ignore[union-attr]


@pytest.fixture
def memory() -> Iterator[Memory]:
    handler, root = Memory(), logging.getLogger()
    level = root.level
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The markers that forms were given in fields of theirs."""
    seen: set[bytes] = set()
    real = forms.forms.BaseForm.full_clean

    def full_clean(form: Any) -> None:
        for name in form.fields if form.is_bound else ():
            for suffix in ("", "_0", "_1"):
                key = form.add_prefix(name) + suffix
                given = form.data.getlist(key) if hasattr(form.data, "getlist") else []
                for value in given:
                    seen.update(marks(str(value).encode(errors="replace")))
        real(form)

    monkeypatch.setattr("django.forms.forms.BaseForm.full_clean", full_clean)
    return seen


class Sender:
    def __init__(self, site: Site, memory: Memory) -> None:
        self.site, self.memory = site, memory
        self.chance = random.Random(f"{SEED} {site.who}")
        self.values = Values(self.chance)
        self.wrong: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.in_forms: dict[bytes, str] = {}

    def form(self, form: Form) -> None:
        """Every field hostile, or one of them and the others as they should be."""
        names = list(form.fields)
        one = self.chance.choice(names) if self.chance.random() < 0.2 else None
        pairs = []
        for name in names:
            some = one is None and self.chance.random() < 0.9 and not name.endswith("_FORMS")
            if name == one or some:
                pairs.append((name, self.values.make(name)))
                for mark in marks(pairs[-1][1]):
                    self.in_forms[mark] = f"{form.action} {name}"
            else:
                fine = FINE.get(name, FINE.get(name.removeprefix("confirm-")))
                pairs += [(name, text.encode()) for text in ([fine] if fine else form.fields[name])]
        if form.buttons:
            name, given = self.chance.choice(form.buttons)
            pairs.append((name, given.encode()))
        xhr = form.action.startswith("/accounts/") and self.chance.random() < 0.15
        self.send(form.method, form.action, encoded(pairs), XHR if xhr else {})

    def query(self, page: str) -> None:
        linked = self.site.linked.get(page, [])
        names = [*QUERY, *(IN_ADMIN if self.site.who == "desk" else ()), *linked]
        few = self.chance.sample(names, self.chance.choice((1, 2, len(names))))
        pairs = []
        for name in few:
            short = name in linked and self.chance.random() < 0.7
            value = self.values.bare() if short else self.values.make(name)[:2000]
            pairs.append((name, value))
        self.send("GET", page, encoded(pairs))

    def path(self, pattern: str) -> None:
        values = [self.values.make("").replace(b"mk", b"pk") for _ in range(pattern.count("{}"))]
        texts = [quote_from_bytes(value[:2000]) for value in values]
        kind = ContentType.objects.get_for_model(Connection).pk
        path = pattern.replace("CONNECTION", str(kind)).format(*texts)
        self.send(self.chance.choice(("GET", "POST")), path, where=pattern)

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Any = None, where: str = ""
    ) -> None:
        """And looks at where it leads to; all of it is undone."""
        where = f"{method} {where or path}"
        cache.clear()
        self.memory.listen()
        client = Client(raise_request_exception=False)
        client.cookies = self.site.client.cookies.copy()
        with transaction.atomic():
            if method == "POST":
                answer = client.post(path, body, content_type=FORM, headers=headers)
            else:
                place = f"{path}{'&' if '?' in path else '?'}{body.decode()}" if body else path
                answer = client.get(place, headers=headers)
            self.look_at(answer, where)
            if answer.status_code == 302 and answer.url.startswith("/") and method == "POST":
                self.look_at(client.get(answer.url), f"{where}, then")
                if "/connections/" in path and self.chance.random() < 0.3:
                    client.cookies = self.site.desk.cookies.copy()
                    there = client.get(reverse("admin:connections_connection_changelist"))
                    self.look_at(there, f"{where}, in the admin")
            transaction.set_rollback(True)

    def look_at(self, answer: Any, where: str) -> None:
        where = f"{self.site.who}: {re.sub('[0-9a-f]{8}-[0-9a-f-]{27}', 'UUID', where)}"
        self.answers[answer.status_code] += 1
        content = b"" if answer.streaming else answer.content
        if answer.status_code >= 500:
            self.wrong[f"{where}: {answer.status_code}"] += 1
        if "html" in answer.get("Content-Type", "") and OPEN_TAG.search(content):
            self.wrong[f"{where}: markup"] += 1
        letters = "".join(str(message.message()) for message in mail.outbox).encode()
        everything = content + str(answer.headers).encode() + letters
        if SECRET_MARK.search(everything) or settings.SECRET_KEY.encode() in everything:
            self.wrong[f"{where}: a secret comes back"] += 1
        if "evil" in answer.cookies or b"root:x:0" in content:
            self.wrong[f"{where}: it was obeyed"] += 1
        for line in self.memory.wrong:
            self.wrong[f"{where}: {line}"] += 1
        self.memory.wrong.clear()
        mail.outbox.clear()


def test_there_are_ten_thousand() -> None:
    assert sum(PEOPLE.values()) == 10_000


@pytest.mark.parametrize("who", PEOPLE)
def test_nothing_falls_over_and_nothing_comes_back(
    db: None,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    memory: Memory,
    reached: set[bytes],
    who: str,
) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    site = Site(who)
    sender = Sender(site, memory)
    # As in production: tests keep a copy of each template's context, which takes its time.
    monkeypatch.setattr(Template, "_render", lambda self, context: self.nodelist.render(context))
    print(f"seed {SEED} {who}: {len(site.forms)} forms on {len(site.pages)} pages")
    while sender.values.count < PEOPLE[who] * VALUES / 10_000:
        for form in site.forms * max(1, 20 // len(site.forms)):
            sender.form(form)
        for page in sender.chance.sample(site.pages, min(len(site.pages), 5)):
            sender.query(page)
        for pattern in sender.chance.sample(ADMIN_PATHS if who == "desk" else PATHS, 3):
            sender.path(pattern)
    print(f"{sender.values.count} values, {len(sender.in_forms)} in forms, {sender.answers}")
    assert not sender.wrong, "\n".join(f"{n} x {what}" for what, n in sender.wrong.most_common())
    assert_reached(sender.in_forms, reached)


def assert_reached(sent: dict[bytes, str], reached: set[bytes]) -> None:
    """What was sent came to the forms: else nothing was tested."""
    to_forms = {mark: where for mark, where in sent.items() if not BY_VIEWS.search(where)}
    seen = Counter(where for mark, where in to_forms.items() if mark in reached)
    assert len(to_forms) > 30
    assert sum(seen.values()) > 0.8 * len(to_forms)
    for where, number in Counter(to_forms.values()).items():
        # Whoever has a second factor cannot add an address at all.
        closed = where.startswith("/accounts/email/")
        assert seen[where] or number < 8 or closed, (
            f"{where}: sent {number} times, never seen by a form"
        )
