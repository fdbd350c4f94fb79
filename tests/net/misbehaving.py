"""Ways in which the other end breaks off an exchange."""

from __future__ import annotations

import socket
import struct

from .raw import Visitor


def ends(visitor: Visitor) -> None:
    visitor.request()


def resets(visitor: Visitor) -> None:
    """As something on the way does that has forgotten the connection."""
    visitor.request()
    visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nonsense(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"SSH-2.0-OpenSSH\r\n\r\n")


def half_a_head(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\nContent-")


def half_a_body(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def half_a_stream(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.chunk(b"half")


def no_chunk(visitor: Visitor) -> None:
    half_a_stream(visitor)
    visitor.send(b"half\r\n")
