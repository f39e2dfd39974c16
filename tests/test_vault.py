"""The web can lock, only the worker can open."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.forms.models import model_to_dict

from connections import vault
from connections.exchanges.base import Credentials
from connections.models import AccessEvent, Credential
from tests import making

SECRET = "secret-bytes-3f9a1c77"
KEY = Credentials("mx0canarycanary99", SECRET, "passphrase-canary")
WHY = "a test of the tests"


@pytest.fixture
def sealed_key(trader, mexc) -> Credential:
    made = making.connection(trader, mexc, "Sealed", KEY)
    return Credential.objects.get(connection=made)


def opened(key: Credential) -> Credentials:
    event = AccessEvent(credential=key, why=WHY)
    with vault.opened(key.sealed, key, event=event) as credentials:
        return credentials


def raw(key: Credential) -> bytes:
    with database.cursor() as cursor:
        cursor.execute("SELECT sealed FROM connections_credential WHERE hint = %s", [key.hint])
        return bytes(cursor.fetchone()[0])


def store(key: Credential, value: bytes) -> Credential:
    with database.cursor() as cursor:
        binary = database.Database.Binary(value)
        cursor.execute(
            "UPDATE connections_credential SET sealed = %s WHERE hint = %s", [binary, key.hint]
        )
    return Credential.objects.get(pk=key.pk)


def test_what_was_sealed_opens_again(sealed_key):
    assert opened(sealed_key) == KEY


def test_column_holds_a_fernet_token_with_no_byte_of_the_key(sealed_key):
    token = raw(sealed_key)
    assert token.startswith(b"gAAAA")
    for value in (KEY.api_key, SECRET, KEY.passphrase):
        assert value.encode() not in token
    inner = Credential._meta.get_field("sealed").fernet.decrypt(token)
    assert inner.startswith(b"v1.test.")
    assert SECRET.encode() not in inner


def test_opening_is_recorded_even_when_it_fails(sealed_key):
    broken = store(sealed_key, b"not a token")
    with pytest.raises(vault.SealedError):
        opened(broken)
    assert AccessEvent.objects.filter(credential=sealed_key, why=WHY).count() == 1


def test_web_process_cannot_open(sealed_key, settings):
    settings.ROLE = "web"
    with pytest.raises(vault.SealedError, match="web process"):
        opened(sealed_key)


def test_process_without_the_private_file_cannot_open(sealed_key, settings):
    settings.VAULT_PRIVATE_KEYS_FILE = ""
    with pytest.raises(vault.SealedError, match="VAULT_PRIVATE_KEYS_FILE"):
        opened(sealed_key)


def test_value_copied_to_another_row_does_not_open(sealed_key, stranger, mexc):
    other = making.connection(stranger, mexc, "Thief").credentials.get()
    with pytest.raises(vault.SealedError, match="another row"):
        opened(store(other, raw(sealed_key)))


def test_value_does_not_open_for_another_owner(sealed_key, stranger):
    sealed_key.connection.owner = stranger
    with pytest.raises(vault.SealedError):
        opened(sealed_key)


def test_value_does_not_open_under_another_revision(sealed_key):
    sealed_key.revision += 1
    with pytest.raises(vault.SealedError):
        opened(sealed_key)


@pytest.mark.parametrize("place", [0, 5, 20, 100, 250])
def test_tampered_value_is_an_error_of_that_row_alone(sealed_key, place):
    token = bytearray(raw(sealed_key))
    token[place] ^= 1
    damaged = store(sealed_key, bytes(token))
    with pytest.raises(vault.SealedError):
        opened(damaged)
    assert str(next(iter(Credential.objects.all())).sealed) == "[sealed]"


def test_lost_fernet_key_is_an_error_and_not_a_crash_of_lists(sealed_key, settings):
    settings.FERNET_KEYS = [secrets.token_urlsafe(32)]
    damaged = Credential.objects.get(pk=sealed_key.pk)
    assert repr(damaged.sealed) == "[sealed]"
    with pytest.raises(vault.SealedError, match="FERNET_KEYS"):
        opened(damaged)
    damaged.connection.delete()
    assert not Credential.objects.exists()


def test_sealed_value_shows_nothing_anywhere(sealed_key):
    printed = [
        repr(sealed_key.sealed),
        str(sealed_key.sealed),
        repr(list(Credential.objects.values("sealed"))),
        repr(model_to_dict(sealed_key)),
        serializers.serialize("json", [sealed_key]),
        repr(copy.deepcopy(sealed_key.sealed)),
        repr(vars(sealed_key)),
    ]
    for text in printed:
        assert SECRET not in text
        assert "gAAAA" not in text
    assert "[sealed]" in printed[0]
    assert json.loads(printed[4])[0]["fields"]["sealed"] == "[sealed]"


@pytest.mark.parametrize(
    "content",
    ["[]", "5", "null", '{"a": 1}', '{"api_key": 1, "secret": "s", "passphrase": ""}', "[" * 9999],
)
def test_well_sealed_box_with_odd_content_is_an_error_of_that_row(sealed_key, content):
    """The public key is no secret: anybody may make a box."""
    key_id, public = next(iter(vault.public_keys().items()))
    info = vault.info_of(sealed_key, vault.WORKER)
    box = vault.SUITE.encrypt(content.encode(), public, info=info)
    text = f"v1.{key_id}.{base64.urlsafe_b64encode(box).decode()}"
    sealed_key.sealed = vault.Sealed(box=text)
    with pytest.raises(vault.SealedError):
        opened(sealed_key)


def test_sealed_value_cannot_be_pickled(sealed_key):
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(sealed_key)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(KEY)


def test_plain_text_cannot_be_stored(sealed_key):
    sealed_key.sealed = "plain"
    with pytest.raises(FieldError):
        sealed_key.save()
    with pytest.raises(FieldError):
        Credential.objects.update(sealed="plain")


def test_expressions_and_bulk_update_are_refused(sealed_key):
    with pytest.raises(FieldError), transaction.atomic():
        Credential.objects.update(sealed=F("sealed"))
    with pytest.raises(FieldError), transaction.atomic():
        Credential.objects.bulk_update([sealed_key], ["sealed"])
    assert opened(Credential.objects.get(pk=sealed_key.pk)) == KEY


def test_plain_save_writes_the_value_back_unopened(sealed_key):
    before = raw(sealed_key)
    sealed_key.save()
    assert raw(sealed_key) == before


def test_credentials_never_show_in_a_repr():
    assert SECRET not in repr(KEY)
    assert KEY.api_key not in repr(KEY)


def test_fingerprint_finds_the_same_key_and_needs_the_pepper(settings):
    first = vault.fingerprint("mexc", "a-key")
    assert first == vault.fingerprint("mexc", "a-key")
    assert first != vault.fingerprint("kucoin", "a-key")
    settings.FINGERPRINT_PEPPER = "another"
    assert first != vault.fingerprint("mexc", "a-key")


@pytest.mark.parametrize("lookup", ["sealed", "sealed__contains", "sealed__in", "sealed__gt"])
def test_sealed_values_cannot_be_searched(sealed_key, lookup):
    with pytest.raises(FieldError):
        list(Credential.objects.filter(**{lookup: "x"}))


class TestRecoveryBox:
    """The second box, for a key that is kept offline."""

    @pytest.fixture
    def offline(self, settings) -> dict[str, X25519PrivateKey]:
        key_id, public, private = vault.new_key_pair()
        settings.VAULT_RECOVERY_KEY = f"{key_id}:{public}"
        return {key_id: X25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(private))}

    @pytest.fixture
    def two_boxes(self, offline, sealed_key) -> Credential:
        return sealed_key

    def recovered(self, key: Credential, keys: dict[str, X25519PrivateKey]) -> Credentials:
        event = AccessEvent(credential=key, why=WHY)
        with vault.opened_for_recovery(key.sealed, key, keys, event=event) as credentials:
            return credentials

    def test_each_half_opens_its_own_box(self, offline, two_boxes):
        assert opened(two_boxes) == KEY
        assert self.recovered(two_boxes, offline) == KEY
        assert AccessEvent.objects.filter(why=WHY).count() == 2

    def test_value_without_it_reads_as_ever(self, sealed_key, offline):
        assert opened(sealed_key) == KEY
        assert vault.locks(sealed_key.sealed).recovery == ""
        with pytest.raises(vault.SealedError, match="no box"):
            self.recovered(sealed_key, offline)

    def test_other_recovery_key_is_named(self, two_boxes):
        with pytest.raises(vault.SealedError, match="another recovery key"):
            self.recovered(two_boxes, {})

    def test_locks_are_told_without_opening(self, offline, two_boxes, settings):
        outer = vault.outer_id(settings.FERNET_KEYS[0])
        assert vault.locks(two_boxes.sealed) == (outer, "test", next(iter(offline)))
        assert not AccessEvent.objects.filter(why=WHY).exists()

    def test_boxes_cannot_stand_in_for_each_other(self, sealed_key, settings):
        """Even where both are for the same key."""
        private = vault.private_keys(settings.VAULT_PRIVATE_KEYS_FILE)["test"]
        public = private.public_key()
        boxes = [
            base64.urlsafe_b64encode(
                vault.SUITE.encrypt(vault._bytes_of(KEY), public, info=info)
            ).decode()
            for info in (vault.info_of(sealed_key, use) for use in (vault.RECOVERY, vault.WORKER))
        ]
        sealed_key.sealed = vault.Sealed(box=f"v1.test.{boxes[0]}.test.{boxes[1]}")
        with pytest.raises(vault.SealedError, match="altered"):
            opened(sealed_key)
        with pytest.raises(vault.SealedError, match="altered"):
            self.recovered(sealed_key, {"test": private})
        sealed_key.sealed = vault.Sealed(box=f"v1.test.{boxes[1]}.test.{boxes[0]}")
        assert opened(sealed_key) == self.recovered(sealed_key, {"test": private}) == KEY

    def test_recovery_box_of_another_row_does_not_open(self, two_boxes, offline, stranger, mexc):
        other = making.connection(stranger, mexc, "Thief").credentials.get()
        with pytest.raises(vault.SealedError, match="another row"):
            self.recovered(store(other, raw(two_boxes)), offline)

    def test_web_process_cannot_recover(self, two_boxes, offline, settings):
        settings.ROLE = "web"
        with pytest.raises(vault.SealedError, match="web process"):
            self.recovered(two_boxes, offline)

    @pytest.mark.parametrize(
        "entry", ["nonsense", "rec:", "a.b:" + "A" * 43 + "=", "rec:" + "A" * 43 + "=", ":"]
    )
    def test_unusable_recovery_key_seals_nothing(self, sealed_key, settings, entry):
        settings.VAULT_RECOVERY_KEY = entry
        with pytest.raises(vault.SealedError, match="VAULT_RECOVERY_KEY"):
            vault.seal(KEY, sealed_key)

    def test_private_half_in_its_place_is_noticed(self, sealed_key, settings):
        key_id, _, private = vault.new_key_pair()
        settings.VAULT_RECOVERY_KEY = f"{key_id}:{private}"
        with pytest.raises(vault.SealedError) as caught:
            vault.seal(KEY, sealed_key)
        assert private not in str(caught.value)


@pytest.mark.parametrize("text", ["", "v1", "v1.a", "v1.a.b.c", "v1.a.b.c.d.e", "v2.a.b", "....."])
def test_value_in_another_form_is_an_error_of_that_row(sealed_key, text):
    sealed_key.sealed = vault.as_stored(vault.Sealed(box=text))
    with pytest.raises(vault.SealedError):
        opened(sealed_key)
    with pytest.raises(vault.SealedError):
        vault.locks(sealed_key.sealed)
