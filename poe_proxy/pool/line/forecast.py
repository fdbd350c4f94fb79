"""When each request in line will be served: arithmetic, without a clock and without a lock.

All times are seconds on one clock.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heapreplace
from math import inf
from typing import Final

from poe_proxy.pool.ledger import Outlook, handle
from poe_proxy.pool.limits import Limit

#: The least seconds that a reply is taken to last where times are promised: replies that come
#: back together would meet again.
SHORTEST: Final = 1.0


class Usual:
    """How long something takes as a rule: a mean that follows what is seen."""

    __slots__ = ("_mean", "_share", "_spread")

    def __init__(self, *, share: float = 0.0) -> None:
        """It never takes less than that *share* of the mean, however much it varies."""
        self._mean = self._spread = 0.0
        self._share = share

    def note(self, seconds: float) -> None:
        """Take one more case into account."""
        if self._mean == 0.0:
            self._mean, self._spread = seconds, seconds / 2
            return
        off = seconds - self._mean
        self._mean += off / 8
        self._spread += (abs(off) - self._spread) / 4

    @property
    def at_least(self) -> float:
        """The seconds that hardly any case falls short of: no request is refused for a reply that
        may well be over sooner. 0.0 before anything is known."""
        return max(self._share * self._mean, self._mean - 2 * self._spread)


@dataclass(slots=True)
class Future:
    """When one token can be used, and after that."""

    rank: int
    #: Of two that can be lent at the same time, the one with the lower turn is.
    turn: int
    concurrency: int
    limits: Sequence[Limit]
    #: When it was used, in rising order.
    uses: list[float]
    #: When no rest that Poe asked for holds it back.
    rested: float
    #: The same for single bots, spelled as `handle` does it.
    bots: Mapping[str, float] = field(default_factory=dict)
    #: When its replies will be over, in rising order.
    ends: list[float] = field(default_factory=list)
    #: Seconds from lending it to the use that its limits count.
    lag: float = 0.0
    #: Seconds that a reply lasts.
    lasts: float = 0.0
    #: When its rest is over and its limits allow one more use.
    ready: float = 0.0

    @classmethod
    def read(
        cls,
        outlook: Outlook,
        now: float,
        *,
        rank: int,
        turn: int = 0,
        concurrency: int,
        limits: Sequence[Limit],
        served: Collection[float] = (),
        lag: float = 0.0,
        lasts: float = 0.0,
    ) -> Future:
        """Return what *outlook* means. *served* is when its leases were served that are
        known of; the others are taken to end now."""
        ends = sorted(max(now, at + lasts) for at in served)
        future = cls(
            rank,
            turn,
            concurrency,
            limits,
            [now - ago for ago in outlook.uses],
            now + outlook.rest,
            {bot: now + rest for bot, rest in outlook.bots.items()},
            [now] * (outlook.in_use - len(ends)) + ends,
            lag,
            lasts,
        )
        future.ready = max(future.rested, future.allowed(now))
        return future

    def allowed(self, now: float) -> float:
        """Return when the limits allow one more use."""
        return now + max((limit.wait(self.uses, now) for limit in self.limits), default=0.0)

    def held(self, bot: str) -> float:
        """Return until when Poe holds it back for *bot*."""
        return max(self.rested, self.bots.get(bot, 0.0))

    def next(self, bot: str) -> float:
        """Return when it can be lent for *bot*, as `handle` spells it; empty: for any other."""
        room = self.ends[-self.concurrency] if len(self.ends) >= self.concurrency else 0.0
        return max(self.ready, room, self.bots.get(bot, 0.0))

    def lend(self, at: float) -> None:
        """Let it be lent *at* that time."""
        insort(self.uses, at + self.lag)
        insort(self.ends, at + self.lasts)
        # Those that end before there is room again do not matter.
        del self.ends[: -self.concurrency]
        self.ready = max(self.ready, self.allowed(at))

    def copy(self) -> Future:
        """Return one that may be lent without a trace in this one."""
        # `dataclasses.replace` takes several times as long, and a long line copies each token.
        return Future(
            self.rank,
            self.turn,
            self.concurrency,
            self.limits,
            self.uses.copy(),
            self.rested,
            self.bots,
            self.ends.copy(),
            self.lag,
            self.lasts,
            self.ready,
        )

    def certain(self) -> Future:
        """Return it as limits and rests alone would have it: what lasts may end at any moment."""
        return replace(self, ends=[], lag=0.0, lasts=0.0)

    def promised(self, slots: Sequence[float]) -> Future:
        """Return it with *slots*, in rising order, that are promised: what comes then is later."""
        future = self.copy()
        future.lasts = max(self.lasts, SHORTEST)
        if slots:
            future.uses = sorted(self.uses + [at + self.lag for at in slots])
            future.ends = sorted(self.ends + [at + future.lasts for at in slots])
            future.ready = max(self.ready, future.allowed(slots[-1]))
        return future


class Forecast:
    """What becomes of a line: each place is served with the token that can be lent first.

    One more place costs one step, whatever the number of those before it.
    """

    def __init__(self, futures: Mapping[str, Future], now: float) -> None:
        """*futures* are the tokens by their names; they stay as they are."""
        self._futures = dict(futures)
        self._now = now
        self._bots = {bot for future in futures.values() for bot in future.bots}
        #: The names of those that are no longer shared.
        self._own: set[str] = set()
        #: For what was asked: when each token could be lent, the first one first. What has been
        #: lent since stands there with a time that is over.
        self._heaps: dict[tuple[frozenset[str], str], list[tuple[float, int, int, str]]] = {}
        self._turn = max((future.turn for future in futures.values()), default=0)

    @property
    def futures(self) -> Mapping[str, Future]:
        """The tokens after all that was lent so far."""
        return self._futures

    def first(self, names: frozenset[str], bot: str = "") -> tuple[float, str]:
        """Return when one more place is served, and with what; `inf` if no token will ever be."""
        bot = handle(bot)
        key = (names, bot if bot in self._bots else "")
        heap = self._heaps.get(key)
        if heap is None:
            heap = self._heaps[key] = [self._entry(name, bot) for name in names]
            heapify(heap)
        while heap:
            entry = self._entry(heap[0][-1], bot)
            if entry == heap[0]:
                return entry[0], entry[-1]
            heapreplace(heap, entry)
        return inf, ""

    def lend(self, name: str, at: float) -> None:
        """Let the token be lent *at* that time."""
        if name not in self._own:
            self._own.add(name)
            self._futures[name] = self._futures[name].copy()
        self._turn += 1
        self._futures[name].turn = self._turn
        self._futures[name].lend(at)

    def serve(self, names: frozenset[str], bot: str = "", now: float = 0.0) -> float:
        """Let one more place be served, and not before *now*; return when that is."""
        at, name = self.first(names, bot)
        at = max(at, now)
        # Where only the bot has to rest, others are served before with the same token. They must
        # not be refused for its sake: better that one of them waits for nothing.
        if at < inf and at <= max(self._now, now, self._futures[name].next("")):
            self.lend(name, at)
        return at

    def _entry(self, name: str, bot: str) -> tuple[float, int, int, str]:
        future = self._futures[name]
        return max(self._now, future.next(bot)), future.rank, future.turn, name
