"""The canary sweep: the whole story once, in a browser and with the whole product running, and
then no trace of any secret in anything that is left. And for every channel a planted leak, which
the same search must find: else it proves nothing."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from connections.exchanges.base import Credentials
from tests import canary
from tests.chromium import CHROMIUM, IN_A_BROWSER, QUIET
from tests.running import Site, wait_for
from tests.settings import GIVEN
from tests.simulator import KeySpec, sample
from tests.sweep import CHANNELS, Between, Secret, Sweep, search, secrets_of
from tests.test_browser_rules import code_of

pytestmark = [*IN_A_BROWSER, pytest.mark.services]

TRADER, STAFF = "trader@example.com", "staff@example.com"
SETTING_UP = "while the app is set up"
TOTP_PAGE, CODES_PAGE = "/accounts/2fa/totp/activate/", "/accounts/2fa/recovery-codes/"

SEEDS = """
import json
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt
row = Authenticator.objects.get(user__email="trader@example.com", type="recovery_codes")
print(json.dumps([decrypt(row.data["seed"]), row.wrap().generate_codes()]))
"""
LET_TIME_PASS = """
from django.contrib.sessions.models import Session
from backfuture.accounts.sessions import SessionStore
for row in Session.objects.all():
    session = SessionStore(row.session_key)
    records = session.get("account_authentication_methods", [])
    session["account_authentication_methods"] = [{**r, "at": r["at"] - 600} for r in records]
    session.save()
