"""Gate.io. API v4; what a key may do is read from the list of all keys of its account."""

from __future__ import annotations

import re
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
from .gate_rights import addresses, facts_of, own_row
from .reading import (
    ip_in,
    message_of,
    of_the_whole,
    short_text,
    transport_problem,
    whole_number,
)
from .words.gate import FIELDS, GUIDE, WORDS

HOST: Final = "api.gateio.ws"
CLASSIC_MODE: Final = (None, 0, "0")  # `margin_mode`; answers of older accounts have none
# Label -> problem, from Gate.io's table and recorded answers.
PROBLEMS = {
    "INVALID_SIGNATURE": "bad_secret",
    "MISSING_REQUIRED_HEADER": "bad_secret",
    "IP_FORBIDDEN": "ip_not_allowed",
    "READ_ONLY": "no_permission",
    "ACCOUNT_LOCKED": "key_disabled",
    "SUB_ACCOUNT_LOCKED": "key_disabled",
    "REQUEST_EXPIRED": "clock_skew",
    "USER_NOT_FOUND": "restricted",  # futures: the account was never opened
    "TOO_MANY_REQUESTS": "rate_limited",
    **dict.fromkeys(("INTERNAL", "SERVER_ERROR", "TOO_BUSY"), "unavailable"),
}
AMBIGUOUS = {
    "INVALID_CREDENTIALS": ("invalid_key", "bad_secret"),
    "REQUEST_FORBIDDEN": ("no_permission", "restricted"),
}


def _get(path: str, api: str, endpoint: str, **params: str) -> Call:
    return Call("GET", HOST, f"/api/v4/{path}", endpoint, ("private", api), params=params)


