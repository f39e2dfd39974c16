"""What every answer tells the browser, and whose address we believe: asked over the wire, of the
product as operators set it up behind one proxy, behind two, and behind none."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import pytest
import requests

from tests.running import PASSWORD, ROOT, Site
from tests.simulator import sample

NAME = "backfuture.example"
# As .env.example and README.md tell operators to set it up behind a proxy that ends TLS.
PRODUCTION = {
    "SITE_URL": f"https://{NAME}",
    "ALLOWED_HOSTS": NAME,
    "BEHIND_TLS_PROXY": "1",
    "TRUSTED_PROXY_COUNT": "1",
    "LOG_LEVEL": "WARNING",
}
VISITOR, PROXY, FORGED = "198.51.100.7", "192.0.2.1", "203.0.113.66"

POLICY = {
    "default-src": {"'none'"},
    "script-src": {"'self'"},
    "style-src": {"'self'"},
    "connect-src": {"'self'"},
    "img-src": {"'self'", "data:"},
    "font-src": {"'self'"},
    "form-action": {"'self'"},
    "base-uri": {"'none'"},
    "frame-ancestors": {"'none'"},
}
# What the desk adds (its scripts evaluate, its styles stand inline).
DESK_ADDS = {"script-src": {"'unsafe-eval'"}, "style-src": {"'unsafe-inline'"}}
ON_EVERY_PAGE = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SWITCHED_OFF = {"camera", "microphone", "geolocation", "usb", "display-capture"}


class Visit:
    """Someone's browser, seen from the web server: through proxies that add addresses."""

    def __init__(self, site: Site, *forwarded: str, https: bool = True) -> None:
        self.site, self.cookies = site, dict[str, Morsel[str]]()
        self.connection = ""  # the address of one, where there is one
        self.headers = {"Host": NAME} if "SITE_URL" in site.settings else {}
        if https:
            self.headers["X-Forwarded-Proto"] = "https"
        if forwarded:
            self.headers["X-Forwarded-For"] = ", ".join(forwarded)

    def get(self, path: str, **more: str) -> requests.Response:
        return self._send("GET", path, {}, more)

    def post(self, path: str, values: dict[str, str], **more: str) -> requests.Response:
        origin = {"Origin": self.site.settings.get("SITE_URL", self.site.url)}
        return self._send("POST", path, values, {**origin, **more})

    def sign_up(self) -> str:
        """The e-mail address of a new account, signed in."""
        email = f"{secrets.token_hex(4)}@example.com"
        self.get("/accounts/signup/")
        values = {"email": email, "password1": PASSWORD, "password2": PASSWORD}
        answer = self.post("/accounts/signup/", values)
        assert answer.headers.get("Location") == "/connections/", answer.text
        return email

    def _send(
        self, method: str, path: str, values: dict[str, str], more: dict[str, str]
    ) -> requests.Response:
        token = [c.value for name, c in self.cookies.items() if name.endswith("csrftoken")]
        cookies = "; ".join(f"{name}={c.value}" for name, c in self.cookies.items())
        answer = requests.request(
            method,
            self.site.url + path,
            data={**values, "csrfmiddlewaretoken": token} if method == "POST" else None,
            headers={**self.headers, "Cookie": cookies, **more},
            allow_redirects=False,
            timeout=30,
        )
        self.cookies |= cookies_of(answer)
        return answer


def cookies_of(answer: requests.Response) -> dict[str, Morsel[str]]:
    read: SimpleCookie = SimpleCookie()
    for text in answer.raw.headers.getlist("Set-Cookie"):
        read.load(text)
    return dict(read)


@pytest.fixture(scope="module")
def behind_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("one"), **PRODUCTION) as site:
        yield site


@pytest.fixture(scope="module")
def behind_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {**PRODUCTION, "TRUSTED_PROXY_COUNT": "2"}
    with Site(tmp_path_factory.mktemp("two"), **settings) as site:
        yield site


@pytest.fixture(scope="module")
def in_the_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """As `make run` starts it: plain http, no proxy."""
    with Site(tmp_path_factory.mktemp("open")) as site:
        yield site


