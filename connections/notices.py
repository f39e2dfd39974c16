"""What people are told without asking: what, whom, by which way, and whether it has arrived.

A notice is made once (its `key` is unique per person) and sent by each way of its own
(`NoticeDelivery`); the rows are the queue, as with tests.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import vault


class Kind(models.TextChoices):
    """What a notice is about. People switch each of them on and off, but for the last two."""

    BREAK = "break", _("A connection stops working")
    RECOVERY = "recovery", _("A connection works again")
    SUSPENDED = "suspended", _("A strategy is suspended")
    EXPIRY = "expiry", _("A key is about to expire")
    FINDING = "finding", _("A new finding, high or critical")
    REPLACE = "replace", _("Support asks you to replace a key")
    OUTAGE = "outage", _("An exchange is down, and up again")
    WEEKLY = "weekly", _("Weekly summary")
    STAFF_DAILY = "staff_daily", _("Daily summary of the support desk")
    TEST = "test", _("Test")
    INCIDENT = "incident", _("Keys that may have leaked")


ALWAYS = (Kind.TEST, Kind.INCIDENT)


class NoticePreferences(models.Model):
    """When and about what a person wants to hear; without a row, about everything, by e-mail."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="notice_preferences",
    )
    by_email = models.BooleanField(_("by e-mail"), default=True)
    # Kinds that are switched off: a kind added later starts switched on.
    off = models.JSONField(_("switched off"), default=list, blank=True)
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    urgent_in_quiet = models.BooleanField(_("urgent ones also in quiet hours"), default=True)

    class Meta:
        verbose_name = _("notice preferences")
        verbose_name_plural = _("notice preferences")
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="quiet_hours_have_both_ends",
                violation_error_message=_("Quiet hours need a beginning and an end."),
            )
        ]

    def __str__(self) -> str:
        return str(self.user)

    def wants(self, kind: str) -> bool:
        return kind not in self.off or kind in ALWAYS


class NoticeChannel(models.Model):
    """A chat service someone added. Its address holds tokens, so it is sealed like a key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notice_channels"
    )
    name = models.CharField(_("name"), max_length=60)
    service = models.CharField(_("service"), max_length=20)
    sealed = vault.SealedTextField()
    created_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)
    worked_at = models.DateTimeField(_("last worked"), null=True)
    failed_at = models.DateTimeField(_("failing since"), null=True)
    problem = models.CharField(_("problem"), max_length=30, blank=True)

    class Meta:
        verbose_name = _("chat service")
        verbose_name_plural = _("chat services")
        default_permissions = ()  # as with credentials
        ordering = ("created_at",)
        constraints = [
            models.UniqueConstraint(
                "owner", models.functions.Lower("name"), name="one_channel_name_per_owner"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def binding(self) -> str:
        """What the sealed address is tied to (vault.py)."""
        return f"{self.owner_id}|{self.pk}|1"


class Notice(models.Model):
    """One thing to tell one person, made once whoever notices it first."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices"
    )
    kind = models.CharField(_("about"), max_length=12, choices=Kind)
    key = models.CharField(max_length=120)
    connection = models.ForeignKey(
        "connections.Connection", null=True, on_delete=models.SET_NULL, related_name="notices"
    )
    subject = models.CharField(_("subject"), max_length=200)
    text = models.TextField(_("text"))
    link = models.CharField(max_length=200, blank=True)
    urgent = models.BooleanField(_("urgent"), default=False)
    made_at = models.DateTimeField(_("made"), default=timezone.now)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ("-made_at",)
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_notice_per_key")]
        indexes = [
            models.Index(fields=["user", "-made_at"], name="notices_of_user"),
            models.Index(fields=["-made_at"], name="newest_notices"),  # the desk's list
        ]

    def __str__(self) -> str:
        return self.subject


class NoticeDelivery(models.Model):
    """A notice on its way by e-mail (no channel) or by a chat service."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        SENT = "sent", _("sent")
        GIVEN_UP = "given_up", _("could not be sent")

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(
        NoticeChannel, null=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.WAITING)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    problem = models.CharField(_("problem"), max_length=30, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["notice", "channel"], name="one_delivery_per_channel"),
            models.UniqueConstraint(
                fields=["notice"], condition=Q(channel=None), name="one_delivery_by_mail"
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(status="waiting"), name="deliveries_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} {self.channel_id or 'mail'}"


class Outage(models.Model):
    """An exchange that did not answer most of its connections, from when to when."""

    exchange = models.ForeignKey(
        "connections.Exchange", on_delete=models.CASCADE, related_name="outages"
    )
    began_at = models.DateTimeField(_("began"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("outage")
        verbose_name_plural = _("outages")
        ordering = ("-began_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["exchange"], condition=Q(ended_at=None), name="one_outage_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.exchange_id} {self.began_at:%Y-%m-%d %H:%M}"


def preferences_of(user: Any) -> NoticePreferences:
    """The row, or what it starts as."""
    found = NoticePreferences.objects.filter(user=user).first()
    return found or NoticePreferences(user=user)
