"""The websocket of a channel: its address, opening it, and reading its messages.

Web protocol sheet §7.3.
"""

from __future__ import annotations

import random
import ssl
import time
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import websocket
from websocket import ABNF
from websocket._handshake import CookieJar

from poe_proxy.errors import UpstreamBlocked, UpstreamProtocolError, UpstreamUnreachable
from poe_proxy.net.deadline import Deadline, in_time
from poe_proxy.net.dialing import dial
from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.pages import ChannelData

#: What a websocket raises when it breaks, or cannot be opened.
BROKEN: Final = (websocket.WebSocketException, OSError)

#: The most bytes of a message, all its fragments together, and the seconds that it may take from
#: its first byte to its last one.
MAX_MESSAGE: Final = 32_000_000
MAX_SECONDS: Final = 60.0
#: The most fragments of one.
_MAX_FRAGMENTS: Final = 10_000

#: The most bytes of the head by which a websocket is opened, which is read byte by byte, and of a
#: page in its place.
_MAX_HEAD: Final = 16_384
_MAX_PAGE: Final = 262_144
_MAX_CONTROL: Final = 125
#: Bytes of room to read into, and to which it may grow and stay.
_ROOM: Final = 65_536
_MOST_ROOM: Final = 262_144
#: The most messages that are taken from it at once: however short they are, others have their turn.
_MOST_AT_ONCE: Final = 256
#: Its opcode and its data.
Message: TypeAlias = tuple[int, bytes]
_DATA: Final = (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT)


class Unreadable(websocket.WebSocketException):
    """A message came that is too large, too slow or against the rules: nothing more is read."""


