"""The supervisor, really started: it brings back what dies, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TypeVar

import pytest

from backfuture import roles
from backfuture.child import Child

ROOT = Path(__file__).resolve().parent.parent
LEADERS = {
    "web": "gunicorn",
    "worker": " worker@",
    "sweeper": " sweeper@",
    "beat": " beat ",
}
Value = TypeVar("Value")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def wait_for(ask: Callable[[], Value], seconds: float = 20) -> Value:
    """The first true answer. Raises AssertionError when there is none in time."""
    until = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return answer


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Folder:
    """Keys and a database of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.private_keys = path / "keys" / "private-keys.json"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {**kept, "VAR_DIR": str(path), "ENV_FILE": str(path / ".env")}

    def fill(self) -> None:
        env_file = self.environment["ENV_FILE"]
        self.manage("keys", "create", "--env-file", env_file, "--private-file", self.private_keys)
        self.manage("prepare")

    def manage(self, *words: str | Path) -> None:
        command = [sys.executable, "manage.py", *words]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True)

    def supervise(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "backfuture.supervisor", *words],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class Running:
    """A supervisor at work, its output, and its processes as /proc shows them."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip())

    def said(self, words: str) -> str:
        return next((line for line in list(self.lines) if words in line), "")

    def leaders(self) -> dict[str, int]:
        """Role to process id, of those that have become what they shall be."""
        found = {}
        for pid, (_, parent, _) in processes().items():
            if parent == self.process.pid:
                roles_of = [role for role, word in LEADERS.items() if word in command_line(pid)]
                found |= dict.fromkeys(roles_of, pid)
        return found

    def all_leaders(self) -> dict[str, int]:
        return wait_for(lambda: len(found := self.leaders()) == len(LEADERS) and found)

    def family(self) -> set[int]:
        """Every process in the groups of the leaders."""
        groups = set(self.all_leaders().values())
        return {pid for pid, (_, _, group) in processes().items() if group in groups}

    def whole_family(self) -> set[int]:
        """With the workers' pools: the web server has three processes, each worker at least so."""
        return wait_for(lambda: len(found := self.family()) >= 10 and found)

    def page(self) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            connection.request("GET", "/accounts/login/")
            return connection.getresponse().status