class Gate(Exchange):
    code = "gate"
    name = "Gate.io"
    key_page = "https://www.gate.io/myaccount/api_key_manage"
    ip_maximum = 20
    clock_window_ms = 60_000
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call(
        "GET", HOST, "/api/v4/spot/time", "time", ("public", "spot"), False
    )
    key_call = _get("account/main_keys", "account", "main_keys")
    detail = _get("account/detail", "account", "detail")
    accounts = _get("spot/accounts", "spot", "accounts")
    open_orders = _get("spot/open_orders", "spot", "open_orders")
    futures_account = _get("futures/usdt/accounts", "futures", "{settle}/accounts", settle="usdt")
    positions = _get("futures/usdt/positions", "futures", "{settle}/positions", settle="usdt")
    calls = frozenset(
        {time_call, key_call, detail, accounts, open_orders, futures_account, positions}
    )
    pays = {accounts: SPOT_ALONE, futures_account: FUTURES_ALONE}
    sites = (
        Site("eu", "Gate EU", {HOST: "api.gateeu.com"}),
        Site("testnet", "Gate.io TestNet", {HOST: "api-testnet.gateapi.io"}, demo=True),
    )

    def read_time(self, answer: Answer) -> int | None:
        data = answer.data
        return whole_number(data.get("server_time")) if isinstance(data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        label, message = _label(answer.data), message_of(answer.data)
        if label == "INVALID_KEY":
            return _invalid_key(call, message.lower())
        if label == "FORBIDDEN":
            return _forbidden(message)
        if label in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[label], label)
        if label in PROBLEMS:
            return Verdict(PROBLEMS[label], (), label, ip_in(message))
        if problem := transport_problem(answer):
            return problem
        proven = answer.status == 200 and not label and self._proven(call, answer.data)
        return Verdict() if proven else Verdict("unexpected", code=label)

    def _proven(self, call: Call, data: Any) -> bool:
        """Whether the answer holds what only success holds."""
        if call in {self.accounts, self.open_orders, self.positions}:
            return isinstance(data, list)
        if call == self.key_call:
            # The documents show a list and describe one object.
            return isinstance(data, list) or (isinstance(data, dict) and "perms" in data)
        name = {self.detail: "user_id", self.time_call: "server_time"}.get(call, "available")
        return isinstance(data, dict) and isinstance(data.get(name), int | str)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        row = own_row(answer.data, api_key)
        if row is None:
            return await self._detail(ask, {}, f"{self.key_call}: this key is not in the list")
        return facts_of(row, now, self.key_call)

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """The list of keys needs a right of its own. Without it, calls still prove reading, and
        the lack of a product's right; none that may be sent proves trading or withdrawing."""
        values: dict[str, Known] = {}
        for name, call in (
            ("spot_trade", self.accounts),
            ("futures_trade", self.futures_account),
        ):
            verdict = self.verdict(call, await ask(call, {}))
            if verdict.ok:
                return await self._detail(
                    ask, {**values, "read": True}, f"{self.key_call}: {refusal.code}", call
                )
            if verdict.problem != "no_permission":
                return verdict
            values[name] = False if verdict.code == "FORBIDDEN" else None
        return refusal

    async def _detail(
        self, ask: Ask, values: Mapping[str, Known], why: str, proof: Call | None = None
    ) -> KeyFacts:
        """What can be said of a key whose rights are not told. This endpoint knows no rights, but
        the account and the addresses of the key that asks."""
        evidence = dict.fromkeys(Permissions.NAMES, why)
        if proof:
            evidence["read"] = f"{proof}: works"
        answer = await ask(self.detail, {})
        ips, uid = None, ""
        if self.verdict(self.detail, answer).ok:
            ips, uid = addresses(answer.data), short_text(answer.data.get("user_id"))
        return KeyFacts(
            permissions=Permissions.of(values, evidence),
            ip_restricted=None if ips is None else bool(ips),
            ips=ips or (),
            uid=uid,
        )

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.futures_account} if facts.permissions.futures_trade else {}

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.futures_account if _futures_only(facts) else self.accounts

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        spot = () if _futures_only(facts) else (self.open_orders,)
        return spot + ((self.positions,) if "futures" in facts.permissions.ready_for else ())

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        if isinstance(answer.data, dict):
            return [of_the_whole(answer.data, "currency", "total", "available")]
        names = {"currency": "currency", "free": "available", "used": "locked"}
        return [
            {part: row.get(name) for part, name in names.items()}
            for row in answer.data
            if isinstance(row, dict)
        ]

    def currencies_told(self, call: Call, answer: Answer) -> tuple[str, ...] | None:
        """In the other modes, those of a unified account, futures are not paid from what their
        own account shows."""
        if call != self.futures_account:
            return None
        return ("USDT",) if answer.data.get("margin_mode") in CLASSIC_MODE else ()


def _label(data: Any) -> str:
    label = data.get("label") if isinstance(data, dict) else None
    return label if isinstance(label, str) and re.fullmatch(r"\w{1,40}", label) else ""


def _invalid_key(call: Call, message: str) -> Verdict:
    """Also of a key of another site, and of a request without its headers: the European site
    wants them even of the clock, and then it was reached."""
    if "missing required header" not in message:
        return Verdict("invalid_key", code="INVALID_KEY", elsewhere=True)
    if not call.signed:
        return Verdict(code="INVALID_KEY")
    return Verdict("ambiguous", ("restricted", "unexpected"), "INVALID_KEY", elsewhere=True)


def _forbidden(message: str) -> Verdict:
    """One label for a missing right and for a foreign address: the message tells them apart."""
    if "whitelist" in message.lower():
        return Verdict("ip_not_allowed", (), "FORBIDDEN", ip_in(message))
    if "permission" in message.lower():
        return Verdict("no_permission", code="FORBIDDEN")
    return Verdict("ambiguous", ("no_permission", "ip_not_allowed", "restricted"), "FORBIDDEN")


def _futures_only(facts: KeyFacts) -> bool:
    return facts.permissions.spot_trade is False and facts.permissions.futures_trade is not False
