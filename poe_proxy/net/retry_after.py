"""`Retry-After`, in both of its forms (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

#: Nothing rests for longer than this, whatever a header says.
A_DAY: Final = 86_400.0
#: The most characters of a value that makes sense.
_LONGEST: Final = 100


def seconds(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds to wait, from 0 to `A_DAY`; None if *value* is absent or invalid.

    *now* is the time of day, for a value that gives a date.
    """
    if value is None or len(value) > _LONGEST:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            # A time without a zone is in UTC.
            wait = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, wait), A_DAY) if math.isfinite(wait) else None
