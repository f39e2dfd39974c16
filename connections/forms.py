"""Forms. A field that takes a secret is write-only: it is never rendered with a value."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .exchanges import pasting
from .exchanges.base import CredentialField, Credentials, Exchange

# Browsers are told not to remember, translate or correct what is a secret.
HANDS_OFF = {
    "autocomplete": "off",
    "autocapitalize": "off",
    "autocorrect": "off",
    "spellcheck": "false",
    "translate": "no",
    "data-1p-ignore": "",
    "data-lpignore": "true",
}


class WriteOnlyInput(forms.TextInput):
    """A text input that is never rendered with a value."""

    def format_value(self, value: Any) -> None:
        return None


class WriteOnlyText(forms.Textarea):
    """A text area that is never rendered with a value, for keys of several lines."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": "masked", "rows": 4, **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return ""


class SecretInput(WriteOnlyInput):
    """Shown as dots by the style sheet. Not a password input: browsers offer to store those."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": "masked", **(attrs or {})})


class KeyForm(forms.Form):
    """All values of one key of `exchange`; `credentials` holds them once the form is valid."""

    def __init__(self, *args: Any, exchange: Exchange, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exchange = exchange
        self.credentials: Credentials | None = None
        for spec in exchange.fields:
            self.fields[spec.name] = _key_field(spec)

    def clean(self) -> dict[str, Any]:
        # Read from the submitted data: cleaned_data would be one more place that holds a secret.
        names = [spec.name for spec in self.exchange.fields]
        pasted = pasting.clean(self.exchange, {name: self.data.get(name) for name in names})
        for name, fault in pasted.faults.items():
            self.add_error(name or None, gettext(fault))
        self.credentials = pasted.credentials
        return {name: value for name, value in self.cleaned_data.items() if name not in names}


def _key_field(spec: CredentialField) -> forms.CharField:
    widget = _widget(spec)
    return forms.CharField(
        label=_(spec.label),
        help_text=_(spec.hint),
        required=False,  # pasting.clean says what is missing, in its own words
        strip=False,
        widget=widget(attrs={**HANDS_OFF, "aria-required": "true"}),
    )


def _widget(spec: CredentialField) -> type[forms.Widget]:
    if spec.multiline:
        return WriteOnlyText
    return WriteOnlyInput if spec.name == "api_key" else SecretInput


class NameForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        help_text=_("For you alone. It helps when you have several keys or strategies."),
        error_messages={"required": _("Give the connection a name, such as MEXC Spot Main.")},
    )

    def clean_name(self) -> str:
        return clean_name(str(self.cleaned_data["name"]))


def clean_name(typed: str) -> str:
    """A connection's name with single blanks. Raises ValidationError."""
    name = " ".join(typed.split())
    if not name.isprintable():
        raise forms.ValidationError(_("Use letters, digits and signs that can be printed."))
    return name


class ConnectForm(NameForm, KeyForm):
    """Name and key of a new connection."""

    field_order = ("name", "api_key", "secret", "passphrase")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(self.field_order)


class DeleteForm(forms.Form):
    """Typed confirmation: the own name of what is deleted."""

    confirm = forms.CharField(max_length=60)

    def __init__(self, *args: Any, label: str, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["confirm"].label = label
        self.fields["confirm"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"]).strip()
        if typed.casefold() != self.name.casefold():
            raise forms.ValidationError(_("Type the name exactly as it stands above."))
        return typed
