"""What people may say of a finding, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from backfuture.accounts.models import User
from connections import hygiene
from connections.hygiene import Refused
from connections.models import Finding, FindingChange, Thresholds
from tests.many import NOW, SECOND, change, found, keyed

DAY = timedelta(days=1)


@pytest.fixture
def finding(trader: User) -> Finding:
    return found(keyed(trader, ip_restricted=False))["no_ip_restriction"]


def acknowledge(finding: Finding, by: User) -> None:
    hygiene.acknowledge(finding, by=by, now=NOW)


def snooze(finding: Finding, by: User) -> None:
    hygiene.snooze(finding, by=by, now=NOW)


def suppress(finding: Finding, by: User) -> None:
    hygiene.suppress(finding, by=by, now=NOW, why="Known and wanted")


def reopen(finding: Finding, by: User) -> None:
    hygiene.reopen(finding, by=by, now=NOW)


SAYINGS = {"acknowledged": acknowledge, "snoozed": snooze, "suppressed": suppress}
Say = Callable[[Finding, User], None]


def kept(finding: Finding) -> list[tuple[Any, ...]]:
    return list(finding.changes.values_list("state", "by__email", "until", "why"))[1:]


@pytest.mark.parametrize(("state", "say"), SAYINGS.items())
def test_what_is_said_is_kept(finding: Finding, staff: User, state: str, say: Say):
    say(finding, staff)
    row = Finding.objects.get(pk=finding.pk)
    until = NOW + 30 * DAY if state == "snoozed" else None
    assert (row.state, row.state_since, row.snoozed_until) == (state, NOW, until)
    assert (finding.state, finding.snoozed_until) == (state, until)
    why = "Known and wanted" if state == "suppressed" else ""
    assert kept(finding) == [(state, staff.email, until, why)]


@pytest.mark.parametrize("say", SAYINGS.values())
def test_it_can_be_taken_back(finding: Finding, trader: User, say: Say):
    say(finding, trader)
    reopen(finding, trader)
    row = Finding.objects.get(pk=finding.pk)
    assert (row.state, row.snoozed_until) == ("open", None)
    assert [state for state, *_ in kept(finding)][-1] == "open"


@pytest.mark.parametrize("say", [*SAYINGS.values(), reopen])
def test_nothing_is_said_of_what_is_resolved(finding: Finding, trader: User, say: Say):
    stale = Finding.objects.get(pk=finding.pk)
    change(finding.connection, ip_restricted=True)
    found(finding.connection)
    before = list(FindingChange.objects.values())
    with pytest.raises(Refused):
        say(stale, trader)
    assert Finding.objects.get(pk=finding.pk).state == "resolved"
    assert list(FindingChange.objects.values()) == before


@pytest.mark.parametrize("say", [*SAYINGS.values(), reopen])
def test_nothing_is_said_of_what_is_deleted(finding: Finding, trader: User, say: Say):
    Finding.objects.filter(pk=finding.pk).delete()
    with pytest.raises(Refused):
        say(finding, trader)


@pytest.mark.parametrize("say", [acknowledge, suppress])
def test_the_same_is_not_said_twice(finding: Finding, trader: User, say: Say):
    say(finding, trader)
    with pytest.raises(Refused):
        say(finding, trader)
    assert len(kept(finding)) == 1


def test_an_open_finding_is_not_reopened(finding: Finding, trader: User):
    with pytest.raises(Refused):
        reopen(finding, trader)


@pytest.mark.parametrize("say", [acknowledge, snooze])
def test_what_is_suppressed_is_reopened_first(finding: Finding, trader: User, say: Say):
    suppress(finding, trader)
    with pytest.raises(Refused):
        say(finding, trader)
    reopen(finding, trader)
    say(finding, trader)


@pytest.mark.parametrize(
    ("until", "allowed"),
    [
        (NOW - DAY, False),
        (NOW, False),
        (NOW + SECOND, True),
        (NOW + 90 * DAY, True),
        (NOW + 90 * DAY + SECOND, False),
    ],
)
def test_a_snooze_has_its_bounds(finding: Finding, trader: User, until: datetime, allowed: bool):
    if allowed:
        hygiene.snooze(finding, by=trader, now=NOW, until=until)
        assert finding.snoozed_until == until
        return
    with pytest.raises(Refused):
        hygiene.snooze(finding, by=trader, now=NOW, until=until)
    assert Finding.objects.get(pk=finding.pk).state == "open"
    assert kept(finding) == []


def test_a_snooze_can_be_moved(finding: Finding, trader: User):
    snooze(finding, trader)
    hygiene.snooze(finding, by=trader, now=NOW + DAY, until=NOW + 5 * DAY)
    assert Finding.objects.get(pk=finding.pk).snoozed_until == NOW + 5 * DAY
    assert len(kept(finding)) == 2


def test_staff_move_the_bounds(finding: Finding, trader: User):
    Thresholds.objects.update_or_create(pk=1, defaults={"snooze_days": 3, "snooze_most_days": 5})
    snooze(finding, trader)
    assert finding.snoozed_until == NOW + 3 * DAY
    with pytest.raises(Refused, match="5 days"):
        hygiene.snooze(finding, by=trader, now=NOW, until=NOW + 6 * DAY)


@pytest.mark.parametrize("why", ["", "  ", "x" * 301])
def test_suppressing_needs_a_reason_that_can_be_kept(finding: Finding, staff: User, why: str):
    with pytest.raises(Refused):
        hygiene.suppress(finding, by=staff, now=NOW, why=why)
    assert Finding.objects.get(pk=finding.pk).state == "open"


def test_the_row_decides_and_not_an_old_copy(finding: Finding, trader: User, staff: User):
    old = Finding.objects.get(pk=finding.pk)
    suppress(finding, staff)
    with pytest.raises(Refused):
        acknowledge(old, trader)
    assert Finding.objects.get(pk=finding.pk).state == "suppressed"


def test_refusals_are_sentences(finding: Finding, trader: User):
    with pytest.raises(Refused) as refusal:
        hygiene.suppress(finding, by=trader, now=NOW, why="")
    assert refusal.value.sentence.endswith(".")
