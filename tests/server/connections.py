"""Connections for tests: both ends of one, and what gunicorn makes of what comes on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from poe_proxy.server.connection import Connection, HeadTooLarge, Keeper


class Request:
    """gunicorn's request, as far as a connection knows it."""

    def __init__(self, *, awaits_go_on: bool = False) -> None:
        self._expected_100_continue = awaits_go_on
        self.is_last = False

    def force_close(self) -> None:
        self.is_last = True


class Body:
    """gunicorn's body: what it reads comes from the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, size: int) -> bytes:
        return self._connection.recv(size)


@contextmanager
def pair(keeper: Keeper | None = None) -> Iterator[tuple[Connection, socket.socket]]:
    """Our end of a connection by a Unix socket, and the client's."""
    ours, theirs = socket.socketpair()
    with theirs, Connection.take(ours, keeper) as connection:
        yield connection, theirs


@contextmanager
def tcp_pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Our end of a connection by TCP, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with theirs, Connection.take(ours) as connection:
        yield connection, theirs


def read_until_refused(ours: Connection, send: Callable[[], object] = lambda: None) -> int:
    """Read a head, of which *send* sends more each time; return how much was read of it."""
    read = 0
    while True:
        send()
        try:
            read += len(ours.recv(8192))
        except HeadTooLarge:
            return read
