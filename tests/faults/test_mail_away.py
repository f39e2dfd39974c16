"""No mail can be sent: people still get in and change their password, and are told of it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from requests import Response

from tests.faults import services, sites
from tests.faults.sites import Breakable, Person
from tests.running import PASSWORD, free_port

pytestmark = pytest.mark.faults

MOST_SECONDS = 25  # of one page, however busy the machine; a silent server is given 5 s
NOT_SENT = "could not send"
LINKS = ("/password/reset/key/", "/confirm-email/M")  # that mails hold and logs must not


def sign_in(person: Person) -> Response:
    """From a browser that was not seen before, of which the person is told by mail."""
    visitor = person.site.visitor()
    visitor.get("/accounts/login/")
    visitor.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    answer = visitor.post("/accounts/2fa/authenticate/", {"code": person.code(1)})
    assert answer.url.endswith("/connections/"), answer.url
    return answer


def change_password(person: Person) -> Response:
    visitor = person.visitor()
    visitor.get("/accounts/2fa/reauthenticate/")
    visitor.post("/accounts/2fa/reauthenticate/", {"code": person.code()})
    visitor.get("/accounts/password/change/")
    new, before = secrets.token_urlsafe(20), password_of(person)
    values = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    answer = visitor.post("/accounts/password/change/", values)
    assert password_of(person) != before
    return answer


def reset_password(person: Person) -> Response:
    visitor = person.site.visitor()
    visitor.get("/accounts/password/reset/")
    answer = visitor.post("/accounts/password/reset/", {"email": person.email})
    assert NOT_SENT in answer.text
    return answer


def sign_up(person: Person) -> Response:
    visitor = person.site.visitor()
    visitor.get("/accounts/signup/")
    values = {"email": f"new-{person.email}", "password1": PASSWORD, "password2": PASSWORD}
    answer = visitor.post("/accounts/signup/", values)
    assert NOT_SENT in answer.text
    return answer


ACTS = (sign_in, change_password, reset_password, sign_up)


def test_nobody_is_kept_out_while_no_mail_can_be_sent(embedded: Breakable, tell):
    slowest: dict[str, float] = {}
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        for how, port in (("refused", free_port()), ("silent", silent.getsockname()[1])):
            one, other = embedded.person(), embedded.person()
            away = embedded.another_web(EMAIL_URL=f"smtp://us:{services.SECRET}@127.0.0.1:{port}")
            with away, ThreadPoolExecutor(len(ACTS)) as pool:
                # Who is about to change a password cannot sign in with it meanwhile.
                slowest[how] = max(pool.map(seconds_of, ACTS, (one, other, one, one)))
    assert max(slowest.values()) < MOST_SECONDS
    for link in LINKS:
        assert link not in "".join(embedded.said)
    tell(
        f"{len(ACTS)} acts, of which the slowest took {slowest['refused']:.1f} s while the mail "
        f"server refused and {slowest['silent']:.1f} s while it was silent"
    )


def seconds_of(act: Callable[[Person], Response], person: Person) -> float:
    began = time.monotonic()
    answer = act(person)
    assert answer.status_code == 200
    assert sites.in_words(answer)
    return time.monotonic() - began


def password_of(person: Person) -> str:
    query = "SELECT password FROM accounts_user WHERE email = ?"
    return str(person.site.rows(query, person.email)[0][0])
