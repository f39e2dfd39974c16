"""The web process. It can seal a key and must not be able to open one."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["BACKFUTURE_ROLE"] = "web"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backfuture.settings")
application = get_wsgi_application()
