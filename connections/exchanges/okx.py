"""OKX. API v5: spot and futures in one account, on one host per region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from .base import (
    BOTH_MARKETS,
    Answer,
    Ask,
    Call,
    Exchange,
    KeyFacts,
    Permissions,
    Site,
    Verdict,
)
from .reading import (
    code_of,
    ip_in,
    message_of,
    of_the_whole,
    permissions_from,
    short_text,
    transport_problem,
    whole_number,
    words_of,
)
from .words.okx import FIELDS, GUIDE, WORDS

HOST: Final = "www.okx.com"
PUBLIC, PRIVATE = ("public",), ("private",)
SUCCESS = "0"
DEMO = {"x-simulated-trading": "1"}  # the header alone makes it the practice account
REGIONS = (
    ("eea", "OKX EEA", "eea.okx.com"),
    ("us", "OKX US", "us.okx.com"),
    ("tr", "OKX TR", "tr.okx.com"),
)

# Word in a key's `perm` -> the rights it gives. "trade" places spot and futures orders and moves
# funds between own accounts; some keys of sub-accounts say "read".
RIGHTS: dict[str, tuple[str, ...]] = {
    "read_only": ("read",),
    "read": ("read",),
    "trade": ("spot_trade", "futures_trade", "margin", "transfer"),
    "withdraw": ("withdraw",),
}
SPOT_MODE = "1"
FUTURES_MODES = frozenset({"2", "3", "4"})  # account modes in which futures can be traded

# Code -> problem, from OKX's code table and recorded answers.
PROBLEMS = {
    **dict.fromkeys(("50103", "50111"), "invalid_key"),
    **dict.fromkeys(("50106", "50113"), "bad_secret"),
    **dict.fromkeys(("50104", "50105"), "bad_passphrase"),
    **dict.fromkeys(("50110", "50118"), "ip_not_allowed"),  # 50118: a third party's address list
    **dict.fromkeys(("50030", "50035", "50120"), "no_permission"),  # 50035: asks for an IP list
    **dict.fromkeys(("50102", "50112"), "clock_skew"),
    **dict.fromkeys(("50007", "50009", "50012", "50027", "50029", "50100"), "key_disabled"),
    **dict.fromkeys(("4088", "50038", "50041", "50051", "50052", "50060"), "restricted"),
    **dict.fromkeys(("50121", "51010"), "restricted"),  # by address; by account mode
    **dict.fromkeys(("50011", "50040", "50061"), "rate_limited"),
    **dict.fromkeys(("500", "50001", "50004", "50005", "50013", "50026"), "unavailable"),
}
AMBIGUOUS = {
    "50008": ("invalid_key", "key_disabled"),  # "User does not exist"
    "50114": ("invalid_key", "bad_secret", "bad_passphrase"),  # "Invalid authorization"
}
# Said where the key is not known: it may be known to another regional site, or to the practice
# account (50101). Keys without an IP list are deleted when unused, and then read the same.
ELSEWHERE = {
    "50119": ("invalid_key", "key_expired", "restricted"),
    "50101": ("restricted", "invalid_key"),
}


class Okx(Exchange):
    code = "okx"
    name = "OKX"
    key_page = "https://www.okx.com/account/my-api"
    ip_maximum = 20
    clock_window_ms = 30_000
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    # Not system/status: that one may be asked once in 5 seconds only, by all tests together.
    status_call = time_call = Call("GET", HOST, "/api/v5/public/time", "public/time", PUBLIC, False)
    key_call = Call("GET", HOST, "/api/v5/account/config", "account/config", PRIVATE)
    balance = Call("GET", HOST, "/api/v5/account/balance", "account/balance", PRIVATE)
    open_orders = Call("GET", HOST, "/api/v5/trade/orders-pending", "trade/orders-pending", PRIVATE)
    positions = Call("GET", HOST, "/api/v5/account/positions", "account/positions", PRIVATE)
    calls = frozenset({time_call, key_call, balance, open_orders, positions})
    # A key that trades spot alone here is one whose account is in spot mode.
    pays = {balance: BOTH_MARKETS}
    sites = (
        *(Site(code, name, {HOST: host}) for code, name, host in REGIONS),
        Site("demo", "OKX demo trading", headers=DEMO, demo=True),
        *(
            Site(f"{code}_demo", f"{name} demo trading", {HOST: host}, DEMO, demo=True)
            for code, name, host in REGIONS
        ),
    )

    def read_time(self, answer: Answer) -> int | None:
        return whole_number(_first(answer.data).get("ts"))

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = code_of(answer.data), message_of(answer.data)
        if code in ELSEWHERE:
            return Verdict("ambiguous", ELSEWHERE[code], code, elsewhere=True)
        if code in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[code], code)
        if code in PROBLEMS:
            return Verdict(PROBLEMS[code], code=code, seen_ip=ip_in(message))
        if problem := transport_problem(answer):
            return problem
        if answer.status != 200 or code != SUCCESS or not self._proven(call, answer.data):
            return Verdict("unexpected", code=code)
        return Verdict()

    def _proven(self, call: Call, data: Any) -> bool:
        """Whether the answer holds what only success holds; a code alone proves nothing."""
        rows = data.get("data")
        if call in {self.open_orders, self.positions}:
            return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        field, kind = PROOF[call.path]
        return isinstance(_first(data).get(field), kind)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        """OKX tells neither when a key was made nor when it ends."""
        data = _first(answer.data)
        ips = words_of(data.get("ip"))
        return KeyFacts(
            permissions=self._permissions(
                words_of(data["perm"]) or (), short_text(data.get("acctLv"), 10)
            ),
            ip_restricted=None if ips is None else bool(ips),
            ips=ips or (),
            uid=short_text(data.get("uid")),
            label=short_text(data.get("label"), 100),
        )

    def _permissions(self, words: tuple[str, ...], mode: str) -> Permissions:
        granted: dict[str, str] = {}
        unknown = [word for word in words if word.lower() not in RIGHTS]
        for word in words:
            for right in RIGHTS.get(word.lower(), ()):
                granted.setdefault(right, word)
        return _in_mode(permissions_from(granted, words, unknown, self.key_call), mode)

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """Where the key endpoint refuses, reading can still be proven. Nothing else can: OKX has
        no order that is checked and not placed for every account mode."""
        verdict = self.verdict(self.balance, await ask(self.balance, {}))
        if not verdict.ok:
            return refusal if verdict.problem in {"no_permission", "unexpected"} else verdict
        evidence = {"read": f"{self.balance}: works"}
        return KeyFacts(Permissions.of({"read": True}, evidence))

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.balance

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        return (self.open_orders, self.positions) if futures else (self.open_orders,)

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        """What is frozen does not count all that positions keep, so the whole is the equity."""
        rows = (row for row in _first(answer.data)["details"] if isinstance(row, dict))
        frees = ((row, "availBal" if row.get("availBal") else "availEq") for row in rows)
        return [of_the_whole(row, "ccy", "eq", free) for row, free in frees]


PROOF: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "/api/v5/public/time": ("ts", (str, int)),
    "/api/v5/account/config": ("perm", str),
    "/api/v5/account/balance": ("details", list),
}


def _first(data: Any) -> Mapping[str, Any]:
    """The one row of an answer, or an empty one."""
    rows = data.get("data") if isinstance(data, dict) else None
    row = rows[0] if isinstance(rows, list) and rows else None
    return row if isinstance(row, dict) else {}


def _in_mode(may: Permissions, mode: str) -> Permissions:
    """The right to trade is one for all markets; the account's mode says whether futures and
    margin can be used with it. A mode nobody documents leaves that unknown."""
    if not may.futures_trade:
        return may
    evidence = dict(may.evidence)
    for name in ("futures_trade", "margin"):
        evidence[name] += f", acctLv {mode or '?'}"
    may = replace(may, evidence=evidence)
    if mode == SPOT_MODE:
        return replace(may, margin=None, closed=("futures",))
    return may if mode in FUTURES_MODES else replace(may, futures_trade=None, margin=None)
