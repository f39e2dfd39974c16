"""The embedded broker: a message is whole, taken once, and nobody waits for it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from backfuture import broker
from connections.tasks import run_test

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EMBEDDED_BROKER_DIR = tmp_path / "broker"
    return settings.EMBEDDED_BROKER_DIR


@pytest.fixture
def channel(folder: Path) -> Iterator[broker.Channel]:
    with Connection("embedded://") as connection:
        yield connection.channel()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def python(code: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs `code` with a `channel` of the same broker."""
    prelude = (
        "import sys, time, tests.settings\n"
        "from django.conf import settings\n"
        "from pathlib import Path\n"
        "settings.EMBEDDED_BROKER_DIR = Path(sys.argv[1])\n"
        "import backfuture\n"
        "from kombu import Connection\n"
        "channel = Connection('embedded://').channel()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestMessages:
    def test_come_back_as_they_were_sent_and_oldest_first(self, channel):
        sent = [{"body": "Grüße", "number": number} for number in range(20)]
        for message in sent:
            channel._put("queue", message)
        assert [channel._get("queue") for _ in sent] == sent
        with pytest.raises(Empty):
            channel._get("queue")

    def test_leave_nothing_behind(self, channel, folder):
        channel._put("queue", {})
        channel._get("queue")
        assert names(folder) == []

    @pytest.mark.parametrize("other", ["b.queue", "queue.b", "queue2", "../queue", ".queue"])
    def test_stay_in_their_queue(self, channel, folder, other):
        channel._put(other, {"to": other})
        assert channel._size("queue") == 0
        assert channel._size(other) == 1
        assert len(names(folder)) == 1
        with pytest.raises(Empty):
            channel._get("queue")
        assert channel._get(other) == {"to": other}

    def test_can_be_purged(self, channel):
        channel._put("queue", {})
        channel._put("other", {})
        assert channel._purge("queue") == 1
        assert (channel._size("queue"), channel._size("other")) == (0, 1)

    def test_folder_is_its_owner_s_alone(self, channel, folder):
        channel._put("queue", {})
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_folder_that_was_removed_is_made_again(self, channel, folder):
        channel._put("queue", {})
        channel._purge("queue")
        folder.rmdir()
        with pytest.raises(Empty):
            channel._get("queue")
        channel._put("queue", {"again": True})
        assert channel._get("queue") == {"again": True}


class TestHalfWrittenMessages:
    def test_are_never_read(self, channel, folder):
        channel._put("queue", {"whole": True})
        (name,) = names(folder)
        (folder / name).rename(folder / f".{name}")
        assert channel._size("queue") == 0
        with pytest.raises(Empty):
            channel._get("queue")

    def test_full_disk_is_an_error_at_publish_and_leaves_no_message(self, folder, channel):
        """A limit on file size stands in for the disk: the write breaks off in the middle."""
        code = (
            "import resource\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
            "from kombu.exceptions import OperationalError\n"
            "try: channel._put('queue', {'body': 'x' * 10_000})\n"
            "except OperationalError as error: print(error)\n"
        )
        out, err = python(code, folder).communicate(timeout=30)
        assert "The broker's folder cannot be written" in out, err
        assert names(folder) == []

    def test_that_were_damaged_are_dropped_and_the_next_is_read(self, channel, folder, caplog):
        channel._put("queue", {"number": 1})
        channel._put("queue", {"number": 2})
        first, _ = names(folder)
        (folder / first).write_text('{"body": "secr')
        assert channel._get("queue") == {"number": 2}
        assert first in caplog.text
        assert "secr" not in caplog.text
        assert names(folder) == []

    def test_of_dead_processes_are_swept_after_an_hour(self, channel, folder):
        channel._put("queue", {})
        old, young = folder / ".old.queue.msg", folder / ".young.queue.msg"
        for file in (old, young):
            file.touch()
        long_ago = time.time() - broker.STALE_SECONDS - 1
        os.utime(old, (long_ago, long_ago))
        with Connection("embedded://") as another:
            another.channel()
        assert not old.exists()
        assert young.exists()
        assert channel._size("queue") == 1


def test_many_writers_and_readers_lose_double_and_break_nothing(folder):
    """Three writers of 150 messages of 20 kB each, two readers that start before them."""
    read = (
        "from queue import Empty\n"
        "until = time.monotonic() + 60\n"
        "while time.monotonic() < until:\n"
        "    try: message = channel._get('queue')\n"
        "    except Empty: time.sleep(0.001); continue\n"
        "    if message.get('end'): break\n"
        "    assert len(message['body']) == 20_000\n"
        "    print(message['id'], flush=True)\n"
    )
    write = (
        "for n in range(150):\n"
        "    channel._put('queue', {'id': sys.argv[2] + '-' + str(n), 'body': 'x' * 20_000})\n"
    )
    readers = [python(read, folder) for _ in range(2)]
    writers = [python(write, folder, f"writer{number}") for number in range(3)]
    for writer in writers:
        assert writer.wait(60) == 0, writer.communicate()
    for _ in readers:
        end = python("channel._put('queue', {'end': True})", folder)
        assert end.wait(30) == 0, end.communicate()
    outputs = [reader.communicate(timeout=60) for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0], outputs
    got = [line for out, _ in outputs for line in out.split()]
    assert sorted(got) == sorted(f"writer{w}-{n}" for w in range(3) for n in range(150))


def test_celery_worker_takes_tasks_soon(folder, tmp_path):
    """60 tasks take 2.5 s; at kombu's polling interval of 1 s they take 10 s."""
    log, app = tmp_path / "log", tmp_path / "sixty.py"
    app.write_text(
        "import os, tests.settings\n"
        "from django.conf import settings\n"
        f"settings.EMBEDDED_BROKER_DIR = {str(folder)!r}\n"
        "from backfuture.celery import app\n"
        "@app.task(name='note')\n"
        "def note(number):\n"
        f"    open({str(log)!r}, 'a').write(f'{{number}}\\n')\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "CELERY_BROKER_URL": "embedded://",
        "GIVEN_TO_TESTS": "{}",  # else another broker would stand for this one
        "C_FORCE_ROOT": "1",
    }
    words = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "sixty", "--quiet", "worker", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    send = "import sixty\nfor n in {}: sixty.note.apply_async((n,), retry=False)"
    try:
        _run(send.format("[0]"), environment)
        _wait_for_lines(log, 1, seconds=30)  # the worker is up
        _run(send.format("range(1, 61)"), environment)
        _wait_for_lines(log, 61, seconds=30)  # at one a second it would take 60
    finally:
        worker.terminate()
        output, _ = worker.communicate(timeout=30)
    assert sorted(map(int, log.read_text().split())) == list(range(61)), output
    assert names(folder) == []


def _run(code: str, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def _wait_for_lines(file: Path, count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not file.exists() or file.read_text().count("\n") < count:
        assert time.monotonic() < until, f"{file.name} has fewer than {count} lines"
        time.sleep(0.05)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts connections, as the kernel does, and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        yield silent


def fail_to_publish(url: str) -> None:
    """As a page does, to a broker that is not there."""
    with run_test.app.connection_for_write(url) as connection, pytest.raises(OperationalError):
        run_test.apply_async(("id",), connection=connection, retry=False)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
class TestBrokersElsewhere:
    def test_that_refuse_are_given_up_at_once(self, scheme, listener, monkeypatch):
        slept: list[float] = []
        monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)
        port = listener.getsockname()[1]
        listener.close()
        fail_to_publish(f"{scheme}://127.0.0.1:{port}//")
        assert sum(slept) == 0

    def test_that_are_silent_are_given_up_soon(self, scheme, listener):
        port = listener.getsockname()[1]
        began = time.monotonic()
        fail_to_publish(f"{scheme}://127.0.0.1:{port}//")
        assert time.monotonic() - began < 20
