"""How long a failure is remembered: arithmetic, without a clock and without a lock."""

from __future__ import annotations

from typing import Final

#: Seconds for which a token that failed is passed over; doubled by each further failure, up to
#: the most.
FIRST_BACKOFF: Final = 5.0
MOST_BACKOFF: Final = 300.0

#: Seconds after the end of the last backoff until the failures are forgotten.
FORGIVEN: Final = 3600.0

#: Seconds from each refusal of a suspended token to the look that follows: more and more rarely.
LOOKS: Final = (60.0, 300.0, 900.0, 3600.0, 3600.0)
#: The refusals, a look apart, after which a token is retired.
LAST_REFUSAL: Final = len(LOOKS) + 1

#: Seconds after which a request has arrived at Poe, or never will.
MARGIN: Final = 5.0


def backoff(strikes: int) -> float:
    """Return the seconds for which a token is passed over after so many *strikes* in a row."""
    return min(MOST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(strikes - 1, 30))


def next_look(refusals: int) -> float | None:
    """Return the seconds until the look that follows so many *refusals*; None: there is none."""
    return LOOKS[refusals - 1] if refusals < LAST_REFUSAL else None
