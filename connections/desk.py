"""What all pages of the support desk are built on, in the look of django-unfold.

Lists answer as fast among millions of rows as among ten: they look into indexes, and count no
further than people turn pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext

from . import lookup
from .large_tables import LargePaginator

if TYPE_CHECKING:  # unfold's have the same methods and no types
    from django.contrib.admin import ModelAdmin, TabularInline
else:
    from unfold.admin import ModelAdmin, TabularInline


class DeskAdmin(ModelAdmin):  # type: ignore[type-arg]
    view_on_site = False  # users' pages are the users'
    list_fullwidth = True
    list_per_page = 25  # each row costs 3 ms to draw
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count for every choice of every filter
    empty_value_display = "–"
    paginator = LargePaginator
    list_before_template = "desk/saved_views.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Refuses an action that is not for this person, which Django would pass over."""
        asked = set(request.POST.getlist("action"))
        known = {name for _do, name, _label in self._get_base_actions()}  # type: ignore[attr-defined]
        if (asked & known) - set(self.get_actions(request)):
            raise PermissionDenied
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            self.opts.pk.to_python(chosen)  # what can be no row is not found (accounts/desk.py)
        return super().changelist_view(request, extra_context)

    def title_of(self, row: Any) -> str:
        """What the page of this row is called, for who has never seen a table."""
        return str(row)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **more: Any
    ) -> Any:
        response: Any = super().render_change_form(request, context, *args, **more)
        if (row := more.get("obj")) is not None:
            title = self.title_of(row)
            response.context_data |= {"original": Titled(row, title), "subtitle": title}
        return response


def list_of(label: str, **filters: Any) -> str:
    """The address of a list ("connections.Finding"), of the rows that these filters let through."""
    address = reverse(f"admin:{label.lower().replace('.', '_')}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


class ShownForm(forms.ModelForm):  # type: ignore[type-arg]
    """Changes only what this person altered: a page that was open while somebody else changed the
    row does not put back what it still shows. Where both altered the same, it asks first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            shown = self.add_initial_prefix(name) in self.data
            field.show_hidden_initial = shown or not self.is_bound

    def clean(self) -> Any:
        values = super().clean() or self.cleaned_data
        for name in list(values):
            field, now = self.fields[name], self.get_initial_for_field(self.fields[name], name)
            if name not in self.changed_data:
                values[name] = field.to_python(now)
            elif self._changed_by_others(name, now) and field.has_changed(now, values[name]):
                self._ask_again(name, now)
        return values

    def _changed_by_others(self, name: str, now: Any) -> bool:
        """Browsers send the ends of lines in a way of their own."""
        shown = self.data.get(self.add_initial_prefix(name))
        if isinstance(now, str) and isinstance(shown, str):
            return now.splitlines() != shown.splitlines()
        return shown is not None and self.fields[name].has_changed(now, shown)

    def _ask_again(self, name: str, now: Any) -> None:
        """What was typed stays; saved once more, it is meant."""
        data: Any = self.data
        self.data = data = data.copy()
        data[self.add_initial_prefix(name)] = self.fields[name].prepare_value(now)
        said = gettext(
            "Somebody else changed this while the page was open, to: %(now)s. Save again to put"
            " yours in its place."
        )
        self.add_error(name, said % {"now": now})


class Titled:
    """A row as unfold's headings ask for it, under another title than its own."""

    def __init__(self, row: Any, title: str) -> None:
        self._row, self._title = row, title

    def __str__(self) -> str:
        return self._title

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


class ReadOnlyAdmin(DeskAdmin):
    """Rows that are made and removed by the product itself."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SeenAdmin(ReadOnlyAdmin):
    """Rows that are looked at here and never edited."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FoundByConnection(DeskAdmin):
    """Rows that are found by what support is told of a connection or its owner (lookup.py)."""

    sortable_by = ()  # by their own order, of which there is an index
    connection_path = "connection"
    search_help_text = lookup.HELP

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        found = lookup.connections(search_term)
        return queryset.filter(**{f"{self.connection_path}__in": found}), False


class SeenInline(TabularInline):  # type: ignore[type-arg]
    """Rows below another one, which are looked at and never edited."""

    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class Choice(SimpleListFilter):
    """One of a few words written out here, so that no table is read to find them."""

    choices_here: tuple[tuple[str, Any], ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return self.choices_here

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        known = {code for code, _label in self.lookup_choices}
        return self.narrow(queryset, value) if value in known and value else queryset
