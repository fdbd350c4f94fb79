"""Abuse beneath the requests: connections, heads, bodies that never end, requests in a row."""

from __future__ import annotations

import asyncio
from typing import Final

from .bodies import Body, chat
from .kinds import REFUSED, kind
from .wire import Client, said

#: As large as MAX_BODY_MB lets a body be, nearly.
LARGE: Final = 19_000_000
_WRONG: Final = "sk-of-somebody-else"


# ---- without a key


@kind("held", "cut")
async def pipelined_and_never_read(client: Client) -> str:
    """Requests in a row whose answers are never read."""
    request = client.head(None, method="GET", path="/openapi.json", key="")
    async with client.connection(window=4096) as wire:
        for _ in range(client.times(2000)):
            if not await wire.send(request, patience=2.0):
                break
        return await client.hold(wire)


@kind("held", "cut")
async def idle(client: Client) -> str:
    """A connection, and nothing."""
    async with client.connection() as wire:
        return await client.hold(wire)


@kind("cut", "408*", "400*", small=1)
async def head_by_the_byte(client: Client) -> str:
    """A head that comes a byte at a time, and takes a minute."""
    async with client.connection() as wire:
        for byte in client.head(None, "x: y" * 20, method="GET", path="/health", key=""):
            if not await wire.send(bytes([byte])):
                break
            await asyncio.sleep(0.2)
        return said(await wire.answer())


@kind("held", "cut")
async def half_a_head(client: Client) -> str:
    """The first half of a head."""
    async with client.connection() as wire:
        await wire.send(client.head(5)[:40])
        return await client.hold(wire)


@kind("431*", "400*")
async def endless_head(client: Client) -> str:
    """A head with megabytes of fields."""
    async with client.connection() as wire:
        await wire.send(b"GET /health HTTP/1.1\r\n")
        await wire.send(Body.of((b"x-y: " + b"z" * 4000 + b"\r\n", client.times(5000))).pieces())
        return said(await wire.answer()).replace("cut", "431")


@kind("200")
async def many_connections(client: Client) -> str:
    """Connections that are reset at once, by the dozen, some with a request on its way."""
    body = chat(f"{client.mark('may')} Hello")
    for place in range(client.times(30)):
        async with client.connection() as wire:
            if place % 2:
                await wire.send(client.head(len(body)), body.pieces())
            wire.reset()
    return "200"


@kind("401 invalid_api_key", small=1)
async def wrong_key_and_a_body(client: Client) -> str:
    """A wrong key, and a body of 200 KB behind it: the answer arrives, and says what follows."""
    answer = await client.ask(chat("x" * 200_000 + " " + client.mark("never")), key=_WRONG)
    if answer is not None and answer.headers.get("connection") != "close":
        return f"{answer.outcome} that keeps the connection"
    return said(answer)


@kind("401 invalid_api_key", "cut", small=1)
async def wrong_key_and_a_large_body(client: Client) -> str:
    """A wrong key, and a body of 20 MB behind it."""
    return await client.post(
        chat(client.mark("never"), '"x":"', ("x" * 1000, 19_000), '"'), key=_WRONG
    )


@kind("401 invalid_api_key", small=0.2)
async def wrong_key_in_a_row(client: Client) -> str:
    """Requests in a row with a wrong key."""
    body = chat(client.mark("never"))
    async with client.connection() as wire:
        sending = asyncio.create_task(
            wire.send(
                (client.head(len(body), key=_WRONG) + b"".join(body.pieces()),) * client.times(500)
            )
        )
        outcome = said(await wire.answer())
        await sending
        return outcome


@kind("204 then *", "200 then *", small=1)
async def chat_behind_a_body_that_nobody_reads(client: Client) -> str:
    """A request whose body is not read, and a chat right behind it on the same connection.

    The chat is asked and answered, or neither.
    """
    method, path = client.choice(
        [("OPTIONS", "/v1/chat/completions"), ("GET", "/health"), ("OPTIONS", "/health")]
    )
    mark = client.mark("never")
    body = chat(mark)
    async with client.connection() as wire:
        await wire.send(
            client.head("chunked", method=method, path=path, key=""),
            b"5\r\nhello\r\n0\r\n\r\n" + client.head(len(body)),
            body.pieces(),
        )
        first, second = said(await wire.answer()), said(await wire.answer())
        if second.startswith("200"):
            client.answered.append(mark)
        return f"{first} then {second}"


