"""What people paste, for every exchange: what is safe is put right, the rest is refused by its
fault, nothing raises, and no sentence repeats what was pasted. Keys are made for this run."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.exchanges import EXCHANGES, Exchange, pasting, pem
from connections.exchanges.base import Credentials
from connections.exchanges.pasting import Pasted
from tests.simulator import sample

Values = dict[str, str]
ALL = list(EXCHANGES.values())
EVERY = pytest.mark.parametrize("exchange", ALL, ids=lambda exchange: exchange.code)
FIELDS = [(exchange, spec) for exchange in ALL for spec in exchange.fields]
EVERY_FIELD = pytest.mark.parametrize(
    ("exchange", "spec"), FIELDS, ids=[f"{each.code}-{spec.name}" for each, spec in FIELDS]
)


def good(exchange: Exchange) -> Values:
    """What the exchange's sample key looks like when it is copied well."""
    key = sample(exchange.code, "good")
    values = {"api_key": key.api_key, "secret": key.secret, "passphrase": key.passphrase}
    return {spec.name: values[spec.name] for spec in exchange.fields}


def clean(exchange: Exchange, values: Mapping[str, object]) -> Pasted:
    return pasting.clean(exchange, values)


def expected(exchange: Exchange) -> Credentials:
    pasted = clean(exchange, good(exchange))
    assert not pasted.faults
    assert pasted.credentials
    return pasted.credentials


def with_one(exchange: Exchange, name: str, value: object) -> dict[str, object]:
    return {**good(exchange), name: value}


def the_fault(exchange: Exchange, name: str, value: object) -> str:
    """The one sentence about that field, when this value stands in it."""
    pasted = clean(exchange, with_one(exchange, name, value))
    assert pasted.credentials is None
    assert list(pasted.faults) == [name]
    return pasted.faults[name]


# --- put right ---------------------------------------------------------------------------------

SAFE: dict[str, Callable[[str], str]] = {
    "blanks": lambda value: f"  {value} ",
    "tab and line break": lambda value: f"\t{value}\r\n",
    "no-break space": lambda value: f"\u00a0{value}\u3000",
    "double quotes": lambda value: f'"{value}"',
    "single quotes and blanks": lambda value: f" ' {value} ' ",
    "backticks": lambda value: f"`{value}`",
    "curly quotes": lambda value: f"\u201c{value}\u201d",
    "single curly quotes": lambda value: f"\u2018{value}\u2019",
    "zero-width around": lambda value: f"\ufeff{value}\u200b",
    "zero-width inside": lambda value: f"{value[:3]}\u200b\u2060{value[3:]}",
    "soft hyphen inside": lambda value: f"{value[:4]}\u00ad{value[4:]}",
    "direction marks": lambda value: f"\u202a{value}\u202c\u200e",
}


@EVERY
def test_a_key_copied_well_is_taken_as_it_is(exchange: Exchange):
    assert expected(exchange).api_key == good(exchange)["api_key"]


@pytest.mark.parametrize("around", SAFE.values(), ids=SAFE)
@EVERY_FIELD
def test_what_is_around_a_value_is_taken_off(exchange: Exchange, spec, around):
    pasted = clean(exchange, with_one(exchange, spec.name, around(good(exchange)[spec.name])))
    assert not pasted.faults
    assert pasted.credentials == expected(exchange)


@EVERY
def test_cleaning_twice_changes_nothing(exchange: Exchange):
    once = expected(exchange)
    values = {spec.name: getattr(once, spec.name) for spec in exchange.fields}
    assert clean(exchange, values).credentials == once


@EVERY
def test_fields_an_exchange_does_not_have_are_not_read(exchange: Exchange):
    names = {spec.name for spec in exchange.fields}
    other = {"passphrase": "left over", "name": "x"}
    values = {name: value for name, value in other.items() if name not in names}
    assert clean(exchange, {**good(exchange), **values}).credentials == expected(exchange)


# --- refused -----------------------------------------------------------------------------------

