"""Which addresses of the internet are public, and what a name means."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings

Address = tuple[int, Any]  # family, and what a socket connects to
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Beside those that the standard library calls not global, which differ between its versions.
NETWORKS = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
    192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24
    192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24
    224.0.0.0/4 240.0.0.0/4
    2001::/23 2001:db8::/32 2002::/16 3fff::/20
"""  # of IPv6: Teredo and others, documentation, 6to4, documentation
NOT_PUBLIC: tuple[Network, ...] = tuple(map(ipaddress.ip_network, NETWORKS.split()))
UNICAST = ipaddress.IPv6Network("2000::/3")
# Names that mean something inside a network alone.
INSIDE: tuple[str, ...] = ("localhost", "localdomain", "local", "internal", "intranet", "lan")
INSIDE += ("home", "corp", "arpa", "test", "invalid", "example", "onion")

lookup: Callable[..., list[Any]] = socket.getaddrinfo


class NotPublic(Exception):
    """The host is, or may be, in a network of our own."""


def addresses_of(host: str, port: int, seconds: float) -> list[Address]:
    """All addresses of a host, looked up once. Raises NotPublic when any of them is not public,
    and OSError when it has none or nobody answers in time."""
    host = host.strip("[]")
    if settings.ALLOW_PRIVATE_NOTICE_HOSTS:
        return _looked_up(host, port, seconds)
    if names_inside(host):
        raise NotPublic
    found = _looked_up(host, port, seconds)
    if not all(is_public(address[0]) for _, address in found):
        raise NotPublic
    return found


def is_public(text: str) -> bool:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:  # with a zone, as in fe80::1%eth0
        return False
    if ip.version == 6 and ip not in UNICAST:  # mapped and translated IPv4, local, multicast
        return False
    if ip in _ours() or ip.is_multicast or not ip.is_global:
        return False
    return not any(ip.version == net.version and ip in net for net in NOT_PUBLIC)


def _ours() -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """However they are written. What is no address is the check's to say (E013)."""
    for text in settings.SERVER_IPS:
        with suppress(ValueError):
            yield ipaddress.ip_address(text)


def names_inside(host: str) -> bool:
    """Whether a host can be seen to be in a private network, without asking anybody."""
    host = host.strip("[]").rstrip(".").lower()
    if literal := _literal(host):
        return not is_public(literal)
    return "." not in host or host.endswith(tuple(f".{name}" for name in INSIDE))


def _literal(host: str) -> str:
    """The address that a host is, also one written as 0x7f.1 or 2130706433; "" for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError, ValueError):
        return ""


def _looked_up(host: str, port: int, seconds: float) -> list[Address]:
    """In a thread: nothing else can be told how long to wait."""
    found: list[Address] = []

    def ask() -> None:
        try:
            answers = lookup(host, port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError, ValueError):
            return
        found.extend((answer[0], answer[4]) for answer in answers)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(max(0.0, seconds))
    if asking.is_alive() or not found:
        raise OSError("the name has no address")
    return list(found)
