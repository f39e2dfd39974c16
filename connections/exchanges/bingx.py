"""BingX. One host for spot and perpetual futures, and one for demo trading."""

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
    Market,
    Site,
    Verdict,
)
from .bingx_rights import Told, agreed, own_row, told_by
from .reading import (
    code_of,
    ip_in,
    message_of,
    of_the_whole,
    short_text,
    transport_problem,
    whole_number,
)
from .words.bingx import FIELDS, GUIDE, WORDS

HOST: Final = "open-api.bingx.com"
SPOT = ("spot", "v1", "private")
SWAP = ("swap", "v2", "private")
ACCOUNT = ("account", "v1", "private")
BANNED = 418  # HTTP: after too many answers with 429

PROBLEMS = {
    "100001": "bad_secret",
    "100412": "bad_secret",  # no signature in the request
    "100413": "invalid_key",
    "100419": "ip_not_allowed",
    "100004": "no_permission",
    "100414": "restricted",  # risk control
    "101484": "restricted",  # region or identity check
    "109403": "rate_limited",
    "109429": "rate_limited",
    "100500": "unavailable",
    "109500": "unavailable",
    "110500": "unavailable",
    "80012": "unavailable",
}
# Codes that mean several things: code -> (part of the message in lower case, problem).
BY_MESSAGE: dict[str, tuple[tuple[str, str], ...]] = {
    "100421": (("timestamp", "clock_skew"), ("restricted from api", "restricted")),
    "100410": (("busy", "unavailable"), ("", "rate_limited")),
    "80014": (("signature", "bad_secret"), ("timestamp", "clock_skew")),
    "80012": (("margin", "unexpected"), ("balance", "unexpected")),
}
AMBIGUOUS = {"100403": ("restricted", "no_permission")}  # a sub-account's key, for one
SOFT = {"no_permission", "unexpected", "ambiguous"}  # another endpoint may still tell


