"""Who may come in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """Signs in with an e-mail address; there is no user name."""

    email = models.EmailField(_("e-mail address"), unique=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    # Until then nobody enters, replaces or deletes a key: set by a password reset (step_up.py).
    keys_frozen_until = models.DateTimeField(_("keys frozen until"), null=True, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", help_text=_("of the times you are shown")
    )
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.UniqueConstraint(Lower("email"), name="one_user_per_email"),
        ]
        indexes = [  # the desk's filters: few users are any of these
            models.Index(fields=["email"], condition=Q(is_staff=True), name="staff_by_email"),
            models.Index(fields=["email"], condition=Q(is_superuser=True), name="superusers"),
            models.Index(fields=["email"], condition=Q(is_active=False), name="inactive_users"),
        ]

    def __str__(self) -> str:
        return self.email


class KnownDevice(models.Model):
    """A browser someone signed in with before, known by a random token in its cookie."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="devices")
    token_hash = models.CharField(max_length=64, help_text=_("SHA-256 of the cookie, hex"))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("known device")
        verbose_name_plural = _("known devices")
        constraints = [
            models.UniqueConstraint(fields=["user", "token_hash"], name="one_device_per_token")
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.created_at:%Y-%m-%d}"


class ViewGrantQuerySet(models.QuerySet["ViewGrant"]):
    def open(self, now: datetime) -> ViewGrantQuerySet:
        """What was granted in the future was granted by a clock that was wrong."""
        return self.filter(ended_at=None, granted_at__lte=now, until__gt=now)


class ViewGrant(models.Model):
    """An owner's consent that support sees the site as they do, for a while (view_as.py)."""

    LASTS = timedelta(minutes=60)

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="view_grants")
    granted_at = models.DateTimeField(_("granted"), default=timezone.now)
    until = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended by the owner"), null=True)

    objects = ViewGrantQuerySet.as_manager()

    class Meta:
        verbose_name = _("consent to a look")
        verbose_name_plural = _("consents to a look")
        ordering = ("-granted_at",)
        permissions = [("view_as_user", "Can see the site as a user who consents")]
        constraints = [
            models.CheckConstraint(
                condition=Q(until__lte=models.F("granted_at") + timedelta(minutes=60)),
                name="a_look_ends_by_itself",
            )
        ]

    def __str__(self) -> str:
        return f"{self.owner} {self.granted_at:%Y-%m-%d %H:%M}"


class SavedView(models.Model):
    """A list of the support desk as somebody likes to find it: filters, search and order."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(_("name"), max_length=40)
    path = models.CharField(max_length=1000, help_text=_("address of the list with its filters"))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        default_permissions = ()  # everybody has their own, and nobody another's
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="one_view_of_a_name_per_user")
        ]

    def __str__(self) -> str:
        return self.name
