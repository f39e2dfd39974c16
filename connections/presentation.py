"""How connections, tests and problems are said on a page: words, colours, marks.

Everything here is ready to print; templates decide nothing about keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from . import egress, exchanges
from .exchanges.base import STEPS, Exchange, Known, Permissions, StepName
from .exchanges.problems import ALL
from .models import Connection, ConnectionTest

EXPIRY_NOTICE_DAYS = 14

Color = Literal["green", "yellow", "orange", "red", "blue", "secondary"]


@dataclass(frozen=True, slots=True)
class Status:
    """A status word with its Tabler colour, its icon's name and a sentence."""

    word: str
    color: Color
    icon: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A problem in words: what happened, why, what to do; the code stands small, for support."""

    code: str
    title: str
    cause: str
    advice: tuple[str, ...]
    may_pass: bool
    key_page: str


@dataclass(frozen=True, slots=True)
class StepLine:
    """One line of a test: `state` is done, failed, running, waiting or skipped."""

    label: str
    state: str
    ms: int
    call: str
    evidence: str


@dataclass(frozen=True, slots=True)
class PermissionMark:
    """One right: `value` is yes, no or unknown; `tone` is how safe that is."""

    name: str
    label: str
    value: Known
    word: str
    tone: Literal["good", "bad", "neutral", "unknown"]
    evidence: str


STEP_LABELS = {
    "reachable": _("Exchange reachable"),
    "clock": _("Clocks agree"),
    "key": _("Key accepted"),
    "permissions": _("Permissions"),
    "products": _("Futures account opened"),
    "balance": _("Balance readable"),
    "orders": _("Order status readable"),
}

PERMISSION_LABELS = {
    "read": _("Read"),
    "spot_trade": _("Spot trading"),
    "futures_trade": _("Futures trading"),
    "margin": _("Margin"),
    "transfer": _("Transfer between own accounts"),
    "withdraw": _("Withdraw"),
}

# The rights shown on one line, in short.
LINE_LABELS = {
    "read": _("Read"),
    "spot_trade": _("Spot"),
    "futures_trade": _("Futures"),
    "withdraw": _("Withdraw"),
}


def status_of(connection: Connection, *, testing: bool) -> Status:
    """The one status shown everywhere: what the user did first, then what is going on."""
    if connection.paused_at:
        sentence = gettext("It is paused. Nothing uses its key.")
        return Status(gettext("Paused"), "secondary", "pause", sentence)
    if connection.use_stopped:
        sentence = gettext("BackFuture has stopped using this key because of an incident.")
        return Status(gettext("Stopped"), "red", "shield-x", sentence)
    if testing:
        return Status(gettext("Testing"), "blue", "refresh", gettext("The test is under way."))
    if connection.suspicion and connection.next_test_at:
        return _in_doubt(connection)
    if connection.works:
        return _working(connection)
    return _not_working(connection)


def _in_doubt(connection: Connection) -> Status:
    problem = explain(connection.suspicion, connection.exchange.code)
    sentence = gettext("The last test failed: %(problem)s. A second test decides.")
    return Status(gettext("Testing"), "blue", "refresh", sentence % {"problem": problem.title})


def _working(connection: Connection) -> Status:
    days = days_left(connection.key_expires_at)
    if days is not None and days < 0:
        expired = explain("key_expired", connection.exchange.code)
        word = gettext("Needs attention: %(problem)s") % {"problem": expired.title}
        return Status(word, "red", "alert", expired.cause)
    if days is not None and days <= EXPIRY_NOTICE_DAYS:
        word = ngettext("Expires in %(days)d day", "Expires in %(days)d days", days)
        sentence = gettext(
            "The key works until %(day)s. Create a new one at %(exchange)s and replace it here "
            "before then."
        )
        facts = {"day": _day(connection.key_expires_at), "exchange": connection.exchange.name}
        return Status(word % {"days": days}, "orange", "clock", sentence % facts)
    if connection.status == Connection.Status.WARNINGS:
        return Status(
            gettext("Connected, with warnings"),
            "yellow",
            "alert",
            gettext("The key works. Something about it should be made safer."),
        )
    return Status(gettext("Connected"), "green", "check", gettext("The key works and is safe."))


def _day(moment: datetime | None) -> str:
    return date_format(timezone.localtime(moment), "j M Y")


def _not_working(connection: Connection) -> Status:
    if connection.status == Connection.Status.NEW:
        return Status(
            gettext("Not tested yet"), "secondary", "clock", gettext("The test has not run yet.")
        )
    problem = explain(connection.problem, connection.exchange.code)
    if connection.status == Connection.Status.REFUSED:
        word = gettext("Withdrawal enabled (refused)")
        return Status(word, "red", "shield-x", problem.cause)
    if problem.may_pass:  # "Exchange unavailable" and its like
        sentence = gettext("Nothing for you to do. We test again by ourselves.")
        return Status(problem.title, "secondary", "cloud-off", sentence)
    word = gettext("Needs attention: %(problem)s") % {"problem": problem.title}
    return Status(word, "red", "alert", problem.cause)


def zone_of(user: Any) -> tzinfo:
    """The zone in which a person is shown times; UTC where theirs is not known here."""
    try:
        return ZoneInfo(user.time_zone)
    except (AttributeError, LookupError, ValueError, OSError):
        return UTC


def days_left(moment: datetime | None) -> int | None:
    """Days until `moment`, the last one counted whole; negative when it is past, None when there
    is no moment."""
    if moment is None:
        return None
    left = (moment - timezone.now()) / timedelta(days=1)
    return ceil(left) if left > 0 else -1


def explain(code: str, exchange_code: str, *, seen_ip: str = "") -> Explanation:
    """The words for a code, in the exchange's own terms where it has them."""
    problem = ALL.get(code) or ALL["unexpected"]
    exchange = exchanges.EXCHANGES.get(exchange_code)
    if exchange and code in exchange.words:
        problem = exchange.words[code].over(problem)
    facts = {"exchange": exchanges.name_of(exchange_code), "ip": seen_ip}
    if any("{server_ips}" in text for text in (problem.cause, *problem.advice)):
        facts["server_ips"] = server_ips(exchange) or seen_ip or gettext("(ask the operator)")
    cause = gettext(problem.cause).format(**facts)
    if seen_ip and code == "ip_not_allowed":
        cause += " " + gettext("It saw the address {ip}.").format(**facts)
    return Explanation(
        code=code,
        title=gettext(problem.title).format(**facts),
        cause=cause,
        advice=tuple(gettext(step).format(**facts) for step in problem.advice),
        may_pass=problem.may_pass,
        key_page=exchange.key_page if exchange else "",
    )


