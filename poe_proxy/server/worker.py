"""gunicorn's worker, which looks after its connections.

A mixin: `gunicorn.conf.py` puts it before the worker whose greenlets do the work. gunicorn ships
no types: `_Worker` has what is used of it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from poe_proxy import flight, logs
from poe_proxy.server import connection
from poe_proxy.server.connection import Connection, HeadTooLarge, Request
from poe_proxy.server.connections import Connections
from poe_proxy.server.gunicorn import write_error

if TYPE_CHECKING:

    class _Config(Protocol):
        settings: Mapping[str, object]

    class _Worker:
        cfg: _Config
        sockets: Sequence[socket.socket]
        worker_connections: int

        def __init__(self, *args: Any) -> None: ...

        def run(self) -> None: ...

        def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None: ...

        def handle_request(
            self, listener_name: Any, req: _Request, sock: socket.socket, addr: Any
        ) -> object: ...

        def handle_error(
            self, req: _Request | None, client: socket.socket, addr: Any, exc: BaseException
        ) -> None: ...

else:
    _Worker = object


#: The setting that gunicorn's hooks change while a worker runs.
_CHANGES: Final = "graceful_timeout"


class _Unreader(Protocol):
    """What gunicorn has read, and not used yet."""

    buf: BytesIO


class _Body(Protocol):
    """A body as gunicorn reads it."""

    #: What reads it according to its framing.
    reader: object


class _Request(Request, Protocol):
    unreader: _Unreader
    body: _Body


def _let_go(request: _Request) -> None:
    """Let go of the body of *request*, which will not be read any further.

    What reads its chunks knows the request, and they would hold each other, with all that was read,
    until the garbage collector finds them.
    """
    request.body.reader = None


def settle(config: _Config) -> None:
    """Let the settings in *config* be plain attributes, but for the one that changes: gunicorn asks
    a function for each, two dozen times for each request, which is a fortieth of its cost."""
    found = {name: getattr(config, name) for name in config.settings if name != _CHANGES}
    vars(config).update(found)


class Guarded(_Worker):
    """A worker whose clients cannot hold it up, nor each other."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections = Connections(self.worker_connections)

    def run(self) -> None:
        """Serve until the end."""
        settle(self.cfg)
        for listener in self.sockets:
            # What is accepted inherits it.
            connection.limit_writes(listener, connection.WRITE_TIMEOUT)
        super().run()

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        """Serve one client for as long as its connection lasts."""
        if isinstance(client, ssl.SSLSocket):
            # Only if somebody gave gunicorn a certificate: nginx does that for us.
            super().handle(listener, client, addr)
            return
        taken = Connection.take(client, self._connections)
        with self._connections.place(taken):
            super().handle(listener, taken, addr)

    def handle_request(
        self, listener_name: Any, req: _Request, sock: socket.socket, addr: Any
    ) -> None:
        """Answer one request. Raises `StopIteration` if it is the last one of its connection."""
        if not isinstance(sock, Connection):
            super().handle_request(listener_name, req, sock, addr)
            return
        sock.begin(req)
        is_last = True
        try:
            super().handle_request(listener_name, req, sock, addr)
            is_last = False
        except StopIteration:
            pass
        finally:
            sock.end()
            flight.current.set(None)
            logs.request_id.set("-")
            if is_last:
                _let_go(req)
        if is_last:
            sock.part()
            raise StopIteration
        sock.give_way(is_ahead=req.unreader.buf.getbuffer().nbytes > 0)

    def handle_error(
        self, req: _Request | None, client: socket.socket, addr: Any, exc: BaseException
    ) -> None:
        """Answer what is no request, or failed beneath the app."""
        if isinstance(exc, HeadTooLarge):
            reason = "Request Header Fields Too Large"
            write_error(client, 431, reason, "The head of the request is too long.")
        else:
            super().handle_error(req, client, addr, exc)
