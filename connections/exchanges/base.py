"""The shapes in which exchanges, keys and answers are spoken of.

Ground floor: standard library alone. An exchange is mostly data (its file says what it needs,
how to ask it and how to read its answers); `inspection.py` walks the steps of a test, and what
it finds is in `key_report.py`, whose names are to be had here too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from .key_report import BOTH_MARKETS as BOTH_MARKETS
from .key_report import FUTURES_ALONE as FUTURES_ALONE
from .key_report import SPOT_ALONE as SPOT_ALONE
from .key_report import STEPS as STEPS
from .key_report import Account as Account
from .key_report import Balance as Balance
from .key_report import KeyFacts as KeyFacts
from .key_report import KeyReport as KeyReport
from .key_report import Known as Known
from .key_report import Market as Market
from .key_report import Outcome as Outcome
from .key_report import Permissions as Permissions
from .key_report import Step as Step
from .key_report import StepName as StepName
from .problems import Words


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
