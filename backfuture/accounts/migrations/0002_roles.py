"""The roles of staff, once every app that they are about has its tables."""

from django.db import migrations

from backfuture.accounts.roles import put_roles


def add(apps, schema_editor):
    put_roles(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("connections", "0003_events_are_kept"),
        ("strategies", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
