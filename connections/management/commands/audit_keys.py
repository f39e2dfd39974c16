"""`audit_keys`: judges the keys as the daily audit does, and prints what it found, the worst first.

Exit code 1 when critical findings stand among those printed, 2 on wrong usage, else 0.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, QuerySet
from django.utils import timezone

from connections.auditor import Tally, audit
from connections.finding_words import words_for
from connections.models import Connection, Finding
from connections.reports import STANDING
from connections.rules import RULES

Severity = Finding.Severity
CHUNK = 500
HELP = """Audits the keys and prints the findings that stand: open, acknowledged or snoozed ones.
Suppressed ones are left out, since somebody decided to leave them so. The exit code is 1 when a
critical finding is among those printed (so --owner and --rule narrow that too), 2 when a name is
not known, else 0."""


class Command(BaseCommand):
    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document")
        parser.add_argument("--owner", metavar="EMAIL", help="of this person alone")
        parser.add_argument(
            "--rule",
            nargs="+",
            action="extend",
            metavar="CODE",
            help="findings of these rules alone: " + ", ".join(RULES),
        )
        parser.add_argument(
            "--no-run", action="store_true", help="show what the last audit found; judge nothing"
        )

    def handle(self, **options: Any) -> None:
        findings, ids = _chosen(options["owner"], options["rule"] or [])
        now = timezone.now()
        tally = None if options["no_run"] else audit(now=now, connections=ids)
        write = self._document if options["json"] else self._text
        write(findings, now, tally)
        if findings.filter(severity=Severity.CRITICAL).exists():
            sys.exit(1)

    def _text(self, findings: QuerySet[Finding], now: datetime, tally: Tally | None) -> None:
        if tally:
            self.stdout.write(
                f"Audited: {tally.opened} opened, {tally.reopened} reopened, "
                f"{tally.changed} changed, {tally.resolved} resolved.\n"
            )
        counts = _counts(findings)
        for severity, of_one in groupby(_rows(findings), lambda row: row.severity):
            label = Severity(severity).label.capitalize()
            self.stdout.write(f"\n{label}: {counts[Severity(severity).name.lower()]}\n")
            for finding in of_one:
                self.stdout.write(_in_words(finding))
        if not any(counts.values()):
            self.stdout.write("No finding stands.\n")

    def _document(self, findings: QuerySet[Finding], now: datetime, tally: Tally | None) -> None:
        """Written piece by piece: there may be very many."""
        head = {
            "at": _iso(now),
            "audited": asdict(tally) if tally else None,
            "counts": _counts(findings),
        }
        self.stdout.write(json.dumps(head)[:-1] + ', "findings": [', ending="")
        for number, finding in enumerate(_rows(findings)):
            comma = ",\n" if number else "\n"
            self.stdout.write(comma + json.dumps(_as_dict(finding)), ending="")
        self.stdout.write("\n]}")


def _chosen(owner: str | None, rules: list[str]) -> tuple[QuerySet[Finding], list[Any] | None]:
    """What stands of what was asked for, and whose connections to audit; None: everybody's."""
    if unknown := [code for code in rules if code not in RULES]:
        known = ", ".join(RULES)
        text = f"No rule is called {', '.join(unknown)}. The rules are: {known}."
        raise CommandError(text, returncode=2)
    findings = Finding.objects.filter(state__in=STANDING)
    if rules:
        findings = findings.filter(rule__in=rules)
    if owner is None:
        return findings, None
    person = get_user_model().objects.filter(email__iexact=owner).first()
    if person is None:
        text = f"Nobody here has the e-mail address {owner}. --owner takes that of an account."
        raise CommandError(text, returncode=2)
    ids = list(Connection.objects.owned_by(person).values_list("pk", flat=True))
    return findings.owned_by(person), ids


def _counts(findings: QuerySet[Finding]) -> dict[str, int]:
    counted = findings.order_by().values_list("severity").annotate(Count("pk"))
    found: dict[int, int] = dict(counted)
    return {each.name.lower(): found.get(each, 0) for each in sorted(Severity, reverse=True)}


def _rows(findings: QuerySet[Finding]) -> Iterator[Finding]:
    rows = findings.select_related("connection__owner", "connection__exchange")
    ordered = rows.order_by("-severity", "connection__owner__email", "connection__name", "rule")
    return ordered.iterator(chunk_size=CHUNK)


def _in_words(finding: Finding) -> str:
    connection = finding.connection
    words = words_for(finding, exchange_code=connection.exchange_id)
    state = "" if finding.state == Finding.State.OPEN else f" ({finding.get_state_display()})"
    lines = [
        f"{words.title}{state}: {connection.name}, {connection.exchange.name}, "
        f"{connection.owner.email}",
        words.what,
        *(f"- {step}" for step in words.advice),
    ]
    return "  " + "\n    ".join(lines) + "\n"


def _as_dict(finding: Finding) -> dict[str, Any]:
    connection = finding.connection
    words = words_for(finding, exchange_code=connection.exchange_id)
    return {
        "rule": finding.rule,
        "severity": Severity(finding.severity).name.lower(),
        "state": finding.state,
        "owner": connection.owner.email,
        "connection": connection.name,
        "connection_id": str(connection.pk),
        "exchange": connection.exchange_id,
        "title": words.title,
        "what": words.what,
        "advice": list(words.advice),
        "link": words.link,
        "first_seen_at": _iso(finding.first_seen_at),
        "state_since": _iso(finding.state_since),
        "snoozed_until": _iso(finding.snoozed_until),
        "regressions": finding.regressions,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
