"""`first_admin` makes the account that can make all others, and only when there is none."""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

from allauth.account.models import EmailAddress
from django.core.management.base import BaseCommand

from backfuture.accounts.models import User

EMAIL = "admin@localhost"
MADE = """\
Made the first administrator. Sign in as {email} with the password {password}
The support desk asks for a second factor first. The password is shown this once.
`{python} manage.py changepassword {email}` sets a new one."""
THERE = """\
Sign in with your account. `{python} manage.py changepassword E-MAIL` sets a new password."""


class Command(BaseCommand):
    help = "Creates an administrator with a random password, shown once, when there is no user."

    def handle(self, *_: Any, **__: Any) -> None:
        python = os.path.relpath(sys.executable)
        if User.objects.exists():
            self.stdout.write(THERE.format(python=python))
            return
        password = secrets.token_urlsafe(15)
        user = User.objects.create_superuser(EMAIL, password)
        # Nobody can read mail at that address, and a second factor asks for a confirmed one.
        EmailAddress.objects.create(user=user, email=EMAIL, primary=True, verified=True)
        self.stdout.write(MADE.format(email=EMAIL, password=password, python=python))
