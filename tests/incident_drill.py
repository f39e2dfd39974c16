"""An incident whose process is killed again and again, on a database of its own."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "backfuture.settings"
    django.setup()

from django.db.models import Count
from django.utils import timezone

from backfuture.accounts.models import User
from connections import incident_asking, incident_work
from connections.events import AccessEvent
from connections.incidents import Incident
from connections.models import Connection, ConnectionTest, Credential, Exchange, Notice
from strategies import suspending
from strategies.models import StrategyEvent
from tests import making, strategies_made
from tests.rotation_drill import Site

OWNERS, EACH = 12, 5


def killed(folder: Path, kills: int) -> int:
    """How many of the runs died before the end. Then two at once are left to end it."""
    with Site(folder) as site:
        site.run("-m", "tests.incident_drill", "fill")
        died = sum(_run_and_kill(site) for _ in range(kills))
        both = [site.start("-m", "tests.incident_drill", "run") for _ in range(2)]
        assert [process.wait(120) for process in both] == [0, 0]
        site.run("manage.py", "incident", "run", "1")  # nothing is left, and it says so
        site.run("-m", "tests.incident_drill", "check")
        return died


def _run_and_kill(site: Site) -> bool:
    process = site.start("-m", "tests.incident_drill", "run")
    assert process.stdout
    process.stdout.readline()  # it has begun
    time.sleep(random.uniform(0, 0.1))
    process.kill()
    process.stdout.close()
    return process.wait(30) == -signal.SIGKILL


# --- in a process of its own -------------------------------------------------------------------


def fill() -> None:
    """Each owner has keys with a test under way, and a strategy on the first of them."""
    mexc = Exchange.objects.get(code="mexc")
    for number in range(OWNERS):
        owner = User.objects.create_user(f"{number}@example.com", "a long enough password")
        running = strategies_made.tested(owner, "First", uid=str(number))
        strategies_made.enabled(running)
        for another in range(EACH - 1):
            making.connection(owner, mexc, f"Key {another}")
    staff = [User.objects.create_superuser(f"{name}@example.com", "x") for name in ("a", "b")]
    wish = incident_asking.Wish(scope="all", reason="A drill")
    incident = incident_asking.ask(wish, by=staff[0], now=timezone.now())
    incident_asking.confirm(incident, by=staff[1], now=timezone.now())


def run() -> None:
    """In commits as small as can be, so that there are many to die between and within."""
    incident_work.AT_ONCE = suspending.HALTED_AT_ONCE = 1
    print("begun", flush=True)
    incident_work.run(Incident.objects.get().pk, seconds=60)


def check() -> None:
    incident, keys = Incident.objects.get(), OWNERS * EACH
    counts = (incident.suspended, incident.told, incident.destroyed)
    assert (incident.state, *counts) == ("done", OWNERS, OWNERS, keys), counts
    assert not Credential.objects.filter(sealed__isnull=False).exists()
    assert not ConnectionTest.objects.open().exists()
    assert Connection.objects.filter(problem="key_destroyed").count() == keys
    revoked = AccessEvent.objects.filter(kind=AccessEvent.Kind.KEY_REVOKED)
    assert revoked.values("credential").annotate(n=Count("pk")).filter(n=1).count() == keys
    assert Notice.objects.count() == OWNERS
    suspended = StrategyEvent.objects.filter(kind=StrategyEvent.Kind.SUSPENDED)
    assert suspended.count() == OWNERS


if __name__ == "__main__":
    import sys

    {"fill": fill, "run": run, "check": check}[sys.argv[1]]()
