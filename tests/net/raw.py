"""A server on loopback that does to a socket what a test wants, byte by byte, TLS or not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeAlias

#: A certificate for localhost, 127.0.0.1 and files.example with its key; it is worth nothing.
CERTIFICATE = Path(__file__).with_name("localhost.pem")

Handler: TypeAlias = Callable[["Visitor"], object]

_unused: list[socket.socket] = []


def unused_port() -> int:
    """A port that refuses connections as long as the process runs.

    It stays bound, so that no other server is given it.
    """
    _unused.append(socket.socket())
    _unused[-1].bind(("127.0.0.1", 0))
    port: int = _unused[-1].getsockname()[1]
    return port


class Visitor:
    """One connection from a client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def request(self) -> bytes | None:
        """Read a request, its body included; None if the client has left instead."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._read():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(self._buffer) < length:
            if not self._read():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head + b"\r\n\r\n" + body

    def _read(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        """Send an answer with a declared length."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def begin(self) -> None:
        """Send the head of a stream in chunked framing."""
        self.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )

    def chunk(self, data: bytes) -> None:
        """Send one chunk of it; an empty one is the end."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def is_left(self, seconds: float = 60.0) -> bool:
        """Wait until the client hangs up; False if it does not."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


class Server:
    """Serves each connection with a handler, in a thread of its own."""

    def __init__(self, handler: Handler, *, tls: bool = False) -> None:
        self._handler = handler
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1100)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        #: Connections that came so far.
        self.visits = 0
        #: What the handlers raised.
        self.failures: list[Exception] = []
        #: Set at the end, for handlers that only wait.
        self.over = threading.Event()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.visits += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            # A client that does not trust us hangs up in the middle of the greeting.
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._handler(Visitor(sock))
        except Exception as failure:
            self.failures.append(failure)
        finally:
            with suppress(OSError):
                sock.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.over.set()
        with suppress(OSError):
            # Wakes a thread that waits in accept; close alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
