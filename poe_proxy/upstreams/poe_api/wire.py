"""Requests that can be given up at any moment, on pooled connections.

requests blocks, but a reply has to give a sign of life every `TICK` seconds, and to end the moment
it is closed. So each answer is read in a thread of its own, which queues what comes, up to a
limit. A reply that waits at the queue can stop waiting at any time and cut the connection, which
ends the thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, TypeAlias, cast

import requests

from poe_proxy.errors import (
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
    let_go,
)
from poe_proxy.net import troubles
from poe_proxy.net.connections import KEEP_IDLE, Adapter, Connection, used_by
from poe_proxy.net.pacing import Flood

#: Seconds that connecting may take.
CONNECT: Final = 10.0

_READ_AT_ONCE: Final = 65536
#: Bytes that may wait in the queue. A client that reads slowly slows the bot down, and does not
#: fill our memory.
_MAX_AHEAD: Final = 250_000


@dataclass(frozen=True, slots=True)
class Head:
    """The answer has begun."""

    status: int
    #: Names are case-insensitive.
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete."""


#: What comes of a transfer: a head, pieces of the body, and the end; or a failure at any point.
Received: TypeAlias = Head | bytes | End | UpstreamError


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
        """*read_timeout* is how long a read may wait, in seconds: a last resort, because callers
        have limits of their own. So many *connections* are kept for reuse; more may be open.

        *verify* may name a file of certificates to trust instead of the usual ones.
        """
        self._url = url.rstrip("/")
        self._timeout = (CONNECT, read_timeout)
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._verify = verify
        self._adapter = Adapter(keep_idle, connections)
        self._under_way: set[Transfer] = set()

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Transfer:
        """Send a request and return at once; the transfer receives its answer."""
        # Prepared by hand: a Session would look for cookies, redirects and the environment's
        # proxies at each request, and none of them is wanted here.
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = self._url + path
        request.prepare_headers(
            {"User-Agent": "poe-proxy", **headers, "Accept-Encoding": "identity"}
        )
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        transfer = Transfer()
        self._under_way.add(transfer)
        threading.Thread(
            target=self._run, args=(transfer, request), name="transfer", daemon=True
        ).start()
        return transfer

    def close(self) -> None:
        """Close all connections. A transfer that is under way fails, as if Poe had hung up."""
        for transfer in tuple(self._under_way):
            transfer.cut()
        self._adapter.close()

    def _run(self, transfer: Transfer, request: requests.PreparedRequest) -> None:
        try:
            # What is read to its end goes back to the pool; anything else is closed.
            with (
                used_by(transfer),
                self._adapter.send(
                    request,
                    stream=True,
                    timeout=self._timeout,
                    verify=self._verify,
                    proxies=self._proxies,
                ) as answer,
            ):
                request.body = None  # the same: it has been sent
                transfer.read(answer)
        except Exception as failure:  # whatever it is: the caller waits for an end or a failure
            self._under_way.discard(transfer)
            transfer.ended(failure)
            let_go(failure)  # urllib3 keeps it in a frame that holds the request
        else:
            self._under_way.discard(transfer)
            transfer.ended(None)


# ---- one request and its answer


class GivenUp(Exception):
    """The answer is not wanted any more."""


