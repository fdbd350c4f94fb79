"""What this worker has used, for a Redis that has forgotten it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from poe_proxy.pool.ledger import MARGIN
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.tokens import Token


class _Use:
    __slots__ = ("at", "id")

    def __init__(self, id: str, at: float) -> None:
        self.id = id
        #: When it was there, as far as is known.
        self.at = at


class OwnUses:
    """The uses of this worker that a limit may still ask for: of each token as many as decide."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: dict[str, deque[_Use]] = {}
        self._windows: dict[str, float] = {}

    def use(self, tokens: Iterable[Token[Any]]) -> None:
        """Remember what the limits of these *tokens* ask for, and of no others."""
        with self._lock:
            before = self._uses
            self._uses, self._windows = {}, {}
            for token in tokens:
                most = max(map(_counts, token.limits), default=0)
                if most:
                    self._uses[token.name] = deque(before.get(token.name, ()), most)
                    self._windows[token.name] = max(one.window for one in token.limits)

    def sent(self, name: str, id: str) -> None:
        """Note a use that is sent now; it is there after `MARGIN` seconds at the latest."""
        with self._lock:
            if (uses := self._uses.get(name)) is not None:
                uses.append(_Use(id, self._clock() + MARGIN))

    def arrived(self, name: str, id: str) -> None:
        """Note that a use is there by now."""
        now = self._clock()
        with self._lock:
            for use in reversed(self._uses.get(name, ())):
                if use.id == id:
                    use.at = min(use.at, now)
                    return

    def told(self) -> Iterator[dict[str, Any]]:
        """Yield each use as the script takes it up: `id`, `name`, and how many seconds `ago`."""
        with self._lock:
            now = self._clock()
            for name, uses in self._uses.items():
                for use in uses:
                    ago = max(0.0, now - use.at)
                    if ago < self._windows[name]:
                        yield {"id": use.id, "name": name, "ago": ago}


def _counts(limit: Limit) -> int:
    """Return how many uses decide whether *limit* allows one more."""
    match limit:
        case Within(calls=calls):
            return calls
        case Rest():
            return 1  # the use before
    raise TypeError(f"the script knows no such limit: {limit!r}")
