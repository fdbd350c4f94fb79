"""The client socket beneath WSGI: is the client still there, does its body arrive.

gunicorn notices a client that left only when it writes to it, and waits for ever for a slow
body and for a reader that has stopped (none has a setting), so all are looked after here.
Servers that do not hand out their socket, and TLS sockets, which cannot be peeked, go without.
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
    """The client hung up; an answer would reach nothing."""


class ClientSocket:
    """The socket of one request."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")

    def is_gone(self) -> bool:
        """Whether the client has hung up. Looks without waiting, and reads nothing away."""
        if self._socket is None or isinstance(self._socket, ssl.SSLSocket):
            return False
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0)) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):  # ValueError: closed on our side
            return True

    def limit_writes(self, seconds: float) -> None:
        """Let a write fail once the client has taken nothing for *seconds*.

        A client that stays and does not read, or that fell off the network, would otherwise
        hold an account for ever. Only Linux has this, and only for TCP.
        """
        if self._socket is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with suppress(OSError):
                self._socket.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds)
                )

    def cut(self) -> None:
        """Shut the connection: what the client still sends will not be read."""
        # Closed by gunicorn, it shall be reset: a client that is still sending would otherwise
        # wait a minute for a window that never opens, and not read its answer.
        cut(self._socket, reset=True)

    def no_more(self) -> None:
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
