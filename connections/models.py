"""Exchanges, a trader's connections to them, the sealed keys, and every test of a key.

A connection is not its key: it lives on with its name, history and strategies while keys
(credentials) come and go.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTransform
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import exchanges
from .credentials import Credential as Credential
from .credentials import CredentialQuerySet as CredentialQuerySet
from .events import AccessEvent as AccessEvent
from .exchanges.base import MAIN, Permissions, Site
from .findings import Finding as Finding
from .findings import FindingChange as FindingChange
from .findings import Thresholds as Thresholds
from .hours import HourOfTests as HourOfTests
from .incidents import Incident as Incident
from .incidents import stopped_here, stops
from .notices import Notice as Notice
from .notices import NoticeChannel as NoticeChannel
from .notices import NoticeDelivery as NoticeDelivery
from .notices import NoticePreferences as NoticePreferences
from .notices import Outage as Outage

NEWEST_FIRST = ("-created_at", "-id")


class ExchangeQuerySet(models.QuerySet["Exchange"]):
    def for_choosing(self) -> ExchangeQuerySet:
        return self.order_by("position", "code")


class Exchange(models.Model):
    """What staff may switch about an exchange. What is known about it lives in code."""

    code = models.CharField(_("code"), max_length=20, primary_key=True)
    position = models.PositiveSmallIntegerField(_("position"), default=100)
    offered = models.BooleanField(
        _("offered"),
        default=True,
        help_text=_("Users may add connections. Off: they see it as planned."),
    )
    paused = models.BooleanField(
        _("paused"), default=False, help_text=_("No test is started on it, for anyone.")
    )
    notice = models.CharField(
        _("notice to users"), max_length=300, blank=True, help_text=_("Shown on its pages.")
    )
    server_ips = models.CharField(
        _("our IP addresses"),
        max_length=1000,
        blank=True,
        help_text=_(
            "From which we ask this exchange, with commas between them. Users copy them into "
            "their key's IP list. Empty: those of the whole site (SERVER_IPS)."
        ),
    )
    # Whoever sweeps it says so here (sweep.py), with a fence as on tests.
    sweep_until = models.DateTimeField(null=True, editable=False)
    sweep_fence = models.PositiveIntegerField(default=0, editable=False)

    objects = ExchangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("exchange")
        verbose_name_plural = _("exchanges")
        ordering = ("position", "code")

    def __str__(self) -> str:
        return self.name

    @property
    def known(self) -> exchanges.Exchange:
        """What the code knows about it. Raises LookupError for a row without code."""
        return exchanges.get(self.code)

    @property
    def name(self) -> str:
        return exchanges.name_of(self.code)


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def owned_by(self, user: Any) -> ConnectionQuerySet:
        return self.filter(owner=user)

    def for_list(self) -> ConnectionQuerySet:
        """With everything a row of the list shows."""
        rows = self.select_related("exchange", "owner").annotate(stopped=stopped_here())
        return rows.prefetch_related(
            models.Prefetch(
                "credentials",
                Credential.objects.active(),
                "active",
            ),
            models.Prefetch("tests", ConnectionTest.objects.open(), "open_tests"),
        )


class Connection(models.Model):
    """A trader's account at an exchange, as far as its key lets us see it."""

    class Status(models.TextChoices):
        NEW = "new", _("not tested yet")
        CONNECTED = "connected", _("connected")
        WARNINGS = "warnings", _("connected, with warnings")
        REFUSED = "refused", _("refused")
        FAILED = "failed", _("failed")

    WORKING = (Status.CONNECTED, Status.WARNINGS)  # also as outcomes of a test

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="connections",
        verbose_name=_("owner"),
    )
    exchange = models.ForeignKey(
        Exchange,
        on_delete=models.PROTECT,
        related_name="connections",
        verbose_name=_("exchange"),
        db_index=False,  # connections_by_exchange begins with it
    )
    name = models.CharField(_("name"), max_length=60)
    notes = models.TextField(
        _("notes of support"),
        blank=True,
        max_length=5000,
        help_text=_("For staff. Not on its owner's pages, but in the data they may export."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    paused_at = models.DateTimeField(_("paused since"), null=True, blank=True)

    # What the last test of the active key found.
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.NEW)
    problem = models.CharField(_("problem"), max_length=30, blank=True)
    permissions = models.JSONField(_("permissions"), default=dict, blank=True)
    ip_restricted = models.BooleanField(_("IP restriction"), null=True, blank=True)
    key_expires_at = models.DateTimeField(_("key expires"), null=True, blank=True)
    uid = models.CharField(_("account"), max_length=64, blank=True, db_index=True)
    site = models.CharField(_("site"), max_length=20, blank=True, help_text=_("empty: main site"))
    # A failure of a key that worked, not believed until a second test confirms it.
    suspicion = models.CharField(_("unconfirmed problem"), max_length=30, blank=True)
    tested_at = models.DateTimeField(_("last test"), null=True, blank=True)
    last_ok_at = models.DateTimeField(_("last good test"), null=True, blank=True)
    # From the first test that failed and was believed; empty while it works.
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    # When its owner was told that it fails: told once, and once more when it works again.
    told_failing_at = models.DateTimeField(null=True, editable=False)
    key_created_at = models.DateTimeField(_("key created at the exchange"), null=True, blank=True)
    # When to test again without being asked (schedule.py).
    next_test_at = models.DateTimeField(null=True, blank=True, editable=False)
    retries = models.PositiveSmallIntegerField(default=0, editable=False)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                "owner",
                models.functions.Lower("name"),
                name="one_name_per_owner",
                violation_error_message=_("You already have a connection of this name."),
            ),
        ]
        indexes = [
            models.Index(fields=["next_test_at"], name="due_for_test"),  # the sweep
            # The desk's list and its filters, in the list's order to its end: many come at once.
            models.Index(fields=NEWEST_FIRST, name="newest_connections"),
            # The desk's search (lookup.py): a whole name in any case, or how it begins.
            models.Index(models.functions.Lower("name"), name="connections_by_name"),
            models.Index(
                fields=["name"], opclasses=["varchar_pattern_ops"], name="names_of_connections"
            ),
            # What is told, looked for every few seconds among all that works; and the desk's home,
            # which counts by exchange and problem when a whole exchange is away.
            models.Index(
                fields=["failing_since"],
                condition=Q(failing_since__isnull=False),
                include=["exchange", "problem", "paused_at"],
                name="failing_connections",
            ),
            models.Index(
                fields=["told_failing_at"],
                condition=Q(told_failing_at__isnull=False),
                name="told_connections",
            ),
            models.Index(fields=["exchange", *NEWEST_FIRST], name="connections_by_exchange"),
            models.Index(fields=["status", *NEWEST_FIRST], name="connections_by_status"),
            *(
                models.Index(
                    KeyTransform(right, "permissions"),
                    models.F("created_at").desc(),
                    models.F("id").desc(),
                    name=f"connections_by_{right}",
                )
                for right in ("withdraw", "spot_trade", "futures_trade")
            ),
            models.Index(
                fields=["problem", *NEWEST_FIRST],
                condition=~Q(problem=""),
                name="connections_by_problem",
            ),
            models.Index(
                fields=["paused_at"],
                condition=Q(paused_at__isnull=False),
                name="paused_connections",
            ),
            models.Index(
                fields=["key_expires_at"],
                condition=Q(key_expires_at__isnull=False),
                name="keys_that_expire",  # the desk's home
            ),
        ]
        permissions = [
            ("test_connection", _("Can have connections tested")),
            ("pause_connection", _("Can pause, resume and rename connections")),
            ("ask_connection", _("Can ask owners to replace a key")),
            ("export_connection", _("Can download the report of connections")),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("connections:detail", args=[self.pk])

    @property
    def known_permissions(self) -> Permissions:
        return Permissions.from_stored(self.permissions)

    @property
    def place(self) -> str:
        """The exchange, or the site of it where the account is: "KuCoin", "KuCoin EU"."""
        return self._site.name or self.exchange.name

    @property
    def is_demo(self) -> bool:
        return self._site.demo

    @property
    def _site(self) -> Site:
        known = exchanges.EXCHANGES.get(self.exchange_id)
        return known.site(self.site) if known else MAIN

    @property
    def use_stopped(self) -> bool:
        """By an incident. Known of connections from `for_list`, whose pages say so."""
        return bool(getattr(self, "stopped", False))

    @property
    def works(self) -> bool:
        return self.status in self.WORKING


LEASE = timedelta(seconds=45)  # of a test that runs: it ends itself after 30 s


def lapsed(now: datetime, lease: timedelta = LEASE) -> Q:
    """Leases that have run out, or are much longer than any: by a clock that was wrong. One that
    began a little after `now`, which its reader may have noted long ago, is not."""
    return Q(lease_until__lt=now) | Q(lease_until__gt=now + 2 * lease)


class ConnectionTestQuerySet(models.QuerySet["ConnectionTest"]):
    def open(self) -> ConnectionTestQuerySet:
        return self.filter(status__in=ConnectionTest.OPEN)

    def claimable(self) -> ConnectionTestQuerySet:
        """Waiting, or left behind by a worker that died (its lease has lapsed)."""
        return self.filter(
            Q(status=ConnectionTest.Status.QUEUED)
            | Q(status=ConnectionTest.Status.RUNNING) & lapsed(timezone.now())
        )

    def waiting_too_long(self) -> ConnectionTestQuerySet:
        """Claimable, and no message seems to be on its way: the sweep wakes these again. What was
        asked in the future was asked by a clock that was wrong."""
        now = timezone.now()
        long_ago = Q(queued_at__lt=now - timedelta(seconds=3)) | Q(queued_at__gt=now)
        return self.claimable().unpaused().filter(long_ago).order_by("queued_at")

    def unpaused(self) -> ConnectionTestQuerySet:
        """Tests that may be made now: nobody paused them, and no incident stops them."""
        free = self.filter(connection__paused_at=None, connection__exchange__paused=False)
        return free.filter(stops().outside("connection__"))


class ConnectionTest(models.Model):
    """One test of one key. The row is the queue: a message only wakes a worker."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")

    class Reason(models.TextChoices):
        NEW_KEY = "new_key", _("a key was entered")
        USER = "user", _("asked by the owner")
        STAFF = "staff", _("asked by support")
        SCHEDULED = "scheduled", _("the daily test")
        RETRY = "retry", _("tested again by itself")
        CONFIRM = "confirm", _("to confirm a failure")

    OPEN = (Status.QUEUED, Status.RUNNING)
    OWN = (Reason.SCHEDULED, Reason.RETRY, Reason.CONFIRM)  # nobody waits for these

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="tests")
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="tests")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)

    status = models.CharField(_("state"), max_length=8, choices=Status, default=Status.QUEUED)
    queued_at = models.DateTimeField(_("asked"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)  # grows with every claim; stale writes miss

    outcome = models.CharField(_("outcome"), max_length=12, choices=Connection.Status, blank=True)
    problem = models.CharField(_("problem"), max_length=30, blank=True)
    causes = models.JSONField(default=list)
    warnings = models.JSONField(default=list)
    seen_ip = models.CharField(_("IP the exchange saw"), max_length=45, blank=True)
    steps = models.JSONField(default=list)
    permissions = models.JSONField(_("permissions"), default=dict)
    ip_restricted = models.BooleanField(_("IP restriction"), null=True)
    ips = models.JSONField(default=list)
    key_created_at = models.DateTimeField(_("key created"), null=True)
    key_expires_at = models.DateTimeField(_("key expires"), null=True)
    uid = models.CharField(_("account"), max_length=64, blank=True)
    site = models.CharField(_("site"), max_length=20, blank=True)
    label = models.CharField(_("key's label"), max_length=100, blank=True)
    # What was on the accounts that were read, and which those were: balances.py reads both.
    balances = models.JSONField(_("balances"), default=list)
    balances_of = models.JSONField(_("accounts read"), default=list)
    skew_ms = models.BigIntegerField(null=True)

    objects = ConnectionTestQuerySet.as_manager()

    class Meta:
        verbose_name = _("test")
        verbose_name_plural = _("tests")
        ordering = ("-queued_at",)
        constraints = [
            # A double submit makes one test, whatever the two requests race like.
            models.UniqueConstraint(
                fields=["connection"],
                condition=Q(status__in=("queued", "running")),
                name="one_open_test",
            ),
        ]
        indexes = [
            models.Index(fields=["connection", "-queued_at"], name="history_of_connection"),
            models.Index(
                fields=["queued_at"],
                condition=Q(status__in=("queued", "running")),
                name="open_tests",
            ),
            # The desk's list and counting.py; then what the list is filtered by, but for what
            # most tests are.
            models.Index(fields=["-finished_at"], name="tests_by_end"),
            models.Index(
                fields=["outcome", "-finished_at"],
                condition=~Q(outcome="connected"),
                name="tests_by_outcome",
            ),
            models.Index(
                fields=["problem", "-finished_at"],
                condition=~Q(problem=""),
                name="tests_by_problem",
            ),
            models.Index(
                fields=["reason", "-finished_at"],
                condition=~Q(reason="scheduled"),
                name="tests_by_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.queued_at:%Y-%m-%d %H:%M:%S}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN
