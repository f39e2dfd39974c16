"""Bybit. API v5: spot and futures in one account, on one host per region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from . import pem
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
from .bybit_refusals import UNCLEAR_403, code_in, message_in, refusal_in, without_json
from .bybit_rights import addresses, end, permissions, restricted
from .problems import gettext_noop as _
from .reading import (
    EXACT,
    amount_of,
    iso_moment,
    short_text,
    transport_problem,
    whole_number,
)
from .words.bybit import FIELDS, GUIDE, WORDS

HOST: Final = "api.bybit.com"
PRIVATE = ("private",)
SUCCESS = "0"
CLASSIC = {"10001", "10020", "10028"}  # an account type that this account does not have
BOUND = ("locked", "totalOrderIM", "totalPositionIM")  # what orders and positions keep


def _site(code: str, name: str, host: str, *, demo: bool = False) -> Site:
    return Site(code, name, {HOST: host}, demo=demo)


class Bybit(Exchange):
    code = "bybit"
    name = "Bybit"
    key_page = "https://www.bybit.com/app/user/api-management"
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call(
        "GET", HOST, "/v5/market/time", "v5/market/time", ("public",), False
    )
    key_call = Call("GET", HOST, "/v5/user/query-api", "v5/user/query-api", PRIVATE)
    wallet = Call(
        "GET",
        HOST,
        "/v5/account/wallet-balance",
        "v5/account/wallet-balance",
        PRIVATE,
        params={"accountType": "UNIFIED"},
    )
    classic_wallet = replace(wallet, params={"accountType": "SPOT"})
    contract_wallet = replace(wallet, params={"accountType": "CONTRACT"})
    open_orders = Call(
        "GET",
        HOST,
        "/v5/order/realtime",
        "v5/order/realtime",
        PRIVATE,
        params={"category": "spot"},
    )
    positions = Call(
        "GET",
        HOST,
        "/v5/position/list",
        "v5/position/list",
        PRIVATE,
        params={"category": "linear", "settleCoin": "USDT"},
    )
    calls = frozenset(
        {
            *(time_call, key_call, wallet, classic_wallet, contract_wallet),
            *(open_orders, positions),
        }
    )
    pays = {wallet: BOTH_MARKETS, classic_wallet: SPOT_ALONE, contract_wallet: FUTURES_ALONE}
    sites = (
        _site("eu", "Bybit EU", "api.bybit.eu"),
        _site("tr", "Bybit TR", "api.bybit.tr"),
        _site("kz", "Bybit KZ", "api.bybit.kz"),
        _site("ae", "Bybit AE", "api.bybit.ae"),
        _site("nl", "Bybit NL", "api.bybit.nl"),
        _site("id", "Bybit ID", "api.bybit.id"),
        _site("ge", "Bybit Georgia", "api.bybitgeorgia.ge"),
        _site("jp", "Bybit JP", "api.manepa.jp"),
        _site("demo", "Bybit demo trading", "api-demo.bybit.com", demo=True),
        _site("testnet", "Bybit testnet", "api-testnet.bybit.com", demo=True),
    )

    def normalise(self, values: dict[str, str]) -> dict[str, str]:
        if not pem.looks_like_pem(values["secret"]):
            return values
        secret = pem.normalise(values["secret"])
        if pem.kind_of(secret) != "rsa":
            raise pem.Fault(
                _("Bybit's own keys are RSA keys. This private key is of another kind.")
            )
        return {**values, "secret": secret}

    def read_time(self, answer: Answer) -> int | None:
        return whole_number(answer.data.get("time")) if isinstance(answer.data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        """Bybit's errors come with HTTP 200 as a rule. Its messages are read and never kept: that
        of 10004 repeats the key."""
        code = code_in(answer.data)
        if verdict := refusal_in(code, message_in(answer.data)) or without_json(answer):
            return verdict
        if problem := transport_problem(answer):
            return replace(problem, code=code)
        if answer.status == 403:
            return Verdict("ambiguous", UNCLEAR_403, code)
        if answer.status != 200 or code != SUCCESS or not self._proven(call, answer.data):
            return Verdict("unexpected", code=code)
        return Verdict()

    def _proven(self, call: Call, data: Any) -> bool:
        """Whether the answer holds what only success holds; a code alone proves nothing."""
        result = data.get("result")
        if not isinstance(result, dict):
            return False
        if call == self.time_call:
            return "timeSecond" in result and whole_number(data.get("time")) is not None
        if call == self.key_call:
            return isinstance(result.get("permissions"), dict)
        rows = result.get("list")
        return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        data: dict[str, Any] = answer.data["result"]
        ips = addresses(data.get("ips"))
        return KeyFacts(
            permissions=permissions(data["permissions"], data.get("readOnly"), self.key_call),
            ip_restricted=restricted(ips, data.get("type")),
            ips=ips or (),
            created_at=iso_moment(data.get("createdAt")),
            expires_at=end(data.get("expiredAt"), data.get("deadlineDay"), now),
            uid=short_text(data.get("userID")),
            label=short_text(data.get("note"), 100),
        )

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """Where the key endpoint refuses, reading can still be proven. Nothing else can: Bybit has
        no order that is checked and not placed."""
        call, answer = await self.ask_balance(KeyFacts(), ask)
        verdict = self.verdict(call, answer)
        if not verdict.ok:
            return refusal if verdict.problem in {"no_permission", "unexpected"} else verdict
        return KeyFacts(Permissions.of({"read": True}, {"read": f"{call}: works"}))

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        """Some regional sites have no futures at all, whatever the key says."""
        return {"futures": self.positions} if facts.permissions.futures_trade else {}

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.wallet

    async def ask_balance(self, facts: KeyFacts, ask: Ask) -> tuple[Call, Answer]:
        """Accounts that were never made unified keep their spot money elsewhere."""
        answer = await ask(self.wallet, {})
        if code_in(answer.data) in CLASSIC:
            second = await ask(self.classic_wallet, {})
            if self.verdict(self.classic_wallet, second).ok:
                return self.classic_wallet, second
        return self.wallet, answer

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        return (self.open_orders, self.positions) if futures else (self.open_orders,)

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        accounts = [account.get("coin") for account in answer.data["result"]["list"]]
        return [
            _balance(row)
            for coins in accounts
            if isinstance(coins, list)
            for row in coins
            if isinstance(row, dict)
        ]


def _balance(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A unified account tells the whole and what is bound; what is free is the rest."""
    used = Decimal()
    for name in BOUND:
        used = EXACT.add(used, amount_of(row.get(name)) or Decimal())
    free = EXACT.subtract(amount_of(row.get("walletBalance")) or Decimal(), used)
    return {"currency": row.get("coin"), "free": f"{free:f}", "used": f"{used:f}"}
