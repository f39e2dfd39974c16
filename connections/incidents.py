"""Incidents: what operators ask for when keys may have leaked, who agreed, and how far it is.

An incident is asked by one person and confirmed by another. While one that stops use is in force,
no key of its scope is opened for a test (worker.py), entered or tested on request (services.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

WAITS_FOR = timedelta(minutes=30)  # a second person; after that it has to be asked again
PERMISSION = "connections.run_incident"
SUSPENDED_FOR = "incident"  # the reason that strategies keep
LONGEST_REASON = 150  # it stands in access events too


def _person(**options: Any) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", **options
    )


class Scope(models.TextChoices):
    EXCHANGE = "exchange", _("all keys at one exchange")
    OWNER = "owner", _("all keys of one user")
    ALL = "all", _("all keys")


@dataclass(frozen=True, slots=True)
class Stops:
    """Whose keys are not to be used now."""

    everything: bool = False
    exchanges: frozenset[str] = frozenset()
    owners: frozenset[int] = frozenset()

    def hold(self, *, exchange: str, owner: int) -> bool:
        return self.everything or exchange in self.exchanges or owner in self.owners

    def outside(self, connection: str = "") -> Q:
        """Rows whose keys may be used. `connection` leads to it, such as "connection__"."""
        if self.everything:
            return Q(pk__in=())
        free = Q()
        if self.exchanges:
            free &= ~Q(**{f"{connection}exchange__in": self.exchanges})
        if self.owners:
            free &= ~Q(**{f"{connection}owner__in": self.owners})
        return free


def stops() -> Stops:
    """What is in force at this moment: one query of a table that is nearly always empty."""
    rows = list(Incident.objects.stopping().values_list("scope", "exchange_id", "owner_id"))
    return Stops(
        everything=any(scope == Scope.ALL for scope, _exchange, _owner in rows),
        exchanges=frozenset(code for scope, code, _ in rows if scope == Scope.EXCHANGE and code),
        owners=frozenset(owner for scope, _, owner in rows if scope == Scope.OWNER and owner),
    )


def stopped_here() -> Exists:
    """For an annotation of connections: whether an incident stops the use of its key."""
    holding = Incident.objects.stopping().filter(
        Q(scope=Scope.ALL)
        | Q(scope=Scope.EXCHANGE, exchange=OuterRef("exchange"))
        | Q(scope=Scope.OWNER, owner=OuterRef("owner"))
    )
    return Exists(holding)


class IncidentQuerySet(models.QuerySet["Incident"]):
    def stopping(self) -> IncidentQuerySet:
        return self.filter(stop_use=True, confirmed_at__isnull=False, lifted_at=None)

    def under_way(self) -> IncidentQuerySet:
        return self.filter(state=Incident.State.RUNNING).order_by("confirmed_at", "pk")


class Incident(models.Model):
    """One use of the incident switch. Its counts grow in the transactions that do the work."""

    class State(models.TextChoices):
        ASKED = "asked", _("waits for a second person")
        RUNNING = "running", _("under way")
        DONE = "done", _("done")
        WITHDRAWN = "withdrawn", _("withdrawn")

    class Step(models.TextChoices):
        """In this order: what makes a leaked key worthless is that its owner deletes it at the
        exchange, so nobody waits for the destruction to be told."""

        SUSPEND = "suspend", _("suspending strategies")
        TELL = "tell", _("telling owners")
        DESTROY = "destroy", _("destroying keys")
        END = "end", _("done")

    scope = models.CharField(_("scope"), max_length=8, choices=Scope)
    exchange = models.ForeignKey(
        "connections.Exchange",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("exchange"),
    )
    owner = _person(blank=True, verbose_name=_("user"))
    reason = models.CharField(_("reason"), max_length=LONGEST_REASON)

    stop_use = models.BooleanField(_("stop all use of the keys"), default=True)
    suspend = models.BooleanField(_("suspend strategies"), default=True)
    tell = models.BooleanField(_("tell owners"), default=True)
    destroy = models.BooleanField(_("destroy the sealed keys"), default=True)

    state = models.CharField(_("state"), max_length=9, choices=State, default=State.ASKED)
    asked_by = _person(verbose_name=_("asked by"))
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    confirmed_by = _person(verbose_name=_("confirmed by"))
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    withdrawn_by = _person(verbose_name=_("withdrawn by"))
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True)

    step = models.CharField(_("step"), max_length=8, choices=Step, default=Step.SUSPEND)
    dropped = models.PositiveIntegerField(_("tests dropped"), default=0)
    suspended = models.PositiveIntegerField(_("strategies suspended"), default=0)
    told = models.PositiveIntegerField(_("owners told"), default=0)
    told_up_to = models.PositiveBigIntegerField(default=0)  # owners are told in the order of ids
    destroyed = models.PositiveIntegerField(_("keys destroyed"), default=0)
    finished_at = models.DateTimeField(_("finished"), null=True)

    lift_asked_by = _person(verbose_name=_("lift asked by"))
    lift_asked_at = models.DateTimeField(_("lift asked"), null=True)
    lifted_by = _person(verbose_name=_("lifted by"))
    lifted_at = models.DateTimeField(_("lifted"), null=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ("-asked_at", "-pk")
        permissions = [("run_incident", "Can ask for and confirm incidents")]
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_by=None) | Q(asked_by=None) | ~Q(confirmed_by=F("asked_by")),
                name="two_people_confirm_an_incident",
            ),
            models.CheckConstraint(
                condition=Q(lifted_by=None)
                | Q(lift_asked_by=None)
                | ~Q(lifted_by=F("lift_asked_by")),
                name="two_people_lift_a_stop",
            ),
            models.CheckConstraint(
                condition=Q(scope=Scope.EXCHANGE, exchange__isnull=False, owner=None)
                | Q(scope=Scope.OWNER, exchange=None)  # whose account may be gone by now
                | Q(scope=Scope.ALL, exchange=None, owner=None),
                name="an_incident_has_one_scope",
            ),
            models.CheckConstraint(
                condition=Q(stop_use=True) | Q(suspend=True) | Q(tell=True),
                name="an_incident_does_something",
            ),
            # Nothing runs without its key, and no key goes behind its owner's back.
            models.CheckConstraint(
                condition=Q(destroy=False) | Q(suspend=True, tell=True),
                name="who_loses_a_key_is_told",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asked_at:%Y-%m-%d %H:%M} {self.get_scope_display()}"

    def get_absolute_url(self) -> str:
        return reverse("admin:connections_incident_change", args=[self.pk])

    def within(self, connection: str = "") -> Q:
        """Rows in its scope. `connection` leads to the connection, such as "connection__"."""
        if self.scope == Scope.ALL:
            return Q()
        if self.scope == Scope.EXCHANGE:
            return Q(**{f"{connection}exchange": self.exchange_id})
        # Nobody, and not everybody, when the account is gone.
        return Q(**{f"{connection}owner__in": [self.owner_id] if self.owner_id else []})

    @property
    def stops_use_now(self) -> bool:
        return self.stop_use and self.confirmed_at is not None and self.lifted_at is None

    def waits(self, now: datetime) -> bool:
        """Whether a second person may still confirm it."""
        return self.state == self.State.ASKED and in_time(self.asked_at, now)

    def lift_waits(self, now: datetime) -> bool:
        return self.stops_use_now and in_time(self.lift_asked_at, now)


def in_time(asked_at: datetime | None, now: datetime) -> bool:
    """What was asked in the future was asked by a clock that was wrong."""
    return asked_at is not None and asked_at <= now < asked_at + WAITS_FOR
