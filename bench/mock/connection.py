"""One thread, one epoll, connections, and generators that play answers on them."""

from __future__ import annotations

import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final, TypeAlias

_AT_ONCE: Final = 262_144
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)

#: What plays an answer. It yields when it wants to go on: a time of the monotonic clock, 0 for
#: "once the others have had their turn", a connection for "once that has room again", or a gate.
Play: TypeAlias = Generator["float | Connection | Gate"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: bytes
    path: bytes
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """Return the value of a header; empty if it is not there."""
        found = re.search(rb"\r\n" + name + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1] if found else b""


#: Answers a request on its connection, at once or by a `Play`.
Answer: TypeAlias = Callable[["Connection", Request], "Play | None"]


class Connection:
    """A client of the mock."""

    __slots__ = ("_answer", "_loop", "_unsent", "_waiting", "is_open", "plays", "read", "socket")

    def __init__(self, loop: Loop, client: socket.socket, answer: Answer) -> None:
        self._loop = loop
        self.socket = client
        self._answer = answer
        self._unsent = b""
        self._waiting: list[Play] = []
        self.is_open = True
        #: What is being played on it: closed when the client leaves.
        self.plays: set[Play] = set()
        #: Takes all bytes that have not been read; returns what is left over.
        self.read: Callable[[bytes], bytes] = self._requests

    @property
    def is_full(self) -> bool:
        """Whether the client has to read before more can be sent."""
        return bool(self._unsent)

    def send(self, data: bytes) -> None:
        """Send *data* now, or as soon as there is room."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_open = False
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.watch(self, writing=True)

    @property
    def loop(self) -> Loop:
        """Who serves it."""
        return self._loop

    def play(self, play: Play) -> None:
        """Begin to play; it ends with the connection at the latest."""
        self.plays.add(play)
        self._loop.step(self, play)

    def flush(self) -> None:
        """Send what was left."""
        data, self._unsent = self._unsent, b""
        self.send(data)
        if not self._unsent:
            self._loop.watch(self, writing=False)
            waiting, self._waiting = self._waiting, []
            for play in waiting:
                self._loop.step(self, play)

    def waits(self, _: Connection, play: Play) -> None:
        """Note that *play* goes on once there is room."""
        if self._unsent:
            self._waiting.append(play)
        else:
            self._loop.soon(self, play)

    def close(self) -> None:
        """Forget the client, and end what is being played."""
        self.is_open = False
        for play in tuple(self.plays):
            play.close()
        self.plays.clear()
        self.socket.close()

    def _requests(self, data: bytes) -> bytes:
        # A request at a time: nobody here pipelines, but who hangs up may ask again first.
        while (request := _request(data)) is not None:
            found, data = request
            play = self._answer(self, found)
            if play is not None:
                self.play(play)
            if self.read != self._requests:
                return self.read(data)
        return data


class Gate:
    """Where plays wait for a sign to go on."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Connection, Play]] = []

    def waits(self, connection: Connection, play: Play) -> None:
        """Note that *play* goes on with the next sign."""
        self._waiting.append((connection, play))

    def open(self, loop: Loop) -> None:
        """Let all go on that wait."""
        for connection, play in self._waiting:
            loop.soon(connection, play)
        self._waiting.clear()


#: The only one.
GATE: Final = Gate()


def _request(data: bytes) -> tuple[Request, bytes] | None:
    """Return the request at the beginning of *data*, and what is behind it."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[: end + 2]
    body_at = end + 4
    if found := _LENGTH.search(head):
        behind = body_at + int(found[1])
        if len(data) < behind:
            return None
        body = data[body_at:behind]
    elif _CHUNKED.search(head):
        parts = []
        behind = body_at
        while True:
            line_end = data.find(b"\r\n", behind)
            if line_end < 0:
                return None
            size = int(data[behind:line_end], 16)
            behind = line_end + 4 + size
            if len(data) < behind:
                return None
            if size == 0:
                break
            parts.append(data[line_end + 2 : behind - 2])
        body = b"".join(parts)
    else:
        body, behind = b"", body_at
    method, path, _ = head.split(b" ", 2)
    return Request(method, path, head, body), data[behind:]


class Loop:
    """Serves connections until it is killed."""

    def __init__(self, port: int, answer: Answer) -> None:
        self._answer = answer
        self._epoll = select.epoll()
        self._connections: dict[int, tuple[Connection, bytes]] = {}
        self._timers: list[tuple[float, int, Connection, Play]] = []
        self._soon: deque[tuple[Connection, Play]] = deque()
        self._numbers = count()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Serve."""
        while True:
            # epoll counts in whole milliseconds, which would join the pieces of many streams.
            if not self._soon and self._timers:
                wait = max(0.0, self._timers[0][0] - time.monotonic())
                select.select([self._epoll], [], [], wait)
            for number, event in self._epoll.poll(0 if self._soon or self._timers else None):
                self._happened(number, event)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, connection, play = heappop(self._timers)
                self.step(connection, play)
            for _ in range(len(self._soon)):
                self.step(*self._soon.popleft())

    def watch(self, connection: Connection, *, writing: bool) -> None:
        """Look for room to write from now on, or no more."""
        if connection.is_open:
            events = select.EPOLLIN | select.EPOLLOUT if writing else select.EPOLLIN
            self._epoll.modify(connection.socket.fileno(), events)

    def soon(self, connection: Connection, play: Play) -> None:
        """Go on with *play* once the others have had their turn."""
        self._soon.append((connection, play))

    def step(self, connection: Connection, play: Play) -> None:
        """Go on with *play*, up to its next wait."""
        try:
            wait = next(play)
        except StopIteration:
            connection.plays.discard(play)
            return
        if isinstance(wait, Connection | Gate):
            wait.waits(connection, play)
        elif wait:
            heappush(self._timers, (wait, next(self._numbers), connection, play))
        else:
            self.soon(connection, play)

    def _happened(self, number: int, event: int) -> None:
        if number == self._listener.fileno():
            self._accept()
            return
        connection, left = self._connections[number]
        if event & select.EPOLLOUT:
            connection.flush()
        if event & ~select.EPOLLOUT:
            try:
                data = connection.socket.recv(_AT_ONCE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                left = connection.read(left + data if left else data)
                self._connections[number] = connection, left
            else:
                del self._connections[number]
                self._epoll.unregister(number)
                connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client, self._answer)
            self._connections[client.fileno()] = connection, b""
            self._epoll.register(client.fileno(), select.EPOLLIN)


def reply(kind: bytes, body: bytes) -> bytes:
    """Return an answer, head and body."""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
        + body
    )
