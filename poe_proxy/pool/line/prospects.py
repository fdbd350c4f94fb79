"""What the requests in line may hope for: a forecast that is kept until something changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol

from poe_proxy.pool.ledger import Ledger, handle
from poe_proxy.pool.line.forecast import Forecast, Future, Usual
from poe_proxy.pool.members import Members

#: The most slots that are promised at a time: a day of one account that answers once a minute.
MOST_PROMISES: Final = 2000

#: Seconds by which two times may differ and still be the same one.
ROUNDING: Final = 1e-6


class Hopeful(Protocol):
    """What a forecast has to know of a request that waits."""

    @property
    def names(self) -> frozenset[str]:
        """The tokens that fit it."""

    @property
    def bot(self) -> str:
        """The bot that is asked."""

    @property
    def deadline(self) -> float:
        """When it gives up."""


class Habits:
    """How long the replies of one kind of token take."""

    __slots__ = ("lag", "lasts")

    def __init__(self) -> None:
        #: Seconds from lending a token to the use that its limits count.
        # It always takes some time, and that counts: COOL_DOWN 10 goes three times into
        # QUEUE_TIMEOUT 30 only if it takes none.
        self.lag = Usual(share=0.25)
        #: Seconds for which it is lent.
        self.lasts = Usual()


class Prospects:
    """Forecasts of a line, and the slots that were promised to requests that could not join it.

    A forecast is made when it is asked for, and thrown away when a token or the line changes. Of
    the tokens only those are read anew that did change, so that the work of one arrival does not
    grow with the uses that all the others remember.
    """

    def __init__(self, ledger: Ledger, members: Members[Any]) -> None:
        self._ledger = ledger
        self._members = members
        self._futures: dict[str, Future] = {}
        #: What has changed since it was read.
        self._stale = set(members.tokens)
        #: When what was on its way has arrived at the latest, by token; and the first of these.
        self._settles: dict[str, float] = {}
        self._settles_at = inf
        #: The tokens after the whole line was served.
        self._line: Forecast | None = None
        #: The same, after each promised slot was used.
        self._book: Forecast | None = None
        self._promised: dict[str, list[float]] = {}
        self._promises = 0
        self._habits: defaultdict[str, Habits] = defaultdict(Habits)

    def habits(self, kind: str) -> Habits:
        """Return how long the replies of tokens of that *kind* take."""
        return self._habits[kind]

    # ---- what changes

    def forget(self) -> None:
        """Read all tokens anew: there are others, or they have other limits."""
        self._futures, self._settles, self._settles_at = {}, {}, inf
        self._stale = set(self._members.tokens)
        self._promised = {
            name: slots for name, slots in self._promised.items() if name in self._stale
        }
        self.line_changed()

    def changed(self, name: str) -> None:
        """Note that something happened to a token."""
        self._stale.add(name)
        self._line = self._book = None

    def line_changed(self) -> None:
        """Note that a place was left, or that its turn has come."""
        self._line = self._book = None

    # ---- what is asked

    def at_end(self, line: Callable[[], Sequence[Hopeful]], place: Hopeful, now: float) -> float:
        """Return when *place* would be served behind the whole *line*."""
        self._settle(now)
        return max(now, self._after(line, now).first(place.names, place.bot)[0])

    def joined(self, place: Hopeful, now: float) -> None:
        """Note that *place* is the last one now in the line that was asked for just before."""
        if self._line is not None:
            self._line.serve(place.names, place.bot, now)
            self._book = None

    def within(self, line: Sequence[Hopeful], place: Hopeful, now: float) -> float:
        """Return when *place* will be served, which is somewhere in *line*."""
        self._settle(now)
        forecast = Forecast(self._known(now), now)
        for one in line:
            at = forecast.serve(one.names, one.bot)
            if one is place:
                return at
        return inf

    def hopeless(self, line: Sequence[Hopeful], now: float) -> list[int]:
        """Return which places in *line* will not be served in time, by limits and rests alone:
        how long a reply takes is not known, so nothing that waits is refused for it."""
        self._settle(now)
        futures = {name: one.certain() for name, one in self._known(now).items()}
        forecast = Forecast(futures, now)
        late = []
        for number, place in enumerate(line):
            if forecast.first(place.names, place.bot)[0] > place.deadline + ROUNDING:
                late.append(number)
            else:
                forecast.serve(place.names, place.bot)
        return late

    def is_held(self, place: Hopeful, now: float) -> bool:
        """Return whether Poe, and not only its limits, holds back each token that fits *place*."""
        known, bot = self._known(now), handle(place.bot)
        return all(known[name].held(bot) > now for name in place.names)

    def promise(self, line: Callable[[], Sequence[Hopeful]], place: Hopeful, now: float) -> float:
        """Return when *place* may come again: the first time after all those in *line*, and after
        all times that were promised before. `inf` if time alone does not help."""
        self._settle(now)
        if self._book is None:
            self._forget_past(now)
            futures = self._after(line, now).futures
            self._book = Forecast(
                {name: one.promised(self._promised.get(name, ())) for name, one in futures.items()},
                now,
            )
        at, name = self._book.first(place.names, place.bot)
        at = max(at, now)
        if at < inf and self._promises < MOST_PROMISES:
            self._book.lend(name, at)
            self._promised.setdefault(name, []).append(at)
            self._promises += 1
        return at

    def _forget_past(self, now: float) -> None:
        self._promised = {
            name: ahead
            for name, slots in self._promised.items()
            if (ahead := [at for at in slots if at > now])
        }
        self._promises = sum(map(len, self._promised.values()))

    def _settle(self, now: float) -> None:
        """Read those tokens anew whose uses were on their way, and have arrived by now."""
        if now < self._settles_at:
            return
        for name in [name for name, at in self._settles.items() if at <= now]:
            del self._settles[name]
            self.changed(name)
        self._settles_at = min(self._settles.values(), default=inf)

    def _known(self, now: float) -> Mapping[str, Future]:
        """Return what is to be expected of each token of the pool."""
        if self._stale:
            names = self._stale & self._members.tokens.keys()
            self._stale = set()
            for name, outlook in self._ledger.outlook(names).items():
                token = self._members.tokens[name]
                habits = self._habits[token.kind]
                self._settles.pop(name, None)
                if outlook.settles > 0.0:
                    self._settles[name] = now + outlook.settles
                self._futures[name] = Future.read(
                    outlook,
                    now,
                    rank=token.rank,
                    turn=self._members.turn(name),
                    concurrency=token.concurrency,
                    limits=token.limits,
                    served=self._members.served(name),
                    lag=habits.lag.at_least,
                    lasts=habits.lasts.at_least,
                )
            self._settles_at = min(self._settles.values(), default=inf)
        return self._futures

    def _after(self, line: Callable[[], Sequence[Hopeful]], now: float) -> Forecast:
        if self._line is None:
            self._line = Forecast(self._known(now), now)
            for place in line():
                self._line.serve(place.names, place.bot)
        return self._line
