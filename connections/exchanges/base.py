"""The shapes in which exchanges, keys and answers are spoken of.

Ground floor: standard library alone. An exchange is mostly data (its file says what it needs,
how to ask it and how to read its answers); `inspection.py` walks the steps of a test.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, get_args

from .problems import Words, gettext_noop

_ = gettext_noop

Known = bool | None  # yes, no, or unknown
Outcome = Literal["connected", "warnings", "refused", "failed"]
StepName = Literal["reachable", "clock", "key", "permissions", "products", "balance", "orders"]
STEPS: tuple[StepName, ...] = get_args(StepName)
Market = Literal["spot", "futures"]
SPOT_ALONE: Final[tuple[Market, ...]] = ("spot",)
FUTURES_ALONE: Final[tuple[Market, ...]] = ("futures",)
BOTH_MARKETS: Final[tuple[Market, ...]] = ("spot", "futures")


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
    not match is still accepted, since exchanges change their formats without notice.
    `multiline` values may be a PEM with its line breaks."""

    name: Literal["api_key", "secret", "passphrase"]
    label: str
    hint: str
    looks_like: re.Pattern[str] | None = None
    multiline: bool = False


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
    implicit method would send); `params` are fixed parameters. A `{name}` in the path stands for
    one parameter: letters, digits and hyphens.
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

    def is_path(self, path: str) -> bool:
        if "{" not in self.path:
            return path == self.path
        pattern = re.sub(r"\\\{.*?\\\}", r"[\\w-]+", re.escape(self.path))
        return bool(re.fullmatch(pattern, path))


@dataclass(frozen=True, slots=True)
class Site:
    """Another place where an exchange keeps accounts: regional, or for practice (`demo`).

    `hosts` maps the main site's hosts to this site's; what is not in it is the same host.
    `headers` are added to every request. None of these are part of a signature.
    """

    code: str
    name: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    demo: bool = False


