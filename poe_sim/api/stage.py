"""Plays an answer to the client: at its pace, as a stream or whole, and as badly as asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from .asking import Asking
from .catalogue import Json
from .errors import Dropped, HungUp
from .face import is_gone
from .replies import Reply
from .script import STAMP
from .visit import Visit

# Long enough for the client's kernel to hand over the first half on its own.
_SPLIT_PAUSE = 0.01
_STAMP = STAMP.encode()
_BROKEN_FRAME = b'data: {"choices": [{"delta": {"content": "bro\n\n'
_STREAM_ERROR: Json = {
    "message": "The model failed in the middle of its answer.",
    "type": "provider_error",
    "code": "internal_error",
}


@dataclass(slots=True, kw_only=True)
class Frames:
    """An answer as server-sent events.

    Each of the *beats* is one chunk, sent in one write; *opening* and *closing* go with the first
    and the last of them. Faults count beats.
    """

    opening: bytes = b""
    beats: Iterable[bytes] = ()
    beat_count: int = 0
    closing: bytes | Callable[[], bytes] = b""
    error: Callable[[Json], bytes]
    ping: bytes = b": ping\n\n"


def sse(data: object, event: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


async def whole(visit: Visit, asking: Asking, reply: Reply, body: Json) -> web.StreamResponse:
    """Answer with one JSON body, after the time that streaming it would have taken."""
    script = asking.script
    visit.reply_starts(asking.model)
    count = len(script.cut(reply.text)) if script.delay > 0 else 0
    await visit.face.watch.sleep(visit.request, script.first + script.delay * count)
    if script.has("hang"):
        await visit.face.watch.sleep(visit.request, float("inf"))
    if script.has("error-after"):
        visit.reply_ends(asking.model)
        return visit.answer({"error": _STREAM_ERROR}, status=500, verdict="fault error-after")
    visit.charge(asking, reply)
    visit.reply_ends(asking.model)
    if script.has("cut"):
        await _send_half(visit, orjson.dumps(body))
    return visit.answer(body)


async def _send_half(visit: Visit, body: bytes) -> None:
    response = web.StreamResponse(headers={**visit.headers(), "Content-Length": str(len(body))})
    response.content_type = "application/json"
    await response.prepare(visit.request)
    await response.write(body[: len(body) // 2])
    raise Dropped


async def stream(visit: Visit, asking: Asking, reply: Reply, frames: Frames) -> web.StreamResponse:
    """Answer with server-sent events."""
    show = _Show(visit, asking, reply, frames)
    return await show.play()


class _Show:
    def __init__(self, visit: Visit, asking: Asking, reply: Reply, frames: Frames) -> None:
        self._visit = visit
        self._request = visit.request
        self._asking = asking
        self._reply = reply
        self._frames = frames
        self._script = asking.script
        self._sent = 0
        self._has_ended = False
        self._response = web.StreamResponse(headers=visit.headers())
        self._response.content_type = "text/event-stream"
        self._response.headers["Cache-Control"] = "no-cache"
        self._rewrite = self._wire_form()

    async def play(self) -> web.StreamResponse:
        visit = self._visit
        visit.entry.update(status=200, verdict="ok")
        visit.reply_starts(self._asking.model)
        try:
            await self._wait(self._script.first)
            await self._response.prepare(self._request)
            await self._perform()
            await self._response.write_eof()
        except (HungUp, ConnectionError):
            self._end("client hung up", event="reply-aborted")
        except Dropped:
            self._end("fault cut")
            if self._request.transport is not None:
                self._request.transport.abort()
        return self._response

    def _end(self, verdict: str, *, event: str = "reply-end") -> None:
        """Note the end, once, and charge what was said.

        It comes before the last bytes: who has read them finds the balance fallen.
        """
        if self._has_ended:
            return
        self._has_ended = True
        visit, count = self._visit, self._frames.beat_count
        visit.entry.update(verdict=verdict, chunks=self._sent)
        visit.charge(self._asking, self._reply, min(1.0, self._sent / count) if count else 1.0)
        visit.reply_ends(self._asking.model, event=event)

    def _wire_form(self) -> Callable[[bytes], bytes] | None:
        """Return what changes the bytes of a frame but not its meaning, if anything is to."""
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

    async def _perform(self) -> None:
        script, frames = self._script, self._frames
        delay, pings, splits = script.delay, script.has("pings"), script.has("split-utf8")
        stops = self._stops()
        write = self._write if self._rewrite is not None else self._response.write
        if frames.opening:
            await write(frames.opening)
        if script.has("first-chunk"):
            await self._wait(script.seconds("first-chunk", 1.0))
        for beat in frames.beats:
            if self._sent in stops and await self._stop(stops[self._sent]):
                return
            if pings:
                await write(frames.ping)
            if splits:
                await self._write_split(beat)
            else:
                await write(beat)
            self._sent += 1
            if delay > 0:
                await self._wait(delay)
            else:
                await asyncio.sleep(0)
        # What was to come after more chunks than there are comes after the last one.
        for at in sorted(stops):
            if at >= self._sent and await self._stop(stops[at]):
                return
        self._end("ok")
        closing = frames.closing() if callable(frames.closing) else frames.closing
        if closing:
            await write(closing)

    def _stops(self) -> dict[int, list[str]]:
        """Return which faults come after how many beats; in the middle unless a number says so."""
        stops: dict[int, list[str]] = {}
        middle = (self._frames.beat_count + 1) // 2
        for name in ("silence", "hang", "broken-json", "error-after", "silent-end", "cut"):
            if self._script.has(name):
                # The values of these two are not numbers of chunks.
                counts = name not in ("silence", "hang")
                at = self._script.count(name, middle) if counts else middle
                stops.setdefault(max(0, at), []).append(name)
        return stops

    async def _stop(self, faults: Sequence[str]) -> bool:
        """Play the faults of one place; True when the answer ends here."""
        for name in faults:
            match name:
                case "silence":
                    await self._wait(self._script.seconds("silence", 1.0))
                case "hang":
                    await self._wait(float("inf"))
                case "broken-json":
                    await self._write(_BROKEN_FRAME)
                case "error-after":
                    self._end("fault error-after")
                    await self._write(self._frames.error(_STREAM_ERROR))
                    return True
                case "silent-end":
                    self._end("fault silent-end")
                    return True
                case "cut":
                    raise Dropped
        return False

    async def _write_split(self, beat: bytes) -> None:
        """Write a frame in two parts, cut inside a character of more than one byte."""
        at = next((i for i, byte in enumerate(beat) if byte & 0xC0 == 0x80), None)
        if at is None:
            await self._write(beat)
            return
        if self._rewrite is not None:
            beat = self._rewrite(beat)
            at = next(i for i, byte in enumerate(beat) if byte & 0xC0 == 0x80)
        await self._response.write(beat[:at])
        await asyncio.sleep(_SPLIT_PAUSE)
        if is_gone(self._request):
            raise HungUp
        await self._response.write(beat[at:])
