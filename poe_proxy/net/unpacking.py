"""A body that is packed although nobody asked for it: unpacked bit by bit. Free of I/O."""

from __future__ import annotations

import zlib
from typing import Any, Final

from poe_proxy.net.http1 import ProtocolError

#: The most bytes that come out at a time.
AT_ONCE: Final = 65_536

#: Window bits of zlib: with gzip's head, with zlib's, with none.
_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15


class Unpacker:
    """Takes a body as it comes, and gives out what is in it in pieces of `AT_ONCE` bytes at most.

    So a small body that holds gigabytes costs its reader no more than it asks for.
    """

    def __init__(self, coding: str) -> None:
        """*coding* is the value of Content-Encoding; raises `ProtocolError` for one that is not
        known, or for several: packed twice, a few bytes may hold the work of hours."""
        self._coding = coding.strip().lower()
        if self._coding not in ("gzip", "x-gzip", "deflate"):
            raise ProtocolError("a coding that is not known")
        self._zlib: Any = None
        self._waiting = b""
        self._has_more = False

    @property
    def has_more(self) -> bool:
        """Whether more may come out before anything else goes in."""
        return self._has_more

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        if data:
            self._waiting = self._waiting + data if self._waiting else data
            self._has_more = True

    def take(self) -> bytes:
        """Return some of what is in it; nothing if there is no more for now. Raises
        `ProtocolError`."""
        if not self._has_more:
            return b""
        if self._zlib is None:
            bits = _GZIP
            if self._coding == "deflate":
                # Some servers leave the head out, which can be told by its first half byte.
                bits = _ZLIB if self._waiting[0] & 0x0F == 8 else _RAW
            self._zlib = zlib.decompressobj(bits)
        try:
            out: bytes = self._zlib.decompress(self._waiting, AT_ONCE)
        except zlib.error:
            raise ProtocolError("packed in a way that is not known") from None
        self._waiting = self._zlib.unconsumed_tail
        if self._zlib.unused_data:
            raise ProtocolError("more than what was packed")
        # As much as may be came out: there may be more inside although all has gone in.
        self._has_more = bool(self._waiting) or len(out) == AT_ONCE
        return out

    def end(self) -> None:
        """Note the end of the body; raises `ProtocolError` if something is missing."""
        if self._zlib is not None and not self._zlib.eof:
            raise ProtocolError("packed, and broken off")
