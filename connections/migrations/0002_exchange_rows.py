"""The rows of the exchanges in display order. Staff switch them; what is known is in code."""

from django.db import migrations


CODES = (
    "mexc",
    "kucoin",
    "binance",
    "okx",
    "bitget",
    "gate",
    "htx",
    "bingx",
    "coinbase",
    "bybit",
)


def add_rows(apps, schema_editor):
    Exchange = apps.get_model("connections", "Exchange")
    for position, code in enumerate(CODES, start=1):
        Exchange.objects.get_or_create(code=code, defaults={"position": position * 10})


class Migration(migrations.Migration):
    dependencies = [("connections", "0001_initial")]
    operations = [migrations.RunPython(add_rows, migrations.RunPython.noop)]
