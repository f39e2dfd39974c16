"""The product as its own processes: what is promised when one of them dies, hangs or is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary
from tests.running import Site, wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.mark.parametrize("exchange", ["mexc", "kucoin"])
def test_from_sign_up_to_connected_without_javascript(site, exchange):
    visitor = site.visitor().sign_up()
    path = visitor.connect(site.key(f"flow {exchange}", exchange), "Mine")
    text = visitor.wait_until_tested(path)
    assert "Connected" in text
    assert "Ready for:" in text


def test_worker_killed_in_the_middle_repeats_the_test_and_applies_it_once(site):
    visitor = site.visitor().sign_up()
    key = site.key("killed", delay_s=2)
    path = visitor.connect(key, "Killed")
    query = "SELECT status, fence FROM connections_connectiontest WHERE id = ?"
    test_id = _test_id(site, path)
    wait_for(lambda: site.rows(query, test_id) == [("running", 1)])
    site.kill("celery.* worker@")
    site.exchanges.change(key.api_key, delay_s=0)
    _let_lease_lapse(site, test_id)
    assert "Connected" in visitor.wait_until_tested(path, 60)
    assert site.rows(query, test_id) == [("done", 2)]


def test_what_is_due_is_tested_though_nobody_asks_and_nobody_waits_behind_it(site):
    visitor = site.visitor().sign_up()
    key = site.key("due")
    path = visitor.connect(key, "Due")
    visitor.wait_until_tested(path)
    site.exchanges.change(key.api_key, delay_s=5)  # a call may take 10 s
    _make_due(site, path)
    wait_for(lambda: _scheduled(site, path) == [("running", 1)], 30)
    visitor.wait_until_tested(visitor.connect(site.key("asked"), "Asked"))
    assert _scheduled(site, path) == [("running", 1)]  # still
    site.exchanges.change(key.api_key, delay_s=0)
    wait_for(lambda: _scheduled(site, path) == [("done", 1)], 30)
    assert "Connected" in visitor.get(path).text


def test_sweeper_killed_in_the_middle_goes_on_with_the_test_and_applies_it_once(site):
    visitor = site.visitor().sign_up()
    key = site.key("swept")
    path = visitor.connect(key, "Swept")
    visitor.wait_until_tested(path)
    site.exchanges.change(key.api_key, delay_s=2)
    _make_due(site, path)
    wait_for(lambda: _scheduled(site, path) == [("running", 1)], 30)
    site.kill("celery.* sweeper@")
    site.exchanges.change(key.api_key, delay_s=0)
    ((test_id, _, _),) = _own(site, path)
    _let_lease_lapse(site, test_id)
    wait_for(lambda: _scheduled(site, path) == [("done", 2)], 60)
    assert "Connected" in visitor.get(path).text


def test_database_locked_at_submit_and_during_the_test_is_waited_for(site):
    visitor = site.visitor().sign_up()
    key = site.key("locked", delay_s=0.5)
    with site.locked_for(3):
        path = visitor.connect(key, "Locked")
    with site.locked_for(3):
        text = visitor.wait_until_tested(path, 60)
    assert "Connected" in text


def test_killed_web_server_is_back_by_itself(site):
    site.kill("gunicorn")
    assert wait_for(lambda: _ok(site), 30)


def test_no_byte_of_a_key_in_files_or_output_of_any_process(site):
    """Database, broker, cache, sessions, logs at DEBUG: files, not only what the pages show."""
    visitor = site.visitor().sign_up()
    keys = [site.key(f"leak {name}", name) for name in ("mexc", "kucoin")]
    keys += [site.key("leak down", "kucoin", fault="down")]
    for number, key in enumerate(keys):
        visitor.wait_until_tested(visitor.connect(key, f"Leak {number}"))
    data = {str(file): file.read_bytes() for file in site.files()}
    data["output"] = "".join(site.output).encode()
    assert len(data) > 5
    assert "DEBUG" in "".join(site.output)
    for key in keys:
        typed = canary.Credentials(key.api_key, key.secret, key.passphrase)
        for where, found in data.items():
            assert canary.found_in(found, typed) == [], where


def test_private_key_is_known_to_workers_alone(site):
    private = str(site.folder / "keys" / "private-keys.json").encode()
    for words in ("gunicorn", "quiet beat"):
        pids = site.processes(words)
        assert pids
        for pid in pids:
            assert private not in told_by(pid, "environ")


def test_web_process_has_loaded_neither_ccxt_nor_a_client_for_exchanges(site):
    for pid in site.processes("gunicorn"):
        maps = told_by(pid, "maps")
        assert b"aiohttp" not in maps  # its compiled parts would be mapped
        assert b"coincurve" not in maps


def told_by(pid: int, name: str) -> bytes:
    """Our processes hide such files from everybody but root (test_supervisor.py)."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except PermissionError:
        pytest.skip("only root can look")


def _ok(site: Site) -> bool:
    try:
        return site.visitor().get("/accounts/login/").status_code == 200
    except OSError:
        return False


def _connection_id(site: Site, path: str) -> str:
    connection = path.strip("/").split("/")[-1]
    return connection.replace("-", "") if site.database.startswith("sqlite") else connection


def _test_id(site: Site, path: str) -> str:
    query = "SELECT id FROM connections_connectiontest WHERE connection_id = ?"
    return site.rows(query, _connection_id(site, path))[0][0]


def _make_due(site: Site, path: str) -> None:
    """In place of waiting for a day."""
    site.execute(
        "UPDATE connections_connection SET next_test_at = '2020-01-01 00:00:00+00:00' WHERE id = ?",
        _connection_id(site, path),
    )


def _scheduled(site: Site, path: str) -> list[tuple[str, int]]:
    """State and fence of the tests that nobody asked for."""
    return [(status, fence) for _, status, fence in _own(site, path)]


def _own(site: Site, path: str) -> list[tuple[str, str, int]]:
    query = (
        "SELECT id, status, fence FROM connections_connectiontest"
        " WHERE connection_id = ? AND reason = 'scheduled'"
    )
    return site.rows(query, _connection_id(site, path))


def _let_lease_lapse(site: Site, test_id: str) -> None:
    """In place of waiting out the lease of 45 s, and that of its exchange."""
    site.execute(
        "UPDATE connections_connectiontest SET lease_until = '2020-01-01 00:00:00+00:00'"
        " WHERE id = ? AND status = 'running'",
        test_id,
    )
    site.execute("UPDATE connections_exchange SET sweep_until = '2020-01-01 00:00:00+00:00'")