"""
MAKE_STAFF = """
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from backfuture.accounts.models import User
user = User.objects.create_superuser("staff@example.com", "{password}")
EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
seed = generate_totp_secret()
TOTP.activate(user, seed)
print(seed)
"""


def new_password() -> str:
    return f"canary &{canary.mark()}\"/' lake"


@dataclass
class Story:
    site: Site
    between: Between
    sweep: Sweep
    page: Page
    secrets: list[Secret] = field(default_factory=list)
    seed: str = ""
    codes: list[str] = field(default_factory=list)

    def keep(self, name: str, value: str, *shown: tuple[str, str]) -> str:
        self.secrets.append(Secret(name, value, shown))
        return value

    def key(self, name: str, exchange: str, **fields: Any) -> KeySpec:
        made = self.site.key(name, exchange, **fields)
        self.secrets += secrets_of(f"the {name} key", made)
        return made

    # --- in the browser ----------------------------------------------------------------

    def open(self, path: str) -> None:
        self.page.goto(path if path.startswith("http") else self.between.url + path)

    def send(self, **values: str) -> None:
        """Fills in the form that has these fields, and presses its button. `_` stands for `-`."""
        names = {name.replace("confirm_", "confirm-"): text for name, text in values.items()}
        form = self.page.locator(f"form:has([name='{next(iter(names))}'])").last
        for name, text in names.items():
            form.locator(f"[name='{name}']").fill(text)
        self.press(form.locator("[type=submit]").first)

    def press(self, button: Any) -> None:
        with self.page.expect_navigation():
            button.click()

    def connect(self, key: KeySpec, name: str, **more: str) -> str:
        self.open(f"/connections/new/{key.exchange}/")
        self.send(name=name, **typed(key), **more)
        return self.page.url

    def wait_until_tested(self) -> None:
        expect(self.page.locator("#test-panel")).to_be_visible()
        expect(self.page.locator("#test-panel[hx-trigger]")).to_have_count(0, timeout=30_000)

    def confirm(self) -> None:
        """Answers with the password or a code, where it is asked who is there."""
        if "/reauthenticate/" not in self.page.url:
            return
        if self.page.locator("[name=password]").count():
            self.send(password=self.value("first password"))
        else:
            self.send(code=code_of(self.seed, -1))

    def value(self, name: str) -> str:
        return next(one.value for one in self.secrets if one.name == name)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()


def typed(key: KeySpec | Credentials) -> dict[str, str]:
    secret = key.paste_secret if isinstance(key, KeySpec) else key.secret
    passphrase = key.paste_passphrase if isinstance(key, KeySpec) else key.passphrase
    values = {"api_key": key.api_key, "secret": secret, "passphrase": passphrase}
    return {name: value for name, value in values.items() if value}


# --- the story -----------------------------------------------------------------------------


def sign_up(story: Story) -> None:
    password = story.keep("first password", new_password())
    story.open("/accounts/signup/")
    story.send(email=TRADER, password1=password, password2=password)
    story.open(wait_for(lambda: link_in_mail(story.site)))
    story.press(story.page.locator("main form [type=submit]").last)
    story.open("/accounts/login/")
    story.send(login=TRADER, password=story.keep("mistyped password", new_password()))
    story.send(login=TRADER, password=password)
    story.page.wait_for_url("**/connections/")


def link_in_mail(site: Site) -> str:
    mails = [file.read_text() for file in (site.folder / "mails").glob("*")]
    found = re.findall(r"http\S+/accounts/confirm-email/\S+", "".join(mails))
    return found[0] if found else ""


def set_up_app(story: Story) -> None:
    story.open(TOTP_PAGE)
    story.confirm()
    (seed,) = set(re.findall(r"\b[A-Z2-7]{32}\b", story.page.content()))
    shown = (("answers", TOTP_PAGE), ("sessions", SETTING_UP))
    story.seed = story.keep("seed of the app", seed, *shown)
    story.sweep.look(SETTING_UP, story.page.context)
    story.send(code=code_of(seed))
    told = story.site.manage("shell", "--verbosity", "0", "--command", SEEDS)
    recovery_seed, story.codes = json.loads(told.splitlines()[-1])
    story.keep("seed of the recovery codes", recovery_seed)
    for code in story.codes:
        story.keep(f"recovery code {code}", code, ("answers", CODES_PAGE))
    story.confirm()
    expect(story.page.locator("textarea")).to_contain_text(story.codes[0])


def connect_good_key(story: Story) -> str:
    """Long after the last code, so that one is asked for; a wrong one first."""
    story.site.manage("shell", "--verbosity", "0", "--command", LET_TIME_PASS)
    key = story.key("good", "kucoin")
    story.connect(key, "Good", confirm_code="000000")
    story.sees("never sent back")
    address = story.connect(key, "Good", confirm_code=story.codes.pop())
    story.wait_until_tested()
    expect(story.page.locator("#connection-status")).to_contain_text("Connected")
    return address


def paste_wrongly(story: Story) -> None:
    key = canary.credentials("mexc")
    story.secrets += secrets_of("the key pasted wrongly", key)
    pastes = [
        Credentials(f"two words {key.api_key}", key.secret, ""),
        Credentials(key.api_key, f"{key.secret}\u00a0{key.secret}", ""),
        Credentials(key.secret, key.secret, ""),
        Credentials(key.api_key * 60, key.secret * 60, ""),
    ]
    for paste in pastes:
        story.open("/connections/new/mexc/")
        story.send(name="Wrong", **typed(paste))
        expect(story.page.locator("main [role=alert]").first).to_be_visible()


def connect_failing_keys(story: Story) -> list[str]:
    wrong = canary.credentials("mexc").secret
    made = [story.connect(story.key("failing", "mexc", wrong_secret=wrong), "Failing")]
    story.wait_until_tested()
    # HTX has the API key in the address, so an error could quote it.
    made.append(story.connect(story.key("unlucky", "htx", fault="down"), "Unlucky"))
    story.wait_until_tested()
    story.secrets += secrets_of("Coinbase's key", sample("coinbase", "good"))
    made.append(story.connect(sample("coinbase", "good"), "Private key"))
    story.wait_until_tested()
    return made


def look_into_the_broker(story: Story) -> None:
    """With the worker stopped, so that its message lies there."""
    with stopped(story.site, "celery.* worker@"):
        story.connect(story.key("waiting", "mexc"), "Waiting")
        story.sweep.look("while a message waits", story.page.context)
    story.wait_until_tested()


@contextmanager
def stopped(site: Site, words: str) -> Iterator[None]:
    pids = [str(pid) for pid in site.processes(words)]
    subprocess.run(["kill", "-STOP", *pids], check=True)
    yield
    subprocess.run(["kill", "-CONT", *pids], check=True)


def replace_and_change(story: Story, address: str) -> None:
    wrong = canary.credentials("kucoin")
    story.secrets += secrets_of("the key replaced wrongly", wrong)
    story.open(f"{address}replace/")
    story.send(**typed(wrong) | {"secret": f"{wrong.secret} and more"})
    story.send(**typed(story.key("replacing", "kucoin")))
    story.wait_until_tested()
    story.open(f"{address}rename/")
    story.send(name="Renamed")
    for word in ("pause", "resume"):
        with story.page.expect_navigation():
            form = story.page.locator(f"form[action$='/{word}/']").first
            form.evaluate("form => form.requestSubmit()")  # it may stand in a closed menu
    story.wait_until_tested()


def delete(story: Story, address: str, name: str) -> None:
    story.open(f"{address}delete/")
    story.send(confirm=name)
    story.page.wait_for_url("**/connections/")


def fall_over(story: Story) -> None:
    """A table is away while a key is entered: an error page, its log lines, a mail to operators."""
    key = story.key("fallen over", "kucoin")
    rename = "ALTER TABLE {} RENAME TO {}"
    story.open("/connections/new/kucoin/")
    story.site.execute(rename.format("connections_accessevent", "away"))
    try:
        story.send(name="Falls", **typed(key))
    finally:
        story.site.execute(rename.format("away", "connections_accessevent"))
    story.sees("Something went wrong on our side")
    assert "500" in story.between.statuses()


def put_key_into_an_address(story: Story) -> None:
    """As a form without `method` would. Signed in, and not."""
    key = canary.credentials("kucoin")
    for part in secrets_of("the key in an address", key):
        story.keep(part.name, part.value, ("addresses asked for", "GET /connections/"))
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in typed(key).items())
    for path in ("/connections/new/kucoin/", "/connections/", "/connections/new/"):
        address = f"{story.between.url}{path}?{query}"
        assert story.page.context.request.get(address).status == 400
        assert requests.get(address, timeout=30, allow_redirects=False).status_code == 400


def take_data_along(story: Story) -> None:
    story.open("/accounts/security/")
    form = story.page.locator("form[action$='/accounts/export/']")
    with story.page.expect_download() as waiting:
        form.locator("[type=submit]").click()
    assert "Renamed" in Path(waiting.value.path()).read_text()


def change_password(story: Story) -> None:
    first = story.value("first password")
    second = story.keep("second password", new_password())
    story.open("/accounts/password/change/")
    story.send(oldpassword=second, password1=second, password2=second)  # the old one is another
    story.send(oldpassword=first, password1=second, password2=second)
    story.open("/accounts/activity/")
    story.sees("Password changed")


def sign_out(story: Story) -> None:
    story.open("/accounts/logout/")
    story.press(story.page.locator("main form [type=submit]").last)


def sign_in_again(story: Story) -> None:
    """With a code of the app, after a wrong one."""
    password = story.value("second password")
    story.open("/accounts/login/")
    story.send(login=TRADER, password=password)
    story.send(code="000000")
    story.send(code=code_of(story.seed, 1))
    story.page.wait_for_url("**/connections/")


def look_as_staff(story: Story) -> None:
    password = story.keep("password of staff", f"canary {canary.mark()} lake")
    make = MAKE_STAFF.format(password=password)
    told = story.site.manage("shell", "--verbosity", "0", "--command", make)
    seed = story.keep("seed of staff", told.splitlines()[-1])
    story.open("/accounts/login/?next=/admin/")
    story.send(login=STAFF, password=password)
    story.send(code=code_of(seed))
    story.page.wait_for_url("**/admin/")
    lists = story.page.locator("a[href]").evaluate_all("all => all.map(a => a.pathname)")
    for path in sorted({p for p in lists if re.fullmatch(r"/admin/\w+/\w+/", p)}):
        story.open(path)
        rows = story.page.locator("#result_list tbody a[href]")
        if rows.count():
            story.open(story.between.url + str(rows.first.get_attribute("href")))
            if story.page.locator("#id_why").count():
                story.page.locator("#id_why").fill("ticket 4711")
                story.page.locator("form button[type=submit].desk-primary").click()
    story.open("/admin/connections/connection/")
    story.sees("Renamed")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@contextmanager
def chromium(playwright: Playwright, sweep: Sweep) -> Iterator[BrowserContext]:
    """With a profile on disk, to be searched like everything else."""
    context = playwright.chromium.launch_persistent_context(
        str(sweep.profile), executable_path=CHROMIUM, args=QUIET, accept_downloads=True
    )
    context.set_default_timeout(15_000)
    sweep.listen(context)
    yield context
    context.close()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Iterator[Story]:
    """Told once, up to where the browser is closed."""
    folder, between = tmp_path_factory.mktemp("swept"), Between()
    (folder / "tmp").mkdir()
    settings = {
        "SITE_URL": between.url,
        "EMAIL_URL": f"filemail:///{folder / 'mails'}",  # its path begins after the third slash
        "ADMIN_EMAILS": "operator@example.com",
        "TMPDIR": str(folder / "tmp"),
        "LOG_LEVEL": "DEBUG",
    }
    broker = GIVEN.get("CELERY_BROKER_URL", "")
    if broker.startswith("redis"):
        settings["CACHE_URL"] = broker.replace("redis", "rediscache", 1)
    with Site(folder, **settings) as site:
        between.target = site.port
        sweep = Sweep(site, between, tmp_path_factory.mktemp("profile"))
        with chromium(playwright, sweep) as context:
            told = Story(site, between, sweep, context.pages[0])
            tell(told)
            sweep.look("in the end", context)
        sweep.gather()
        yield told
    between.shutdown()


def tell(story: Story) -> None:
    keep_server_secrets(story)
    sign_up(story)
    set_up_app(story)
    good = connect_good_key(story)
    paste_wrongly(story)
    _, unlucky, _ = connect_failing_keys(story)
    look_into_the_broker(story)
    replace_and_change(story, good)
    fall_over(story)
    put_key_into_an_address(story)
    delete(story, unlucky, "Unlucky")
    take_data_along(story)
    change_password(story)
    sign_out(story)
    sign_in_again(story)
    sign_out(story)
    look_as_staff(story)


def keep_server_secrets(story: Story) -> None:
    """What .env and the worker's file hold stands nowhere else either."""
    lines = (story.site.folder / ".env").read_text().splitlines()
    env = dict(line.partition("=")[::2] for line in lines if "=" in line)
    for name in ("SECRET_KEY", "FERNET_KEYS", "FINGERPRINT_PEPPER"):
        story.keep(name, env[name].strip("\"'"), ("files", ".env"))
    keys = json.loads((story.site.folder / "keys" / "private-keys.json").read_text())
    for private in keys.values():
        story.keep("private key of the vault", private, ("files", "private-keys.json"))


