"""What runs on a connection."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models import Connection


class StrategyConfig(models.Model):
    """A strategy's settings on one connection. It hangs on the connection, not on its key."""

    class Market(models.TextChoices):
        SPOT = "spot", _("spot")
        FUTURES = "futures", _("futures")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(
        Connection,
        on_delete=models.CASCADE,
        related_name="strategies",
        verbose_name=_("connection"),
    )
    name = models.CharField(_("name"), max_length=60)
    market = models.CharField(_("market"), max_length=8, choices=Market, default=Market.SPOT)
    enabled = models.BooleanField(_("enabled"), default=False, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("strategy")
        verbose_name_plural = _("strategies")
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "name"], name="one_strategy_name_per_connection"
            )
        ]

    def __str__(self) -> str:
        return self.name
