"""The broker refuses or is silent: what is sent is saved at once, and tested once it answers."""

from __future__ import annotations

import socket
import time
from contextlib import closing

import pytest

from tests.faults.sites import Breakable
from tests.running import Visitor, free_port, wait_for
from tests.simulator import KeySpec

pytestmark = pytest.mark.faults

MOST_SECONDS = 10  # however busy the machine; a silent broker is given 2 s (settings.py)


def test_connection_is_saved_while_the_broker_is_away_and_tested_when_it_is_back(
    embedded: Breakable, tell
):
    (visitor,) = embedded.crowd(1)
    paths: list[str] = []
    took: dict[str, float] = {}
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        for how, port in (("refused", free_port()), ("silent", silent.getsockname()[1])):
            embedded.restart(CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/0")
            path, took[how] = save(visitor, embedded.key(how))
            paths.append(path)
    embedded.restart()
    for path in paths:
        assert "Connected" in visitor.wait_until_tested(path)
    tell(
        f"saved in {took['refused']:.2f} s while refused and {took['silent']:.2f} s while silent, "
        f"{len(paths)} of {len(paths)} tested afterwards"
    )


def save(visitor: Visitor, key: KeySpec) -> tuple[str, float]:
    """The connection's page and how long it took; the page says that it goes on by itself."""
    began = time.monotonic()
    path = visitor.connect(key, f"Waits {key.scenario}")
    took = time.monotonic() - began
    assert took < MOST_SECONDS
    wait_for(lambda: "starts by itself" in visitor.get(path).text)
    return path, took
