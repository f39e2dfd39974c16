"""What django-allauth and Django tell of sign-ins goes into the log, and some of it by mail."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.mfa import signals as mfa
from allauth.usersessions.models import UserSession
from django.contrib.auth import signals as auth
from django.dispatch import receiver

from connections.events import AccessEvent, record

from . import devices, step_up
from .models import User

Kind = AccessEvent.Kind


@receiver(account.user_signed_up)
def signed_up(request: Any, user: User, **_: Any) -> None:
    """Whoever chose the password just now need not type it again to go on."""
    record_authentication(request, user, "password")
    record(Kind.SIGNED_UP, actor=user, owner=user)


@receiver(auth.user_logged_in)
def signed_in(request: Any, user: User, **_: Any) -> None:
    if user.is_staff:
        request.session.set_expiry(step_up.STAFF_SESSION)
    known = devices.seen_before(request, user)
    record(Kind.SIGNED_IN, actor=user, owner=user, why="" if known else "new device")
    if not known and context.request is not None:
        get_adapter(request).send_notification_mail("accounts/email/new_device", user)


@receiver(auth.user_login_failed)
def sign_in_failed(credentials: dict[str, Any], **_: Any) -> None:
    """Only where there is such an account: what a stranger typed is nobody's business."""
    typed = str(credentials.get("email") or credentials.get("username") or "")
    owner = User.objects.filter(email__iexact=typed).first() if typed.isprintable() else None
    if owner:
        record(Kind.SIGN_IN_FAILED, owner=owner)


@receiver(auth.user_logged_out)
def signed_out(user: User | None, **_: Any) -> None:
    if user is not None and user.pk:  # not after the account was deleted
        record(Kind.SIGNED_OUT, actor=user, owner=user)


@receiver(mfa.authenticator_added)
def factor_added(request: Any, user: User, authenticator: Any, **_: Any) -> None:
    """Setting it up has proved it, so that its codes are not asked for again at once."""
    facts = {"id": authenticator.pk, "type": authenticator.type, "reauthenticated": True}
    record_authentication(request, user, "mfa", **facts)
    record(Kind.FACTOR_ADDED, actor=user, owner=user, why=authenticator.type)


@receiver(mfa.authenticator_removed)
def factor_removed(user: User, authenticator: Any, **_: Any) -> None:
    record(Kind.FACTOR_REMOVED, actor=user, owner=user, why=authenticator.type)


@receiver(mfa.authenticator_reset)
def factor_reset(user: User, **_: Any) -> None:
    record(Kind.FACTOR_RESET, actor=user, owner=user)


@receiver(mfa.authentication_failed)
def factor_failed(user: User, authenticator: Any, **_: Any) -> None:
    record(Kind.FACTOR_FAILED, owner=user, why=authenticator.type)


@receiver(account.authentication_step_completed)
def confirmed(user: User, method: str, **facts: Any) -> None:
    if facts.get("reauthenticated"):
        record(Kind.CONFIRMED, actor=user, owner=user, why=facts.get("type") or method)


@receiver([account.password_changed, account.password_set])
def password_changed(user: User, **_: Any) -> None:
    record(Kind.PASSWORD_CHANGED, actor=user, owner=user)


@receiver(account.password_reset)
def password_reset(user: User, **_: Any) -> None:
    """Whoever could read the mail gets in, and nobody else stays in."""
    record(Kind.PASSWORD_RESET, owner=user)
    step_up.freeze_keys(user)
    for session in UserSession.objects.filter(user=user):
        session.end()


@receiver(account.email_added)
def email_added(request: Any, user: User, email_address: Any, **_: Any) -> None:
    """Told to the address that was there before: once confirmed, the new one can reset the
    password."""
    get_adapter(request).send_notification_mail(
        "accounts/email/address_added", user, {"added": email_address.email}, email=user.email
    )


@receiver([account.email_added, account.email_changed, account.email_removed])
def email_changed(user: User, **_: Any) -> None:
    record(Kind.EMAIL_CHANGED, actor=user, owner=user)