@dataclass(slots=True, eq=False)
class Transfer:
    """A request on its way, and what its thread receives."""

    _received: queue.SimpleQueue[Received] = field(default_factory=queue.SimpleQueue)
    #: Bytes that were queued, and that were taken. Each is written by one side only.
    _queued: int = 0
    _taken: int = 0
    #: What the thread waits for when it is too far ahead.
    _room: threading.Event | None = None
    #: Set when the request is about to go out: before that, nothing can have happened at Poe.
    _is_sent: bool = False
    _has_head: bool = False
    #: Set when the connection is no longer ours: the answer is complete, or has failed.
    _is_over: bool = False
    _is_given_up: bool = False
    _connection: Connection | None = None

    # ---- for the caller

    def wait(self, seconds: float) -> list[Received]:
        """Return what was received, as soon as there is something; nothing after *seconds*.

        Pieces of the body that came in the meantime are joined.
        """
        received: list[Received] = []
        with suppress(queue.Empty):
            received.append(self._received.get(timeout=max(0.0, seconds)))
            while True:
                received.append(self._received.get_nowait())
        if len(received) > 1:
            received = list(_joined(received))
        self._taken += sum(len(piece) for piece in received if isinstance(piece, bytes))
        if self._room is not None:
            self._room.set()
        return received

    def close(self, *, patience: float = 0.0) -> None:
        """Give the transfer up. Unless it is over, its connection is cut.

        *patience* is for an answer of which only the very end is missing: a connection that
        is read to the end can be used again.
        """
        until = time.monotonic() + patience
        while not self._is_over and (left := until - time.monotonic()) > 0:
            self.wait(left)
        self._is_given_up = True
        self.cut()
        if self._room is not None:
            self._room.set()

    def cut(self) -> None:
        """Cut the connection, if there is one. The transfer fails, unless it is over."""
        connection = self._connection
        if not self._is_over and connection is not None:
            connection.cut(self)

    # ---- for its thread

    def uses(self, connection: Connection) -> None:
        """Note the *connection*: opened for this transfer, or taken from the pool.

        Raises `GivenUp`.
        """
        self._connection = connection
        self._go_on()

    def goes_out(self) -> None:
        """Note that the connection is there, and the request is about to be sent.

        Raises `GivenUp`.
        """
        # `close` sets its flag first and then cuts the socket if there is one. So either it finds
        # the socket, or its flag is found here: no request goes out whose answer is not wanted.
        self._go_on()
        self._is_sent = True

    def read(self, answer: requests.Response) -> None:
        """Queue what comes. Raises `GivenUp`, and whatever reading raises."""
        self._has_head = True
        self._received.put(Head(answer.status_code, answer.headers))
        flood = Flood()
        # The only call that is prompt for every framing of the body.
        while data := answer.raw.read1(_READ_AT_ONCE, decode_content=True):
            self._queued += len(data)
            self._received.put(data)
            flood.came(len(data))  # while more is there already, reading it does not wait
            while self._is_too_far_ahead():
                self._room = threading.Event()
                # Checked again: something may have been taken before there was an event to set.
                if self._is_too_far_ahead():
                    self._room.wait()
            self._go_on()

    def ended(self, failure: Exception | None) -> None:
        """Queue the end, or what *failure* means."""
        self._is_over = True
        # Forgotten: it knows its user, and may never be used again.
        connection, self._connection = self._connection, None
        if failure is None:
            if connection is not None:
                connection.is_idle()
            self._received.put(End())
        elif not self._is_given_up:
            self._received.put(self._meaning(failure))

    def _go_on(self) -> None:
        if self._is_given_up:
            raise GivenUp

    def _is_too_far_ahead(self) -> bool:
        return self._queued - self._taken > _MAX_AHEAD and not self._is_given_up

    def _meaning(self, failure: Exception) -> UpstreamError:
        """Return what a failure of requests or urllib3 means; how far it had got decides."""
        trouble = troubles.read(failure)
        if not self._is_sent:
            why = trouble.happened and f"the connection {trouble.happened}"
            return UpstreamUnreachable(f"Poe's API cannot be reached ({why or trouble.name}).")
        if trouble.timed_out:
            return UpstreamTimeout("Poe's API did not answer in time.")
        if self._has_head:
            return UpstreamInterrupted(
                f"Poe's reply broke off: the connection {trouble.words} before its end."
            )
        return UpstreamUncertain(f"The connection to Poe's API {trouble.words} before it answered.")


def _joined(received: Iterable[Received]) -> Iterator[Received]:
    for kind, some in groupby(received, type):
        if kind is bytes:
            yield b"".join(cast("Iterator[bytes]", some))
        else:
            yield from some
