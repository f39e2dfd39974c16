"""The incident switch at the support desk: ask, count, confirm by another person, watch, lift.

What may be done is decided in incident_asking.py; a code of the second factor is asked for by the
desk itself (accounts/desk.py) before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from . import incident_asking, incident_work, marks, tasks
from .desk import SeenAdmin
from .desk_filters import IncidentNeeds
from .incident_forms import STEPS, AskForm, IncidentForm
from .incidents import PERMISSION, Incident

State = Incident.State
COUNTS = ("suspended", "told", "destroyed")  # of the steps, in their order
COLORS = {State.ASKED: "orange", State.RUNNING: "blue", State.DONE: "green"}
Act = Callable[..., None]


@admin.register(Incident)
class IncidentAdmin(SeenAdmin):
    list_display = ("asked_at", "which", "how_far", "stops", "asked_by")
    list_display_links = ("asked_at", "which")
    list_filter = (IncidentNeeds, "state", "scope")
    list_select_related = ("exchange", "owner", "asked_by")
    date_hierarchy = "asked_at"

    @admin.display(description=_("which keys"), ordering="scope")
    def which(self, incident: Incident) -> SafeString:
        whose = incident.owner.email if incident.owner else ""
        where = incident.exchange.name if incident.exchange else ""
        return marks.two(incident.get_scope_display(), whose or where)

    @admin.display(description=_("state"), ordering="state")
    def how_far(self, incident: Incident) -> SafeString:
        if incident.state == State.ASKED and not incident.waits(timezone.now()):
            said = gettext("Nobody confirmed it within 30 minutes.")
            return marks.badge(gettext("lapsed"), "secondary", said)
        return marks.badge(
            str(incident.get_state_display()), COLORS.get(State(incident.state), "secondary")
        )

    @admin.display(description=_("use of the keys"))
    def stops(self, incident: Incident) -> SafeString | str:
        return marks.badge(gettext("stopped"), "red") if incident.stops_use_now else marks.NOTHING

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(PERMISSION))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or self.has_add_permission(request)

    def get_urls(self) -> list[Any]:
        acts: dict[str, tuple[Act, Any]] = {
            "confirm": (incident_asking.confirm, _("Confirm and begin")),
            "withdraw": (incident_asking.withdraw, _("Withdraw")),
            "ask_to_lift": (incident_asking.ask_to_lift, _("Ask to allow use again")),
            "lift": (incident_asking.lift, _("Confirm: allow use again")),
        }
        mine = [
            path(
                f"<path:object_id>/{name.replace('_', '-')}/",
                self.admin_site.admin_view(require_POST(self._door(act, verb))),
                name=f"connections_incident_{name}",
            )
            for name, (act, verb) in acts.items()
        ]
        return [*mine, *super().get_urls()]

    # --- asking --------------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """GET counts what it would come to and changes nothing; POST asks for it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._ask(request)
        chosen, data = bool(set(IncidentForm.base_fields) & set(request.GET)), request.GET.copy()
        if data.get("destroy"):
            data["suspend"] = data["tell"] = "on"
        form = IncidentForm(data if chosen else None)
        return self._ask_page(request, form, AskForm() if chosen and form.is_valid() else None)

    def _ask(self, request: HttpRequest) -> HttpResponse:
        form = AskForm(request.POST)
        if form.is_valid():
            try:
                incident = incident_asking.ask(form.wish(), by=request.user, now=timezone.now())
                return redirect(incident)
            except incident_asking.Refused as refusal:
                form.add_error(None, refusal.sentence)
        return self._ask_page(request, IncidentForm(request.POST), form)

    def _ask_page(
        self, request: HttpRequest, form: IncidentForm, asking: AskForm | None
    ) -> HttpResponse:
        counted = asking is not None and form.is_valid()
        wish = form.wish() if counted else None
        return self._page(
            request,
            "ask",
            title=gettext("Incident switch"),
            form=form,
            asking=asking if counted else None,
            forecast=incident_work.forecast(wish.as_incident()) if wish else None,
            wanted=wish,
            chosen=_chosen(form) if counted else [],
        )

    # --- one incident ----------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        incident, now = self._found(object_id), timezone.now()
        waits = incident.waits(now)
        return self._page(
            request,
            "show",
            title=str(incident),
            incident=incident,
            wanted=incident,
            forecast=incident_work.forecast(incident) if waits else None,
            steps=_progress(incident),
            waits=waits,
            lapsed=incident.state == State.ASKED and not waits,
            lift_waits=incident.lift_waits(now),
            may=self.has_add_permission(request),
            is_first=request.user.pk == incident.asked_by_id,
            asked_to_lift=request.user.pk == incident.lift_asked_by_id,
        )

    def _door(self, act: Act, verb: Any) -> Callable[..., HttpResponse]:
        def door(request: HttpRequest, object_id: str) -> HttpResponse:
            if not self.has_add_permission(request):
                raise PermissionDenied
            incident, now = self._found(object_id), timezone.now()
            self._do(request, act, incident, now)
            return redirect(incident)

        door.desk, door.verb = self, verb  # type: ignore[attr-defined]
        return door

    def _do(self, request: HttpRequest, act: Act, incident: Incident, now: datetime) -> None:
        try:
            act(incident, by=request.user, now=now)
        except incident_asking.Refused as refusal:
            messages.error(request, refusal.sentence)
        else:
            tasks.wake_incidents()

    def _found(self, number: str) -> Incident:
        people = ("asked_by", "confirmed_by", "withdrawn_by", "lift_asked_by", "lifted_by")
        rows = Incident.objects.select_related("exchange", "owner", *people)
        found = rows.filter(pk=number).first() if number.isdecimal() else None
        if found is None:
            raise Http404
        return found

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/connections/incident/{name}.html", whole)


def _chosen(form: IncidentForm) -> list[tuple[str, str]]:
    """What was chosen, to be sent again with the reason."""
    values = form.cleaned_data
    kept = [("scope", values["scope"]), ("owner", values["owner"] or "")]
    kept.append(("exchange", values["exchange"].pk if values["exchange"] else ""))
    return kept + [(name, "on") for name in STEPS if values[name]]


def _progress(incident: Incident) -> list[dict[str, Any]]:
    """Each step that was chosen: what it has done, and whether it is over."""
    steps = list(Incident.Step)
    at, confirmed = steps.index(Incident.Step(incident.step)), incident.confirmed_at is not None
    lines = [
        _line(incident, step.value, count, confirmed and at > number, confirmed and at == number)
        for number, (step, count) in enumerate(zip(steps, COUNTS, strict=False))
        if getattr(incident, step.value)
    ]
    if incident.stop_use:
        lines.insert(0, _line(incident, "stop_use", "dropped", confirmed, False))
    return lines


def _line(incident: Incident, step: str, count: str, over: bool, now: bool) -> dict[str, Any]:
    what = f"{getattr(incident, count)} {_label(count)}"
    return {"label": _label(step), "count": what, "over": over, "now": now}


def _label(name: str) -> Any:
    field: Any = Incident._meta.get_field(name)
    return field.verbose_name
