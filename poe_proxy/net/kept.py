"""Connections to one host that lie idle until the next request."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

from poe_proxy.net.cutting import beneath, cut

#: Seconds that a connection may lie idle and still be used. What is in between may drop one in
#: silence, and the fate of a request on such a connection is uncertain.
KEEP_IDLE: Final = 30.0


class Connection:
    """A connection, with all that lies between us and the other end."""

    __slots__ = ("can_pause", "idle_since", "sock")

    def __init__(self, sock: Any) -> None:
        #: A socket, with TLS or not.
        self.sock = sock
        #: Whether a time-out while sending leaves it usable, as it does not with TLS within TLS.
        self.can_pause = isinstance(sock, socket.socket)
        self.idle_since = 0.0

    def is_quiet(self) -> bool:
        """Whether it is open, and nothing has come on it."""
        sock = beneath(self.sock)
        try:
            sock.settimeout(0.0)
            # Not the method of a socket with TLS, which cannot peek.
            socket.socket.recv(sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # its end, or something that nobody has asked for

    def cut(self) -> None:
        """End whatever waits on it, in any thread; closing it is left to that thread."""
        # With a reset when it is closed: a sender blocked by a full window would not notice a
        # plain end for minutes.
        cut(self.sock, reset=True)

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self.sock.close()


class Kept:
    """The idle connections to one host; the one that was used last is used next."""

    def __init__(self, at_most: int, keep_idle: float = KEEP_IDLE) -> None:
        """At most so many are kept, *keep_idle* seconds each."""
        self._at_most = at_most
        self._keep_idle = keep_idle
        self._idle: deque[Connection] = deque()
        self._is_closed = False
        #: Held by whoever gives a connection back or cuts one, so that nobody cuts a connection
        #: that has gone to somebody else. Nothing waits for anything while it is held.
        self.lock = threading.Lock()

    def take(self) -> Connection | None:
        """Return a connection that can be used, or None."""
        while True:
            with self.lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if self._is_fresh(connection) and connection.is_quiet():
                return connection
            connection.close()

    def keep(self, connection: Connection) -> bool:
        """Keep *connection* for the next request; return whether that is done. The lock is held."""
        if self._is_closed or not self._at_most:
            return False
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        while len(self._idle) > self._at_most or not self._is_fresh(self._idle[0]):
            self._idle.popleft().close()
        return True

    def close(self) -> None:
        """Close all of them, and keep none from now on."""
        with self.lock:
            self._is_closed = True
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _is_fresh(self, connection: Connection) -> bool:
        return time.monotonic() - connection.idle_since < self._keep_idle
