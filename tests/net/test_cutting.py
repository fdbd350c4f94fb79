"""Sockets that are cut while a thread waits on them."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from urllib3.util.ssltransport import SSLTransport

from poe_proxy.net.background import Background
from poe_proxy.net.cutting import Handle, cut

from ..fakes import until
from .raw import CERTIFICATE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def tls(one: socket.socket, other: socket.socket) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """The same two ends, with TLS between them."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATE)
    server = Background(lambda: theirs.wrap_socket(other, server_side=True))
    ours = ssl.create_default_context(cafile=CERTIFICATE)
    return ours.wrap_socket(one, server_hostname="localhost"), server.result()


def test_a_read_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    """With nothing read; the other end hears of it, too."""
    one, other = pair
    reading = Background(lambda: one.recv(1))
    cut(one)

    assert b"" == reading.result()
    assert b"" == other.recv(1)


def test_a_read_through_tls_ends(pair: tuple[socket.socket, socket.socket]) -> None:
    """As any other."""
    one, other = tls(*pair)
    with one, other:
        reading = Background(lambda: one.recv(1))
        cut(one)

        assert b"" == reading.result()


def test_tls_is_left_to_its_thread(pair: tuple[socket.socket, socket.socket]) -> None:
    """It is cut beneath, so that a thread in the middle of it does not lose its footing."""
    one, other = tls(*pair)
    with one, other:
        cut(one)

        assert one.version() is not None


def test_tls_within_tls(pair: tuple[socket.socket, socket.socket]) -> None:
    """The real socket is found beneath both."""
    one, other = pair
    # Nothing is said through it.
    transport = object.__new__(SSLTransport)
    transport.socket = one
    cut(transport)

    assert b"" == other.recv(1)


def test_a_reset(pair: tuple[socket.socket, socket.socket]) -> None:
    """The socket lingers for no time when it is closed; without being asked for, it does not."""
    one, other = pair
    cut(one, reset=True)
    cut(other)

    assert (1, 0) == struct.unpack("ii", one.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
    assert (0, 0) == struct.unpack("ii", other.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))


def test_what_is_no_connection_any_more(pair: tuple[socket.socket, socket.socket]) -> None:
    """A socket that is cut or closed, or was never there, is left alone."""
    one, _ = pair
    cut(one)
    cut(one)
    one.close()
    cut(one)
    cut(one, reset=True)
    cut(None)


def test_a_handle_cuts_what_tls_has_taken_over(pair: tuple[socket.socket, socket.socket]) -> None:
    """The socket that it was made of is empty by then, and its thread waits on another one."""
    one, other = pair
    handle = Handle(one)
    greeting = Background(lambda: tls_of(one))
    until(lambda: one.fileno() < 0)
    assert other.recv(65536)  # it has greeted, and waits for an answer
    handle.cut()

    with pytest.raises(ssl.SSLEOFError):
        greeting.result()
    assert b"" == other.recv(65536)
    handle.close()


def tls_of(one: socket.socket) -> ssl.SSLSocket:
    return ssl.create_default_context(cafile=CERTIFICATE).wrap_socket(
        one, server_hostname="localhost"
    )


def test_a_handle_that_is_closed_does_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """The socket goes on without it."""
    one, other = pair
    handle = Handle(one)
    handle.close()
    handle.cut()
    one.sendall(b"x")

    assert b"x" == other.recv(1)


def test_a_socket_of_gevent_s_that_is_closed_is_left_alone() -> None:
    """It may be asked for nothing but whether it is one."""
    code = (
        "from gevent import monkey\n"
        "monkey.patch_all()\n"
        "import socket\n"
        "from poe_proxy.net.cutting import cut\n"
        "one, other = socket.socketpair()\n"
        "one.close()\n"
        "cut(one, reset=True)\n"
        "other.close()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
