"""Run with a site's settings: makes people who signed in just now, as often as it is asked to.

Each line of input is a number of people and, where they need more than a session, a password
(hashing it takes a while): then they have a confirmed address and an authenticator app as well.
Each line of output is all of them as JSON.
"""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any

import django


def main() -> None:
    from django.db import connections

    for line in sys.stdin:
        count, _, password = line.strip().partition(" ")
        made = [with_app(password) if password else signed_in() for _ in range(int(count))]
        connections.close_all()
        print(json.dumps(made), flush=True)


def signed_in(password: str | None = None) -> dict[str, Any]:
    from django.conf import settings
    from django.test import Client

    from backfuture.accounts.models import User
    from tests.making import sign_in

    user = User.objects.create_user(f"{secrets.token_hex(6)}@example.com", password)
    cookie = sign_in(Client(), user).cookies[settings.SESSION_COOKIE_NAME]
    return {"email": user.email, "session": cookie.value}


def with_app(password: str) -> dict[str, Any]:
    from allauth.account.models import EmailAddress
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

    from backfuture.accounts.models import User

    made = signed_in(password)
    user = User.objects.get(email=made["email"])
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    seed = generate_totp_secret()
    TOTP.activate(user, seed)
    return {**made, "seed": seed}


if __name__ == "__main__":
    django.setup()
    main()
