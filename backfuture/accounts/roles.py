"""What the roles of staff may do, as groups. The first migration that comes after all others makes
them (migrations/0002_roles.py); README.md has them as a table, tests/test_roles.py walks it.

Only superusers give people roles and change accounts.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions

# Apps whose permissions must be there before roles can get them.
APPS = ("auth", "accounts", "connections", "strategies", "django_celery_beat")


def _may(verb: str, app: str, models: str) -> set[str]:
    return {f"{app}.{verb}_{model}" for model in models.split()}


SUPPORT = {
    *_may("view", "connections", "connection connectiontest finding findingchange notice outage"),
    *_may("view", "connections", "exchange"),
    *_may("view", "strategies", "strategyconfig strategyevent pair pairlist"),
    *_may("view", "accounts", "user"),
    *_may("view", "django_celery_beat", "periodictask"),  # the home says what stands still
    "connections.change_connection",  # its notes
    "connections.test_connection",
    "connections.change_finding",  # to acknowledge and to snooze
    "accounts.view_as_user",  # with the user's consent
}
LEAD = SUPPORT | {
    *_may("pause", "connections", "connection"),
    *_may("ask", "connections", "connection"),
    *_may("export", "connections", "connection"),
    "connections.suppress_finding",
    "connections.view_accessevent",
    "strategies.switch_strategyconfig",
}
OPERATOR = {
    *_may("view", "connections", "exchange outage thresholds accessevent incident"),
    "connections.run_incident",  # it takes two of them
    *_may("change", "connections", "exchange thresholds"),
    "connections.add_thresholds",  # the one row is there from the first change on
    *_may("view", "strategies", "pair pairlist"),
    "strategies.change_pairlist",  # to accept a list that is much shorter
    *_may("view", "django_celery_beat", "periodictask"),
    *_may("change", "django_celery_beat", "periodictask"),
}
AUDITOR = {
    *_may("view", "connections", "connection connectiontest finding findingchange notice outage"),
    *_may("view", "connections", "exchange thresholds accessevent incident"),
    *_may("view", "strategies", "strategyconfig strategyevent pair pairlist"),
    *_may("view", "django_celery_beat", "periodictask"),
    *_may("view", "accounts", "user"),
    *_may("view", "auth", "group"),
    "connections.export_connection",
}
ROLES: dict[str, set[str]] = {
    "Support": SUPPORT,
    "Support lead": LEAD,
    "Operator": OPERATOR,
    "Auditor": AUDITOR,
}


def put_roles(apps: Any, using: str = "default") -> None:
    """Makes the groups with exactly these permissions. `apps` may be a migration's."""
    for label in APPS:
        _make_permissions(apps.get_app_config(label), apps, using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    found = {
        f"{app}.{name}": pk
        for app, name, pk in permissions.values_list("content_type__app_label", "codename", "pk")
    }
    for name, rights in ROLES.items():
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.set([found[right] for right in rights])


def _make_permissions(config: Any, apps: Any, using: str) -> None:
    """Django makes them when all migrations are through, and passes over apps without a module of
    models, as those of a migration are."""
    module = getattr(config, "models_module", None)
    config.models_module = module or True
    try:
        create_permissions(config, verbosity=0, using=using, apps=apps)
    finally:
        config.models_module = module
