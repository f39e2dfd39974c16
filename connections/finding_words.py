"""What is said about a finding: its title, what was found and why it matters, what to do, and
where. Dates are in the current time zone: whoever writes to somebody activates theirs first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import exchanges
from .findings import Finding
from .rule_words import SAY, Told
from .rules import RULES


@dataclass(frozen=True, slots=True)
class Words:
    """Ready to print. `link` is the page of the exchange where its keys are, "" if unknown."""

    title: str
    what: str
    advice: tuple[str, ...]
    link: str


def words_for(finding: Finding, *, exchange_code: str, strategies: Iterable[object] = ()) -> Words:
    """`strategies` are those enabled on the connection; where they are given they are named."""
    told = Told(finding, exchange_code, tuple(str(each) for each in strategies))
    what, advice = SAY[finding.rule](told)
    known = exchanges.EXCHANGES.get(exchange_code)
    return Words(str(RULES[finding.rule].title), what, advice, known.key_page if known else "")
