"""The Celery app. A message only wakes a worker: the work itself is a row in the database."""

import gc
import importlib
import os
from typing import Any

from celery import Celery, signals
from kombu.transport import TRANSPORT_ALIASES

from . import process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backfuture.settings")
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # Celery's own run drops what it finds
TRANSPORT_ALIASES["embedded"] = "backfuture.broker:Transport"

REFUSED = 78  # EX_CONFIG of sysexits.h: starting again changes nothing
TESTING = {"backfuture", "sweep"}  # queues whose tasks talk to exchanges

app = Celery("backfuture")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.beat_init.connect
def prepare_beat(**_: Any) -> None:
    """It opens nothing, and yet has the keys of the environment."""
    process.hide_memory()


@signals.worker_init.connect
def prepare_worker(sender: Any, **_: Any) -> None:
    """The worker can open sealed keys: nobody else may read its memory."""
    from django.conf import settings

    if settings.ROLE == "worker":
        process.hide_memory()
        process.refuse_to_start_on_errors(REFUSED)
    if TESTING & set(sender.app.amqp.queues.consume_from):
        # Before the pool forks: once for all of it, and not while somebody waits for a test.
        importlib.import_module("connections.sweep")
        gc.freeze()
