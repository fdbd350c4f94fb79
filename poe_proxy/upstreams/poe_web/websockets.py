"""The websocket of a channel: its address, opening it, and reading its messages.

Web protocol sheet §7.3.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

import websocket
from websocket import ABNF
from websocket._abnf import frame_buffer
from websocket._handshake import CookieJar

from poe_proxy.errors import UpstreamBlocked, UpstreamProtocolError, UpstreamUnreachable
from poe_proxy.net.deadline import Deadline, in_time
from poe_proxy.net.dialing import dial
from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site

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
_READ_AT_ONCE: Final = 65_536
_MAX_CONTROL: Final = 125
_DATA: Final = (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT)


class Unreadable(websocket.WebSocketException):
    """A message came that is too large, too slow or against the rules: nothing more is read."""


class Wire(websocket.WebSocket):
    """A websocket whose messages are bounded before their bytes are collected."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._frames = _Frames(self._recv, self._room)
        self.frame_buffer = self._frames
        #: What kind of message the fragments so far are of, and their data.
        self._kind: int | None = None
        self._fragments = bytearray()
        self._number = 0

    def _room(self) -> int:
        return MAX_MESSAGE - len(self._fragments)

    def recv_data_frame(self, control_frame: bool = False) -> tuple[int, ABNF]:
        """Return the next message, or control frame if asked for, as websocket-client does.

        It may be called again after a time-out: nothing is lost. Raises `Unreadable`.
        """
        while True:
            frame = self._frames.recv_frame()
            breathe()
            if frame.opcode in _DATA:
                if (frame.opcode == ABNF.OPCODE_CONT) == (self._kind is None):
                    raise Unreadable("a fragment out of its place")
                if frame.fin and self._kind is None:
                    self._frames.is_complete()
                    return frame.opcode, frame
                self._kind = frame.opcode if self._kind is None else self._kind
                self._number += 1
                if self._number > _MAX_FRAGMENTS:
                    raise Unreadable("a message of too many fragments")
                self._fragments += cast("bytes", frame.data)
                if frame.fin:
                    kind, frame.data = self._kind, bytes(self._fragments)
                    self._kind, self._fragments, self._number = None, bytearray(), 0
                    self._frames.is_complete()
                    return kind, frame
                continue
            if self._kind is None:
                self._frames.is_complete()
            if frame.opcode == ABNF.OPCODE_CLOSE:
                self.send_close()
                return frame.opcode, frame
            if frame.opcode == ABNF.OPCODE_PING:
                self.pong(frame.data)
            if control_frame:
                return frame.opcode, frame


class _Frames(frame_buffer):
    """Frames, as websocket-client reads them, but bounded."""

    def __init__(self, recv: Callable[[int], bytes], room: Callable[[], int]) -> None:
        """*room* says how many bytes a frame of data may have."""
        super().__init__(recv, skip_utf8_validation=True)
        self._room = room
        self._held = bytearray()
        #: When the message began that is under way.
        self._since: float | None = None

    def is_complete(self) -> None:
        """Note that the message is complete."""
        self._since = None

    def recv_length(self) -> None:
        """Read the length of a frame, before any of its data."""
        super().recv_length()
        assert self.header is not None
        assert self.length is not None
        is_control = self.header[4] not in _DATA
        if self.length > (_MAX_CONTROL if is_control else self._room()):
            raise Unreadable(f"a message of more than {MAX_MESSAGE / 1e6:g} MB")

    def recv_mask(self) -> None:
        """Refuse a mask, which no server may use: to take it off costs."""
        if self.has_mask():
            raise Unreadable("a masked frame")
        super().recv_mask()

    def recv_strict(self, bufsize: int) -> bytes:
        """Return so many bytes; after a time-out, go on with those that are there."""
        while (missing := bufsize - len(self._held)) > 0:
            self._held += self.recv(min(_READ_AT_ONCE, missing))
            now = time.monotonic()
            self._since = now if self._since is None else self._since
            if now - self._since > MAX_SECONDS:
                raise Unreadable(f"a message that took more than {MAX_SECONDS:g} s")
            breathe()
        whole = bytes(self._held)
        self._held.clear()
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

    def __init__(self, site: Site, *, origin: str, ws_url: str | None, proxy: str | None) -> None:
        self._site = site
        self._origin = origin
        self._ws_url = ws_url
        self._proxy = proxy

    def open(self, data: ChannelData, min_seq: int) -> websocket.WebSocket:
        """Open the websocket of a channel, within the site's limit; raises `UpstreamError`."""
        url = self.address(data, min_seq)
        limit = self._site.limits.socket_open
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

    def _connect(self, url: str, deadline: Deadline) -> websocket.WebSocket:
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
            wire = websocket.create_connection(
                url,
                class_=Wire,
                timeout=deadline.left(),
                socket=greeting,
                origin=self._origin,
                header=[
                    f"User-Agent: {self._site.headers['User-Agent']}",
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
        return wire

    def address(self, data: ChannelData, min_seq: int) -> str:
        """Return the URL of a channel's websocket.

        Raises `UpstreamProtocolError` if it is not on a host of Poe's.
        """
        host = data.base_host
        if self._ws_url is None and not (host == "poe.com" or host.endswith(".poe.com")):
            raise UpstreamProtocolError("Poe names a websocket on a host that is not its own.")
        url = self._site.websocket.format(
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