class Wire(websocket.WebSocket):
    """A websocket whose messages are bounded before their bytes are collected.

    websocket-client reads each frame in three pieces or more. Here one read takes what is there,
    which may be many frames: where short ones come fast, 0.8 µs each in place of 7.5.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        #: What was read, from `_start` to `_end`.
        self._buffer = bytearray(_ROOM)
        self._start = self._end = 0
        #: What kind of message the fragments so far are of, and their data.
        self._kind: int | None = None
        self._fragments = bytearray()
        self._number = 0
        #: When the message began that is under way.
        self._since: float | None = None

    def receive(self) -> list[Message]:
        """Return the messages that are there, control frames included, as soon as there are any.
        None of them come within the time-out: it may be called again, and nothing is lost.

        Pings are answered. Raises `Unreadable`, or any of `BROKEN`.
        """
        while not (messages := self._take()):
            try:
                self._fill()
            except TimeoutError:
                break
            except ssl.SSLError as failure:
                if "timed out" not in str(failure):
                    raise
                break
            if self._since is not None:
                breathe()
        return messages

    def _fill(self) -> None:
        """Read what is there."""
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _MOST_ROOM:
                self._buffer = bytearray(_ROOM)
        elif self._end == len(self._buffer):
            self._make_room()
        sock: Any = self.sock
        with memoryview(self._buffer) as view, view[self._end :] as room:
            size = sock.recv_into(room)
        if not size:
            raise websocket.WebSocketConnectionClosedException("It was closed.")
        self._end += size
        if self._since is not None and time.monotonic() - self._since > MAX_SECONDS:
            raise Unreadable(f"a message that took more than {MAX_SECONDS:g} s")

    def _make_room(self) -> None:
        """Move what is there to the front; double the room where it takes up the most of it."""
        held, room = self._end - self._start, len(self._buffer)
        if 2 * held > room:
            room *= 2
        elif room > _MOST_ROOM:
            room = max(_MOST_ROOM, 2 * held)
        moved = self._buffer if room == len(self._buffer) else bytearray(room)
        with memoryview(self._buffer) as old, memoryview(moved) as new:
            new[:held] = old[self._start : self._end]
        self._buffer, self._start, self._end = moved, 0, held

    def _take(self) -> list[Message]:
        """Return the messages that are complete, up to one before which something is to be done,
        or is wrong: that is seen to when it is the first."""
        messages: list[Message] = []
        at, end, is_new = self._start, self._end, False
        with memoryview(self._buffer) as buffer:
            while end - at >= 2 and len(messages) < _MOST_AT_ONCE:
                first, size = buffer[at], buffer[at + 1]
                data = at + 2
                if 126 <= size < 128:
                    data += 2 if size == 126 else 8
                    if data > end:
                        break
                    size = int.from_bytes(buffer[at + 2 : data], "big")
                opcode = first & 0x0F
                is_plain = first & 0xF0 == 0x80 and 0 < opcode < 3 and self._kind is None
                if not is_plain or size > MAX_MESSAGE or buffer[at + 1] >= 128:
                    if messages:
                        break
                    self._check(first, buffer[at + 1], size)
                if data + size > end:
                    break
                payload = buffer[data : data + size].tobytes()
                at = self._start = data + size
                if is_plain:
                    messages.append((opcode, payload))
                    is_new = True
                elif (whole := self._unusual(first, payload)) is not None:
                    messages.append(whole)
                    is_new = is_new or self._kind is None
                    break
        if is_new:
            self._since = None
        if self._since is None and (at < end or self._kind is not None):
            self._since = time.monotonic()
        return messages

    def _check(self, first: int, second: int, size: int) -> None:
        """Raise `Unreadable` if a frame with such a head may not come now."""
        opcode, is_last = first & 0x0F, first & 0x80
        if second >= 128:
            # No server may use one, and to take it off costs.
            raise Unreadable("a masked frame")
        if first & 0x70 or opcode not in ABNF.OPCODES:
            raise Unreadable("a frame of an unknown kind")
        if opcode in _DATA:
            if (opcode == ABNF.OPCODE_CONT) == (self._kind is None):
                raise Unreadable("a fragment out of its place")
            if size > MAX_MESSAGE - len(self._fragments):
                raise Unreadable(f"a message of more than {MAX_MESSAGE / 1e6:g} MB")
        elif size > _MAX_CONTROL or not is_last:
            raise Unreadable("a control frame that is too long")

    def _unusual(self, first: int, payload: bytes) -> Message | None:
        """Take a frame that is not a message by itself; return the message that is complete."""
        opcode, is_last = first & 0x0F, first & 0x80
        if opcode == ABNF.OPCODE_CLOSE:
            self.send_close()
        elif opcode == ABNF.OPCODE_PING:
            self.pong(payload)
        if opcode not in _DATA:
            return opcode, payload
        self._kind = opcode if self._kind is None else self._kind
        self._fragments += payload
        self._number += 1
        if self._number > _MAX_FRAGMENTS:
            raise Unreadable("a message of too many fragments")
        if not is_last:
            breathe()
            return None
        whole = self._kind, bytes(self._fragments)
        self._kind, self._fragments, self._number = None, bytearray(), 0
        return whole


class _Greeting:
    """A socket while a websocket is opened on it: what comes is bounded."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self._head = 0
        self._page = 0

    def recv(self, size: int) -> bytes:
        data: bytes = self.sock.recv(size)
        # Byte by byte it is the head.
        self._head += len(data) if size == 1 else 0
        self._page += len(data)
        if self._head > _MAX_HEAD or self._page > _MAX_PAGE:
            raise OSError("The answer has no end.")
        breathe()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Socket:
    """Opens websockets to Poe."""

    def __init__(
        self, site: CurrentSite, *, origin: str, ws_url: str | None, proxy: str | None
    ) -> None:
        self._site = site
        self._origin = origin
        self._ws_url = ws_url
        self._proxy = proxy

    def open(self, data: ChannelData, min_seq: int) -> Wire:
        """Open the websocket of a channel, within the site's limit; raises `UpstreamError`."""
        url = self.address(data, min_seq)
        limit = self._site.now.limits.socket_open
        try:
            wire = in_time(
                lambda deadline: self._connect(url, deadline),
                limit,
                undo=hang_up,
                name="opening a websocket",
            )
        except websocket.WebSocketBadStatusException as bad:
            if bad.status_code == 403 and "cf-mitigated" in (bad.resp_headers or {}):
                raise UpstreamBlocked("Poe shows a browser challenge at its websocket.") from None
            raise UpstreamProtocolError(
                f"Poe does not open its websocket for us ({bad.status_code})."
            ) from None
        except (*BROKEN, ValueError) as bad:
            raise UpstreamUnreachable(
                f"Poe's websocket cannot be reached ({type(bad).__name__})."
            ) from None
        if wire.getstatus() != 101:
            hang_up(wire)
            raise UpstreamProtocolError("Poe redirects its websocket to somewhere else.")
        return wire

    def _connect(self, url: str, deadline: Deadline) -> Wire:
        parts = urlsplit(url)
        is_secure = parts.scheme == "wss"
        greeting = _Greeting(
            dial(
                parts.hostname or "",
                parts.port or (443 if is_secure else 80),
                is_secure=is_secure,
                proxy=self._proxy,
                deadline=deadline,
            )
        )
        try:
            wire: Any = websocket.create_connection(
                url,
                class_=Wire,
                timeout=deadline.left(),
                socket=greeting,
                origin=self._origin,
                header=[
                    f"User-Agent: {self._site.now.headers['User-Agent']}",
                    "Pragma: no-cache",
                    "Cache-Control: no-cache",
                ],
                # A redirected websocket would bypass our proxy, and go to an unknown host.
                redirect_limit=0,
                # The check is written in Python and slow; orjson checks in C what we read.
                skip_utf8_validation=True,
                enable_multithread=True,
            )
        except BaseException:
            greeting.close()
            raise
        finally:
            # All websockets of the process would share its cookies: accounts must not.
            CookieJar.jar.clear()
        wire.sock = greeting.sock
        assert isinstance(wire, Wire)
        return wire

    def address(self, data: ChannelData, min_seq: int) -> str:
        """Return the URL of a channel's websocket.

        Raises `UpstreamProtocolError` if it is not on a host of Poe's.
        """
        host = data.base_host
        if self._ws_url is None and not (host == "poe.com" or host.endswith(".poe.com")):
            raise UpstreamProtocolError("Poe names a websocket on a host that is not its own.")
        url = self._site.now.websocket.format(
            n=random.randint(1, 1_000_000),
            base_host=host,
            box=data.box,
            min_seq=min_seq,
            channel=data.name,
            hash=data.hash,
        )
        try:
            parts = urlsplit(url)
        except ValueError:
            raise UpstreamProtocolError("Poe names a websocket that has no address.") from None
        if self._ws_url is not None:
            return f"{self._ws_url}{parts.path}?{parts.query}"
        if not (parts.hostname or "").endswith(host.lower()) or "@" in parts.netloc:
            raise UpstreamProtocolError("Poe names a websocket on a host that is not its own.")
        return url


def hang_up(wire: websocket.WebSocket) -> None:
    """Close a websocket that no other thread uses any more."""
    wire_socket = wire.sock
    wire.shutdown()
    if wire_socket is not None:
        with suppress(OSError):
            wire_socket.close()
