from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from connections.events import AccessEvent, record

from . import step_up
from .models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email",)
    ordering = ("email",)
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
    )

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
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            owner = User.objects.get(pk=id)
            record(AccessEvent.Kind.PASSWORD_CHANGED, actor=request.user, owner=owner)
            step_up.freeze_keys(owner)
            get_adapter(request).send_notification_mail("account/email/password_changed", owner)
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        owner = User.objects.filter(pk=object_id).first() if response.status_code == 200 else None
        if owner:
            record(AccessEvent.Kind.STAFF_LOOK, actor=request.user, owner=owner, why="account")
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        why = ", ".join(form.changed_data) if change else "added"
        record(AccessEvent.Kind.USER_CHANGED, actor=request.user, owner=obj, why=why)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """An account ends by its owner's hand (own_data.py), which destroys its keys in order."""
        return False

    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)
