"""Sites that several tests of faults use one after the other, and how they tell their figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults import aftermath, services, sites
from tests.faults.sites import Breakable


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints the test's one line of figures."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"\n{request.node.name}: {text}; {time.monotonic() - began:.1f} s")

    return say


@pytest.fixture
def embedded(the_embedded: Breakable) -> Breakable:
    return the_embedded.as_at_first()


@pytest.fixture
def served(the_served: Breakable) -> Breakable:
    return the_served.as_at_first()


@pytest.fixture(scope="session")
def the_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breakable]:
    """SQLite and the broker of files."""
    with sites.running(tmp_path_factory.mktemp("embedded"), **sites.EMBEDDED) as site:
        aftermath.note_results(site)
        yield site


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Postgres]:
    if missing := services.missing():
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    with services.Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def the_served(
    tmp_path_factory: pytest.TempPathFactory, postgres: services.Postgres
) -> Iterator[Breakable]:
    """PostgreSQL and Redis."""
    with services.Redis() as redis:
        urls = {"DATABASE_URL": postgres.url, "CELERY_BROKER_URL": redis.url}
        with sites.running(tmp_path_factory.mktemp("served"), **urls) as site:
            aftermath.note_results(site)
            yield site
