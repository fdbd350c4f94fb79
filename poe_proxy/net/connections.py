"""Pooled HTTP connections that can be cut while a request waits on them.

requests blocks, and its answer may no longer be wanted. So each connection knows the request that
uses it, and can be cut from another thread. For a moment it is back in the pool with the request
still noted: a cut in that moment must not hit the next request.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final, Protocol

from requests.adapters import HTTPAdapter

from poe_proxy.net.cutting import Handle, cut
from poe_proxy.net.http1 import MAX_HEAD
from poe_proxy.net.kept import KEEP_IDLE as KEEP_IDLE

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

    #: Set by the adapter.
    keep_idle: float = KEEP_IDLE
    response_class = _Answer

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle_since = time.monotonic()
        self._user: User | None = None
        self._is_cut = False
        #: What it is cut by until it is connected.
        self._handle: Handle | None = None
        #: The same afterwards: an answer that ends with the connection takes `sock` along.
        self._connected: Any = None
        self._lock = threading.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether it may be used again; read when it is taken from the pool."""
        return super().is_connected and time.monotonic() - self._idle_since < self.keep_idle

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

    def is_idle(self) -> None:
        """Note that it lies idle from now on, and that nobody uses it."""
        self._idle_since = time.monotonic()
        with self._lock:
            self._user = None

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
                # Its last user was given up at the very moment when it went back to the pool.
                self.close()
                self._is_cut = False
        if self._user is not None:
            self._user.uses(self)


class Adapter(HTTPAdapter):
    """requests' own adapter, with connections that can be cut."""

    def __init__(self, keep_idle: float, connections: int) -> None:
        """So many *connections* are kept for reuse, *keep_idle* seconds each; more may be open at
        a time."""
        self._keep_idle = keep_idle
        super().__init__(pool_connections=2, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the manager of direct connections."""
        super().init_poolmanager(*args, **options)
        self._adapt(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the manager of connections through *proxy*."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            self._adapt(manager)
        return manager

    def _adapt(self, manager: Any) -> None:
        # Each kind of proxy has connection classes of its own.
        manager.pool_classes_by_scheme = {
            scheme: self._adapted(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def _adapted(self, pool: Any) -> Any:
        connection = adapted(pool.ConnectionCls, self._keep_idle)
        return type("Pool", (pool,), {"ConnectionCls": connection})


def adapted(connection: Any, keep_idle: float = KEEP_IDLE) -> Any:
    """Return the class of urllib3's *connection* with what is added here."""
    return type("Connection", (Connection, connection), {"keep_idle": keep_idle})
