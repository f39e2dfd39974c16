"""Forms of sign-in that differ from django-allauth's."""

from __future__ import annotations

import hashlib
from typing import Any

from allauth.account import forms as account
from allauth.core import context
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import transaction
from django.utils.translation import gettext_lazy as _

LABELS = {
    "login": _("E-mail address"),
    "email": _("E-mail address"),
    "remember": _("Stay signed in on this browser"),
    "oldpassword": _("Current password"),
}
NEW_PASSWORD = _(
    "At least 8 characters. Best are four or more words that do not belong together: what leaked "
    "elsewhere or is easy to guess is not taken."
)


class InOurWords(forms.Form):
    """Says things as the rest of the site does, and the rules of passwords in one breath."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = LABELS.get(name, field.label)
        if "password1" in self.fields:
            self.fields["password1"].help_text = NEW_PASSWORD


class SignIn(InOurWords, account.LoginForm):  # type: ignore[misc]
    pass


class SignUp(InOurWords, account.SignupForm):  # type: ignore[misc]
    pass


class AddAddress(InOurWords, account.AddEmailForm):  # type: ignore[misc]
    pass


class ForgottenPassword(InOurWords, account.ResetPasswordForm):  # type: ignore[misc]
    pass


class _NewPassword(InOurWords):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label = _("New password")
        self.fields["password2"].label = _("New password (again)")


class ChangePassword(_NewPassword, account.ChangePasswordForm):  # type: ignore[misc]
    pass


class SetPassword(_NewPassword, account.SetPasswordForm):  # type: ignore[misc]
    pass


class PasswordAfterReset(_NewPassword, account.ResetPasswordKeyForm):  # type: ignore[misc]
    pass


class OneAtATime(forms.Form):
    """Codes of one person are checked one after the other, across all processes: two that
    arrive together could both find the code unused, and both count as the first guess."""

    user: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["code"]
        field.label = _("Code from your authenticator app, or a recovery code")
        field.widget.attrs = {
            "autocomplete": "one-time-code",
            "autocapitalize": "off",
            "spellcheck": "false",
        }

    def clean_code(self) -> str:
        with transaction.atomic():
            get_user_model().objects.select_for_update().get(pk=self.user.pk)
            try:
                code = str(super().clean_code())  # type: ignore[misc]
            except forms.ValidationError as refused:
                refusal = refused  # raised outside, so that what was written stays written
            else:
                if _first_use(self.user, code):
                    return code
                refusal = get_adapter().validation_error("incorrect_code")
        raise refusal


class FirstCodeForm(ActivateTOTPForm):  # type: ignore[misc]
    """Sets an authenticator app up. Its first code does not sign in a second time."""

    def clean_code(self) -> str:
        code = str(super().clean_code())
        if not _first_use(context.request.user, code):
            raise get_adapter().validation_error("incorrect_code")
        return code


def _first_use(user: Any, code: str) -> bool:
    """django-allauth remembers a used code for 30 seconds; with the tolerance for clocks, it is
    valid for 90."""
    seconds = settings.MFA_TOTP_PERIOD * (2 * settings.MFA_TOTP_TOLERANCE + 1)
    digest = hashlib.sha256(normalize_user_code(code).encode()).hexdigest()
    return cache.add(f"second-factor-used:{user.pk}:{digest}", "y", timeout=seconds)


class CodeForm(OneAtATime, AuthenticateForm):  # type: ignore[misc]
    """The second step of signing in."""


class ConfirmingCodeForm(OneAtATime, ReauthenticateForm):  # type: ignore[misc]
    """Confirms someone who is signed in already."""
