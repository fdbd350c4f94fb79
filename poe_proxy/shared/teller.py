"""What is told in passing: many small things that are no request's business to wait for, gathered
and told together."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Final

from poe_proxy.shared.calling import Caller

log = logging.getLogger(__name__)

#: Seconds for which things are gathered. As much is lost if the process is killed.
GATHER: Final = 1.0
#: The most seconds that the end waits.
_LAST: Final = 2.0


class Teller:
    """Tells what its parts have gathered, a batch at a time. However often a batch comes to Redis,
    it counts once.

    While Redis is away nothing is told: parts add up what they have, so that it does not grow.
    """

    def __init__(self, caller: Caller, *, every: float = GATHER) -> None:
        self._caller = caller
        self._every = every
        self._parts: dict[str, Callable[[], Any]] = {}
        self._lock = threading.Lock()
        self._by = os.urandom(8).hex()
        self._number = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def add(self, part: str, take: Callable[[], Any]) -> None:
        """Ask *take* from now on, before each batch, for what *part* has gathered: something that
        JSON can say, which is its own no longer, or None."""
        self._parts[part] = take

    def tell(self) -> None:
        """Tell all that was gathered; what is called for after that comes after it."""
        with self._lock:
            told = {part: found for part, take in self._parts.items() if (found := take())}
            if told:
                self._number += 1
                self._caller.note("tell", {"by": self._by, "n": self._number, **told})

    def start(self) -> None:
        """Begin to tell by the clock; to be called once."""
        self._thread.start()

    def close(self) -> None:
        """Tell what is left, for as long as Redis is called at all."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_LAST)
        self.tell()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            if not self._caller.trouble:
                try:
                    self.tell()
                except Exception:  # the next batch may be better
                    log.exception("what was gathered was not told")
