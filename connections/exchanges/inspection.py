"""A test of a key, step by step: reachable, clock, key accepted, permissions, balance, orders.

It stops where going on says nothing more, keeps the evidence of every step, and claims only what
an answer proved. It sends nothing itself: `ask` does (client.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from . import echoes
from .base import (
    MAIN,
    Answer,
    AskAt,
    Call,
    Credentials,
    Exchange,
    KeyFacts,
    KeyReport,
    Known,
    Market,
    Outcome,
    Site,
    Step,
    StepName,
    Verdict,
)
from .holdings import Holdings, ReadBalances, futures_call, held
from .problems import REFUSED

log = logging.getLogger(__name__)

TEST_LIMIT_S = 30.0
EXPIRES_SOON = timedelta(days=14)
NOT_OPENED = {"restricted", "unexpected"}  # what proves no opened account of a market
PROBED = {"no_permission", "unexpected"}  # refusals of the key endpoint that other calls may settle
# What only a site that knows the key says of it; pages of an edge network say other things.
OF_THIS_KEY = frozenset(
    (
        *("", "bad_secret", "bad_passphrase", "ip_not_allowed"),
        *("no_permission", "key_expired", "key_disabled"),
    )
)

OnStep = Callable[[tuple[Step, ...]], Awaitable[None]]


class Stop(Exception):
    """The test ends here with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.problem)
        self.verdict = verdict


async def _nobody(_: tuple[Step, ...]) -> None: ...


