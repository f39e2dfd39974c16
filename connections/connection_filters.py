"""By what support narrows the list of connections."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .desk import Choice
from .desk_filters import ConnectionNeeds
from .exchanges.problems import ALL
from .models import Connection, Credential, Finding, Thresholds

Rows = QuerySet[Connection]
YES_NO_UNKNOWN = (("yes", _("yes")), ("no", _("no")), ("unknown", _("unknown")))
KNOWN = {"yes": True, "no": False, "unknown": None}


class ProblemFilter(Choice):
    title = _("problem")
    parameter_name = "problem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """By their titles, which may name the exchange."""
        any_exchange = {"exchange": gettext("the exchange")}
        known = [(code, gettext(each.title).format(**any_exchange)) for code, each in ALL.items()]
        return sorted(known, key=lambda choice: choice[1])

    def narrow(self, rows: Rows, value: str) -> Rows:
        return rows.filter(problem=value)


class PauseFilter(Choice):
    title = _("paused")
    parameter_name = "paused"
    choices_here = (("yes", _("yes")), ("no", _("no")))

    def narrow(self, rows: Rows, value: str) -> Rows:
        return rows.filter(paused_at__isnull=value == "no")


class RightFilter(Choice):
    """Yes, no or unknown, as the last test of the key found it."""

    right = ""
    choices_here = YES_NO_UNKNOWN

    def narrow(self, rows: Rows, value: str) -> Rows:
        stored = f"permissions__{self.right}"
        if value == "unknown":  # said to be, or never asked
            return rows.filter(Q(**{stored: None}) | Q(**{f"{stored}__isnull": True}))
        return rows.filter(**{stored: KNOWN[value]})


class WithdrawFilter(RightFilter):
    title, parameter_name, right = _("may withdraw"), "withdraw", "withdraw"


class SpotFilter(RightFilter):
    title, parameter_name, right = _("may trade spot"), "spot", "spot_trade"


class FuturesFilter(RightFilter):
    title, parameter_name, right = _("may trade futures"), "futures", "futures_trade"


class IpFilter(Choice):
    title = _("IP restriction")
    parameter_name = "ip"
    choices_here = YES_NO_UNKNOWN

    def narrow(self, rows: Rows, value: str) -> Rows:
        return rows.filter(ip_restricted=KNOWN[value])


def _with_key(rows: Rows, **is_so: Any) -> Rows:
    key = Credential.objects.active().filter(connection=OuterRef("pk"), **is_so)
    return rows.filter(Exists(key))


class AgeFilter(Choice):
    """By the day the key was entered here. No key is older than its connection: said as well, it
    spares the newest connections a look at their keys. A value and no join: of how the two ages
    hang together a database knows nothing, and would read all keys."""

    title = _("age of the key")
    parameter_name = "age"
    choices_here = (("new", _("new")), ("old", _("old")), ("very_old", _("very old")))

    def narrow(self, rows: Rows, value: str) -> Rows:
        limits, now = Thresholds.current(), timezone.now()
        old = now - timedelta(days=limits.old_days)
        very_old = now - timedelta(days=limits.very_old_days)
        key = Credential.objects.active().filter(connection=OuterRef("pk"))
        rows = rows.alias(entered=Subquery(key.values("created_at")[:1]))
        if value == "new":
            return rows.filter(entered__gt=old)
        if value == "old":
            return rows.filter(created_at__lte=old, entered__lte=old, entered__gt=very_old)
        return rows.filter(created_at__lte=very_old, entered__lte=very_old)


class UseFilter(Choice):
    """On somebody's behalf: scheduled tests are no use of a key."""

    title = _("last used")
    parameter_name = "used"
    choices_here = (
        ("day", _("within a day")),
        ("unused", _("long ago")),
        ("never", _("never")),
    )

    def narrow(self, rows: Rows, value: str) -> Rows:
        now = timezone.now()
        if value == "day":
            return _with_key(rows, last_used_at__gt=now - timedelta(days=1))
        if value == "never":
            return _with_key(rows, last_used_at=None)
        unused = now - timedelta(days=Thresholds.current().unused_days)
        return _with_key(rows.filter(created_at__lte=unused), last_used_at__lte=unused)


class FindingsFilter(Choice):
    title = _("unresolved findings")
    parameter_name = "findings"
    choices_here = (
        ("critical", _("critical")),
        ("high", _("high or critical")),
        ("any", _("any")),
        ("none", _("none")),
    )

    def narrow(self, rows: Rows, value: str) -> Rows:
        standing = Finding.objects.unresolved().filter(connection=OuterRef("pk"))
        least = {"critical": Finding.Severity.CRITICAL, "high": Finding.Severity.HIGH}
        found = Exists(standing.filter(severity__gte=least.get(value, 0)))
        return rows.filter(~found if value == "none" else found)


class StrategiesFilter(Choice):
    title = _("enabled strategies")
    parameter_name = "strategies"
    choices_here = (("yes", _("some")), ("no", _("none")))

    def narrow(self, rows: Rows, value: str) -> Rows:
        strategies: Any = Connection._meta.get_field("strategies").related_model
        running = Exists(strategies.objects.enabled().filter(connection=OuterRef("pk")))
        return rows.filter(running if value == "yes" else ~running)


FILTERS: tuple[Any, ...] = (
    ConnectionNeeds,
    "exchange",
    "status",
    ProblemFilter,
    PauseFilter,
    WithdrawFilter,
    SpotFilter,
    FuturesFilter,
    IpFilter,
    AgeFilter,
    UseFilter,
    FindingsFilter,
    StrategiesFilter,
    "created_at",
)
