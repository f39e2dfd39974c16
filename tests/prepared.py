"""What every site begins with: tables and collected files. The first site in a process has them
made by the product's own commands, the others get copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.settings import TEST_DIR

KEPT = TEST_DIR / "prepared"
DATABASE, STATIC = "db.sqlite3", "static"


def prepare(folder: Path, manage: Callable[..., object], *, at_a_server: bool) -> None:
    """`at_a_server`: its database is none in the folder, and is migrated where it is."""
    KEPT.mkdir(exist_ok=True)
    if at_a_server:
        manage("migrate", "--verbosity", "0")
    elif (KEPT / DATABASE).exists():
        shutil.copy(KEPT / DATABASE, folder / DATABASE)
    else:
        manage("migrate", "--verbosity", "0")
        assert not (folder / f"{DATABASE}-wal").exists()  # then all of it is in the one file
        shutil.copy(folder / DATABASE, KEPT / DATABASE)
    if (KEPT / STATIC).exists():
        shutil.copytree(KEPT / STATIC, folder / STATIC)
    else:
        manage("collectstatic", "--noinput", "--verbosity", "0")
        shutil.copytree(folder / STATIC, KEPT / STATIC)
