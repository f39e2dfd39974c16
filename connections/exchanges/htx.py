"""HTX (Huobi). Spot API v1 and v2, and contract API v5 on a host of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from .base import (
    FUTURES_ALONE,
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    Exchange,
    KeyFacts,
    Market,
    Permissions,
    Verdict,
)
from .htx_refusals import NO_REASON, code_in, refusal
from .reading import (
    moment,
    of_the_whole,
    permissions_from,
    short_text,
    transport_problem,
    whole_number,
    words_of,
)
from .words.htx import FIELDS, GUIDE, WORDS

HOST: Final = "api.huobi.pro"
CONTRACT_HOST: Final = "api.hbdm.vn"
PUBLIC = ("spot", "public")
SPOT = ("spot", "private")
CONTRACT = ("contract", "private")
LONGEST_LIFE = 3650  # days; a larger count is no date

# Word on a key -> the rights it gives. One word covers trading on every market; whether the
# contract account is opened is another question. No word is known to cover transfers.
RIGHTS: dict[str, tuple[str, ...]] = {
    "readonly": ("read",),
    "trade": ("spot_trade", "futures_trade", "margin"),
    "withdraw": ("withdraw",),
}


class Htx(Exchange):
    code = "htx"
    name = "HTX"
    key_page = "https://www.htx.com/en-us/apikey"
    ip_maximum = 20
    clock_window_ms = 60_000  # its pages say 5 minutes and 1 minute
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = Call("GET", HOST, "/v2/market-status", "v2/market-status", PUBLIC, False)
    time_call = Call("GET", HOST, "/v1/common/timestamp", "v1/common/timestamp", PUBLIC, False)
    # Telling about keys needs the account's number, which no key holds: hence two calls.
    key_call = Call("GET", HOST, "/v2/user/uid", "v2/user/uid", SPOT)
    key_list = Call("GET", HOST, "/v2/user/api-key", "v2/user/api-key", SPOT)
    accounts = Call("GET", HOST, "/v1/account/accounts", "v1/account/accounts", SPOT)
    balance = Call(
        "GET",
        HOST,
        "/v1/account/accounts/{account-id}/balance",
        "v1/account/accounts/{account-id}/balance",
        SPOT,
    )
    open_orders = Call("GET", HOST, "/v1/order/openOrders", "v1/order/openOrders", SPOT)
    contract_balance = Call(
        "GET", CONTRACT_HOST, "/v5/account/balance", "v5/account/balance", CONTRACT
    )
    positions = Call(
        "GET", CONTRACT_HOST, "/v5/trade/position/opens", "v5/trade/position/opens", CONTRACT
    )
    calls = frozenset(
        {
            *(status_call, time_call, key_call, key_list, accounts, balance, open_orders),
            *(contract_balance, positions),
        }
    )

    pays = {balance: SPOT_ALONE, contract_balance: FUTURES_ALONE}

    def read_time(self, answer: Answer) -> int | None:
        return whole_number(answer.data.get("data")) if isinstance(answer.data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        if refused := refusal(answer.data, contract=call.api == CONTRACT):
            return refused
        if problem := transport_problem(answer):
            return problem
        data, code = answer.data, code_in(answer.data)
        if answer.status != 200 or not isinstance(data, dict) or not _succeeded(call, data):
            return Verdict("unexpected", code=code)
        return self._proof(call, data.get("data"))

    def _proof(self, call: Call, data: Any) -> Verdict:
        """Success needs what only success holds: HTTP 200 comes with errors too."""
        inner = data if isinstance(data, dict) else {}
        if call == self.status_call and inner.get("marketStatus") in (2, "2"):
            return Verdict("unavailable")  # 1 normal, 2 halted, 3 cancelling only
        proven = {
            self.status_call.path: whole_number(inner.get("marketStatus")) is not None,
            self.time_call.path: whole_number(data) is not None,
            self.key_call.path: whole_number(data) is not None,
            self.accounts.path: _are_accounts(data),
            self.balance.path: isinstance(inner.get("list"), list),
            self.contract_balance.path: isinstance(inner.get("details"), list),
        }
        if proven.get(call.path, isinstance(data, list)):
            return Verdict()
        return Verdict("unexpected")

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        uid = short_text(answer.data["data"])
        told = await ask(self.key_list, {"uid": uid, "accessKey": api_key})
        verdict = self.verdict(self.key_list, told)
        if verdict.causes:
            verdict = await self.tell_apart(verdict, ask)
        if verdict.ok:
            return self._facts(uid, _own(told.data["data"], api_key), now)
        if verdict.problem not in {"no_permission", "unexpected"}:
            return verdict
        # A sub-account's key may not be allowed to ask: it works, and its rights stay unknown.
        return KeyFacts(self._unknown(f"refused ({verdict.code or 'not understood'})"), uid=uid)

    def _facts(self, uid: str, row: Mapping[str, Any] | None, now: datetime) -> KeyFacts | Verdict:
        if row is None:
            return KeyFacts(self._unknown("this key is not listed"), uid=uid)
        status = row.get("status", "normal")
        if status == "expired":
            return Verdict("key_expired", code="expired")
        if status != "normal":
            # Other words are not documented: the key is not usable, and we do not know why.
            return Verdict("ambiguous", ("key_disabled", "key_expired"), short_text(status, 20))
        ips = words_of(row.get("ipAddresses"))
        return KeyFacts(
            permissions=self._permissions(words_of(row.get("permission")) or ()),
            ip_restricted=None if ips is None else bool(ips),
            ips=ips or (),
            created_at=moment(row.get("createTime")),
            expires_at=_expiry(row.get("validDays"), now),
            uid=uid,
            label=short_text(row.get("note"), 100),
        )

    def _permissions(self, words: tuple[str, ...]) -> Permissions:
        granted: dict[str, str] = {}
        for word in words:
            for right in RIGHTS.get(word.lower(), ()):
                granted.setdefault(right, word)
        unknown = [word for word in words if word.lower() not in RIGHTS]
        read = permissions_from(granted, words, unknown, self.key_list)
        values = {**read.as_dict(), "transfer": None}
        return Permissions.of(values, {**read.evidence, "transfer": f"{self.key_list}: not told"})

    def _unknown(self, why: str) -> Permissions:
        return Permissions(
            evidence=dict.fromkeys(Permissions.NAMES, f"{self.key_list}: {why}"),
        )

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> Verdict:
        """v2 says "invalid signature" of a wrong key, a wrong secret and a wrong clock alike. v1
        has a message for each."""
        second = self.verdict(self.accounts, await ask(self.accounts, {}))
        return second if second.problem not in NO_REASON and not second.causes else verdict

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """v2's "forbidden" is not explained. Where v1 works, the key does."""
        second = self.verdict(self.accounts, await ask(self.accounts, {}))
        if second.ok:
            return KeyFacts(self._unknown("not asked, the account's number is not told"))
        if second.problem not in NO_REASON:
            return second
        if refusal.problem == "unexpected":
            return refusal
        return Verdict("ambiguous", ("no_permission", "restricted"), refusal.code)

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.contract_balance} if facts.permissions.futures_trade else {}

    async def ask_balance(self, facts: KeyFacts, ask: Ask) -> tuple[Call, Answer]:
        """Of the spot account, whose number another call tells."""
        answer = await ask(self.accounts, {})
        number = _spot_account(answer.data) if self.verdict(self.accounts, answer).ok else ""
        if not number:
            return self.accounts, answer
        return self.balance, await ask(self.balance, {"account-id": number})

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        return (self.open_orders, self.positions) if futures else (self.open_orders,)

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        data = answer.data["data"]
        if not isinstance(data, dict):
            return []  # accounts without a spot account among them
        if "details" in data:
            details = [row for row in data["details"] if isinstance(row, dict)]
            return [of_the_whole(row, "currency", "equity", "available") for row in details]
        return [
            {"currency": row.get("currency"), COLUMNS[row["type"]]: row.get("balance")}
            for row in data["list"]
            if isinstance(row, dict) and row.get("type") in ("trade", "frozen")
        ]


COLUMNS: Final = {"trade": "free", "frozen": "used"}


def _succeeded(call: Call, data: Mapping[str, Any]) -> bool:
    if call.path.startswith("/v1/"):
        return data.get("status") == "ok"
    return code_in(data) == "200"


def _are_accounts(data: Any) -> bool:
    return isinstance(data, list) and all(
        isinstance(row, dict) and whole_number(row.get("id")) is not None for row in data
    )


def _own(rows: list[Any], api_key: str) -> Mapping[str, Any] | None:
    """Without a match nothing is read: another key of the account says nothing of this one."""
    own = [row for row in rows if isinstance(row, dict) and row.get("accessKey") == api_key]
    return own[0] if len(own) == 1 else None


def _spot_account(data: Any) -> str:
    """Its number, "" where the account has none."""
    return next((str(row["id"]) for row in data["data"] if row.get("type") == "spot"), "")


def _expiry(days: Any, now: datetime) -> datetime | None:
    """-1 is permanent; HTX counts the days itself, with its rules for keys without IPs."""
    left = whole_number(days)
    return now + timedelta(days=left) if left is not None and left <= LONGEST_LIFE else None
