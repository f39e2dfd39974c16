"""Rotations that are killed on the way, with their own processes and database."""

from __future__ import annotations

from tests import rotation_drill


def test_no_key_is_lost_when_rotations_are_killed_while_keys_are_edited(tmp_path):
    report = rotation_drill.killed(tmp_path, kills=1)  # more of them: tests/faults
    assert report.on_the_way == 1
    assert report.edits > 10
