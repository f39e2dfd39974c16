"""What notices say: what happened, why, what to do. Plain text, one line for each thing.

Dates are in the current time zone: whoever writes to somebody activates theirs first. Names that
people gave are kept to one line, so that none of them passes for a line of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext

from . import exchanges
from .finding_words import Words
from .models import Connection, Finding, Outage
from .notice_making import one_line
from .presentation import Explanation, explain

MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class Said:
    """A notice in words, ready to send."""

    subject: str
    text: str


def broken(connection: Connection) -> Said:
    """A connection that worked fails, and what can be done about it."""
    problem = _problem(connection)
    name = one_line(connection.name)
    since = gettext("%(name)s has not worked since %(moment)s.") % {
        "name": name,
        "moment": moment(connection.failing_since),
    }
    return Said(
        f"{name}: {problem.title}",
        paragraphs(
            f"{since} {problem.title}. {problem.cause}",
            facts(connection),
            _stopped(at_risk(connection)),
            _advice(problem.advice or (gettext("Open the connection: it says what to check."),)),
            _keys_page(connection, problem.key_page) if not problem.may_pass else "",
        ),
    )


def recovered(connection: Connection) -> Said:
    name = one_line(connection.name)
    return Said(
        gettext("%(name)s works again") % {"name": name},
        paragraphs(
            gettext("%(name)s works again. Its test has passed.") % {"name": name},
            facts(connection),
            _running(at_risk(connection)),
            _waiting(connection),
            gettext("Look at your orders and positions: nothing was done while it did not work.")
            if at_risk(connection)
            else gettext("There is nothing for you to do."),
        ),
    )


def replace_asked(connection: Connection) -> Said:
    """Support looked at it, and only its owner can mend it."""
    name = one_line(connection.name)
    known = exchanges.EXCHANGES.get(connection.exchange_id)
    return Said(
        gettext("%(name)s: please replace its API key") % {"name": name},
        paragraphs(
            gettext("Support has looked at %(name)s. It needs a new API key from you.")
            % {"name": name},
            facts(connection),
            _advice(
                (
                    gettext("Create a new key at %(exchange)s, as the page of the connection says.")
                    % {"exchange": connection.place},
                    gettext("Choose Replace key there and paste the new one."),
                    gettext("Delete the old key at %(exchange)s once the new one has passed.")
                    % {"exchange": connection.place},
                )
            ),
            _keys_page(connection, known.key_page if known else ""),
            gettext("Nobody of support will ever ask you for the key itself."),
        ),
    )


def outage_begun(outage: Outage, affected: Sequence[Connection]) -> Said:
    exchange = {"exchange": outage.exchange.name, "moment": moment(outage.began_at)}
    strategies = [name for connection in affected for name in at_risk(connection)]
    return Said(
        gettext("%(exchange)s does not answer") % exchange,
        paragraphs(
            gettext(
                "%(exchange)s has not answered most of our requests since %(moment)s. It is the "
                "exchange: your keys are not at fault."
            )
            % exchange,
            gettext("Affected: %(names)s.") % {"names": listed(_names(affected))},
            _stopped(strategies),
            gettext(
                "There is nothing for you to do here. We test again by ourselves and write once "
                "it answers again. Until then we cannot see your positions; look at them in "
                "%(exchange)s's own app if you have any open."
            )
            % exchange,
        ),
    )


def outage_ended(outage: Outage, still_failing: Sequence[Connection]) -> Said:
    exchange = {"exchange": outage.exchange.name, "moment": moment(outage.began_at)}
    answers = gettext("%(exchange)s answers again. It had been away since %(moment)s.") % exchange
    if not still_failing:
        left = gettext("There is nothing for you to do. We test your connections by ourselves.")
    else:
        said = ngettext(
            "This connection still fails, for another reason:",
            "These connections still fail, for other reasons:",
            len(still_failing),
        )
        left = (
            said
            + "\n"
            + bullets(f"{one_line(row.name)}: {_problem(row).title}" for row in still_failing)
        )
    return Said(
        gettext("%(exchange)s answers again") % exchange,
        paragraphs(answers, left),
    )


def ending(finding: Finding, words: Words, now: datetime) -> Said:
    """A key that is about to expire, or has ended."""
    connection = finding.connection
    return Said(
        f"{one_line(connection.name)}: {how_long(finding, now)}",
        paragraphs(words.what, facts(connection), _advice(words.advice), _page_of(words)),
    )


def found(told: Sequence[tuple[Finding, Words]]) -> Said:
    """New findings of one owner, the worst first."""
    finding, words = told[0]
    if len(told) == 1:
        subject = f"{one_line(finding.connection.name)}: {words.title}"
    else:
        subject = ngettext(
            "%(count)d new finding about your keys",
            "%(count)d new findings about your keys",
            len(told),
        ) % {"count": len(told)}
    parts = [_finding(finding, words) for finding, words in told[:MOST_LISTED]]
    return Said(subject, paragraphs(*parts, _more(len(told) - len(parts))))


def how_long(finding: Finding, now: datetime) -> str:
    """ "the key expires in 3 days", the last day counted whole."""
    left = (finding.until or now) - now
    days = -(-left // timedelta(days=1))
    if finding.rule == "dies_of_inactivity":
        said = gettext("the key may be deleted at any time")
        if days > 0:
            said = ngettext(
                "the key may be deleted within a day",
                "the key may be deleted in %(days)d days",
                days,
            )
    else:
        said = gettext("the key has expired")
        if days > 0:
            said = ngettext(
                "the key expires within a day", "the key expires in %(days)d days", days
            )
    return said % {"days": days}


def facts(connection: Connection) -> str:
    """Which connection it is about; of its key no more than the last four characters."""
    lines = [
        gettext("Connection: %(name)s") % {"name": one_line(connection.name)},
        gettext("Exchange: %(name)s") % {"name": connection.place},
    ]
    if hint := hint_of(connection):
        lines.append(gettext("API key: ends with %(hint)s") % {"hint": hint})
    return "\n".join(lines)


def hint_of(connection: Connection) -> str:
    """Of the key in use; whoever asks for many fetches the keys before."""
    active = (key.hint for key in connection.credentials.all() if key.state == key.State.ACTIVE)
    return one_line(next(active, ""))


def at_risk(connection: Connection) -> list[str]:
    """The names of the strategies that run on it."""
    return [one_line(each.name) for each in connection.strategies.all() if each.enabled]


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_LISTED])
    return shown + " " + _more(len(names) - MOST_LISTED) if len(names) > MOST_LISTED else shown


def bullets(lines: Iterable[str], most: int = MOST_LISTED) -> str:
    found = [f"- {line}" for line in lines]
    return "\n".join(found[:most] + [_more(len(found) - most)] * (len(found) > most))


def paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def moment(at: datetime | None) -> str:
    return date_format(localtime(at), "j M Y, H:i T") if at else gettext("an unknown date")


def _problem(connection: Connection) -> Explanation:
    return explain(connection.problem, connection.exchange_id)


def _names(connections: Iterable[Connection]) -> list[str]:
    return [one_line(connection.name) for connection in connections]


def _finding(finding: Finding, words: Words) -> str:
    title = f"{words.title} ({finding.get_severity_display()})"
    return paragraphs(
        title + "\n" + words.what,
        facts(finding.connection),
        _advice(words.advice),
        _page_of(words),
    )


def _stopped(strategies: Sequence[str]) -> str:
    if not strategies:
        return ""
    return gettext("Strategies that cannot trade until it works again: %(names)s.") % {
        "names": listed(strategies)
    }


def _waiting(connection: Connection) -> str:
    names = [one_line(each.name) for each in connection.strategies.all() if each.suspended_at]
    if not names:
        return ""
    return gettext("Suspended strategies: %(names)s. Enable them again on their pages.") % {
        "names": listed(names)
    }


def _running(strategies: Sequence[str]) -> str:
    if not strategies:
        return ""
    return gettext("Strategies that can trade again: %(names)s.") % {"names": listed(strategies)}


def _advice(steps: Sequence[str]) -> str:
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([gettext("What to do:"), *numbered]) if steps else ""


def _keys_page(connection: Connection, page: str) -> str:
    if not page:
        return ""
    return gettext("The keys at %(exchange)s:") % {"exchange": connection.place} + "\n" + page


def _page_of(words: Words) -> str:
    return gettext("The keys there:") + "\n" + words.link if words.link else ""


def _more(count: int) -> str:
    if count <= 0:
        return ""
    return ngettext("and %(count)d more", "and %(count)d more", count) % {"count": count}
