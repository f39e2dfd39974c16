"""What runs on a connection: a strategy's settings, every version of them, and what happened."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models import NEWEST_FIRST, Connection

from . import ladder
from .pairs import Market as Market
from .pairs import Pair as Pair
from .pairs import PairList as PairList
from .pairs import amount


def _number(label: Any, *, least: str, most: str, places: int = 4, **more: Any) -> Any:
    """Of which no more than `places` digits after the point are kept."""
    digits = len(most.partition(".")[0]) + places
    validators = [MinValueValidator(Decimal(least)), MaxValueValidator(Decimal(most))]
    return models.DecimalField(
        label, max_digits=digits, decimal_places=places, validators=validators, **more
    )


def _count(label: Any, *, least: int, most: int, **more: Any) -> Any:
    validators = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveSmallIntegerField(label, validators=validators, **more)


def _money(label: Any, **more: Any) -> Any:
    """In the quote currency of the pairs."""
    return amount(label, validators=[MinValueValidator(Decimal(0))], **more)


class StrategyQuerySet(models.QuerySet["StrategyConfig"]):
    def owned_by(self, user: Any) -> StrategyQuerySet:
        return self.filter(owner=user)

    def enabled(self) -> StrategyQuerySet:
        return self.filter(enabled=True)


class StrategyConfig(models.Model):
    """A strategy's settings on one connection. It hangs on the connection, not on its key, and
    outlives both: without a connection it is kept, switched off, until it is given another."""

    Market = Market

    class Direction(models.TextChoices):
        LONG = "long", _("long")
        SHORT = "short", _("short")

    class Risk(models.TextChoices):
        CONSERVATIVE = "conservative", _("Conservative")
        BALANCED = "balanced", _("Balanced")
        AGGRESSIVE = "aggressive", _("Aggressive")
        CUSTOM = "custom", _("Custom")

    class Recovery(models.TextChoices):
        OFF = "off", _("Off")
        STOP_REFILLS = "stop_refills", _("Stop refills")
        REDUCE = "reduce", _("Reduce the position")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="strategies",
        verbose_name=_("owner"),
    )
    connection = models.ForeignKey(
        Connection,
        null=True,
        on_delete=models.SET_NULL,
        related_name="strategies",
        verbose_name=_("connection"),
    )
    name = models.CharField(_("name"), max_length=60)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    market = models.CharField(_("market"), max_length=8, choices=Market, default=Market.SPOT)
    direction = models.CharField(
        _("direction"), max_length=5, choices=Direction, default=Direction.LONG
    )
    pairs = models.ManyToManyField(Pair, related_name="strategies", verbose_name=_("pairs"))
    quote = models.CharField(_("quote currency"), max_length=30, blank=True)  # that of all pairs

    risk = models.CharField(_("risk level"), max_length=12, choices=Risk, default=Risk.BALANCED)
    margin_limit = _money(_("margin limit"), default=0)
    leverage = _number(_("leverage"), least="1", most="125", places=1, default=1)
    first_order = _money(_("first order"), default=0)
    refill_order = _money(_("refill order"), default=0)
    max_refills = _count(_("refills"), least=0, most=ladder.MOST_REFILLS, default=0)
    refill_step = _number(_("refill step"), least="0.01", most="100", default=1)
    step_scale = _number(_("step scale"), least="0.1", most="10", default=1)
    volume_scale = _number(_("volume scale"), least="0.1", most="10", default=1)
    refills_at_once = _count(
        _("refills placed at once"), least=0, most=ladder.MOST_REFILLS, default=0
    )
    max_deals = _count(_("deals open at once"), least=1, most=100, default=1)
    take_profit = _number(_("take profit"), least="0.01", most="1000", default=1)
    fee = _number(_("fee"), least="0", most="5", default=Decimal("0.1"))

    recovery = models.CharField(
        _("Recovery Mode"), max_length=12, choices=Recovery, default=Recovery.OFF
    )
    recovery_threshold = _number(
        _("starts at a loss of"), least="0.1", most="100", null=True, blank=True
    )
    recovery_close = _number(
        _("closes of the position"), least="1", most="100", null=True, blank=True
    )
    recovery_loss = _money(_("loss allowance"), null=True, blank=True)

    # Of the settings above, kept so that accounts can be summed up in the database.
    worst_case = _money(_("worst case"), default=0, editable=False)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)

    enabled = models.BooleanField(_("enabled"), default=False, editable=False)
    # Switched off by us, since its key is not safe for it: until its owner enables it again.
    suspended_at = models.DateTimeField(_("suspended since"), null=True, editable=False)
    suspended_for = models.CharField(_("why"), max_length=30, blank=True, editable=False)
    told_suspended_at = models.DateTimeField(null=True, editable=False)

    objects = StrategyQuerySet.as_manager()

    class Meta:
        verbose_name = _("strategy")
        verbose_name_plural = _("strategies")
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                "owner",
                Lower("name"),
                name="one_strategy_name_per_owner",
                violation_error_message=_("You already have a strategy of this name."),
            ),
            models.CheckConstraint(
                condition=Q(enabled=False) | Q(connection__isnull=False, suspended_at=None),
                name="enabled_on_a_connection_and_not_suspended",
            ),
        ]
        indexes = [
            models.Index(
                fields=["suspended_at"],
                condition=Q(suspended_at__isnull=False, told_suspended_at=None),
                name="suspensions_to_tell",
            ),
            models.Index(
                fields=["suspended_at"],
                condition=Q(suspended_at__isnull=False),
                name="suspended_strategies",  # the desk's home
            ),
            # The desk's list and its filters.
            models.Index(fields=NEWEST_FIRST, name="newest_strategies"),
            models.Index(fields=["risk", *NEWEST_FIRST], name="strategies_by_risk"),
            models.Index(
                fields=NEWEST_FIRST, condition=Q(enabled=False), name="strategies_not_enabled"
            ),
        ]
        permissions = [("switch_strategyconfig", _("Can switch strategies on and off"))]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("strategies:detail", args=[self.pk])

    @property
    def ladder_settings(self) -> ladder.Settings:
        return ladder.Settings(
            first=self.first_order,
            refill=self.refill_order,
            refills=self.max_refills,
            step=self.refill_step,
            step_scale=self.step_scale,
            volume_scale=self.volume_scale,
            take_profit=self.take_profit,
            deals=self.max_deals,
            leverage=self.leverage,
            fee=self.fee,
            at_once=self.refills_at_once,
            direction="short" if self.direction == self.Direction.SHORT else "long",
        )


class StrategyEvent(models.Model):
    """What happened to a strategy: who, when and why; with its settings where they changed."""

    class Kind(models.TextChoices):
        CREATED = "created", _("created")
        CHANGED = "changed", _("settings changed")
        MOVED = "moved", _("moved to another connection")
        ENABLED = "enabled", _("enabled")
        DISABLED = "disabled", _("switched off")
        SUSPENDED = "suspended", _("suspended")

    strategy = models.ForeignKey(StrategyConfig, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(_("what"), max_length=10, choices=Kind)
    at = models.DateTimeField(_("when"), default=timezone.now)
    by = models.ForeignKey(  # nobody: BackFuture itself
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("who"),
    )
    version = models.PositiveIntegerField(_("version"))  # the one that stands from here on
    settings = models.JSONField(_("settings"), null=True)  # of a new version, as text
    why = models.CharField(_("why"), max_length=60, blank=True)

    class Meta:
        verbose_name = _("strategy event")
        verbose_name_plural = _("strategy events")
        ordering = ("-at", "-pk")
        indexes = [models.Index(fields=["strategy", "-at"], name="history_of_strategy")]
        constraints = [
            models.UniqueConstraint(
                fields=["strategy", "version"],
                condition=Q(settings__isnull=False),
                name="one_event_for_each_version",
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind}"
