"""No space is left for messages, or for anything: what was saved stays, and goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults import aftermath, sites
from tests.running import PASSWORD, Site, wait_for

pytestmark = pytest.mark.faults

WHOLE_DISK, BROKERS_DISK = "48m", "256k"
SUBMISSIONS = 4  # while there is no space


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte can be written there within the block."""
    space = os.statvfs(folder)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as out:
        with suppress(OSError):
            os.posix_fallocate(out.fileno(), 0, space.f_bavail * space.f_frsize)
        out.seek(0, os.SEEK_END)
        with suppress(OSError):
            while True:
                out.write(b"\0" * 512)
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything it keeps is on one small disk, the broker's messages on a smaller one."""
    folder = tmp_path_factory.mktemp("disk")
    with (
        small_disk(folder, WHOLE_DISK),
        small_disk(folder / "broker", BROKERS_DISK),
        sites.running(folder, **sites.EMBEDDED) as running,
    ):
        aftermath.note_results(running)
        yield running


def test_no_space_for_messages_delays_a_test_and_loses_nothing(site, tell):
    (visitor,) = site.crowd(1)
    with filled(site.folder / "broker"):
        paths = [
            visitor.connect(site.key(f"unsent {n}"), f"Unsent {n}") for n in range(SUBMISSIONS)
        ]
        wait_for(lambda: "starts by itself" in visitor.get(paths[-1]).text)
    aftermath.assert_each_applied_once(site, [path.strip("/").split("/")[-1] for path in paths])
    tell(f"{SUBMISSIONS} submissions with no space for messages: all saved, all tested afterwards")


def test_no_space_at_all_is_said_and_loses_nothing(site, tell):
    (visitor,) = site.crowd(1)
    under_way = sites.saved(sites.submit(visitor, site.key("under way", delay_s=0.3), "Under way"))
    wait_for(lambda: aftermath.running_tests(site), every=0.02)
    keys = [site.key(f"full {n}") for n in range(SUBMISSIONS)]
    with filled(site.folder):
        answers = [sites.submit(visitor, key, f"Full {n}") for n, key in enumerate(keys)]
        page = visitor.get("/connections/")
        sign_in = {"login": "nobody@example.com", "password": PASSWORD}
        answers.append(site.visitor().post("/accounts/login/", sign_in))
        cut_short = aftermath.running_tests(site)
    refused = [answer for answer in answers if not sites.saved(answer)]
    assert all(map(sites.in_words, refused))
    assert sites.in_words(page)
    again = [sites.submit(visitor, key, f"Full {n}") for n, key in enumerate(keys)]
    saved = {sites.saved(answer) for answer in (*answers, *again)} - {""}
    assert len(saved) == SUBMISSIONS
    aftermath.let_leases_lapse(site)
    aftermath.assert_each_applied_once(site, [under_way, *saved])
    assert site.rows("PRAGMA integrity_check") == [("ok",)]
    opened = aftermath.opened_keys(site)
    assert opened == aftermath.one(site, "SELECT COUNT(*) FROM connections_credential")
    tell(
        f"{len(answers)} forms without space: {len(refused)} refused in words, the list page "
        f"answered {page.status_code}, {cut_short} test left open; afterwards all saved, tested, "
        f"{opened} of {opened} keys opened"
    )
