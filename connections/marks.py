"""The small signs of the support desk's lists: a word, a colour, and the sentence behind it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext

from .presentation import PermissionMark, Status

NOTHING = "–"
SIGNS = {True: "✓", False: "✗", None: "?"}


def badge(word: str, color: str, why: str = "") -> SafeString:
    return format_html('<span class="desk-badge desk-{}" title="{}">{}</span>', color, why, word)


def status(shown: Status) -> SafeString:
    return badge(shown.word, shown.color, shown.sentence)


def rights(marks: list[PermissionMark]) -> SafeString:
    """The first letter of each right with a tick, a cross or a question mark; what they mean stands
    behind each of them, and is read out."""
    signs = (
        (mark.tone, said, mark.label[:1], SIGNS[mark.value], said)
        for mark in marks
        for said in (f"{mark.label}: {mark.word}",)
    )
    one = (
        '<span class="desk-mark desk-{}" title="{}"><span aria-hidden="true">{}{}</span>'
        '<span class="desk-hidden">{}</span></span>'
    )
    return format_html('<span class="desk-marks">{}</span>', format_html_join("", one, signs))


def yes_no(value: bool | None, *, good: bool = True) -> SafeString:
    """A sign and its word; `good` is the answer that is safe."""
    word = {True: gettext("yes"), False: gettext("no"), None: gettext("unknown")}[value]
    tone = "unknown" if value is None else "good" if value == good else "bad"
    return format_html('<span class="desk-mark desk-{}">{} {}</span>', tone, SIGNS[value], word)


def age(moment: datetime | None) -> SafeString | str:
    """How long ago, with the moment itself behind it."""
    if moment is None:
        return NOTHING
    exact = timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z")
    return format_html('<span title="{}">{}</span>', exact, timesince(moment, depth=1))


def count(number: int, address: str, color: str) -> SafeString | str:
    """A number that leads to what it counts."""
    if not number:
        return NOTHING
    return format_html('<a class="desk-badge desk-{}" href="{}">{}</a>', color, address, number)