MAIN = Site("", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` is None when nothing did, `data` is None unless it was JSON.

    `failure` says why there is no usable body: "connect", "timeout", "redirect", "too_large",
    "encoding", "not_json", "unsignable", or "" when there is one. `text` is the beginning of a
    body that is not JSON, and `reason` the HTTP reason phrase, for exchanges that speak there.
    """

    status: int | None = None
    data: Any = field(default=None, repr=False)
    failure: str = ""
    ms: int = 0  # from sending to the last byte
    received_ms: int = 0  # our clock when it was complete, milliseconds since 1970
    text: str = field(default="", repr=False)
    reason: str = field(default="", repr=False)


Ask = Callable[[Call, Mapping[str, str]], Awaitable[Answer]]
AskAt = Callable[[Site], Ask]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means: `problem` is "" only with positive proof that the call worked.

    `elsewhere` says that the key may belong to another site of the exchange.
    """

    problem: str = ""
    causes: tuple[str, ...] = ()
    code: str = ""  # the exchange's own code, for support
    seen_ip: str = ""  # the address the exchange says it saw
    elsewhere: bool = False

    @property
    def ok(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do: yes, no or unknown, each with the evidence (call and raw word).

    `closed` names markets whose account is not proven to be opened, whatever the right."""

    read: Known = None
    spot_trade: Known = None
    futures_trade: Known = None
    margin: Known = None
    transfer: Known = None
    withdraw: Known = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    closed: tuple[str, ...] = ()

    NAMES: ClassVar[tuple[str, ...]] = (
        "read",
        "spot_trade",
        "futures_trade",
        "margin",
        "transfer",
        "withdraw",
    )

    @classmethod
    def of(cls, values: Mapping[str, Known], evidence: Mapping[str, str]) -> Permissions:
        """From yes, no or unknown by name; a name that is missing is unknown."""
        known: list[Known] = [values.get(name) for name in cls.NAMES]
        return replace(cls(*known), evidence=evidence)  # type: ignore[arg-type]

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Permissions:
        """The reverse of `to_store`; an empty mapping is all unknown."""
        evidence, closed = stored.get("evidence", {}), tuple(stored.get("closed", ()))
        return replace(cls.of(stored, evidence), closed=closed)

    def to_store(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**self.as_dict(), "evidence": dict(self.evidence), "closed": list(self.closed)}

    def as_dict(self) -> dict[str, Known]:
        return {name: getattr(self, name) for name in self.NAMES}

    def trades(self, market: Market) -> Known:
        return self.spot_trade if market == "spot" else self.futures_trade

    @property
    def ready_for(self) -> tuple[Market, ...]:
        """The markets that are proven, never assumed."""
        if not self.read or self.withdraw:
            return ()
        markets: tuple[Market, ...] = get_args(Market)
        return tuple(each for each in markets if self.trades(each) and each not in self.closed)


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
    """One step of a test and its evidence. `ok` is None while it runs; `at` is when it was
    answered, in milliseconds since 1970."""

    name: StepName
    ok: Known
    ms: int = 0
    call: str = ""
    http_status: int | None = None
    code: str = ""
    at: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Balance:
    """One currency's amounts as decimal strings, as the exchange gave them. `markets` are those
    whose trades they pay for: both on a unified account, none where nothing is known to."""

    currency: str
    free: str
    used: str
    total: str
    markets: tuple[Market, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """An account that was read. Of `currencies` the amount is known, None: of every currency; one
    that is known and has no Balance is zero."""

    markets: tuple[Market, ...]
    currencies: tuple[str, ...] | None = None


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
    accounts: tuple[Account, ...] = ()
    skew_ms: int | None = None
    site: str = ""

    @property
    def works(self) -> bool:
        return self.outcome in {"connected", "warnings"}


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
    sites: ClassVar[tuple[Site, ...]] = ()  # beside the main one, in the order to try them

    status_call: ClassVar[Call]
    time_call: ClassVar[Call]
    key_call: ClassVar[Call]
    calls: ClassVar[frozenset[Call]]  # the allow-list: nothing else is ever sent
    # Whose trades are paid from the account that a call reads.
    pays: ClassVar[Mapping[Call, tuple[Market, ...]]] = {}

    def read_time(self, answer: Answer) -> int | None:
        """The exchange's clock in milliseconds since 1970, or None."""
        raise NotImplementedError

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        """What an answer to `call` means."""
        raise NotImplementedError

    def normalise(self, values: dict[str, str]) -> dict[str, str]:
        """Pasted values, stripped, in the form this exchange takes. Raises pem.Fault."""
        return values

    def key_call_at(self, site: Site) -> Call:
        """What shows whether `site` knows a key: another call where it has no key endpoint. The
        success of another call goes to `probe`."""
        return self.key_call

    def key_params(self, credentials: Credentials) -> dict[str, str]:
        return {}

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        """What the key endpoint's answer (already accepted) says, asking on where it must.
        `api_key` finds the own key where an exchange lists several."""
        raise NotImplementedError

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """A second call that separates the causes of an ambiguous refusal, where one exists. Facts
        where the key endpoint refused only in passing."""
        return verdict

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """What other calls prove when the key endpoint refused; by default nothing."""
        return refusal

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        """Calls that only an opened account of a market answers, for markets where a right alone
        does not prove that. A refusal as `restricted` means that it is not opened."""
        return {}

    async def ask_balance(self, facts: KeyFacts, ask: Ask) -> tuple[Call, Answer]:
        call = self.balance_call(facts)
        return call, await ask(call, {})

    def balance_call(self, facts: KeyFacts) -> Call:
        raise NotImplementedError

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        """What shows the status of orders and, with the futures right, of positions."""
        raise NotImplementedError

    def site(self, code: str) -> Site:
        """The site of that code, the main one where there is none."""
        return next((site for site in self.sites if site.code == code), MAIN)

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        """Rows of currency, free and used, as ccxt's `safe_balance` takes them."""
        raise NotImplementedError

    def other_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        """The same, of accounts in that answer from which no trade is paid."""
        return []

    def currencies_told(self, call: Call, answer: Answer) -> tuple[str, ...] | None:
        """Of which currencies an accepted answer tells what trades are paid from. None: of all;
        an empty tuple: of none."""
        return None
