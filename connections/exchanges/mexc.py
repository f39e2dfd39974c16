"""MEXC. Spot API v3 and contract API v1, both on one host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from .base import (
    FUTURES_ALONE,
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    Credentials,
    Exchange,
    KeyFacts,
    Known,
    Market,
    Permissions,
    Verdict,
)
from .reading import (
    code_of,
    ip_in,
    iso_moment,
    message_of,
    of_the_whole,
    permissions_from,
    short_text,
    transport_problem,
    whole_number,
    words_of,
)
from .words.mexc import FIELDS, GUIDE, WORDS

HOST: Final = "api.mexc.com"
SPOT = ("spot", "private")
CONTRACT = ("contract", "private")
# A key without an IP list ends by itself after 90 days (MEXC's API FAQ).
LIFE_WITHOUT_IPS = timedelta(days=90)
# The order that POST order/test checks and does not place; far from any price.
TEST_ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "1"}

PERMISSION_WORD = re.compile(
    r"(SPOT|CONTRACT|ISOLATED_MARGIN)_(ACCOUNT|DEAL|WITHDRAW|TRANSFER|DEPOSIT)_(R|READ|W|WRITE)"
)
# (product or "", subject, writes) -> the right it gives
RIGHTS = {
    ("SPOT", "ACCOUNT", False): "read",
    ("CONTRACT", "ACCOUNT", False): "read",
    ("SPOT", "DEAL", True): "spot_trade",
    ("CONTRACT", "DEAL", True): "futures_trade",
    ("ISOLATED_MARGIN", "DEAL", True): "margin",
}
ANY_PRODUCT = {("TRANSFER", True): "transfer", ("WITHDRAW", True): "withdraw"}

# Code -> problem, from MEXC's code tables and recorded answers. 700002 is said of a wrong secret
# and of an expired key alike, so it is never one of them.
PROBLEMS = {
    "10072": "invalid_key",
    "700001": "invalid_key",
    "700006": "ip_not_allowed",
    "10075": "ip_not_allowed",  # older code of the same
    "700007": "no_permission",
    "70011": "no_permission",
    "1002": "no_permission",  # contract: trading not allowed for this key
    **dict.fromkeys(("701", "702", "703", "704"), "no_permission"),  # contract
    "406": "ip_not_allowed",  # contract
    "1000": "restricted",  # contract: "Please open contract account first!"
    "30018": "key_disabled",
    "402": "key_expired",  # contract
    "602": "bad_secret",  # contract
    "10073": "clock_skew",
    "700003": "clock_skew",
    "513": "clock_skew",  # contract
    "429": "rate_limited",
    "510": "rate_limited",  # contract
    "503": "unavailable",
}
AMBIGUOUS = {"700002": ("bad_secret", "key_expired")}


class Mexc(Exchange):
    code = "mexc"
    name = "MEXC"
    key_page = "https://www.mexc.com/user/openapi"
    ip_maximum = 10
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call("GET", HOST, "/api/v3/time", "time", ("spot", "public"), False)
    key_call = Call("GET", HOST, "/api/v3/apiKeyInfo", "apiKeyInfo", SPOT)
    uid = Call("GET", HOST, "/api/v3/uid", "uid", SPOT)
    account = Call("GET", HOST, "/api/v3/account", "account", SPOT)
    open_orders = Call(
        "GET", HOST, "/api/v3/openOrders", "openOrders", SPOT, params={"symbol": "BTCUSDT"}
    )
    test_order = Call("POST", HOST, "/api/v3/order/test", "order/test", SPOT, params=TEST_ORDER)
    withdrawals = Call(
        "GET", HOST, "/api/v3/capital/withdraw/history", "capital/withdraw/history", SPOT
    )
    assets = Call("GET", HOST, "/api/v1/private/account/assets", "account/assets", CONTRACT)
    positions = Call(
        "GET", HOST, "/api/v1/private/position/open_positions", "position/open_positions", CONTRACT
    )
    # POST /api/v3/apiKeyInfo rewrites the key's IP list: it must never be in here.
    calls = frozenset(
        {time_call, key_call, uid, account, open_orders, test_order, withdrawals, assets, positions}
    )

    pays = {account: SPOT_ALONE, assets: FUTURES_ALONE}

    def key_params(self, credentials: Credentials) -> dict[str, str]:
        return {"accessKey": credentials.api_key}

    def read_time(self, answer: Answer) -> int | None:
        data = answer.data
        return whole_number(data.get("serverTime")) if isinstance(data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = code_of(answer.data), message_of(answer.data)
        if code in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[code], code)
        if code in PROBLEMS:
            return Verdict(PROBLEMS[code], code=code, seen_ip=ip_in(message))
        if code == "400" and "api key required" in message.lower():
            return Verdict("invalid_key", code=code)
        if problem := transport_problem(answer):
            return problem
        return Verdict() if self._proven(call, answer) else Verdict("unexpected", code=code)

    def _proven(self, call: Call, answer: Answer) -> bool:
        """Whether the answer holds what only success holds."""
        data = answer.data
        if answer.status != 200:
            return False
        if call == self.open_orders:
            return isinstance(data, list)
        if not isinstance(data, dict):
            return isinstance(data, list) and call == self.withdrawals
        if call.api == CONTRACT:
            return data.get("success") is True and isinstance(data.get("data"), list)
        if call == self.test_order:
            return data == {}
        field, kind = PROOF[call.path]
        return isinstance(data.get(field), kind)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        data: dict[str, Any] = answer.data
        if data.get("status", "VALID") != "VALID":
            # Other words are not documented: the key is not usable, and we do not know why.
            return Verdict("ambiguous", ("key_disabled", "key_expired"))
        ips = words_of(data.get("ipWhiteList"))
        created_at = iso_moment(data.get("createTime"))
        return KeyFacts(
            permissions=self._permissions(words_of(data["permissions"]) or ()),
            ip_restricted=None if ips is None else bool(ips),
            ips=ips or (),
            created_at=created_at,
            expires_at=_expiry(ips, created_at, whole_number(data.get("remainingValidity")), now),
            uid=await self._uid(ask),
            label=short_text(data.get("note"), 100),
        )

    def _permissions(self, words: tuple[str, ...]) -> Permissions:
        granted: dict[str, str] = {}
        unknown = []
        for word in words:
            match = PERMISSION_WORD.fullmatch(word.upper())
            if not match:
                unknown.append(word)
                continue
            product, subject, writes = match[1], match[2], match[3].startswith("W")
            right = RIGHTS.get((product, subject, writes)) or ANY_PRODUCT.get((subject, writes))
            if right:
                granted.setdefault(right, word)
        return permissions_from(granted, words, unknown, self.key_call)

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> Verdict:
        """Spot says the same of a wrong secret and of an expired key. The contract API has a code
        for each (602 and 402) and looks at them before it looks at rights."""
        if verdict.code not in AMBIGUOUS:
            return verdict
        second = self.verdict(self.assets, await ask(self.assets, {}))
        return second if second.problem in verdict.causes else verdict

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """The key endpoint needs a right that is not documented. Where it refuses for that (or
        is not there), the other calls still prove what the key may do, except withdrawing."""
        values: dict[str, Known] = {}
        evidence: dict[str, str] = {}
        for name, call in (("read", self.account), ("spot_trade", self.test_order)):
            verdict = self.verdict(call, await ask(call, {}))
            if verdict.problem not in {"", "no_permission"} and (
                call == self.account or verdict.problem != "unexpected"
            ):
                return verdict
            # A test order refused for its size says that orders are looked at, and nothing more.
            values[name] = None if verdict.problem == "unexpected" else verdict.ok
            evidence[name] = f"{call}: {verdict.code or 'works'}"
        history = self.verdict(self.withdrawals, await ask(self.withdrawals, {}))
        # Reading withdrawals proves nothing about making them, and neither does its refusal.
        evidence["withdraw"] = f"{self.withdrawals}: {history.code or 'readable'}, proves nothing"
        return KeyFacts(Permissions.of(values, evidence), uid=await self._uid(ask))

    async def _uid(self, ask: Ask) -> str:
        answer = await ask(self.uid, {})
        return short_text(answer.data["uid"]) if self.verdict(self.uid, answer).ok else ""

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.assets if _futures_only(facts) else self.account

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        spot = () if _futures_only(facts) else (self.open_orders,)
        return spot + ((self.positions,) if "futures" in facts.permissions.ready_for else ())

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.assets} if facts.permissions.futures_trade else {}

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        if "balances" in answer.data:
            return [
                {"currency": row.get("asset"), "free": row.get("free"), "used": row.get("locked")}
                for row in answer.data["balances"]
                if isinstance(row, dict)
            ]
        return [
            of_the_whole(row, "currency", "equity", "availableBalance")
            for row in answer.data["data"]
            if isinstance(row, dict)
        ]


PROOF: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "/api/v3/time": ("serverTime", (int, str)),
    "/api/v3/apiKeyInfo": ("permissions", str),
    "/api/v3/uid": ("uid", (int, str)),
    "/api/v3/account": ("balances", list),
}


def _futures_only(facts: KeyFacts) -> bool:
    return bool(facts.permissions.futures_trade) and facts.permissions.spot_trade is False


def _expiry(
    ips: tuple[str, ...] | None, created_at: datetime | None, days: int | None, now: datetime
) -> datetime | None:
    """The earlier of creation + 90 days (without an IP list) and what MEXC counts down. For a key
    with an IP list the count's meaning is not documented unless it is positive."""
    ends = []
    if created_at and ips == ():
        ends.append(created_at + LIFE_WITHOUT_IPS)
    if days and days < 3650:
        ends.append(now + timedelta(days=days))
    return min(ends) if ends else None
