"""Requests that can be given up at any moment, on pooled connections. Here are the sockets.

requests blocks, and a reply has to give a sign of life every `TICK` seconds and to end the moment
it is closed. So a thread of its own reads each answer and leaves what comes, up to a limit.
Whoever waits there can stop waiting at any time, and cut the connection, which ends the thread.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import TimeoutError as TookTooLong

from poe_proxy.errors import (
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection as _Urllib3Connection
else:
    _Urllib3Connection = object

CONNECT: Final = 10.0
#: Seconds that a connection may lie idle and still be used. Whoever is in between may forget
#: one without a word, and a request on such a connection has an uncertain fate.
KEEP_IDLE: Final = 30.0

_READ_AT_ONCE: Final = 65536
#: Linger for no time at all.
_RESET: Final = struct.pack("ii", 1, 0)
#: Bytes that may wait to be taken. A client that reads slowly slows the bot down, and does not
#: fill our memory.
_AHEAD_AT_MOST: Final = 500_000


@dataclass(frozen=True, slots=True)
class Head:
    """The answer has begun."""

    status: int
    #: Looked up in any case.
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete."""


#: What comes of an exchange: a head, pieces of the body, and the end; or a failure at any point.
Letter: TypeAlias = Head | bytes | End | UpstreamError


class Wire:
    """The way to one host."""

    def __init__(
        self,
        url: str,
        *,
        read_timeout: float,
        proxy: str | None = None,
        connections: int = 50,
        keep_idle: float = KEEP_IDLE,
        verify: bool | str = True,
    ) -> None:
        """*read_timeout* is how long a read may wait: a last resort, for whoever asks has limits
        of his own. So many *connections* are kept for reuse; there can be more at a time.

        *verify* may name a file of certificates to trust instead of the usual ones.
        """
        self._url = url.rstrip("/")
        self._timeout = (CONNECT, read_timeout)
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._verify = verify
        self._adapter = _Adapter(keep_idle, connections)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Exchange:
        """Send a request and return at once; the exchange has what comes of it."""
        # Prepared by hand: a Session would look for cookies, redirects and the environment's
        # proxies with each request, and none of them is wanted here.
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = self._url + path
        request.prepare_headers(
            {"User-Agent": "poe-proxy", **headers, "Accept-Encoding": "identity"}
        )
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        exchange = Exchange()
        threading.Thread(target=self._run, args=(exchange, request), daemon=True).start()
        return exchange

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._adapter.close()

    def _run(self, exchange: Exchange, request: requests.PreparedRequest) -> None:
        _this_thread.exchange = exchange
        failure: Exception | None = None
        try:
            # What is read to its end goes back to the pool; anything else is closed.
            with self._adapter.send(
                request,
                stream=True,
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies,
            ) as answer:
                exchange.read(answer)
        except Exception as caught:  # whatever it is, somebody waits for a letter
            failure = caught
        exchange.ended(failure)


# ---- one request and its answer


class GivenUp(Exception):
    """Nobody wants the answer any more."""


