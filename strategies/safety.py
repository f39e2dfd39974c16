"""May this strategy be enabled now? One answer for forms, pages, the admin and services: every
reason against it, and what is only advised."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from connections.exchanges.problems import MAY_PASS
from connections.incidents import SUSPENDED_FOR, stops
from connections.models import Connection, Credential, Thresholds
from connections.presentation import explain

from . import accounts, limits
from .models import Pair, StrategyConfig

FRESH = timedelta(hours=24)  # a test says nothing about a key for longer
ENDS_SOON = timedelta(hours=24)
# Failed tests that say nothing against the key: what runs goes on.
NOT_THE_KEYS = (*MAY_PASS, "unexpected")

Status = Connection.Status


@dataclass(frozen=True, slots=True)
class Reason:
    """What stands against it, what to do, and where; `link` may be ""."""

    code: str
    what: str
    todo: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """It may be enabled if there is no reason against it; `warnings` are advice."""

    reasons: list[Reason]
    warnings: list[Reason]

    @property
    def safe(self) -> bool:
        return not self.reasons


def verdict(
    strategy: StrategyConfig, *, now: datetime, pairs: Collection[Pair] | None = None
) -> Verdict:
    """`pairs`: those it is to have, where they are not saved yet. What is decided by it is asked
    under the connection's lock (services.py)."""
    connection = strategy.connection
    if connection is None:
        todo = gettext("Choose another connection to the same exchange in its settings.")
        what = gettext("The connection it ran on was deleted.")
        return Verdict([Reason("no_connection", what, todo, _edit(strategy))], [])
    chosen = list(strategy.pairs.all()) if pairs is None and strategy.pk else list(pairs or ())
    limits_set = Thresholds.current()
    reasons = [
        *_of_connection(connection, strategy.suspended_at, now),
        *_of_rights(connection, strategy.market, now),
        *_of_ip(connection, limits_set),
        *_of_settings(strategy, chosen),
        *_of_account(strategy, connection),
    ]
    shared = list(_of_sharing(strategy, connection))
    if limits_set.separate_keys:
        return Verdict([*reasons, *shared], [])
    return Verdict(reasons, shared)


def unsafe(connection: Connection, market: str, now: datetime) -> str:
    """Why an enabled strategy may not go on, as a code, or "". What may pass by itself and what
    is not proven stops nothing that runs."""
    may = connection.known_permissions
    if may.withdraw or connection.status == Status.REFUSED:
        return "withdraw"
    if connection.key_expires_at and connection.key_expires_at <= now:
        return "expired"
    if _fails(connection):
        return "failed"
    if market in may.closed:
        return "market_closed"
    if may.trades(market) is False:  # type: ignore[arg-type]
        return "no_trading"
    return ""


def suspended_for(code: str, connection: Connection | None) -> str:
    """That reason as a sentence, for whoever's strategy was suspended. The problem of its
    `connection` is named while it is one that suspends: it may be another one by now."""
    if code == "failed" and connection is not None and _fails(connection):
        title = explain(connection.problem, connection.exchange_id).title
        return gettext("The key stopped working: %(problem)s.") % {"problem": title}
    return {
        "withdraw": gettext("The key may withdraw funds. No strategy may use such a key."),
        "expired": gettext("The key has expired."),
        "failed": gettext("The key stopped working."),
        "market_closed": gettext("The exchange says that this market's account is closed."),
        "no_trading": gettext("The key may not trade on this market any more."),
        "account": gettext(
            "Its key is of another account now, whose balance is not known to be enough."
        ),
        "removed": gettext("Its connection was deleted."),
        SUSPENDED_FOR: gettext("Its key may have leaked, so nothing may use it."),
    }.get(code, gettext("Its key was not safe for it any more."))


def _fails(connection: Connection) -> bool:
    return connection.status == Status.FAILED and connection.problem not in NOT_THE_KEYS


def _of_connection(
    connection: Connection, suspended_at: datetime | None, now: datetime
) -> Iterator[Reason]:
    link = connection.get_absolute_url()
    again = gettext("Test the connection, then enable the strategy.")
    if stops().hold(exchange=connection.exchange_id, owner=connection.owner_id):
        what = gettext("BackFuture has stopped using this key because of an incident.")
        todo = gettext("Delete the key at the exchange. Nothing runs on it until that is over.")
        yield Reason("stopped", what, todo, link)
    if connection.exchange.paused:
        what = gettext("Support has paused %(exchange)s: no key is tested there.")
        todo = gettext("Wait until that ends. You need not do anything.")
        yield Reason("exchange_paused", what % {"exchange": connection.exchange.name}, todo, link)
    if connection.paused_at:
        yield Reason("paused", gettext("The connection is paused."), gettext("Resume it."), link)
    if connection.status == Status.NEW or connection.tested_at is None:
        yield Reason("not_tested", gettext("The key has not been tested yet."), again, link)
    elif connection.status == Status.FAILED:
        problem = explain(connection.problem, connection.exchange_id)
        what = gettext("The last test failed: %(problem)s.") % {"problem": problem.title}
        todo = problem.advice[0] if problem.advice else gettext("The connection says what to do.")
        yield Reason("failed", what, todo, link)
    elif connection.suspicion:
        problem = explain(connection.suspicion, connection.exchange_id)
        what = gettext("The last test failed: %(problem)s.") % {"problem": problem.title}
        yield Reason("in_doubt", what, gettext("A second test decides. Wait for it."), link)
    elif not now - FRESH <= connection.tested_at <= now:
        what = gettext("The last test is older than 24 hours.")
        yield Reason("test_too_old", what, again, link)
    elif suspended_at and connection.tested_at < suspended_at:
        what = gettext("The last test is from before the strategy was suspended.")
        yield Reason("test_before_suspension", what, again, link)