NOTHING = [None, "", "   ", "\n\t", "\u200b\ufeff", 5, ["x"], b"x"]
MASKED: dict[str, Callable[[str], str]] = {
    "stars": lambda value: "********",
    "dots": lambda value: "\u2022" * 12,
    "circles": lambda value: "\u25cf" * 8,
    "crosses": lambda value: "xxxxxxxx",
    "stars inside": lambda value: f"{value[:4]}****{value[-4:]}",
    "bullets inside": lambda value: f"{value[:4]}\u2022\u2022\u2022\u2022{value[-4:]}",
    "three dots": lambda value: f"{value[:4]}...{value[-4:]}",
    "ellipsis": lambda value: f"{value[:6]}\u2026",
}


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
@EVERY_FIELD
def test_what_is_missing_is_named(exchange: Exchange, spec, nothing: object):
    assert the_fault(exchange, spec.name, nothing) == "Nothing was entered here."


@EVERY
def test_an_empty_form_names_every_field(exchange: Exchange):
    assert set(clean(exchange, {}).faults) == {spec.name for spec in exchange.fields}


@pytest.mark.parametrize("masked", MASKED.values(), ids=MASKED)
@EVERY_FIELD
def test_a_masked_value_is_refused_as_such(exchange: Exchange, spec, masked):
    assert "masked" in the_fault(exchange, spec.name, masked(good(exchange)[spec.name]))


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u00a0"], ids=repr)
@EVERY_FIELD
def test_a_blank_inside_is_refused_or_known_to_be_harmless(exchange: Exchange, spec, blank: str):
    value = good(exchange)[spec.name]
    pasted = clean(exchange, with_one(exchange, spec.name, value[:5] + blank + value[5:]))
    if pasted.credentials:  # a private key may be broken over lines
        assert spec.multiline
        assert pasted.credentials == expected(exchange)
    else:
        assert "space or a line break" in pasted.faults[spec.name]


@pytest.mark.parametrize("letter", ["\u00e9", "\u0430", "\x00", "\x7f", "\U0001f511"], ids=repr)
@EVERY_FIELD
def test_a_character_no_key_has_is_refused(exchange: Exchange, spec, letter: str):
    value = good(exchange)[spec.name]
    assert the_fault(exchange, spec.name, value[:5] + letter + value[5:])


@pytest.mark.parametrize("length", [600, 9_000, 200_000])
@EVERY_FIELD
def test_a_value_too_long_is_refused(exchange: Exchange, spec, length: int):
    value = good(exchange)[spec.name]
    assert "too long" in the_fault(exchange, spec.name, (value * length)[:length])


SLOW = ["-----BEGIN A-----", "-----BEGIN RSA PRIVATE KEY-----", '{"a":', "\\n", '"', "\u200b"]