def processes() -> dict[int, tuple[str, int, int]]:
    """Process id to state, parent and group; the dead that nobody has buried are left out."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = entry.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # ended meanwhile
            continue
        if state not in "ZX":
            found[int(entry.parent.name)] = (state, int(parent), int(group))
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def environment(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_text()
    except PermissionError:  # our processes hide it, with their memory, from their own user
        pytest.skip("only root can look")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def gone(family: set[int]) -> bool:
    return not family & processes().keys()


@contextmanager
def supervisor(folder: Folder, **environment: str) -> Iterator[Running]:
    port = free_port()
    running = Running(folder.supervise("--bind", f"127.0.0.1:{port}", **environment), port)
    try:
        wait_for(lambda: running.said("BackFuture is at"), 90)
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made = Folder(tmp_path_factory.mktemp("var"))
    made.fill()
    return made


@pytest.fixture(scope="class")
def running(folder: Folder) -> Iterator[Running]:
    with supervisor(folder) as started:
        yield started
        family = started.family()
    assert started.process.returncode == 0
    assert gone(family)


class TestRunning:
    def test_prints_the_address_at_which_the_page_is(self, running):
        line = running.said("BackFuture is at")
        assert f"http://127.0.0.1:{running.port}/" in line
        assert running.page() == 200

    def test_each_role_leads_a_group_of_its_own(self, running):
        leaders = running.all_leaders()
        groups = {processes()[pid][2] for pid in leaders.values()}
        assert groups == set(leaders.values())

    def test_each_process_knows_its_role(self, running):
        for role, pid in running.all_leaders().items():
            known = "worker" if role in roles.WORKERS else role
            assert environment(pid)["BACKFUTURE_ROLE"] == known

    def test_private_keys_are_named_to_workers_alone(self, running, folder):
        family = running.whole_family()
        workers = {running.all_leaders()[role] for role in roles.WORKERS}
        for pid in family:
            if processes()[pid][2] not in workers:
                assert roles.PRIVATE not in environment(pid), command_line(pid)
            elif os.geteuid() == 0:
                assert environment(pid)[roles.PRIVATE] == str(folder.private_keys)

    def test_sweeper_yields_the_processor_to_what_people_wait_for(self, running):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        running.whole_family()
        leaders = {pid: role for role, pid in running.all_leaders().items()}
        for pid, (_, _, group) in processes().items():
            if group in leaders:  # pools included
                niceness = 10 if leaders[group] == "sweeper" else 0
                assert os.getpriority(os.PRIO_PROCESS, pid) == own + niceness, command_line(pid)

    def test_each_worker_has_queues_of_its_own(self, running):
        lines = {role: command_line(pid) for role, pid in running.all_leaders().items()}
        queues = {
            role: found[1]
            for role, line in lines.items()
            if (found := re.search(r"--queues (\S+)", line))
        }
        assert queues == {"worker": "backfuture", "sweeper": "sweep,notices"}

    @pytest.mark.parametrize("role", ["web", *roles.WORKERS, "beat"])
    def test_process_writes_no_core_files(self, running, role):
        limits = Path(f"/proc/{running.all_leaders()[role]}/limits")
        wait_for(lambda: re.search(r"Max core file size\s+0\s+0\s", limits.read_text()))

    def test_second_supervisor_of_the_folder_is_told_so_in_one_sentence(self, running, folder):
        second = folder.supervise("--bind", f"127.0.0.1:{free_port()}")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert output == f"BackFuture already runs from {folder.path}; end that first.\n"

    @pytest.mark.parametrize("role", LEADERS)
    def test_who_is_killed_is_back(self, running, role):
        before = running.all_leaders()
        os.kill(before[role], signal.SIGKILL)
        wait_for(lambda: running.leaders().get(role, before[role]) != before[role])
        assert running.said(f"{role:<9} | ended (SIGKILL); starts again in 1 s")
        others = {other: pid for other, pid in before.items() if other != role}
        assert others.items() <= running.all_leaders().items()

    def test_visitors_wait_while_the_web_server_starts_again(self, running):
        web = running.all_leaders()["web"]
        group = {pid for pid, (_, _, leader) in processes().items() if leader == web}
        os.kill(web, signal.SIGKILL)
        wait_for(lambda: gone(group))  # an orphan of it could still take a visitor with it
        assert running.page() == 200

    def test_it_waits_longer_each_time(self, running):
        for _ in range(2):  # whatever other tests have killed, or another process of tests
            beat = running.all_leaders()["beat"]
            os.kill(beat, signal.SIGKILL)
            wait_for(lambda beat=beat: running.leaders().get("beat", beat) != beat)
        assert running.said("beat      | ended (SIGKILL); starts again in 2 s")

    def test_group_of_a_dead_leader_is_not_left_behind(self, running):
        worker = wait_for(lambda: running.leaders().get("worker"))
        pool = wait_for(
            lambda: {p for p, (_, parent, _) in processes().items() if parent == worker}
        )
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: gone(pool))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # SIGINT ends all the others
def test_when_asked_to_end_it_leaves_no_process(folder, number):
    with supervisor(folder) as running:
        family = running.whole_family()
        running.process.send_signal(number)
        assert running.process.wait(10) == 0
        assert gone(family)
        assert running.said("Warm shutdown")  # asked before it is made to
    assert not (folder.path / "beat.pid").exists()


def test_when_killed_it_leaves_no_process(folder):
    with supervisor(folder) as running:
        family = running.whole_family()
        running.process.kill()
        wait_for(lambda: gone(family))
    with supervisor(folder) as again:
        assert again.page() == 200


def test_child_that_does_not_want_to_end_is_made_to(folder):
    with supervisor(folder) as running:
        family = running.whole_family()
        os.kill(running.all_leaders()["beat"], signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(12) == 0
        assert gone(family)


class TestRefusals:
    def refused(self, folder: Folder, *words: str, **environment: str) -> str:
        started = folder.supervise(*words, **environment)
        try:
            output, _ = started.communicate(timeout=30)
        finally:
            started.terminate()
        assert started.returncode == 1
        return output

    def test_port_in_use_is_one_sentence(self, folder):
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            bind = f"127.0.0.1:{taken.getsockname()[1]}"
            output = self.refused(folder, "--bind", bind)
        assert output == f"BackFuture cannot listen on {bind}: Address already in use.\n"

    def test_simulator_s_port_in_use_is_one_sentence(self, folder):
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = str(taken.getsockname()[1])
            bind = f"127.0.0.1:{free_port()}"
            output = self.refused(folder, "--bind", bind, "--with-simulator", port)
        assert output == f"BackFuture cannot listen on 127.0.0.1:{port}: Address already in use.\n"

    @pytest.mark.parametrize("bind", ["8000", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"])
    def test_address_that_is_none_is_one_sentence(self, folder, bind):
        output = self.refused(folder, "--bind", bind)
        assert output == f"BackFuture cannot listen on {bind}: it is not of the form HOST:PORT.\n"

    def test_web_that_can_read_the_private_keys_does_not_start(self, folder, tmp_path):
        told_all = tmp_path / ".env"
        text = Path(folder.environment["ENV_FILE"]).read_text()
        told_all.write_text(f"{text}\n{roles.PRIVATE}={folder.private_keys}\n")
        bind = f"127.0.0.1:{free_port()}"
        output = self.refused(folder, "--bind", bind, ENV_FILE=str(told_all))
        assert "connections.E007" in output
        assert output.endswith("BackFuture does not start: the web says why above.\n")

    def test_worker_without_private_keys_does_not_start(self, folder, tmp_path):
        none = {roles.PRIVATE: str(tmp_path / "none.json")}
        output = self.refused(folder, "--bind", f"127.0.0.1:{free_port()}", **none)
        assert "connections.E008" in output
        assert output.endswith("BackFuture does not start: the worker says why above.\n")

    def test_ending_before_all_have_started_is_quiet(self, folder):
        port = free_port()
        running = Running(folder.supervise("--bind", f"127.0.0.1:{port}"), port)
        wait_for(running.leaders)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(15) == 0
        assert not running.said("Traceback")

    def test_without_keys_nothing_starts(self, tmp_path):
        output = self.refused(Folder(tmp_path), "--bind", f"127.0.0.1:{free_port()}")
        assert "BackFuture does not start" in output


def test_last_words_are_printed_though_their_line_has_no_end(capfd):
    child = Child("beat", ("-c", "import sys; sys.stdout.write('first\\nlast words')"))
    for _ in range(2):
        child.start()
        wait_for(lambda: not child.is_alive())
        child.bury()
    printed = capfd.readouterr().out.splitlines()
    assert printed == ["beat      | first", "beat      | last words"] * 2


def test_memory_is_hidden():
    """PR_GET_DUMPABLE is 3 in <linux/prctl.h>."""
    code = (
        "import ctypes, resource\n"
        "from backfuture import process\n"
        "process.hide_memory()\n"
        "print(ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 (0, 0)\n"


def test_memory_of_a_command_is_hidden():
    code = (
        "import ctypes, manage, sys\n"
        "sys.argv = ['manage.py', 'version']\n"
        "manage.main()\n"
        "print(ctypes.CDLL(None).prctl(3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0"


class TestSettingsOfTheSupervisor:
    """It reads the .env file itself, before any Django."""

    @pytest.mark.parametrize(
        "line", ["VAR_DIR=/some/where", "export VAR_DIR = '/some/where' ", 'VAR_DIR="/some/where"']
    )
    def test_come_from_the_env_file(self, tmp_path, monkeypatch, line):
        (tmp_path / ".env").write_text(f"# VAR_DIR=/no\nOTHER=1\n{line}\n")
        monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
        monkeypatch.delenv("VAR_DIR", raising=False)
        assert roles.var_dir() == Path("/some/where")

    def test_come_from_the_environment_first(self, tmp_path, monkeypatch):
        (tmp_path / ".env").write_text("VAR_DIR=/some/where\n")
        monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
        monkeypatch.setenv("VAR_DIR", "/else/where")
        assert roles.var_dir() == Path("/else/where")

    def test_simulator_is_told_none_of_our_settings(self, monkeypatch):
        monkeypatch.setenv("SECRET_KEY", "secret")
        assert not roles.environment_of("simulator").keys() & {"SECRET_KEY", roles.PRIVATE}

    @pytest.mark.parametrize("role", ["web", "beat"])
    def test_path_of_private_keys_is_taken_from_all_but_the_worker(self, monkeypatch, role):
        monkeypatch.setenv(roles.PRIVATE, "/private")
        assert roles.PRIVATE not in roles.environment_of(role)
        for worker in roles.WORKERS:
            assert roles.environment_of(worker)[roles.PRIVATE] == "/private"
            assert roles.environment_of(worker)["BACKFUTURE_ROLE"] == "worker"
