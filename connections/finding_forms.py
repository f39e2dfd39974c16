"""What a person fills in to put a finding off, or aside."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .models import FindingChange, Thresholds


class SnoozeForm(forms.Form):
    """Until the morning of a day, in the zone of whoever is looking."""

    until = forms.DateField(
        label=_("Snooze until"),
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={
            "required": _("Choose a date."),
            "invalid": _("Enter a date as year, month and day, such as 2027-01-31."),
        },
    )

    def __init__(
        self, data: Any = None, *, now: datetime, limits: Thresholds, **kwargs: Any
    ) -> None:
        self.today, self.most = timezone.localdate(now), limits.snooze_most_days
        first, last = self.today + timedelta(days=1), self.today + timedelta(days=self.most)
        usual = self.today + timedelta(days=limits.snooze_days)
        super().__init__(data, initial={"until": usual}, **kwargs)
        field = self.fields["until"]
        field.widget.attrs |= {"min": first.isoformat(), "max": last.isoformat()}
        field.help_text = ngettext("%(n)d day at most.", "%(n)d days at most.", self.most)
        field.help_text %= {"n": self.most}

    def clean_until(self) -> datetime:
        day: date = self.cleaned_data["until"]
        if day <= self.today:
            raise forms.ValidationError(_("Choose a date in the future."))
        if day > self.today + timedelta(days=self.most):
            text = ngettext(
                "Choose a date within %(n)d day.", "Choose a date within %(n)d days.", self.most
            )
            raise forms.ValidationError(text % {"n": self.most})
        return datetime.combine(day, time.min, timezone.get_current_timezone())


class SuppressForm(forms.Form):
    why = forms.CharField(
        label=_("Why may it stay so?"),
        max_length=FindingChange._meta.get_field("why").max_length,
        help_text=_("Kept with the finding. Whoever looks at it later reads this."),
        error_messages={"required": _("Say why, in a few words.")},
    )
