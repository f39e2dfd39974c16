"""Filters that select what the support desk's home counts."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import desk_figures as figures
from .desk import Choice
from .desk_figures import Rows

RESULT_WORDS = {
    "good": _("passed"),
    "bad": _("failed"),
    "unanswered": _("exchange did not answer"),
    "dropped": _("ended without a result"),
}


class Needs(Choice):
    title = _("what needs a person")
    parameter_name = "needs"

    def narrow(self, rows: Rows, value: str) -> Rows:
        return figures.NEEDS[value](rows, timezone.now())


class FindingNeeds(Needs):
    choices_here = (("critical", _("critical, and nobody has said anything")),)


class ConnectionNeeds(Needs):
    choices_here = (
        ("newly_failing", _("began to fail in the last 24 hours")),
        ("expiring", _("key expires within 14 days")),
        ("overdue", _("its test is overdue")),
    )


class IncidentNeeds(Needs):
    choices_here = (("unsettled", _("waiting, under way, or stopping the use of keys")),)


class TestNeeds(Needs):
    title = _("waiting")
    choices_here = (("waiting", _("waiting to begin")),)


class TestResult(Choice):
    title = _("result")
    parameter_name = "result"
    choices_here = tuple(RESULT_WORDS.items())

    def narrow(self, rows: Rows, value: str) -> Rows:
        return figures.of_result(rows, value)
