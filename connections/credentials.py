"""The keys of connections, each sealed. Never registered in the admin, never in a form.

One is in use; beside it may wait a new one, and the one that it replaced is kept for a while.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import vault


class CredentialQuerySet(models.QuerySet["Credential"]):
    def in_use(self) -> CredentialQuerySet:
        """What may be opened for a test: the key in use and the new one."""
        return self.filter(state__in=Credential.IN_USE)

    def replaced(self) -> CredentialQuerySet:
        """Kept sealed for a while, and opened by nobody."""
        return self.filter(state=Credential.State.REPLACED)

    def not_destroyed(self) -> CredentialQuerySet:
        return self.exclude(state=Credential.State.RETIRED)

    def active(self) -> CredentialQuerySet:
        """To show, not to open."""
        return self.filter(state=Credential.State.ACTIVE).defer("sealed")


class Credential(models.Model):
    """One API key of a connection."""

    class State(models.TextChoices):
        ACTIVE = "active", _("in use")
        PENDING = "pending", _("being tested, to replace the one in use")
        REPLACED = "replaced", _("replaced, kept for a while")
        RETIRED = "retired", _("destroyed")

    IN_USE = (State.ACTIVE, State.PENDING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connection = models.ForeignKey(
        "connections.Connection", on_delete=models.CASCADE, related_name="credentials"
    )
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    revision = models.PositiveIntegerField(default=1)
    sealed = vault.SealedTextField(null=True)
    hint = models.CharField(
        max_length=4, help_text=_("last four characters of the API key"), db_index=True
    )
    fingerprint = models.CharField(max_length=64, db_index=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    retired_at = models.DateTimeField(null=True)
    # Until then its owner can go back to a replaced key (replacing.py).
    replaced_at = models.DateTimeField(null=True)
    destroy_at = models.DateTimeField(null=True)
    # The account of a key while the connection does not say it: a new key's, once its owner has
    # confirmed that it is another one; a replaced key's, as the connection had it.
    uid = models.CharField(max_length=64, blank=True)
    # Both kept to a quarter of an hour. Opened: for whatever reason; used: on somebody's behalf,
    # not by our own scheduled tests, which would make every key look used.
    last_opened_at = models.DateTimeField(_("last opened"), null=True)
    last_used_at = models.DateTimeField(_("last used"), null=True)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        default_permissions = ()  # nobody can be given the right to see or change one
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=Q(state="active"), name="one_active_key"
            ),
            models.UniqueConstraint(
                fields=["connection"], condition=Q(state="pending"), name="one_pending_key"
            ),
            models.UniqueConstraint(
                fields=["connection"], condition=Q(state="replaced"), name="one_replaced_key"
            ),
            models.CheckConstraint(
                condition=~Q(state="retired") | Q(sealed__isnull=True),
                name="a_retired_key_is_destroyed",
            ),
            models.CheckConstraint(
                condition=Q(state="replaced", replaced_at__isnull=False, destroy_at__isnull=False)
                | ~Q(state="replaced") & Q(destroy_at__isnull=True),
                name="a_replaced_key_has_an_end",
            ),
        ]
        indexes = [
            models.Index(  # the desk's filter
                fields=["last_used_at"], condition=Q(state="active"), name="keys_by_last_use"
            ),
            # Looked for every minute, among all that is in use or gone.
            models.Index(
                fields=["destroy_at"], condition=Q(state="replaced"), name="replaced_keys"
            ),
        ]

    def __str__(self) -> str:
        return f"…{self.hint}"

    @property
    def binding(self) -> str:
        """What the sealed value is tied to (vault.py)."""
        return f"{self.connection.owner_id}|{self.pk}|{self.revision}"
