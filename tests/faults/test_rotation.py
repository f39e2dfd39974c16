"""Rotations of the vault's keys, killed at random points while keys are edited."""

from __future__ import annotations

import pytest

from tests import rotation_drill

pytestmark = pytest.mark.faults

KILLS = 20


def test_rotation_killed_again_and_again_loses_no_key(tmp_path, tell):
    report = rotation_drill.killed(tmp_path, KILLS)
    assert report.on_the_way
    tell(
        f"{KILLS} rotations killed, {report.on_the_way} of them on their way, during "
        f"{report.edits} edits (the longest took {report.longest:.2f} s): every key opens"
    )
