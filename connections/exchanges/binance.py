"""Binance. Spot and wallet API on one host, USD-M futures on another; demo and testnet beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from . import pem
from .base import (
    FUTURES_ALONE,
    MAIN,
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
from .problems import gettext_noop as _
from .reading import (
    code_of,
    ip_in,
    message_of,
    moment,
    of_the_whole,
    short_text,
    transport_problem,
    whole_number,
)
from .words.binance import FIELDS, GUIDE, WORDS

HOST: Final = "api.binance.com"
FUTURES_HOST: Final = "fapi.binance.com"
DEMO = {HOST: "demo-api.binance.com", FUTURES_HOST: "demo-fapi.binance.com"}
TESTNET = {HOST: "testnet.binance.vision", FUTURES_HOST: "testnet.binancefuture.com"}
SPOT, FUTURES = ("private",), ("fapiPrivateV3",)
ONE_SYMBOL = {"symbol": "BTCUSDT"}  # all symbols at once cost ten times the weight
HELD_ALONE = {"omitZeroBalances": "true"}
# The order that POST order/test checks and never sends to the matching engine; 10 USDT.
TEST_ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "10"}

# Right -> the flags of apiRestrictions that give it, any of them.
FLAGS: dict[str, tuple[str, ...]] = {
    "read": ("enableReading",),
    "spot_trade": ("enableSpotAndMarginTrading",),
    "futures_trade": ("enableFutures",),
    "margin": ("enableMargin",),
    "transfer": ("enableInternalTransfer", "permitsUniversalTransfer"),
    "withdraw": ("enableWithdrawals",),
}
WORD: dict[Known, str] = {True: "true", False: "false", None: "not told"}

REJECTED = "-2015"
# The same answer for an address, a right, a block and, in older reports, a deleted key.
REJECTED_CAUSES = ("ip_not_allowed", "no_permission", "key_disabled", "invalid_key")
# Code -> problem: errors.md of the spot documents, and recorded answers.
PROBLEMS = {
    "-2014": "invalid_key",  # its format
    "-1022": "bad_secret",
    "-1002": "no_permission",
    "-2017": "key_disabled",  # API keys are locked on this account
    "-1021": "clock_skew",
    **dict.fromkeys(("-1003", "-1015"), "rate_limited"),
    **dict.fromkeys(("-1001", "-1004", "-1006", "-1007", "-1008", "-1016"), "unavailable"),
}
AMBIGUOUS = {
    "-1099": ("invalid_key", "no_permission"),  # "Not found, authenticated, or authorized"
    "-1011": ("ip_not_allowed", "restricted"),  # "This IP cannot access this route."
}
# What -2010 says in words, in lower case ("Messages for -1010, -2010 ..." in errors.md).
ORDER_MESSAGES = {
    "not whitelisted for api key": "no_permission",
    "not permitted for this account": "restricted",
    "may not place or cancel orders": "key_disabled",
    "action is disabled on this account": "key_disabled",
}
# An Ed25519 key copied without its BEGIN and END lines.
BARE_ED25519 = re.compile(r"MC4CAQAwBQYDK2Vw[\w+/=\s]{40,60}")


class Binance(Exchange):
    code = "binance"
    name = "Binance"
    key_page = "https://www.binance.com/en/my/settings/api-management"
    fields, guide, words = FIELDS, GUIDE, WORDS
    # Practice accounts with keys of their own; neither has /sapi, and so no key endpoint.
    sites = (
        Site("demo", "Binance Demo Trading", DEMO, demo=True),
        Site("testnet", "Binance Spot Testnet", TESTNET, demo=True),
    )

    status_call = time_call = Call("GET", HOST, "/api/v3/time", "time", ("public",), False)
    key_call = Call(
        "GET", HOST, "/sapi/v1/account/apiRestrictions", "account/apiRestrictions", ("sapi",)
    )
    account = Call("GET", HOST, "/api/v3/account", "account", SPOT, params=HELD_ALONE)
    open_orders = Call("GET", HOST, "/api/v3/openOrders", "openOrders", SPOT, params=ONE_SYMBOL)
    test_order = Call("POST", HOST, "/api/v3/order/test", "order/test", SPOT, params=TEST_ORDER)
    futures_account = Call("GET", FUTURES_HOST, "/fapi/v3/account", "account", FUTURES)
    positions = Call("GET", FUTURES_HOST, "/fapi/v3/positionRisk", "positionRisk", FUTURES)
    calls = frozenset(
        {time_call, key_call, account, open_orders, test_order, futures_account, positions}
    )

    pays = {account: SPOT_ALONE, futures_account: FUTURES_ALONE}

    def normalise(self, values: dict[str, str]) -> dict[str, str]:
        if pem.looks_like_pem(values["api_key"]):
            raise pem.Fault(
                _("This is a private key: paste it as the secret. The API key is shorter."),
                "api_key",
            )
        secret = values["secret"]
        if BARE_ED25519.fullmatch(secret):
            secret = f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"
        if not pem.looks_like_pem(secret):
            return values
        secret = pem.normalise(secret)
        if pem.kind_of(secret) == "ec":
            raise pem.Fault(_("Binance takes RSA and Ed25519 private keys, not this kind."))
        return {**values, "secret": secret}

    def key_call_at(self, site: Site) -> Call:
        return self.key_call if site == MAIN else self.account

    def read_time(self, answer: Answer) -> int | None:
        data = answer.data
        return whole_number(data.get("serverTime")) if isinstance(data, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = code_of(answer.data), message_of(answer.data).lower()
        if answer.status == 451 or "restricted location" in message:
            return Verdict("restricted", code=code)
        if answer.status == 418:
            return Verdict("rate_limited", code=code)
        if code == "-2008":
            return Verdict("invalid_key", code=code, elsewhere=True)
        if code == REJECTED:
            return _rejected(call, message)
        if problem := _problem(call, code, message):
            return Verdict(problem, code=code)
        if code in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[code], code)
        if unread := _edge_page(answer) or transport_problem(answer):
            return unread
        return Verdict() if self._proven(call, answer) else Verdict("unexpected", code=code)

    def _proven(self, call: Call, answer: Answer) -> bool:
        """Whether the answer holds what only success holds."""
        data = answer.data
        if answer.status != 200 or code_of(data):
            return False
        if call in {self.open_orders, self.positions}:
            return isinstance(data, list)
        if not isinstance(data, dict):
            return False
        if call == self.key_call:
            return any(_flag(data, name) is not None for names in FLAGS.values() for name in names)
        if call == self.time_call:
            return whole_number(data.get("serverTime")) is not None
        if call == self.test_order:
            return data == {}
        return isinstance(data.get("assets" if call == self.futures_account else "balances"), list)

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        data: dict[str, Any] = answer.data
        may = self._permissions(data)
        # Said of a key without trusted IPs alone, and of its spot and margin trading alone.
        ends = moment(data.get("tradingAuthorityExpirationTime"))
        if ends and ends <= now and may.spot_trade is False and may.futures_trade is False:
            return Verdict("key_expired")
        return KeyFacts(
            permissions=may,
            ip_restricted=_flag(data, "ipRestrict"),  # the addresses themselves are never told
            created_at=moment(data.get("createTime")),
            expires_at=ends,
            uid="" if may.withdraw else await self._uid(ask),
        )

    def _permissions(self, data: Mapping[str, Any]) -> Permissions:
        values: dict[str, Known] = {}
        evidence: dict[str, str] = {}
        for right, names in FLAGS.items():
            flags = [_flag(data, name) for name in names]
            values[right] = True if True in flags else None if None in flags else False
            told = (f"{name} {WORD[flag]}" for name, flag in zip(names, flags, strict=True))
            evidence[right] = f"{self.key_call}: {', '.join(told)}"
        if values["withdraw"] is False and (word := _other_withdrawal(data)):
            values["withdraw"] = None
            evidence["withdraw"] = f"{self.key_call}: unknown word {word}"
        return Permissions.of(values, evidence)

    async def _uid(self, ask: Ask) -> str:
        answer = await ask(self.account, {})
        return short_text(answer.data.get("uid")) if self.verdict(self.account, answer).ok else ""

    async def tell_apart(self, verdict: Verdict, ask: Ask) -> Verdict:
        """-2015 from the key endpoint: an order that is accepted shows that the address is right
        and the key alive, so that reading is off. Futures name the address that they saw."""
        if verdict.code != REJECTED:
            return verdict
        if self.verdict(self.test_order, await ask(self.test_order, {})).ok:
            return Verdict("no_permission", code=REJECTED)
        futures = self.verdict(self.futures_account, await ask(self.futures_account, {}))
        if futures.ok:
            return replace(verdict, causes=("no_permission", "key_disabled"))
        return replace(verdict, seen_ip=futures.seen_ip)

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """Where the key endpoint refused, or there is none (demo, testnet): what other calls
        prove. None of them tells of withdrawing, nor of trading futures."""
        answer = await ask(self.account, {})
        account = self.verdict(self.account, answer)
        if not account.ok:
            return account
        order = self.verdict(self.test_order, await ask(self.test_order, {}))
        if order.problem in {"unavailable", "rate_limited", "clock_skew", "key_disabled"}:
            return order
        # The account was read from here a moment ago: -2015 can only mean the right.
        refused = order.problem == "no_permission" or order.code == REJECTED
        trade = True if order.ok else False if refused else None
        evidence = {
            "read": f"{self.account}: works",
            "spot_trade": f"{self.test_order}: {order.code or order.problem or 'works'}",
        }
        may = Permissions.of({"read": True, "spot_trade": trade}, evidence)
        return KeyFacts(may, uid=short_text(answer.data.get("uid")))

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.futures_account if _futures_only(facts) else self.account

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        spot = () if _futures_only(facts) else (self.open_orders,)
        return spot + ((self.positions,) if "futures" in facts.permissions.ready_for else ())

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.futures_account} if facts.permissions.futures_trade else {}

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        rows = answer.data.get("balances")
        if not isinstance(rows, list):
            assets = [row for row in answer.data["assets"] if isinstance(row, dict)]
            return [
                of_the_whole(row, "asset", "marginBalance", "availableBalance") for row in assets
            ]
        return [
            {"currency": row.get("asset"), "free": row.get("free"), "used": row.get("locked")}
            for row in rows
            if isinstance(row, dict)
        ]


def _rejected(call: Call, message: str) -> Verdict:
    """Futures are asked for a key that was accepted before, with its futures right on: what
    remains there is the futures account."""
    if call.host == FUTURES_HOST:
        return Verdict("restricted", code=REJECTED, seen_ip=ip_in(message))
    return Verdict("ambiguous", REJECTED_CAUSES, REJECTED, seen_ip=ip_in(message))


def _problem(call: Call, code: str, message: str) -> str:
    if code == "-4004" and call.host == HOST:  # another code on futures
        return "invalid_key"
    if code == "-2010":
        return next((ORDER_MESSAGES[words] for words in ORDER_MESSAGES if words in message), "")
    return PROBLEMS.get(code, "")


def _edge_page(answer: Answer) -> Verdict | None:
    """CloudFront's own page: documented as the firewall's limit, unless it names a country."""
    text = answer.text.lower()
    if answer.status != 403 or "the request could not be satisfied" not in text:
        return None
    return Verdict("restricted" if "your country" in text else "unavailable")


def _flag(data: Mapping[str, Any], name: str) -> Known:
    value = data.get(name)
    return value if isinstance(value, bool) else None


def _other_withdrawal(data: Mapping[str, Any]) -> str:
    """A word nobody documents that speaks of withdrawing and is not a plain no."""
    known = FLAGS["withdraw"]
    found = (name for name in data if "withdraw" in name.lower() and name not in known)
    return next((short_text(name, 30) or "?" for name in found if data[name] is not False), "")


def _futures_only(facts: KeyFacts) -> bool:
    return bool(facts.permissions.futures_trade) and facts.permissions.spot_trade is False
