"""`prepare` does what comes before a start: tables, static files, the first administrator.

One command, since each start of Python and Django costs over half a second.
"""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Runs migrate, collectstatic and first_admin. Repeating it changes nothing."

    def handle(self, *_: Any, **__: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("first_admin", stdout=self.stdout)