@pytest.fixture(scope="module")
def trader(behind_one: Site) -> Visit:
    """Signed in, with a connection."""
    visit = Visit(behind_one, VISITOR)
    visit.sign_up()
    key = sample("mexc", "good")
    values = {"name": "Seen", "api_key": key.api_key, "secret": key.secret}
    answer = visit.post("/connections/new/mexc/", values)
    assert answer.status_code == 302, answer.text
    visit.connection = answer.headers["Location"]
    return visit


# --- headers -------------------------------------------------------------------------------
SIGNED_IN = [
    "/connections/",
    "/connections/new/",
    "/connections/new/kucoin/",
    "{connection}",
    "{connection}test/",
    "{connection}tests/",
    "{connection}rename/",
    "{connection}replace/",
    "{connection}delete/",
    "/accounts/security/",
    "/accounts/activity/",
    "/accounts/delete/",
    "/accounts/confirm/",
    "/accounts/confirmed/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/reauthenticate/",
    "/accounts/logout/",
    "/accounts/sessions/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
    "/admin/",
    "/connections/00000000-0000-0000-0000-000000000000/",
    "/connections/?secret=x",
    "/strategies/",
    "/strategies/new/",
    "{strategies}",
    "{strategies}pairs/",
    "/strategies/00000000-0000-0000-0000-000000000000/",
    "/nothing-here/",
]
STRANGERS = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/key/1-set-password/",
    "/accounts/confirm-email/a-key/",
    "/connections/",
    "/admin/",
    "/nothing-here/",
]


def policy_of(answer: requests.Response) -> dict[str, set[str]]:
    rules = answer.headers["Content-Security-Policy"].split(";")
    return {words[0]: set(words[1:]) for rule in rules if (words := rule.split())}


def check_headers(answer: requests.Response) -> None:
    told = {name: answer.headers.get(name) for name in ON_EVERY_PAGE}
    assert told == ON_EVERY_PAGE
    assert policy_of(answer) == POLICY
    permissions = answer.headers["Permissions-Policy"]
    assert set(re.findall(r"([a-z-]+)=\(\)", permissions)) >= SWITCHED_OFF
    assert "publickey-credentials-get=(self)" in permissions.replace("'self'", "self")
    hsts = answer.headers["Strict-Transport-Security"]
    assert hsts == "max-age=31536000; includeSubDomains; preload"


@pytest.mark.parametrize("path", SIGNED_IN)
def test_signed_in_page_is_stored_nowhere_and_well_guarded(trader, path):
    strategies = trader.connection.replace("/connections/", "/strategies/new/")
    answer = trader.get(path.format(connection=trader.connection, strategies=strategies))
    assert answer.status_code != 500
    assert {"no-store", "private"} <= set(answer.headers["Cache-Control"].split(", "))
    check_headers(answer)


@pytest.mark.parametrize("path", STRANGERS)
def test_stranger_s_page_is_as_well_guarded(behind_one, path):
    answer = Visit(behind_one, VISITOR).get(path)
    assert answer.status_code != 500
    check_headers(answer)


@pytest.mark.parametrize("path", [path for path in STRANGERS if "key" in path])
def test_page_of_a_one_time_link_is_stored_nowhere(behind_one, path):
    answer = Visit(behind_one, VISITOR).get(path)
    assert "no-store" in answer.headers.get("Cache-Control", "")


def test_refused_form_is_as_well_guarded(trader):
    answer = trader.post("/connections/new/mexc/", {}, Origin="https://elsewhere.example")
    assert answer.status_code == 403
    check_headers(answer)


def test_exported_data_is_stored_nowhere(trader):
    answer = trader.post("/accounts/export/", {})
    assert answer.headers["Content-Type"] == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    check_headers(answer)


def test_desk_is_guarded_too(behind_one):
    visit = Visit(behind_one, VISITOR)
    sign_in_staff(visit)
    for path in ("/admin/", "/admin/connections/connection/", "/admin/accounts/user/"):
        answer = visit.get(path)
        assert answer.status_code == 200, answer.headers
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        policy = policy_of(answer)
        assert policy.keys() == POLICY.keys()
        for name, sources in policy.items():
            assert sources - POLICY[name] == DESK_ADDS.get(name, set()), name


def sign_in_staff(visit: Visit) -> None:
    """With a session that says so, as after sign-in with a code."""
    made = visit.site.manage("shell", "-v", "0", "-c", SESSION_OF_STAFF).split()
    visit.cookies = dict(SimpleCookie(f"__Host-sessionid={made[-1]}"))


