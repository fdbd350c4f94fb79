"""gunicorn's response, which writes what is at hand at once.

A mixin: `gunicorn.conf.py` puts it before gunicorn's own, which sends the head of an answer by
itself, and each part through four functions. gunicorn ships no types: `_Response` has what is used
of it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:

    class _Response:
        sock: socket.socket
        headers: list[tuple[str, str]]
        headers_sent: bool
        chunked: bool
        sent: int
        _omits_body: bool

        def __init__(self, *args: Any) -> None: ...

        def default_headers(self) -> list[str]: ...

        def write(self, arg: bytes) -> None: ...

else:
    _Response = object

#: The most bytes of a first part that leave together with the head: to join them is to copy them.
JOINED: Final = 65_536


def once_a_second(tell: Callable[[], str]) -> Callable[[], str]:
    """Return *tell*, which tells the time to the second, as it says the same for so long."""
    told = (0, "")

    def tell_again() -> str:
        nonlocal told
        second, words = told
        if second != (now := int(time.time())):
            told = (now, words := tell())
        return words

    return tell_again


class Joined(_Response):
    """A response whose head leaves with the first part, if there is one by then."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: The head, while the part that it leaves with is being written.
        self._head = b""

    def write(self, arg: bytes) -> None:
        """Write a part of the answer: one send, and the first one has the head. If that is empty,
        the head leaves alone."""
        if self.headers_sent:
            if self.chunked and arg:
                self.sent += len(arg)
                self._emit_body(arg)
                return
        elif 0 < len(arg) <= JOINED and not self._omits_body:
            self._head = self._written_head()
            self.headers_sent = True
        super().write(arg)
        if self._head:  # the part is longer than the answer: nothing of it was written
            self._emit_body(b"")

    def send_headers(self) -> None:
        """Send the head by itself, unless it was sent."""
        if not self.headers_sent:
            self.sock.sendall(self._written_head())
            self.headers_sent = True

    def _written_head(self) -> bytes:
        lines = self.default_headers()
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        if self._head:
            data = self._head + data
            self._head = b""
        self.sock.sendall(data)
