"""Forms of sign-in that differ from django-allauth's."""

from __future__ import annotations

import hashlib
from typing import Any

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
