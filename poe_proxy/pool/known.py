"""What is known of accounts beside what decides whom to lend: for those who look on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from poe_proxy.values import value


@value()
class Grant:
    """Points that Poe is going to give to an account."""

    #: When, in seconds since 1970.
    at: float
    #: How many; None if it does not say.
    number: int | None = None


@value()
class Funds:
    """What Poe answers whoever asks for the balance of an account."""

    points: int
    #: The next points that it gets, if Poe tells of them.
    next_grant: Grant | None = None


@value()
class Points:
    """What Poe said that an account has left."""

    number: int
    #: When it said so, in seconds since 1970.
    at: float
    #: The next points that it gets, as far as is known; that may be over.
    next_grant: Grant | None = None

    def grant_after(self, now: float) -> Grant | None:
        """Return the next points that it gets if they are still to come."""
        grant = self.next_grant
        return grant if grant is not None and grant.at > now else None


class KnownPoints:
    """The points of accounts, by the names of their tokens, as Poe said last."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._points: dict[str, Points] = {}

    def note(self, name: str, funds: Funds) -> None:
        """Note that Poe says now that *name* has these *funds*."""
        self._points[name] = Points(funds.points, self._wall(), funds.next_grant)

    def of(self, name: str) -> Points | None:
        """Return the points of *name*; None while Poe has said nothing."""
        return self._points.get(name)


class DayUses:
    """How often each token was used today, in UTC, by its name."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._day = self._today()
        self._uses: dict[str, int] = {}

    def _today(self) -> int:
        return int(self._wall() // 86400)

    def begin(self, uses: Mapping[str, int]) -> None:
        """Begin with *uses* of today, which were before this process."""
        self._turn()
        self._uses = dict(uses)

    def add(self, name: str) -> None:
        """Count one more use of *name*, now."""
        self._turn()
        self._uses[name] = self._uses.get(name, 0) + 1

    def of(self, name: str) -> int:
        """Return the uses of *name* today."""
        self._turn()
        return self._uses.get(name, 0)

    def _turn(self) -> None:
        if (today := self._today()) != self._day:
            self._day = today
            self._uses = {}
