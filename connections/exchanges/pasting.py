"""What people paste, before any network: normalise what is safe, refuse the rest by its fault.

No sentence in here ever repeats what was pasted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .base import CredentialField, Credentials, Exchange
from .pem import Fault, looks_like_pem
from .problems import gettext_noop

_ = gettext_noop

LONGEST = 512  # characters of a value that is no PEM; the longest known one has 95
# Of anything at all, key files and RSA keys included: looking for a PEM in much more takes minutes.
LONGEST_PASTED = 10_000
TOO_LONG = _("This is too long. Copy this one value alone.")
# Zero-width and direction marks that copying from a web page brings along.
INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
MASK = re.compile(r"[*\u2022\u25cf\u00b7.xX]{4,}|.*(\*{3,}|\u2022{3,}|\u25cf{3,}|\u2026|\.{3}).*")
USABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Pasted:
    """Cleaned values, or the faults by field name ("" for all of them together)."""

    credentials: Credentials | None = field(repr=False, default=None)
    faults: Mapping[str, str] = field(default_factory=dict)


def clean(exchange: Exchange, values: Mapping[str, object]) -> Pasted:
    """Reads api_key, secret and, where the exchange has one, passphrase from `values`."""
    stripped: dict[str, str] = {spec.name: strip(values.get(spec.name)) for spec in exchange.fields}
    if huge := [name for name, text in stripped.items() if len(text) > LONGEST_PASTED]:
        return Pasted(faults=dict.fromkeys(huge, TOO_LONG))
    try:
        cleaned = exchange.normalise(stripped)
    except Fault as fault:
        return Pasted(faults={fault.field: fault.sentence})
    faults: dict[str, str] = {
        spec.name: sentence
        for spec in exchange.fields
        if (sentence := fault_of(cleaned[spec.name], multiline=spec.multiline))
    }
    if not faults and _swapped(exchange.fields, cleaned):
        faults[""] = _("API key and secret look swapped. Put each into the other's field.")
    if not faults and cleaned["api_key"] == cleaned["secret"]:
        faults["secret"] = _("This is the API key again. Copy the secret that belongs to it.")
    return Pasted(faults=faults) if faults else Pasted(Credentials(**cleaned))


def strip(value: object) -> str:
    """Without the spaces, line breaks, quotes and invisible marks around a pasted value."""
    if not isinstance(value, str):
        return ""
    text = INVISIBLE.sub("", value).strip()
    if len(text) > 2 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def fault_of(value: str, *, multiline: bool = False) -> str:
    """The sentence that says what is wrong with one value, or ""."""
    if not value:
        return _("Nothing was entered here.")
    if multiline and looks_like_pem(value):
        return ""  # the exchange's own file has read it
    if len(value) > LONGEST:
        return TOO_LONG
    if MASK.fullmatch(value):
        return _("This is the masked form of a key, not the key itself. Copy the real value.")
    if any(character.isspace() for character in value):
        return _("There is a space or a line break inside. Copy this one value alone.")
    if not USABLE.fullmatch(value):
        return _("There is a character inside that no key has. Copy it again from the exchange.")
    return ""


def _swapped(fields: tuple[CredentialField, ...], values: Mapping[str, str]) -> bool:
    looks = {spec.name: spec.looks_like for spec in fields}
    key, secret = looks["api_key"], looks["secret"]
    if key is None or secret is None:
        return False
    return bool(key.fullmatch(values["secret"])) and not key.fullmatch(values["api_key"])
