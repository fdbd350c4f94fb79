"""Sockets through proxies; only what the process tests of proxies cannot show."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.net import dialing
from poe_proxy.net.deadline import in_time

from ..fakes import until
from .raw import CERTIFICATE, unused_port


def dial(host: str, port: int, *, seconds: float, **options: Any) -> Any:
    return in_time(
        lambda deadline: dialing.dial(host, port, deadline=deadline, **options),
        seconds,
        undo=lambda sock: sock.close(),
        name="dialing",
    )


@pytest.fixture
def certificate() -> Path:
    """Key and certificate for localhost."""
    return CERTIFICATE


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serve connections with a function, each in a thread; gives the port."""
    listeners = []

    def start(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer(client: socket.socket) -> None:
            with client:
                try:
                    handle(client)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.settimeout(60)
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        # Wakes the thread that waits in accept; close alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def with_tls(
    certificate: Path, handle: Callable[[socket.socket], None]
) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def secure(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as wrapped:
            handle(wrapped)

    return secure


def echo(client: socket.socket) -> None:
    while data := client.recv(1000):
        client.sendall(data.upper())


def connect_proxy(client: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    host, _, port = head.split(b" ")[1].decode().rpartition(":")
    with socket.create_connection((host, int(port)), 60) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
        pump({client: server, server: client})


def pump(others: Mapping[socket.socket, socket.socket]) -> None:
    """Pass on what comes to the other side; in one thread, since TLS must not be read and written
    at the same time."""
    while True:
        # What TLS has decrypted already, no select can see.
        ready = [one for one in others if isinstance(one, ssl.SSLSocket) and one.pending()]
        ready = ready or select.select([*others], [], [], 60)[0]
        if not ready:
            return
        for one in ready:
            data = one.recv(1000)
            if not data:
                return
            others[one].sendall(data)


@pytest.mark.parametrize("proxy_is_secure", [False, True])
@pytest.mark.parametrize("is_secure", [False, True])
def test_tls_to_the_proxy_and_to_the_end(
    certificate: Path,
    serve: Callable[[Callable[[socket.socket], None]], int],
    monkeypatch: pytest.MonkeyPatch,
    is_secure: bool,
    proxy_is_secure: bool,
) -> None:
    """A proxy may be reached by TLS, and TLS may go through it as well."""
    monkeypatch.setattr(dialing, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    end = serve(with_tls(certificate, echo) if is_secure else echo)
    proxy = serve(with_tls(certificate, connect_proxy) if proxy_is_secure else connect_proxy)
    scheme = "https" if proxy_is_secure else "http"
    opened = dial(
        "localhost",
        end,
        is_secure=is_secure,
        proxy=f"{scheme}://user:pass@localhost:{proxy}",
        seconds=60,
    )
    opened.sendall(b"hello")

    assert b"HELLO" == opened.recv(100)
    opened.close()


def test_a_certificate_that_is_not_trusted_is_refused(
    certificate: Path, serve: Callable[[Callable[[socket.socket], None]], int]
) -> None:
    """TLS means that the other end is known."""
    port = serve(with_tls(certificate, echo))

    with pytest.raises(ssl.SSLCertVerificationError):
        dial("localhost", port, is_secure=True, proxy=None, seconds=60)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"",
        b"nonsense\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_a_proxy_that_does_not_connect_is_an_error(
    serve: Callable[[Callable[[socket.socket], None]], int], answer: bytes
) -> None:
    """Refusal, nonsense and a reset are one failure, without the login in it."""

    def refuse(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(answer)
        if not answer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    port = serve(refuse)
    with pytest.raises(dialing.ProxyError, match="proxy") as raised:
        dial(
            "x.test",
            80,
            is_secure=False,
            proxy=f"http://me:secret@127.0.0.1:{port}",
            seconds=60,
        )

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("is_secure", [False, True])
def test_an_answer_that_drips_is_given_up(
    serve: Callable[[Callable[[socket.socket], None]], int], is_secure: bool
) -> None:
    """The proxy's as well as TLS's greeting, however many bytes come in the meantime."""
    left: list[bool] = []
    over = threading.Event()

    def drip(client: socket.socket) -> None:
        client.recv(10_000)
        client.sendall(b"\x16\x03\x03\x40\x00")
        try:
            for _ in range(3000):
                client.sendall(b"x")
                over.wait(0.02)
        except OSError:
            left.append(True)

    port = serve(drip)
    proxy = None if is_secure else f"http://127.0.0.1:{port}"
    with pytest.raises(TimeoutError):
        dial("127.0.0.1", port, is_secure=is_secure, proxy=proxy, seconds=0.3)

    until(lambda: left)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
def test_a_proxy_that_is_not_there(scheme: str) -> None:
    """It is told from a host that is not there, and its login from neither."""
    with pytest.raises(dialing.ProxyError, match="proxy") as raised:
        dial(
            "localhost",
            80,
            is_secure=False,
            proxy=f"{scheme}://me:secret@127.0.0.1:{unused_port()}",
            seconds=60,
        )

    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