SESSION_OF_STAFF = """
import time
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from backfuture.accounts.models import User
from backfuture.accounts.sessions import SessionStore, cookie_of
staff = User.objects.create_superuser("staff@example.com", "a long enough password")
TOTP.activate(staff, generate_totp_secret())
session = SessionStore()
session["_auth_user_id"] = str(staff.pk)
session["_auth_user_backend"] = "allauth.account.auth_backends.AuthenticationBackend"
session["_auth_user_hash"] = staff.get_session_auth_hash()
session["account_authentication_methods_user"] = str(staff.pk)
session["account_authentication_methods"] = [
    {"method": "password", "at": time.time(), "email": staff.email},
    {"method": "mfa", "at": time.time(), "type": "totp"},
]
session.save()
print(cookie_of(session.session_key))
"""


# --- https ---------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/connections/?next=/x"])
def test_plain_http_is_sent_to_https(behind_one, path):
    answer = Visit(behind_one, VISITOR, https=False).get(path)
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"https://{NAME}{path}"
    assert not answer.cookies


def test_every_cookie_is_for_this_host_over_https_and_hidden_from_scripts(behind_one):
    visit = Visit(behind_one, VISITOR)
    visit.sign_up()
    visit.get("/connections/")
    seen = visit.cookies
    assert {"__Host-sessionid", "__Host-csrftoken", "__Host-device"} <= seen.keys()
    for name, cookie in seen.items():
        assert name.startswith("__Host-"), name
        assert cookie["secure"], name
        assert cookie["httponly"], name
        assert cookie["samesite"] == "Lax", name
        assert cookie["path"] == "/", name
        assert not cookie["domain"], name


def test_cookie_of_the_plain_site_is_not_taken_over_https(behind_one, trader):
    """A `sessionid` that another host of the same domain planted is nobody's session."""
    key = trader.cookies["__Host-sessionid"].value
    answer = Visit(behind_one, VISITOR).get("/connections/", Cookie=f"sessionid={key}")
    assert answer.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("host", ["evil.example", f"{NAME}.evil.example", "127.0.0.1"])
def test_other_host_name_is_refused(behind_one, host):
    answer = Visit(behind_one, VISITOR).get("/accounts/login/", Host=host)
    assert answer.status_code == 400
    answer = Visit(behind_one, VISITOR).get("/connections/", **{"X-Forwarded-Host": host})
    assert host not in answer.headers["Location"]


def test_plain_site_says_nothing_of_https(in_the_open):
    answer = Visit(in_the_open, https=False).get("/accounts/login/")
    assert "Strict-Transport-Security" not in answer.headers
    assert cookies_of(answer).keys() == {"csrftoken"}
    assert {name: answer.headers[name] for name in ON_EVERY_PAGE} == ON_EVERY_PAGE


# --- whose address -------------------------------------------------------------------------
def written_address(site: Site, email: str) -> str:
    """The address in the access event of the sign-up."""
    ((address,),) = site.rows(
        "SELECT ip FROM connections_accessevent e JOIN accounts_user u ON u.id = e.owner_id"
        " WHERE u.email = ? AND e.kind = 'signed_up'",
        email,
    )
    return str(address).split("/")[0]


CHAINS = [
    ("one", (VISITOR,), VISITOR),
    ("one", (FORGED, VISITOR), VISITOR),
    ("one", (FORGED, PROXY, VISITOR), VISITOR),
    ("one", ("not an address", VISITOR), VISITOR),
    ("two", (VISITOR, PROXY), VISITOR),
    ("two", (FORGED, VISITOR, PROXY), VISITOR),
    ("two", (FORGED, FORGED, VISITOR, PROXY), VISITOR),
    ("none", (FORGED,), "127.0.0.1"),
    ("none", (FORGED, FORGED), "127.0.0.1"),
]


@pytest.mark.parametrize(("proxies", "chain", "address"), CHAINS)
def test_written_address_is_the_visitor_s_and_not_what_they_say(request, proxies, chain, address):
    site = site_behind(request, proxies)
    email = Visit(site, *chain, https=proxies != "none").sign_up()
    assert written_address(site, email) == address


