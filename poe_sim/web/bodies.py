"""Answers that come in an odd way: very slowly, or without an end in sight."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

# Bytes that come at a time.
_DROP = 10
# Beginnings of artefacts, each of which leads to nothing.
_JUNK = b'params:{id:"0",metadata:{},name:"' * 2_000


async def drip(request: web.Request, text: str, kind: str, pause: float) -> web.StreamResponse:
    """Answer with *text*, ten bytes at a time, *pause* seconds apart."""
    body = text.encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    response.content_type = kind
    await response.prepare(request)
    with suppress(ConnectionError):
        for at in range(0, len(body), _DROP):
            await response.write(body[at : at + _DROP])
            await asyncio.sleep(pause)
    return response


async def flood(request: web.Request, megabytes: float) -> web.StreamResponse:
    """Answer with a script of so many megabytes of junk, as fast as the client reads."""
    response = web.StreamResponse()
    response.content_type = "application/javascript"
    await response.prepare(request)
    left = round(megabytes * 1_000_000)
    with suppress(ConnectionError):
        while left > 0:
            await response.write(_JUNK[:left])
            left -= len(_JUNK)
    return response
