"""Connections of urllib3 that can be cut while a request waits on them.

urllib3 blocks, and its answer may no longer be wanted. So each connection knows the request that
uses it, and can be cut from another thread. Back in the pool, it has that request still noted: a
cut that comes then must not hit the next request.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final, Protocol

from poe_proxy.net.cutting import Handle, cut
from poe_proxy.net.http1 import MAX_HEAD

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection as _Urllib3Connection
else:
    _Urllib3Connection = object


class User(Protocol):
    """A request that uses connections. Whatever a method raises ends the request."""

    def uses(self, connection: Connection) -> None:
        """Note *connection*: opened for this request, or taken from the pool."""

    def goes_out(self) -> None:
        """Note that the connection is there, and the request is about to be sent on it."""


class _ThisThread(threading.local):
    #: What the connections that this thread opens and takes are used for.
    user: User | None = None


_this_thread: Final = _ThisThread()


@contextmanager
def used_by(user: User) -> Iterator[None]:
    """Report to *user* the connections that this thread opens and takes within the block."""
    _this_thread.user = user
    try:
        yield
    finally:
        _this_thread.user = None


class _Lines:
    """The file of an answer, whose lines are bounded in all until something else is read.

    http.client bounds each line and the number of headers, which leaves six megabytes of them; and
    neither it nor urllib3 bounds how many heads or trailers come.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._held = 0

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        self._held += len(line)
        if self._held > MAX_HEAD:
            raise HTTPException("a head without an end")
        return line

    def __getattr__(self, name: str) -> Any:
        self._held = 0
        return getattr(self._file, name)


class _Answer(HTTPResponse):
    """An answer whose head is bounded."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fp: Any = _Lines(self.fp)


class Connection(_Urllib3Connection):
    """Mixed into urllib3's connections."""

    response_class = _Answer

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._user: User | None = None
        self._is_cut = False
        #: What it is cut by until it is connected.
        self._handle: Handle | None = None
        #: The same afterwards: an answer that ends with the connection takes `sock` along.
        self._connected: Any = None
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Connect, for the user of this thread."""
        self._note_user()
        try:
            super().connect()
        finally:
            with self._lock:
                self._connected = self.sock
                handle, self._handle = self._handle, None
            if handle is not None:
                handle.close()

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        with self._lock:
            self._handle = Handle(sock)
        if self._user is not None:
            try:
                # It may have given up while there was nothing to cut.
                self._user.uses(self)
            except BaseException:
                sock.close()
                raise
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, unless its user objects."""
        self._note_user()
        if self.sock is None:
            self.connect()
        if user := _this_thread.user:
            user.goes_out()
        super().request(*args, **options)

    def cut(self, user: User) -> None:
        """Cut the connection, if *user* still uses it."""
        with self._lock:
            if self._user is not user:
                return
            # With a reset when its thread closes it: a sender blocked by a full window would
            # not notice a plain end for minutes.
            if self._handle is not None:
                self._is_cut = True
                self._handle.cut(reset=True)
            elif self._connected is not None:
                self._is_cut = True
                cut(self._connected, reset=True)

    def _note_user(self) -> None:
        with self._lock:
            self._user = _this_thread.user
            if self._is_cut:
                # Its last user cut it when it was in the pool already.
                self.close()
                self._is_cut = False
        if self._user is not None:
            self._user.uses(self)


def adapted(connection: Any) -> Any:
    """Return *connection*, a class of urllib3's, with what is added here."""
    return type("Connection", (Connection, connection), {})
