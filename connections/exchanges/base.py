"""The shapes in which exchanges, keys and answers are spoken of.

Ground floor: standard library alone. An exchange is mostly data (its file says what it needs,
how to ask it and how to read its answers); `inspection.py` walks the steps of a test.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from .problems import Words, gettext_noop

_ = gettext_noop

Known = bool | None  # yes, no, or unknown
Outcome = Literal["connected", "warnings", "refused", "failed"]
StepName = Literal["reachable", "clock", "key", "permissions", "balance", "orders"]
STEPS: tuple[StepName, ...] = ("reachable", "clock", "key", "permissions", "balance", "orders")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key as it is used: never in a repr, a log line, a pickle or a comparison's output."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)

    def __reduce__(self) -> Any:
        raise TypeError("credentials cannot be pickled")


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One value a trader pastes. `looks_like` matches samples seen so far; a value that does
    not match is still accepted, since exchanges change their formats without notice."""

    name: Literal["api_key", "secret", "passphrase"]
    label: str
    hint: str
    looks_like: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class GuideStep:
    """One step of the way to a key. `shows_ips` puts our addresses beside it."""

    title: str
    text: str
    shows_ips: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request that may be sent: exactly this method, host and path, nothing else.

    `endpoint` and `api` are ccxt's names for it (tests compare them with what ccxt's own
    implicit method would send); `params` are fixed parameters.
    """

    method: Literal["GET", "POST"]
    host: str
    path: str
    endpoint: str
    api: tuple[str, ...]
    signed: bool = True
    params: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` is None when nothing did, `data` is None unless it was JSON.

    `failure` says why there is no usable body: "connect", "timeout", "redirect", "too_large",
    "encoding", "not_json", "unsignable", or "" when there is one.
    """

    status: int | None = None
    data: Any = field(default=None, repr=False)
    failure: str = ""
    ms: int = 0  # from sending to the last byte
    received_ms: int = 0  # our clock when it was complete, milliseconds since 1970


Ask = Callable[[Call, Mapping[str, str]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means: `problem` is "" only with positive proof that the call worked."""

    problem: str = ""
    causes: tuple[str, ...] = ()
    code: str = ""  # the exchange's own code, for support
    seen_ip: str = ""  # the address the exchange says it saw

    @property
    def ok(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do: yes, no or unknown, each with the evidence (call and raw word)."""

    read: Known = None
    spot_trade: Known = None
    futures_trade: Known = None
    margin: Known = None
    transfer: Known = None
    withdraw: Known = None
    evidence: Mapping[str, str] = field(default_factory=dict)

    NAMES: ClassVar[tuple[str, ...]] = (
        "read",
        "spot_trade",
        "futures_trade",
        "margin",
        "transfer",
        "withdraw",
    )

    def as_dict(self) -> dict[str, Known]:
        return {name: getattr(self, name) for name in self.NAMES}

    @property
    def ready_for(self) -> tuple[str, ...]:
        """The markets that are proven, never assumed: of "spot" and "futures"."""
        if not self.read or self.withdraw:
            return ()
        markets = (("spot", self.spot_trade), ("futures", self.futures_trade))
        return tuple(market for market, may in markets if may)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What an exchange tells about a key. None and "" mean that it did not tell."""

    permissions: Permissions = field(default_factory=Permissions)
    ip_restricted: Known = None
    ips: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    uid: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test and its evidence. `ok` is None while it runs."""

    name: StepName
    ok: Known
    ms: int = 0
    call: str = ""
    http_status: int | None = None
    code: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Balance:
    """One currency's amounts as decimal strings, exactly as the exchange gave them."""

    currency: str
    free: str
    used: str
    total: str


@dataclass(frozen=True, slots=True)
class KeyReport:
    """The result of testing a key. It holds no secret and can be stored and shown."""

    outcome: Outcome
    steps: tuple[Step, ...]
    problem: str = ""
    causes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seen_ip: str = ""
    facts: KeyFacts = field(default_factory=KeyFacts)
    balances: tuple[Balance, ...] = ()
    skew_ms: int | None = None


class Exchange:
    """What is known about one exchange. Subclasses are data first, readers second."""

    code: ClassVar[str]  # ccxt's id, the file's name and the value in the database
    name: ClassVar[str]
    key_page: ClassVar[str]
    fields: ClassVar[tuple[CredentialField, ...]]
    guide: ClassVar[tuple[GuideStep, ...]]
    ip_separator: ClassVar[str] = ","  # what its form accepts between addresses, no blanks
    ip_maximum: ClassVar[int] = 0  # 0: not known
    words: ClassVar[Mapping[str, Words]] = {}
    clock_window_ms: ClassVar[int] = 5_000

    status_call: ClassVar[Call]
    time_call: ClassVar[Call]
    key_call: ClassVar[Call]
    calls: ClassVar[frozenset[Call]]  # the allow-list: nothing else is ever sent

    def read_time(self, answer: Answer) -> int | None:
        """The exchange's clock in milliseconds since 1970, or None."""
        raise NotImplementedError

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        """What an answer to `call` means."""
        raise NotImplementedError

    def key_params(self, credentials: Credentials) -> dict[str, str]:
        return {}

    async def key_facts(self, answer: Answer, ask: Ask, now: datetime) -> KeyFacts | Verdict:
        """What the key endpoint's answer (already accepted) says, asking on where it must."""
        raise NotImplementedError

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> Verdict:
        """A second call that separates the causes of an ambiguous refusal, where one exists."""
        return verdict

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """What other calls prove when the key endpoint refused; by default nothing."""
        return refusal

    def balance_call(self, facts: KeyFacts) -> Call:
        raise NotImplementedError

    def orders_call(self, facts: KeyFacts) -> Call:
        raise NotImplementedError

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        """Rows of currency, free and used, as ccxt's `safe_balance` takes them."""
        raise NotImplementedError
