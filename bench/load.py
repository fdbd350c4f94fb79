"""The load: requests as clients of each API send them, timed to the chunk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from .servers import Process


@dataclass(frozen=True)
class Api:
    """An API that requests are made in."""

    path: str
    #: What a request has beside `model` and `stream`, for a prompt.
    asked: Callable[[str], dict[str, Any]]
    #: The text that one event of a stream adds.
    text: Callable[[Any], str | None]


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


CHAT = Api(
    "/v1/chat/completions",
    lambda prompt: {"messages": _messages(prompt)},
    lambda chunk: "".join(choice["delta"].get("content") or "" for choice in chunk["choices"]),
)
RESPONSES = Api(
    "/v1/responses",
    lambda prompt: {"input": _messages(prompt)},
    lambda event: event["delta"] if event["type"] == "response.output_text.delta" else None,
)
MESSAGES = Api(
    "/v1/messages",
    lambda prompt: {"messages": _messages(prompt), "max_tokens": 100_000},
    lambda event: event["delta"].get("text") if event["type"] == "content_block_delta" else None,
)


@dataclass(frozen=True)
class Target:
    """Where requests go."""

    name: str
    url: str
    key: str
    model: str = "GPT-4o"
    api: Api = CHAT

    @property
    def address(self) -> str:
        """The URL of the API."""
        return f"{self.url}{self.api.path}"


@dataclass
class Stream:
    """One streamed reply, times in seconds on the machine's monotonic clock."""

    asked: float
    #: When each piece of text came, and when the stand-in had sent it.
    pieces: list[tuple[float, float]] = field(default_factory=list)
    done: float = 0.0

    @property
    def first_text(self) -> float:
        """Seconds from the request to the first text."""
        return self.pieces[0][0] - self.asked

    @property
    def lags(self) -> list[float]:
        """Seconds from the stand-in to here, for each piece."""
        return [came - sent for came, sent in self.pieces]


def body(target: Target, prompt: str, *, stream: bool) -> bytes:
    """Return the JSON of a request."""
    return orjson.dumps({"model": target.model, "stream": stream, **target.api.asked(prompt)})


def session(connections: int) -> aiohttp.ClientSession:
    """Return a client that keeps its connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=300),
        read_bufsize=2**20,
    )


async def stream(http: aiohttp.ClientSession, target: Target, prompt: str) -> Stream:
    """Ask with `!stamp`, so that every piece says when it was sent."""
    asked = Stream(time.monotonic())
    headers = {"Authorization": f"Bearer {target.key}"}
    async with http.post(
        target.address, data=body(target, prompt, stream=True), headers=headers
    ) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{target.name}: {answer.status} {await answer.text()}")
        async for line in answer.content:
            now = time.monotonic()
            if not line.startswith(b"data: {"):
                continue
            chunk = orjson.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(f"{target.name}: {chunk['error']}")
            # Pieces that were on the way together may come as one.
            for stamp in (target.api.text(chunk) or "").split():
                asked.pieces.append((now, float(stamp)))
    asked.done = time.monotonic()
    return asked


async def streams(target: Target, prompt: str, count: int, at_once: int) -> Sequence[Stream]:
    """Return *count* streams, made *at_once* at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(http: aiohttp.ClientSession) -> Stream:
        async with gate:
            return await stream(http, target, prompt)

    async with session(at_once) as http:
        return await asyncio.gather(*(one(http) for _ in range(count)))


async def whole(target: Target, prompt: str, count: int, at_once: int) -> float:
    """Ask for *count* unstreamed answers, *at_once* at a time; return the seconds that it took."""
    data = body(target, prompt, stream=False)
    headers = {"Authorization": f"Bearer {target.key}"}
    left = iter(range(count))

    async def worker(http: aiohttp.ClientSession) -> None:
        for _ in left:
            async with http.post(target.address, data=data, headers=headers) as answer:
                text = await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{target.name}: {answer.status} {text!r}")

    async with session(at_once) as http:
        began = time.monotonic()
        await asyncio.gather(*(worker(http) for _ in range(at_once)))
        return time.monotonic() - began


async def memory_of_open_streams(target: Target, process: Process, count: int) -> float:
    """Open *count* streams that say one word and fall silent; return KB for each."""
    data = body(target, "!stamp=2 !delay=600", stream=True)
    headers = {"Authorization": f"Bearer {target.key}"}
    before = process.memory()
    async with session(count) as http, AsyncExitStack() as opened:
        for _ in range(count):
            answer = await opened.enter_async_context(
                http.post(target.address, data=data, headers=headers)
            )
            if answer.status != 200:
                raise RuntimeError(f"{target.name}: {answer.status} {await answer.text()}")
        await asyncio.sleep(2)
        return (process.memory() - before) * 1024 / count
