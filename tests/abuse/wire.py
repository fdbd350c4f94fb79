"""A client on a bare socket: it may send, and leave unread, whatever it likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from .bodies import Body

#: Seconds that a client waits for whatever should come next.
PATIENCE: Final = 60.0
#: Bytes of an answer that are kept of its beginning, and of its end.
_KEPT: Final = 20_000
_ESTABLISHED: Final = 1
_CHAT: Final = "/v1/chat/completions"
#: What stands in a stream that failed, in each of the APIs.
_BROKE_OFF: Final = (b'data: {"error"', b"event: error\n")

_Option = TypeVar("_Option")


@dataclass(slots=True)
class Answer:
    """An answer of the server, or what there was of it."""

    status: int
    headers: dict[str, str]
    #: Its beginning, and its end.
    body: bytes = b""
    tail: bytes = b""
    is_whole: bool = False

    @property
    def outcome(self) -> str:
        """The answer in two words at most: its status, and a code or what is wrong with it."""
        if not self.is_whole:
            return f"{self.status} incomplete"
        if any(one in self.tail for one in _BROKE_OFF):
            return f"{self.status} broke-off"
        with contextlib.suppress(ValueError, KeyError, TypeError):
            error = json.loads(self.body)["error"]
            kind = error["code"] if "code" in error else error["type"]
            return f"{self.status} {kind or ''}".strip()
        return str(self.status)

    def keep(self, taken: bytes) -> None:
        """Note more of the body."""
        self.body += taken[: max(0, _KEPT - len(self.body))]
        self.tail = (self.tail + taken)[-_KEPT:]


@dataclass(slots=True)
class Client:
    """An abusive client."""

    port: int
    #: The key that opens.
    key: str
    kind: str
    rng: random.Random
    #: How large its abuse is: 1 is as large as the server may let it be.
    size: float
    #: Set when those that hold on shall leave.
    released: asyncio.Event
    #: Which of the forms of its kind it takes, and, once it is done, how many there are.
    variant: int = 0
    variants: int = 1
    #: Called when it has done what it does, and only holds on.
    holds: Callable[[], None] = lambda: None
    #: The marks of those prompts that nobody was to ask, and that were answered after all.
    answered: list[str] = field(default_factory=list)

    def choice(self, options: Sequence[_Option]) -> _Option:
        """Return one of *options*: another one for each variant, and all for enough of them."""
        self.variants *= len(options)
        self.variant, place = divmod(self.variant, len(options))
        return options[place]

    def mark(self, fate: str) -> str:
        """Return a word for a prompt that `may` be asked at Poe, or `never`."""
        return f"!mark={fate}-{self.kind}-{self.rng.randrange(10**9)}"

    def times(self, most: int) -> int:
        """Return how often something is repeated that full size repeats *most* times."""
        return max(1, round(most * self.size))

    def head(
        self,
        length: int | str | None,
        *more: str,
        method: str = "POST",
        path: str = _CHAT,
        key: str | None = None,
    ) -> bytes:
        """Return the head of a request; *length* of its body: bytes, `chunked`, or None."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *more]
        if key != "":
            lines.append(f"x-api-key: {key or self.key}")
        if length == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @contextlib.asynccontextmanager
    async def connection(self, *, window: int | None = None) -> AsyncIterator[Connection]:
        """Connect; *window* is how many bytes may wait until the client reads them."""
        wire = socket.socket()
        wire.setblocking(False)
        try:
            if window is not None:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(wire, ("127.0.0.1", self.port)), PATIENCE)
            yield Connection(wire)
        finally:
            wire.close()

    async def ask(
        self, body: Body, *more: str, path: str = _CHAT, key: str | None = None
    ) -> Answer | None:
        """Send a request, of chat if no other path is given; return its answer, None if the
        connection ended without one."""
        async with self.connection() as wire:
            await wire.send(self.head(len(body), *more, path=path, key=key), body.pieces())
            return await wire.answer()

    async def post(self, body: Body, *more: str, path: str = _CHAT, key: str | None = None) -> str:
        """Send a request as `ask` does; return how it was answered."""
        return said(await self.ask(body, *more, path=path, key=key))

    async def hold(self, wire: Connection) -> str:
        """Hold on, without reading, until the server cuts or it is time to leave."""
        self.holds()
        tasks = [asyncio.create_task(one) for one in (self.released.wait(), wire.ended())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        is_cut = tasks[1].done()
        for task in tasks:
            task.cancel()
        return "cut" if is_cut else "held"


def said(answer: Answer | None) -> str:
    """Return the outcome of an *answer*; `cut` if there is none."""
    return "cut" if answer is None else answer.outcome


class Connection:
    """A socket of a client."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._got = bytearray()

    async def send(self, *parts: bytes | Iterable[bytes], patience: float = PATIENCE) -> bool:
        """Send all parts; return False if the server has cut, or takes nothing for so long."""
        loop = asyncio.get_running_loop()
        try:
            for part in parts:
                for piece in (part,) if isinstance(part, bytes) else part:
                    await asyncio.wait_for(loop.sock_sendall(self._wire, piece), patience)
        except OSError:  # a time-out is one, too
            return False
        return True

    async def read(self, most: int = 262_144) -> bytes:
        """Return what comes next, nothing at the end; raises `TimeoutError`."""
        receiving = asyncio.get_running_loop().sock_recv(self._wire, most)
        try:
            return await asyncio.wait_for(receiving, PATIENCE)
        except TimeoutError:
            raise
        except OSError:
            return b""

    async def ended(self) -> None:
        """Return when the server has closed the connection, whatever is there to be read."""
        while self._wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED:
            await asyncio.sleep(0.2)

    def reset(self) -> None:
        """Close it with a reset."""
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._wire.close()

    async def answer(self, note: Callable[[bytes], None] = lambda taken: None) -> Answer | None:
        """Read one answer to its end; None if the connection ends before its head does.

        *note* is called with each piece of a stream as it comes.
        """
        while (end := self._got.find(b"\r\n\r\n")) < 0:
            if not await self._more():
                return None
        first, *lines = self._got[:end].decode("latin-1").split("\r\n")
        del self._got[: end + 4]
        fields = (line.partition(":") for line in lines)
        answer = Answer(
            int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}
        )
        if answer.status == 100:
            return await self.answer(note)
        if answer.headers.get("transfer-encoding") == "chunked":
            await self._chunked(answer, note)
        else:
            await self._counted(answer, int(answer.headers.get("content-length", "0")))
        return answer

    async def _counted(self, answer: Answer, length: int) -> None:
        while length > 0 and (self._got or await self._more()):
            taken = bytes(self._got[:length])
            del self._got[: len(taken)]
            length -= len(taken)
            answer.keep(taken)
        answer.is_whole = length == 0

    async def _chunked(self, answer: Answer, note: Callable[[bytes], None]) -> None:
        # Not parsed: the lengths of the chunks stand between the frames.
        while not answer.is_whole and (self._got or await self._more()):
            taken = bytes(self._got)
            self._got.clear()
            note(taken)
            answer.keep(taken)
            answer.is_whole = answer.tail.endswith(b"0\r\n\r\n")

    async def _more(self) -> bool:
        piece = await self.read()
        self._got += piece
        return bool(piece)
