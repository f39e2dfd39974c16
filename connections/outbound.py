"""Requests to addresses that users entered: a chat service must not be a way into our own network.

A host is resolved once, each of its addresses must be public, and the connection goes to the very
address that was looked at, so that a name cannot mean another one a moment later. Encrypted only,
no redirects, no proxies, no answer too long, and all of it within a deadline.

apprise's services find `STAND_IN` where they ask for `requests`. What one of them tried by any
other way, while it sends, is refused by an audit hook.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from . import outbound_hosts
from .outbound_hosts import Address

CONNECT_S, READ_S = 3.0, 5.0
MOST_BYTES = 64 * 1024  # of an answer; the rest is not read
CERTIFICATES: bool | str = True  # who may vouch for a host: the common authorities
WATCHED = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"}
WATCHED |= {"socket.gethostbyname", "subprocess.Popen", "os.system"}


class Blocked(Exception):
    """Nothing was sent: the address is not one that we send to. No OSError, so that no library
    takes it for a network that is down, and tries again or goes on with something else."""


class Visit:
    """All requests of one notice: what went wrong, and the sockets to cut at the deadline."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.problem = ""
        self.dialling = False
        self._handles: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = False

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    def keep(self, opened: socket.socket) -> None:
        with self._lock:
            self._handles.append(opened.dup())  # TLS takes the socket itself over
            late = self._over
        if late:
            self.cut()

    def cut(self) -> None:
        """Ends every connection, whatever its other side still drips into it."""
        with self._lock:
            self._over = True
            for handle in self._handles:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()

    def note(self, problem: str) -> None:
        self.problem = problem


_visit: ContextVar[Visit | None] = ContextVar("visit", default=None)


@contextmanager
def visiting(seconds: float) -> Iterator[Visit]:
    """Within the block requests may be made, for so many seconds in all."""
    visit = Visit(seconds)
    watch = threading.Timer(seconds, visit.cut)
    watch.daemon = True
    watch.start()
    token = _visit.set(visit)
    try:
        yield visit
    finally:
        _visit.reset(token)
        watch.cancel()
        visit.close()


def _current() -> Visit:
    visit = _visit.get()
    if visit is None:
        raise Blocked("nothing is sent outside of a visit")
    return visit


def _only_by_us(event: str, arguments: tuple[Any, ...]) -> None:
    if event in WATCHED and (visit := _visit.get()) is not None and not visit.dialling:
        visit.note("blocked")
        raise Blocked("this is no way out")


sys.addaudithook(_only_by_us)


# --- connecting ------------------------------------------------------------------------------


def _dial(host: str, port: int | None, *, encrypted: bool) -> socket.socket:
    visit = _current()
    if not encrypted and not settings.ALLOW_PRIVATE_NOTICE_HOSTS:
        visit.note("blocked")
        raise Blocked("not encrypted")
    try:
        addresses = outbound_hosts.addresses_of(host, port or 443, min(CONNECT_S, visit.left))
    except outbound_hosts.NotPublic:
        visit.note("blocked")
        raise Blocked("not a public address") from None
    return _first_that_answers(addresses, visit)


def _first_that_answers(addresses: list[Address], visit: Visit) -> socket.socket:
    problem: OSError = TimeoutError("nobody answers")
    for family, address in addresses:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(max(0.01, min(CONNECT_S, visit.left)))
            visit.dialling = True
            opened.connect(address)
        except OSError as error:
            opened.close()
            problem = error
        else:
            opened.settimeout(READ_S)
            visit.keep(opened)
            return opened
        finally:
            visit.dialling = False
    raise problem


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _dial(self._dns_host, self.port, encrypted=False)


class _Encrypted(HTTPSConnection):
    """The certificate is checked against the name, though the address was chosen here."""

    def _new_conn(self) -> socket.socket:
        return _dial(self._dns_host, self.port, encrypted=True)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        self.poolmanager = PoolManager()
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}


# --- asking ----------------------------------------------------------------------------------


class Session(requests.Session):
    """One request, whatever the caller says of certificates, redirects and patience."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, passwords or certificates of this machine

    def mount(self, prefix: Any, adapter: Any) -> None:
        """The way out is not for others to choose."""
        super().mount(prefix, adapter if isinstance(adapter, _Adapter) else _Adapter())

    def request(self, method: Any, url: Any, **given: Any) -> requests.Response:  # type: ignore[override]
        visit = _current()
        kept = {name: given.get(name) for name in ("params", "data", "json", "auth")}
        headers = {**(given.get("headers") or {}), "Accept-Encoding": "identity"}
        try:
            answer = super().request(
                method,
                url,
                headers={**headers, "Connection": "close"},
                timeout=(CONNECT_S, READ_S),
                verify=CERTIFICATES,
                allow_redirects=False,
                stream=True,
                **kept,
            )
            _read(answer)
        except requests.exceptions.SSLError:
            visit.note("no_answer" if visit.left <= 0 else "certificate")
            raise
        except requests.RequestException:
            visit.note("no_answer")
            raise
        visit.note(problem_of(answer.status_code))
        return answer


def _read(answer: requests.Response) -> None:
    """The first part of the answer, as it came: nothing is unpacked."""
    try:
        answer._content = answer.raw.read(MOST_BYTES, decode_content=False)
    except (HTTPError, OSError, ValueError) as error:
        raise requests.ConnectionError(type(error).__name__) from None
    finally:
        answer.close()
    answer._content_consumed = True


def problem_of(status: int) -> str:
    """A code for what an answer says; "" for a good one."""
    if status == 429:
        return "too_many"
    for least, problem in ((500, "their_fault"), (400, "refused"), (300, "redirected")):
        if status >= least:
            return problem
    return ""


def _ask(method: str, url: str, **given: Any) -> requests.Response:
    with Session() as session:
        return session.request(method, url, **given)


# What apprise's services find under the name of the library.
STAND_IN = SimpleNamespace(
    request=_ask,
    **{name: partial(_ask, name.upper()) for name in ("get", "post", "put", "patch", "delete")},
    Session=Session,
    session=Session,
    codes=requests.codes,
    exceptions=requests.exceptions,
    **{
        name: getattr(requests.exceptions, name)
        for name in ("RequestException", "ConnectionError", "Timeout", "TooManyRedirects")
    },
)


def take_over(package: str) -> None:
    """Gives every loaded module of `package` the stand-in for the library."""
    for name, module in list(sys.modules.items()):
        mine = name == package or name.startswith(f"{package}.")
        if mine and vars(module).get("requests") is requests:
            vars(module)["requests"] = STAND_IN
