"""The ledger in this process, and the only lock around what is known of tokens."""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from poe_proxy.pool.ledger import Ledger, Outlook, Served, TokenState, Want, handle
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.memory.entries import Entry
from poe_proxy.pool.memory.health import Health
from poe_proxy.pool.memory.lending import PLACE, Round
from poe_proxy.pool.memory.uses import Use
from poe_proxy.pool.store import Forgetful, Store


@dataclass(slots=True)
class _Loan:
    """The token that one lease has."""

    entry: Entry
    #: What it is for, as `handle` spells it.
    bot: str
    #: Since when a place is held for its first use; None as soon as something was sent.
    held_at: float | None
    #: How many uses there were, and the last of them until it has arrived.
    count: int = 0
    last: Use | None = None


class MemoryLedger(Ledger):
    """Keeps everything in this process; *store* remembers for the next one."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, store: Store | None = None
    ) -> None:
        self._clock = clock
        self._store = Forgetful() if store is None else store
        self._lock = threading.Lock()
        #: Also those that were withdrawn: their limits hold when they are back.
        self._entries: dict[str, Entry] = {}
        #: Those that may be lent, in the order in which they will be.
        self._order: list[Entry] = []
        self._loans: dict[str, _Loan] = {}
        self._turns = 0

    # ---- which tokens there are

    def enlist(
        self, name: str, *, rank: int = 0, concurrency: int = 1, limits: Sequence[Limit] = ()
    ) -> None:
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                entry = self._entries[name] = Entry(name, self._store)
            entry.set_limits(limits, self._clock)
            entry.concurrency = concurrency
            if not entry.is_enlisted or entry.rank != rank:
                self._drop(entry)
                entry.rank, entry.is_enlisted = rank, True
                insort(self._order, entry, key=PLACE)

    def withdraw(self, name: str) -> None:
        with self._lock:
            self._drop(self._entries[name])

    def _drop(self, entry: Entry) -> None:
        if entry.is_enlisted:
            self._order.remove(entry)
            entry.is_enlisted = False

    # ---- leases

    def serve(self, line: Iterable[Want]) -> Served:
        with self._lock:
            now = self._clock()
            lent: dict[str, str] = {}
            while True:
                round = Round(self._order, now)
                # What was passed over for the sake of a token that is lent by now is looked at
                # again.
                line = [want for want in line if not self._serve(want, round, lent, now)]
                if not round.is_to_repeat:
                    return Served(lent, round.due())

    def _serve(self, want: Want, round: Round, lent: dict[str, str], now: float) -> bool:
        """Note in *lent* which token *want* has, and return True; False: it has to wait."""
        loan = self._loans.get(want.lease)
        if loan is None:
            entry = round.choose(want)
            if entry is None:
                return False
            loan = self._lend(entry, want, now)
            round.lent(entry)
        lent[want.lease] = loan.entry.name
        return True

    def _lend(self, entry: Entry, want: Want, now: float) -> _Loan:
        bot = handle(want.bot)
        for strike in entry.health.strikes_for(bot, now):
            strike.probe = strike.probe or want.lease
        entry.in_use += 1
        entry.uses.hold_place(now, now)
        self._turns += 1
        self._order.remove(entry)
        entry.turn = self._turns
        insort(self._order, entry, key=PLACE)
        loan = self._loans[want.lease] = _Loan(entry, bot, held_at=now)
        return loan

    def use(self, lease: str) -> float:
        with self._lock:
            loan = self._loans[lease]
            entry, now = loan.entry, self._clock()
            held_at = loan.held_at
            if held_at is not None:
                entry.uses.free_place(held_at)
            wait = entry.rest(now, loan.bot)
            if wait > 0.0:
                if held_at is not None:
                    entry.uses.hold_place(held_at, now)
                entry.waiting.add(lease)
                return wait
            entry.waiting.discard(lease)
            loan.held_at = None
            loan.count += 1
            loan.last = entry.uses.send(f"{lease}-{loan.count}", now)
            return 0.0

    def arrived(self, lease: str) -> None:
        with self._lock:
            loan = self._loans.get(lease)
            if loan and loan.last:
                loan.entry.uses.settle(loan.last, self._clock())
                loan.last = None

    def give_back(self, lease: str) -> None:
        with self._lock:
            loan = self._loans.pop(lease, None)
            if loan:
                loan.entry.in_use -= 1
                loan.entry.waiting.discard(lease)
                loan.entry.health.release(lease)

    # ---- how the tokens are

    def rest(
        self, name: str, seconds: float, reason: str = "", code: str = "", *, bot: str = ""
    ) -> None:
        with self._change(name) as (health, now):
            health.set_to_rest(seconds, reason, code, handle(bot), now)

    def strike(self, name: str, reason: str = "", *, bot: str = "", costly: bool = False) -> None:
        with self._change(name) as (health, now):
            health.strike(reason, handle(bot), now, costly=costly)

    def clear(self, name: str, *, bot: str = "") -> bool:
        with self._lock:
            entry = self._entries[name]
            # Called for each answer: nothing is written if there is nothing to forget.
            is_changed = entry.health.clear(handle(bot))
            if is_changed:
                entry.keep(self._clock())
            return is_changed

    def exhaust(self, name: str, reason: str = "") -> None:
        with self._change(name) as (health, _):
            health.no_points = reason

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        with self._change(name) as (health, now):
            health.suspend(reason, code, now)

    def reconsider(self, name: str) -> None:
        with self._change(name) as (health, now):
            health.reconsider(now)

    def revive(self, name: str) -> None:
        with self._change(name) as (health, _):
            health.revive()

    def pause(self, name: str, seconds: float) -> None:
        with self._change(name) as (health, now):
            health.paused_until = now + seconds

    def bring_back(self, name: str) -> None:
        with self._change(name) as (health, _):
            health.forget()

    def retire(self, name: str, reason: str) -> None:
        with self._change(name) as (health, _):
            health.retire(reason)

    @contextmanager
    def _change(self, name: str) -> Iterator[tuple[Health, float]]:
        """Give what is known of a token, and the time; what the block changes is kept."""
        with self._lock:
            entry, now = self._entries[name], self._clock()
            yield entry.health, now
            entry.keep(now)

    def state(self, names: Collection[str], *, bot: str = "") -> dict[str, TokenState]:
        with self._lock:
            now = self._clock()
            return {name: self._entries[name].state(now, handle(bot)) for name in names}

    def outlook(self, names: Collection[str]) -> dict[str, Outlook]:
        with self._lock:
            now = self._clock()
            return {name: self._entries[name].outlook(now) for name in names}
