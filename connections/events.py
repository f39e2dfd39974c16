"""What happened to keys and accounts: one log, written once, never changed or deleted.

The rows outlive what they are about. When an account is deleted, whatever says who and from where
is taken out of them (`forget`), and nothing else ever is; PostgreSQL holds that by a trigger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

LONGEST_AGENT = 200


@dataclass(frozen=True)
class Origin:
    """Where an act comes from: the visitor's address and browser, none for our own work."""

    ip: str | None = None
    agent: str = ""


NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


@contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """Events written within the block come from there (the web's middleware does this)."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def here() -> Origin:
    """For what is done when the visit is over, such as a file that is still being sent."""
    return _origin.get()


class WrittenOnce(Exception):
    """Somebody tried to change or delete an access event."""


class AccessEventQuerySet(models.QuerySet["AccessEvent"]):
    def about(self, user: Any) -> AccessEventQuerySet:
        """What a person may see: all that concerns their keys and their account."""
        return self.filter(owner=user)

    def forget(self, user: Any) -> None:
        """Takes a person out of the log. The one change there is, when an account is deleted."""
        by_user = super().filter(Q(actor=user) | Q(owner=user, actor=None))
        models.QuerySet.update(by_user, ip=None, agent="")
        models.QuerySet.update(super().filter(actor=user), actor=None)
        models.QuerySet.update(super().filter(owner=user), owner=None)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise WrittenOnce("access events are never changed or deleted")

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        if args or any(kwargs.get(name) for name in ("update_conflicts", "ignore_conflicts")):
            self._refuse()
        return super().bulk_create(objs, **kwargs)

    update = delete = bulk_update = update_or_create = _refuse
    _raw_delete = _refuse


class AccessEvent(models.Model):
    """Who did what, to what, when, from where and why."""

    class Kind(models.TextChoices):
        OPENED = "opened", _("Key opened")
        KEY_ENTERED = "key_entered", _("Key entered")
        KEY_REPLACED = "key_replaced", _("New key entered")
        KEY_DISCARDED = "key_discarded", _("New key destroyed")
        KEY_SWITCHED = "key_switched", _("New key in use")
        KEY_RESTORED = "key_restored", _("Old key back in use")
        KEY_DESTROYED = "key_destroyed", _("Old key destroyed")
        ACCOUNT_CONFIRMED = "account_confirmed", _("Key of another account confirmed")
        CONNECTION_MOVED = "connection_moved", _("Connection moved to another account")
        CONNECTION_DELETED = "deleted", _("Connection deleted, key destroyed")
        PAUSED = "paused", _("Connection paused")
        RESUMED = "resumed", _("Connection resumed")
        RENAMED = "renamed", _("Connection renamed")
        SIGNED_UP = "signed_up", _("Account created")
        SIGNED_IN = "signed_in", _("Signed in")
        SIGN_IN_FAILED = "sign_in_failed", _("Sign-in failed")
        SIGNED_OUT = "signed_out", _("Signed out")
        SESSIONS_ENDED = "sessions_ended", _("Other sessions signed out")
        CONFIRMED = "confirmed", _("Confirmed that it is you")
        FACTOR_ADDED = "factor_added", _("Second factor added")
        FACTOR_REMOVED = "factor_removed", _("Second factor removed")
        FACTOR_RESET = "factor_reset", _("New recovery codes made")
        FACTOR_FAILED = "factor_failed", _("Wrong code for the second factor")
        PASSWORD_CHANGED = "password_changed", _("Password changed")
        PASSWORD_RESET = "password_reset", _("Password reset by e-mail")
        EMAIL_CHANGED = "email_changed", _("E-mail addresses changed")
        EXPORTED = "exported", _("Data exported")
        ACCOUNT_DELETED = "account_deleted", _("Account deleted")
        STAFF_LOOK = "staff_look", _("Looked at by support")
        STAFF_ACTED = "staff_acted", _("Done by support")
        EXCHANGE_CHANGED = "exchange_changed", _("Settings of an exchange changed")
        CHANNEL_ADDED = "channel_added", _("Chat service added")
        CHANNEL_REMOVED = "channel_removed", _("Chat service removed")
        CHANNEL_OPENED = "channel_opened", _("Address of a chat service opened")
        THRESHOLDS_CHANGED = "thresholds_changed", _("Thresholds changed")
        USER_CHANGED = "user_changed", _("Account changed by support")
        VIEW_GRANTED = "view_granted", _("Support was let in to look")
        VIEW_ENDED = "view_ended", _("Support can no longer look")
        INCIDENT = "incident", _("Incident switch")
        KEY_REVOKED = "key_revoked", _("Key destroyed because of an incident")
        ROLE_CHANGED = "role_changed", _("Role changed")
        SCHEDULE_CHANGED = "schedule_changed", _("Schedule changed")

    kind = models.CharField(_("what"), max_length=20, choices=Kind)
    at = models.DateTimeField(_("when"), default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("who"),
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("whose"),
    )
    connection = models.ForeignKey(
        "connections.Connection",
        null=True,
        on_delete=models.SET_NULL,
        related_name="access_events",
        verbose_name=_("connection"),
    )
    credential = models.ForeignKey("connections.Credential", null=True, on_delete=models.SET_NULL)
    # What it was about, for when connection and key are gone.
    exchange = models.CharField(_("exchange"), max_length=20, blank=True)
    key_hint = models.CharField(_("API key ends with"), max_length=4, blank=True)
    key_fingerprint = models.CharField(_("fingerprint"), max_length=64, blank=True)
    why = models.CharField(_("why"), max_length=200, blank=True)
    task_id = models.CharField(_("task"), max_length=64, blank=True)
    ip = models.GenericIPAddressField(_("from address"), null=True)
    agent = models.CharField(_("browser"), max_length=LONGEST_AGENT, blank=True)

    objects = AccessEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("access event")
        verbose_name_plural = _("access events")
        ordering = ("-at", "-pk")
        indexes = [
            models.Index(fields=["-at"], name="events_by_time"),  # the admin
            models.Index(fields=["owner", "-at"], name="events_of_owner"),  # the activity page
            models.Index(  # the admin's filter; nearly all events are openings
                fields=["kind", "-at"], condition=~Q(kind="opened"), name="events_by_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.get_kind_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise WrittenOnce("access events are never changed")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WrittenOnce("access events are never deleted")


def event(kind: AccessEvent.Kind, *, connection: Any = None, key: Any = None, **facts: Any) -> Any:
    """An unsaved event; where it comes from is filled in. `key` is a Credential."""
    origin = _origin.get()
    if connection is not None:
        facts.setdefault("owner_id", connection.owner_id)
        facts |= {"connection": connection, "exchange": connection.exchange_id}
    if key is not None:
        facts |= {"credential": key, "key_hint": key.hint, "key_fingerprint": key.fingerprint}
    facts["why"] = str(facts.get("why", ""))[:200]
    return AccessEvent(kind=kind, ip=origin.ip, agent=origin.agent[:LONGEST_AGENT], **facts)


def record(kind: AccessEvent.Kind, **facts: Any) -> None:
    event(kind, **facts).save()
