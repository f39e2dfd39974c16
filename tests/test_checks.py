"""Every misconfiguration that would make keys unsafe or unreadable has an error of its own."""

from __future__ import annotations

import json
import secrets

import pytest
from django.core.checks import run_checks

from connections import vault
from connections.models import Exchange


def ids(**options) -> set[str]:
    return {message.id for message in run_checks(**options) if message.id.startswith("connections")}


def test_settings_of_the_tests_are_clean():
    assert ids() == set()


STRONG = secrets.token_urlsafe(32)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("FERNET_KEYS", [], "connections.E001"),
        ("FERNET_KEYS", None, "connections.E001"),
        ("FERNET_KEYS", "a-string-becomes-one-letter-keys", "connections.E001"),
        ("FERNET_KEYS", ["short"], "connections.E002"),
        ("FERNET_KEYS", ["a" * 64], "connections.E002"),
        ("FERNET_KEYS", [STRONG, STRONG], "connections.E003"),
        ("FINGERPRINT_PEPPER", "", "connections.E005"),
        ("FINGERPRINT_PEPPER", "short", "connections.E005"),
        ("VAULT_PUBLIC_KEYS", [], "connections.E006"),
        ("VAULT_PUBLIC_KEYS", ["test:not-base64"], "connections.E006"),
        ("VAULT_PRIVATE_KEYS_FILE", "/nowhere/keys.json", "connections.E008"),
        ("EXCHANGE_GATEWAY_URL", "127.0.0.1:8900", "connections.E012"),
        ("SERVER_IPS", ["203.0.113.7", "203.0.113"], "connections.E013"),
    ],
)
def test_misconfiguration_is_named(settings, setting, value, expected):
    setattr(settings, setting, value)
    assert expected in ids()


def test_secret_key_among_fernet_keys(settings):
    settings.FERNET_KEYS = [settings.SECRET_KEY]
    assert "connections.E004" in ids()


def test_pepper_that_is_also_a_fernet_key(settings):
    settings.FINGERPRINT_PEPPER = settings.FERNET_KEYS[0]
    assert "connections.E005" in ids()


def test_web_process_that_can_read_the_private_keys(settings):
    settings.ROLE = "web"
    assert ids() == {"connections.E007"}
    settings.VAULT_PRIVATE_KEYS_FILE = ""
    assert ids() == set()


def test_worker_without_private_keys(settings):
    settings.ROLE = "worker"
    settings.VAULT_PRIVATE_KEYS_FILE = ""
    assert ids() == {"connections.E008"}


def test_notices_into_the_own_network_are_warned_of(settings):
    settings.ALLOW_PRIVATE_NOTICE_HOSTS = True
    assert ids() == {"connections.W016"}


def test_private_keys_of_another_set(settings, tmp_path):
    key_id, _, private = vault.new_key_pair()
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({key_id: private}))
    file.chmod(0o600)
    settings.VAULT_PRIVATE_KEYS_FILE = str(file)
    assert ids() == {"connections.E009"}


def test_private_keys_that_others_can_read(settings, tmp_path):
    file = tmp_path / "keys.json"
    with open(settings.VAULT_PRIVATE_KEYS_FILE) as source:
        file.write_text(source.read())
    file.chmod(0o644)
    settings.VAULT_PRIVATE_KEYS_FILE = str(file)
    assert ids() == {"connections.E010"}


def test_gateway_needs_a_second_switch_outside_debug(settings):
    settings.EXCHANGE_GATEWAY_URL = "http://127.0.0.1:8900"
    assert ids() == set()
    settings.ALLOW_EXCHANGE_GATEWAY = False
    assert ids() == {"connections.E011"}
    settings.DEBUG = True
    assert ids() == set()


def test_exchange_row_without_code_and_code_without_row(db):
    Exchange.objects.filter(code="kucoin").delete()
    Exchange.objects.create(code="mtgox")
    assert ids(databases=["default"]) == {"connections.E014", "connections.E015"}


def test_no_error_text_quotes_a_secret(settings):
    marker = "hunter2-marker-value"
    settings.FERNET_KEYS = [marker, marker]
    settings.FINGERPRINT_PEPPER = marker
    settings.VAULT_PUBLIC_KEYS = [f"id:{marker}"]
    texts = [f"{message.msg} {message.hint}" for message in run_checks()]
    assert texts
    assert not any(marker in text for text in texts)
