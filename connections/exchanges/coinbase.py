"""Coinbase. Advanced Trade API v3 with keys of the Coinbase Developer Platform (CDP).

Every failed authentication is 401 with the text "Unauthorized", whatever its cause.
"""

from __future__ import annotations

import re
from asyncio import sleep
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from .base import (
    SPOT_ALONE,
    Answer,
    Ask,
    Call,
    Exchange,
    KeyFacts,
    Known,
    Market,
    Permissions,
    Verdict,
)
from .coinbase_key import read
from .reading import ip_in, short_text, transport_problem, whole_number
from .words.coinbase import FIELDS, GUIDE, WORDS

HOST: Final = "api.coinbase.com"
PAGES = 5  # of 250 balances each
SPOT_PLATFORMS: Final = ("ACCOUNT_PLATFORM_CONSUMER", "ACCOUNT_PLATFORM_UNSPECIFIED")
NOT_TRADED: Final = ("ACCOUNT_TYPE_VAULT", "ACCOUNT_TYPE_PERP_FUTURES")
# Valid keys get a 401 now and then (coinbase-advanced-py issue 132); a new token is accepted.
RETRY_AFTER_S = 1.5

# Flag of the key endpoint -> the rights it gives. One flag is for every market; another one for
# deposits, moves between portfolios and withdrawals together, so that it is read as all of them.
FLAGS: dict[str, tuple[str, ...]] = {
    "can_view": ("read",),
    "can_trade": ("spot_trade", "futures_trade"),
    "can_transfer": ("transfer", "withdraw"),
    "can_receive": (),
}
# No flag of the API, but it says what it would give: stay safe.
WITHDRAW_FLAG = "can_withdraw"

# All that a 401 can mean once the clock and the key's shape are known to be right. The IP list
# comes first: people have made good keys anew that only lacked an address.
UNAUTHORIZED = ("ip_not_allowed", "invalid_key", "bad_secret", "key_disabled")
# Part of a message -> problem; then the code. The v3 API says little, the older one has ids.
MESSAGES = {
    "missing required scopes": "no_permission",
    "not allowed to convert": "restricted",
    "account is not available": "restricted",
    "request timestamp expired": "clock_skew",
    "ip blocked": "ip_not_allowed",
}
PROBLEMS = {
    "permission_denied": "no_permission",
    "invalid_scope": "no_permission",
    "invalid_token": "invalid_key",
    "revoked_token": "key_disabled",
    "invalid_authentication_method": "key_disabled",  # "API access is blocked for deleted users"
    "expired_token": "key_expired",
    "personal_details_required": "restricted",
    "unverified_email": "restricted",
    "identity_verification_required": "restricted",
    "jumio_verification_required": "restricted",
    "jumio_face_match_verification_required": "restricted",
    "rate_limit_exceeded": "rate_limited",
    "resource_exhausted": "rate_limited",
    "internal_server_error": "unavailable",
}
AMBIGUOUS = {
    "authentication_error": UNAUTHORIZED,
    "unauthorized": UNAUTHORIZED,
    "not_found": ("restricted", "no_permission"),
}


def _get(path: str, **params: str) -> Call:
    return Call("GET", HOST, f"/api/v3/{path}", path, ("v3", "private"), params=params)