class BingX(Exchange):
    code = "bingx"
    name = "BingX"
    key_page = "https://bingx.com/en/account/api"
    ip_maximum = 20
    fields = FIELDS
    guide = GUIDE
    words = WORDS

    status_call = time_call = Call(
        "GET",
        HOST,
        "/openApi/swap/v2/server/time",
        "server/time",
        ("swap", "v2", "public"),
        False,
    )
    # The one private call whose shape documents and live answers agree on.
    key_call = Call("GET", HOST, "/openApi/account/v1/uid", "uid", ACCOUNT)
    # Which of the two has numbers and which has flags differs between BingX's own pages.
    rights = Call(
        "GET", HOST, "/openApi/v1/account/apiPermissions", "account/apiPermissions", ACCOUNT
    )
    restrictions = Call(
        "GET", HOST, "/openApi/v1/account/apiRestrictions", "account/apiRestrictions", ACCOUNT
    )
    key_list = Call("GET", HOST, "/openApi/account/v1/apiKey/query", "apiKey/query", ACCOUNT)
    balance = Call("GET", HOST, "/openApi/spot/v1/account/balance", "account/balance", SPOT)
    open_orders = Call("GET", HOST, "/openApi/spot/v1/trade/openOrders", "trade/openOrders", SPOT)
    futures_balance = Call(
        "GET", HOST, "/openApi/swap/v3/user/balance", "user/balance", ("swap", "v3", "private")
    )
    positions = Call("GET", HOST, "/openApi/swap/v2/user/positions", "user/positions", SWAP)
    calls = frozenset(
        {
            *(time_call, key_call, rights, restrictions, key_list),
            *(balance, open_orders, futures_balance, positions),
        }
    )
    pays = {balance: SPOT_ALONE, futures_balance: FUTURES_ALONE}
    sites = (Site("vst", "BingX demo trading", {HOST: "open-api-vst.bingx.com"}, demo=True),)

    def read_time(self, answer: Answer) -> int | None:
        inner = _inside(answer.data)
        return whole_number(inner.get("serverTime")) if isinstance(inner, dict) else None

    def verdict(self, call: Call, answer: Answer) -> Verdict:
        code, message = code_of(answer.data), message_of(answer.data)
        if code in AMBIGUOUS:
            return Verdict("ambiguous", AMBIGUOUS[code], code)
        if problem := _meaning(code, message.lower()):
            seen_ip = ip_in(message) if problem == "ip_not_allowed" else ""
            unknown = problem == "invalid_key"
            return Verdict(problem, code=code, seen_ip=seen_ip, elsewhere=unknown)
        if answer.status == BANNED:
            return Verdict("rate_limited", code=code)
        if transport := transport_problem(answer):
            return transport
        proven = answer.status == 200 and self._proven(call, answer.data, code)
        return Verdict() if proven else Verdict("unexpected", code=code)

    def _proven(self, call: Call, data: Any, code: str) -> bool:
        """Whether the answer holds what only success holds."""
        if not isinstance(data, dict):
            return False
        if call in (self.rights, self.restrictions):
            # Seen live without code, message or envelope, documented with all three.
            return (code == "0" or "code" not in data) and told_by(call, _inside(data)).anything
        inner = _inside(data)
        fields = inner if isinstance(inner, dict) else {}
        proven = {
            self.time_call.path: whole_number(fields.get("serverTime")) is not None,
            self.key_call.path: whole_number(fields.get("uid")) is not None,
            self.key_list.path: any(
                isinstance(fields.get(name), list) for name in ("apiInfos", "apiKeyList")
            ),
            self.balance.path: isinstance(fields.get("balances"), list),
            self.open_orders.path: isinstance(fields.get("orders"), list),
            self.futures_balance.path: isinstance(inner, list),
            self.positions.path: isinstance(inner, list),
        }
        return code == "0" and proven[call.path]

    async def key_facts(
        self, answer: Answer, ask: Ask, now: datetime, api_key: str
    ) -> KeyFacts | Verdict:
        uid = short_text(_inside(answer.data)["uid"])
        told = await self._told_by_both(ask)
        if isinstance(told, Verdict):
            return told
        if agreed(told).permissions.withdraw is None:
            second = await ask(self.key_list, {"uid": uid, "apiKey": api_key})
            if self.verdict(self.key_list, second).ok:
                own = own_row(_inside(second.data), api_key)
                told.append(told_by(self.key_list, own))
        return agreed(told, uid)

    async def _told_by_both(self, ask: Ask) -> list[Told] | Verdict:
        """A refusal that says more than "not by this endpoint" ends it."""
        told = []
        for call in (self.rights, self.restrictions):
            answer = await ask(call, {})
            verdict = self.verdict(call, answer)
            if verdict.ok:
                told.append(told_by(call, _inside(answer.data)))
            elif verdict.problem not in SOFT:
                return verdict
        return told

    async def probe(self, refusal: Verdict, ask: Ask) -> KeyFacts | Verdict:
        """Where the account's number is refused, the key may still be told about."""
        told = await self._told_by_both(ask)
        if isinstance(told, Verdict):
            return told
        return agreed(told) if told else refusal

    def product_calls(self, facts: KeyFacts) -> Mapping[Market, Call]:
        return {"futures": self.futures_balance} if facts.permissions.futures_trade else {}

    def balance_call(self, facts: KeyFacts) -> Call:
        return self.futures_balance if _futures_only(facts) else self.balance

    def order_calls(self, facts: KeyFacts) -> tuple[Call, ...]:
        spot = () if _futures_only(facts) else (self.open_orders,)
        return spot + ((self.positions,) if "futures" in facts.permissions.ready_for else ())

    def balance_rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        inner = _inside(answer.data)
        if isinstance(inner, list):
            rows = [row for row in inner if isinstance(row, dict)]
            return [of_the_whole(row, "asset", "equity", "availableMargin") for row in rows]
        return [
            {"currency": row.get("asset"), "free": row.get("free"), "used": row.get("locked")}
            for row in inner["balances"]
            if isinstance(row, dict)
        ]


def _inside(data: Any) -> Any:
    """What is in the envelope, or the whole where there is none."""
    return data.get("data", data) if isinstance(data, dict) else None


def _meaning(code: str, message: str) -> str:
    for part, problem in BY_MESSAGE.get(code, ()):
        if part in message:
            return problem
    return PROBLEMS.get(code, "")


def _futures_only(facts: KeyFacts) -> bool:
    return bool(facts.permissions.futures_trade) and facts.permissions.spot_trade is False
