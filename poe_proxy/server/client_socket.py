"""The client socket beneath WSGI: is the client still there, and what becomes of its connection?

gunicorn notices that a client has left only when it writes to it. No setting changes that, so it
is done here, except for servers that do not hand out their socket, and for TLS sockets, which
cannot be peeked.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from poe_proxy.budget import Budget
from poe_proxy.net.cutting import cut
from poe_proxy.server.connection import Connection, Patience
from poe_proxy.server.hang_ups import hang_ups, has_hung_up
from poe_proxy.waiting import Listener


class ClientGone(Exception):
    """The client hung up; an answer would go nowhere."""


class ClientSocket:
    """The socket of one request."""

    __slots__ = ("_connection", "_socket", "_watched")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._connection = self._socket if isinstance(self._socket, Connection) else None
        self._watched: int | None = None

    def is_gone(self) -> bool:
        """Whether the client has hung up. Does not wait, and consumes nothing."""
        sock = self._socket
        if sock is None or isinstance(sock, ssl.SSLSocket):
            return False
        return has_hung_up(sock)

    def watch(self, listener: Listener) -> bool:
        """Let *listener* know, from now on, as soon as the client hangs up; until `forget`.

        Returns whether nobody need look any more: of a socket that cannot be watched nothing would
        be seen.
        """
        sock = self._socket
        if sock is not None and not isinstance(sock, ssl.SSLSocket):
            try:
                self._watched = hang_ups.watch(sock, listener.hang_up)
            except (OSError, ValueError):  # no descriptor is left for that, or the socket is closed
                return False
        listener.is_watched()
        return True

    def forget(self) -> None:
        """Watch the socket no longer; to be called before it is closed."""
        watched, self._watched = self._watched, None
        if watched is not None:
            hang_ups.forget(watched)

    def cut(self) -> None:
        """Cut the connection: what the client still sends will not be read."""
        # With a reset when gunicorn closes it: a client that is still sending would otherwise
        # wait a minute for a window that never opens, and not read its answer.
        cut(self._socket, reset=True)

    # ---- what only a `Connection` can do; for any other server it is left undone

    def has_key(self) -> None:
        """Note that the request brings a key. Raises `ServerBusy` if too many do at a time."""
        if self._connection is not None:
            self._connection.has_key()

    def close_after_answer(self) -> None:
        """Let the answer say `Connection: close`, and read nothing that comes behind the request.

        To be called before the answer is sent.
        """
        if self._connection is not None:
            self._connection.close_after_answer()

    def awaits_go_on(self) -> bool:
        """Whether the client holds its body back until it is asked for."""
        return self._connection is not None and self._connection.awaits_go_on

    def leave(self, unread: int) -> None:
        """Note that so many bytes of the body are left *unread*, for the server to drain."""
        if self._connection is not None:
            self._connection.leave(unread)

    def receiving(
        self, budget: Budget, patience: Patience, *, in_chunks: bool
    ) -> AbstractContextManager[None]:
        """Read a body within the block: what comes costs *budget*, and *patience* must last.

        *in_chunks*: it has no length. Reading raises an `OSError` once *patience* is over.
        """
        if self._connection is None:
            return nullcontext()
        return self._connection.receiving(budget, patience, in_chunks=in_chunks)