@pytest.mark.parametrize("piece", SLOW, ids=repr)
@EVERY_FIELD
def test_no_value_takes_long_to_read(exchange: Exchange, spec, piece: str):
    for length in (9_900, 100_000):
        began = time.thread_time()
        clean(exchange, with_one(exchange, spec.name, piece * (length // len(piece))))
        assert time.thread_time() - began < 2


@EVERY
def test_swapped_values_are_noticed_where_they_can_be_told_apart(exchange: Exchange):
    looks = {spec.name: spec.looks_like for spec in exchange.fields}
    values = good(exchange)
    key, secret = values["api_key"], values["secret"]
    look = looks["api_key"]
    if not look or not looks["secret"] or look.fullmatch(secret):
        pytest.skip(f"{exchange.name}'s API key and secret look alike")
    pasted = clean(exchange, {**values, "api_key": secret, "secret": key})
    assert pasted.credentials is None
    assert "swapped" in pasted.faults[""]


@EVERY
def test_one_value_in_both_fields_is_noticed(exchange: Exchange):
    key = good(exchange)["api_key"]
    assert "the API key again" in the_fault(exchange, "secret", key)


@EVERY
def test_samples_look_as_the_fields_say(exchange: Exchange):
    for spec in exchange.fields:
        value = getattr(expected(exchange), spec.name)
        assert not spec.looks_like or spec.looks_like.fullmatch(value), spec.name


def test_no_credentials_are_in_a_repr():
    for exchange in ALL:
        pasted = clean(exchange, good(exchange))
        assert not any(value in repr(pasted) for value in good(exchange).values())


# --- any text at all ---------------------------------------------------------------------------

# Words that stand in a sentence and in a key file alike, and are nobody's secret.
PUBLIC_WORDS = ("organizations/", "-----BEGIN", "-----END", "PRIVATE KEY", "PUBLIC KEY", "API key")
PIECES = st.sampled_from(
    [
        "-----BEGIN EC PRIVATE KEY-----",
        "-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nTUlJ\n-----END RSA PRIVATE KEY-----",
        '{"name": "',
        '{"id": "a", "privateKey": "b"}',
        '", "privateKey": "',
        '"}',
        "{}",
        "[]",
        "\\n",
        "\r\n",
        "organizations/",
        "/apiKeys/",
        "mx0",
        "*****",
        "=",
        "\u200b",
        "\ud800",
        "TUlJRXZRSUJBREFOQmdrcWhraUc5dzBCQVFFRkFBU0N",
    ]
)
anything = st.one_of(
    st.text(max_size=80),
    st.text(alphabet=st.characters(), max_size=20),  # surrogates too
    st.lists(PIECES | st.text(max_size=12), max_size=8).map("".join),
    st.binary(max_size=70).map(lambda raw: base64.b64encode(raw).decode()),
    st.from_regex(r"[0-9a-f]{16,64}", fullmatch=True),
    st.uuids().map(str),
    st.none() | st.integers() | st.lists(st.text(max_size=5), max_size=2),
)
any_values = st.fixed_dictionaries(
    {}, optional={"api_key": anything, "secret": anything, "passphrase": anything}
)


def repeats(sentence: str, value: object) -> bool:
    """Whether eight bytes of the value stand in the sentence."""
    if not isinstance(value, str):
        return False
    for word in PUBLIC_WORDS:
        value = value.replace(word, "\n")
    raw, said = value.encode(errors="surrogatepass"), sentence.encode()
    return any(raw[at : at + 8] in said for at in range(len(raw) - 7))


def _assert_sound(pasted: Pasted, values: Mapping[str, object]) -> None:
    assert (pasted.credentials is None) == bool(pasted.faults)
    for sentence in pasted.faults.values():
        assert sentence.endswith(".")
        assert not any(repeats(sentence, value) for value in values.values())


@EVERY
@settings(max_examples=100, deadline=None)
@given(values=any_values)
def test_no_text_makes_it_raise_or_repeat(exchange: Exchange, values: dict[str, object]):
    _assert_sound(clean(exchange, values), values)


@EVERY
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_part_of_a_real_key_is_ever_repeated(exchange: Exchange, data: Any):
    """Good values, cut, doubled, joined, with something put in between, in any field."""
    pieces = list(good(exchange).values())

    def spoiled() -> st.SearchStrategy[str]:
        cut = st.builds(
            lambda text, start, end: text[start:end],
            st.sampled_from(pieces),
            st.integers(0, 20),
            st.integers(1, 400),
        )
        return st.lists(cut | PIECES | st.text(max_size=3), min_size=1, max_size=4).map("".join)

    values = {spec.name: data.draw(spoiled()) for spec in exchange.fields}
    _assert_sound(clean(exchange, values), values)


def test_repeats_notices_eight_bytes():
    assert repeats("The value ABCDEFGH is wrong.", "xxABCDEFGHxx")
    assert not repeats("The value ABCDEFG is wrong.", "xxABCDEFGHxx")


# --- private keys ------------------------------------------------------------------------------


@cache
def made(kind: str) -> Any:
    """A private key of that kind, made for this run."""
    return {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "dsa": lambda: dsa.generate_private_key(2048),
    }[kind]()


def text_of(kind: str, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return made(kind).private_bytes(Encoding.PEM, form, NoEncryption()).decode()


SEC1 = PrivateFormat.TraditionalOpenSSL
KINDS = [
    pytest.param("ec", PrivateFormat.PKCS8, id="ec PKCS8"),
    pytest.param("ec", SEC1, id="ec SEC1"),
    pytest.param("rsa", PrivateFormat.PKCS8, id="rsa PKCS8"),
    pytest.param("rsa", SEC1, id="rsa PKCS1"),
    pytest.param("ed25519", PrivateFormat.PKCS8, id="ed25519 PKCS8"),
]
EVERY_KIND = pytest.mark.parametrize(("kind", "form"), KINDS)
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "literal \\n": lambda text: text.replace("\n", "\\n"),
    "literal \\r\\n": lambda text: text.replace("\n", "\\r\\n"),
    "one line": lambda text: text.replace("\n", " "),
    "no line breaks": lambda text: text.replace("\n", ""),
    "no line break at the end": str.strip,
    "indented": lambda text: text.replace("\n", "\n    "),
    "in quotes": lambda text: f'"{text}"',
    "with what stood around it": lambda text: f"Your key:\n{text}Keep it safe.",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@EVERY_KIND
def test_a_pem_is_read_however_it_is_pasted(kind: pem.Kind, form: PrivateFormat, way):
    text = text_of(kind, form)
    normal = pem.normalise(way(text))
    assert normal == text
    assert pem.kind_of(normal) == kind
    assert pem.normalise(normal) == normal


def public(kind: str) -> str:
    key = made(kind).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def locked(kind: str) -> str:
    lock = BestAvailableEncryption(secrets.token_bytes(9))
    return made(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


SPOILED: dict[str, tuple[Callable[[str], str], str]] = {
    "no end": (lambda kind: text_of(kind)[:-20], "cut off"),
    "half of it": (lambda kind: text_of(kind)[: len(text_of(kind)) // 2], "cut off"),
    "no beginning": (lambda kind: text_of(kind)[15:], "cut off"),
    "public": (public, "public key"),
    "locked": (locked, "password"),
    "a hole": (lambda kind: text_of(kind)[:60] + text_of(kind)[75:], "damaged"),
    "nothing inside": (
        lambda kind: "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        "damaged",
    ),
    "other letters": (lambda kind: text_of(kind).replace("M", "\u041c"), "damaged"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_spoiled_pem_is_refused_by_its_fault(kind: str, spoil, words: str):
    with pytest.raises(pem.Fault) as refused:
        pem.kind_of(pem.normalise(spoil(kind)))
    assert words in refused.value.sentence
    assert refused.value.field == "secret"
    assert not repeats(refused.value.sentence, spoil(kind))


def test_a_kind_of_key_no_exchange_uses_is_refused():
    with pytest.raises(pem.Fault, match="not known"):
        pem.kind_of(pem.normalise(text_of("dsa")))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (base64.b64encode(bytes(32)).decode(), True),
        (base64.b64encode(bytes(64)).decode(), True),
        (base64.b64encode(bytes(33)).decode(), False),
        (base64.b64encode(bytes(32)).decode() + "\n", False),
        ("A" * 43, False),
        ("abc", False),
        ("", False),
        ("\u00fc" * 44, False),
    ],
)
def test_bare_ed25519_keys_are_known_by_their_length(text: str, is_one: bool):
    assert pem.is_base64_ed25519(text) is is_one


@settings(max_examples=120, deadline=None)
@given(text=st.lists(PIECES | st.text(max_size=30), max_size=8).map("".join))
def test_a_pem_reader_raises_faults_alone(text: str):
    try:
        pem.kind_of(pem.normalise(text))
    except pem.Fault as fault:
        assert not repeats(fault.sentence, text)
    assert pem.is_base64_ed25519(text) in {True, False}
