"""The numbers by which tokens are lent and judged, for the pool in this process and for Redis."""

from __future__ import annotations

from typing import Final

#: Seconds after which a request has arrived at Poe, or never will.
MARGIN: Final = 5.0

#: Seconds for which a token that failed is passed over; doubled by each further failure, up to
#: the most.
FIRST_BACKOFF: Final = 5.0
MOST_BACKOFF: Final = 300.0
#: The same after a failure that was the client's too, because its request may not be sent again:
#: to find out whether the token works again may cost another one.
FIRST_COSTLY_BACKOFF: Final = 900.0
MOST_COSTLY_BACKOFF: Final = 3600.0
#: Seconds from the end of the last backoff until the failures are forgotten.
FORGIVEN_AFTER: Final = 3600.0

#: Seconds from each refusal of a suspended token to the look that follows: more and more rarely.
LOOKS: Final = (60.0, 300.0, 900.0, 3600.0, 3600.0)

#: Seconds by which a streamed answer is taken to have come earlier than it did, where it is to be
#: served before or after a whole one of its own client: no whole answer is overtaken for longer.
HEAD_START: Final = 5.0
#: Seconds of waiting that make up for a step of priority.
STEP: Final = 10.0

#: Seconds within which something is sent after its token was lent, where that was said before:
#: until then it need not be said again.
SENDS_WITHIN: Final = 0.25

#: Seconds between two signs of life of a worker, and without one until it is dead, so that others
#: have what it had.
BEAT: Final = 5.0
LIFE: Final = 15.0

#: What moves a token that has a home, where several workers share it: it has been idle there for
#: so many seconds, the request has been the first in its line for so many, and within an hour it
#: has moved fewer times.
IDLE_AT_HOME: Final = 15.0
FIRST_IN_LINE: Final = 1.0
MOVES: Final = 12
MOVES_WINDOW: Final = 3600.0
