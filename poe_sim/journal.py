"""What the stand-in received and did, in order, for tests to assert on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Entry = dict[str, Any]

# Enough for a benchmark of 200 replies at a time for a few minutes.
CAPACITY = 100_000


class Journal:
    """A bounded list of entries; each has a running number ``n`` and a monotonic time ``t``.

    No entry may hold a secret: cookies and keys appear as ``cookie-1`` and ``key-1``, other
    credentials as ``ok``, ``bad`` or ``missing``.
    """

    def __init__(
        self, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._clock = clock
        self._count = 0

    def add(self, **fields: Any) -> Entry:
        """Add one entry and return it; the caller may complete it later."""
        self._count += 1
        entry: Entry = {"n": self._count, "t": self._clock(), **fields}
        self._entries.append(entry)
        return entry

    @property
    def entries(self) -> Sequence[Entry]:
        """All entries that are still kept, oldest first."""
        return list(self._entries)

    def after(self, number: int) -> list[Entry]:
        """Return the entries whose running number is greater than *number*."""
        return [entry for entry in self._entries if entry["n"] > number]

    def clear(self) -> None:
        """Forget the entries; the running number goes on."""
        self._entries.clear()
