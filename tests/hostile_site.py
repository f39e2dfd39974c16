"""People of each kind where hostile input may come in, and the forms they find there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from allauth.account.forms import EmailAwarePasswordResetTokenGenerator
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from django.contrib.admin.sites import site
from django.core.cache import cache
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from backfuture.accounts.models import User
from connections import channels
from connections.models import Exchange
from tests import making, strategies_made
from tests.hostile import Form, forms_of
from tests.passkey import Passkey

PASSWORD = "a long enough password"
# What makes the rest of a form right, so that the one hostile value gets as far as it can.
FINE = {
    "login": "late@example.com",
    "email": "fine@example.com",
    "name": "Fine",
    "position": "5",
    "offered": "on",
    "password": PASSWORD,
    "oldpassword": PASSWORD,
    "confirm-password": PASSWORD,
    "password1": "seven crimson otters juggle",
    "password2": "seven crimson otters juggle",
    "usable_password": "true",
    "code": "123456",
    "confirm": "mexc of fresh",
    "api_key": "mx0vglTestTestTest",
    "secret": "0123456789abcdef0123456789abcdef",
    "passphrase": "my-passphrase-77",
    "address": "jsons://chat.example.org/hook",
    "time_zone": "Europe/Oslo",
    "quiet_from": "22:00",
    "quiet_until": "07:00",
    "paused_at_0": "2026-11-21",
    "paused_at_1": "10:00:00",
}
ACCOUNT = "login signup password/reset email password/change reauthenticate 2fa 2fa/totp/activate "
ACCOUNT += "2fa/totp/deactivate 2fa/recovery-codes/generate 2fa/webauthn 2fa/webauthn/add sessions "
ACCOUNT += "2fa/reauthenticate 2fa/webauthn/reauthenticate 2fa/authenticate logout security "
ACCOUNT += "activity delete confirm 2fa/recovery-codes"
LINKED = re.compile(r"[?;]([a-z_]+)=")


class Site:
    """One person, where they are, and the forms they find there."""

    def __init__(self, who: str) -> None:
        self.who, self.client = who, Client()
        self.late = User.objects.create_user("late@example.com", PASSWORD)
        EmailAddress.objects.create(user=self.late, email=self.late.email, verified=True)
        self.desk = making.desk(Client(), User.objects.create_superuser("staff@example.com", "x"))
        pages = {
            "guest": self._account,
            "at the step": self._at_the_step,
            "resetting": self._resetting,
            "fresh": self._fresh,
            "late": self._late,
            "with app": self._with_app,
            "desk": self._at_the_desk,
        }
        self.linked: dict[str, list[str]] = {}
        self.pages = list(pages[who]())
        self.client.raise_request_exception = False
        self.forms = list({form.key: form for form in self._find() if form.fields}.values())

    def _account(self) -> list[str]:
        return [f"/accounts/{name}/" for name in ACCOUNT.split()]

    def _at_the_step(self) -> list[str]:
        making.totp(self.late)
        self.client.post("/accounts/login/", {"login": self.late.email, "password": PASSWORD})
        return ["/accounts/2fa/authenticate/", "/accounts/login/"]

    def _resetting(self) -> list[str]:
        key = EmailAwarePasswordResetTokenGenerator().make_token(self.late)
        link = f"/accounts/password/reset/key/{user_pk_to_url_str(self.late)}-{key}/"
        return [str(self.client.get(link).url)]

    def _fresh(self) -> list[str]:
        user = self._trader("fresh", age=0)
        codes = Exchange.objects.values_list("pk", flat=True)
        (mine,) = self._connections(user, "mexc")
        EmailAddress.objects.create(user=user, email="second@example.com")
        pages = [f"/connections/new/{code}/" for code in codes] + ["/connections/", *mine]
        address, now = FINE["address"], timezone.now()
        chat = channels.add(owner=user, name="Chat of fresh", address=address, now=now)
        channels.send_test(user, now=now)
        pages += ["/notices/", *(f"/notices/{page}/" for page in ("settings", "channels/new"))]
        pages += [f"/notices/channels/{chat.pk}/remove/"]
        return [*pages, "/connections/new/", *self._account()]

    def _late(self) -> list[str]:
        user = self._trader("slow", age=600)
        mine = self._connections(user, *Exchange.objects.values_list("pk", flat=True))
        replacing = [page for pages in mine for page in pages if "replace" in page]
        asking = ["/connections/new/mexc/", "/notices/channels/new/", "/accounts/reauthenticate/"]
        return [*replacing, *mine[0], *asking]

    def _with_app(self) -> list[str]:
        user = self._trader("app", age=0)
        confirming = self._account()
        Passkey(user).register(self.client)
        making.totp(user)
        return ["/connections/new/kucoin/", *self._connections(user, "okx")[0], *confirming]

    def _at_the_desk(self) -> Iterator[str]:
        self.client = self.desk
        user = User.objects.create_user("trader@example.com", PASSWORD)
        making.say_why(self.desk, user)
        self._connections(user, "mexc", "okx")
        yield from ("/admin/", reverse("admin:auth_user_password_change", args=[user.pk]))
        for model in site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            row = user if model is User else model._default_manager.first()
            for page, args in (
                ("changelist", []),
                ("add", []),
                ("change", [row.pk] if row else []),
            ):
                with suppress(NoReverseMatch):
                    yield reverse(f"{name}_{page}", args=args)

    def _trader(self, name: str, age: float) -> User:
        user = User.objects.create_user(f"{name}@example.com", PASSWORD)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        session = making.sign_in(self.client, user, age=age).session
        session["account_authentication_methods"][0]["reauthenticated"] = True
        session.save()
        return user

    def _connections(self, user: User, *codes: str) -> list[list[str]]:
        found = []
        for exchange in Exchange.objects.filter(pk__in=codes):
            name = f"{exchange.code} of {user.email.partition('@')[0]}"
            made = making.connection(user, exchange, name)
            making.finish(made, making.report())
            path = made.get_absolute_url()
            found.append([path, *(f"{path}{page}/" for page in ("tests", "rename", "replace"))])
            found[-1].append(f"{path}delete/")
            symbol = f"BTC/{'USDC' if exchange.code == 'coinbase' else 'USDT'}"
            btc = strategies_made.pair(symbol, exchange=exchange.code)
            strategy = strategies_made.strategy(made, f"Ladder of {name}", pairs=[btc])
            ladder = strategy.get_absolute_url()
            found[-1] += ["/strategies/", f"/strategies/new/{made.pk}/", f"{ladder}edit/"]
            found[-1] += [ladder, f"{ladder}delete/", f"{ladder}history/"]
            found[-1].append(f"/strategies/new/{made.pk}/pairs/")
        return found

    def _find(self) -> Iterator[Form]:
        for page in self.pages:
            answer = self.client.get(page, follow=True)
            cache.clear()
            if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
                html = answer.content.decode()
                self.linked[page] = sorted({*LINKED.findall(html)} - {"_to_field"})
                yield from forms_of(page, html)