# --- what was left -------------------------------------------------------------------------


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_secret_is_left(story: Story, channel: str):
    pieces = story.sweep.pieces[channel]
    assert sum(map(len, pieces.values())) > 0, "nothing was read here, so nothing was searched"
    found = story.sweep.found(channel, story.secrets)
    assert not found, "\n".join(found)


def test_search_finds_what_stands_there_on_purpose(story: Story):
    """On the real pages: the seed and the codes are shown once, and once alone."""
    for secret in story.secrets:
        bare = Secret(secret.name, secret.value)
        for channel, part in secret.shown:
            assert any(part in line for line in story.sweep.found(channel, [bare])), secret.name


def test_story_came_to_everything(story: Story):
    mails = b"".join(story.sweep.pieces["mails"].values())
    for subject in (b"ERROR", b"onfirm", b"assword"):
        assert re.search(rb"Subject: [^\n]*" + subject, mails), subject
    assert {"200", "302", "400", "500"} <= story.between.statuses()
    for role in ("web", "worker", "beat"):
        assert b"DEBUG" in story.sweep.pieces[f"output of {role}"]["lines"], role
    roles = {place.split()[1] for place in story.sweep.pieces["environments"] if " " in place}
    assert {"gunicorn", "beat"} <= roles
    sealed = story.site.rows("SELECT COUNT(*) FROM connections_credential WHERE sealed IS NOT NULL")
    assert sealed[0][0] >= 4


