"""What an operator chooses before an incident is asked for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from .incident_asking import Wish
from .incidents import LONGEST_REASON, Scope
from .models import Exchange

STEPS = ("stop_use", "suspend", "tell", "destroy")


def _step(label: Any, what: Any, *, chosen: bool = True) -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, initial=chosen, widget=UnfoldBooleanWidget, help_text=what
    )


class IncidentForm(forms.Form):
    """Scope and steps: enough to count what it would come to."""

    scope = forms.ChoiceField(
        label=_("Which keys"), choices=Scope, widget=UnfoldAdminRadioSelectWidget
    )
    exchange = forms.ModelChoiceField(
        Exchange.objects.all(),
        label=_("Exchange"),
        required=False,
        empty_label="–",
        widget=UnfoldAdminSelectWidget,
    )
    owner = forms.EmailField(
        label=_("User"),
        required=False,
        help_text=_("The e-mail address of the account."),
        widget=UnfoldAdminEmailInputWidget,
    )
    stop_use = _step(
        _("Stop all use of the keys"),
        _("At once, and until two people lift it. No test is made, no key is taken."),
    )
    suspend = _step(_("Suspend strategies"), _("Each stays off until its owner enables it again."))
    tell = _step(
        _("Tell owners"),
        _("To delete the key at the exchange now, with the link of its page there."),
    )
    destroy = _step(
        _("Destroy the sealed keys"),
        _("Cannot be undone: owners have to create new keys. Suspends and tells too."),
        chosen=False,
    )

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if values.get("scope") == Scope.EXCHANGE and not values.get("exchange"):
            self.add_error("exchange", gettext("Choose the exchange."))
        if values.get("scope") == Scope.OWNER and "owner" not in self.errors:
            self._find(values.get("owner", ""))
        if values.get("destroy"):
            values["suspend"] = values["tell"] = True
        if not any(values.get(step) for step in STEPS):
            self.add_error(None, gettext("Choose at least one step."))
        return values

    def _find(self, email: str) -> None:
        people = get_user_model().objects.filter(email__iexact=email)
        self.person = people.first() if email else None
        if self.person is None:
            self.add_error("owner", gettext("Nobody here has that e-mail address."))

    def wish(self) -> Wish:
        """Only for a form that is valid."""
        values = self.cleaned_data
        return Wish(
            scope=values["scope"],
            reason=values.get("reason", ""),
            exchange=values["exchange"].pk if values["exchange"] else None,
            owner=getattr(self, "person", None),
            **{step: values[step] for step in STEPS},
        )


class AskForm(IncidentForm):
    """With the reason, which never stands in an address."""

    reason = forms.CharField(
        label=_("What happened"),
        max_length=LONGEST_REASON,
        help_text=_("Kept with all that is done. Users do not see it."),
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": _("Say what happened: it is kept with all that is done.")},
    )
