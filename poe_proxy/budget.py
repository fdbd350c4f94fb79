"""What one request may cost: seconds of computing on what its client and its bot sent.

All requests share one process, and one thread. So code that reads what strangers wrote says when it
computes (`work`), gives the others their turn in between (`breathe`), and stops when the request
has cost as much as it may. The sum counts, whatever it is spent on: a limit for each schema or each
candidate is none for a request that brings a thousand of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from poe_proxy import flight

#: Seconds of computing for one request, unless the settings say otherwise.
SECONDS: Final = 0.5
#: Seconds of computing after which the other requests get their turn.
TURN: Final = 0.02
#: Seconds of the pause for that. Not 0: sockets and timers would have no turn then.
_PAUSE: Final = 0.0001


class OutOfBudget(Exception):
    """The request has cost as much as it may. What it means is decided where it is caught: a
    refusal, or an answer that is passed on unchecked."""


class Budget:
    """What is left to one request. One greenlet uses it at a time."""

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        clock: Callable[[], float] = time.thread_time,
        rest: Callable[[], None] = lambda: time.sleep(_PAUSE),
    ) -> None:
        """*clock* counts seconds of computing, not of waiting. *rest* lets the others have their
        turn."""
        #: The fields of the request whose answer was passed on without the check that they ask
        #: for, because it would have cost too much.
        self.unchecked: list[str] = []
        self._seconds = seconds
        self._clock = clock
        self._rest = rest
        self._spent = 0.0
        self._stage: str | None = None
        #: When the present stretch of computing was last charged.
        self._charged_at = 0.0
        #: When the others had their last turn.
        self._rested_at = clock()

    def __repr__(self) -> str:
        return f"Budget({self.left:.3f} s left)"

    @property
    def left(self) -> float:
        """The seconds of computing that are left, never less than 0."""
        return max(0.0, self._seconds - self._spent)

    def charge(self, seconds: float) -> None:
        """Count *seconds* that another process computed for the request."""
        self._spent += seconds

    @contextmanager
    def work(self, stage: str) -> Iterator[None]:
        """Count what the block computes; *stage* says what that is, in words for the log.

        Blocks may be nested. A block must not wait for anything, except within `aside`. Raises
        `OutOfBudget` at once if nothing is left.
        """
        if self._spent >= self._seconds:
            raise OutOfBudget
        outer = self._enter(stage)
        try:
            yield
        finally:
            self._leave(outer)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count nothing within the block, which waits; within `work` or outside."""
        stage = self._stage
        self._leave(None)
        try:
            yield
        finally:
            if stage is not None:
                self._enter(stage)
            self._rested_at = self._clock()

    def breathe(self) -> None:
        """Give the other requests their turn, if this one has held them up for `TURN` seconds.

        To be called between two bits of work, each of which takes a few milliseconds at most.
        Raises `OutOfBudget` if nothing is left.
        """
        if self._clock() - self._rested_at < TURN:
            return
        with self.aside():
            self._rest()
        if self._spent >= self._seconds:
            raise OutOfBudget

    def _enter(self, stage: str) -> str | None:
        outer = self._stage
        if outer is not None:
            self._count()
        self._stage = stage
        self._charged_at = self._clock()
        flight.recorder.write(flight.Note(stage, flight.current.get()))
        return outer

    def _leave(self, outer: str | None) -> None:
        if self._stage is not None:
            self._count()
        self._stage = outer
        note = None if outer is None else flight.Note(outer, flight.current.get())
        flight.recorder.write(note)

    def _count(self) -> None:
        now = self._clock()
        self._spent += now - self._charged_at
        self._charged_at = now
