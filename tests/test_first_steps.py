"""The commands behind `make run` and `make demo`: the first administrator and the demonstration."""

from __future__ import annotations

import io
import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backfuture.accounts.models import User
from connections import worker
from connections.exchanges import EXCHANGES
from connections.management.commands import load_demo
from connections.models import Connection, ConnectionTest
from connections.presentation import status_of
from tests.simulator import Simulator
from tests.simulator.__main__ import main as simulator_command

# What the list must hold of MEXC and KuCoin, and what the samples must come to.
LISTED = {"good", "read_only", "withdraw", "wrong_ip", "expired", "wrong_passphrase", "down"}
LISTED |= {"slow"}
STATES = ("Connected", "Connected, with warnings", r"Expires in \d+ days", "Paused")
STATES += (r"Withdrawal enabled \(refused\)", "Exchange unavailable")
SEVERAL = 6


def said(command: str, *words: str) -> str:
    out = io.StringIO()
    call_command(command, *words, stdout=out)
    return out.getvalue()


def password_in(text: str) -> str:
    found = re.search(r"with the password (\S+)", text)
    assert found, text
    return found[1]


def end_of(connection: Connection) -> str:
    """The status once the worker has run."""
    for test in connection.tests.open():
        worker.run_test(str(test.pk))
    connection.refresh_from_db()
    return status_of(connection, testing=connection.tests.open().exists()).word


@pytest.mark.django_db
class TestFirstAdmin:
    def test_can_sign_in_with_the_password_that_is_shown_once(self):
        password = password_in(said("first_admin"))
        admin = User.objects.get()
        assert (admin.email, admin.is_superuser) == ("admin@localhost", True)
        assert admin.check_password(password)
        assert password not in admin.password
        assert "with the password" not in said("first_admin")

    def test_gets_another_password_on_every_installation(self):
        first = password_in(said("first_admin"))
        User.objects.all().delete()
        assert password_in(said("first_admin")) != first

    def test_is_not_made_where_somebody_is(self, trader):
        assert "changepassword" in said("first_admin")
        assert User.objects.get() == trader


@pytest.mark.django_db
class TestDemo:
    @pytest.fixture
    def keys(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
        simulator_command(["keys", "--json"])
        file = tmp_path / "keys.json"
        file.write_text(capsys.readouterr().out)
        return str(file)

    @pytest.fixture
    def quick(self, simulator: Simulator) -> None:
        """Slow keys take their time in the demonstration, not here."""
        for name, key in simulator.world.keys.items():
            simulator.world.keys[name] = replace(key, delay_s=min(key.delay_s, 0.05))

    @pytest.fixture
    def demonstration(self, settings: Any) -> None:
        settings.EXCHANGE_GATEWAY_URL = "http://127.0.0.1:1"
        settings.ALLOW_EXCHANGE_GATEWAY = True

    def test_is_refused_where_requests_go_to_real_exchanges(self, keys, settings):
        settings.EXCHANGE_GATEWAY_URL = ""
        with pytest.raises(CommandError, match="no demonstration"):
            said("load_demo", "--keys", keys)
        assert not User.objects.exists()

    def test_connects_every_sample_and_leaves_the_tests_to_the_worker(self, keys, demonstration):
        said("load_demo", "--keys", keys)
        names = set(load_demo.CONNECTED.values()) | set(load_demo.PAUSED.values())
        assert set(Connection.objects.values_list("name", flat=True)) == names
        assert ConnectionTest.objects.open().count() == len(load_demo.CONNECTED)
        assert Connection.objects.exclude(paused_at=None).count() == len(load_demo.PAUSED)

    def test_repeated_it_only_sets_a_new_password(self, keys, demonstration):
        first = password_in(said("load_demo", "--keys", keys))
        second = password_in(said("load_demo", "--keys", keys))
        assert first != second
        assert User.objects.get().check_password(second)
        assert Connection.objects.count() == len(load_demo.CONNECTED | load_demo.PAUSED)

    def test_shows_keys_to_paste_that_are_not_in_use(self, keys, demonstration):
        text = said("load_demo", "--keys", keys)
        in_use = (load_demo.CONNECTED | load_demo.PAUSED).keys()
        assert not load_demo.TO_PASTE.keys() & in_use
        for key in json.loads(Path(keys).read_text()):
            to_paste = (key["exchange"], key["scenario"]) in load_demo.TO_PASTE
            for value in filter(None, (key["api_key"], key["secret"], key["passphrase"])):
                assert (f": {value}\n" in text) == to_paste, key["scenario"]

    def test_lists_what_can_be_wrong_and_a_good_key_of_every_exchange(self):
        of_first_two = {name for code, name in load_demo.TO_PASTE if code in {"mexc", "kucoin"}}
        assert of_first_two == LISTED
        assert {code for code, name in load_demo.TO_PASTE if name == "good"} == set(EXCHANGES)

    def test_the_list_is_last_readable_and_also_in_a_private_file(self, keys, demonstration):
        file = Path(keys).with_name("keys-to-paste.txt")
        for _ in "twice":
            text = said("load_demo", "--keys", keys)
            listed = file.read_text()
            assert text.endswith(f"{listed}This list is in {file} too.\n")
            assert max(map(len, listed.splitlines())) <= 100
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert password_in(text) not in listed

    def test_the_samples_show_every_state(self, keys, simulator, quick):
        said("load_demo", "--keys", keys)
        words = {end_of(connection) for connection in Connection.objects.for_list()}
        for state in STATES:
            assert any(re.fullmatch(state, word) for word in words), state
        assert sum(word.startswith("Needs attention") for word in words) >= SEVERAL

    def test_every_listed_key_ends_as_the_list_says(self, keys, trader, simulator, quick):
        for key in json.loads(Path(keys).read_text()):
            if end := load_demo.TO_PASTE.get((key["exchange"], key["scenario"])):
                load_demo._connect(trader, key, key["api_key"][:20], paused=False)
                connection = Connection.objects.for_list().latest("created_at")
                assert re.match(rf"{re.escape(end_of(connection))}[:.]", end), end
        assert Connection.objects.count() == len(load_demo.TO_PASTE)
