"""How the exchanges are doing, through the door a person uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from backfuture.accounts.models import User
from connections.models import Connection, Exchange, Outage
from tests import making
from tests.test_findings import page


@pytest.fixture
def others(mexc: Exchange) -> Callable[[int, str], None]:
    def make(number: int, status: str) -> None:
        for _ in range(number):
            count = User.objects.count()
            owner = User.objects.create_user(f"other{count}@example.com", "x")
            Connection.objects.create(owner=owner, exchange=mexc, name="Its", status=status)

    return make


def line(client: Client, path: str = "/exchanges/mexc/") -> str:
    cache.clear()
    return page(client.get(path))


def test_all_known_ones_are_listed(browser: Client) -> None:
    text = line(browser, "/exchanges/")
    for name in ("MEXC", "KuCoin", "Coinbase", "Bybit"):
        assert name in text
    assert "No connection of yours was tested there" in text


def test_of_few_people_only_ones_own_is_told(
    browser: Client, connection: Connection, others: Callable[[int, str], None]
) -> None:
    making.finish(connection, making.report())
    others(3, "failed")
    for path in ("/exchanges/", "/exchanges/mexc/"):
        text = line(browser, path)
        assert "Your connection works" in text
        assert "of all users'" not in text


def test_of_many_the_share_is_told(
    browser: Client, connection: Connection, others: Callable[[int, str], None]
) -> None:
    making.finish(connection, making.report())
    others(3, "failed")
    others(2, "connected")
    for path in ("/exchanges/", "/exchanges/mexc/"):
        assert "6 connections, 3 fail (50&nbsp;%)" in line(browser, path)


def test_nothing_of_others_is_named(browser: Client, others: Callable[[int, str], None]) -> None:
    others(6, "failed")
    for path in ("/exchanges/", "/exchanges/mexc/"):
        text = line(browser, path)
        assert "other" not in re.sub(r"<[^>]+>", " ", text).lower().replace("another", "")
        assert "Its" not in text


def test_notice_pause_and_outages_are_shown(browser: Client, mexc: Exchange) -> None:
    Exchange.objects.filter(pk="mexc").update(notice="Maintenance <soon>", paused=True)
    began = timezone.now().replace(microsecond=0) - timedelta(hours=2)
    Outage.objects.create(exchange=mexc, began_at=began)
    past = began - timedelta(days=5)
    Outage.objects.create(exchange=mexc, began_at=past, ended_at=past + timedelta(minutes=40))
    text = line(browser)
    assert "Maintenance &lt;soon&gt;" in text
    assert "Support has paused MEXC: no key is tested on it" in text
    assert f"does not answer most of its connections since {began:%-d %b %Y, %H:%M} UTC" in text
    assert f"{past:%-d %b %Y, %H:%M}" in text
    assert "40 minutes" in text
    assert f"Down since {began:%H:%M} UTC" in line(browser, "/exchanges/")


def test_own_connections_and_their_last_tests_are_shown(
    browser: Client, connection: Connection, stranger: User, mexc: Exchange
) -> None:
    making.finish(connection, making.report())
    other = making.connection(stranger, mexc, "The stranger's")
    making.finish(other, making.report())
    text = line(browser)
    assert connection.name in text
    assert str(connection.tests.get().pk) in text
    assert str(other.tests.get().pk) not in text


@pytest.mark.parametrize("code", ["mtgox", "kraken", "x" * 300])
def test_no_such_exchange(browser: Client, code: str) -> None:
    assert browser.get(f"/exchanges/{code}/").status_code == 404


def test_a_row_without_code_is_left_out(browser: Client) -> None:
    Exchange.objects.create(code="mtgox")
    assert browser.get("/exchanges/mtgox/").status_code == 404
    assert "mtgox" not in line(browser, "/exchanges/")


def test_all_connections_are_counted_once_a_minute(
    browser: Client, others: Callable[[int, str], None]
) -> None:
    others(5, "connected")
    assert "none of all users'" in line(browser)
    others(5, "failed")
    assert "none of all users'" in page(browser.get("/exchanges/mexc/"))
    assert "10 connections, 5 fail" in line(browser)
