"""The few things templates cannot say by themselves: icons, monograms, form widgets, ages."""

from __future__ import annotations

import re
import zlib
from datetime import datetime, timedelta

from django import template
from django.forms import BoundField, CheckboxInput, RadioSelect, Select
from django.template import Context
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext

from connections import exchanges, presentation
from connections.history import Day
from connections.models import Finding
from connections.presentation import PermissionMark

register = template.Library()

MONOGRAM_COLORS = 11  # .mono-0 to .mono-10 in app.css


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the sprite backfuture/icons.svg; always decoration, words stand beside it."""
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f"icon {extra}".strip(),
        static("backfuture/icons.svg"),
        name,
    )


@register.filter
def monogram(name: str) -> str:
    """Two letters for an exchange: KuCoin is KC, MEXC is ME. Logos are trademarks."""
    capitals = [letter for letter in name if letter.isupper()]
    if name.isupper() or len(capitals) < 2:
        return name[:2]
    return "".join(capitals[:2])


@register.filter
def mono_color(code: str) -> str:
    """The same colour class for the same exchange, on every page and after every restart."""
    return f"mono-{zlib.adler32(code.encode()) % MONOGRAM_COLORS}"


@register.filter
def ago(moment: datetime) -> str:
    """The age of a moment in its largest unit: "3 hours ago"."""
    if timezone.now() - moment < timedelta(minutes=1):
        return gettext("just now")
    return gettext("%(age)s ago") % {"age": timesince(moment, depth=1)}


@register.filter(expects_localtime=True)
def zone(moment: datetime) -> str:
    """What stands behind a time: "UTC", "CET", or the hours where it has no letters."""
    name = moment.tzname() or ""
    number = re.fullmatch(r"([+-])0?(\d{1,2})(\d\d)?", name)
    if number is None:
        return name
    sign, hours, minutes = number.groups()
    sign = sign.replace("-", "−")  # a hyphen would let the line break after it
    return f"UTC{sign}{hours}" + (f":{minutes}" if minutes else "")


@register.filter
def mark_icon(mark: PermissionMark) -> str:
    """Said by form as well as by colour: a right, its absence, or that nobody knows."""
    if mark.value is None:
        return "help"
    if mark.name == "withdraw":
        return "shield-x" if mark.value else "shield-check"
    return "check" if mark.value else "minus"


@register.filter
def yes_no_icon(mark: PermissionMark) -> str:
    """On one line, where no word stands beside it: a tick is yes for every right."""
    if mark.value is None:
        return "help"
    if mark.name == "withdraw" and mark.value:
        return "alert"
    return "check" if mark.value else "x"


@register.filter
def any_known(marks: list[PermissionMark]) -> bool:
    return any(mark.value is not None for mark in marks)


@register.simple_tag
def widget(field: BoundField) -> SafeString:
    """A form field's widget in the product's clothes. Labels stand above fields, so
    placeholders are dropped; Django links help text and errors to the widget by itself."""
    attrs: dict[str, str | bool] = {"class": _css_class(field), "placeholder": False}
    return field.as_widget(attrs=attrs)


def _css_class(field: BoundField) -> str:
    kind = field.field.widget
    name = "form-control"
    if isinstance(kind, CheckboxInput | RadioSelect):
        name = "form-check-input"
    elif isinstance(kind, Select):
        name = "form-select"
    invalid = " is-invalid" if field.errors else ""
    return f"{kind.attrs.get('class', '')} {name}{invalid}".strip()


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def is_optional(field: BoundField) -> bool:
    """Fields of a key are checked by `pasting`, not by Django, and say so by aria-required."""
    return not field.field.required and "aria-required" not in field.field.widget.attrs


@register.simple_tag
def server_ips(exchange_code: str) -> str:
    """Our addresses as that exchange's form accepts them; "" while none are published."""
    return presentation.server_ips(exchanges.EXCHANGES.get(exchange_code))


@register.simple_tag(takes_context=True)
def wanting_attention(context: Context) -> int:
    """How many findings of whoever is signed in nobody has said anything of."""
    mine = Finding.objects.owned_by(context["user"])
    return mine.wanting_attention(timezone.now()).count()


@register.filter
def in_state(days: list[Day], state: str) -> int:
    return sum(day.state == state for day in days)


@register.filter
def strip_shape(day: Day) -> str:
    """Its class in findings.css: a shape as well as a colour."""
    return "partly" if day.bad and day.good else day.state


@register.filter
def day_words(day: Day) -> str:
    """A day of the strip in words: "21 Nov: failing, 2 of 3 tests failed"."""
    facts = {"day": date_format(day.date, "j M"), "bad": day.bad, "all": day.tests}
    if not day.tests:
        return gettext("%(day)s: no test") % facts
    if not day.bad:
        ok = ngettext("%(day)s: ok, %(all)d test", "%(day)s: ok, %(all)d tests", day.tests)
        return ok % facts
    text = ngettext(
        "%(day)s: failing, %(bad)d of %(all)d test failed",
        "%(day)s: failing, %(bad)d of %(all)d tests failed",
        day.tests,
    )
    if day.unanswered == day.bad:
        text += ", " + gettext("since the exchange did not answer")
    elif day.unanswered:
        text += ", " + gettext("%(n)d of them since the exchange did not answer")
    return text % {**facts, "n": day.unanswered}
