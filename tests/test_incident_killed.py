"""An incident whose process is killed on the way, with its own processes and database."""

from __future__ import annotations

from pathlib import Path

from tests import incident_drill


def test_incident_that_is_killed_again_and_again_ends_as_if_it_was_not(tmp_path: Path) -> None:
    assert incident_drill.killed(tmp_path, kills=2) >= 1
