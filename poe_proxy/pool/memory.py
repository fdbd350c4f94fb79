"""The ledger in this process. The only lock around what is known of tokens."""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from typing import Final

from poe_proxy.pool.entries import Entry, Use
from poe_proxy.pool.ledger import Ledger, Outlook, Served, TokenState, Want
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.store import Forgetful, Store

_PLACE: Final = attrgetter("place")


@dataclass(slots=True)
class _Loan:
    """The token that one lease has."""

    entry: Entry
    bot: str
    #: When it was lent; None as soon as something was sent.
    noted_at: float | None
    #: How many uses it has had, and the last of them.
    uses: int = 0
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
            now = self._clock()
            entry = self._entries.get(name)
            if entry is None:
                entry = self._entries[name] = Entry(name, self._store)
                window = max((limit.window for limit in limits), default=0.0)
                entry.remember(self._store.recall(name, window), now)
                entry.window = window
            entry.set_limits(limits, now)
            entry.concurrency = concurrency
            if not entry.is_enlisted or entry.rank != rank:
                self._drop(entry)
                entry.rank, entry.is_enlisted = rank, True
                insort(self._order, entry, key=_PLACE)

    def withdraw(self, name: str) -> None:
        with self._lock:
            self._drop(self._entries[name])

    def _drop(self, entry: Entry) -> None:
        if entry.is_enlisted:
            self._order.remove(entry)
            entry.is_enlisted = False

    # ---- lending

    def serve(self, line: Iterable[Want]) -> Served:
        with self._lock:
            now = self._clock()
            lent: dict[str, str] = {}
            waiting = self._serve(line, lent, now)
            return Served(lent, self._due(waiting, now) if waiting else inf)

    def _serve(self, line: Iterable[Want], lent: dict[str, str], now: float) -> list[Want]:
        """Lend what can be lent to *line*, into *lent*; return the wants that go on waiting."""
        waiting: list[Want] = []
        #: What is free, once somebody was not served: all who follow look only there.
        free: list[Entry] | None = None
        passed_over = again = False
        for want in line:
            if loan := self._loans.get(want.lease):
                lent[want.lease] = loan.entry.name
                continue
            entry = None
            if free is None or free:
                entry, passes = self._choose(want, self._order if free is None else free, now)
                passed_over = passed_over or passes
            if entry is None:
                waiting.append(want)
                if free is None:
                    free = [one for one in self._order if one.is_free(now)]
                continue
            self._lend(entry, want, now)
            lent[want.lease] = entry.name
            again = passed_over
            if free is not None:
                free.remove(entry)
                if entry.is_free(now):
                    insort(free, entry, key=_PLACE)
        # What was passed over for the sake of a token that is lent by now may serve after all.
        return self._serve(waiting, lent, now) if again and waiting else waiting

    def _choose(
        self, want: Want, entries: Sequence[Entry], now: float
    ) -> tuple[Entry | None, bool]:
        """Return which of *entries* is lent to *want*, and whether one was free and passed over."""
        bot = _key(want.bot)
        probe: Entry | None = None
        struck: list[Entry] = []
        for entry in entries:
            if entry.name not in want.names or not entry.is_free(now, bot):
                continue
            if not entry.strikes_for(bot, now):
                return probe or entry, False
            struck.append(entry)
            if probe is None and want.probes and entry.may_be_probed(bot, now):
                probe = entry
        if not struck:
            return None, False
        if self._has_good(want, bot, now):
            return probe, probe is None
        return min(struck, key=lambda entry: entry.backoff_ends(bot, now)), False

    def _has_good(self, want: Want, bot: str, now: float) -> bool:
        """Return whether a token that was not struck could serve *want* in time."""
        return any(
            entry.name in want.names
            and not entry.strikes_for(bot, now)
            and entry.could_serve(want.within, now, bot)
            for entry in self._order
        )

    def _lend(self, entry: Entry, want: Want, now: float) -> None:
        bot = _key(want.bot)
        entry.in_use += 1
        entry.hold_place(now)
        for strike in entry.strikes_for(bot, now):
            strike.probe = strike.probe or want.lease
        self._loans[want.lease] = _Loan(entry, bot, noted_at=now)
        self._turns += 1
        self._order.remove(entry)
        entry.turn = self._turns
        insort(self._order, entry, key=_PLACE)

    def _due(self, waiting: Iterable[Want], now: float) -> float:
        """Return the seconds until time alone may let one of *waiting* be served."""
        # Many want the same: the question is asked once for them all.
        wants = {(id(want.names), want.bot, want.probes): want for want in waiting}.values()
        due = inf
        for entry in self._order:
            if not entry.has_room:
                continue
            soonest = entry.rest(now)
            if soonest >= due:
                continue
            for want in wants:
                if entry.name in want.names:
                    due = min(due, entry.next_chance(_key(want.bot), want.probes, now))
                    if due <= soonest:
                        break
        return due

    def use(self, lease: str) -> float:
        with self._lock:
            loan = self._loans[lease]
            entry = loan.entry
            now = self._clock()
            if loan.noted_at is not None:
                entry.free_place(loan.noted_at)
            wait = entry.rest(now, loan.bot)
            if wait > 0.0:
                if loan.noted_at is not None:
                    insort(entry.used_at, loan.noted_at)
                entry.waiting.add(lease)
                return wait
            entry.waiting.discard(lease)
            loan.noted_at = None
            loan.uses += 1
            loan.last = entry.send(f"{lease}-{loan.uses}", now)
            return 0.0

    def arrived(self, lease: str) -> None:
        with self._lock:
            loan = self._loans.get(lease)
            if loan and loan.last:
                loan.entry.settle(loan.last, self._clock())
                loan.last = None

    def give_back(self, lease: str) -> None:
        with self._lock:
            loan = self._loans.pop(lease, None)
            if loan is None:
                return
            loan.entry.in_use -= 1
            loan.entry.waiting.discard(lease)
            for strike in loan.entry.strikes.values():
                if strike.probe == lease:
                    strike.probe = None

    # ---- how the tokens are

    def rest(self, name: str, seconds: float, reason: str = "", *, bot: str = "") -> None:
        with self._change(name) as (entry, now):
            entry.hold(seconds, reason, _key(bot), now)

    def strike(self, name: str, reason: str = "", *, bot: str = "") -> None:
        with self._change(name) as (entry, now):
            entry.strike(reason, _key(bot), now)

    def clear(self, name: str, *, bot: str = "") -> None:
        with self._lock:
            entry = self._entries[name]
            if not entry.strikes:
                return
            entry.strikes.pop("", None)
            entry.strikes.pop(_key(bot), None)
            entry.keep(self._clock())

    def exhaust(self, name: str, reason: str = "") -> None:
        with self._change(name) as (entry, _):
            entry.no_points = reason

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        with self._change(name) as (entry, now):
            entry.suspend(reason, code, now)

    def revive(self, name: str) -> None:
        with self._change(name) as (entry, _):
            entry.revive()

    def retire(self, name: str, reason: str) -> None:
        with self._change(name) as (entry, _):
            entry.retired = reason

    @contextmanager
    def _change(self, name: str) -> Iterator[tuple[Entry, float]]:
        """Give the entry and the time; what the block changes outlives the process."""
        with self._lock:
            entry, now = self._entries[name], self._clock()
            yield entry, now
            entry.keep(now)

    def state(self, names: Collection[str], *, bot: str = "") -> dict[str, TokenState]:
        with self._lock:
            now = self._clock()
            return {name: self._entries[name].state(now, _key(bot)) for name in names}

    def outlook(self, names: Collection[str]) -> dict[str, Outlook]:
        with self._lock:
            now = self._clock()
            return {name: self._entries[name].outlook(now) for name in names}


def _key(bot: str) -> str:
    """Return the one spelling of a bot's handle."""
    return bot.casefold()
