"""What is remembered for a while, by nothing but a digest of it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator


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
