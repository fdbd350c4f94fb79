"""All connections: how many there may be, and which one is cut when there is no room.

The server accepts nothing more once all its connections are taken. Connections cost strangers
nothing: so those that bring no key make room, the oldest first, before it comes to that.
"""

from __future__ import annotations

import logging
import resource
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from poe_proxy.errors import ServerBusy
from poe_proxy.server.admission import RETRY_AFTER

log = logging.getLogger(__name__)

#: The part of all connections from which on a new one takes the place of an old one.
NEARLY: Final = 0.9
#: The part of them on which requests with a key may be under way at a time.
KEYED: Final = 0.8
#: Seconds between two lines of the log about that.
_SAID_EVERY: Final = 60.0

#: Descriptors for a connection: its own, and that of an exchange with Poe.
_EACH: Final = 2
#: Descriptors for all else: connections kept to Poe, attachments, files.
_BESIDES: Final = 200


class Cuttable(Protocol):
    """A connection, as far as it is known here."""

    def cut(self) -> None:
        """Cut it at once."""


class Connections:
    """The connections of a worker that may have *most* of them."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        #: Those without a request that has brought a key, since that became so: the oldest first.
        self._idle: OrderedDict[Cuttable, None] = OrderedDict()
        self._keyed: set[Cuttable] = set()
        self._said_at = -_SAID_EVERY

    def __len__(self) -> int:
        return len(self._idle) + len(self._keyed)

    @contextmanager
    def place(self, connection: Cuttable) -> Iterator[None]:
        """Keep a place for *connection* within the block; cut an old one if there is no room."""
        if len(self) >= max(1, int(NEARLY * self._most)):
            self._make_room()
        self._idle[connection] = None
        try:
            yield
        finally:
            self._idle.pop(connection, None)
            self._keyed.discard(connection)

    def has_key(self, connection: Cuttable) -> None:
        """Note that a request on *connection* has brought a key. Raises `ServerBusy` if there is
        one on too many."""
        if len(self._keyed) >= max(1, int(KEYED * self._most)):
            raise ServerBusy(
                "Nearly all connections are in use; try again in a few seconds.",
                retry_after=RETRY_AFTER,
            )
        # One that is not there was cut a moment ago.
        if connection in self._idle:
            del self._idle[connection]
            self._keyed.add(connection)

    def is_idle(self, connection: Cuttable) -> None:
        """Note that no request with a key is under way on *connection* any more."""
        if connection in self._keyed:
            self._keyed.remove(connection)
            self._idle[connection] = None

    def _make_room(self) -> None:
        if not self._idle:
            return
        oldest, _ = self._idle.popitem(last=False)
        oldest.cut()
        now = self._clock()
        if now - self._said_at >= _SAID_EVERY:
            self._said_at = now
            log.warning(
                "Nearly all of %d connections are taken: each new one takes the place of the "
                "oldest without a request that has brought a key.",
                self._most,
            )


def raise_descriptors() -> int:
    """Let this process, and those that it starts, have as many descriptors as they may; return
    how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard or soft == resource.RLIM_INFINITY:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # not allowed here, or more than the system can
        return soft
    return hard


def affordable(wanted: int, descriptors: int) -> int:
    """Return how many connections there may be, *wanted* at most, with so many *descriptors*."""
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    # With very few descriptors, half of them: what is there besides is less then, too.
    return min(wanted, max(descriptors - _BESIDES, descriptors // 2) // _EACH)
