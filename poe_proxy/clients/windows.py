"""Minutes, days and months of limits: arithmetic, without a clock and without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from math import floor
from typing import Final

from poe_proxy.values import value

MINUTE: Final = 60.0
DAY: Final = 86_400.0
#: The part of a new request in the mean of how long those of a client last.
LASTING_SHARE: Final = 0.125
#: The number of 1970-01-01 among the days that `date` counts.
_EPOCH: Final = date(1970, 1, 1).toordinal()


def wait(used_at: Sequence[float], held: int, most: int, now: float) -> float:
    """Return the seconds until there may be one more within a minute: 0.0 if that is now.

    *used_at* are times in rising order; *held* are places that are held for what is to come, and
    count from *now*. At most *most* may lie within a minute.
    """
    over = len(used_at) + held - most
    if over < 0:
        return 0.0
    return max(0.0, used_at[over] + MINUTE - now) if over < len(used_at) else MINUTE


@value()
class Calendar:
    """Days that begin at a time of their own; times are seconds since 1970.

    A day has the number of its date, from 1970-01-01 on; a month begins on the first, at the same
    time.
    """

    #: Seconds after midnight in UTC of that date; fewer than none where that is on the day before.
    begins: float = 0.0

    def day(self, at: float) -> int:
        """Return the number of the day of *at*."""
        return floor((at - self.begins) / DAY)

    def start(self, day: int) -> float:
        """Return when that *day* begins."""
        return day * DAY + self.begins

    def first(self, day: int) -> int:
        """Return the first day of the month of *day*."""
        return date.fromordinal(day + _EPOCH).replace(day=1).toordinal() - _EPOCH

    def next_first(self, day: int) -> int:
        """Return the first day of the month after that of *day*."""
        return self.first(self.first(day) + 31)


def shown(at: float) -> str:
    """Return a time as sentences have it: to the minute, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