@dataclass(slots=True)
class Exchange:
    """A request on its way, and the letters that its thread leaves."""

    _letters: queue.SimpleQueue[Letter] = field(default_factory=queue.SimpleQueue)
    #: Bytes that were left, and that were taken. Each is written by one side only.
    _left: int = 0
    _taken: int = 0
    #: What the thread waits for when it is too far ahead.
    _room: threading.Event | None = None
    #: Set when the request is about to go out: before that, nothing can have happened at Poe.
    _is_sent: bool = False
    _has_head: bool = False
    #: Set when the connection is no longer ours: the answer is complete, or has failed.
    _is_over: bool = False
    _is_given_up: bool = False
    _connection: _Connection | None = None

    # ---- for whoever asks

    def wait(self, seconds: float) -> list[Letter]:
        """Return the letters that are there, as soon as there is one; none after *seconds*.

        Pieces of the body that came meanwhile come as one.
        """
        letters: list[Letter] = []
        with suppress(queue.Empty):
            letters.append(self._letters.get(timeout=max(0.0, seconds)))
            while True:
                letters.append(self._letters.get_nowait())
        if len(letters) > 1:
            letters = list(_joined(letters))
        self._taken += sum(len(letter) for letter in letters if isinstance(letter, bytes))
        if self._room is not None:
            self._room.set()
        return letters

    def close(self, *, patience: float = 0.0) -> None:
        """Give the exchange up. Unless it is over, its connection is cut.

        *patience* is for an answer of which only the very end is missing: a connection that
        is read to the end can be used again.
        """
        until = time.monotonic() + patience
        while not self._is_over and (left := until - time.monotonic()) > 0:
            self.wait(left)
        self._is_given_up = True
        if not self._is_over and self._connection is not None:
            self._connection.cut(self)
        if self._room is not None:
            self._room.set()

    # ---- for its thread

    def uses(self, connection: _Connection) -> None:
        """Note the *connection*: opened for this exchange, or taken from the pool.

        Raises `GivenUp`.
        """
        self._connection = connection
        self._go_on()

    def goes_out(self) -> None:
        """Say that the connection is there, and the request is about to be sent.

        Raises `GivenUp`.
        """
        # `close` sets its flag first and then cuts whatever socket there is. So either it finds
        # the socket, or its flag is found here: no request goes out that nobody waits for.
        self._go_on()
        self._is_sent = True

    def read(self, answer: requests.Response) -> None:
        """Leave what comes. Raises `GivenUp`, and whatever reading raises."""
        self._has_head = True
        self._letters.put(Head(answer.status_code, answer.headers))
        # The one call that is prompt for every framing of the body.
        while data := answer.raw.read1(_READ_AT_ONCE, decode_content=True):
            self._left += len(data)
            self._letters.put(data)
            while self._is_too_far_ahead():
                self._room = threading.Event()
                # Once more, for whoever took something before there was an event to set.
                if self._is_too_far_ahead():
                    self._room.wait()
            self._go_on()

    def ended(self, failure: Exception | None) -> None:
        """Leave the last letter."""
        self._is_over = True
        if failure is None:
            if self._connection is not None:
                self._connection.idle_since = time.monotonic()
            self._letters.put(End())
        elif not self._is_given_up:
            self._letters.put(self._meaning(failure))

    def _go_on(self) -> None:
        if self._is_given_up:
            raise GivenUp

    def _is_too_far_ahead(self) -> bool:
        return self._left - self._taken > _AHEAD_AT_MOST and not self._is_given_up

    def _meaning(self, failure: Exception) -> UpstreamError:
        """Return what a failure of requests or urllib3 means: how far we had come decides.

        Its words hold addresses, and stay here; the name of its class says enough.
        """
        inner = failure.args[0] if failure.args else None
        reason = getattr(inner, "reason", inner)
        name = type(reason if isinstance(reason, Exception) else failure).__name__
        if not self._is_sent:
            return UpstreamUnreachable(f"Poe's API cannot be reached ({name}).")
        if isinstance(failure, requests.Timeout | TookTooLong):
            return UpstreamTimeout("Poe's API did not answer in time.")
        if self._has_head:
            return UpstreamInterrupted(f"Poe's reply broke off ({name}).")
        return UpstreamUncertain(f"The connection to Poe's API broke before it answered ({name}).")


def _joined(letters: Iterable[Letter]) -> Iterator[Letter]:
    for kind, some in groupby(letters, type):
        if kind is bytes:
            yield b"".join(cast("Iterator[bytes]", some))
        else:
            yield from some


# ---- connections that can be cut while somebody waits on them


class _ThisThread(threading.local):
    #: What the connections that this thread opens and takes are used for.
    exchange: Exchange | None = None


_this_thread: Final = _ThisThread()


class _Connection(_Urllib3Connection):
    """Mixed into urllib3's connections: each is known to the exchange that uses it."""

    #: Set by the adapter.
    keep_idle: float = KEEP_IDLE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.idle_since = time.monotonic()
        self._user: Exchange | None = None
        self._is_cut = False
        self._lock = threading.Lock()

    @property
    def is_connected(self) -> bool:
        """Whether it may be used again; asked when it is taken from the pool."""
        return super().is_connected and time.monotonic() - self.idle_since < self.keep_idle

    def connect(self) -> None:
        """Connect, for the exchange of this thread."""
        self._note_user()
        super().connect()

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, unless its exchange was given up meanwhile."""
        self._note_user()
        if self.sock is None:
            self.connect()
        if exchange := _this_thread.exchange:
            exchange.goes_out()
        super().request(*args, **options)

    def cut(self, exchange: Exchange) -> None:
        """Shut the socket, if it is still *exchange* that uses it."""
        with self._lock:
            if self._user is exchange and self.sock is not None:
                self._is_cut = True
                # Beneath TLS, which the exchange's thread may be in the middle of.
                bare = getattr(self.sock, "socket", self.sock)
                with suppress(OSError):
                    # To be reset when its thread closes it: a sender that stands before a full
                    # window would not hear of a mere end for minutes.
                    socket.socket.setsockopt(bare, socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    socket.socket.shutdown(bare, socket.SHUT_RDWR)

    def _note_user(self) -> None:
        with self._lock:
            self._user = _this_thread.exchange
            if self._is_cut:
                # Its last user was given up in the very moment when it went back to the pool.
                self.close()
                self._is_cut = False
        if self._user is not None:
            self._user.uses(self)


class _Adapter(HTTPAdapter):
    """requests' own way to the wire, with connections of ours."""

    def __init__(self, keep_idle: float, connections: int) -> None:
        self._keep_idle = keep_idle
        super().__init__(pool_connections=2, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._adapt(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            self._adapt(manager)
        return manager

    def _adapt(self, manager: Any) -> None:
        # Each way through has classes of its own, those of socks proxies among them.
        manager.pool_classes_by_scheme = {
            scheme: self._adapted(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def _adapted(self, pool: Any) -> Any:
        facts = {"keep_idle": self._keep_idle}
        connection = type("Connection", (_Connection, pool.ConnectionCls), facts)
        return type("Pool", (pool,), {"ConnectionCls": connection})
