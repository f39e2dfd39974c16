"""Forms about notices. The address of a chat service is a secret: it is never rendered again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.db import transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .forms import HANDS_OFF, SecretInput, clean_name
from .models import NoticePreferences
from .notices import Kind

REGIONS: tuple[str, ...] = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic")
REGIONS += ("Australia", "Europe", "Indian", "Pacific")
HELP: dict[str, Any] = {
    Kind.BREAK: _("Its key stopped working, and what to do."),
    Kind.RECOVERY: _("After a notice that it did not."),
    Kind.SUSPENDED: _("Its key is not safe for it any more, or has expired."),
    Kind.EXPIRY: _("Some days before it expires, and the strategies that stop with it."),
    Kind.FINDING: _("Such as a key that may withdraw."),
    Kind.REPLACE: _("When somebody of support has looked at it and sees no other way."),
    Kind.OUTAGE: _("So that you need not look for a fault of your own."),
    Kind.WEEKLY: _("On Monday morning: what is open, what was mended."),
    Kind.STAFF_DAILY: _("Every morning, for the support desk."),
}
FOR_STAFF = {Kind.STAFF_DAILY}


@lru_cache(maxsize=1)
def _zones() -> tuple[tuple[str, Any], ...]:
    """All time zones that are named after places, by their region."""
    by_region: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for name in sorted(available_timezones()):
        region, _slash, place = name.partition("/")
        if place and region in by_region:
            by_region[region].append((name, place.replace("_", " ").replace("/", " – ")))
    return (("UTC", "UTC"), *by_region.items())


def zones(current: str) -> list[tuple[str, Any]]:
    """The choices, with the one in use whatever it is called."""
    known = {name for _region, group in _zones()[1:] for name, _place in group}
    extra = [] if current in known or current == "UTC" else [(current, current)]
    return [*extra, *_zones()]


def kinds_for(user: Any) -> list[Kind]:
    return [kind for kind in HELP if user.is_staff or kind not in FOR_STAFF]  # type: ignore[misc]


class PreferencesForm(forms.Form):
    by_email = forms.BooleanField(label=_("By e-mail"), required=False)
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        help_text=_("For quiet hours, and for all times you are shown."),
        error_messages={"invalid_choice": _("Choose a time zone from the list.")},
    )
    quiet_from = forms.TimeField(
        label=_("Quiet from"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        error_messages={"invalid": _("Give a time of day, such as 22:00.")},
    )
    quiet_until = forms.TimeField(
        label=_("Quiet until"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        error_messages={"invalid": _("Give a time of day, such as 07:00.")},
    )
    urgent_in_quiet = forms.BooleanField(
        label=_("Urgent notices also in quiet hours"), required=False
    )

    def __init__(self, *args: Any, preferences: NoticePreferences, **kwargs: Any) -> None:
        self.preferences = preferences
        user = preferences.user
        names = ("by_email", "quiet_from", "quiet_until", "urgent_in_quiet")
        initial = {name: getattr(preferences, name) for name in names}
        initial["time_zone"] = user.time_zone
        super().__init__(*args, **{**kwargs, "initial": initial})
        self.fields["time_zone"].choices = zones(user.time_zone)  # type: ignore[attr-defined]
        for kind in kinds_for(user):
            self.fields[f"about_{kind}"] = forms.BooleanField(
                label=kind.label,
                help_text=HELP[kind],
                required=False,
                initial=preferences.wants(kind),
            )

    @property
    def kinds(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("about_")]

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if not self.errors.keys() & {"quiet_from", "quiet_until"}:
            start, end = values["quiet_from"], values["quiet_until"]
            if start is None and end is not None:
                self.add_error("quiet_from", gettext("Say when they begin, or leave both empty."))
            if end is None and start is not None:
                self.add_error("quiet_until", gettext("Say when they end, or leave both empty."))
            if start is not None and start == end:
                self.add_error("quiet_until", gettext("They must end at another time."))
        return values

    def save(self) -> None:
        values, row = self.cleaned_data, self.preferences
        shown = {str(kind) for kind in kinds_for(row.user)}
        off = {kind for kind in shown if not values[f"about_{kind}"]}
        kept = {kind for kind in row.off if kind not in shown}
        row.off = sorted(off | kept)
        for name in ("by_email", "quiet_from", "quiet_until", "urgent_in_quiet"):
            setattr(row, name, values[name])
        with transaction.atomic():
            row.save()
            row.user.time_zone = values["time_zone"]
            row.user.save(update_fields=["time_zone"])


class ChannelForm(forms.Form):
    """A name and the address of a chat service. chats.understood says what is wrong with it."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        help_text=_("For you alone, such as My phone."),
        error_messages={"required": _("Give it a name, such as My phone.")},
    )
    address = forms.CharField(
        label=_("Address of the chat service"),
        strip=False,
        help_text=_("The webhook you copied there, or an address as in the list."),
        error_messages={"required": _("Enter the address. The list says where you find it.")},
        widget=SecretInput(attrs={**HANDS_OFF}),
    )

    def clean_name(self) -> str:
        return clean_name(str(self.cleaned_data["name"]))
