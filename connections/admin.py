"""The support desk, first version. Nothing in here can show or take a secret: credentials are
not registered, and what is known of a key is its hint and fingerprint."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from . import reports, services, tasks
from .events import AccessEvent, record
from .forms import clean_name
from .models import Connection, ConnectionTest, Credential, Exchange
from .presentation import explain, status_of


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that are made and removed by the product itself."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    list_display = ("name", "code", "offered", "paused", "position", "notice")
    list_display_links = ("name",)
    list_editable = ("offered", "paused", "position")
    fields = ("code", "offered", "paused", "notice", "position")
    readonly_fields = ("code",)

    def save_model(self, request: HttpRequest, obj: Exchange, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        why = ", ".join(f"{name}: {getattr(obj, name)}" for name in form.changed_data)
        record(AccessEvent.Kind.EXCHANGE_CHANGED, actor=request.user, exchange=obj.code, why=why)


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Says that a name is taken: the owner is not a field here, so Django does not check it."""

    def clean_name(self) -> str:
        name = clean_name(str(self.cleaned_data["name"]))
        same = Connection.objects.filter(owner=self.instance.owner, name__iexact=name)
        if same.exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("The owner already has a connection of this name."))
        return name


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    form = ConnectionForm
    view_on_site = False  # the owner's page is the owner's
    list_display = (
        "name",
        "owner",
        "exchange",
        "status_word",
        "hint",
        "tested_at",
        "paused_at",
    )
    list_filter = ("exchange", "status", "problem", ("paused_at", admin.EmptyFieldListFilter))
    search_fields = (
        "name",
        "owner__email",
        "uid",
        "=credentials__hint",
        "=credentials__fingerprint",
    )
    date_hierarchy = "created_at"
    actions = ("test_again", "download_report")
    fields = (
        "name",
        "owner",
        "exchange",
        "status_word",
        "problem_in_words",
        "hint",
        "fingerprint",
        "same_key_elsewhere",
        "permissions",
        "ip_restricted",
        "key_expires_at",
        "uid",
        "created_at",
        "tested_at",
        "paused_at",
    )
    readonly_fields = tuple(name for name in fields if name not in {"name", "paused_at"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return Connection.objects.for_list()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Every look is on record, and the owner sees it."""
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            _on_record(request, Connection.objects.get(pk=object_id))
        return response

    @admin.display(description=_("status"))
    def status_word(self, connection: Connection) -> str:
        return status_of(connection, testing=bool(connection.open_tests)).word  # type: ignore[attr-defined]

    @admin.display(description=_("problem"))
    def problem_in_words(self, connection: Connection) -> str:
        if not connection.problem:
            return "–"
        words = explain(connection.problem, connection.exchange_id)
        return f"{words.title}. {words.cause}"

    @admin.display(description=_("API key ends with"))
    def hint(self, connection: Connection) -> str:
        key = _key(connection)
        return f"…{key.hint}" if key else "–"

    @admin.display(description=_("fingerprint"))
    def fingerprint(self, connection: Connection) -> str:
        key = _key(connection)
        return key.fingerprint if key else "–"

    @admin.display(description=_("same key in another connection"), boolean=True)
    def same_key_elsewhere(self, connection: Connection) -> bool:
        key = _key(connection)
        return (
            key is not None
            and Credential.objects.in_use()
            .filter(fingerprint=key.fingerprint)
            .exclude(connection=connection)
            .exists()
        )

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """A pause drops the test under way, and its end asks for a new one."""
        if "paused_at" in form.changed_data and obj.paused_at:
            services.pause(obj, by=request.user)
        elif "paused_at" in form.changed_data:
            tasks.wake(services.resume(obj, by=request.user))
        if "name" in form.changed_data:
            services.rename(obj, obj.name, by=request.user)

    @admin.action(description=_("Test again"), permissions=["change"])
    def test_again(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        asked = 0
        for connection in queryset:
            try:
                test = services.request_test(
                    connection, by=request.user, reason=ConnectionTest.Reason.STAFF
                )
            except (services.TooSoon, services.Paused, Credential.DoesNotExist):
                continue
            tasks.wake(test)
            asked += 1
        left = len(queryset) - asked
        text = ngettext("%(n)d test was asked for.", "%(n)d tests were asked for.", asked)
        if left:
            text += " " + ngettext(
                "%(left)d connection is paused, has no key or was tested just now.",
                "%(left)d connections are paused, have no key or were tested just now.",
                left,
            )
        level = messages.SUCCESS if asked else messages.WARNING
        self.message_user(request, text % {"n": asked, "left": left}, level)

    def has_report_permission(self, request: HttpRequest) -> bool:
        """It tells of findings as well as of connections."""
        return request.user.has_perms(("connections.view_connection", "connections.view_finding"))

    @admin.action(description=_("Download the credential report (CSV)"), permissions=["report"])
    def download_report(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> StreamingHttpResponse:
        why = f"credential report: {queryset.count()} connections"
        record(AccessEvent.Kind.EXPORTED, actor=request.user, why=why)
        name = f"backfuture-credentials-{timezone.now():%Y-%m-%d}.csv"
        return StreamingHttpResponse(
            reports.csv_parts(reports.rows(queryset)),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
            },
        )


def _on_record(request: HttpRequest, connection: Connection) -> None:
    record(AccessEvent.Kind.STAFF_LOOK, connection=connection, actor=request.user)


def _key(connection: Connection) -> Credential | None:
    keys: list[Credential] = connection.active  # type: ignore[attr-defined]
    return keys[0] if keys else None


@admin.register(ConnectionTest)
class ConnectionTestAdmin(ReadOnlyAdmin):
    list_display = (
        "connection",
        "queued_at",
        "reason",
        "requested_by",
        "status",
        "outcome",
        "problem",
        "seconds",
    )
    list_filter = ("status", "outcome", "problem", "reason", "connection__exchange")
    list_select_related = ("connection", "requested_by")
    search_fields = ("connection__name", "connection__owner__email")
    date_hierarchy = "queued_at"
    fields = (
        "connection",
        "reason",
        "requested_by",
        "status",
        "queued_at",
        "started_at",
        "finished_at",
        "outcome",
        "problem",
        "causes",
        "warnings",
        "seen_ip",
        "steps",
        "permissions",
        "ip_restricted",
        "key_created_at",
        "key_expires_at",
        "uid",
        "label",
        "skew_ms",
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            _on_record(request, Connection.objects.get(tests__pk=object_id))
        return response

    @admin.display(description=_("seconds"))
    def seconds(self, test: ConnectionTest) -> str:
        if not (test.started_at and test.finished_at):
            return "–"
        return f"{(test.finished_at - test.started_at).total_seconds():.1f}"


@admin.register(AccessEvent)
class AccessEventAdmin(ReadOnlyAdmin):
    """Reading alone: nobody adds, changes or deletes what happened."""

    list_display = ("at", "kind", "actor", "owner", "connection", "key_hint", "ip", "why")
    list_filter = ("kind", "exchange")
    list_select_related = ("actor", "owner", "connection")
    search_fields = ("=actor__email", "=owner__email", "=key_fingerprint", "=key_hint", "=ip")
    date_hierarchy = "at"
    fields = (
        "at",
        "kind",
        "actor",
        "owner",
        "connection",
        "exchange",
        "key_hint",
        "key_fingerprint",
        "why",
        "task_id",
        "ip",
        "agent",
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
