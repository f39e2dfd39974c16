"""What django-allauth asks us: how mails go out, how seeds are kept, who may use which way in."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections.events import AccessEvent, record

from . import locking

log = logging.getLogger(__name__)

SEED = "second factor"  # the purpose its key is derived for


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _("The e-mail address or the password is not right."),
        "incorrect_password": _("That is not your password."),
        "too_many_login_attempts": _("Too many tries. Wait five minutes, then try again."),
    }

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Whoever has a second factor confirms with it: a password alone is not enough then."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if is_mfa_enabled(user):
            return [method for method in methods if method["id"] != "reauthenticate"]
        return methods

    def is_ajax(self, request: HttpRequest) -> bool:
        """django-allauth would answer a form with JSON that repeats what was typed, passwords
        included. Only what starts a sign-in with a passkey is fetched by a script."""
        page = request.resolver_match.url_name if request.resolver_match else ""
        return page == "mfa_login_webauthn" and bool(super().is_ajax(request))

    def get_client_ip(self, request: HttpRequest) -> str:
        try:
            return str(super().get_client_ip(request))
        except ImproperlyConfigured:  # fewer proxies were passed than there should be
            raise PermissionDenied from None

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is away must not keep anybody from signing in or out. The mail's
        text may hold a link that signs in, so it never goes through the broker."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException) as error:
            log.error("A mail (%s) was not sent: %s", template_prefix, type(error).__name__)
            if self.request is not None:
                text = gettext(
                    "We could not send you an e-mail just now. Try again in a few minutes."
                )
                messages.warning(self.request, text)


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("That did not match. A code counts once, and for half a minute."),
        "unverified_email": _(
            "Confirm your e-mail address first, so that nobody can lock you out of your account."
        ),
        "add_email_blocked": _(
            "With a second factor, addresses cannot be added. Remove the second factor, change "
            "the address, and set it up again."
        ),
    }

    def encrypt(self, text: str) -> str:
        return locking.lock(text, SEED)

    def decrypt(self, encrypted_text: str) -> str:
        """A seed that cannot be read matches no code; recovery codes may still work."""
        try:
            return locking.unlock(encrypted_text, SEED)
        except locking.Locked:
            log.error("A seed of a second factor cannot be opened; see `manage.py keys doctor`.")
            return str(generate_totp_secret())

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        """What a new passkey is called until its owner names it."""
        passkeys = Authenticator.objects.filter(user=user, type=type).count()
        return gettext("Passkey %(number)d") % {"number": passkeys + 1}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Shown by the browser when it asks for the passkey."""
        return {**super().get_public_key_credential_rp_entity(), "name": "BackFuture"}


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    def end_sessions(self, sessions: Any) -> None:
        super().end_sessions(sessions)
        if sessions:
            owner = sessions[0].user
            record(AccessEvent.Kind.SESSIONS_ENDED, actor=owner, owner=owner)


def address_of(request: HttpRequest) -> str | None:
    """The visitor's address as far as the trusted proxies tell it."""
    try:
        return str(AccountAdapter(request).get_client_ip(request))
    except PermissionDenied:
        return None
