"""A chat service is no way into our own network: whatever a user enters, nothing goes anywhere but
to public addresses, encrypted, and for a limited time."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connections import chats, outbound, outbound_hosts
from connections.chat_services import SERVICES
from tests.chat_site import Answer, ChatSite, Names, authority, listening

# What each means to this machine is its own network, or nobody's.
INSIDE = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0177.0.0.1", "017700000001", "0x7f.0.0.1"),
    *("0x7f000001", "127.255.255.254", "0", "0.0.0.0", "10.0.0.1", "012.0.0.1"),  # noqa: S104
    "172.16.0.1",
    *("172.31.255.255", "192.168.1.1", "0xc0a80101", "3232235777", "169.254.169.254"),
    *("0xa9fea9fe", "2852039166", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.7"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[::ffff:10.0.0.1]", "[::127.0.0.1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd12::1]"),
    *("[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[100::1]"),
    *("[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[3fff::1]"),
    *("[5f00::1]", "[2001:20::1]"),
]
NAMES_INSIDE = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "router", "printer.local"]
NAMES_INSIDE += ["db.internal", "nas.lan", "x.home.arpa", "metadata.google.internal", "a.corp"]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1"]
PUBLIC += ["169.253.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1"]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names()
    monkeypatch.setattr(outbound_hosts, "lookup", made)
    return made


@pytest.fixture
def site(
    trust: tuple[Path, ssl.SSLContext], names: Names, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ChatSite]:
    """https://chat.site.org, whose address passes for a public one."""
    monkeypatch.setattr(outbound, "CERTIFICATES", str(trust[0]))
    monkeypatch.setattr(outbound_hosts, "is_public", lambda text: text == "127.0.0.2")
    with ChatSite(trust[1], "127.0.0.2") as running:
        names["chat.site.org"] = [[("127.0.0.2", running.port)]]
        yield running


def post(url: str, seconds: float = 5, **more: Any) -> tuple[Any, str]:
    """The answer, or what was raised instead, and the problem that was noted."""
    with outbound.visiting(seconds) as visit:
        try:
            return outbound.STAND_IN.post(url, **more), visit.problem
        except (requests.RequestException, outbound.Blocked) as error:
            return error, visit.problem