@kind("*", small=1)
async def chat_within_a_body(client: Client) -> str:
    """A chat hidden in the body of another request, by two lengths that contradict each other."""
    inner = chat(client.mark("never"))
    hidden = client.head(len(inner)) + b"".join(inner.pieces())
    async with client.connection() as wire:
        await wire.send(
            client.head("chunked", f"Content-Length: {len(hidden) + 5}", method="POST", key=_WRONG),
            b"0\r\n\r\n" + hidden,
        )
        return said(await wire.answer())


@kind("404*", "414*", small=1)
async def a_line_for_the_log(client: Client) -> str:
    """Line breaks and terminal codes in whatever the log may name."""
    forged = "%0d%0aFORGED%1b%5b31m%e2%80%a8FORGED%c2%85FORGED"
    agent = "User-Agent: FORGED\x85FORGED\x9b31m"
    async with client.connection() as wire:
        await wire.send(client.head(None, agent, method="GET", path=f"/v1/{forged}"))
        first = said(await wire.answer())
    named = chat(client.mark("never"), model="x\nFORGED\r\nFORGED\x1b[31m\u2028FORGED\x85FORGED")
    return min(first, await client.post(named))


# ---- bodies that do not come


@kind("held", "cut")
async def body_by_the_byte(client: Client) -> str:
    """A body that comes a byte a second."""
    body = b"".join(chat(client.mark("never") + "x" * 1000).pieces())
    async with client.connection() as wire:
        await wire.send(client.head(len(body)))
        for byte in body[:-1]:
            client.holds()
            if client.released.is_set():
                return "held"
            if not await wire.send(bytes([byte])):
                return "cut"
            await asyncio.sleep(0.3)
        return await client.hold(wire)


@kind("held", "cut", "503 *")
async def unfinished_body(client: Client) -> str:
    """A body of 19 MB without its last byte."""
    async with client.connection() as wire:
        await wire.send(client.head(LARGE), Body.of((b" " * 1000, client.times(18_999))).pieces())
        return await client.hold(wire)


@kind("held", "cut", "417*")
async def asks_before_it_sends(client: Client) -> str:
    """`Expect: 100-continue`, and nothing after it."""
    async with client.connection() as wire:
        await wire.send(client.head(LARGE, "Expect: 100-continue"))
        return await client.hold(wire)


@kind("200", *REFUSED)
async def chunks_of_a_byte(client: Client) -> str:
    """A body in chunks of a byte each."""
    before, after = b"".join(chat(client.mark("may")).pieces()).split(b'"}]', 1)
    chunks = [
        _byte_by_byte(before),
        (b"1\r\n \r\n1\r\nx\r\n", client.times(500_000)),
        _byte_by_byte(b'"}]' + after),
    ]
    async with client.connection() as wire:
        await wire.send(client.head("chunked"), Body.of(*chunks).pieces(), b"0\r\n\r\n")
        return said(await wire.answer())


def _byte_by_byte(text: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in text)


@kind("400*", "413*", "cut", small=0.1)
async def chunk_with_an_endless_extension(client: Client) -> str:
    """Megabytes where a chunk's length should be, or behind the last chunk."""
    async with client.connection() as wire:
        if client.choice((True, False)):
            await wire.send(
                client.head("chunked"),
                b"1;x=",
                Body.of((b"x" * 1000, client.times(19_000))).pieces(),
            )
        else:
            await wire.send(
                client.head("chunked"),
                b"1\r\n{\r\n0\r\n",
                Body.of((b"x: y\r\n", client.times(3_000_000))).pieces(),
            )
        await wire.send(b"\r\n\r\n")
        return said(await wire.answer())


@kind("413 *", "400 *", small=1)
async def too_large_a_body(client: Client) -> str:
    """A body of 40 MB, with its length in front or without."""
    body = chat(client.mark("never"), '"x":"', ("x" * 1000, 40_000), '"')
    if client.choice((True, False)):
        return await client.post(body)
    chunks = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body.pieces())
    async with client.connection() as wire:
        await wire.send(client.head("chunked"), chunks, b"0\r\n\r\n")
        return said(await wire.answer())
