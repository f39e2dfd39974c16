from typing import Any

from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    default = True
    name = "backfuture.accounts"
    label = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from connections import gate, keyring

        from . import checks as checks
        from . import receivers as receivers
        from .seeds import Seeds
        from .step_up import Confirmation

        gate.register(Confirmation)
        keyring.register(Seeds())


class DeskConfig(admin.AdminConfig):
    """Our own admin site, without what other apps would put into it: seeds, session keys and
    confirmation links let in whoever reads them, and a schedule runs any task. Of schedules ours
    alone come back, within bounds (schedule_admin.py)."""

    default = False
    default_site = "backfuture.accounts.desk.DeskSite"

    KEPT_OUT = ("account", "mfa", "usersessions", "django_celery_beat")

    def ready(self) -> None:
        super().ready()
        from django.contrib.admin import site

        for model in [model for model in site._registry if model._meta.app_label in self.KEPT_OUT]:
            site.unregister(model)
        from django.contrib.auth.models import Group
        from django_celery_beat.models import PeriodicTask

        from .schedule_admin import ScheduleAdmin

        site.register(PeriodicTask, ScheduleAdmin)
        _call(PeriodicTask, _("schedule"), _("schedules"))
        _call(Group, _("role"), _("roles"))


def _call(model: Any, one: Any, several: Any) -> None:
    """What other apps' rows are called at the desk. No migration is made of it."""
    model._meta.verbose_name, model._meta.verbose_name_plural = one, several
