"""The load: clients of chat completions on one thread and one epoll, times to the read.

What it does for a read is little more than to count stamps: its own CPU stands in the results.
"""

from __future__ import annotations

import gc
import http.client
import re
import select
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import orjson

from bench.texts import MARK, STAMP, Wanted, content, dechunked

_AT_ONCE: Final = 262_144
_END: Final = b"\r\n0\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
#: Connections that are opened at a time, where many are.
_OPENING: Final = 32
#: Seconds that a window is longer at most, while nothing has come in it.
_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Target:
    """Where requests go."""

    port: int
    key: str = "sk-bench"
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"

    def body(self, wanted: Wanted, *, streams: bool) -> bytes:
        """Return the body of a request, in the API that the path says."""
        messages = [{"role": "user", "content": wanted.prompt()}]
        asked: dict[str, object] = {"model": "mock", "stream": streams}
        if self.path.endswith("/responses"):
            asked["input"] = messages
        else:
            asked["messages"] = messages
        if self.path.endswith("/messages"):
            asked["max_tokens"] = 100_000
        return orjson.dumps(asked)

    def request(self, wanted: Wanted, *, streams: bool) -> bytes:
        """Return the bytes of a request."""
        body = self.body(wanted, streams=streams)
        head = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        head += [f"{name}: {value}" for name, value in self._headers(body).items()]
        return "\r\n".join([*head, "", ""]).encode() + body

    def _headers(self, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.key}",
            "Content-Length": str(len(body)),
            **self.headers,
        }

    def ask(self, wanted: Wanted, *, streams: bool, timeout: float = 30) -> bytes:
        """Return the body of the answer, as it comes. Raises `OSError`, or `Failed`."""
        body = self.body(wanted, streams=streams)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", self.path, body, self._headers(body))
            answer = connection.getresponse()
            said = answer.read()
        except http.client.HTTPException as failure:
            raise Failed(repr(failure)) from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"{answer.status} {said[:300]!r}")
        return said

    def release(self) -> None:
        """Let the mock go on, wherever it waits for this."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/release")
        connection.getresponse().read()
        connection.close()


class Failed(Exception):
    """An answer was not what it should be."""


@dataclass
class Window:
    """What happened within a window of load. Times are in seconds."""

    seconds: float = 0.0
    #: Answers that ended in it, and pieces that came in it.
    done: int = 0
    pieces: int = 0
    #: From the request to the end, and to the first text.
    took: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    #: From the mock's writing to our reading.
    lags: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    #: CPU seconds of what is measured, and our own.
    cpu: float = 0.0
    own: float = 0.0

    def has(self, answers: int, *, streams: bool) -> bool:
        """Whether anything came, and so many *answers* have begun."""
        if streams:
            return bool(self.pieces) and (answers <= 1 or len(self.first) >= answers)
        return self.done >= answers

    def check(self) -> None:
        """Raise `Failed` if an answer failed, or there was none."""
        if self.failures:
            raise Failed(f"{len(self.failures)} answers failed, the first: {self.failures[0]}")
        if not self.done and not self.pieces:
            raise Failed("no answer came within the window")


class _Client:
    """A connection with a request on its way."""

    __slots__ = (
        "asked",
        "body_left",
        "first_at",
        "head",
        "in_window",
        "is_chunked",
        "kept",
        "socket",
        "tail",
    )

    def __init__(self, target: Target) -> None:
        self.socket = socket.create_connection(("127.0.0.1", target.port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept: bytearray | None = None

    def ask(self, request: bytes, *, in_window: bool) -> None:
        self.head: bytes | None = b""
        self.tail = b""
        self.first_at = 0.0
        self.in_window = in_window
        self.asked = time.monotonic()
        self.socket.sendall(request)

    def read(self, data: bytes) -> tuple[bytes, bool, bool]:
        """Return what belongs to the body in *data*; whether it is over; and whether the
        connection is, too. Raises `Failed`."""
        if self.head is not None:
            data = self.head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.head = data
                return b"", False, False
            head, data = data[: end + 2], data[end + 4 :]
            if not head.startswith(b"HTTP/1.1 200"):
                raise Failed(f"{head[9:100]!r} {data[:200]!r}")
            self.head = None
            self.is_chunked = _CHUNKED.search(head) is not None
            length = _LENGTH.search(head)
            self.body_left = int(length[1]) if length else -1
            if _CLOSES.search(head) and not self.is_chunked:
                self.body_left = -1
        if self.is_chunked:
            self.tail = (self.tail + data)[-len(_END) :] if len(data) < len(_END) else data[-7:]
            return data, self.tail == _END, False
        if self.body_left < 0:
            return data, not data, True
        self.body_left -= len(data)
        return data, self.body_left <= 0, False


def closed(
    target: Target,
    wanted: Wanted,
    clients: int,
    seconds: float,
    *,
    streams: bool,
    used: Callable[[], float] = lambda: 0.0,
    warm: float = 0.3,
    lags: bool = False,
    answers: int = 1,
) -> Window:
    """Let *clients* ask one request after the other, and return what came in *seconds*, or in as
    many more as it takes until there is anything, and have been so many *answers* to what was asked
    within.

    *used* returns the CPU seconds of what is measured so far. With *lags*, stamps are read.
    """
    request = target.request(wanted, streams=streams)
    window = Window()
    with _epoll() as epoll, _undisturbed():
        at_work: dict[int, _Client] = {}
        for _ in range(clients):
            _again(target, request, None, epoll, at_work, in_window=False)
        _run(target, request, epoll, at_work, Window(), min(warm, seconds), lags)
        cpu, own, began = used(), time.process_time(), time.monotonic()
        for client in at_work.values():
            client.in_window = False
        _run(target, request, epoll, at_work, window, seconds, lags)
        patience = time.monotonic() + _PATIENCE
        while time.monotonic() < patience and not window.has(answers, streams=streams):
            _run(target, request, epoll, at_work, window, 0.1, lags)
        window.seconds = time.monotonic() - began
        window.cpu, window.own = used() - cpu, time.process_time() - own
        for client in at_work.values():
            client.socket.close()
    return window


def _again(
    target: Target,
    request: bytes,
    client: _Client | None,
    epoll: select.epoll,
    at_work: dict[int, _Client],
    *,
    in_window: bool,
) -> None:
    if client is None:
        client = _Client(target)
        epoll.register(client.socket.fileno(), select.EPOLLIN)
        at_work[client.socket.fileno()] = client
    client.ask(request, in_window=in_window)


def _run(
    target: Target,
    request: bytes,
    epoll: select.epoll,
    at_work: dict[int, _Client],
    window: Window,
    seconds: float,
    lags: bool,
) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for number, _ in epoll.poll(left):
            client = at_work[number]
            closes = True
            try:
                data = client.socket.recv(_AT_ONCE)
                now = time.monotonic()
                body, is_over, closes = client.read(data)
                if not data and not is_over:
                    raise Failed("the connection ended before the answer")
            except (OSError, Failed) as failure:
                window.failures.append(str(failure))
                if len(window.failures) > 100:
                    return
                is_over = True
            else:
                if found := body.count(MARK):
                    window.pieces += found
                    if not client.first_at:
                        client.first_at = now
                        if client.in_window:
                            window.first.append(now - client.asked)
                    if lags:
                        wall = time.time_ns()
                        window.lags += [(wall - int(at)) / 1e9 for at in STAMP.findall(body)]
                if is_over:
                    window.done += 1
                    if client.in_window:
                        window.took.append(now - client.asked)
            if is_over:
                if closes or client.head is not None:
                    epoll.unregister(number)
                    del at_work[number]
                    client.socket.close()
                    _again(target, request, None, epoll, at_work, in_window=True)
                else:
                    _again(target, request, client, epoll, at_work, in_window=True)


# ---- many at once


@dataclass
class Held:
    """Streams that are open."""

    clients: list[_Client]
    failures: list[str]

    def close(self) -> None:
        """Hang up."""
        for client in self.clients:
            client.socket.close()


def hold(target: Target, wanted: Sequence[Wanted], seconds: float) -> Held:
    """Open a stream for each of *wanted*, and return once each has said its first text, or after
    *seconds*."""
    held = Held([], [])
    at_work: dict[int, _Client] = {}
    waiting = iter(wanted)
    opening = len(wanted)
    with _epoll() as epoll, _undisturbed():
        until = time.monotonic() + seconds
        for one in _some(waiting, _OPENING):
            _open(target, one, epoll, at_work, held)
        while opening > len(held.failures) and at_work and time.monotonic() < until:
            for number, _ in epoll.poll(1):
                client = at_work[number]
                if _reads(client, at_work, held, epoll) and client.first_at == 0.0:
                    continue
                if client.kept is not None and client.first_at and client.in_window:
                    client.in_window = False  # its first text has been counted
                    opening -= 1
                    for one in _some(waiting, 1):
                        _open(target, one, epoll, at_work, held)
    return held


def exact(
    target: Target, wanted: Sequence[Wanted], upstream: Target, seconds: float
) -> tuple[int, int, list[str]]:
    """Ask for all of *wanted* at once, each in a stream of its own that goes on once all have said
    their first text; return how many were open at once, how many had their own exact text, and what
    went wrong with the others."""
    held = Held([], [])
    at_work: dict[int, _Client] = {}
    texts: dict[_Client, bytes] = {}
    waiting = iter(wanted)
    most = right = speaking = 0
    is_released = False
    with _epoll() as epoll, _undisturbed():
        until = time.monotonic() + seconds
        for one in _some(waiting, _OPENING):
            texts[_open(target, one, epoll, at_work, held)] = one.text()
        while at_work and time.monotonic() < until:
            for number, _ in epoll.poll(1):
                client = at_work[number]
                goes_on = _reads(client, at_work, held, epoll)
                if client.first_at and client.in_window:
                    client.in_window = False
                    speaking += 1
                    most = max(most, speaking)
                    for one in _some(waiting, 1):
                        texts[_open(target, one, epoll, at_work, held)] = one.text()
                    if speaking + len(held.failures) >= len(wanted) and not is_released:
                        is_released = True
                        upstream.release()
                if not goes_on:
                    speaking -= bool(client.first_at)
                    said = content(dechunked(bytes(client.kept or b"")))
                    if said == texts[client]:
                        right += 1
                    elif len(held.failures) < 10:
                        held.failures.append(f"{said[:100]!r} in place of {texts[client][:100]!r}")
    held.failures += [f"{len(at_work)} did not end in time"] if at_work else []
    held.close()
    return most, right, held.failures


def _some(waiting: Iterator[Wanted], most: int) -> Iterator[Wanted]:
    for _, one in zip(range(most), waiting, strict=False):
        yield one


def _open(
    target: Target, wanted: Wanted, epoll: select.epoll, at_work: dict[int, _Client], held: Held
) -> _Client:
    client = _Client(target)
    held.clients.append(client)
    client.kept = bytearray()
    client.ask(target.request(wanted, streams=True), in_window=True)
    epoll.register(client.socket.fileno(), select.EPOLLIN)
    at_work[client.socket.fileno()] = client
    return client


def _reads(client: _Client, at_work: dict[int, _Client], held: Held, epoll: select.epoll) -> bool:
    """Read what has come; return whether more will come."""
    number = client.socket.fileno()
    is_over = True
    try:
        data = client.socket.recv(_AT_ONCE)
        body, is_over, _ = client.read(data)
        if not data and not is_over:
            raise Failed("the connection ended before the answer")
    except (OSError, Failed) as failure:
        held.failures.append(str(failure))
    else:
        assert client.kept is not None
        client.kept += body
        if not client.first_at and MARK in client.kept:
            client.first_at = time.monotonic()
    if is_over or client.socket.fileno() < 0:
        epoll.unregister(number)
        del at_work[number]
        client.socket.close()
        return False
    return True


# ---- figures


def median(values: Sequence[float]) -> float:
    """Return the median; nothing at all is not a number."""
    return statistics.median(values) if values else float("nan")


def high(values: Sequence[float]) -> float:
    """Return what 99 of 100 are within."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)] if values else float("nan")


@contextmanager
def _epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Look for no garbage meanwhile: with thousands of clients, a look takes milliseconds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
