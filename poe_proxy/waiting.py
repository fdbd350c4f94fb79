"""Who a reply is for, as far as those must know it who wait for the bot. Free of I/O.

A wait for Poe ends when something comes, and when the client has hung up. Nobody wakes twice a
second to look: whoever waits says by `Listener.wakes` what ends its wait, and whoever notices the
hang-up calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

#: The most seconds of a wait for the bot, until it is watched whether the client is there: most
#: requests are over by then, and to watch costs more than to look once.
SHORT: Final = 0.5
#: The same from then on. A keep-alive is due after as long.
LONG: Final = 15.0


class Listener:
    """The client of one request. By itself it never hangs up, and is never watched."""

    __slots__ = ("_wake", "is_gone", "more_follows", "patience")

    def __init__(self) -> None:
        #: Whether the client has hung up.
        self.is_gone = False
        #: The most seconds that whoever yields events to it may wait before an `Idle`.
        self.patience = SHORT
        #: Whether the event behind the present one is there already, so that both may leave in one
        #: write. See `together`.
        self.more_follows = False
        self._wake: Callable[[], object] | None = None

    def together(self, events: Sequence[T]) -> Iterator[T]:
        """Yield *events*, which are there together, and say so; behind the last of them is what was
        behind all of them."""
        behind = self.more_follows
        try:
            for event in events[:-1]:
                self.more_follows = True
                yield event
        finally:
            self.more_follows = behind
        yield from events[-1:]

    def wakes(self, wake: Callable[[], object] | None) -> None:
        """From now on a hang-up calls *wake*, in whatever thread notices it; at once, if the client
        has hung up already. None: nobody waits any more."""
        self._wake = wake
        if self.is_gone and wake is not None:
            wake()

    def is_watched(self) -> None:
        """Note that a hang-up will be noticed from now on, however long the waits are."""
        self.patience = LONG

    def hang_up(self) -> None:
        """Note that the client has hung up, and end the present wait."""
        self.is_gone = True
        wake = self._wake
        if wake is not None:
            wake()
