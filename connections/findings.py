"""What is not as it should be about a key: one row per rule and connection, kept for good.

The auditor (auditor.py) opens, changes and resolves them; people acknowledge, snooze and suppress
(hygiene.py). Every change of state is a row of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

WORST_FIRST = ("-severity", "-state_since", "-id")


def snooze_is_over(now: datetime) -> Q:
    """Whether or not the auditor, who opens it again, has come by since."""
    return Q(state=Finding.State.SNOOZED, snoozed_until__lte=now)


class FindingQuerySet(models.QuerySet["Finding"]):
    def owned_by(self, user: Any) -> FindingQuerySet:
        return self.filter(connection__owner=user)

    def unresolved(self) -> FindingQuerySet:
        """The fact stands, whatever people said of it."""
        return self.exclude(state=Finding.State.RESOLVED)

    def wanting_attention(self, now: datetime) -> FindingQuerySet:
        """Nobody has said anything of them yet, or what they said has run out."""
        return self.filter(Q(state=Finding.State.OPEN) | snooze_is_over(now))


class Finding(models.Model):
    """A rule that a connection does not keep. The words for it are made when it is shown
    (rule_words.py), from the few facts that stand here."""

    class Severity(models.IntegerChoices):
        INFO = 10, _("info")
        WARNING = 20, _("warning")
        HIGH = 30, _("high")
        CRITICAL = 40, _("critical")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        ACKNOWLEDGED = "acknowledged", _("acknowledged")
        SNOOZED = "snoozed", _("snoozed")
        SUPPRESSED = "suppressed", _("suppressed")
        RESOLVED = "resolved", _("resolved")

    connection = models.ForeignKey(
        "connections.Connection",
        on_delete=models.CASCADE,
        related_name="findings",
        verbose_name=_("connection"),
    )
    rule = models.CharField(_("rule"), max_length=24)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity)
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.OPEN)
    # The facts, as far as the words need them. None of them is about anybody else.
    until = models.DateTimeField(_("date"), null=True, help_text=_("when it ends, or since when"))
    amount = models.PositiveIntegerField(_("amount"), default=0)
    detail = models.CharField(_("detail"), max_length=100, blank=True)

    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    state_since = models.DateTimeField(_("in this state since"), default=timezone.now)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True)
    regressions = models.PositiveIntegerField(
        _("came back"), default=0, help_text=_("How often it was there again after it was gone.")
    )
    # What its owner was told of: regressions * 100 + severity, as they were then (telling.py).
    told = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    objects = FindingQuerySet.as_manager()

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        ordering = ("-severity", "-state_since")
        constraints = [
            models.UniqueConstraint(fields=["connection", "rule"], name="one_finding_per_rule"),
            models.CheckConstraint(
                condition=Q(snoozed_until__isnull=False) | ~Q(state="snoozed"),
                name="a_snoozed_finding_has_a_date",
            ),
        ]
        indexes = [
            models.Index(
                fields=["-severity", "-state_since"],
                condition=~Q(state="resolved"),
                name="unresolved_findings",
            ),
            # The desk's list and its filters. An audit finds many at the same moment, so the order
            # of the list is in here to its end.
            models.Index(fields=WORST_FIRST, name="findings_by_severity"),
            models.Index(fields=["state", *WORST_FIRST], name="findings_by_state"),
            models.Index(fields=["rule", *WORST_FIRST], name="findings_by_rule"),
        ]
        permissions = [("suppress_finding", _("Can suppress findings"))]

    def __str__(self) -> str:
        return f"{self.rule} {self.connection_id}"


class FindingChange(models.Model):
    """One change of a finding's state: by whom (nobody: the auditor), when, why."""

    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField(_("when"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("who"),
    )
    state = models.CharField(_("state"), max_length=12, choices=Finding.State)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Finding.Severity)
    until = models.DateTimeField(_("snoozed until"), null=True)
    why = models.CharField(_("reason"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("change of a finding")
        verbose_name_plural = _("changes of findings")
        ordering = ("at", "pk")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.state}"


def _days(label: Any, default: int, most: int, **more: Any) -> Any:
    return models.PositiveSmallIntegerField(
        label,
        default=default,
        validators=[MinValueValidator(1), MaxValueValidator(most)],
        **more,
    )


class Thresholds(models.Model):
    """The numbers the rules, the schedule and the notices go by: one row."""

    unused_days = _days(
        _("unused after days"), 45, 3650, help_text=_("without an enabled strategy and without use")
    )
    old_days = _days(_("old after days: warning"), 90, 3650)
    very_old_days = _days(_("old after days: high"), 180, 3650)
    expiry_first_days = _days(_("first notice that a key expires, days before"), 14, 365)
    expiry_second_days = _days(_("second notice that a key expires, days before"), 7, 365)
    expiry_last_days = _days(_("last notice that a key expires, days before"), 1, 365)
    failing_hours = _days(_("failing after hours"), 24, 720)
    never_tested_hours = _days(_("never tested after hours"), 24, 720)
    test_every_hours = _days(_("hours between scheduled tests"), 24, 720)
    tests_kept_days = _days(
        _("all tests are kept for days"), 30, 3650, help_text=_("after that, one of each day")
    )
    snooze_days = _days(_("findings are snoozed for days"), 30, 365)
    snooze_most_days = _days(_("findings are snoozed for days, at most"), 90, 365)
    outage_least = _days(_("an exchange is down when at least so many connections fail"), 5, 10_000)
    break_patience_minutes = _days(
        _("minutes to wait before a notice of a failure that may pass"), 30, 1440
    )

    replaced_kept_hours = models.PositiveSmallIntegerField(
        _("a replaced key can be taken back for hours"),
        default=24,
        validators=[MaxValueValidator(168)],
        help_text=_("then it is destroyed; 0: at once"),
    )

    # What strategies may run on (strategies/safety.py).
    require_ip_restriction = models.BooleanField(
        _("strategies need a key with IP restriction"), default=False
    )
    separate_keys = models.BooleanField(
        _("strategies need a key each"),
        default=False,
        help_text=_("else their owners are only advised to use separate keys"),
    )

    class Meta:
        verbose_name = _("thresholds")
        verbose_name_plural = _("thresholds")
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="one_row_of_thresholds"),
            models.CheckConstraint(
                condition=Q(old_days__lt=models.F("very_old_days")),
                name="high_age_comes_after_warning",
                violation_error_message=_("High must be more days than warning."),
            ),
            models.CheckConstraint(
                condition=Q(
                    expiry_last_days__lt=models.F("expiry_second_days"),
                    expiry_second_days__lt=models.F("expiry_first_days"),
                ),
                name="notices_of_an_end_in_order",
                violation_error_message=_(
                    "The first notice must be the most days before the key expires, the last the "
                    "fewest."
                ),
            ),
            models.CheckConstraint(
                condition=Q(snooze_days__lte=models.F("snooze_most_days")),
                name="snoozes_have_an_end",
                violation_error_message=_("The usual snooze must not be longer than the longest."),
            ),
        ]

    def __str__(self) -> str:
        return str(_("Thresholds"))

    @classmethod
    def current(cls) -> Thresholds:
        """The row, or what it starts as where there is none yet."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)
