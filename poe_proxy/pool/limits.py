"""How much a token may be used: arithmetic on past uses, without a clock and without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32


class Limit(Protocol):
    """A rule about how often a token may be used."""

    @property
    def window(self) -> float:
        """Seconds after which a use no longer matters to this rule."""

    def wait(self, used_at: Sequence[float], now: float) -> float:
        """Return the seconds until the next use is allowed, 0.0 if it is allowed now.

        *used_at* are the times of past uses in rising order, on the clock of *now*; what is still
        on its way to Poe counts as *now*. They are only lent: a limit does not keep them.
        """


@dataclass(frozen=True, slots=True)
class Within:
    """At most *calls* uses within any *window* seconds."""

    calls: int
    window: float

    def wait(self, used_at: Sequence[float], now: float) -> float:
        if len(used_at) < self.calls:
            return 0.0
        return max(0.0, used_at[-self.calls] + self.window - now)


@dataclass(frozen=True, slots=True)
class Rest:
    """At least *seconds* between one use and the next, and up to *jitter* more.

    How much more follows from the time of the use before: each pause has a length of its own, and
    asking twice gives the same.
    """

    seconds: float
    jitter: float = 0.0

    @property
    def window(self) -> float:
        return self.seconds + self.jitter

    def wait(self, used_at: Sequence[float], now: float) -> float:
        return max(0.0, used_at[-1] + self._pause(used_at[-1], now) - now) if used_at else 0.0

    def _pause(self, used_at: float, now: float) -> float:
        # A use that is on its way has no time of its own yet. What it adds is not known before:
        # a wait that is too short is asked for again, one that is too long is lost.
        if not self.jitter or used_at >= now:
            return self.seconds
        return self.seconds + self.jitter * _fraction(used_at)


def _fraction(used_at: float) -> float:
    """Return a number from 0 to 1, 1 excluded, that looks like chance: one for each millisecond."""
    return crc32(f"{used_at:.3f}".encode()) / 2**32
