"""Is it really the owner, just now? Asked before keys change and before staff act.

What counts is in django-allauth's records of the session: which way of signing in or confirming was
used, and when. Where someone has a second factor, only the second factor counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from allauth.account.authentication import (
    AUTHENTICATION_METHODS_SESSION_KEY,
    get_authentication_records,
)
from allauth.account.forms import ReauthenticateForm
from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.core.internal import ratelimit
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.conf import settings
from django.forms.utils import ErrorDict
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from .forms import ConfirmingCodeForm
from .models import User

FRESH = 5 * 60  # seconds
STAFF_SESSION = 12 * 60 * 60
FROZEN_AFTER_RESET = timedelta(hours=24)
PREFIX = "confirm"  # of the field's name, beside the fields of any form
POLLED_EVERY = 20  # seconds; by then before the end a page asks again


def is_fresh(request: HttpRequest, within: float = FRESH) -> bool:
    """Whether this person proved who they are within so many seconds, in this session."""
    second_only = is_mfa_enabled(request.user)
    return any(0 <= age < within for age in _ages(request, second_only=second_only))


def used_second_factor(request: HttpRequest, within: float) -> bool:
    return any(0 <= age < within for age in _ages(request, second_only=True))


def _ages(request: HttpRequest, *, second_only: bool) -> Iterator[float]:
    ways = {"mfa"} if second_only else {"mfa", "password"}
    now = time.time()
    for record in get_authentication_records(request, request.user):
        if record.get("method") in ways:
            yield now - float(record["at"])


def forget_weaker_confirmations(request: HttpRequest) -> None:
    """Takes confirmed passwords out of the session of someone with a second factor."""
    records = get_authentication_records(request, request.user)
    weaker = [each for each in records if each.get("method") == "password"]
    if any(each.get("reauthenticated") for each in weaker) and is_mfa_enabled(request.user):
        kept = [each for each in records if each not in weaker]
        request.session[AUTHENTICATION_METHODS_SESSION_KEY] = kept


def address(request: HttpRequest, *, back_to: str) -> str:
    """The page on which this person confirms that it is them, and comes back from."""
    return f"{resolve_url(_first_way(request.user))}?{urlencode({'next': back_to})}"


def _first_way(user: object) -> str:
    if is_mfa_enabled(user, types=[Authenticator.Type.TOTP]):
        return "mfa_reauthenticate"
    if is_mfa_enabled(user, types=[Authenticator.Type.WEBAUTHN]):
        return "mfa_reauthenticate_webauthn"
    return "account_reauthenticate"


class Refusal:
    """Why keys may not be changed now at all, and where that can be changed."""

    def __init__(self, title: str, text: str, link: str = "", label: str = "") -> None:
        self.title, self.text, self.link, self.label = title, text, link, label


def is_frozen(user: User) -> bool:
    return bool(user.keys_frozen_until and user.keys_frozen_until > timezone.now())


def refusal_for(user: User) -> Refusal | None:
    if is_frozen(user):
        return Refusal(
            _("Keys are frozen for a day"),
            _(
                "The password of this account was reset. In case that was not you, no key can be "
                "entered, replaced or deleted for 24 hours, and no second factor or address "
                "added. You can still pause connections, so that nothing uses their keys."
            ),
        )
    if settings.REQUIRE_MFA and not is_mfa_enabled(user):
        return Refusal(
            _("Set up a second factor first"),
            _(
                "Here, a password alone is not enough to enter or change exchange keys. It takes "
                "two minutes with an authenticator app or a passkey."
            ),
            resolve_url("mfa_index"),
            _("Set up a second factor"),
        )
    return None


def freeze_keys(user: User) -> None:
    """After a password reset: whoever reads the mailbox has only that. A second factor that was
    there before is asked for at the next sign-in and so stands in for the wait."""
    if is_mfa_enabled(user):
        return
    user.keys_frozen_until = timezone.now() + FROZEN_AFTER_RESET
    user.save(update_fields=["keys_frozen_until"])


class Confirmation:
    """What a form that changes keys asks beside its own fields: nothing while it is fresh, else
    the password, or a code of the second factor. Registered as the gate of `connections`."""

    template = "accounts/_confirm.html"

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.user: User = request.user  # type: ignore[assignment]

    @cached_property
    def refusal(self) -> Refusal | None:
        return refusal_for(self.user)

    @cached_property
    def fresh(self) -> bool:
        return is_fresh(self.request)

    @cached_property
    def about_to_lapse(self) -> bool:
        return not is_fresh(self.request, FRESH - 2 * POLLED_EVERY)

    @cached_property
    def form(self) -> forms.Form | None:
        """None while nothing has to be asked, and where there are passkeys alone."""
        if self.fresh and not (self.about_to_lapse and self.request.method == "GET"):
            return None
        data = self.request.POST if self.request.method == "POST" else None
        if self._has(Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES):
            form: forms.Form = ConfirmingCodeForm(data, user=self.user, prefix=PREFIX)
        elif is_mfa_enabled(self.user):
            return None
        else:
            form = ReauthenticateForm(data, user=self.user, prefix=PREFIX)
            form.fields["password"].label = _("Your BackFuture password")
            form.fields["password"].help_text = ""
            form.fields["password"].widget.attrs.pop("placeholder", None)
        for field in form.fields.values():
            field.required = False  # asked for by `passes`, in words of its own
            field.widget.attrs["aria-required"] = "true"
        return form

    @cached_property
    def has_passkey(self) -> bool:
        return self._has(Authenticator.Type.WEBAUTHN)

    @property
    def passkey_address(self) -> str:
        back = resolve_url("accounts:confirmed")
        return f"{resolve_url('mfa_reauthenticate_webauthn')}?{urlencode({'next': back})}"

    def elsewhere(self, *, back_to: str) -> str:
        """The page to confirm on, for what has no form of its own."""
        return address(self.request, back_to=back_to)

    @property
    def polled_every(self) -> int:
        return POLLED_EVERY

    @property
    def answered(self) -> bool:
        """Whether something was entered; `passes` does not look at it before."""
        return any(self.request.POST.get(f"{PREFIX}-{name}") for name in ("code", "password"))

    def passes(self) -> bool:
        """Whether keys may be changed by this request. What was wrong stands in the form."""
        if self.refusal:
            return False
        if not self.fresh and self.form is not None and self._is_right(self.form):
            self.fresh, self.form = True, None
        return self.fresh

    def _is_right(self, form: forms.Form) -> bool:
        """Neither a blank answer nor one too many is looked at: it would count as a wrong try,
        or tell whether it was right."""
        if not self.answered:
            return _say(form, _("Confirm that it is you, then send this again."))
        if not ratelimit.consume(
            self.request, app="allauth.account", action="reauthenticate", user=self.user
        ):
            return _say(form, _("Too many tries. Wait a minute."))
        if not form.is_valid():
            return False
        if isinstance(form, ConfirmingCodeForm):
            form.save()
        else:
            reauthenticate_by_password(self.request)
        return True

    def _has(self, *types: str) -> bool:
        return bool(is_mfa_enabled(self.user, types=list(types)))


def _say(form: forms.Form, text: str) -> bool:
    """An error beside the one field of a form that is not validated."""
    form._errors, form.cleaned_data = ErrorDict(), {}  # type: ignore[attr-defined]
    form.add_error(next(iter(form.fields)), text)
    return False
