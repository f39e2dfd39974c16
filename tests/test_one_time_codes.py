"""A one-time code counts once, whoever sends it and however many at once; guesses end soon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.db import connection as database
from django.test import Client

from backfuture.accounts.models import User
from connections.models import AccessEvent, Connection
from tests import canary, making

PASSWORD = "a long enough password"
STEP, CONFIRM, NEW = (
    "/accounts/2fa/authenticate/",
    "/accounts/2fa/reauthenticate/",
    "/connections/new/mexc/",
)
AT_ONCE = pytest.mark.django_db(transaction=True, serialized_rollback=True)
App = Callable[[float], str]

# One of the product's processes: takes a visit from each line, makes it at the given moment.
VISITOR = """
import json, sys, time, django
from django.conf import settings
from django.test import Client
plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
settings.STORAGES = {"staticfiles": {"BACKEND": plain}}
django.setup()
for line in sys.stdin:
    visit = json.loads(line)
    client = Client(HTTP_HOST="127.0.0.1")
    client.cookies[settings.SESSION_COOKIE_NAME] = visit["session"]
    while time.time() < visit["at"]:
        pass
    answer = client.post(visit["path"], visit["sent"])
    print(json.dumps([answer.status_code, answer.get("Location", "")]), flush=True)
"""


@pytest.fixture
def app(trader: User) -> App:
    return making.totp(trader)


def at_the_step(user: User, **meta: str) -> Client:
    """Has given the password and is asked for a code."""
    client = Client(**meta)  # type: ignore[arg-type]
    sent = {"login": user.email, "password": PASSWORD}
    assert client.post("/accounts/login/", sent).url == STEP
    return client


def key(name: str) -> dict[str, str]:
    made = making.credentials()
    return {"name": name, "api_key": made.api_key, "secret": made.secret}


def accepted(answer: Any) -> bool:
    return answer.status_code == 302 and answer.url == "/connections/"


def signed_in(client: Client) -> bool:
    return client.get("/connections/").status_code == 200


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gives; they start together, each with its own connection to the database."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        gate.wait(10)
        try:
            return work()
        finally:
            database.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.fixture
def visitors() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes on this test's database and cache."""
    given, name = os.environ["DATABASE_URL"], database.settings_dict["NAME"]
    place = f"sqlite:///{name}" if "sqlite" in given else f"{given.rpartition('/')[0]}/{name}"
    env = {**os.environ, "DATABASE_URL": place, "PYTHONPATH": str(settings.BASE_DIR)}
    env |= {"DJANGO_SETTINGS_MODULE": "backfuture.settings", "LOG_LEVEL": "ERROR"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", VISITOR],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    yield started
    for process in started:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(20)


def visit(visitors: list[subprocess.Popen[str]], clients: list[Client], code: str) -> list[bool]:
    """Whether each process let its client in with `code`."""
    moment = time.time() + 0.05
    for process, client in zip(visitors, clients, strict=True):
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        order = {"path": STEP, "sent": {"code": code}, "session": session, "at": moment}
        print(json.dumps(order), file=process.stdin, flush=True)
    answers = [json.loads(process.stdout.readline()) for process in visitors]  # type: ignore[union-attr]
    return [answer == [302, "/connections/"] for answer in answers]


@AT_ONCE
def test_code_sent_to_two_processes_at_once_is_accepted_by_one(
    visitors: list[subprocess.Popen[str]],
) -> None:
    for number in range(12):
        user = User.objects.create_user(f"user{number}@example.com", PASSWORD)
        app = making.totp(user)
        for later in (0, 30):
            clients = [at_the_step(user, REMOTE_ADDR=f"10.0.{number}.{n}") for n in (1, 2)]
            assert sum(visit(visitors, clients, app(later))) == 1, (number, later)
        assert AccessEvent.objects.filter(kind="signed_in", owner=user).count() == 2


@AT_ONCE
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_code_on_four_forms_at_once_enters_one_key(trader: User, mexc: Any, kind: str) -> None:
    app = making.totp(trader)
    code = app(0) if kind == "app" else making.recovery_codes(trader)[0]
    client = making.sign_in(Client(), trader, age=600)

    def enter(number: int) -> Callable[[], Any]:
        own = Client()
        own.cookies = client.cookies.copy()
        return lambda: own.post(NEW, {**key(f"Key {number}"), "confirm-code": code})

    at_once(*map(enter, range(4)))
    assert Connection.objects.count() == 1
    assert AccessEvent.objects.filter(kind="confirmed").count() == 1


@AT_ONCE
def test_recovery_code_from_two_browsers_at_once_lets_one_in(trader: User) -> None:
    making.totp(trader)
    for code in making.recovery_codes(trader)[:4]:
        clients = [at_the_step(trader) for _ in range(3)]
        answers = at_once(*[partial(one.post, STEP, {"code": code}) for one in clients])
        assert sum(map(accepted, answers)) == 1
        assert sum(map(signed_in, clients)) == 1
        cache.clear()  # the tries of the losers


@AT_ONCE
def test_a_thousand_guesses_from_everywhere_let_nobody_in(trader: User) -> None:
    app = making.totp(trader)
    right = {app(30 * step) for step in range(-3, 4)}
    guesses = [code for code in (f"{n:06}" for n in range(120_000, 121_010)) if code not in right]
    clients = [at_the_step(trader, REMOTE_ADDR=f"10.1.0.{n}") for n in range(8)]

    def guess(number: int) -> Callable[[], list[bool]]:
        mine = guesses[:1000][number :: len(clients)]
        client = clients[number]
        return lambda: [accepted(client.post(STEP, {"code": code})) for code in mine]

    answers = [one for some in at_once(*map(guess, range(8))) for one in some]
    assert len(answers) == 1000 and not any(answers)
    assert not any(map(signed_in, clients))
    # Only the first few were looked at, and now not even the right one is, from anywhere.
    assert AccessEvent.objects.filter(kind="factor_failed").count() == 5
    late = at_the_step(trader, REMOTE_ADDR="10.1.1.1")
    refused = late.post(STEP, {"code": app(0)})
    assert b"Too many tries" in refused.content
    cache.clear()
    assert accepted(at_the_step(trader).post(STEP, {"code": app(0)}))


def test_guesses_on_the_confirming_pages_end_too(trader: User, app: App, mexc: Any) -> None:
    right = {app(30 * step) for step in range(-3, 4)}
    wrong = next(code for code in ("135790", "246801", "975310") if code not in right)
    client = making.sign_in(Client(), trader, age=600)
    for number in range(6):
        client.post(NEW, {**key("Guessed"), "confirm-code": wrong})
        client.post(CONFIRM, {"code": wrong})
        assert client.post("/accounts/2fa/totp/deactivate/").status_code == 302, number
    client.post(NEW, {**key("Guessed"), "confirm-code": app(0)})
    client.post(CONFIRM, {"code": app(0)})
    assert not Connection.objects.exists()
    assert "reauthenticated" not in str(dict(client.session))
    assert AccessEvent.objects.filter(kind="factor_failed").count() == 5


class TestUsedCodes:
    def test_code_of_the_sign_in_confirms_nothing(self, trader: User, app: App, mexc: Any) -> None:
        client = at_the_step(trader)
        code = app(0)
        assert accepted(client.post(STEP, {"code": code}))
        self.make_old(client)
        client.post(CONFIRM, {"code": code})
        client.post(NEW, {**key("Again"), "confirm-code": code})
        assert not Connection.objects.exists()
        client.post(NEW, {**key("Next one"), "confirm-code": app(30)})
        assert Connection.objects.exists()

    def test_code_that_confirmed_signs_nobody_in(self, trader: User, app: App) -> None:
        client = making.sign_in(Client(), trader, age=600)
        code = app(0)
        assert accepted(client.post(CONFIRM, {"code": code}))
        assert not accepted(at_the_step(trader).post(STEP, {"code": code}))

    @pytest.mark.parametrize("after", [0, 29, 31, 45, 59, 61])
    @pytest.mark.parametrize("later", [0, 30])
    def test_it_stays_used_for_as_long_as_it_is_valid(
        self, trader: User, app: App, monkeypatch: pytest.MonkeyPatch, later: int, after: int
    ) -> None:
        """With one step of tolerance on each side a code is valid for 90 seconds."""
        code = app(later)
        assert accepted(at_the_step(trader).post(STEP, {"code": code}))
        again = at_the_step(trader)
        real = time.time
        monkeypatch.setattr("time.time", lambda: real() + after)
        assert not accepted(again.post(STEP, {"code": code}))

    @pytest.mark.parametrize("spelled", ["{0[0]} {0[1]}", "{0[0]}-{0[1]}", "\t{0[0]}{0[1]}\n"])
    def test_used_code_in_another_spelling_is_used(
        self, trader: User, app: App, spelled: str
    ) -> None:
        code = app(0)
        assert accepted(at_the_step(trader).post(STEP, {"code": code}))
        again = spelled.format((code[:3], code[3:]))
        assert not accepted(at_the_step(trader).post(STEP, {"code": again}))

    def test_recovery_code_is_good_for_one_sign_in(self, trader: User, app: App) -> None:
        first, second, *_ = making.recovery_codes(trader)
        assert accepted(at_the_step(trader).post(STEP, {"code": first}))
        assert not accepted(at_the_step(trader).post(STEP, {"code": first}))
        client = making.sign_in(Client(), trader_again(trader), age=600)
        assert not accepted(client.post(CONFIRM, {"code": first}))
        assert accepted(client.post(CONFIRM, {"code": second}))

    def test_code_of_another_is_wrong(self, trader: User, stranger: User, app: App) -> None:
        theirs = making.totp(stranger)
        codes = [theirs(0), *making.recovery_codes(stranger)[:2]]
        client = at_the_step(trader)
        assert not any(accepted(client.post(STEP, {"code": code})) for code in codes)

    def test_seeds_and_codes_stand_nowhere_in_the_clear(self, trader: User, app: App) -> None:
        codes = making.recovery_codes(trader)
        stored = str(list(Authenticator.objects.values_list("data", flat=True)))
        assert stored.count("gAAAA") == 2
        assert not any(code in stored for code in codes)
        assert not any(form in stored.encode() for form in canary.forms(codes[0]))

    def make_old(self, client: Client) -> None:
        session = client.session
        for record in session["account_authentication_methods"]:
            record["at"] -= 600
        session.save()


def trader_again(user: User) -> User:
    """So that `making.sign_in` has no mail to send about a new browser."""
    user.devices.all().delete()
    return user
