"""How many tests ended in each hour, counted once, so that no page counts millions of them
(counting.py)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class HourOfTests(models.Model):
    """The tests that ended within an hour (UTC), by what came of them. It outlives the tests."""

    hour = models.DateTimeField(_("hour"), primary_key=True)
    good = models.PositiveIntegerField(_("passed"), default=0)
    bad = models.PositiveIntegerField(_("failed"), default=0)
    unanswered = models.PositiveIntegerField(_("exchange did not answer"), default=0)
    dropped = models.PositiveIntegerField(_("ended without a result"), default=0)
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        verbose_name = _("hour of tests")
        verbose_name_plural = _("hours of tests")
        ordering = ("hour",)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}"
