"""The worker killed by force again and again: every test ends, each result is written once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import aftermath, sites
from tests.running import Site, wait_for

pytestmark = pytest.mark.faults

AT_A_TIME = 4  # submissions before each kill
DELAY_S = 0.15  # of each of an exchange's answers


def kill_group(site: Site) -> None:
    site.kill("celery.* worker@")


def kill_main_process(site: Site) -> None:
    """Its pool is left behind for whoever notices."""
    (leader,) = {os.getpgid(pid) for pid in site.processes("celery.* worker@")}
    os.kill(leader, signal.SIGKILL)


def kill_everything(site: Site) -> None:
    """The supervisor itself; nothing it started may outlive it."""
    before = [pid for words in ("gunicorn", "celery") for pid in site.processes(words)]
    site.supervisor.kill()
    site.supervisor.wait()
    wait_for(lambda: not [pid for pid in before if Path(f"/proc/{pid}").exists()], 10)
    site.start()


KILLS: tuple[Callable[[Site], None], ...] = (kill_group, kill_main_process, kill_everything)


@pytest.mark.parametrize("which", ["embedded", "served"])
def test_every_test_ends_and_is_applied_once_however_often_the_worker_is_killed(
    request, tell, which
):
    site: Site = request.getfixturevalue(which)
    (visitor,) = site.crowd(1)
    connections: list[str] = []
    cut_short = 0
    for kill in KILLS:
        for number in range(AT_A_TIME):
            key = site.key(f"{kill.__name__} {number} {len(connections)}", delay_s=DELAY_S)
            answer = sites.submit(visitor, key, f"Killed {len(connections)}")
            assert answer.status_code == 302
            connections.append(sites.saved(answer))
        cut_short += wait_for(lambda: aftermath.running_tests(site))
        kill(site)
        aftermath.let_leases_lapse(site)
    aftermath.assert_each_applied_once(site, connections)
    tell(
        f"{len(KILLS)} kills, {cut_short} tests cut short; {len(connections)} submitted, "
        "all ended, each applied once, 0 open"
    )
