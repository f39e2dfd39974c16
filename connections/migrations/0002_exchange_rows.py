"""The rows of the exchanges that come first. Staff switch them; what is known is in code."""

from django.db import migrations


def add_rows(apps, schema_editor):
    Exchange = apps.get_model("connections", "Exchange")
    for position, code in enumerate(("mexc", "kucoin"), start=1):
        Exchange.objects.get_or_create(code=code, defaults={"position": position * 10})


class Migration(migrations.Migration):
    dependencies = [("connections", "0001_initial")]
    operations = [migrations.RunPython(add_rows, migrations.RunPython.noop)]