class TestWhereTo:
    @pytest.mark.parametrize("host", [*INSIDE, *NAMES_INSIDE])
    def test_address_in_a_network_of_ours_is_refused_unasked(self, names: Names, host: str) -> None:
        error, problem = post(f"https://{host}/")
        assert (type(error), problem) == (outbound.Blocked, "blocked")
        assert names.asked == []

    @pytest.mark.parametrize("host", [*INSIDE, "①②⑦.⓪.⓪.①", "127。0。0。1"])
    def test_it_is_refused_as_well_when_a_name_turns_out_to_mean_it(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second look, at what the system's own resolver makes of it."""
        monkeypatch.setattr(outbound_hosts, "names_inside", lambda host: False)
        with pytest.raises((outbound_hosts.NotPublic, OSError)):
            outbound_hosts.addresses_of(host, 443, 3)

    @pytest.mark.parametrize("text", PUBLIC)
    def test_public_address_is_one(self, text: str) -> None:
        assert outbound_hosts.is_public(text)

    def test_our_own_public_address_is_none(self, settings: Any) -> None:
        settings.SERVER_IPS = ["8.8.8.8"]
        assert not outbound_hosts.is_public("8.8.8.8")

    def test_our_own_address_is_none_however_it_is_written(self, settings: Any) -> None:
        settings.SERVER_IPS = ["not an address", "2606:4700:4700:0:0:0:0:1111"]
        assert not outbound_hosts.is_public("2606:4700:4700::1111")
        assert outbound_hosts.is_public("2606:4700:4700::1001")

    @pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1%lo", "64:ff9b::1"])
    def test_name_that_means_a_private_address_is_refused(self, names: Names, ip: str) -> None:
        names["innocent.site.org"] = [[(ip, 0)]]
        error, problem = post("https://innocent.site.org/")
        assert (type(error), problem) == (outbound.Blocked, "blocked")

    def test_one_private_address_among_public_ones_is_enough(self, names: Names) -> None:
        names["innocent.site.org"] = [[("8.8.8.8", 0), ("127.0.0.1", 0)]]
        assert post("https://innocent.site.org/")[1] == "blocked"

    def test_name_is_asked_once_and_cannot_change_its_mind(
        self, site: ChatSite, names: Names
    ) -> None:
        with ChatSite(site.context, "127.0.0.1") as inside:
            names["chat.site.org"] = [[("127.0.0.2", site.port)], [("127.0.0.1", inside.port)]]
            answer, problem = post("https://chat.site.org/hook")
            assert (answer.status_code, problem) == (200, "")
            assert names.asked == ["chat.site.org"]
            assert (len(site.received), inside.connections) == (1, 0)
            assert post("https://chat.site.org/hook")[1] == "blocked"
            assert (site.connections, inside.connections) == (1, 0)

    def test_redirect_is_not_followed(self, site: ChatSite) -> None:
        with ChatSite() as inside:
            site.answer = Answer(302, headers={"Location": f"http://127.0.0.1:{inside.port}/"})
            answer, problem = post("https://chat.site.org/", allow_redirects=True)
            assert (answer.status_code, problem, inside.connections) == (302, "redirected", 0)

    def test_unencrypted_address_is_refused(self, names: Names) -> None:
        names["chat.site.org"] = [[("8.8.8.8", 0)]]
        error, problem = post("http://chat.site.org/")
        assert (type(error), problem, names.asked) == (outbound.Blocked, "blocked", [])

    def test_operator_may_allow_the_own_network(self, settings: Any) -> None:
        settings.ALLOW_PRIVATE_NOTICE_HOSTS = True
        with ChatSite() as inside:
            assert post(f"http://localhost:{inside.port}/x")[0].status_code == 200
            assert inside.received[0].path == "/x"


class TestWhoAnswers:
    def test_certificate_of_another_name_is_refused(self, site: ChatSite, names: Names) -> None:
        names["other.site.org"] = names.known["chat.site.org"]
        error, problem = post("https://other.site.org/", verify=False)
        assert (type(error), problem) == (requests.exceptions.SSLError, "certificate")
        assert site.received == []

    def test_unknown_authority_is_refused(
        self, site: ChatSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbound, "CERTIFICATES", True)
        assert post("https://chat.site.org/", verify=False)[1] == "certificate"

    @pytest.mark.parametrize(
        ("status", "problem"),
        [
            *((200, ""), (204, ""), (301, "redirected"), (401, "refused"), (404, "refused")),
            *((429, "too_many"), (500, "their_fault"), (503, "their_fault")),
        ],
    )
    def test_answer_is_noted(self, site: ChatSite, status: int, problem: str) -> None:
        site.answer = Answer(status, b"")
        assert post("https://chat.site.org/")[1] == problem

    def test_nobody_there(self, site: ChatSite, names: Names) -> None:
        with socket.create_server(("127.0.0.2", 0)) as closed:
            names["chat.site.org"] = [[("127.0.0.2", closed.getsockname()[1])]]
        assert post("https://chat.site.org/")[1] == "no_answer"

    def test_second_address_is_tried(self, site: ChatSite, names: Names) -> None:
        with socket.create_server(("127.0.0.2", 0)) as closed:
            port = closed.getsockname()[1]
        names["chat.site.org"] = [[("127.0.0.2", port), ("127.0.0.2", site.port)]]
        assert post("https://chat.site.org/")[0].status_code == 200

    def test_name_that_nobody_knows(self, names: Names) -> None:
        names["nobody.site.org"] = [[]]
        assert post("https://nobody.site.org/")[1] == "no_answer"


def drip(opened: socket.socket, first: bytes, then: bytes) -> None:
    opened.sendall(first)
    for _ in range(600):
        opened.sendall(then)
        time.sleep(0.05)


class TestHowLong:
    @pytest.mark.parametrize(
        ("first", "then"),
        [
            (b"", b"H"),
            (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n", b"x"),
        ],
    )
    def test_drip_ends_at_the_deadline(self, site: ChatSite, first: bytes, then: bytes) -> None:
        site.answer = Answer(raw=lambda opened: drip(opened, first, then))
        began = time.monotonic()
        post("https://chat.site.org/", seconds=1)
        assert 0.8 < time.monotonic() - began < 20  # of 30 s

    def test_handshake_that_never_comes_ends(
        self, names: Names, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbound_hosts, "is_public", lambda text: True)
        for name in ("CONNECT_S", "READ_S"):
            monkeypatch.setattr(outbound, name, 30)
        with listening() as (port, taken):
            names["silent.site.org"] = [[("127.0.0.1", port)]]
            began = time.monotonic()
            assert post("https://silent.site.org/", seconds=1)[1] == "no_answer"
            assert time.monotonic() - began < 20
            assert len(taken) == 1

    def test_resolver_that_hangs_ends(self, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbound, "CONNECT_S", 0.2)
        names.takes_s = 8
        began = time.monotonic()
        assert post("https://chat.site.org/")[1] == "no_answer"
        assert time.monotonic() - began < 7

    def test_nothing_is_dialled_after_the_deadline(self, site: ChatSite) -> None:
        with outbound.visiting(0.05):
            time.sleep(0.2)
            with pytest.raises(requests.RequestException):
                outbound.STAND_IN.post("https://chat.site.org/")
        assert site.received == []

    @pytest.mark.parametrize("length", ["Content-Length: 200000000", "Transfer-Encoding: chunked"])
    def test_huge_answer_is_read_no_further(self, site: ChatSite, length: str) -> None:
        def flood(opened: socket.socket) -> None:
            opened.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
            part = b"x" * 65536
            chunk = part if "Content" in length else b"10000\r\n" + part + b"\r\n"
            for _ in range(3000):
                opened.sendall(chunk)
                sent.append(len(part))

        sent: list[int] = []
        site.answer = Answer(raw=flood)
        answer, problem = post("https://chat.site.org/")
        assert (len(answer.content), problem) == (outbound.MOST_BYTES, "")
        time.sleep(0.2)
        assert sum(sent) < 20_000_000

    def test_packed_answer_is_not_unpacked(self, site: ChatSite) -> None:
        site.answer = Answer(200, b"\x1f\x8b bomb", {"Content-Encoding": "gzip"})
        assert post("https://chat.site.org/")[0].content == b"\x1f\x8b bomb"
        assert site.received[0].headers["Accept-Encoding"] == "identity"


class TestNoOtherWay:
    def test_proxies_and_passwords_of_this_machine_are_not_used(
        self, site: ChatSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine chat.site.org login us password of-this-machine\n")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(netrc))
        with listening() as (port, taken):
            for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            proxies = {"https": f"http://127.0.0.1:{port}"}
            answer, _ = post("https://chat.site.org/", proxies=proxies)
            assert answer.status_code == 200
            assert taken == []
        assert "Authorization" not in site.received[0].headers

    def test_nothing_goes_out_but_within_a_visit(self, site: ChatSite) -> None:
        with pytest.raises(outbound.Blocked):
            outbound.STAND_IN.post("https://chat.site.org/")
        assert site.connections == 0

    @pytest.mark.parametrize(
        "way",
        [
            lambda port: socket.create_connection(("127.0.0.1", port), 1),
            lambda port: requests.post(f"http://127.0.0.1:{port}/", timeout=1),
            lambda port: socket.getaddrinfo("innocent.site.org", 443),
            lambda port: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
            lambda port: subprocess.run([sys.executable, "-c", "pass"], check=False),
            lambda port: os.system("true"),  # noqa: S605
        ],
    )
    def test_what_a_service_tries_by_itself_is_refused(self, way: Any) -> None:
        with listening() as (port, taken):
            with outbound.visiting(3) as visit, pytest.raises(outbound.Blocked):
                way(port)
            assert visit.problem == "blocked"
            assert taken == []
            way_is_free_again = socket.create_connection(("127.0.0.1", port), 1)
            way_is_free_again.close()

    def test_no_part_of_apprise_has_the_library(self) -> None:
        for service in SERVICES:
            chats._class(service)
        having = {
            name
            for name, module in list(sys.modules.items())
            if name.startswith("apprise") and vars(module).get("requests") is requests
        }
        assert having == set()
        assert "apprise.plugins.telegram" in sys.modules

    def test_session_takes_no_other_way_out(self, names: Names) -> None:
        with outbound.Session() as session, outbound.visiting(3):
            session.mount("https://127.", requests.adapters.HTTPAdapter())
            with pytest.raises(outbound.Blocked):
                session.post("https://127.0.0.1/")
