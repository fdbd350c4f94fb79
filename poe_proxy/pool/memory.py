"""The ledger in this process: gone with it. The only lock around what is known of tokens."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from poe_proxy.pool.ledger import Ledger, TokenState
from poe_proxy.pool.limits import Limit


@dataclass(eq=False, slots=True)
class _Entry:
    """One token."""

    name: str
    rank: int = 0
    concurrency: int = 1
    limits: Sequence[Limit] = ()
    #: When it was last lent: the number of that loan among all loans.
    turn: int = 0
    in_use: int = 0
    #: Leases that wait for their next use.
    waiting: set[str] = field(default_factory=set)
    used_at: deque[float] = field(default_factory=deque)
    rests_until: float = -inf
    is_out_of_points: bool = False
    retired: str | None = None

    @property
    def has_room(self) -> bool:
        return self.in_use < self.concurrency and not self.waiting

    def rest(self, now: float) -> float:
        if self.is_out_of_points or self.retired is not None:
            return inf
        return max(0.0, self.rests_until - now, self.wait(self.used_at, now))

    def wait(self, used_at: Sequence[float], now: float) -> float:
        """Return the seconds until the limits allow one more use than those in *used_at*."""
        return max((limit.wait(used_at, now) for limit in self.limits), default=0.0)

    def note_use(self, now: float) -> None:
        window = max((limit.window for limit in self.limits), default=0.0)
        self.used_at.append(now)
        while self.used_at[0] + window < now:
            self.used_at.popleft()

    def state(self, now: float) -> TokenState:
        rest = self.rest(now)
        return TokenState(
            is_free=self.has_room and rest <= 0.0,
            in_use=self.in_use,
            rest=rest,
            is_out_of_points=self.is_out_of_points,
            retired=self.retired,
        )


@dataclass(slots=True)
class _Loan:
    """The token that one lease has."""

    entry: _Entry
    #: When it was lent; None as soon as something was sent.
    noted_at: float | None


class MemoryLedger(Ledger):
    """Keeps everything in this process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        #: In the order in which they will be lent.
        self._order: list[_Entry] = []
        self._loans: dict[str, _Loan] = {}
        self._turns = 0

    def enlist(
        self, name: str, *, rank: int = 0, concurrency: int = 1, limits: Sequence[Limit] = ()
    ) -> None:
        with self._lock:
            if name not in self._entries:
                self._entries[name] = _Entry(name)
                self._order.append(self._entries[name])
            entry = self._entries[name]
            entry.rank, entry.concurrency, entry.limits = rank, concurrency, tuple(limits)
            self._sort()

    def take(self, names: Collection[str], lease: str) -> str | None:
        with self._lock:
            if lease in self._loans:
                return self._loans[lease].entry.name
            now = self._clock()
            for entry in self._order:
                if entry.name in names and entry.has_room and entry.rest(now) <= 0.0:
                    self._lend(entry, lease, now)
                    return entry.name
            return None

    def _lend(self, entry: _Entry, lease: str, now: float) -> None:
        entry.in_use += 1
        entry.note_use(now)
        self._loans[lease] = _Loan(entry, noted_at=now)
        self._turns += 1
        entry.turn = self._turns
        self._sort()

    def _sort(self) -> None:
        # All entries but one are in order already: this costs next to nothing.
        self._order.sort(key=lambda entry: (entry.rank, entry.turn))

    def use(self, lease: str) -> float:
        with self._lock:
            loan = self._loans[lease]
            entry = loan.entry
            now = self._clock()
            uses = deque(entry.used_at)
            if loan.noted_at is not None:
                # A lease may last longer than the limits remember.
                with suppress(ValueError):
                    uses.remove(loan.noted_at)
            wait = entry.wait(uses, now)
            if wait > 0.0:
                entry.waiting.add(lease)
                return wait
            entry.waiting.discard(lease)
            entry.used_at, loan.noted_at = uses, None
            entry.note_use(now)
            return 0.0

    def give_back(self, lease: str) -> None:
        with self._lock:
            if loan := self._loans.pop(lease, None):
                loan.entry.in_use -= 1
                loan.entry.waiting.discard(lease)

    def rest(self, name: str, seconds: float) -> None:
        with self._lock:
            entry = self._entries[name]
            entry.rests_until = max(entry.rests_until, self._clock() + seconds)

    def exhaust(self, name: str) -> None:
        with self._lock:
            self._entries[name].is_out_of_points = True

    def revive(self, name: str) -> None:
        with self._lock:
            entry = self._entries[name]
            entry.is_out_of_points, entry.rests_until = False, -inf

    def retire(self, name: str, reason: str) -> None:
        with self._lock:
            self._entries[name].retired = reason

    def state(self, names: Collection[str]) -> dict[str, TokenState]:
        with self._lock:
            now = self._clock()
            return {name: self._entries[name].state(now) for name in names}
