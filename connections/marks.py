"""The small signs of the support desk's lists: a word, a colour, and the sentence behind it."""

from __future__ import annotations

from datetime import datetime, timedelta

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


def rights(marks: list[PermissionMark], ip_restricted: bool | None) -> SafeString:
    """The first letter of each right, and "IP" for the restriction to addresses, with a tick, a
    cross or a question mark; what they mean stands behind each of them, and is read out."""
    shown: list[tuple[str, str, str, bool | None, str]] = [
        (mark.tone, mark.label, mark.label[:1], mark.value, mark.word) for mark in marks
    ]
    ip = gettext("IP restriction")
    shown.append((tone(ip_restricted), ip, gettext("IP"), ip_restricted, word(ip_restricted)))
    signs = (
        (color, said, short, SIGNS[value], said)
        for color, label, short, value, in_words in shown
        for said in (f"{label}: {in_words}",)
    )
    one = (
        '<span class="desk-mark desk-{}" title="{}"><span aria-hidden="true">{}{}</span>'
        '<span class="desk-hidden">{}</span></span>'
    )
    return format_html('<span class="desk-marks">{}</span>', format_html_join("", one, signs))


def step(state: str) -> SafeString:
    """Of a test: how far it came."""
    words = {
        "done": gettext("good"),
        "failed": gettext("failed"),
        "running": gettext("under way"),
        "waiting": gettext("waits"),
        "skipped": gettext("not reached"),
    }
    badge = '<span class="desk-step desk-{}">{}</span>'
    return format_html(badge, state, words.get(state, state))


def yes_no(value: bool | None, *, good: bool = True) -> SafeString:
    """A sign and its word; `good` is the answer that is safe."""
    sign = '<span class="desk-mark desk-{}">{} {}</span>'
    return format_html(sign, tone(value, good=good), SIGNS[value], word(value))


def word(value: bool | None) -> str:
    return {True: gettext("yes"), False: gettext("no"), None: gettext("unknown")}[value]


def tone(value: bool | None, *, good: bool = True) -> str:
    return "unknown" if value is None else "good" if value == good else "bad"


def age(moment: datetime | None) -> SafeString | str:
    """How long ago, with the moment itself behind it."""
    if moment is None:
        return NOTHING
    since = timesince(moment, depth=1)
    return format_html('<span title="{}">{}</span>', _exactly(moment), since)


def ago(moment: datetime | None) -> SafeString | str:
    """The same in a sentence's words: "3 weeks ago"."""
    if moment is None:
        return NOTHING
    said = gettext("%(age)s ago") % {"age": timesince(moment, depth=1)}
    if timezone.now() - moment < timedelta(minutes=1):
        said = gettext("just now")
    return format_html('<span class="desk-line" title="{}">{}</span>', _exactly(moment), said)


def _exactly(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z")


def two(first: object, second: object) -> SafeString:
    """What a row is about, and a quiet line below it."""
    if not second:
        return format_html("{}", first)
    return format_html('{}<span class="desk-below-it">{}</span>', first, second)


def count(number: int, address: str, color: str) -> SafeString | str:
    """A number that leads to what it counts."""
    if not number:
        return NOTHING
    return format_html('<a class="desk-badge desk-{}" href="{}">{}</a>', color, address, number)
