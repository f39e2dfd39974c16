"""What a person may take along, and how an account ends."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections import services
from connections.events import AccessEvent, record
from connections.models import (
    Connection,
    ConnectionTest,
    Finding,
    Notice,
    NoticeChannel,
    NoticePreferences,
)
from strategies.models import StrategyConfig

from .models import User


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CONNECTION = _names(
    "id name notes exchange_id created_at paused_at status problem permissions ip_restricted "
    "key_expires_at uid site tested_at last_ok_at failing_since key_created_at"
)
KEY = _names(
    "id state hint fingerprint created_at replaced_at destroy_at retired_at uid last_opened_at "
    "last_used_at"
)
TEST = _names(
    "id reason queued_at finished_at outcome problem causes warnings seen_ip permissions "
    "ip_restricted ips key_created_at key_expires_at uid site label balances "
    "balances_of"
)
FINDING = _names(
    "rule severity state until amount detail first_seen_at state_since snoozed_until regressions"
)
CHANGE = _names("at state severity until why")
PREFERENCES = _names("by_email off quiet_from quiet_until urgent_in_quiet")
CHANNEL = _names("id name service created_at worked_at failed_at problem")
NOTICE = _names("id kind connection_id subject text link urgent made_at")
DELIVERY = _names("channel_id status due_at tries sent_at problem")
STRATEGY = _names(
    "id connection_id name created_at enabled suspended_at suspended_for worst_case quote"
)
HAPPENED = _names("kind at version settings why")
WHERE = ("ip", "agent")
EVENT = _names("kind at connection_id exchange key_hint key_fingerprint why ip agent")


def export(user: User) -> dict[str, Any]:
    """Everything about a person but secrets: no key, no password, no seed is in what is read."""
    return {
        "made_at": timezone.now(),
        "account": {
            "email": user.email,
            "joined": user.date_joined,
            "last_login": user.last_login,
            "time_zone": user.time_zone,
            "addresses": list(
                EmailAddress.objects.filter(user=user).values("email", "verified", "primary")
            ),
            "second_factors": list(
                Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")
            ),
            "let_support_look": list(user.view_grants.values("granted_at", "until", "ended_at")),
            "sessions": list(
                UserSession.objects.filter(user=user).values("ip", "user_agent", "created_at")
            ),
        },
        "connections": [_connection(row) for row in Connection.objects.owned_by(user)],
        "strategies": [
            _strategy(row)
            for row in StrategyConfig.objects.owned_by(user).prefetch_related("events")
        ],
        "notices": {
            "preferences": NoticePreferences.objects.filter(user=user).values(*PREFERENCES).first(),
            "chat_services": list(NoticeChannel.objects.filter(owner=user).values(*CHANNEL)),
            "made": [_notice(row) for row in _notices(user)],
        },
        "events": [_event(user, row) for row in AccessEvent.objects.about(user)],
    }


def _event(user: User, event: AccessEvent) -> dict[str, Any]:
    """Where support sits is not the owner's business."""
    mine = event.actor_id in {user.pk, None}
    return {name: getattr(event, name) if mine or name not in WHERE else None for name in EVENT}


def _connection(connection: Connection) -> dict[str, Any]:
    return {
        **{name: getattr(connection, name) for name in CONNECTION},
        "keys": list(connection.credentials.values(*KEY)),
        "tests": list(ConnectionTest.objects.filter(connection=connection).values(*TEST)),
        "findings": [_finding(row, connection) for row in connection.findings.all()],
    }


def _strategy(strategy: StrategyConfig) -> dict[str, Any]:
    """Its settings as they stand are those of its newest version."""
    events = [
        {name: getattr(event, name) for name in HAPPENED}
        | {"by_you": event.by_id == strategy.owner_id}
        for event in strategy.events.all()
    ]
    return {**{name: getattr(strategy, name) for name in STRATEGY}, "events": events}


def _finding(finding: Finding, connection: Connection) -> dict[str, Any]:
    changes = [
        {name: getattr(change, name) for name in CHANGE}
        | {"by_you": change.by_id == connection.owner_id}
        for change in finding.changes.all()
    ]
    return {**{name: getattr(finding, name) for name in FINDING}, "changes": changes}


def _notices(user: User) -> QuerySet[Notice]:
    return Notice.objects.filter(user=user).prefetch_related("deliveries")


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        **{name: getattr(notice, name) for name in NOTICE},
        "deliveries": [
            {name: getattr(delivery, name) for name in DELIVERY}
            for delivery in notice.deliveries.all()
        ],
    }


def delete_account(user: User) -> None:
    """Destroys the sealed keys at once and removes all that describes the person. What stays are
    access events that no longer say who it was or from where."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        connections = [
            str(pk) for pk in Connection.objects.owned_by(user).values_list("pk", flat=True)
        ]
        _forget_in_the_admin([str(user.pk), *connections])
        for connection in Connection.objects.owned_by(user).order_by("pk"):
            services.delete(connection, by=user)
        record(AccessEvent.Kind.ACCOUNT_DELETED, actor=user, owner=user)
        for session in UserSession.objects.filter(user=user):
            session.end()
        AccessEvent.objects.all().forget(user)
        user.delete()


def _forget_in_the_admin(object_ids: list[str]) -> None:
    """Django's log of the admin repeats names and addresses."""
    LogEntry.objects.filter(object_id__in=object_ids).update(object_repr="-", change_message="")
