"""How each process of the product is started, and what it is told. Only workers learn where the
private keys are."""

from __future__ import annotations

import os
import re
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
PRIVATE = "VAULT_PRIVATE_KEYS_FILE"
WORKERS = ("worker", "sweeper")  # each one opens what is sealed


def web_command(fd: int) -> list[str]:
    # The supervisor listens and lends the socket: while the web server starts again,
    # visitors wait instead of being refused.
    options = ["--bind", f"fd://{fd}", "--workers", "2", "--threads", "4", "--preload"]
    options += ["--worker-class", "gthread", "--log-level", "warning", "--no-control-socket"]
    if Path("/dev/shm").is_dir():  # noqa: S108  a heartbeat file on a slow disk stalls gunicorn
        options += ["--worker-tmp-dir", "/dev/shm"]  # noqa: S108
    return ["-m", "gunicorn", "backfuture.wsgi", *options]


def worker_command() -> list[str]:
    """For what people wait for."""
    return _celery_worker("worker", "backfuture", processes=max(2, min(4, os.cpu_count() or 2)))


def sweeper_command() -> list[str]:
    """For scheduled tests, audits, notices and lists of pairs: one process sweeps, the other is
    free for what is short (sweep.py)."""
    return _celery_worker("sweeper", "sweep,notices", processes=2)


def _celery_worker(name: str, queues: str, *, processes: int) -> list[str]:
    options = ["--hostname", f"{name}@%h", "--queues", queues, *log_level()]
    options += ["--pool", "prefork", "--concurrency", str(processes)]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # As root, Celery prints eight lines at every start; the supervisor says it in one.
    quiet = ["-W", "ignore:You're running the worker with superuser privileges"]
    return [*quiet, "-m", "celery", "-A", "backfuture", "--quiet", "worker", *options]


def beat_command() -> list[str]:
    options = ["--pidfile", str(beat_pidfile()), *log_level()]
    return ["-m", "celery", "-A", "backfuture", "--quiet", "beat", *options]


def log_level() -> list[str]:
    """At INFO, Celery's default, the sweep alone would print three lines every five seconds."""
    return ["--loglevel", setting("LOG_LEVEL", "WARNING")]


def simulator_command(port: int) -> list[str]:
    return ["-m", "tests.simulator", "serve", "--port", str(port)]


def environment_of(role: str) -> dict[str, str]:
    if role == "simulator":  # plays a stranger: nothing of ours is its business
        return {n: os.environ[n] for n in ("PATH", "HOME", "LANG", "TMPDIR") if n in os.environ}
    env = {**os.environ, "BACKFUTURE_ROLE": role, "PYTHONUNBUFFERED": "1"}
    private_keys = env.pop(PRIVATE, str(var_dir() / "keys" / "private-keys.json"))
    if role in WORKERS:
        return {**env, "BACKFUTURE_ROLE": "worker", PRIVATE: private_keys}
    return env


def var_dir() -> Path:
    return BASE_DIR / setting("VAR_DIR", "var")


def beat_pidfile() -> Path:
    return var_dir() / "beat.pid"


def setting(name: str, default: str) -> str:
    """As settings.py finds it: the environment, then the .env file."""
    file = BASE_DIR / os.environ.get("ENV_FILE", ".env")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    line = rf"^\s*(?:export\s+)?{name}\s*=\s*(['\"]?)(.+?)\1\s*$"
    found = re.search(line, text, re.MULTILINE)
    return os.environ.get(name) or (found[2] if found else default)
