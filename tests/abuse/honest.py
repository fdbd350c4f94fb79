"""The honest clients of a run, in a process of their own: they measure what is left for them.

`python -m tests.abuse.honest` is started by `run`; it says on stdout, as JSON, what each client got
and when. One asks the stand-in without the server in between: what it waits for is the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import Any, Final

from .bodies import Body, chat
from .wire import Answer, Client, Connection

#: Seconds between two requests of a client.
_PAUSE: Final = 0.2


async def measure(*, port: int, poe: int, key: str, poe_key: str, seconds: float) -> list[Any]:
    """Return what each client got: who, when it asked, seconds to the first text, and what failed.

    Times are of the machine's monotonic clock.
    """
    found: list[Any] = []
    end = time.monotonic() + seconds
    await asyncio.gather(
        _ask("key", port, key, "by-key", end, found),
        _ask("cookie", port, key, "by-cookie", end, found),
        _ask("direct", poe, poe_key, "GPT-4o", end, found),
        _look(port, end, found),
    )
    return found


def _client(port: int, key: str) -> Client:
    return Client(port, key, "honest", random.Random(0), 1.0, asyncio.Event())


async def _ask(who: str, port: int, key: str, model: str, end: float, found: list[Any]) -> None:
    client, number = _client(port, key), 0
    while time.monotonic() < end:
        number += 1
        body = chat(f"!mark=honest-{who}-{number} !echo !chunks=3 Hello there, you {number}",
                    model=model, stream=True)  # fmt: skip
        head = client.head(len(body), f"Authorization: Bearer {key}")
        began = time.monotonic()
        failure = ""
        first: float | None = None
        try:
            async with client.connection() as wire:
                first, answer = await _streamed(wire, head, body, began)
            if answer is None or answer.outcome != "200" or first is None:
                failure = "cut" if answer is None else answer.outcome
        except OSError as gone:  # a time-out is one, too
            failure = type(gone).__name__
        took = time.monotonic() - began if first is None else first
        found.append([who, began, took, failure])
        await asyncio.sleep(_PAUSE)


async def _streamed(
    wire: Connection, head: bytes, body: Body, began: float
) -> tuple[float | None, Answer | None]:
    first: list[float] = []

    def note(taken: bytes) -> None:
        if not first and b'"content":"H' in taken:
            first.append(time.monotonic() - began)

    await wire.send(head, body.pieces())
    answer = await wire.answer(note)
    return (first[0] if first else None), answer


async def _look(port: int, end: float, found: list[Any]) -> None:
    client = _client(port, "")
    while time.monotonic() < end:
        began = time.monotonic()
        failure = ""
        try:
            async with client.connection() as wire:
                await wire.send(client.head(None, method="GET", path="/health", key=""))
                answer = await wire.answer()
            if answer is None or answer.status != 200:
                failure = "cut" if answer is None else answer.outcome
        except OSError as gone:
            failure = type(gone).__name__
        found.append(["health", began, time.monotonic() - began, failure])
        await asyncio.sleep(_PAUSE / 2)


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
