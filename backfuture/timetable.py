"""What runs by itself and when, until staff set it otherwise (schedules.py): seconds between two
runs, or a time of the day in UTC. A run that nobody began in time is dropped."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "wake-waiting-tests": {
        "task": "connections.tasks.wake_waiting_tests",
        "schedule": 5.0,
        "options": {"expires": 10},
    },
    "start-sweeps": {
        "task": "connections.tasks.start_sweeps",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "tell": {"task": "connections.tasks.tell", "schedule": 20.0, "options": {"expires": 20}},
    "look-after-strategies": {
        "task": "strategies.tasks.look_after",
        "schedule": 20.0,
        "options": {"expires": 20},
    },
    "send-notices": {
        "task": "connections.tasks.send_notices",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "start-refreshing-pairs": {
        "task": "strategies.tasks.start_refreshing_pairs",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "run-incidents": {
        "task": "connections.tasks.run_incidents",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "make-digests": {
        "task": "connections.tasks.make_digests",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "count-tests": {
        "task": "connections.tasks.count_tests",
        "schedule": 180.0,
        "options": {"expires": 180},
    },
    "destroy-replaced-keys": {
        "task": "connections.tasks.destroy_replaced_keys",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "audit": {
        "task": "connections.tasks.audit",
        "schedule": crontab(hour=4, minute=10),
        "options": {"expires": 3600},
    },
    "thin": {
        "task": "connections.tasks.thin",
        "schedule": crontab(hour=4, minute=40),
        "options": {"expires": 3600},
    },
}