def explain_all(codes: Iterable[str], exchange_code: str) -> list[Explanation]:
    return [explain(code, exchange_code) for code in codes]


def server_ips(exchange: Exchange | None) -> str:
    """Our addresses in the form the exchange's page accepts, without blanks; "" if unknown."""
    if exchange is None:
        return ",".join(settings.SERVER_IPS)
    return exchange.ip_separator.join(egress.addresses(exchange.code))


def ready_for(permissions: Permissions) -> str:
    """What is proven: nothing is assumed from silence."""
    markets = permissions.ready_for
    if markets == ("spot", "futures"):
        return gettext("spot and futures")
    if markets:
        return {"spot": gettext("spot"), "futures": gettext("futures")}[markets[0]]
    if permissions.withdraw:
        return gettext("nothing")
    return gettext("reading only") if permissions.read else gettext("nothing yet")


def permission_marks(permissions: Permissions) -> list[PermissionMark]:
    return [_mark(name, value, permissions) for name, value in permissions.as_dict().items()]


def line_marks(permissions: Permissions) -> list[PermissionMark]:
    """The rights that matter most, under short names. A right of no use yet is not praised."""
    marks = {mark.name: mark for mark in permission_marks(permissions)}
    if "futures" in permissions.closed:
        marks["futures_trade"] = replace(marks["futures_trade"], tone="neutral")
    return [replace(marks[name], label=str(label)) for name, label in LINE_LABELS.items()]


def _mark(name: str, value: Known, permissions: Permissions) -> PermissionMark:
    return PermissionMark(
        name=name,
        label=str(PERMISSION_LABELS[name]),
        value=value,
        word=_word(name, value, permissions),
        tone=_tone(name, value),
        evidence=permissions.evidence.get(name, ""),
    )


def _word(name: str, value: Known, permissions: Permissions) -> str:
    if value and name == "futures_trade" and "futures" in permissions.closed:
        return gettext("yes, but no opened futures account was proven")
    return yes_no_unknown(value)


def _tone(name: str, value: Known) -> Literal["good", "bad", "neutral", "unknown"]:
    if value is None:
        return "unknown"
    if name == "withdraw":
        return "bad" if value else "good"
    if name == "read":
        return "good" if value else "bad"
    return "good" if value and name.endswith("_trade") else "neutral"


def yes_no_unknown(value: Known) -> str:
    return {True: gettext("yes"), False: gettext("no"), None: gettext("unknown")}[value]


def step_lines(test: ConnectionTest) -> list[StepLine]:
    """Every step of a test, those still to come included."""
    done = {step["name"]: step for step in test.steps}
    lines = []
    ahead = "running" if test.status == ConnectionTest.Status.RUNNING else "waiting"
    if not test.is_open:
        ahead = "skipped"
    for name in STEPS:
        if name == "products" and name not in done:
            continue  # only asked for keys that may trade futures
        lines.append(_line(name, done.get(name), ahead))
        if ahead == "running" and lines[-1].state == "running":
            ahead = "waiting"
    return lines


def _line(name: StepName, step: dict[str, object] | None, ahead: str) -> StepLine:
    label = str(STEP_LABELS[name])
    if step is None:
        return StepLine(label, ahead, 0, "", "")
    state = {True: "done", False: "failed", None: "running"}[step["ok"]]  # type: ignore[index]
    shown = [f"HTTP {step['http_status']}" if step["http_status"] else "", str(step["code"])]
    return StepLine(
        label, state, int(str(step["ms"])), str(step["call"]), " · ".join(filter(None, shown))
    )
