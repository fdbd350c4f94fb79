"""Push channels, web protocol sheet §7: items, subscriptions, websockets, replays."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

# While a websocket's client has more than this unread, bots say nothing more to it: not those with
# a long text, each frame of which is as long, and much later the others. If it reads nothing for so
# many seconds, it is dropped.
_UNREAD_LIMIT = 4 * 1024 * 1024
_UNREAD_LIMIT_OF_SHORT = 4 * _UNREAD_LIMIT
_SHORT = 65_536
_UNREAD_TIME = 10.0
# The head of a text frame that claims to be a terabyte long, and what comes of it at a time.
_ENDLESS = b"\x81\x7f" + (10**12).to_bytes(8, "big")
_FLOOD = b'{"min_seq":1,"messages":["' + b"x" * 65_510
# A channel keeps no more bytes of frames than this, however few frames they are.
_RING_BYTES = 4 * 1024 * 1024


class Item:
    """One pushed item, web protocol sheet §7.4; it is rendered once for all channels."""

    __slots__ = ("_quoted", "name", "payload")

    def __init__(self, name: str, scope: object, content: object, filler: str = "") -> None:
        self.name = name
        unique_id = name if scope is None else f"{name}:{scope}"
        self.payload: dict[str, Any] = {
            "message_type": "subscriptionUpdate",
            "payload": {
                "unique_id": unique_id,
                "subscription_name": name,
                "data": None if content is None else {name: content},
            },
        }
        if filler:
            self.payload["_"] = filler
        self._quoted: bytes | None = None

    @property
    def quoted(self) -> bytes:
        """The item in a frame's list: a JSON string that holds JSON."""
        if self._quoted is None:
            # By hand: orjson allocates many times what a string with quotes needs and does not
            # give it back, so a ring full of such frames would fill the memory.
            text = orjson.dumps(self.payload)
            self._quoted = b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return self._quoted


class Channel:
    """A push channel: its subscriptions, its sockets, and the frames kept for a replay.

    *owner* is the label of its account.
    """

    def __init__(self, label: str, owner: str, rng: random.Random, ring_size: int) -> None:
        self.label = label
        self.owner = owner
        self.box = "chan42-8888"
        letters = "".join(rng.choices(string.ascii_lowercase, k=20))
        self.name = f"poe-{self.box}-{letters}"
        self.hash = "".join(rng.choices(string.digits[1:], k=20))
        self.sequence = rng.randrange(4_000_000_000, 5_000_000_000)
        self.subscribed: frozenset[str] = frozenset()
        self.sockets: set[Socket] = set()
        # A channel that lost data says so on each websocket that comes back to it.
        self.is_broken = False
        self._ring: deque[tuple[int, bytes]] = deque()
        self._ring_size = ring_size
        self._ring_bytes = 0
        self._lost_up_to = self.sequence

    def data(self, base_host: str) -> dict[str, Any]:
        """Return the channel as pages and settings have it, web protocol sheet §7.1."""
        return {
            "minSeq": str(self.sequence),
            "channel": self.name,
            "channelHash": self.hash,
            "boxName": self.box,
            "baseHost": base_host,
            "targetUrl": f"https://{base_host}/up/{self.box}/updates",
            "enableWebsocket": True,
        }

    async def push(self, items: Iterable[Item]) -> None:
        """Send the subscribed items in one frame, and keep it for a replay."""
        wanted = [item.quoted for item in items if item.name in self.subscribed]
        if not wanted or self.is_broken:
            return
        self.sequence += len(wanted)
        frame = b'{"min_seq":%d,"messages":[%b]}' % (self.sequence, b",".join(wanted))
        self._ring.append((self.sequence, frame))
        self._ring_bytes += len(frame)
        self._forget_oldest()
        await self.send(frame)

    async def push_text(self, text: str) -> None:
        """Send one item as it is, subscribed or not, JSON or not; it is not kept."""
        self.sequence += 1
        await self.send(orjson.dumps({"min_seq": self.sequence, "messages": [text]}))

    async def send(self, frame: bytes) -> None:
        """Send one frame to every socket of the channel."""
        for socket in tuple(self.sockets):
            await socket.send(frame)

    async def wait_for_room(self, length: int) -> None:
        """Wait while a client of the channel has too much unread for a text of such a *length*."""
        for socket in tuple(self.sockets):
            await socket.wait_for_room(length)

    async def replay(self, socket: Socket, min_seq: int) -> None:
        """Send the frames after *min_seq*, or that some of them are no longer kept."""
        if self.is_broken or min_seq < self._lost_up_to:
            await socket.send(b'{"error":"missed_messages"}')
            return
        for sequence, frame in tuple(self._ring):
            if sequence > min_seq:
                await socket.send(frame)

    def set_ring_size(self, size: int) -> None:
        """Keep at most *size* frames from now on."""
        self._ring_size = size
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._ring) > self._ring_size or self._ring_bytes > _RING_BYTES:
            self._lost_up_to, frame = self._ring.popleft()
            self._ring_bytes -= len(frame)


class Socket:
    """One websocket of a client."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._ws = ws
        self._transport = transport
        self.is_silent = False

    async def send(self, frame: bytes) -> None:
        """Send a text frame, behind all that is unread, unless the socket plays dead."""
        if self.is_silent or self._ws.closed or self._transport is None:
            return
        try:
            await self._ws.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:
            # The reading side of this socket notices it and removes the socket.
            return

    async def wait_for_room(self, length: int) -> None:
        """Wait while too much is unread for a text of such a *length*; drop a client that reads
        nothing of it."""
        transport = self._transport
        if transport is None:
            return
        limit = _UNREAD_LIMIT if length > _SHORT else _UNREAD_LIMIT_OF_SHORT
        unread, since = transport.get_write_buffer_size(), time.monotonic()
        while unread > limit and not (self.is_silent or transport.is_closing()):
            await asyncio.sleep(0.01)
            left = transport.get_write_buffer_size()
            if left < unread:
                since = time.monotonic()
            elif time.monotonic() - since > _UNREAD_TIME:
                transport.abort()
                return
            unread = left

    async def flood(self, megabytes: float) -> None:
        """Begin a frame without an end, and send so much of it, as fast as the client reads."""
        transport = self._transport
        if transport is None:
            return
        self.is_silent = True
        transport.write(_ENDLESS)
        for _ in range(round(megabytes * 1_000_000 / len(_FLOOD))):
            transport.write(_FLOOD)
            while transport.get_write_buffer_size() > len(_FLOOD) and not transport.is_closing():
                await asyncio.sleep(0.001)
            if transport.is_closing():
                return

    async def close(self) -> None:
        """Close as a server that goes away: without waiting for the other side."""
        if self._transport is not None and not self._ws.closed:
            await self._ws.close(code=1001, drain=False)
            self._transport.close()
