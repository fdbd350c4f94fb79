"""How long a message was that a bot refused as too long, so that the next one is not.

Web protocol sheet §17.3 and §18: Poe names no limit, it only refuses what is beyond it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final

#: Seconds after which a length is forgotten: bots are improved.
HOLDS: Final = 6 * 3600.0
#: The most bots that are remembered.
MAX_BOTS: Final = 1000


class Lengths:
    """The shortest message that each bot has refused as too long. All accounts share one object.

    May be used by several threads at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: When it is forgotten, and the characters of the message, by the bot's name.
        self._refused: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def refused_by(self, bot: str) -> float:
        """Return the characters of the shortest one; `inf` if *bot*, named in any case, has refused
        none lately."""
        until, length = self._refused.get(bot.lower(), (0.0, 0))
        return length if self._clock() < until else inf

    def add(self, bot: str, length: int) -> None:
        """Note that a message of *length* characters was too long for *bot*."""
        length = int(min(length, self.refused_by(bot)))
        with self._lock:
            self._refused[bot.lower()] = self._clock() + HOLDS, length
            self._refused.move_to_end(bot.lower())
            while len(self._refused) > MAX_BOTS:
                self._refused.popitem(last=False)
