"""The metrics on a port of their own, for this machine alone, which needs no key."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
#: Seconds that a client has for its request, and for reading the answer.
PATIENCE: Final = 10.0
#: Seconds within which `close` is noticed.
_POLL: Final = 1.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Without asking the net for the name of this machine.
        TCPServer.server_bind(self)
        self.named()

    def named(self) -> None:
        """Know the name and port of its socket."""
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over it: a client that hung up is no fault."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: it is asked every few seconds."""


class Listener:
    """Serves `GET /metrics` at a port."""

    def __init__(
        self,
        port: int,
        text: Callable[[str], tuple[bytes, str]],
        *,
        inherited: int | None = None,
    ) -> None:
        """*text* is `Metrics.text`; *inherited* is the descriptor of a socket that listens there
        already, and at which other workers answer too."""
        self._port = port
        self._inherited = inherited
        self._text = text
        self._server: _Server | None = None

    def start(self) -> None:
        """Begin to listen; that the port is taken is logged, and no reason to stop."""
        try:
            self._server = self._made()
        except OSError as failure:
            log.error("METRICS_PORT: no metrics at %s:%d: %s", HOST, self._port, failure.strerror)
            return
        self._server.set_app(self._answer)
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="metrics", daemon=True
        ).start()
        log.info("metrics at http://%s:%d/metrics", HOST, self.port)

    def _made(self) -> _Server:
        if self._inherited is None:
            return _Server((HOST, self._port), _Handler)
        server = _Server((HOST, self._port), _Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = socket.socket(fileno=os.dup(self._inherited))
        # Another worker may have been faster: then this one goes on waiting for the next.
        server.socket.setblocking(False)
        server.named()
        return server

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port if self._server is None else self._server.server_port

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"The metrics are at /metrics.\n"]
        body, content_type = self._text(environ.get("HTTP_ACCEPT", ""))
        start_response("200 OK", [("Content-Type", content_type)])
        return [body]
