"""When one token was used, and how long its limits make it wait.

Without a clock and without a lock: the ledger has both. All times are on its clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from poe_proxy.pool.ledger import MARGIN
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.store import Store


@dataclass(eq=False, slots=True)
class Use:
    """One request that was sent, and may still be on its way."""

    #: Its name in the store; empty if a process before this one sent it.
    id: str
    sent_at: float

    @property
    def arrives_by(self) -> float:
        """When it has arrived at the latest, if it ever does."""
        return self.sent_at + MARGIN


class Uses:
    """The uses that the limits of one token remember; *store* knows them before they are sent."""

    __slots__ = ("_arrived_at", "_held", "_limits", "_name", "_on_its_way", "_store", "window")

    def __init__(self, name: str, store: Store) -> None:
        self._name = name
        self._store = store
        self._limits: Sequence[Limit] = ()
        #: Seconds for which uses are remembered; negative: no limits were ever set.
        self.window = -inf
        #: When each use arrived, in rising order; what holds a place for a use is here too.
        self._arrived_at: list[float] = []
        #: Those of these times that hold a place.
        self._held: list[float] = []
        #: What was sent and is not known to have arrived, the oldest first.
        self._on_its_way: list[Use] = []

    def set_limits(self, limits: Sequence[Limit], now: float) -> None:
        """Change the limits; uses that were forgotten by then come back only by `remember`."""
        self._forget(now)
        self._limits = tuple(limits)
        self.window = max((limit.window for limit in self._limits), default=0.0)

    def remember(self, ages: Iterable[float], now: float) -> None:
        """Take up uses of so many seconds ago; a negative number is as in `Remembered.uses`."""
        for age in ages:
            if age < 0.0:
                self._on_its_way.append(Use("", now - age - MARGIN))
            else:
                insort(self._arrived_at, now - age)
        self._on_its_way.sort(key=lambda use: use.sent_at)

    def wait(self, now: float) -> float:
        """Return the seconds until the limits allow one more use."""
        if not self._limits:
            return 0.0
        if not self._on_its_way:
            return self._ask(now)
        self._settle_late(now)
        # What is on its way counts as if it were sent this moment. It is added for this question
        # only, and in place: to copy hundreds of uses would cost more than the question.
        arrived = len(self._arrived_at)
        self._arrived_at.extend([now] * len(self._on_its_way))
        try:
            return self._ask(now)
        finally:
            del self._arrived_at[arrived:]

    def _ask(self, now: float) -> float:
        longest = 0.0
        for limit in self._limits:
            wait = limit.wait(self._arrived_at, now)
            if wait > longest:
                longest = wait
        return longest

    def unsettled_for(self, now: float) -> float:
        """Return the seconds until all that was sent has arrived, at the latest."""
        return max(0.0, self._on_its_way[-1].arrives_by - now) if self._on_its_way else 0.0

    def ages(self, now: float) -> list[float]:
        """Return the seconds since each use, the oldest first."""
        self._forget(now)
        return [now - at for at in self._arrived_at] + [0.0] * len(self._on_its_way)

    # ---- what happens

    def hold_place(self, since: float, now: float) -> None:
        """Count a use that may follow as one that arrived at *since*."""
        self._forget(now)
        insort(self._arrived_at, since)
        self._held.append(since)

    def free_place(self, since: float) -> None:
        """Stop counting it. A lease may last longer than the limits remember: then it is gone."""
        if since in self._held:
            self._held.remove(since)
            del self._arrived_at[bisect_left(self._arrived_at, since)]

    def send(self, use: str, now: float) -> Use:
        """Count a use that is sent now."""
        self._store.add_use(self._name, use)
        self._on_its_way.append(Use(use, now))
        return self._on_its_way[-1]

    def settle(self, use: Use, now: float) -> None:
        """Note that *use* has arrived by now; does nothing if it has long done so."""
        self._settle_late(now)
        if use in self._on_its_way:
            self._on_its_way.remove(use)
            self._count(use, now, now)

    def _settle_late(self, now: float) -> None:
        """Count what must have arrived."""
        while self._on_its_way and self._on_its_way[0].arrives_by <= now:
            use = self._on_its_way.pop(0)
            self._count(use, use.arrives_by, now)

    def _count(self, use: Use, arrived_at: float, now: float) -> None:
        insort(self._arrived_at, arrived_at)
        if use.id:
            self._store.settle_use(use.id, now - arrived_at)

    def _forget(self, now: float) -> None:
        """Forget what no limit asks for any more."""
        self._settle_late(now)
        if self._arrived_at and self._arrived_at[0] < now - self.window:
            oldest = now - self.window
            del self._arrived_at[: bisect_left(self._arrived_at, oldest)]
            self._held = [since for since in self._held if since >= oldest]
