"""The client socket beneath WSGI: is the client still there, and does its body arrive?

gunicorn notices that a client has left only when it writes to it, and waits for ever for a slow
body and for a client that has stopped reading. No setting changes that, so it is done here, except
for servers that do not hand out their socket, and for TLS sockets, which cannot be peeked.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from poe_proxy.net.cutting import cut


class ClientGone(Exception):
    """The client hung up; an answer would go nowhere."""


class ClientSocket:
    """The socket of one request."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")

    def is_gone(self) -> bool:
        """Whether the client has hung up. Does not wait, and consumes nothing."""
        if self._socket is None or isinstance(self._socket, ssl.SSLSocket):
            return False
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0)) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):  # ValueError: closed on our side
            return True

    def limit_writes(self, seconds: float) -> None:
        """Make a write fail once the client has taken nothing for *seconds*.

        A client that stays but does not read, or that fell off the network, would otherwise
        hold an account for ever. Only Linux has this, and only for TCP.
        """
        if self._socket is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with suppress(OSError):
                self._socket.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds)
                )

    def cut(self) -> None:
        """Cut the connection: what the client still sends will not be read."""
        # With a reset when gunicorn closes it: a client that is still sending would otherwise
        # wait a minute for a window that never opens, and not read its answer.
        cut(self._socket, reset=True)

    def stop_reading(self) -> None:
        """Read nothing more from the client; what is sent to it still arrives."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Cut the connection if the block, which reads from it, takes longer than *seconds*."""
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
