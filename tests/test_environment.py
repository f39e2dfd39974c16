"""What cannot be read in the environment is refused, and every setting is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from backfuture import environment

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> environment.Environment:
    monkeypatch.delenv("A_SWITCH", raising=False)
    return environment.Environment()


@pytest.mark.parametrize("word", ["1", "true", "Yes", " on "])
def test_words_for_yes(env, monkeypatch, word):
    monkeypatch.setenv("A_SWITCH", word)
    assert env.switch("A_SWITCH") is True


@pytest.mark.parametrize("word", ["0", "False", "no", "OFF", ""])
def test_words_for_no(env, monkeypatch, word):
    monkeypatch.setenv("A_SWITCH", word)
    assert env.switch("A_SWITCH", default=True) is False


@pytest.mark.parametrize("word", ["ture", "2", "enabled", "nope"])
def test_any_other_word_is_refused_by_the_setting_s_name(env, monkeypatch, word):
    monkeypatch.setenv("A_SWITCH", word)
    with pytest.raises(ImproperlyConfigured, match="A_SWITCH") as refusal:
        env.switch("A_SWITCH")
    assert word not in str(refusal.value)


@pytest.mark.parametrize("default", [True, False])
def test_unset_switch_is_its_default(env, default):
    assert env.switch("A_SWITCH", default=default) is default


def test_file_completes_the_environment_and_never_overrides_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GIVEN", "by the environment")
    monkeypatch.setenv("FROM_FILE", "")
    monkeypatch.delenv("FROM_FILE")
    file = tmp_path / ".env"
    file.write_text("GIVEN=by the file\nFROM_FILE=by the file\n")
    env = environment.read(file)
    assert env("GIVEN") == "by the environment"
    assert env("FROM_FILE") == "by the file"


def test_missing_file_is_no_error(tmp_path):
    assert environment.read(tmp_path / ".env")("NOT_THERE", default="default") == "default"


def test_example_names_every_setting_and_none_that_is_gone():
    settings = (ROOT / "backfuture" / "settings.py").read_text()
    example = (ROOT / ".env.example").read_text()
    read = set(re.findall(r'\benv(?:\.\w+)?\(\s*"(\w+)"', settings)) | {"ENV_FILE"}
    named = re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE)
    assert sorted(named) == sorted(read)


def test_example_holds_no_secret():
    example = (ROOT / ".env.example").read_text()
    required = re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE)
    assert [value for _, value in required] == [""] * 4
