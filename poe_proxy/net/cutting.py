"""Sockets that are cut while another thread waits on them."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any, Final

#: Linger for no time at all.
_RESET: Final = struct.pack("ii", 1, 0)


def beneath(sock: Any) -> socket.socket:
    """Return the real socket beneath TLS within TLS, as through a proxy that is reached by TLS."""
    # A socket itself is asked for nothing: one of gevent's that is closed would raise OSError.
    while not isinstance(sock, socket.socket) and (inner := getattr(sock, "socket", None)):
        sock = inner
    real: socket.socket = sock
    return real


def cut(sock: Any, *, reset: bool = False) -> None:
    """Shut *sock* in both directions: a thread that waits on it stops waiting at once.

    Closing it is left to that thread. With *reset* the other end then gets a reset instead of an
    end. A socket that is closed already, or None, is left alone.
    """
    if sock is None:
        return
    sock = beneath(sock)
    # Not `SSLSocket.shutdown`, which would take TLS away from the thread that is using it.
    with suppress(OSError):
        if reset:
            socket.socket.setsockopt(sock, socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Handle:
    """A second handle on a socket, to cut it by whatever its thread makes of it.

    TLS takes a socket over before its handshake, and gives the new one out only after it: in
    between there would be nothing to cut.
    """

    def __init__(self, sock: Any) -> None:
        """*sock* is connected. The handle is to be closed, whatever becomes of the socket."""
        self._twin = socket.socket(fileno=os.dup(beneath(sock).fileno()))

    def cut(self, *, reset: bool = False) -> None:
        """Shut the socket as `cut` does; nothing happens once the handle is closed."""
        cut(self._twin, reset=reset)

    def close(self) -> None:
        """Give the handle up; the socket stays as it is."""
        self._twin.close()
