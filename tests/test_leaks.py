"""No byte of a key, in any form, anywhere but in the sealed column."""

from __future__ import annotations

import base64
import json
import logging
import secrets
from dataclasses import replace
from urllib.parse import quote

import pytest
from django.core import mail
from django.db import connection as database
from django.test import Client

from connections import exchanges, worker
from connections.exchanges import echoes
from connections.exchanges.base import Credentials, KeyFacts, KeyReport, Step
from connections.models import Connection
from tests import canary
from tests.simulator import Simulator, sample

# Coinbase's secret is a private key and cannot be made of marks; its pastes have their own tests.
MARKED = [code for code in exchanges.EXCHANGES if code != "coinbase"]
FAULTS = [None, "down", "html", "redirect", "garbage", "rate_limit", "clock", "wrong_shape"]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("django", "celery", "kombu", "connections", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)


def fields_of(key: Credentials) -> dict[str, str]:
    values = {"api_key": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    return {name: value for name, value in values.items() if value}


def every_table() -> bytes:
    """Every column of every table as bytes and text, the sealed column included: it is a Fernet
    token, so even there no form of a key may be found."""
    data = b""
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608  names of our own tables
            for row in cursor.fetchall():
                for value in row:
                    data += (
                        bytes(value)
                        if isinstance(value, bytes | memoryview)
                        else repr(value).encode()
                    )
    return data


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("exchange", MARKED)
def test_whole_story_leaves_no_byte_of_a_key(
    browser: Client, simulator: Simulator, caplog, capfd, exchange, fault
):
    key = canary.credentials(exchange)
    values = {"api_key": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    simulator.add(replace(sample(exchange, "good"), scenario="canary", fault=fault, **values))
    pages = []

    def keep(response):
        pages.append(response.content + str(response.headers).encode())
        return response

    path = f"/connections/new/{exchange}/"
    keep(browser.post(path, {"name": "", **fields_of(key)}))  # refused: shown again
    keep(browser.post(path, {"name": "Canary", **fields_of(key)}))
    connection = Connection.objects.get()
    worker.run_test(str(connection.tests.get().pk))
    for name in ("", "test/", "replace/", "rename/", "delete/"):
        keep(browser.get(f"/connections/{connection.pk}/{name}"))
    keep(browser.get("/connections/"))
    keep(browser.post(f"/connections/{connection.pk}/replace/", fields_of(key)))
    keep(browser.post(path, {"name": "Twice", **fields_of(key)}))

    connection.refresh_from_db()
    assert connection.works is not bool(fault)
    assert canary.found_in(b"".join(pages), key) == []
    assert canary.found_in(every_table(), key) == []
    assert canary.found_in(caplog.text, key) == []
    output = capfd.readouterr()
    assert canary.found_in(output.out + output.err, key) == []
    assert str(dict(browser.session)).count(key.secret) == 0


@pytest.mark.parametrize("sent_back", ["api_key", "secret", "passphrase"])
@pytest.mark.parametrize("whole", [True, False])
def test_key_that_an_exchange_sends_back_is_kept_nowhere(
    browser: Client, simulator: Simulator, sent_back, whole
):
    """As label, name of a right, address and currency, or the most of it."""
    key = canary.credentials("kucoin")
    value = getattr(key, sent_back)
    told = value if whole else value[1:]
    values = {"api_key": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    echo = {"label": f"my {told}", "permissions": ("General", "Spot", told)}
    simulator.add(
        replace(
            sample("kucoin", "good"),
            scenario="canary",
            ip_whitelist=("203.0.113.7", told),
            balances={told: ("1", "0"), "USDT": ("5", "0")},
            **values,
            **echo,
        )
    )
    browser.post("/connections/new/kucoin/", {"name": "Canary", **fields_of(key)})
    connection = Connection.objects.get()
    worker.run_test(str(connection.tests.get().pk))
    test = connection.tests.get()
    assert (test.outcome, test.label) == ("warnings", "")
    assert [row["currency"] for row in test.balances] == ["USDT"]
    assert canary.found_in(every_table(), key) == []


def test_account_number_and_code_that_are_pieces_of_a_key_are_left_out():
    key = Credentials("a" * 20, "b" * 12 + "c" * 12, "letmein")
    facts = KeyFacts(uid="1" + "b" * 6 + "c" * 6, label="BackFuture")
    steps = tuple(Step("key", True, code=code) for code in ("letmein-1", "bbbbbbcccccc", "200000"))
    told = echoes.without(KeyReport("connected", steps, facts=facts), key)
    assert (told.facts.uid, told.facts.label) == ("", "BackFuture")
    assert [step.code for step in told.steps] == ["", "", "200000"]


@pytest.mark.parametrize("debug", [False, True])
def test_server_error_while_a_key_is_typed_tells_nobody_the_key(
    browser: Client, settings, monkeypatch, caplog, debug
):
    settings.DEBUG = debug
    settings.CELERY_BROKER_URL = f"redis://:{secrets.token_hex()}@127.0.0.1:6379/0"
    settings.ADMINS = [("Operator", "operator@example.com")]
    key = canary.credentials("kucoin")

    def fall_over(**_: object) -> None:
        typed = dict(fields_of(key))  # a local that a careless report would print
        raise RuntimeError(f"boom {len(typed)}")

    monkeypatch.setattr("connections.views.services.connect", fall_over)
    browser.raise_request_exception = False
    # As under a development server, whose requests carry the whole environment.
    around = {name: secrets.token_hex(16) for name in ("DATABASE_URL", "OF_A_HARMLESS_NAME")}
    browser.cookies["csrftoken"] = secrets.token_hex(16)
    response = browser.post(
        f"/connections/new/kucoin/?q={quote(key.api_key)}",
        {"name": "Canary", **fields_of(key)},
        **around,
    )
    assert response.status_code == 500
    assert canary.found_in(response.content, key) == []
    assert canary.found_in(caplog.text, key) == []
    told = response.content.decode()
    for message in mail.outbox:
        told += message.body + str(message.message())
    assert canary.found_in(told, key) == []
    for other in (*around.values(), browser.cookies["csrftoken"].value):
        assert other not in told, other
    for name in ("FINGERPRINT_PEPPER", "SECRET_KEY", "CELERY_BROKER_URL"):
        assert getattr(settings, name) not in told, name
    if not debug:
        assert len(mail.outbox) == 1


def test_key_in_an_address_is_not_repeated(browser, caplog):
    key = canary.credentials("mexc")
    for visitor in (browser, Client()):
        response = visitor.get("/connections/new/mexc/", {"secret": key.secret})
        assert response.status_code == 400
        assert canary.found_in(response.content + str(response.headers).encode(), key) == []


def test_message_to_the_worker_holds_an_id_alone(
    browser, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(
        "connections.tasks.run_test.apply_async", lambda args, **_: sent.append(args)
    )
    key = canary.credentials("mexc")
    with django_capture_on_commit_callbacks(execute=True):
        browser.post("/connections/new/mexc/", {"name": "Canary", **fields_of(key)})
    assert sent == [(str(Connection.objects.get().tests.get().pk),)]


@pytest.mark.parametrize(
    "leak",
    [
        lambda value: value,
        lambda value: quote(value, safe=""),
        json.dumps,
        lambda value: base64.b64encode(f"x={value}".encode()).decode(),
        lambda value: value[::-1],
        lambda value: value.encode().hex(),
    ],
    ids=["plain", "url", "json", "base64", "reversed", "hex"],
)
def test_search_finds_what_was_planted(leak):
    key = canary.credentials("kucoin")
    assert canary.found_in(f"before {leak(key.secret)} after", key) == ["secret"]


@pytest.mark.parametrize(
    "name",
    ["ccxt", "urllib3", "aiohttp", "asyncio", "kombu", "django.template", "django.db.backends"],
)
def test_talkative_loggers_stay_quiet_whatever_the_root_says(settings, name):
    assert settings.LOGGING["loggers"][name]["level"] == "WARNING"