@dataclass
class Inspection:
    """One test under way, at the main site or at `site`. `now` is for tests; `limit_s` bounds
    the whole of it."""

    exchange: Exchange
    credentials: Credentials = field(repr=False)
    ask_at: AskAt
    read_balances: ReadBalances
    site: Site = MAIN
    on_step: OnStep = _nobody
    limit_s: float = TEST_LIMIT_S
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    steps: list[Step] = field(default_factory=list)
    facts: KeyFacts = field(default_factory=KeyFacts)
    holdings: Holdings = field(default_factory=Holdings)
    skew_ms: int | None = None
    opened: dict[Call, Answer] = field(default_factory=dict)  # what showed an account to be open
    passed: bool = False

    async def run(self) -> KeyReport:
        """Never raises for anything an exchange may answer."""
        return echoes.without(await self._run(), self.credentials)

    async def _run(self) -> KeyReport:
        self.ask = self.ask_at(self.site)
        try:
            async with asyncio.timeout(self.limit_s):
                await self._walk()
                self.passed = True
                await self._read_futures_balance()
        except Stop as stop:
            return self._failed(stop.verdict)
        except TimeoutError:
            return self._ended(Verdict("unavailable"))
        except Exception as error:
            # The door to whatever an exchange may send: catch all, claim nothing. The text of an
            # exception may hold what was sent, so its class alone is told.
            log.error("Test at %s ended by %s", self.exchange.code, type(error).__name__)
            return self._ended(Verdict("unexpected"))
        return self._judged()

    async def _walk(self) -> None:
        reached = await self._reach()
        await self._compare_clocks(reached)
        await self._read_key()
        if self.facts.permissions.withdraw:
            await self._note("permissions", Verdict(REFUSED.code, code=REFUSED.code))
        await self._note("permissions", self._rights())
        await self._look_at_products()
        await self._read_balance()
        await self._read_orders()

    async def _reach(self) -> Answer:
        call = self.exchange.status_call
        answer = await self._begin("reachable", call)
        await self._end("reachable", call, answer, self.exchange.verdict(call, answer))
        return answer

    async def _compare_clocks(self, reached: Answer) -> None:
        call = self.exchange.time_call
        answer = reached
        if call != self.exchange.status_call:
            answer = await self._begin("clock", call)
        verdict = self.exchange.verdict(call, answer)
        theirs = self.exchange.read_time(answer) if verdict.ok else None
        if theirs is not None:
            # Half of the round trip is the best guess of when they looked at their clock.
            ours = answer.received_ms - answer.ms // 2
            self.skew_ms = theirs - ours
            if abs(self.skew_ms) - answer.ms // 2 > self.exchange.clock_window_ms:
                verdict = Verdict("clock_skew")
        await self._end("clock", call, answer, verdict)

    async def _read_key(self) -> None:
        call = self.exchange.key_call_at(self.site)
        answer = await self._begin("key", call, self._key_params())
        verdict = self.exchange.verdict(call, answer)
        if verdict.elsewhere:
            answer, verdict = await self._look_elsewhere(answer, verdict)
            call = self.exchange.key_call_at(self.site)
        if verdict.ok and call == self.exchange.key_call:
            await self._end("key", call, answer, verdict)
            found = await self.exchange.key_facts(
                answer, self.ask, self.now(), self.credentials.api_key
            )
        elif verdict.ok or verdict.problem in PROBED:
            found = await self.exchange.probe(verdict, self.ask)
        else:
            found = verdict
            if verdict.causes:
                found = await self.exchange.tell_apart(verdict, self.ask)
        if isinstance(found, KeyFacts):
            self.facts = found
            await self._end("key", call, answer, Verdict(code=verdict.code))
        else:
            await self._end("permissions" if verdict.ok else "key", call, answer, found)

    async def _look_elsewhere(self, answer: Answer, verdict: Verdict) -> tuple[Answer, Verdict]:
        """The first other site that knows the key; from there on the test goes on there. All are
        asked at once: one that hangs must not use up the time of the test."""
        params = self._key_params()
        others = [site for site in (MAIN, *self.exchange.sites) if site != self.site]
        asks = [self.ask_at(site) for site in others]
        calls = [self.exchange.key_call_at(site) for site in others]
        answers = await asyncio.gather(
            *(ask(call, params) for ask, call in zip(asks, calls, strict=True))
        )
        for site, ask, call, second in zip(others, asks, calls, answers, strict=True):
            told = self.exchange.verdict(call, second)
            if not told.elsewhere and OF_THIS_KEY.issuperset(told.causes or (told.problem,)):
                self.site, self.ask = site, ask
                return second, told
        return answer, verdict

    def _key_params(self) -> dict[str, str]:
        return self.exchange.key_params(self.credentials)

    def _rights(self) -> Verdict:
        """Reading, and trading on at least one market unless the exchange does not say."""
        may = self.facts.permissions
        trade = (may.spot_trade, may.futures_trade)
        enough = may.read is not False and any(right is not False for right in trade)
        return Verdict() if enough else Verdict("no_permission")

    async def _look_at_products(self) -> None:
        """A right to trade on a market is worth nothing while its account is not opened. The test
        goes on as long as another market is left."""
        for market, call in self.exchange.product_calls(self.facts).items():
            answer = await self._begin("products", call)
            verdict = self.exchange.verdict(call, answer)
            if verdict.ok:
                self.opened[call] = answer
            goes_on = verdict.problem in NOT_OPENED and self._close(market)
            await self._end("products", call, answer, verdict, goes_on=goes_on)

    def _close(self, market: Market) -> bool:
        """Whether a market is left on which the key may trade."""
        may = self.facts.permissions
        may = replace(may, closed=(*may.closed, market))
        self.facts = replace(self.facts, permissions=may)
        left = (each for each in get_args(Market) if each not in may.closed)
        return any(may.trades(each) is not False for each in left)

    async def _read_balance(self) -> None:
        await self._show(Step("balance", None))
        call, answer = await self.exchange.ask_balance(self.facts, self.ask)
        verdict = self.exchange.verdict(call, answer)
        if verdict.ok:
            self._proved_reading(call)
            self._keep(call, answer)
        await self._end("balance", call, answer, verdict)

    def _keep(self, call: Call, answer: Answer) -> None:
        found = held(self.exchange, call, answer, self.facts, self.read_balances)
        self.holdings = self.holdings.and_those(found)

    async def _read_futures_balance(self) -> None:
        """Where another account than the first pays for futures. The key has passed by now: what
        cannot be read is not known, and changes nothing else."""
        call = futures_call(self.exchange, self.holdings, self.facts)
        if call is None:
            return
        answer = self.opened.get(call) or await self.ask(call, {})
        if self.exchange.verdict(call, answer).ok:
            self._keep(call, answer)

    def _proved_reading(self, call: Call) -> None:
        may = self.facts.permissions
        if may.read is None:
            evidence = {**may.evidence, "read": f"{call}: works"}
            self.facts = replace(self.facts, permissions=replace(may, read=True, evidence=evidence))

    async def _read_orders(self) -> None:
        for call in self.exchange.order_calls(self.facts):
            answer = await self._begin("orders", call)
            await self._end("orders", call, answer, self.exchange.verdict(call, answer))

    # --- bookkeeping ---------------------------------------------------------------------

    async def _begin(
        self, name: StepName, call: Call, params: Mapping[str, str] | None = None
    ) -> Answer:
        await self._show(Step(name, None, call=str(call)))
        return await self.ask(call, params or {})

    async def _end(
        self,
        name: StepName,
        call: Call,
        answer: Answer,
        verdict: Verdict,
        *,
        goes_on: bool = False,
    ) -> None:
        await self._show(
            Step(
                name,
                verdict.ok,
                answer.ms,
                str(call),
                answer.status,
                verdict.code,
                answer.received_ms,
            )
        )
        if not verdict.ok and not goes_on:
            raise Stop(verdict)

    async def _note(self, name: StepName, verdict: Verdict) -> None:
        """A step read from the key step's answer or from its probes: no request of its own."""
        call = str(self.exchange.key_call_at(self.site))
        await self._show(Step(name, verdict.ok, call=call, code=verdict.code))
        if not verdict.ok:
            raise Stop(verdict)

    async def _show(self, step: Step) -> None:
        """A step replaces its own earlier, unfinished line."""
        self.steps = [*(old for old in self.steps if old.name != step.name), step]
        try:
            shown = echoes.without(KeyReport("failed", tuple(self.steps)), self.credentials)
            await self.on_step(shown.steps)
        except Exception as error:
            # Whoever watches has a trouble of their own: it says nothing about the key.
            log.warning("A step was not shown: %s", type(error).__name__)

    # --- judgement -----------------------------------------------------------------------

    def _ended(self, verdict: Verdict) -> KeyReport:
        """Broken off: by then the key may have passed."""
        return self._judged() if self.passed else self._failed(verdict)

    def _failed(self, verdict: Verdict) -> KeyReport:
        if verdict.problem == REFUSED.code:
            return self._report("refused")
        # A step cut off by the time limit did not succeed.
        self.steps = [replace(step, ok=bool(step.ok)) for step in self.steps]
        return replace(
            self._report("failed"),
            problem=verdict.problem,
            causes=verdict.causes,
            seen_ip=verdict.seen_ip,
        )

    def _judged(self) -> KeyReport:
        warnings = self._warnings()
        report = self._report("warnings" if warnings else "connected")
        return replace(report, warnings=warnings)

    def _report(self, outcome: Outcome) -> KeyReport:
        return KeyReport(
            outcome,
            tuple(self.steps),
            facts=self.facts,
            balances=self.holdings.balances,
            accounts=self.holdings.accounts,
            skew_ms=self.skew_ms,
            site=self.site.code,
        )

    def _warnings(self) -> tuple[str, ...]:
        facts, may = self.facts, self.facts.permissions
        soon = facts.expires_at is not None and facts.expires_at - self.now() < EXPIRES_SOON
        found: list[tuple[str, Known]] = [
            ("no_ip_restriction", facts.ip_restricted is False),
            ("ip_restriction_unknown", facts.ip_restricted is None),
            ("withdraw_unknown", may.withdraw is None),
            ("trade_unknown", not (may.spot_trade or may.futures_trade)),
            ("expires_soon", soon),
        ]
        return tuple(code for code, true in found if true)
