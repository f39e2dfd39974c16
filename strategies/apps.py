from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StrategiesConfig(AppConfig):
    name = "strategies"
    verbose_name = _("Strategies")

    def ready(self) -> None:
        from connections import hooks

        from . import suspending

        hooks.register(
            tested=suspending.after_test,
            removed=suspending.before_removal,
            running=suspending.running_on,
            halt=suspending.halt,
        )
