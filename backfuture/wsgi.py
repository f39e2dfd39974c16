"""The web process. It can seal a key and must not be able to open one."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from . import process

os.environ["BACKFUTURE_ROLE"] = "web"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backfuture.settings")

# It sees keys while they are typed, and holds FERNET_KEYS: no core files of it.
process.hide_memory()

REFUSED = 3  # gunicorn's "worker failed to boot": it gives up instead of trying for ever

application = get_wsgi_application()
settings.ROLE = "web"  # the settings may have been read before this module
process.refuse_to_start_on_errors(REFUSED)
