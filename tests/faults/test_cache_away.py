"""The shared cache is away: who is signed in works on; where tries are counted in it, the page says
that it is closed for now, and nothing is tried uncounted."""

from __future__ import annotations

import secrets
import socket
import time
from contextlib import closing

import pytest
from requests import Response

from tests.faults import aftermath, services, sites
from tests.faults.sites import Breakable, Person
from tests.running import PASSWORD, free_port

pytestmark = pytest.mark.faults

MOST_SECONDS = 25  # of one page, however busy the machine
OUT_OF_SERVICE = 503
READ = ("/connections/", "/connections/new/mexc/", "/accounts/security/", "/accounts/activity/")


def counted(person: Person) -> list[Response]:
    """What is sent to the pages that count tries."""
    visitor, signed_in = person.site.visitor(), person.visitor()
    visitor.get("/accounts/login/")
    signed_in.get("/accounts/2fa/reauthenticate/")
    email = f"{secrets.token_hex(6)}@example.com"
    return [
        visitor.post("/accounts/login/", {"login": person.email, "password": PASSWORD}),
        visitor.post(
            "/accounts/signup/", {"email": email, "password1": PASSWORD, "password2": PASSWORD}
        ),
        visitor.post("/accounts/password/reset/", {"email": person.email}),
        signed_in.post("/accounts/2fa/reauthenticate/", {"code": person.code()}),
    ]


def address(port: int) -> str:
    return f"rediscache://:{services.SECRET}@127.0.0.1:{port}/0"


def test_signed_in_people_work_on_and_sign_in_says_that_it_is_closed(embedded: Breakable, tell):
    slowest, connections = {}, []
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        for how, port in (("refused", free_port()), ("silent", silent.getsockname()[1])):
            with embedded.another_web(CACHE_URL=address(port)):
                person, (visitor,) = embedded.person(), embedded.crowd(1)
                assert {visitor.get(path).status_code for path in READ} == {200}
                answer = sites.submit(visitor, embedded.key(f"cache {how}"), "No cache")
                connections.append(sites.saved(answer))
                began = time.monotonic()
                answers = counted(person)
                slowest[how] = (time.monotonic() - began) / len(answers)
                assert all(map(sites.in_words, answers))
                assert {answer.status_code for answer in answers} == {OUT_OF_SERVICE}
    aftermath.assert_each_applied_once(embedded, connections)
    assert max(slowest.values()) < MOST_SECONDS
    tell(
        f"{len(READ)} pages and a submission as always; {len(answers)} pages that count tries "
        f"closed for now, in {slowest['refused']:.1f} s each while the cache refused and "
        f"{slowest['silent']:.1f} s while it was silent"
    )
