"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.db import connection as database
from django.test import Client
from playwright.sync_api import Browser

from backfuture.accounts.models import User
from connections import egress
from connections.models import Connection, Credential, Exchange
from tests import making
from tests.chromium import launched
from tests.simulator import Simulator

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

BLOCKER = pytest.StashKey[Any]()
COMMITTING = {"transactional_db", "live_server"}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, pytestconfig: Any) -> None:
    """A test that really commits empties all tables afterwards, which PostgreSQL refuses for access
    events (connections/migrations/0003): switched off here, and on where it is tested."""
    pytestconfig.stash[BLOCKER] = django_db_blocker
    with django_db_blocker.unblock():
        if database.vendor == "postgresql":
            sql = (
                "ALTER TABLE connections_accessevent DISABLE TRIGGER access_events_are_not_emptied"
            )
            database.cursor().execute(sql)


@pytest.fixture(autouse=True)
def nothing_is_cached() -> None:
    """Tries that are counted, among other things: of other tests none."""
    cache.clear()


@pytest.fixture(autouse=True)
def addresses_are_the_site_s() -> Iterator[None]:
    """Until a page says otherwise: else the first test after the seconds that they are kept would
    ask for them, in a query more than it counts on."""
    with egress.of_the_site():
        yield


@pytest.fixture
def trader(db) -> User:
    return User.objects.create_user("trader@example.com", "a long enough password")


@pytest.fixture
def address(trader: User) -> EmailAddress:
    """The trader's, confirmed."""
    return EmailAddress.objects.create(user=trader, email=trader.email, primary=True, verified=True)


@pytest.fixture
def stranger(db) -> User:
    return User.objects.create_user("stranger@example.com", "a long enough password")


@pytest.fixture
def staff(db) -> User:
    return User.objects.create_superuser("staff@example.com", "a long enough password")


@pytest.fixture
def browser(trader: User) -> Client:
    """The trader's signed-in session."""
    return making.sign_in(Client(), trader)


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


@pytest.fixture
def working(connection: Connection) -> Connection:
    """The same, after a test that passed five minutes ago."""
    making.finish(connection, making.report())
    making.age(connection, minutes=5)
    return connection


@pytest.fixture
def kept(working: Connection) -> Credential:
    """The old key, after another one has passed."""
    return making.replaced(working)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


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
    running_simulator.world.markets.reset()
    running_simulator.world.keys.clear()
    running_simulator.world.keys.update(keys)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Processes that share the tests must call them alike, and some texts are made anew by each."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None


def commits(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("django_db")
    by_name = COMMITTING & set(getattr(item, "fixturenames", ()))
    return bool(by_name or (marker and marker.kwargs.get("transaction")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that really commit begin with what the migrations wrote, in any order."""
    for item in items:
        if commits(item):
            same = pytest.mark.django_db(transaction=True, serialized_rollback=True)
            item.add_marker(same, append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
    """They leave empty tables behind, and where several processes share the tests, one that does
    not commit may come after them: what the migrations wrote is put back."""
    done = yield
    if commits(item) and nextitem and not commits(nextitem):
        with item.config.stash[BLOCKER].unblock():
            if not Exchange.objects.exists():
                database.creation.deserialize_db_from_string(database._test_serialized_contents)  # type: ignore[attr-defined]
    return done
