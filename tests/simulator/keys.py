"""Keys as the simulated exchanges know them, and the sample keys by scenario.

All values are made up, but look like real ones and are the same on every machine: they are
derived by SHA-256 from exchange and scenario. Only ages move along, since expiry does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

SEEN_IP: Final = "203.0.113.7"  # the address the exchanges see us under
OUR_IPS: Final = (SEEN_IP, "203.0.113.8")
UID, OTHER_UID = "209302839", "209309917"

# Faults that an exchange words in its own documented way; each family says how.
DOCUMENTED_FAULTS: Final = frozenset({"down", "rate_limit", "clock", "restricted"})
# Faults of one exchange's endpoint, handled where that endpoint is written.
ENDPOINT_FAULTS: Final = frozenset({"no_key_endpoint"})
# Faults that no exchange documents: what the answer is, for people. hostile.py sends them.
HOSTILE_FAULTS: Final[Mapping[str, str]] = {
    "garbage": "Answers with JSON that breaks off in the middle.",
    "html": "Answers with a web page and status 200.",
    "waf": "Answers with a firewall's web page and status 403.",
    "hang": "Takes the request and never answers.",
    "huge": "Answers with 50 MB.",
    "gzip_bomb": "Answers with a few kilobytes that unpack to 50 MB.",
    "redirect": "Sends the request, with its headers, on to another host.",
    "drip": "Sends its answer byte by byte, for ever.",
    "header_drip": "Sends headers one by one, for ever.",
    "deep": "Answers with 200,000 nested lists.",
    "nan": "Answers with NaN and 1e999 where numbers belong.",
    "empty": "Answers with nothing and status 200.",
    "binary": "Answers with bytes that are no text.",
    "wrong_shape": "Answers with success, but every value has another type than documented.",
}
FAULTS: Final = DOCUMENTED_FAULTS | ENDPOINT_FAULTS | frozenset(HOSTILE_FAULTS)


@dataclass(frozen=True, slots=True)
class KeySpec:
    """A key and how the exchange treats it. `permissions` are the exchange's own words.

    `ip_whitelist` empty means unrestricted; `ip_allowed` False refuses every address.
    `balances` maps a currency to free and used amount; `futures_balances` are those of the futures
    account, where there is one. `remaining_days` is what the exchange
    declares; whether the key has ended is said by `expired`. `wrong_secret` and
    `wrong_passphrase` are what the scenario has people paste in place of the true value. `site` is
    the one foreign host that knows the key, where it is not of the main site. `own` holds what a
    single exchange tells of a key or its account, by that exchange's names.
    """

    exchange: str
    scenario: str
    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)
    permissions: tuple[str, ...] = ()
    ip_whitelist: tuple[str, ...] = OUR_IPS
    ip_allowed: bool = True
    expired: bool = False
    disabled: bool = False
    deleted: bool = False
    age_days: float = 20
    remaining_days: float | None = None
    uid: str = UID
    label: str = "BackFuture"
    balances: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {"BTC": ("0.015", "0"), "USDT": ("1250.5", "100")}
    )
    futures_balances: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {"USDT": ("640.25", "59.75")}
    )
    delay_s: float = 0.0
    fault: str | None = None
    note: str = ""
    site: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    wrong_secret: str = field(default="", repr=False)
    wrong_passphrase: str = field(default="", repr=False)
    written_at: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=0), repr=False
    )

    def __post_init__(self) -> None:
        if self.fault not in {None, *FAULTS}:
            raise ValueError(f"no such fault: {self.fault}")

    @property
    def created_at(self) -> datetime:
        return self.written_at - timedelta(days=self.age_days)

    @property
    def expires_at(self) -> datetime | None:
        if self.remaining_days is None:
            return None
        return self.written_at + timedelta(days=self.remaining_days)

    @property
    def paste_secret(self) -> str:
        return self.wrong_secret or self.secret

    @property
    def paste_passphrase(self) -> str:
        return self.wrong_passphrase or self.passphrase


@dataclass(frozen=True, slots=True)
class Rights:
    """One exchange's words for what keys may do. `unknown` is a word nobody documents."""

    read: tuple[str, ...]
    spot: tuple[str, ...]
    futures: tuple[str, ...]
    withdraw: tuple[str, ...]
    unknown: tuple[str, ...]


# Sixty-four hex digits -> API key, secret and passphrase in the exchange's look.
Look = Callable[[str], tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class SampleMaker:
    """Makes one exchange's sample keys."""

    exchange: str
    look: Look
    rights: Rights

    def make(self, scenario: str, note: str, **fields: Any) -> KeySpec:
        """A key that reads and trades spot from our addresses, but for `fields`."""
        api_key, secret, passphrase = self.look(self._digest(scenario))
        fields = {"permissions": self.rights.read + self.rights.spot, **fields}
        return KeySpec(self.exchange, scenario, api_key, secret, passphrase, note=note, **fields)

    def wrong_secret(self) -> KeySpec:
        _, wrong, _ = self.look(self._digest("another secret"))
        return self.make("wrong_secret", "Listed with a wrong secret.", wrong_secret=wrong)

    def wrong_passphrase(self) -> KeySpec:
        """For exchanges that have one."""
        _, _, wrong = self.look(self._digest("another passphrase"))
        note = "Listed with a wrong passphrase."
        return self.make("wrong_passphrase", note, wrong_passphrase=wrong)

    def common(self) -> tuple[KeySpec, ...]:
        """The scenarios that every exchange has."""
        return (*self._good(), *self._refused(), *self._unavailable(), *self._hostile())

    def _digest(self, scenario: str) -> str:
        return hashlib.sha256(f"{self.exchange}: {scenario}".encode()).hexdigest()

    def _good(self) -> tuple[KeySpec, ...]:
        words, make = self.rights, self.make
        trader = words.read + words.spot
        return (
            make("good", "Works: reads and trades spot, from our addresses only."),
            make(
                "good_futures",
                "Works: reads, trades spot and futures, from our addresses only.",
                permissions=trader + words.futures,
            ),
            make("no_ip", "Works from every address: a warning.", ip_whitelist=()),
            make("twin_good", "A second key of the same account: replaces the key good."),
            make("other_account", "A good key of another account.", uid=OTHER_UID),
            make(
                "unknown_word",
                "Works, but holds a right that nobody documents.",
                permissions=trader + words.unknown,
            ),
            make("slow", "Works, but every call takes 2.5 seconds.", delay_s=2.5),
        )

    def _refused(self) -> tuple[KeySpec, ...]:
        words, make = self.rights, self.make
        return (
            make("read_only", "Reads, but may not trade.", permissions=words.read),
            make(
                "withdraw",
                "May withdraw: to be refused.",
                permissions=words.read + words.spot + words.withdraw,
            ),
            make(
                "wrong_ip",
                "Bound to another address than ours.",
                ip_whitelist=("198.51.100.23",),
            ),
            make("deleted", "Unknown to the exchange.", deleted=True),
            self.wrong_secret(),
        )

    def _unavailable(self) -> tuple[KeySpec, ...]:
        make = self.make
        return (
            make("down", "The exchange answers with status 503.", fault="down"),
            make("rate_limited", "The exchange has had too many requests.", fault="rate_limit"),
            make("clock", "The exchange finds our clock wrong.", fault="clock"),
            make("restricted", "The exchange refuses our region.", fault="restricted"),
        )

    def _hostile(self) -> tuple[KeySpec, ...]:
        return tuple(self.make(name, note, fault=name) for name, note in HOSTILE_FAULTS.items())
