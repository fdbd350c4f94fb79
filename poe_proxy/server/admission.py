"""What all requests together may hold: the bytes of their bodies, and answers under way.

A limit for each of them is none for a thousand at a time. What a request holds is given back when
its answer is closed, however it ended: `held` is emptied then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from poe_proxy.errors import ServerBusy, TooManyStreams
from poe_proxy.record import Record
from poe_proxy.server.allocation import Crowd

#: Seconds after which a request that found no room may come back.
RETRY_AFTER: Final = 5.0
#: The most bytes of a body that counts as small, and the part of the room that such bodies have
#: for themselves: a few large ones, or large ones without an end, cannot shut out ordinary chats.
SMALL: Final = 1_000_000
FOR_SMALL: Final = 3 / 4

_HELD: Final = "poe_proxy.held"


class Held:
    """What a request holds, as calls that give it back: an `ExitStack` that is 2 kB smaller."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []

    def callback(self, call: Callable[[], object]) -> None:
        """Let *call* be made by `close`."""
        self._calls.append(call)

    def close(self) -> None:
        """Make each call once, the last first, whatever becomes of the others."""
        if self._calls:
            try:
                self._calls.pop()()
            finally:
                self.close()


class Bodies:
    """The bytes of all bodies: those that are being read, and of requests under way."""

    def __init__(self, most: int) -> None:
        #: The most bytes of all of them.
        self.most = most
        self.total = 0

    def share(self, held: Held) -> Share:
        """Return the share of one body, which is given back when *held* is closed."""
        share = Share(self)
        held.callback(share.give_back)
        return share


class Share:
    """The bytes of one body."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def check(self, size: int) -> None:
        """Raise `ServerBusy` if there is no room now for a body of *size* bytes."""
        bodies = self._bodies
        most = bodies.most if size <= SMALL else bodies.most * (1 - FOR_SMALL)
        if bodies.total - self.size + size > most:
            raise ServerBusy(
                "The bodies of all requests are as large as they may be together (MAX_BODIES_MB); "
                "try again in a few seconds.",
                retry_after=RETRY_AFTER,
            )

    def grow(self, size: int) -> None:
        """Count *size* bytes more. Raises `ServerBusy` if there is no room for them."""
        self.check(self.size + size)
        self.size += size
        self._bodies.total += size

    def give_back(self) -> None:
        """Count nothing for this body any more."""
        self._bodies.total -= self.size
        self.size = 0


class Answers:
    """The answers under way."""

    def __init__(self, most: int) -> None:
        #: The most of them at a time.
        self.most = most
        self.number = 0
        self._crowd = Crowd()

    def begin(self, held: Held) -> None:
        """Count one more, until *held* is closed. Raises `TooManyStreams` if that is too many."""
        if self.number >= self.most:
            raise TooManyStreams(
                f"{self.most} answers are under way, and no more are begun (MAX_STREAMS); try "
                "again in a few seconds.",
                retry_after=RETRY_AFTER,
            )
        self.number += 1
        held.callback(self._end)

    def _end(self) -> None:
        self.number -= 1
        self._crowd.left(self.number)


class Admission:
    """What is there for all requests; it lives as long as the process."""

    def __init__(self) -> None:
        self.bodies = Bodies(200_000_000)
        self.answers = Answers(2000)
        #: The records of all requests that are not over.
        self.under_way: set[Record] = set()

    def limit(self, *, bodies: int, largest_body: int, answers: int) -> None:
        """Admit so many bytes of *bodies*, and so many *answers*, from the next request on.

        There is always room for one body of the largest size.
        """
        self.bodies.most = max(bodies, math.ceil(largest_body / (1 - FOR_SMALL)))
        self.answers.most = answers


# ---- beneath Flask


def held(environ: Mapping[str, Any]) -> Held:
    """Return what the request with this *environ* holds until its answer is closed."""
    stack: Held = environ[_HELD]
    return stack


def giving_back(app: Callable[..., Any]) -> Callable[..., Any]:
    """Close `held` when the answer is closed, begun or not, or when there is none."""

    def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        held = environ[_HELD] = Held()
        try:
            parts = app(environ, start_response)
        except BaseException:
            held.close()
            raise
        if close := getattr(parts, "close", None):
            held.callback(close)  # the first to be called
        return _Answer(parts, held)

    return served


class _Answer:
    """An answer that gives back, when it is closed, what its request holds."""

    def __init__(self, parts: Iterable[bytes], held: Held) -> None:
        self._parts = parts
        self.close = held.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)
