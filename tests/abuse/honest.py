"""The honest clients of a run, in a process of their own: they measure what is left for them.

`python -m tests.abuse.honest` is started by `run`; it says on stdout, as JSON, what each client got
and when. One asks the stand-in without the server in between: what it waits for is the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from .bodies import chat
from .wire import Client, said

#: Seconds between two requests of a client. It does not wait for its last answer: a server that
#: stands still would be asked less often, and look better than it is.
_PAUSE: Final = 0.25
_LOOK: Final = 0.1
#: Requests under way at most.
_PENDING: Final = 400

#: Takes a number, and returns when there was something to read, or what failed.
Ask: TypeAlias = Callable[[int], Awaitable[tuple[float | None, str]]]


async def measure(*, port: int, poe: int, key: str, poe_key: str, seconds: float) -> list[Any]:
    """Return what each client got: who, when it asked, seconds to the first text, and what failed.

    Times are of the machine's monotonic clock.
    """
    found: list[Any] = []
    end = time.monotonic() + seconds
    await asyncio.gather(
        _regularly("key", _PAUSE, _chat(port, key, "key", "by-key"), end, found),
        _regularly("cookie", _PAUSE, _chat(port, key, "cookie", "by-cookie"), end, found),
        _regularly("direct", _PAUSE, _chat(poe, poe_key, "direct", "GPT-4o"), end, found),
        _regularly("health", _LOOK, _look(port), end, found),
    )
    return found


async def _regularly(who: str, pause: float, ask: Ask, end: float, found: list[Any]) -> None:
    """Ask at each *pause* until the *end*, and note when and how it was answered."""

    async def once(number: int) -> None:
        began = time.monotonic()
        try:
            first, failure = await ask(number)
        except OSError as gone:  # a time-out is one, too
            first, failure = None, type(gone).__name__
        took = time.monotonic() - began if first is None else first - began
        found.append([who, began, took, failure])

    begun = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    for number in itertools.count(1):
        if time.monotonic() >= end:
            break
        if len(tasks) < _PENDING:
            task = asyncio.create_task(once(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(max(0.0, begun + number * pause - time.monotonic()))
    await asyncio.gather(*tasks)


def _client(port: int, key: str) -> Client:
    return Client(port, key, "honest", random.Random(0), 1.0, asyncio.Event())


def _chat(port: int, key: str, who: str, model: str) -> Ask:
    """Return a function that chats, and returns when the first text came, and what failed."""
    client = _client(port, key)

    async def ask(number: int) -> tuple[float | None, str]:
        words = f"!mark=honest-{who}-{number} !echo !chunks=3 Hello there, you {number}"
        body = chat(words, model=model, stream=True)
        first: list[float] = []

        def note(taken: bytes) -> None:
            if not first and b'"content":"H' in taken:
                first.append(time.monotonic())

        async with client.connection() as wire:
            head = client.head(len(body), f"Authorization: Bearer {key}")
            await wire.send(head, body.pieces())
            outcome = said(await wire.answer(note))
        return (first[0], "") if outcome == "200" and first else (None, outcome)

    return ask


def _look(port: int) -> Ask:
    """Return a function that looks whether the server is healthy."""
    client = _client(port, "")

    async def ask(number: int) -> tuple[float | None, str]:
        async with client.connection() as wire:
            await wire.send(client.head(None, method="GET", path="/health", key=""))
            outcome = said(await wire.answer())
        return (time.monotonic(), "") if outcome == "200" else (None, outcome)

    return ask


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.abuse.honest")
    for name, type_ in (("port", int), ("poe", int), ("key", str), ("poe-key", str),
                        ("seconds", float)):  # fmt: skip
        options.add_argument(f"--{name}", type=type_, required=True)
    given: Any = options.parse_args()
    found = asyncio.run(
        measure(port=given.port, poe=given.poe, key=given.key, poe_key=given.poe_key,
                seconds=given.seconds)
    )  # fmt: skip
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
