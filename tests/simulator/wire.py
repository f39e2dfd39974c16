"""What a simulated exchange is made of: requests, replies, endpoints, checks in their order.

An exchange is data. Its module lists endpoints; each endpoint belongs to a family that signs and
refuses in the same way; the family's `checks` are the one place that says in which order a
request is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from .keys import KeySpec
from .listed import Markets


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `query` and `body` are as on the wire: signatures cover that text.
    `headers` must be case-insensitive."""

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(default="", repr=False)

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is sent as it is when it is text or bytes, as JSON otherwise. `reason` is the HTTP
    reason phrase, where it is not the usual one."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def content_type(self) -> str:
        if isinstance(self.body, str | bytes):
            return "text/plain; charset=UTF-8"
        return "application/json;charset=UTF-8"


class Refused(Exception):
    """The exchange refuses with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass
class World:
    """What all simulated exchanges share. `clock_offset_ms` makes their clock wrong."""

    keys: dict[str, KeySpec]
    seen_ip: str
    clock_offset_ms: int = 0
    markets: Markets = field(default_factory=Markets)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_offset_ms


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way through the checks."""

    request: Request
    endpoint: Endpoint
    world: World
    found: KeySpec | None

    @property
    def key(self) -> KeySpec:
        """The key, for everything behind the check that it is known."""
        if self.found is None:
            raise LookupError("asked before the key was found to exist")
        return self.found

    @property
    def address_allowed(self) -> bool:
        listed = self.key.ip_whitelist
        return self.key.ip_allowed and (not listed or self.world.seen_ip in listed)


Check = Callable[[Asked], None]  # raises Refused
Answer = Callable[[Asked], Any]  # gives the body of the success; may raise Refused


@dataclass(frozen=True)
class Family:
    """Endpoints that sign and refuse alike. `checks` run in the order written; `faults` are the
    documented replies that a key's `fault` brings about before any check."""

    api_key: Callable[[Request], str]
    checks: tuple[Check, ...]
    faults: Mapping[str, Reply]


@dataclass(frozen=True)
class Endpoint:
    """One method and path. No family: public. `permission` is the exchange's own word for what
    a key needs. `dangerous`: calling it changes something at the exchange."""

    method: str
    path: str
    answer: Answer
    hosts: tuple[str, ...]
    family: Family | None = None
    permission: str = ""
    dangerous: bool = False


@dataclass(frozen=True)
class Exchange:
    """`foreign_hosts` are regional sites: the same API, but only the keys of that site (KeySpec's
    `site`) exist there."""

    code: str
    endpoints: tuple[Endpoint, ...]
    not_found: Reply
    samples: tuple[KeySpec, ...]
    foreign_hosts: tuple[str, ...] = ()

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(host for endpoint in self.endpoints for host in endpoint.hosts)

    def endpoint(self, request: Request) -> Endpoint | None:
        wanted = (request.method, request.path)
        for endpoint in self.endpoints:
            if (endpoint.method, endpoint.path) == wanted and request.host in endpoint.hosts:
                return endpoint
        return None

    def key_behind(self, request: Request, world: World) -> KeySpec | None:
        """The key that a signed request names, proven or not."""
        endpoint = self.endpoint(request)
        if endpoint is None or endpoint.family is None:
            return None
        key = world.keys.get(endpoint.family.api_key(request))
        if key is None or key.exchange != self.code or key.deleted:
            return None
        here = request.host if request.host in self.foreign_hosts else ""
        return key if key.site == here else None

    def reply(self, request: Request, world: World) -> Reply:
        endpoint = self.endpoint(request)
        if endpoint is None:
            return self.not_found
        asked = Asked(request, endpoint, world, self.key_behind(request, world))
        try:
            if endpoint.family:
                _run_checks(endpoint.family, asked)
            return Reply(200, endpoint.answer(asked))
        except Refused as refusal:
            return refusal.reply


def _run_checks(family: Family, asked: Asked) -> None:
    # An exchange that is down does not look at signatures: faults come first.
    fault = family.faults.get(asked.found.fault or "") if asked.found else None
    if fault:
        raise Refused(fault)
    for check in family.checks:
        check(asked)
