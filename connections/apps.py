from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = _("Connections")

    def ready(self) -> None:
        from . import checks  # noqa: F401

        autodiscover_modules("hygiene_admin", "connection_admin", "incident_admin")
