"""What runs by itself and how often: what staff may change of it, and the scheduler that keeps
what they changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

SET_BY_STAFF = "set at the support desk"


@dataclass(frozen=True, slots=True)
class Known:
    """One of ours: what it does, what comes of its lateness, and `least` and `most` seconds between
    two runs (0: it runs once a day). Tests and what keeps strategies safe cannot be stopped."""

    title: Any
    what: Any
    harm: Any
    least: int = 0
    most: int = 0
    may_stop: bool = False


KNOWN: Mapping[str, Known] = {
    "wake-waiting-tests": Known(
        _("Waiting tests"),
        _("Starts tests that somebody waits for and no worker has taken."),
        _("tests that people ask for may not begin."),
        3,
        30,
    ),
    "start-sweeps": Known(
        _("Scheduled tests"),
        _("Tests keys that are due, at the pace each exchange allows whatever stands here."),
        _("keys are not tested unless somebody asks."),
        5,
        60,
    ),
    "look-after-strategies": Known(
        _("Strategies"),
        _("Suspends strategies whose key is not safe any more, and tells their owners."),
        _("a strategy may run on a key that is not safe."),
        10,
        120,
    ),
    "run-incidents": Known(
        _("Incidents"),
        _("Goes on with incidents that two people have confirmed, until all is done."),
        _("confirmed incidents stand still."),
        5,
        60,
    ),
    "start-refreshing-pairs": Known(
        _("Lists of pairs"),
        _("Reads the pairs of an exchange that are due, once a day each."),
        _("pairs that are no longer traded go unnoticed."),
        15,
        300,
        may_stop=True,
    ),
    "tell": Known(
        _("Notices: making"),
        _("Looks for what people have to be told."),
        _("nobody is told that a connection broke."),
        10,
        300,
        may_stop=True,
    ),
    "send-notices": Known(
        _("Notices: sending"),
        _("Sends notices that wait."),
        _("e-mails and chat messages wait."),
        5,
        300,
        may_stop=True,
    ),
    "make-digests": Known(
        _("Summaries"),
        _("Makes weekly and daily summaries when due."),
        _("weekly and daily summaries wait."),
        300,
        3600,
        may_stop=True,
    ),
    "count-tests": Known(
        _("Counts of tests"),
        _("Counts the tests of each hour for the desk's home."),
        _("the charts below are old."),
        60,
        600,
        may_stop=True,
    ),
    "destroy-replaced-keys": Known(
        _("Replaced keys"),
        _("Destroys old keys whose owners can no longer go back to them."),
        _("replaced keys are kept longer than they should be."),
        30,
        600,
    ),
    "audit": Known(
        _("Findings"),
        _("Judges every key, once a day."),
        _("findings that come with time, such as old keys, are missing."),
    ),
    "thin": Known(
        _("Old tests"),
        _("Removes old tests but one of each day, as the thresholds say."),
        _("tests are kept longer than they should be."),
        may_stop=True,
    ),
}


class KeptScheduler(DatabaseScheduler):  # type: ignore[misc]
    """At its start a scheduler writes the settings' schedules over the database's; not over those
    that staff have set."""

    def update_from_dict(self, mapping: Mapping[str, Any]) -> None:
        set_here = PeriodicTask.objects.filter(description=SET_BY_STAFF, name__in=list(mapping))
        kept = set(set_here.values_list("name", flat=True))
        super().update_from_dict({name: mapping[name] for name in mapping if name not in kept})
