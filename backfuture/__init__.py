"""The roof: puts the apps together and decides nothing."""

from .celery import app as celery_app

__all__ = ["celery_app"]
