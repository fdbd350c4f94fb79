"""Sends an answer: whole or streamed, at its pace, with the faults that the prompt asks for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from ..directives import spoken
from .bot_request import BotRequest
from .catalogue import Json
from .errors import Dropped, HungUp
from .face import is_gone
from .replies import Reply
from .script import STAMP
from .visit import Visit

# Long enough for the client to read the first half by itself.
_SPLIT_PAUSE = 0.01
_STAMP = STAMP.encode()
_BROKEN_FRAME = b'data: {"choices": [{"delta": {"content": "bro\n\n'
# A sixteenth of a megabyte of a line that never ends.
_ENDLESS = b"x" * 62_500
_FAULTS = ("silence", "hang", "endless-line", "broken-json", "error-after", "silent-end", "cut")
_STREAM_ERROR: Json = {
    "message": "The model failed in the middle of its answer.",
    "type": "provider_error",
    "code": "internal_error",
}


@dataclass(slots=True, kw_only=True)
class Frames:
    """An answer as server-sent events.

    Each of the *chunks* is a piece of the reply, sent in one write. *opening* is sent before the
    first, *closing* behind the last. Faults count chunks.
    """

    opening: bytes = b""
    chunks: Iterable[bytes] = ()
    chunk_count: int = 0
    closing: bytes | Callable[[], bytes] = b""
    error: Callable[[Json], bytes]
    ping: bytes = b": ping\n\n"


def sse(data: object, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


async def whole(
    visit: Visit, asked: BotRequest, reply: Reply, body: Json | bytes
) -> web.StreamResponse:
    """Answer with one JSON body, after the time that a stream would have taken."""
    script = asked.script
    visit.reply_starts(asked.model)
    count = len(script.cut(reply.text)) if script.delay > 0 else 0
    await visit.face.watch.sleep(visit.request, script.first + script.delay * count)
    if script.has("hang"):
        await visit.face.watch.sleep(visit.request, float("inf"))
    if script.has("error-after"):
        visit.reply_ends(asked.model)
        return visit.answer({"error": _STREAM_ERROR}, status=500, verdict="fault error-after")
    visit.charge(asked, reply)
    visit.reply_ends(asked.model)
    if script.has("cut"):
        await _send_half(visit, body if isinstance(body, bytes) else orjson.dumps(body))
    return visit.answer(body)


async def _send_half(visit: Visit, body: bytes) -> None:
    response = web.StreamResponse(headers={**visit.headers(), "Content-Length": str(len(body))})
    response.content_type = "application/json"
    await response.prepare(visit.request)
    await response.write(body[: len(body) // 2])
    raise Dropped


async def stream(
    visit: Visit, asked: BotRequest, reply: Reply, frames: Frames
) -> web.StreamResponse:
    """Answer with server-sent events."""
    return await _Stream(visit, asked, reply, frames).play()


class _Stream:
    def __init__(self, visit: Visit, asked: BotRequest, reply: Reply, frames: Frames) -> None:
        self._visit = visit
        self._request = visit.request
        self._asked = asked
        self._reply = reply
        self._frames = frames
        self._script = asked.script
        self._sent = 0
        self._has_ended = False
        self._response = web.StreamResponse(headers=visit.headers())
        self._response.content_type = "text/event-stream"
        self._response.headers["Cache-Control"] = "no-cache"
        self._rewrite = self._wire_form()

    async def play(self) -> web.StreamResponse:
        visit = self._visit
        visit.entry.update(status=200, verdict="ok")
        visit.reply_starts(self._asked.model)
        try:
            await self._wait(self._script.first)
            await self._response.prepare(self._request)
            await self._send()
            await self._response.write_eof()
        except (HungUp, ConnectionError):
            self._end("client hung up", event="reply-aborted")
        except Dropped:
            self._end("fault cut")
            if self._request.transport is not None:
                self._request.transport.abort()
        return self._response

    def _end(self, verdict: str, *, event: str = "reply-end") -> None:
        """Note the end, once, and charge what was sent.

        Called before the last bytes: a client that has read them finds the balance lower.
        """
        if self._has_ended:
            return
        self._has_ended = True
        visit, count = self._visit, self._frames.chunk_count
        visit.entry.update(verdict=verdict, chunks=self._sent)
        visit.charge(self._asked, self._reply, min(1.0, self._sent / count) if count else 1.0)
        visit.reply_ends(self._asked.model, event=event)

    def _wire_form(self) -> Callable[[bytes], bytes] | None:
        """Return a function that changes a frame's bytes but not its meaning, or None."""
        if self._script.has("crlf"):
            return lambda frame: frame.replace(b"\n", b"\r\n")
        if self._script.has("no-space"):
            return lambda frame: frame.replace(b"data: ", b"data:")
        if self._script.has("stamp"):
            return lambda frame: frame.replace(_STAMP, f"{time.monotonic():.6f} ".encode())
        return None

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._visit.face.watch.sleep(self._request, seconds)

    async def _write(self, frame: bytes) -> None:
        if self._rewrite is not None:
            frame = self._rewrite(frame)
        await self._response.write(frame)

    async def _send(self) -> None:
        script, frames = self._script, self._frames
        delay, pings, splits = script.delay, script.has("pings"), script.has("split-utf8")
        faults = self._faults()
        write = self._write if self._rewrite is not None else self._response.write
        if frames.opening:
            await write(frames.opening)
        if script.has("first-chunk"):
            await self._wait(script.seconds("first-chunk", 1.0))
        for chunk in frames.chunks:
            if self._sent in faults and await self._play_faults(faults[self._sent]):
                return
            if pings:
                await write(frames.ping)
            if splits:
                await self._write_split(chunk)
            else:
                await write(chunk)
            self._sent += 1
            if delay > 0:
                await self._wait(delay)
            else:
                await asyncio.sleep(0)
        # Faults behind more chunks than there are come behind the last one.
        for at in sorted(faults):
            if at >= self._sent and await self._play_faults(faults[at]):
                return
        self._end("ok")
        closing = frames.closing() if callable(frames.closing) else frames.closing
        if closing:
            await write(closing)

    def _faults(self) -> dict[int, list[str]]:
        """Return the faults by the number of chunks before them; by default half of all."""
        faults: dict[int, list[str]] = {}
        middle = (self._frames.chunk_count + 1) // 2
        for name in _FAULTS:
            if self._script.has(name):
                # The values of these are not numbers of chunks.
                counts = name not in ("silence", "hang", "endless-line")
                at = self._script.count(name, middle) if counts else middle
                faults.setdefault(max(0, at), []).append(name)
        return faults

    async def _play_faults(self, faults: Sequence[str]) -> bool:
        """Play the faults of one place. Return whether the answer ends here."""
        for name in faults:
            match name:
                case "silence":
                    await self._wait(self._script.seconds("silence", 1.0))
                case "hang":
                    await self._wait(float("inf"))
                case "endless-line":
                    await self._write(b"data: ")
                    for _ in range(round(self._script.seconds("endless-line", 64.0) * 16)):
                        await self._write(_ENDLESS)
                    self._end("fault endless-line")
                    return True
                case "broken-json":
                    await self._write(_BROKEN_FRAME)
                case "error-after":
                    self._end("fault error-after")
                    message = spoken(self._script.get("message") or _STREAM_ERROR["message"])
                    await self._write(self._frames.error({**_STREAM_ERROR, "message": message}))
                    return True
                case "silent-end":
                    self._end("fault silent-end")
                    return True
                case "cut":
                    raise Dropped
        return False

    async def _write_split(self, chunk: bytes) -> None:
        """Write a frame in two parts, cut inside a character of more than one byte."""
        at = next((i for i, byte in enumerate(chunk) if byte & 0xC0 == 0x80), None)
        if at is None:
            await self._write(chunk)
            return
        if self._rewrite is not None:
            chunk = self._rewrite(chunk)
            at = next(i for i, byte in enumerate(chunk) if byte & 0xC0 == 0x80)
        await self._response.write(chunk[:at])
        await asyncio.sleep(_SPLIT_PAUSE)
        if is_gone(self._request):
            raise HungUp
        await self._response.write(chunk[at:])
