"""How much a token may be used: arithmetic on past uses, without a clock and without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Limit(Protocol):
    """A rule about how often a token may be used."""

    @property
    def window(self) -> float:
        """Seconds after which a use no longer matters to this rule."""

    def wait(self, used_at: Sequence[float], now: float) -> float:
        """Return the seconds until the next use is allowed, 0.0 if it is allowed now.

        *used_at* are the times of past uses in rising order, on the clock of *now*.
        """


@dataclass(frozen=True, slots=True)
class PerMinute:
    """At most *calls* uses within any 60 seconds."""

    calls: int
    window: ClassVar[float] = 60.0

    def wait(self, used_at: Sequence[float], now: float) -> float:
        if len(used_at) < self.calls:
            return 0.0
        return max(0.0, used_at[-self.calls] + self.window - now)


@dataclass(frozen=True, slots=True)
class Rest:
    """At least *seconds* between one use and the next."""

    seconds: float

    @property
    def window(self) -> float:
        return self.seconds

    def wait(self, used_at: Sequence[float], now: float) -> float:
        return max(0.0, used_at[-1] + self.seconds - now) if used_at else 0.0
