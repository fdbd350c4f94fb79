"""What clients have used: the verbs that a memory of it must have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

#: Days for which this process remembers what nobody else does: two months, as budgets go by them.
KEPT: Final = 62


@dataclass(slots=True)
class Tally:
    """What one client has used on one day, or on several."""

    requests: int = 0
    tokens: int = 0
    points: int = 0
    #: How many of the points Poe itself told of; the others are estimated.
    exact: int = 0


class Tallies(Protocol):
    """Remembers what clients have used by their names, and the numbers of days.

    Called in the lock of the budgets: nothing here waits longer than a local disk does. One that
    fails says so in the log, and goes on; it never raises. What is not written *at once* is known
    here all the same, and outlives all but a kill within a second or so.
    """

    def tally(self, name: str, first: int, last: int) -> Tally:
        """Return what the client has used from the day *first* to the day *last*."""

    def keep_tally(self, name: str, day: int, tally: Tally, *, at_once: bool) -> None:
        """Remember that this is all that the client has used on that *day*."""

    def asked(self, name: str, window: float) -> Sequence[float]:
        """Return the seconds since each request within the last *window* seconds, the oldest
        first."""

    def add_asked(self, name: str) -> None:
        """Remember that the client's request is sent now; it is written no later than the next
        tally."""


class Passing(Tallies):
    """Remembers it as long as the process lasts."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, int], Tally] = {}

    def tally(self, name: str, first: int, last: int) -> Tally:
        days = [self._days.get((name, day), Tally()) for day in range(first, last + 1)]
        return total(days)

    def keep_tally(self, name: str, day: int, tally: Tally, *, at_once: bool) -> None:
        if (name, day) not in self._days:
            self._days = {key: one for key, one in self._days.items() if key[1] > day - KEPT}
        # `dataclasses.replace` takes ten times as long.
        self._days[name, day] = Tally(tally.requests, tally.tokens, tally.points, tally.exact)

    def asked(self, name: str, window: float) -> Sequence[float]:
        return ()

    def add_asked(self, name: str) -> None:
        """The budgets know it themselves."""


def total(days: Sequence[Tally]) -> Tally:
    """Return all of it together."""
    return Tally(
        sum(one.requests for one in days),
        sum(one.tokens for one in days),
        sum(one.points for one in days),
        sum(one.exact for one in days),
    )