# --- planted leaks -------------------------------------------------------------------------


@dataclass
class Planting:
    """A way to plant a mark into each channel. `in_site` is run there, `last` while pages are
    open and processes run."""

    site: Site
    between: Between
    page: Page
    in_site: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, marks: dict[str, str]) -> None:
        for channel, plant in PLANTS.items():
            plant(self, marks[channel])
        code = "\n".join(self.in_site)
        self.site.manage("shell", "--verbosity", "0", "--command", code)
        for role in ("worker", "beat"):
            known = canary.core(marks[f"output of {role}"])
            wait_for(lambda said=known: any(said in line for line in self.site.output), 30)

    def goto(self, path: str) -> None:
        self.page.goto(self.between.url + path)

    def start(self, *words: str, **environment: str) -> None:
        sleep = [sys.executable, "-c", "import time; time.sleep(60)", *words]
        env = {**self.site.environment, **environment}
        self.processes.append(subprocess.Popen(sleep, env=env))

    def leave_in_dump(self, text: str) -> None:
        """Where no row shows it: in a comment."""
        if self.site.database.startswith("sqlite"):
            self.site.execute(f"CREATE TABLE planted (/* {text} */ x TEXT)")
        else:
            self.site.execute(f"COMMENT ON TABLE connections_exchange IS '{text}'")


