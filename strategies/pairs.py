"""Pairs as exchanges list them: refreshed once a day, there when the exchange is down."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Market(models.TextChoices):
    SPOT = "spot", _("spot")
    FUTURES = "futures", _("futures")


def amount(label: Any, **more: Any) -> Any:
    """A sum of money or an amount of a currency, exact."""
    return models.DecimalField(label, max_digits=28, decimal_places=12, **more)


class PairQuerySet(models.QuerySet["Pair"]):
    def listed(self, exchange: str, market: str) -> PairQuerySet:
        return self.filter(exchange=exchange, market=market, active=True)


class Pair(models.Model):
    """One pair of one market. Futures are linear perpetuals alone: they settle in the quote
    currency, as everything here is counted."""

    exchange = models.ForeignKey(
        "connections.Exchange", on_delete=models.CASCADE, related_name="pairs"
    )
    market = models.CharField(_("market"), max_length=8, choices=Market)
    symbol = models.CharField(_("pair"), max_length=60)  # ccxt's: BTC/USDT, BTC/USDT:USDT
    base = models.CharField(_("base currency"), max_length=30)
    quote = models.CharField(_("quote currency"), max_length=30)
    # Whether it can be traded now; a pair that is not listed any more stays, for who used it.
    active = models.BooleanField(_("traded"), default=True)
    # Of one order. Amounts in the base currency (contracts times their size), cost in the quote
    # currency; empty where the exchange does not tell.
    min_amount = amount(_("smallest amount"), null=True)
    min_cost = amount(_("smallest order"), null=True)
    amount_step = amount(_("amount step"), null=True)
    price_step = amount(_("price step"), null=True)
    last_price = amount(_("last price"), null=True)
    priced_at = models.DateTimeField(_("price of"), null=True)
    seen_at = models.DateTimeField(_("last listed"), null=True)

    objects = PairQuerySet.as_manager()

    class Meta:
        verbose_name = _("pair")
        verbose_name_plural = _("pairs")
        ordering = ("symbol",)
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "market", "symbol"], name="one_row_for_each_pair"
            )
        ]
        indexes = [
            # The audit looks for strategies that have one.
            models.Index(fields=["id"], condition=Q(active=False), name="pairs_not_traded")
        ]

    def __str__(self) -> str:
        return self.symbol


class PairList(models.Model):
    """How fresh the pairs of one market of an exchange are."""

    exchange = models.ForeignKey(
        "connections.Exchange", on_delete=models.CASCADE, related_name="pair_lists"
    )
    market = models.CharField(_("market"), max_length=8, choices=Market)
    refreshed_at = models.DateTimeField(_("refreshed"), null=True)
    asked_at = models.DateTimeField(_("last asked"), null=True)
    problem = models.CharField(_("problem"), max_length=30, blank=True)
    failures = models.PositiveSmallIntegerField(_("failures in a row"), default=0)

    class Meta:
        verbose_name = _("list of pairs")
        verbose_name_plural = _("lists of pairs")
        constraints = [
            models.UniqueConstraint(fields=["exchange", "market"], name="one_list_for_each_market")
        ]

    def __str__(self) -> str:
        return f"{self.exchange_id} {self.market}"
