"""The net between the server and Poe: a TCP proxy that stalls, cuts, refuses and restarts.

It understands just enough of HTTP to know where a request begins and ends, whose it is, and
whether it is a send. A *snag* waits for the first request that it fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

SEND: Final = "sendMessageMutation"
#: Where bots are asked by key.
ASKS: Final = frozenset({"/v1/chat/completions", "/v1/messages"})
#: The longest that a send is held up on its way, so that it still counts from its sending.
MOST_STALL: Final = 4.0

_MARK: Final = re.compile(rb"!mark=([\w.-]+)")
_T = TypeVar("_T")


Where = Literal[
    "stall request",  # for `size` seconds, before any of it is passed on
    "stall body",  # for `size` seconds, in its middle
    "stall answer",  # for `size` seconds, before the first byte of the answer
    "cut request",  # when half of it was passed on
    "cut unanswered",  # Poe has answered, and nothing of that is passed on
    "cut answer",  # behind `size` bytes of the answer
]


@dataclass(frozen=True, slots=True)
class Snag:
    """Trouble for the next request of an account."""

    where: Where
    account: str
    sends: bool
    size: float = 0.0


@dataclass(slots=True)
class Passage:
    """One request on its way; times are None for what did not happen."""

    account: str
    mark: str
    is_send: bool
    path: str
    entered: float
    #: When Poe was given the beginning of it, and when all of it.
    begun: float | None = None
    forwarded: float | None = None
    #: When the first byte of the answer was passed on to the server.
    answered: float | None = None
    status: int = 0
    retry_after: float | None = None
    snag: str = ""
    #: When the connection ended in its course.
    broken: float | None = None


@dataclass(eq=False, slots=True)
class _Line:
    """A connection of the server's, and the one to Poe behind it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    poe_reader: asyncio.StreamReader
    poe_writer: asyncio.StreamWriter
    passage: Passage | None = None
    snag: Snag | None = None
    passed: int = 0
    is_websocket: bool = False

    def cut(self) -> None:
        """Break it off on both sides, as a net does that fails."""
        if self.passage is not None and self.passage.broken is None:
            self.passage.broken = time.monotonic()
        self.end()

    def end(self) -> None:
        """End both sides at once; one of them has gone."""
        for writer in (self.writer, self.poe_writer):
            writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """Passes on what comes to `port`; the secrets in requests say whose they are."""

    port: int
    poe_port: int
    #: The accounts' names by their cookies and keys.
    names: Mapping[str, str]
    passages: list[Passage] = field(default_factory=list)
    met: list[tuple[float, Snag]] = field(default_factory=list)
    _waiting: list[Snag] = field(default_factory=list)
    _lines: set[_Line] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _listener: socket.socket | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Proxy:
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *failure: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join(10)
        self._loop.close()

    # ---- for the stage

    def arm(self, snag: Snag) -> None:
        """Have the next request that fits run into *snag*."""
        self._loop.call_soon_threadsafe(self._waiting.append, snag)

    def cut_websockets(self) -> int:
        """Cut all websockets; return how many there were."""
        return self._do(self._cut(websockets_only=True))

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Cut everything, and refuse connections meanwhile."""
        self._do(self._leave())
        try:
            yield
        finally:
            self._do(self._listen())

    def restart(self, seconds: float) -> None:
        """Have an outage of so long; return when it is over."""
        with self.outage():
            time.sleep(seconds)

    # ---- in the loop's thread

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        # `asyncio.start_server` loses a connection that comes as it is closed.
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        task = self._loop.create_task(self._serve(sock))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # A task that is cancelled before it has begun closes nothing itself.
        task.add_done_callback(lambda _: sock.close())

    async def _leave(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _end(self) -> None:
        await self._leave()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _cut(self, *, websockets_only: bool = False) -> int:
        lines = [line for line in self._lines if line.is_websocket or not websockets_only]
        for line in lines:
            line.cut()
        # The connections are gone in the loop's next turn.
        await asyncio.sleep(0)
        return len(lines)

    async def _serve(self, sock: socket.socket) -> None:
        ours = await asyncio.open_connection(sock=sock)
        try:
            poe = await asyncio.open_connection("127.0.0.1", self.poe_port)
        except (OSError, asyncio.CancelledError):
            ours[1].transport.abort()
            return
        line = _Line(*ours, *poe)
        self._lines.add(line)
        answers = asyncio.create_task(self._carry_answers(line))
        try:
            while not line.is_websocket:
                await self._carry_request(line)
            await _carry(line.reader, line.poe_writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            line.end()
            self._lines.discard(line)
            answers.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await answers

    async def _carry_request(self, line: _Line) -> None:
        head = await line.reader.readuntil(b"\r\n\r\n")
        entered = time.monotonic()
        first, headers = _read_head(head)
        body = await line.reader.readexactly(int(headers.get("content-length", 0)))
        passage = Passage(
            account=self._account(headers),
            mark=found[1].decode() if (found := _MARK.search(body)) else "",
            is_send=headers.get("poe-queryname") == SEND or first.split(" ")[1] in ASKS,
            path=first.split(" ")[1].partition("?")[0],
            entered=entered,
        )
        self.passages.append(passage)
        line.passage, line.snag, line.passed = passage, self._take(passage), 0
        line.is_websocket = headers.get("upgrade", "").lower() == "websocket"
        await self._forward(line, passage, head, body)

    async def _forward(self, line: _Line, passage: Passage, head: bytes, body: bytes) -> None:
        where = line.snag.where if line.snag else ""
        seconds = line.snag.size if line.snag else 0.0
        whole = head + body
        half = len(head) + len(body) // 2 if body else len(head) // 2
        if where == "stall request":
            await asyncio.sleep(seconds)
        passage.begun = time.monotonic()
        if where == "cut request":
            line.poe_writer.write(whole[:half])
            with contextlib.suppress(OSError):
                await line.poe_writer.drain()
            line.cut()
            raise ConnectionResetError
        if where == "stall body":
            line.poe_writer.write(whole[:half])
            await line.poe_writer.drain()
            await asyncio.sleep(seconds)
            whole = whole[half:]
        line.poe_writer.write(whole)
        passage.forwarded = time.monotonic()
        await line.poe_writer.drain()

    async def _carry_answers(self, line: _Line) -> None:
        while data := await line.poe_reader.read(65536):
            passage, snag = line.passage, line.snag
            if passage is not None and passage.answered is None:
                if snag and snag.where == "stall answer":
                    await asyncio.sleep(snag.size)
                if snag and snag.where == "cut unanswered":
                    return line.cut()
                passage.answered = time.monotonic()
                _read_status(passage, data)
            if snag and snag.where == "cut answer" and line.passed + len(data) > snag.size:
                line.writer.write(data[: max(0, int(snag.size) - line.passed)])
                with contextlib.suppress(OSError):
                    await line.writer.drain()
                return line.cut()
            line.passed += len(data)
            line.writer.write(data)
            await line.writer.drain()
        # What was passed on is still read by the server.
        line.writer.close()
        return None

    def _account(self, headers: Mapping[str, str]) -> str:
        for pair in headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == "p-b":
                return self.names.get(value, "")
        return self.names.get(headers.get("authorization", "").removeprefix("Bearer "), "")

    def _take(self, passage: Passage) -> Snag | None:
        for snag in self._waiting:
            if snag.account == passage.account and snag.sends == passage.is_send:
                self._waiting.remove(snag)
                self.met.append((time.monotonic(), snag))
                passage.snag = snag.where
                return snag
        return None


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def _read_head(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    return first, {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def _read_status(passage: Passage, data: bytes) -> None:
    head = data.partition(b"\r\n\r\n")[0]
    first, headers = _read_head(head)
    status = first.split(" ")[1:2]
    passage.status = int(status[0]) if status and status[0].isdigit() else 0
    given = headers.get("retry-after", "")
    passage.retry_after = float(given) if given.isdigit() else None
