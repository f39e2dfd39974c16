"""Every test is run by one of the commands in the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
MAKEFILE = (TESTS.parent / "Makefile").read_text()


def test_what_needs_services_is_not_left_out_where_they_are():
    names = re.search(r"\$\(foreach name,(.*?),--ignore", MAKEFILE, re.DOTALL)
    assert names
    for name in names[1].replace("\\", " ").split():
        assert "mark.services" not in (TESTS / f"test_{name}.py").read_text(), name


def test_what_drives_a_browser_is_found():
    """By the line that the Makefile looks for."""
    for file in TESTS.glob("test_*.py"):
        text = file.read_text()
        if file.name != Path(__file__).name and ("IN_A_BROWSER" in text or "mark.browser" in text):
            assert re.search(r"^pytestmark.*IN_A_BROWSER", text, re.MULTILINE), file.name
