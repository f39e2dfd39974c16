"""Connections at the support desk: the list, and the page of each. Nothing in here can show or
take a secret: credentials are not registered, and what is known of a key is its hint and
fingerprint."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from . import connection_page, diagnostics, looks, marks, services, tasks
from .connection_actions import ConnectionActions, WhyForm
from .connection_filters import FILTERS
from .desk import FoundByConnection, ReadOnlyAdmin, ShownForm, list_of
from .forms import clean_name
from .models import Connection, Credential, Finding
from .presentation import line_marks, status_of


class ConnectionForm(ShownForm):
    """Says that a name is taken: the owner is not a field here, so Django does not check it."""

    paused = forms.BooleanField(
        label=_("Paused"),
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text=_("While it is paused nothing uses its key, and nothing trades on it."),
    )

    class Meta:
        model = Connection
        fields = ("name", "notes")
        widgets = {"notes": UnfoldAdminTextareaWidget(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["paused"].initial = self.instance.paused_at is not None

    def clean_name(self) -> str:
        name = clean_name(str(self.cleaned_data["name"]))
        same = Connection.objects.filter(owner=self.instance.owner, name__iexact=name)
        if same.exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("The owner already has a connection of this name."))
        return name


@admin.register(Connection)
class ConnectionAdmin(ConnectionActions, looks.LookedAtAdmin, FoundByConnection, ReadOnlyAdmin):  # type: ignore[misc]
    form = ConnectionForm
    action_form = WhyForm
    connection_path = "pk"
    change_form_outer_before_template = "desk/connection.html"
    change_form_outer_after_template = "desk/timeline.html"
    list_display = (
        "named",
        "owner_link",
        "status_word",
        "finding_count",
        "strategy_count",
        "rights",
        "key",
        "last_use",
    )
    list_filter = FILTERS
    search_fields = ("name",)  # that there is a field to search in: lookup.py does it
    edited = ("name", "notes", "paused")
    facts = (
        "owner_link",
        "exchange",
        "hint",
        "fingerprint",
        "same_key_elsewhere",
        "uid",
        "ip",
        "age",
        "used",
        "key_expires_at",
        "created_at",
        "tested_at",
    )
    readonly_fields = facts
    fieldsets = (
        (_("What support may change"), {"fields": edited}),
        (
            _("Connection and key"),
            {
                "fields": (
                    ("owner_link", "exchange"),
                    "fingerprint",
                    ("hint", "uid"),
                    ("ip", "same_key_elsewhere"),
                    ("key_expires_at", "used"),
                    ("age", "created_at"),
                    "tested_at",
                )
            },
        ),
    )

    def get_urls(self) -> list[Any]:
        door = self.admin_site.admin_view(require_POST(self.diagnose))
        name = "connections_connection_diagnostics"
        return [path("<path:object_id>/diagnostics/", door, name=name), *super().get_urls()]

    def diagnose(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The file for a ticket, for who may see the connection and has said why they do."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        connection = get_object_or_404(Connection.objects.for_list(), pk=object_id)
        why = looks.reason(request, connection.owner_id)
        if not why:
            page = reverse("admin:connections_connection_change", args=[connection.pk])
            return looks.ask(request, connection.owner_id, back_to=page)
        return diagnostics.answer(connection, by=request.user, now=timezone.now(), why=why)

    def owner_of(self, row: Connection) -> Any:
        return row.owner_id

    def connection_of(self, row: Connection) -> Connection:
        return row

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """With what a row shows; the counts are read for the rows of the page alone."""
        own = {"connection": OuterRef("pk")}
        findings = Finding.objects.unresolved().filter(**own).order_by().values("connection")
        running = Connection.objects.filter(pk=OuterRef("pk"), strategies__enabled=True)
        strategies = running.order_by().values("pk")
        return Connection.objects.for_list().annotate(
            findings_now=_number(findings.annotate(n=Count("pk"))),
            strategies_now=_number(strategies.annotate(n=Count("strategies"))),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Notes are everybody's who helps; what the owner sees and relies on is not."""
        fixed = () if self.has_pause_permission(request) else ("name",)
        return (*self.readonly_fields, *fixed)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_pause_permission(request) and self.has_change_permission(request, obj):
            return self.fieldsets
        kept = tuple(name for name in self.edited if name != "paused")
        return ((self.fieldsets[0][0], {"fields": kept}), self.fieldsets[1])

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        connection = more.get("obj")
        if connection is not None:
            context |= connection_page.context(connection, request.user)
            context["why_looked"] = looks.reason(request, connection.owner_id)
            context["desk_actions"] = _offered(connection, self.get_actions(request))
        return super().render_change_form(request, context, *args, **more)

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """A pause drops the test under way, and its end asks for a new one."""
        if "paused" in request.POST and not self.has_pause_permission(request):
            raise PermissionDenied
        why = looks.reason(request, obj.owner_id)
        if self.has_pause_permission(request):
            if _altered(form, "name"):
                self._rename(request, obj, why)
            if "paused" in form.changed_data and form.cleaned_data["paused"]:
                services.pause(obj, by=request.user, why=why)
            elif "paused" in form.changed_data:
                tasks.wake(services.resume(obj, by=request.user, why=why))
        if _altered(form, "notes"):
            Connection.objects.filter(pk=obj.pk).update(notes=obj.notes)
            looks.acted(request, "notes changed", [obj])

    def _rename(self, request: HttpRequest, obj: Connection, why: str) -> None:
        try:
            services.rename(obj, obj.name, by=request.user, why=why)
        except services.NameTaken:  # since the form was checked
            text = gettext("The name was not changed: the owner has just given it to another one.")
            messages.error(request, text)

    @admin.display(description=_("owner"), ordering="owner__email")
    def owner_link(self, connection: Connection) -> SafeString:
        address = reverse("admin:accounts_user_change", args=[connection.owner_id])
        return format_html('<a class="desk-link" href="{}">{}</a>', address, connection.owner)

    @admin.display(description=_("status"), ordering="status")
    def status_word(self, connection: Connection) -> SafeString:
        shown = status_of(connection, testing=bool(connection.open_tests))  # type: ignore[attr-defined]
        return marks.status(shown)

    @admin.display(description=_("connection"), ordering="name")
    def named(self, connection: Connection) -> SafeString:
        return marks.two(connection.name, connection.exchange.name)

    @admin.display(description=_("rights, IP"))
    def rights(self, connection: Connection) -> SafeString:
        return marks.rights(line_marks(connection.known_permissions), connection.ip_restricted)

    @admin.display(description=_("key"))
    def key(self, connection: Connection) -> SafeString:
        """Its end and its age."""
        return marks.two(self.hint(connection), self.age(connection))

    @admin.display(description=_("last used"))
    def last_use(self, connection: Connection) -> SafeString | str:
        """In a list, where there is no room for more."""
        key = _key(connection)
        return marks.age(key.last_used_at if key else None)

    @admin.display(description=_("IP restriction"))
    def ip(self, connection: Connection) -> SafeString:
        return marks.yes_no(connection.ip_restricted)

    @admin.display(description=_("key ends with"))
    def hint(self, connection: Connection) -> str:
        key = _key(connection)
        return f"…{key.hint}" if key else marks.NOTHING

    @admin.display(description=_("fingerprint"))
    def fingerprint(self, connection: Connection) -> str:
        key = _key(connection)
        return key.fingerprint if key else marks.NOTHING

    @admin.display(description=_("age of the key"))
    def age(self, connection: Connection) -> str:
        key = _key(connection)
        return marks.age(key.created_at if key else None)

    @admin.display(description=_("last used"))
    def used(self, connection: Connection) -> str:
        key = _key(connection)
        return marks.ago(key.last_used_at if key else None)

    @admin.display(description=_("findings"))
    def finding_count(self, connection: Connection) -> str:
        address = list_of("connections.Finding", connection__id__exact=connection.pk)
        return marks.count(connection.findings_now, address, "orange")  # type: ignore[attr-defined]

    @admin.display(description=_("strategies"))
    def strategy_count(self, connection: Connection) -> str:
        address = list_of("strategies.StrategyConfig", connection__id__exact=connection.pk)
        return marks.count(connection.strategies_now, address, "blue")  # type: ignore[attr-defined]

    @admin.display(description=_("same key in another connection"))
    def same_key_elsewhere(self, connection: Connection) -> SafeString:
        """That there is one, never whose."""
        key = _key(connection)
        same = Credential.objects.in_use().filter(fingerprint=key.fingerprint if key else "")
        return marks.yes_no(same.exclude(connection=connection).exists(), good=False)


def _altered(form: Any, name: str) -> bool:
    """By this person, and not by somebody else to the same meanwhile."""
    return name in form.changed_data and form.cleaned_data[name] != form.initial[name]


def _number(rows: Any) -> Any:
    return Coalesce(Subquery(rows.values("n"), output_field=IntegerField()), 0)


def _key(connection: Connection) -> Credential | None:
    keys: list[Credential] = connection.active  # type: ignore[attr-defined]
    return keys[0] if keys else None


def _offered(connection: Connection, actions: dict[str, Any]) -> list[tuple[str, str]]:
    """Those that make sense for one connection whose page is open."""
    senseless = {"download_report", "pause" if connection.paused_at else "resume"}
    named = ((name, label) for name, (_do, _name, label) in actions.items())
    return [(name, label) for name, label in named if name not in senseless]
