"""KuCoin. Classic spot and account API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from .base import (
    FUTURES_ALONE,
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    Exchange,
    KeyFacts,
    Known,
    Market,
    Permissions,
    Site,
    Verdict,
)
from .reading import (
    code_of,
    message_of,
    moment,
    of_the_whole,
    permissions_from,
    short_text,
    transport_problem,
    whole_number,
    words_of,
)
from .words.kucoin import FIELDS, GUIDE, WORDS

HOST: Final = "api.kucoin.com"
FUTURES_HOST: Final = "api-futures.kucoin.com"
PRIVATE = ("private",)
SUCCESS = "200000"
USDT: Final = "USDT"
# Types of account that spot orders are paid from. "main" holds deposits, "margin" loans.
TRADING: Final = ("trade", "trade_hf")

# Word on a key -> the rights it gives; an empty tuple is a word no rule asks about.
# "Transfer" is KuCoin's word for withdrawing; "InnerTransfer" moves between own accounts.
# "Trade" is on old keys and means spot and futures.
RIGHTS: dict[str, tuple[str, ...]] = {
    "general": ("read",),
    "spot": ("spot_trade",),
    "futures": ("futures_trade",),
    "margin": ("margin",),
    "innertransfer": ("transfer",),
    "transfer": ("withdraw",),
    "withdrawal": ("withdraw",),  # unconfirmed word, but it says what it gives: stay safe
    "withdraw": ("withdraw",),
    "trade": ("spot_trade", "futures_trade"),
    "earn": (),
    "unified": (),
}

PROBLEMS = {
    "400002": "clock_skew",
    "400004": "bad_passphrase",
    "400005": "bad_secret",
    "400006": "ip_not_allowed",
    "411100": "key_disabled",
    "400500": "restricted",
    "600004": "restricted",
    "400200": "restricted",
    "400303": "restricted",  # identity verification is missing
    "429000": "rate_limited",
    "500000": "unavailable",
}


class KuCoin(Exchange):
    code = "kucoin"
    name = "KuCoin"
    key_page = "https://www.kucoin.com/account/api"
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = Call("GET", HOST, "/api/v1/status", "status", ("public",), False)
    time_call = Call("GET", HOST, "/api/v1/timestamp", "timestamp", ("public",), False)
    key_call = Call("GET", HOST, "/api/v1/user/api-key", "user/api-key", PRIVATE)
    accounts = Call("GET", HOST, "/api/v1/accounts", "accounts", PRIVATE)
    active_orders = Call(
        "GET", HOST, "/api/v1/orders", "orders", PRIVATE, params={"status": "active"}
    )
    futures_account = Call(
        "GET",
        FUTURES_HOST,
        "/api/v1/account-overview",
        "account-overview",
        ("futuresPrivate",),
        params={"currency": USDT},  # one currency is told at a time
    )
    futures_positions = Call(
        "GET", FUTURES_HOST, "/api/v1/positions", "positions", ("futuresPrivate",)
    )
    calls = frozenset(
        {
            status_call,
            time_call,
            key_call,
            accounts,
            active_orders,
            futures_account,
            futures_positions,
        }
    )
    pays = {accounts: SPOT_ALONE, futures_account: FUTURES_ALONE}
    sites = (Site("eu", "KuCoin EU", {HOST: "api.kucoin.eu"}),)

    def read_time(self, answer: Answer) -> int | None:
        return whole_number(answer.data.get("data")) if isinstance(answer.data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = code_of(answer.data), message_of(answer.data)
        if code == "400003":
            return _unknown_key(code, message)
        if code == "400007" and "permission" in message.lower():
            return Verdict("no_permission", code=code)  # the same code also says "wrong version"
        if code in PROBLEMS:
            return Verdict(PROBLEMS[code], code=code)
        if problem := transport_problem(answer):
            return problem
        if answer.status != 200 or code != SUCCESS:
            return Verdict("unexpected", code=code)
        return self._proof(call, answer.data.get("data"))

    def _proof(self, call: Call, data: Any) -> Verdict:
        """Success needs the fields that only success holds; a code alone proves nothing."""
        if call == self.status_call and isinstance(data, dict) and data.get("status") == "close":
            return Verdict("unavailable", code=SUCCESS)
        proven = {
            # open, close or cancelonly
            self.status_call.path: isinstance(data, dict) and isinstance(data.get("status"), str),
            self.time_call.path: whole_number(data) is not None,
            self.key_call.path: isinstance(data, dict) and isinstance(data.get("permission"), str),
            self.accounts.path: isinstance(data, list),
            self.active_orders.path: isinstance(data, dict) and isinstance(data.get("items"), list),
            self.futures_account.path: isinstance(data, dict) and "currency" in data,
            self.futures_positions.path: isinstance(data, list),
        }
        return Verdict() if proven.get(call.path) else Verdict("unexpected", code=SUCCESS)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        data: dict[str, Any] = answer.data["data"]
        ips = words_of(data.get("ipWhitelist")) or ()
        return KeyFacts(
            permissions=self._permissions(words_of(data["permission"]) or ()),
            ip_restricted=_restricted(data, ips),
            ips=ips,
            created_at=moment(data.get("createdAt")),
            expires_at=moment(data.get("expiredAt")),
            uid=short_text(data.get("uid")),
            label=short_text(data.get("remark"), 100),
        )

    def _permissions(self, words: tuple[str, ...]) -> Permissions:
        granted: dict[str, str] = {}
        unknown = [word for word in words if word.lower() not in RIGHTS]
        for word in words:
            for right in RIGHTS.get(word.lower(), ()):
                granted.setdefault(right, word)
        return permissions_from(granted, words, unknown, self.key_call)

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.accounts

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        return (self.active_orders, self.futures_positions) if futures else (self.active_orders,)

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.futures_account} if facts.permissions.futures_trade else {}

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        data = answer.data["data"]
        if isinstance(data, dict):
            return [of_the_whole(data, "currency", "accountEquity", "availableBalance")]
        return [_row(row) for row in _rows(data) if row.get("type") in TRADING]

    def other_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        data = answer.data["data"]
        return [_row(row) for row in _rows(data) if row.get("type") not in TRADING]

    def currencies_told(self, call: Call, answer: Answer) -> tuple[str, ...] | None:
        return (USDT,) if call == self.futures_account else None


def _rows(data: Any) -> list[Mapping[str, Any]]:
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []


def _row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    names = {"currency": "currency", "free": "available", "used": "holds"}
    return {part: row.get(name) for part, name in names.items()}


def _unknown_key(code: str, message: str) -> Verdict:
    """400003: the newer text names two causes; a key that expired is deleted and reads the same."""
    if "mismatch" in message.lower() or "exist" not in message.lower():
        causes = ("invalid_key", "key_expired", "restricted")
        return Verdict("ambiguous", causes, code, elsewhere=True)
    return Verdict("invalid_key", code=code)


def _restricted(data: Mapping[str, Any], ips: tuple[str, ...]) -> Known:
    """No list means no restriction, except for a key made for a third-party app: KuCoin binds
    that one on its own side."""
    if ips:
        return True
    listed = data.get("ipWhitelist", "")
    return None if data.get("thirdPartyApp") or listed not in ("", None) else False
