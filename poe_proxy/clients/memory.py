"""The budgets in this process, and the only lock around them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from poe_proxy.clients.budgets import Budgets, Left, Name, Refused, Share, Standing
from poe_proxy.clients.client import NO_LIMITS, Limits
from poe_proxy.clients.windows import LASTING_SHARE, MINUTE, Calendar, wait
from poe_proxy.pool.store.tallies import Passing, Tallies, Tally


@dataclass(eq=False, slots=True)
class _Entry:
    """One client."""

    name: str
    limits: Limits = NO_LIMITS
    #: The number of the day that *today* is of; what the days of its month before it had.
    day: int = -1
    today: Tally = field(default_factory=Tally)
    before: int = 0
    #: When each request of the last minute was sent.
    recent: deque[float] = field(default_factory=deque)
    #: Since when each request is under way, by its id; and those that were not sent yet.
    under_way: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    #: Seconds that its requests take.
    lasts: float = 0.0


class MemoryBudgets(Budgets):
    """Keeps them in this process; *store* remembers for the next one."""

    def __init__(
        self,
        *,
        store: Tallies | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Minutes are counted by *clock*, days by *wall*, in seconds since 1970."""
        self._store = Passing() if store is None else store
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._calendar = Calendar()
        self._entries: dict[str, _Entry] = {}
        #: The clients of requests under way.
        self._requests: dict[str, _Entry] = {}

    def replace(self, limits: Mapping[str, Limits], *, begins: float) -> None:
        with self._lock:
            if begins != self._calendar.begins:
                self._calendar = Calendar(begins)
            for entry in self._entries.values():
                entry.limits = limits.get(entry.name, NO_LIMITS)
            for name in limits.keys() - self._entries.keys():
                entry = self._entries[name] = _Entry(name, limits[name])
                now = self._clock()
                entry.recent.extend(now - ago for ago in self._store.asked(name, MINUTE))

    def check(self, name: str, request: str) -> Refused | None:
        with self._lock:
            entry = self._entries[name]
            if entry.limits and (refused := self._refused(entry)):
                return refused
            entry.under_way[request] = self._clock()
            entry.held.add(request)
            self._requests[request] = entry
            return None

    def charge(self, request: str) -> None:
        with self._lock:
            entry = self._requests.get(request)
            if entry is None or request not in entry.held:
                return
            entry.held.discard(request)
            self._turn(entry)
            entry.today.requests += 1
            if entry.limits.per_minute:
                entry.recent.append(self._clock())
                self._store.add_asked(entry.name)
            if entry.limits.per_minute or entry.limits.per_day:
                # No request is sent twice because the process was killed.
                self._store.keep_tally(entry.name, entry.day, entry.today, at_once=True)

    def add(
        self, request: str, *, tokens: int = 0, points: int = 0, is_exact: bool = False
    ) -> None:
        with self._lock:
            entry = self._requests.pop(request, None)
            if entry is None:
                return
            lasted = self._clock() - entry.under_way.pop(request)
            if request in entry.held:
                entry.held.discard(request)
                return
            entry.lasts += (lasted - entry.lasts) * (LASTING_SHARE if entry.lasts else 1.0)
            self._turn(entry)
            today = entry.today
            today.tokens += tokens
            today.points += points
            today.exact += points if is_exact else 0
            self._store.keep_tally(entry.name, entry.day, today, at_once=False)

    def wait(self, name: str, request: str = "") -> float:
        with self._lock:
            entry = self._entries[name]
            if not entry.limits:
                return 0.0
            refused = self._refused(entry, besides=request)
            return refused.seconds if refused else 0.0

    def left(self, name: str, request: str = "") -> Left:
        with self._lock:
            entry = self._entries[name]
            self._turn(entry)
            next_day = self._calendar.start(entry.day + 1)
            of_tokens = None
            if most := entry.limits.tokens_per_day:
                left, seconds = max(0, most - entry.today.tokens), next_day - self._wall()
                of_tokens = Share(most=most, left=left, seconds=seconds)
            of_requests = self._of_requests(entry, next_day, request)
            return Left(of_requests=of_requests, of_tokens=of_tokens)

    def standing(self, name: str) -> Standing:
        with self._lock:
            entry = self._entries[name]
            self._turn(entry)
            today, calendar = entry.today, self._calendar
            return Standing(
                requests=today.requests,
                under_way=len(entry.under_way),
                tokens=today.tokens,
                points=today.points,
                exact_points=today.exact,
                points_of_month=entry.before + today.points,
                next_day=calendar.start(entry.day + 1),
                next_month=calendar.start(calendar.next_first(entry.day)),
            )

    def standings(self, names: Iterable[str]) -> Mapping[str, Standing]:
        return {name: self.standing(name) for name in names}

    # ---- within the lock

    def _turn(self, entry: _Entry) -> None:
        """Let *entry* be of today."""
        day = self._calendar.day(self._wall())
        if day == entry.day:
            return
        entry.day = day
        # After a clock that was set back, what that day had is known, too.
        entry.today = self._store.tally(entry.name, day, day)
        first = self._calendar.first(day)
        entry.before = self._store.tally(entry.name, first, day - 1).points

    def _refused(self, entry: _Entry, besides: str = "") -> Refused | None:
        """Return what stands in the way of one more request for longest."""
        self._turn(entry)
        standing = [one for one in self._limits(entry, besides) if one.seconds > 0.0]
        return max(standing, key=lambda one: one.seconds, default=None)

    def _limits(self, entry: _Entry, besides: str) -> Iterator[Refused]:
        limits, today, calendar = entry.limits, entry.today, self._calendar
        now = self._clock()
        held = len(entry.held) - (besides in entry.held)
        if limits.at_a_time:
            since = [began for id, began in entry.under_way.items() if id != besides]
            if len(since) >= limits.at_a_time:
                # Nobody knows when one of them is over; the others took so long.
                seconds = min(MINUTE, max(1.0, min(since) + entry.lasts - now))
                yield Refused("at_a_time", limits.at_a_time, seconds)
        if limits.per_minute:
            self._forget(entry, now)
            if (seconds := wait(entry.recent, held, limits.per_minute, now)) > 0.0:
                yield Refused("per_minute", limits.per_minute, seconds)
        left = calendar.start(entry.day + 1) - self._wall()
        daily: tuple[tuple[Name, int, int], ...] = (
            ("per_day", limits.per_day, today.requests + held),
            ("tokens_per_day", limits.tokens_per_day, today.tokens),
            ("points_per_day", limits.points_per_day, today.points),
        )
        for name, most, used in daily:
            if most and used >= most:
                yield Refused(name, most, left)
        if limits.points_per_month and entry.before + today.points >= limits.points_per_month:
            then = calendar.start(calendar.next_first(entry.day))
            yield Refused("points_per_month", limits.points_per_month, then - self._wall())

    def _forget(self, entry: _Entry, now: float) -> None:
        while entry.recent and entry.recent[0] + MINUTE <= now:
            entry.recent.popleft()

    def _of_requests(self, entry: _Entry, next_day: float, besides: str) -> Share | None:
        limits, held = entry.limits, len(entry.held) - (besides in entry.held)
        found = []
        if limits.per_minute:
            now = self._clock()
            self._forget(entry, now)
            last = now if held else entry.recent[-1] if entry.recent else now - MINUTE
            found.append(
                Share(
                    most=limits.per_minute,
                    left=max(0, limits.per_minute - len(entry.recent) - held),
                    seconds=last + MINUTE - now,
                )
            )
        if limits.per_day:
            found.append(
                Share(
                    most=limits.per_day,
                    left=max(0, limits.per_day - entry.today.requests - held),
                    seconds=next_day - self._wall(),
                )
            )
        return min(found, key=lambda one: one.left, default=None)
