"""Whoever answers may send a key back to us: an exchange that was broken into, a proxy between.
What is told of a key is kept, shown and exported, so no part of the key may stand in it."""

from __future__ import annotations

from dataclasses import replace

from .base import Credentials, KeyReport

PIECE = 12  # characters in a row that are no chance
SHORTEST = 6  # a passphrase that is shorter may be a part of any word


def without(report: KeyReport, credentials: Credentials) -> KeyReport:
    """The same, with nothing where a text that came back holds a value of the key or a piece."""
    # In small letters: names of currencies come in capital ones.
    given = (credentials.api_key, credentials.secret, credentials.passphrase)
    values = [value.lower() for value in given]
    pieces = {value[at : at + PIECE] for value in values for at in range(len(value) - PIECE + 1)}
    short = [value for value in values if SHORTEST <= len(value) < PIECE]

    def clean(text: str) -> str:
        small = text.lower()
        starts = range(len(small) - PIECE + 1)
        echoed = any(small[at : at + PIECE] in pieces for at in starts)
        return "" if echoed or any(value in small for value in short) else text

    facts = report.facts
    evidence = {right: clean(text) for right, text in facts.permissions.evidence.items()}
    return replace(
        report,
        steps=tuple(replace(step, code=clean(step.code)) for step in report.steps),
        facts=replace(
            facts,
            uid=clean(facts.uid),
            label=clean(facts.label),
            ips=tuple(map(clean, facts.ips)),
            permissions=replace(facts.permissions, evidence=evidence),
        ),
        balances=tuple(each for each in report.balances if clean(each.currency)),
    )
