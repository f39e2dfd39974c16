"""What runs by itself and when, until staff set it otherwise (schedules.py): seconds between two
runs, or a time of the day in UTC. A run that nobody began in time is dropped."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab


def _run(task: str, schedule: float | crontab, *, within: int = 0) -> dict[str, Any]:
    """Dropped where nobody began it within so many seconds: until the next is due, if not said."""
    expires = within or int(schedule)  # type: ignore[arg-type]
    return {"task": task, "schedule": schedule, "options": {"expires": expires}}


CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "wake-waiting-tests": _run("connections.tasks.wake_waiting_tests", 5.0, within=10),
    "start-sweeps": _run("connections.tasks.start_sweeps", 5.0),
    "tell": _run("connections.tasks.tell", 20.0),
    "look-after-strategies": _run("strategies.tasks.look_after", 20.0),
    "send-notices": _run("connections.tasks.send_notices", 10.0),
    "start-refreshing-pairs": _run("strategies.tasks.start_refreshing_pairs", 30.0),
    "run-incidents": _run("connections.tasks.run_incidents", 10.0),
    "make-digests": _run("connections.tasks.make_digests", 600.0),
    "count-tests": _run("connections.tasks.count_tests", 180.0),
    "destroy-replaced-keys": _run("connections.tasks.destroy_replaced_keys", 60.0),
    "audit": _run("connections.tasks.audit", crontab(hour=4, minute=10), within=3600),
    "thin": _run("connections.tasks.thin", crontab(hour=4, minute=40), within=3600),
}