def write(file: Path, text: str) -> None:
    file.write_text(text)


def in_base64(text: str) -> str:
    return base64.b64encode(f"x={text}".encode()).decode()


def in_hex(text: str) -> str:
    return text.encode().hex()


MAIL = "from django.core.mail import send_mail; send_mail('Hi', {!r}, None, ['a@example.com'])"
SEAL = """
from connections.models import Credential
from django.db import connection
token = Credential._meta.get_field("sealed").fernet.encrypt({!r}.encode())
with connection.cursor() as cursor:
    write = "UPDATE connections_credential SET sealed = %s WHERE sealed IS NOT NULL"
    cursor.execute(write, [token])
"""
SESSION = """
from backfuture.accounts.sessions import SessionStore
session = SessionStore(); session["planted"] = {!r}; session.save()
"""
# Celery writes the name of a task that nobody knows into the worker's log, and the beat that of
# each task it sends.
TASK = "from backfuture.celery import app; app.send_task({!r})"
MESSAGE = "from backfuture.celery import app; app.send_task('x', args=[{!r}], queue='planted')"
CACHE = "from django.core.cache import cache; cache.set('planted', {{'x': [{!r}]}})"
PERIODIC = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
often, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
PeriodicTask.objects.create(
    name={!r}, task="connections.tasks.wake_waiting_tests", interval=often
)
"""


def site_runs(code: str, write: Callable[[str], str] = str) -> Callable[[Planting, str], None]:
    return lambda planting, mark: planting.in_site.append(code.format(write(mark)))


def browser_runs(script: str, write: Callable[[str], str] = str) -> Callable[[Planting, str], None]:
    return lambda planting, mark: planting.page.evaluate(script, write(mark))


def browser_asks(path: str) -> Callable[[Planting, str], None]:
    return lambda planting, mark: planting.goto(path + quote(mark, safe=""))


# The order matters for the browser alone: first what leaves the page, then what stays in it.
PLANTS: dict[str, Callable[[Planting, str], None]] = {
    "output of web": browser_asks("/nothing/"),
    "output of worker": site_runs(TASK),
    "output of beat": site_runs(PERIODIC),
    "mails": site_runs(MAIL, lambda mark: f"é{'.' * 1100}{mark}"),
    "rows": lambda planting, mark: planting.site.execute(
        "UPDATE connections_exchange SET notice = ? WHERE code = 'mexc'", in_base64(mark)
    ),
    "dump": lambda planting, mark: planting.leave_in_dump(in_hex(mark)),
    "sealed column": site_runs(SEAL),
    "broker": site_runs(MESSAGE, in_base64),
    "cache": site_runs(CACHE, lambda mark: mark[::-1]),
    "sessions": site_runs(SESSION, repr),
    "answers": browser_asks("/accounts/login/?next=/"),
    "headers of answers": browser_asks("/accounts/activity/?connection="),
    "addresses asked for": browser_asks("/accounts/login/?x="),
    "browser's profile": browser_asks("/accounts/signup/?x="),
    "local storage": browser_runs("text => localStorage.setItem('x', text)", json.dumps),
    "session storage": browser_runs("text => sessionStorage.setItem('x', text)", html.escape),
    "cookies": browser_runs("text => { document.cookie = 'x=' + encodeURIComponent(text) }"),
    "history": browser_runs("text => history.pushState({x: [text]}, '', '/accounts/login/')"),
    "console": browser_runs("text => console.log({x: text}, text)", in_base64),
    "command lines": lambda planting, mark: planting.start(mark),
    "environments": lambda planting, mark: planting.start(PLANTED=in_base64(mark)),
    "file names": lambda planting, mark: (planting.site.folder / quote(mark, safe="")).touch(),
    "files": lambda planting, mark: write(planting.site.folder / "core", in_hex(mark).upper()),
}


@pytest.fixture(scope="module")
def planted(story: Story, playwright: Playwright) -> Iterator[tuple[Sweep, dict[str, Secret]]]:
    """A mark of its own for each channel, once the clean search has all it needs."""
    marks = {channel: f'pl+"{canary.mark()}/=' for channel in CHANNELS}
    sweep = Sweep(story.site, story.between, story.sweep.profile)
    with chromium(playwright, sweep) as context:
        context.clear_cookies()  # signed out, so that pages ask who is there
        planting = Planting(story.site, story.between, context.pages[0])
        try:
            planting.run(marks)
            sweep.look("planted", context)
        finally:
            for process in planting.processes:
                process.kill()
                process.wait()
    sweep.gather()
    sweep.tidy()
    yield sweep, {channel: Secret("planted", mark) for channel, mark in marks.items()}


def test_every_channel_has_its_planted_leak():
    assert PLANTS.keys() == set(CHANNELS)


@pytest.mark.parametrize("channel", CHANNELS)
def test_planted_leak_is_found(planted: tuple[Sweep, dict[str, Secret]], channel: str):
    sweep, marks = planted
    assert sweep.found(channel, [marks[channel]]), f"{channel}: the planted leak was not found"


@pytest.mark.parametrize(
    "write",
    [str, repr, json.dumps, html.escape, quote, in_base64, in_hex, lambda mark: mark[::-1]],
)
@pytest.mark.parametrize("value", ['ck+"{}\\/=', "{}", "two {}\nlines", "{}-with-dashes"])
def test_search_sees_every_form(write: Callable[[str], str], value: str):
    secret = Secret("x", value.format(canary.mark()))
    for data in (write(secret.value), json.dumps([f"x {write(secret.value)} y"])):
        assert stands(data, secret)


def stands(data: str, secret: Secret) -> bool:
    return bool(search({"x": data.encode()}, "x", [secret]))


def test_digits_within_a_longer_number_are_no_recovery_code():
    secret = Secret("code", "12345678")
    assert stands("code=12345678,", secret)
    assert not stands("at 1712345678.5 s", secret)
