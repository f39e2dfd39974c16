"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from backfuture.accounts.models import User
from connections.models import Connection, Exchange
from tests import making
from tests.simulator import Simulator


@pytest.fixture
def trader(db) -> User:
    return User.objects.create_user("trader@example.com", "a long enough password")


@pytest.fixture
def stranger(db) -> User:
    return User.objects.create_user("stranger@example.com", "a long enough password")


@pytest.fixture
def staff(db) -> User:
    return User.objects.create_superuser("staff@example.com", "a long enough password")


@pytest.fixture
def browser(trader: User) -> Client:
    """The trader's signed-in session."""
    client = Client()
    client.force_login(trader)
    return client


@pytest.fixture
def mexc(db) -> Exchange:
    return Exchange.objects.get(code="mexc")


@pytest.fixture
def kucoin(db) -> Exchange:
    return Exchange.objects.get(code="kucoin")


@pytest.fixture
def connection(trader: User, mexc: Exchange) -> Connection:
    """A MEXC connection whose first test is still waiting."""
    return making.connection(trader, mexc, "MEXC Spot Main")


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator, settings) -> Iterator[Simulator]:
    """The exchanges: the product's requests go there. Keys and answers are as new each time."""
    settings.EXCHANGE_GATEWAY_URL = running_simulator.url
    keys = dict(running_simulator.world.keys)
    running_simulator.clear_log()
    yield running_simulator
    running_simulator.clear_answers()
    running_simulator.world.keys.clear()
    running_simulator.world.keys.update(keys)