def test_second_spelling_of_the_header_is_not_taken(behind_one):
    """A name with underscores would stand in the same place as the proxy's own header."""
    visit = Visit(behind_one, VISITOR)
    visit.headers |= {"X_Forwarded_For": FORGED, "Forwarded": f"for={FORGED}", "X-Real-IP": FORGED}
    assert written_address(behind_one, visit.sign_up()) == VISITOR


@pytest.mark.parametrize("proxies", ["one", "two", "none"])
def test_limit_of_tries_follows_the_visitor_whatever_they_add(request, proxies):
    """20 sign-ups a minute from one address; none of these gets as far as a password."""
    site = site_behind(request, proxies)
    tail = {"one": ("{}",), "two": ("{}", PROXY), "none": ()}[proxies]

    def tries(address: str, forged: str) -> int:
        chain = [forged, *(part.format(address) for part in tail)]
        visit = Visit(site, *chain, https=proxies != "none")
        visit.get("/accounts/signup/")
        return visit.post("/accounts/signup/", {"email": ""}).status_code

    statuses = [tries("198.51.100.99", f"203.0.113.{number}") for number in range(1, 23)]
    assert statuses[-1] == 429
    other = tries("198.51.100.100", "203.0.113.1")
    assert other == (429 if proxies == "none" else 200)


@pytest.mark.parametrize("proxies", ["one", "two"])
def test_visit_past_the_proxies_is_served_under_its_own_address(request, proxies):
    """A health check on the same machine adds no header, or fewer than the proxies would."""
    site = site_behind(request, proxies)
    for chain in ((), (PROXY,)):
        assert Visit(site, *chain).get("/accounts/login/").status_code == 200


def site_behind(request: pytest.FixtureRequest, proxies: str) -> Site:
    names = {"one": "behind_one", "two": "behind_two", "none": "in_the_open"}
    site: Site = request.getfixturevalue(names[proxies])
    return site


# --- checks --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    private = str(folder / "keys" / "private-keys.json")
    made = manage(
        folder, "keys", "create", "--env-file", str(folder / ".env"), "--private-file", private
    )
    assert made.returncode == 0, made.stderr
    return folder


def manage(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {"ENV_FILE": str(folder / ".env"), "VAR_DIR": str(folder), **PRODUCTION}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**kept, **given, "SERVER_IPS": "203.0.113.7", **settings},
        capture_output=True,
        text=True,
    )


def deploy_check(folder: Path, **settings: str) -> tuple[int, set[str]]:
    done = manage(folder, "check", "--deploy", "--fail-level", "WARNING", **settings)
    return done.returncode, set(re.findall(r"\(([a-z.]+[WE]\d{3})\)", done.stdout + done.stderr))


def test_documented_production_settings_pass_the_deploy_check(keys):
    assert deploy_check(keys) == (0, set())


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"TRUSTED_PROXY_COUNT": "0"}, "accounts.W001"),
        ({"CACHE_URL": "locmemcache://"}, "accounts.E001"),
        ({"CACHE_URL": "dummycache://"}, "accounts.E001"),
        ({"SITE_URL": f"http://{NAME}"}, "security.W010"),
        ({"DEBUG": "1"}, "security.W018"),
        ({"ALLOWED_HOSTS": ""}, "security.W020"),
    ],
)
def test_setting_that_weakens_production_is_named(keys, settings, found):
    status, names = deploy_check(keys, **settings)
    assert status == 1
    assert found in names


def test_cache_that_is_nobody_else_s_is_an_error_in_development_too(keys):
    done = manage(keys, "check", CACHE_URL="locmemcache://", DEBUG="1")
    assert done.returncode == 1
    assert "accounts.E001" in done.stderr


def test_web_refuses_to_start_with_a_cache_of_its_own(keys):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {"ENV_FILE": str(keys / ".env"), "VAR_DIR": str(keys), "CACHE_URL": "locmemcache://"}
    done = subprocess.run(
        [sys.executable, "-c", "import backfuture.wsgi"],
        cwd=ROOT,
        env={**kept, **PRODUCTION, **given},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "accounts.E001" in done.stderr


def test_switch_that_cannot_be_read_is_refused(keys):
    for name in ("BEHIND_TLS_PROXY", "REQUIRE_MFA"):
        done = manage(keys, "check", **{name: "ture"})
        assert done.returncode == 1
        assert name in done.stderr
