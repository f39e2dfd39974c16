"""`make bench-start`: how long the product takes to start and how much memory it holds, beside a
bare Django project under the same gunicorn in the same run. Prints a table, then one JSON line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
PAGE = "/accounts/login/"
GUNICORN = ["--workers", "2", "--threads", "4", "--worker-class", "gthread", "--preload"]
GUNICORN += ["--log-level", "warning", "--no-control-socket"]
ROLES = {"web": "gunicorn", "worker": "worker@", "sweeper": "sweeper@", "beat": " beat "}
BARE_URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("accounts/login/", lambda request: HttpResponse("ok"))]
"""


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def seconds_to_page(port: int, began: float) -> float:
    while time.perf_counter() - began < 120:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{PAGE}", timeout=10) as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
        except OSError:
            time.sleep(0.02)
    raise SystemExit("The page did not come within two minutes.")


@contextmanager
def started(
    command: Sequence[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[int, float]]:
    """Yields the process id and when it began; ends its group afterwards."""
    began = time.perf_counter()
    with (folder / "output.log").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=environment["PWD"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid, began
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


def descendants(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    family = [pid]
    for member in family:
        family += [child for child, parent in pairs if parent == member]
    return family


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def resident_mb(pid: int) -> float:
    """VmRSS, readable even where a process hides its memory. Shared pages count each time."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def memory(pid: int, word: str) -> tuple[float, int]:
    """Resident megabytes of all processes of a role, and how many they are."""
    sizes = [resident_mb(each) for each in descendants(pid) if word in command_line(each)]
    return sum(sizes), len(sizes)


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ours = {"VAR_DIR": str(folder), "ENV_FILE": str(folder / ".env"), "PWD": str(ROOT)}
    return {**kept, **ours, **more}


def prepared(folder: Path) -> Path:
    private = folder / "keys" / "private-keys.json"
    words = ["keys", "create", "--env-file", folder / ".env", "--private-file", private]
    for command in (words, ["prepare"]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment(folder),
            check=True,
            capture_output=True,
        )
    return folder


def bare_project(folder: Path) -> Path:
    admin = [sys.executable, "-m", "django", "startproject", "bare", str(folder)]
    subprocess.run(admin, check=True)
    (folder / "bare" / "urls.py").write_text(BARE_URLS)
    return folder


def measure_product(folder: Path) -> dict[str, float]:
    port = free_port()
    command = [sys.executable, "-m", "backfuture.supervisor", "--bind", f"127.0.0.1:{port}"]
    with started(command, folder, environment(folder)) as (pid, began):
        result = {"first page, s": seconds_to_page(port, began)}
        time.sleep(4)  # until the workers' pools stand
        result["supervisor, MB"] = resident_mb(pid)
        for role, word in ROLES.items():
            size, count = memory(pid, word)
            result[f"{role}, MB"], result[f"{role}, processes"] = size, count
    return result


def measure_bare(folder: Path) -> dict[str, float]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "bare.wsgi", "--bind", f"127.0.0.1:{port}"]
    with started([*command, *GUNICORN], folder, environment(folder, PWD=str(folder))) as (
        pid,
        began,
    ):
        result = {"first page, s": seconds_to_page(port, began)}
        time.sleep(1)
        result["web, MB"], result["web, processes"] = memory(pid, "gunicorn")
    return result


def measure_make_run(folder: Path) -> float:
    port = free_port()
    command = ["make", "run", f"BIND=127.0.0.1:{port}"]
    with started(command, folder, environment(folder)) as (_, began):
        return seconds_to_page(port, began)


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(r[name] for r in rounds), 2) for name in rounds[0]}


def table(product: dict[str, float], bare: dict[str, float]) -> str:
    lines = [f"{'median of ' + str(ROUNDS):<28}{'BackFuture':>12}{'bare Django':>13}"]
    for name, value in product.items():
        lines.append(f"{name:<28}{value:>12g}{bare.get(name, '-'):>13}")
    return "\n".join(lines)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="backfuture-bench-"))
    try:
        ours, theirs = prepared(_made(folder / "ours")), bare_project(_made(folder / "bare"))
        pairs = [(measure_product(ours), measure_bare(theirs)) for _ in range(ROUNDS)]
        product = medians([pair[0] for pair in pairs])
        bare = medians([pair[1] for pair in pairs])
        made = [measure_make_run(ours) for _ in range(ROUNDS)]
        product["make run to first page, s"] = round(statistics.median(made), 2)
        print(table(product, bare))
        print(json.dumps({"bench": "start", "backfuture": product, "bare_django": bare}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
