"""`incident`: what the incident switch does, without broker and web: lists incidents, and goes on
with one that was confirmed. Nobody can ask for one or confirm it here: that takes two people at the
support desk."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections import incident_work
from connections.incidents import Incident


class Command(BaseCommand):
    help = "Lists incidents, or goes on with a confirmed one until it is done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("list", help="all incidents, newest first")
        run = what.add_parser("run", help="go on with one; safe after a crash, any number of times")
        run.add_argument("number", type=int, help="as `list` shows it")

    def handle(self, *, what: str, number: int = 0, **options: Any) -> None:
        if what == "list":
            for incident in Incident.objects.select_related("exchange", "owner"):
                self.stdout.write(_line(incident))
            return
        self._run(number)

    def _run(self, number: int) -> None:
        incident = Incident.objects.filter(pk=number).first()
        if incident is None:
            raise CommandError(f"There is no incident {number}.")
        if incident.confirmed_at is None:
            raise CommandError(f"Incident {number} is not confirmed by a second person.")
        while not incident_work.run(number, seconds=1):
            incident.refresh_from_db()
            self.stdout.write(_line(incident))
        incident.refresh_from_db()
        self.stdout.write(_line(incident))


def _line(incident: Incident) -> str:
    whose = {"exchange": incident.exchange_id, "owner": incident.owner}.get(incident.scope, "")
    stops = ", stops use" if incident.stops_use_now else ""
    return (
        f"{incident.pk}  {incident.asked_at:%Y-%m-%d %H:%M}  {incident.scope} {whose}".rstrip()
        + f"  {incident.state}{stops}: {incident.suspended} strategies suspended, "
        f"{incident.told} owners told, {incident.destroyed} keys destroyed"
    )
