"""What bots have refused, so that it is sent to each of them only once.

Official API sheet §3.2: a field that a model does not declare *may* be refused, and which ones
are cannot be known in advance. The same goes for tools.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

#: Seconds after which a refusal is forgotten: bots are improved, and one odd answer should not
#: count for ever.
HOLDS: Final = 6 * 3600.0

#: More bots than a user ever names, and more fields than a client ever sends; anything beyond is
#: invented.
_MAX_BOTS: Final = 1000
_MAX_FIELDS: Final = 100
#: The most characters of a name, of a bot or of a field.
_MAX_NAME: Final = 200


class Refusals:
    """Which fields of a request each bot has refused. All keys share one object."""

    def __init__(
        self, *, holds: float = HOLDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A refusal counts for *holds* seconds."""
        self._holds = holds
        self._clock = clock
        self._lock = threading.Lock()
        #: When each field is forgotten, by bot, the least recent refusal first. The inner
        #: mappings are replaced as a whole, so that readers need no lock.
        self._known: dict[str, Mapping[str, float]] = {}

    def of(self, bot: str) -> frozenset[str]:
        """Return the fields that *bot*, named in any case, has refused lately."""
        return frozenset(self._lately(bot.lower()))

    def add(self, bot: str, fields: Collection[str]) -> None:
        """Note that *bot* takes none of *fields*, unless they are more, or longer, than a client
        ever sends."""
        if len(fields) > _MAX_FIELDS or max(map(len, (bot, *fields))) > _MAX_NAME:
            return
        name, until = bot.lower(), self._clock() + self._holds
        with self._lock:
            kept = {one: its for one, its in self._lately(name).items() if one not in fields}
            while len(kept) + len(fields) > _MAX_FIELDS:
                del kept[next(iter(kept))]
            self._known.pop(name, None)
            while len(self._known) >= _MAX_BOTS:
                del self._known[next(iter(self._known))]
            self._known[name] = kept | dict.fromkeys(fields, until)

    def _lately(self, name: str) -> dict[str, float]:
        known = self._known.get(name)
        if not known:
            return {}
        now = self._clock()
        return {field: until for field, until in known.items() if now < until}
