"""Turns for the other requests: between two bits of work that belongs to none, and in a flood.

A login, a page, a websocket's frame: what computes on them runs in a thread of its own, without a
budget of any request. Whatever Poe sends, it must not hold up the others. A flood costs wherever it
comes through: where it is read, where it is taken apart, and where it is delivered.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from poe_proxy.budget import OWN, Budget, Line, processor

#: Pieces after which it is looked how fast they come, and how many a second are faster than anybody
#: reads.
IN_A_ROW: Final = 32
FAST: Final = 200
#: Bytes that count as one piece more.
LARGE: Final = 4096

#: Where those stand that flood.
_floods: Final = Line(processor)


class _ThisThread(threading.local):
    def __init__(self) -> None:
        self.budget = Budget(math.inf)


_this_thread: Final = _ThisThread()


def breathe() -> None:
    """Give the others their turn, if this thread has not done so for `budget.SHARED` seconds of
    computing. To be called between two bits of work of a few milliseconds each.
    """
    _this_thread.budget.breathe()


def work(stage: str) -> AbstractContextManager[None]:
    """Note for the watchdog that the block computes; *stage* says what, in words for the log."""
    return _this_thread.budget.work(stage)


class Flood:
    """A bot that says more in a second than anybody reads: it shares a part of the processor with
    all others that do so, and what it says in the meantime comes at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._pieces = 0

    def came(self, size: int = 0) -> None:
        """Note a piece of so many bytes, and `breathe`; stand in line, if so many have come in a
        short time."""
        self._pieces += 1 + size // LARGE
        if self._pieces < IN_A_ROW:
            _this_thread.budget.breathe(OWN)
            return
        now = self._clock()
        if now - self._began < IN_A_ROW / FAST:
            _floods.wait()
            now = self._clock()
        self._began, self._pieces = now, 0
