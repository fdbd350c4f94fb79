"""Sockets that are cut while another thread waits on them."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Final

from urllib3.util.ssltransport import SSLTransport

#: Linger for no time at all.
_RESET: Final = struct.pack("ii", 1, 0)


def cut(sock: socket.socket | SSLTransport | None, *, reset: bool = False) -> None:
    """Shut *sock* in both directions: whatever a thread waits for on it ends at once.

    Closing it is left to that thread. With *reset* the other end then hears of a reset instead of
    an end. A socket that is closed already, or None, is left alone.
    """
    # TLS within TLS, as through a proxy that is reached by TLS: the real socket is further down.
    while isinstance(sock, SSLTransport):
        sock = sock.socket
    if sock is None:
        return
    # Beneath TLS, which the thread may be in the middle of: `SSLSocket.shutdown` would take it
    # out of its hands.
    with suppress(OSError):
        if reset:
            socket.socket.setsockopt(sock, socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
