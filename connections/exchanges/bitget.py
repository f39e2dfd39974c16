"""Bitget. Unified accounts speak v3, classic accounts v2; each refuses the other's calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from .base import (
    BOTH_MARKETS,
    FUTURES_ALONE,
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    Exchange,
    KeyFacts,
    Market,
    Permissions,
    Site,
    Verdict,
)
from .bitget_rights import classic_facts, unified_facts
from .pem import Fault, looks_like_pem
from .problems import gettext_noop as _
from .reading import (
    code_of,
    ip_in,
    message_of,
    of_the_whole,
    transport_problem,
    whole_number,
)
from .words.bitget import FIELDS, GUIDE, WORDS

HOST: Final = "api.bitget.com"
USDT = "USDT-FUTURES"
SUCCESS = "00000"
OTHER_MODE = {"40084", "40085"}  # "You are in Classic (Unified) Account mode"

# Code -> problem, from Bitget's code table and recorded answers.
PROBLEMS = {
    **dict.fromkeys(("40001", "40006", "40037"), "invalid_key"),
    **dict.fromkeys(("40002", "40003", "40009"), "bad_secret"),
    **dict.fromkeys(("40011", "40036"), "bad_passphrase"),
    **dict.fromkeys(("40018", "40038", "49003"), "ip_not_allowed"),
    **dict.fromkeys(("40014", "40040"), "no_permission"),
    **dict.fromkeys(("40013", "40024", "40026", "40031"), "key_disabled"),
    **dict.fromkeys(("40004", "40005", "40008"), "clock_skew"),
    # 40099: the key is of demo trading and the request is not, or the other way round.
    **dict.fromkeys(("40000", "40016", "40022", "40023", "40025", "40099"), "restricted"),
    "429": "rate_limited",
    **dict.fromkeys(("40015", "40200", "40308"), "unavailable"),
}
AMBIGUOUS = {
    "40012": ("bad_passphrase", "invalid_key"),
    "40010": ("clock_skew", "bad_secret", "unavailable"),  # a wrong signature was seen behind it
    **dict.fromkeys(OTHER_MODE, ("restricted", "unexpected")),
}
ELSEWHERE = {"40006", "40037", "40099"}


def _get(path: str, api: str, **params: str) -> Call:
    return Call("GET", HOST, path, path.removeprefix("/api/"), ("private", api), params=params)


class Bitget(Exchange):
    code = "bitget"
    name = "Bitget"
    key_page = "https://www.bitget.com/account/newapi"
    clock_window_ms = 30_000
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call(
        "GET", HOST, "/api/v2/public/time", "v2/public/time", ("public", "common"), False
    )
    key_call = _get("/api/v3/account/info", "uta")
    assets = _get("/api/v3/account/assets", "uta")
    orders = _get("/api/v3/trade/unfilled-orders", "uta")
    positions = _get("/api/v3/position/current-position", "uta", category=USDT)
    classic_key = _get("/api/v2/spot/account/info", "spot")
    classic_assets = _get("/api/v2/spot/account/assets", "spot")
    classic_orders = _get("/api/v2/spot/trade/unfilled-orders", "spot")
    futures_accounts = _get("/api/v2/mix/account/accounts", "mix", productType=USDT)
    futures_positions = _get(
        "/api/v2/mix/position/all-position", "mix", productType=USDT, marginCoin="USDT"
    )
    calls = frozenset(
        {
            *(time_call, key_call, assets, orders, positions, classic_key, classic_assets),
            *(classic_orders, futures_accounts, futures_positions),
        }
    )
    pays = {assets: BOTH_MARKETS, classic_assets: SPOT_ALONE, futures_accounts: FUTURES_ALONE}
    sites = (Site("demo", "Bitget Demo Trading", headers={"paptrading": "1"}, demo=True),)

    def normalise(self, values: dict[str, str]) -> dict[str, str]:
        if looks_like_pem(values["secret"]):
            raise Fault(_("RSA keys cannot be used here. Create a system-generated key instead."))
        return values

    def read_time(self, answer: Answer) -> int | None:
        data = answer.data.get("data") if isinstance(answer.data, dict) else None
        return whole_number(data.get("serverTime")) if isinstance(data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        """By the code alone: it comes with HTTP 200 and 400, and its message is localised."""
        code = code_of(answer.data)
        if code in OTHER_MODE and call == self.key_call:
            return Verdict("no_permission", code=code)  # a known key; `probe` asks the other kind
        if code in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[code], code)
        if code in PROBLEMS:
            seen_ip = ip_in(message_of(answer.data)) if code == "40018" else ""
            return Verdict(PROBLEMS[code], (), code, seen_ip, code in ELSEWHERE)
        if problem := transport_problem(answer):
            return problem
        if answer.status != 200 or code != SUCCESS:
            return Verdict("unexpected", code=code)
        proven = self._proven(call, answer.data.get("data"))
        return Verdict() if proven else Verdict("unexpected", code=code)

    def _proven(self, call: Call, data: Any) -> bool:
        """Whether the answer holds what only success holds."""
        if call.api[-1] in {"spot", "mix"} and call != self.classic_key:
            return isinstance(data, list)
        if not isinstance(data, dict):
            return False
        if call in {self.orders, self.positions}:
            return "list" in data and isinstance(data["list"], list | None)
        name, kind = PROOF[call.path]
        return isinstance(data.get(name), kind)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        return unified_facts(answer.data["data"], self.key_call)

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """A classic account is told by its own key endpoint. That one needs the right to read
        spot; a key without it still proves what it reads of futures."""
        answer = await ask(self.classic_key, {})
        verdict = self.verdict(self.classic_key, answer)
        if verdict.ok:
            return classic_facts(answer.data["data"], self.classic_key)
        if verdict.code in OTHER_MODE and refusal.code not in OTHER_MODE:
            return refusal  # a unified account, and its own endpoint refused
        if verdict.problem != "no_permission":
            return verdict
        futures = self.verdict(self.futures_accounts, await ask(self.futures_accounts, {}))
        if not futures.ok:
            return verdict
        lacks_spot = verdict.code == "40014"  # "need spot order read or spot order write"
        values = {"read": True, "spot_trade": False if lacks_spot else None}
        evidence = dict.fromkeys(Permissions.NAMES, f"{self.classic_key}: {verdict.code}")
        evidence["read"] = f"{self.futures_accounts}: works"
        return KeyFacts(Permissions.of(values, evidence))

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> Verdict:
        """40010 is either our clock or not: the clocks are compared once more."""
        if verdict.code != "40010":
            return verdict
        answer = await ask(self.time_call, {})
        theirs = self.read_time(answer)
        if theirs is None:
            return verdict
        if abs(theirs - answer.received_ms) - answer.ms > self.clock_window_ms:
            return Verdict("clock_skew", code=verdict.code)
        return replace(verdict, causes=verdict.causes[1:])

    def _is_unified(self, facts: KeyFacts) -> bool:
        return facts.permissions.evidence.get("withdraw", "").startswith(f"{self.key_call}:")

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        if self._is_unified(facts) or not facts.permissions.futures_trade:
            return {}
        return {"futures": self.futures_accounts}

    def balance_call(self, facts: KeyFacts) -> Call:
        if self._is_unified(facts):
            return self.assets
        return self.futures_accounts if _futures_only(facts) else self.classic_assets

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        if self._is_unified(facts):
            return (self.orders, self.positions) if futures else (self.orders,)
        spot = () if _futures_only(facts) else (self.classic_orders,)
        return spot + ((self.futures_positions,) if futures else ())

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        data = answer.data["data"]
        listed = data["assets"] if isinstance(data, dict) else data
        rows = [row for row in listed if isinstance(row, dict)]
        if isinstance(data, dict):
            return [of_the_whole(row, "coin", "equity", "available") for row in rows]
        if any("marginCoin" in row for row in rows):
            return [of_the_whole(row, "marginCoin", "accountEquity", "available") for row in rows]
        return [
            {"currency": row.get("coin"), part: row.get(name)}
            for row in rows
            for part, name in (("free", "available"), ("used", "frozen"), ("used", "locked"))
        ]

    def currencies_told(self, call: Call, answer: Answer) -> tuple[str, ...] | None:
        return ("USDT",) if call == self.futures_accounts else None


PROOF: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "/api/v2/public/time": ("serverTime", (str, int)),
    "/api/v3/account/info": ("permissions", list),
    "/api/v3/account/assets": ("assets", list),
    "/api/v2/spot/account/info": ("authorities", list),
}


def _futures_only(facts: KeyFacts) -> bool:
    return facts.permissions.spot_trade is False and facts.permissions.futures_trade is not False