class Coinbase(Exchange):
    code = "coinbase"
    name = "Coinbase"
    key_page = "https://portal.cdp.coinbase.com/projects/api-keys"
    clock_window_ms = 60_000  # a token is good for 120 s
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call(
        "GET", HOST, "/api/v3/brokerage/time", "brokerage/time", ("v3", "public"), False
    )
    key_call = _get("brokerage/key_permissions")
    accounts = _get("brokerage/accounts", limit="250")
    open_orders = _get("brokerage/orders/historical/batch", order_status="OPEN")
    futures_balance = _get("brokerage/cfm/balance_summary")
    futures_positions = _get("brokerage/cfm/positions")
    calls = frozenset(
        {time_call, key_call, accounts, open_orders, futures_balance, futures_positions}
    )

    # Futures are paid from one of three places, by country and portfolio (US futures sweep dollars
    # out of the spot account, international ones have a portfolio of their own): not known.
    pays = {accounts: SPOT_ALONE}

    def normalise(self, values: dict[str, str]) -> dict[str, str]:
        name, secret = read(values["api_key"], values["secret"])
        return {**values, "api_key": name, "secret": secret}

    def read_time(self, answer: Answer) -> int | None:
        if not isinstance(answer.data, dict):
            return None
        seconds = whole_number(answer.data.get("epochSeconds"))
        whole = whole_number(answer.data.get("epochMillis"))
        return whole if whole is not None else seconds and seconds * 1000

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = _error(answer.data)
        if call == self.futures_balance and code.lower() == "permission_denied":
            return Verdict("restricted", code=code)  # the account is not enabled for futures
        if problem := _said(code, message):
            return problem
        if call.signed and answer.status == 401:
            return Verdict("ambiguous", UNAUTHORIZED, code or "Unauthorized")
        if problem := transport_problem(answer):
            return problem
        if answer.status == 200 and not code and isinstance(answer.data, dict):
            return self._proof(call, answer)
        return Verdict("unexpected", code=code)

    def _proof(self, call: Call, answer: Answer) -> Verdict:
        """Success needs the fields that only success holds."""
        data: dict[str, Any] = answer.data
        proven = {
            self.time_call: self.read_time(answer) is not None,
            self.key_call: any(isinstance(data.get(flag), bool) for flag in FLAGS),
            self.accounts: isinstance(data.get("accounts"), list),
            self.open_orders: isinstance(data.get("orders"), list),
            self.futures_balance: isinstance(data.get("balance_summary"), dict),
            self.futures_positions: isinstance(data.get("positions"), list),
        }
        if call == self.futures_balance and not data.get("balance_summary"):
            return Verdict("restricted")  # no futures account is shown
        return Verdict() if proven.get(call) else Verdict("unexpected")

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        return self._facts(answer)

    def _facts(self, answer: Answer) -> KeyFacts:
        """No addresses, dates or name: no call tells them. A key is bound to one portfolio."""
        data: dict[str, Any] = answer.data
        return KeyFacts(
            permissions=self._permissions(data), uid=short_text(data.get("portfolio_uuid"))
        )

    def _permissions(self, data: Mapping[str, Any]) -> Permissions:
        """Each flag is a yes or a no by itself. A flag nobody documents may be one that moves
        funds, so it turns the "no" about that into unknown."""
        values: dict[str, Known] = {}
        evidence = dict.fromkeys(Permissions.NAMES, f"{self.key_call}: not told")
        for flag, rights in FLAGS.items():
            told = data.get(flag) if isinstance(data.get(flag), bool) else None
            word = f"{flag} {str(told).lower()}" if told is not None else f"{flag} not told"
            for right in rights:
                values[right], evidence[right] = told, f"{self.key_call}: {word}"
        unknown = [
            flag
            for flag, value in data.items()
            if flag.startswith("can_") and flag not in FLAGS and value is not False
        ]
        if data.get(WITHDRAW_FLAG) is True:
            values["withdraw"] = True
            evidence["withdraw"] = f"{self.key_call}: {WITHDRAW_FLAG} true"
        elif unknown and not values["withdraw"]:
            flags = ", ".join(short_text(flag, 30) or "?" for flag in unknown[:5])
            for right in FLAGS["can_transfer"]:
                values[right] = None
                evidence[right] = f"{self.key_call}: unknown flag {flags}"
        return Permissions.of(values, evidence)

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """A new token a moment later tells a 401 in passing from one that stays."""
        if verdict.causes != UNAUTHORIZED:
            return verdict
        await sleep(RETRY_AFTER_S)
        answer = await ask(self.key_call, {})
        second = self.verdict(self.key_call, answer)
        return self._facts(answer) if second.ok else second

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """Whether a key without View may ask for its own rights is not documented. Balances prove
        reading; nothing but an order would prove trading, so that stays unknown."""
        verdict = self.verdict(self.accounts, await ask(self.accounts, {}))
        if not verdict.ok:
            return refusal if verdict.problem in {"no_permission", "unexpected"} else verdict
        return KeyFacts(Permissions.of({"read": True}, {"read": f"{self.accounts}: works"}))

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.futures_balance} if facts.permissions.futures_trade else {}

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.accounts

    async def ask_balance(self, facts: KeyFacts, ask: Ask) -> tuple[Call, Answer]:
        """All pages as one answer, or the first that is not a page."""
        rows: list[Any] = []
        params: dict[str, str] = {}
        for _page in range(PAGES):
            answer = await ask(self.accounts, params)
            if not self.verdict(self.accounts, answer).ok:
                break
            data = answer.data
            rows += data["accounts"]
            cursor = short_text(data.get("cursor"), 500)
            more = data.get("has_next") is True
            answer = replace(answer, data={"accounts": rows, "has_next": more})
            if not more or not cursor:
                break
            params = {"cursor": cursor}
        return self.accounts, answer

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        futures = "futures" in facts.permissions.ready_for
        return (self.open_orders, self.futures_positions) if futures else (self.open_orders,)

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        return [_row(row) for row in _accounts(answer) if _is_spot(row)]

    def other_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        return [_row(row) for row in _accounts(answer) if not _is_spot(row)]

    def currencies_told(self, call: Call, answer: Answer) -> tuple[str, ...] | None:
        """With pages left unread, of those read alone."""
        if answer.data.get("has_next") is not True:
            return None
        names = (short_text(row.get("currency"), 20) for row in _accounts(answer) if _is_spot(row))
        return tuple(sorted({name for name in names if name}))


def _accounts(answer: Answer) -> list[Mapping[str, Any]]:
    return [row for row in answer.data["accounts"] if isinstance(row, dict)]


def _is_spot(row: Mapping[str, Any]) -> bool:
    """Not a vault, nor an account of the futures business; older answers name no platform."""
    platform = row.get("platform", SPOT_PLATFORMS[0])
    return platform in SPOT_PLATFORMS and row.get("type") not in NOT_TRADED


def _row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    free, used = _amount(row.get("available_balance")), _amount(row.get("hold"))
    return {"currency": row.get("currency"), "free": free, "used": used}


def _error(data: Any) -> tuple[str, str]:
    """Coinbase's code and words, of v3 (`error`, `message`) or the older API (`errors`)."""
    if not isinstance(data, dict):
        return "", ""
    errors, name = data.get("errors"), "error"
    if isinstance(errors, list) and errors:
        data, name = errors[0] if isinstance(errors[0], dict) else {}, "id"
    code, words = data.get(name), (data.get("message"), data.get("error_details"))
    known = isinstance(code, str) and re.fullmatch(r"\w{1,40}", code)
    return code if known else "", " ".join(word for word in words if isinstance(word, str))


def _said(code: str, message: str) -> Verdict | None:
    """What the answer's own words name as the problem, if they do."""
    for part, problem in MESSAGES.items():
        if part in message.lower():
            return Verdict(problem, code=code, seen_ip=ip_in(message))
    if causes := AMBIGUOUS.get(code.lower()):
        return Verdict("ambiguous", causes, code)
    problem = PROBLEMS.get(code.lower(), "")
    return Verdict(problem, code=code) if problem else None


def _amount(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else None
