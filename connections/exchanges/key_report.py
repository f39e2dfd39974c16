"""What a test finds out about a key, in shapes that can be stored and shown: no secret in them.

Ground floor: standard library alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, get_args

Known = bool | None  # yes, no, or unknown
Outcome = Literal["connected", "warnings", "refused", "failed"]
StepName = Literal["reachable", "clock", "key", "permissions", "products", "balance", "orders"]
STEPS: tuple[StepName, ...] = get_args(StepName)
Market = Literal["spot", "futures"]
SPOT_ALONE: Final[tuple[Market, ...]] = ("spot",)
FUTURES_ALONE: Final[tuple[Market, ...]] = ("futures",)
BOTH_MARKETS: Final[tuple[Market, ...]] = ("spot", "futures")


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
