"""Users and roles at the support desk."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from connections import looks, lookup, marks
from connections.desk import DeskAdmin, list_of
from connections.events import AccessEvent, record

from . import step_up, view_as, view_as_desk
from .models import User

admin.site.unregister(Group)

SAID_OF_RIGHTS: dict[str, tuple[Any, Any]] = {
    "is_active": (_("Active"), _("Switched off, they cannot sign in.")),
    "is_staff": (_("Staff"), _("They may enter the support desk, with a second factor.")),
    "is_superuser": (_("Superuser"), _("They may do everything, whatever their roles say.")),
}


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, DeskAdmin):
    """What each role may do. Superusers alone change it, since it decides what others may."""

    search_help_text = _("The name of the role.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        group = form.instance
        before = set(group.permissions.values_list("codename", flat=True))
        super().save_related(request, form, formsets, change)
        after = set(group.permissions.values_list("codename", flat=True))
        said = [f"+{name}" for name in sorted(after - before)]
        said += [f"-{name}" for name in sorted(before - after)]
        _on_record(request, group, " ".join(said) or "saved")

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        _on_record(request, obj, "deleted")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            _on_record(request, group, "deleted")
        super().delete_queryset(request, queryset)


def _on_record(request: HttpRequest, group: Group, what: str) -> None:
    why = f"{group.name}: {what}"
    record(AccessEvent.Kind.ROLE_CHANGED, actor=request.user, why=why)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, looks.LookedAtAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "standing", "roles", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email",)
    search_help_text = _("The e-mail address, or how it begins.")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = (
        *("their_connections", "as_they_see_it", "new_password"),
        *("keys_frozen_until", "date_joined", "last_login"),
    )
    fieldsets = (
        (None, {"fields": ("email", "their_connections", "as_they_see_it")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("keys_frozen_until", "date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)

    def owner_of(self, row: User) -> Any:
        return row.pk

    def connection_of(self, row: User) -> None:
        return None

    def title_of(self, row: User) -> str:
        return gettext("Account %(email)s") % {"email": row.email}

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """A few roles to tick, not a list to move them from and to."""
        if db_field.name == "groups":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "groups":
            field.label, field.help_text = _("Roles"), _("What each may do is said under Roles.")
        return field

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            wrapper = field.widget  # of links that add, change and open a role
            field.widget = getattr(wrapper, "widget", wrapper)
        if db_field.name in SAID_OF_RIGHTS:
            field.label, field.help_text = SAID_OF_RIGHTS[db_field.name]
        return field

    @admin.display(description=_("account"), ordering="is_active")
    def standing(self, user: User) -> SafeString:
        if user.is_active:
            return marks.badge(gettext("active"), "green")
        return marks.badge(gettext("closed"), "secondary", gettext("They cannot sign in."))

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        """Of staff; who is none has none."""
        if not user.is_staff:
            return marks.NOTHING
        given = [group.name for group in user.groups.all()]
        first = [gettext("superuser")] if user.is_superuser else []
        return ", ".join([*first, *given]) or gettext("staff without a role")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        word = search_term.strip()
        return (queryset.filter(pk__in=lookup.people(word)) if word else queryset), False

    @admin.display(description=_("connections"))
    def their_connections(self, user: User) -> SafeString:
        address = list_of("connections.Connection", owner__id__exact=user.pk)
        number = user.connections.count()
        return format_html('<a class="desk-link" href="{}">{}</a>', address, number)

    @admin.display(description=_("password"))
    def new_password(self, user: User) -> SafeString:
        """Not what is stored of it, which Django's own field would show the beginning of."""
        address = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('<a class="desk-link" href="{}">{}</a>', address, _("Set a new one"))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """What leads to a new password is for those who may set one."""
        if obj is None or not self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        first, *others = self.fieldsets
        return ((None, {"fields": (*first[1]["fields"], "new_password")}), *others)

    @admin.display(description=_("their pages, as they see them"))
    def as_they_see_it(self, owner: User) -> SafeString:
        given = view_as.open_grant(owner, now=timezone.now())
        word = _("See them: support may look now") if given else _("They have not let support look")
        page = reverse("admin:accounts_user_view_as", args=[owner.pk])
        return format_html('<a class="desk-link" href="{}">{}</a>', page, word)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Rights come from superusers alone, and an address is changed by its owner, who proves
        that it is theirs."""
        fixed = self.readonly_fields if obj is None else (*self.readonly_fields, "email")
        if request.user.is_superuser:
            return fixed
        return (*fixed, "is_staff", "is_superuser", "groups")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and obj.is_staff and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Whoever was given the password can sign in, so keys wait a day, as after a reset."""
        if (row := self._looked_at(request, id)) and not looks.reason(request, row.pk):
            return looks.ask(request, row.pk)
        with transaction.atomic():
            response = super().user_change_password(request, id, form_url)
            done = request.method == "POST" and response.status_code == 302
            if done:
                owner, why = User.objects.get(pk=row.pk), looks.reason(request, row.pk)
                record(AccessEvent.Kind.PASSWORD_CHANGED, actor=request.user, owner=owner, why=why)
                step_up.freeze_keys(owner)
        if done:
            get_adapter(request).send_notification_mail("account/email/password_changed", owner)
        return response

    def get_urls(self) -> list[Any]:
        door = self.admin_site.admin_view(view_as_desk.page)
        mine = path("<path:object_id>/view-as/", door, name="accounts_user_view_as")
        return [mine, *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change and not form.changed_data:
            return
        if change:  # that alone: its owner may be signing in, or changing their password
            obj.save(update_fields=[name for name in form.changed_data if name != "groups"])
        else:
            super().save_model(request, obj, form, change)
        what = ", ".join(form.changed_data) if change else "added"
        why = looks.said(what, looks.reason(request, obj.pk))
        record(AccessEvent.Kind.USER_CHANGED, actor=request.user, owner=obj, why=why)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """An account ends by its owner's hand (own_data.py), which destroys its keys in order."""
        return False
