"""The commands behind `make run` and `make demo`: the first administrator and the demonstration."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backfuture.accounts.models import User
from connections.management.commands import load_demo
from connections.models import Connection, ConnectionTest
from tests.simulator.__main__ import main as simulator_command


def said(command: str, *words: str) -> str:
    out = io.StringIO()
    call_command(command, *words, stdout=out)
    return out.getvalue()


def password_in(text: str) -> str:
    found = re.search(r"with the password (\S+)", text)
    assert found, text
    return found[1]


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
        assert not set(load_demo.TO_PASTE) & (load_demo.CONNECTED | load_demo.PAUSED).keys()
        for key in json.loads(Path(keys).read_text()):
            to_paste = (key["exchange"], key["scenario"]) in load_demo.TO_PASTE
            assert (key["api_key"] in text) == to_paste
