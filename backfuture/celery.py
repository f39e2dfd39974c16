"""The Celery app. A message only wakes a worker: the work itself is a row in the database."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backfuture.settings")
TRANSPORT_ALIASES["embedded"] = "backfuture.broker:Transport"

app = Celery("backfuture")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
