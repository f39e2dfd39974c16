"""Other people's chat services on this machine: over TLS with certificates of an authority of their
own, and misbehaving where a test wants it."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("api.telegram.org", "discord.com", "hooks.slack.com", "ntfy.sh", "api.pushover.net")
NAMES += ("chat.site.org", "a.logic.azure.com", "localhost")


@dataclass
class Received:
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[Any], None] | None = None  # takes the socket over


class Handler(BaseHTTPRequestHandler):
    server: ChatSite  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        got = Received(self.headers.get("Host", ""), self.path, dict(self.headers), body)
        self.server.received.append(got)
        answer = self.server.answer
        if answer.raw:
            with suppress(OSError):
                answer.raw(self.connection)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: Any) -> None:
        pass


class ChatSite(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.received: list[Received] = []
        self.answer = Answer(body=b"ok")
        self.context = context
        self.port = self.server_address[1]
        self.connections = 0

    def get_request(self) -> Any:
        opened, address = super().get_request()
        self.connections += 1
        if self.context:
            # The handshake in the thread of the request: one that hangs must not hold others.
            opened = self.context.wrap_socket(
                opened, server_side=True, do_handshake_on_connect=False
            )
        return opened, address

    def handle_error(self, *_: Any) -> None:
        pass

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Names:
    """A resolver: what each name means, one answer after the other; the last one stays."""

    def __init__(self) -> None:
        self.known: dict[str, list[list[tuple[str, int]]]] = {}
        self.asked: list[str] = []
        self.takes_s = 0.0

    def __setitem__(self, name: str, answers: list[list[tuple[str, int]]]) -> None:
        self.known[name] = answers

    def __call__(self, host: str, port: int, *_: Any) -> list[Any]:
        time.sleep(self.takes_s)
        self.asked.append(host)
        if host not in self.known:
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        answers = self.known[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in ip], 1, 6, "", (ip, to or port)) for ip, to in answer]


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The file that vouches for NAMES, and what a server of them needs."""
    ca_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The tests' authority")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chat.site.org")])
    ca = (
        _certificate(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES])
    leaf = (
        _certificate(leaf_name, ca_name, leaf_key)
        .add_extension(alternatives, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    trusted, served = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    served.write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)
    return trusted, context


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment "
    names += "key_agreement encipher_only decipher_only"
    rest = dict.fromkeys(names.split(), False)
    return x509.KeyUsage(key_cert_sign=signs, crl_sign=signs, **rest)


@contextmanager
def listening() -> Iterator[tuple[int, list[socket.socket]]]:
    """A port where somebody takes every connection and says nothing."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        try:
            yield server.getsockname()[1], taken
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for each in taken:
                each.close()
