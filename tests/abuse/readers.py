"""Abuse by those who ask properly and do not take the answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from .bodies import chat
from .kinds import kind
from .wire import Client

#: Names of `models.toml` in `servers`.
BOTS = ("by-key", "by-cookie")


@kind("held", "cut")
async def stream_never_read(client: Client) -> str:
    """A long stream of which not a byte is read."""
    body = chat(f"{client.mark('may')} !long={client.times(3_000_000)} !size=2000", stream=True)
    async with client.connection(window=4096) as wire:
        await wire.send(client.head(len(body)), body.pieces())
        return await client.hold(wire)


@kind("held", "cut")
async def stream_by_the_byte(client: Client) -> str:
    """A long stream, read a byte at a time."""
    model = client.choice(BOTS)
    # By cookie each piece is sent with all that is before it.
    pieces = "!chunks=30" if model == "by-cookie" else "!size=2000"
    words = f"{client.mark('may')} !long={client.times(1_000_000)} {pieces}"
    body = chat(words, stream=True, model=model)
    async with client.connection(window=4096) as wire:
        await wire.send(client.head(len(body)), body.pieces())
        while not client.released.is_set():
            client.holds()
            if not await wire.read(1):
                return "cut"
            await asyncio.sleep(0.3)
        return "held"


@kind("held", "cut")
async def streams_left_open(client: Client) -> str:
    """Several streams whose bots have not much to say."""
    async with AsyncExitStack() as stack:
        wires = []
        for _ in range(client.times(5)):
            words = f"{client.mark('may')} !delay=20 !echo one two three"
            body = chat(words, stream=True, model=client.choice(BOTS))
            wires.append(await stack.enter_async_context(client.connection()))
            await wires[-1].send(client.head(len(body)), body.pieces())
        return await client.hold(wires[-1])


@kind("200")
async def hangs_up(client: Client) -> str:
    """Streams that are left after the first bytes."""
    for _ in range(client.times(10)):
        body = chat(
            f"{client.mark('may')} !delay=5 !echo one two three",
            stream=True,
            model=client.choice(BOTS),
        )
        async with client.connection() as wire:
            await wire.send(client.head(len(body)), body.pieces())
            await wire.read(100)
    return "200"


@kind("held", "cut")
async def chats_in_a_row(client: Client) -> str:
    """Dozens of chats on one connection, whose answers are never read."""
    async with client.connection(window=4096) as wire:
        for _ in range(client.times(100)):
            body = chat(f"{client.mark('may')} !long=5000")
            if not await wire.send(client.head(len(body)), body.pieces(), patience=2.0):
                break
        return await client.hold(wire)


@kind("held", "cut", "200")
async def whole_answer_never_read(client: Client) -> str:
    """A whole answer of megabytes of which not a byte is read."""
    body = chat(f"{client.mark('may')} !repeat={client.times(30_000)} " + "x" * 999)
    async with client.connection(window=4096) as wire:
        await wire.send(client.head(len(body)), body.pieces())
        return await client.hold(wire)
