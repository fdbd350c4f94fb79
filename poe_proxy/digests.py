"""What is remembered for a while, by nothing but a digest of it."""

from __future__ import annotations

import mmap
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final


class Digests:
    """Digests that are remembered for so many seconds; of too many, the oldest are forgotten."""

    def __init__(
        self, seconds: float, most: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember *most* digests at a time, each for so many *seconds*."""
        self._seconds = seconds
        self._most = most
        self._clock = clock
        #: When each is forgotten, the oldest first.
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, digest: str) -> None:
        """Remember *digest* from now on."""
        self._until[digest] = self._clock() + self._seconds
        self._until.move_to_end(digest)
        while len(self._until) > self._most:
            self._until.popitem(last=False)

    def __contains__(self, digest: str) -> bool:
        return self._clock() < self._until.get(digest, 0.0)

    def __iter__(self) -> Iterator[str]:
        return (one for one in self._until if one in self)


class SharedDigests:
    """The same, in memory that is shared with every process that is forked from this one: what any
    of them adds, all of them know.

    For what is rarely added: of two that are added at the same moment, one may be forgotten.
    """

    #: A digest of up to so many characters, and when it is forgotten.
    _ROW: Final = struct.Struct("=32sd")
    #: How many were ever added.
    _COUNT: Final = struct.Struct("=Q")

    def __init__(
        self, seconds: float, most: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember *most* digests at a time, each for so many *seconds* of a *clock* that all
        processes have in common."""
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._memory = mmap.mmap(-1, self._COUNT.size + most * self._ROW.size)

    def add(self, digest: str) -> None:
        """Remember *digest* from now on."""
        (count,) = self._COUNT.unpack_from(self._memory)
        place = self._COUNT.size + count % self._most * self._ROW.size
        self._ROW.pack_into(self._memory, place, digest.encode(), self._clock() + self._seconds)
        self._COUNT.pack_into(self._memory, 0, count + 1)

    def __contains__(self, digest: str) -> bool:
        (count,) = self._COUNT.unpack_from(self._memory)
        if not count:
            return False
        end = self._COUNT.size + min(count, self._most) * self._ROW.size
        rows = self._ROW.iter_unpack(self._memory[self._COUNT.size : end])
        wanted, now = digest.encode().ljust(32, b"\0"), self._clock()
        return any(known == wanted and now < until for known, until in rows)