def _of_rights(connection: Connection, market: str, now: datetime) -> Iterator[Reason]:
    may, link = connection.known_permissions, connection.get_absolute_url()
    if may.withdraw or connection.status == Status.REFUSED:
        what = gettext("The key may withdraw funds.")
        todo = gettext("Switch that right off at the exchange and test again, or replace the key.")
        yield Reason("withdraw", what, todo, link)
    if not connection.works:
        return  # nothing else is known of the key as it is now
    if market in may.closed:
        what = gettext("The exchange says that your futures account is not opened.")
        todo = gettext("Open it at the exchange, then test the connection.")
        yield Reason("market_closed", what, todo, link)
    elif market not in may.ready_for and not may.withdraw:
        yield _no_trading(connection, market)
    if connection.key_expires_at and connection.key_expires_at <= now + ENDS_SOON:
        yield _ends(connection, now)


def _no_trading(connection: Connection, market: str) -> Reason:
    if connection.known_permissions.trades(market) is False:  # type: ignore[arg-type]
        what = _on(
            market,
            gettext("The key may not trade spot."),
            gettext("The key may not trade futures."),
        )
        todo = gettext("Switch that right on at the exchange and test again.")
        return Reason("no_trading", what, todo, connection.get_absolute_url())
    what = _on(
        market,
        gettext("It is not proven that the key may trade spot."),
        gettext("It is not proven that the key may trade futures."),
    )
    todo = gettext("Replace the key by one with that right, or test again.")
    return Reason("trading_unknown", what, todo, _replace(connection))


def _ends(connection: Connection, now: datetime) -> Reason:
    ends = connection.key_expires_at
    over = ends is not None and ends <= now
    what = gettext("The key has expired.") if over else gettext("The key expires within 24 hours.")
    todo = gettext("Replace it by a new one.")
    return Reason("expires", what, todo, _replace(connection))


def _of_ip(connection: Connection, thresholds: Thresholds) -> Iterator[Reason]:
    if thresholds.require_ip_restriction and connection.works and not connection.ip_restricted:
        unknown = connection.ip_restricted is None
        what = (
            gettext("It is not known whether the key is restricted to our IP addresses.")
            if unknown
            else gettext("The key is not restricted to our IP addresses.")
        )
        todo = gettext("Restrict it at the exchange and test again: strategies need that here.")
        yield Reason("no_ip_restriction", what, todo, connection.get_absolute_url())


def _of_settings(strategy: StrategyConfig, pairs: list[Pair]) -> Iterator[Reason]:
    edit = _edit(strategy)
    for fault in limits.faults(strategy, pairs):
        todo = gettext("Change its settings.")
        yield Reason(f"settings_{fault.setting}", limits.sentence(fault), todo, edit)
    gone = [pair.symbol for pair in pairs if not pair.active]
    if gone:
        what = ngettext(
            "%(pairs)s cannot be traded at the exchange any more.",
            "%(pairs)s cannot be traded at the exchange any more.",
            len(gone),
        ) % {"pairs": ", ".join(gone)}
        yield Reason("delisted", what, gettext("Take it out of the pairs."), edit)


def _of_account(strategy: StrategyConfig, connection: Connection) -> Iterator[Reason]:
    if not connection.works:
        return
    account = accounts.standing_of(strategy, connection)
    facts = {
        "worst": limits.plain(strategy.worst_case),
        "taken": limits.plain(account.taken),
        "quote": strategy.quote,
    }
    if account.balance is None:
        what = gettext("The balance that pays for this market is not known.")
        todo = gettext("Test the connection: a test reads it where the key may.")
        yield Reason("balance_unknown", what, todo, connection.get_absolute_url())
    elif strategy.worst_case + account.taken > account.balance:
        facts["balance"] = limits.plain(account.balance)
        what = gettext(
            "At worst it takes %(worst)s %(quote)s, and other enabled strategies of this exchange "
            "account take %(taken)s %(quote)s. The last test found %(balance)s %(quote)s."
        )
        todo = gettext(
            "Lower the orders or the refills, switch another strategy off, or add funds."
        )
        yield Reason("balance", what % facts, todo, _edit(strategy))


def _of_sharing(strategy: StrategyConfig, connection: Connection) -> Iterator[Reason]:
    """A key for each strategy: one that is switched off, or taken, stops no other. Those of other
    people are not named."""
    keys = Credential.objects.active().filter(connection=connection).values("fingerprint")
    same = Connection.objects.filter(
        credentials__fingerprint__in=keys, credentials__state=Credential.State.ACTIVE
    )
    running = StrategyConfig.objects.enabled().exclude(pk=strategy.pk)
    others = running.filter(Q(connection=connection) | Q(connection__in=same))
    owners = list(others.values_list("owner", "name").order_by("name"))
    names = [name for owner, name in owners if owner == strategy.owner_id]
    if len(names) < len(owners):
        names.append(gettext("strategies of another person"))
    if names:
        what = gettext("The same key is used by: %(names)s.") % {"names": ", ".join(names)}
        todo = gettext("Use separate keys: add a connection with a key of its own.")
        yield Reason("key_shared", what, todo, reverse("connections:choose"))


def _on(market: str, spot: str, futures: str) -> str:
    return spot if market == StrategyConfig.Market.SPOT else futures


def _edit(strategy: StrategyConfig) -> str:
    return reverse("strategies:edit", args=[strategy.pk])


def _replace(connection: Connection) -> str:
    return reverse("connections:replace", args=[connection.pk])
