"""What one request may cost: seconds of computing on what its client and its bot sent.

All requests share one process, and one thread. So code that reads what strangers wrote says when it
computes (`work`), gives the others their turn in between (`breathe`), and stops when the request
has cost as much as it may. The sum counts, whatever it is spent on: a limit for each schema or each
candidate is none for a request that brings a thousand of them.

A turn is over after `TURN` seconds. But two hundred requests that compute for one turn each are a
second of waiting for everybody else. So whoever has had more than a little computes in a lane for
one: of all requests that compute for long, one at a time has a turn, and between two such turns all
the others have theirs.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from poe_proxy import flight

#: Seconds of computing for one request, unless the settings say otherwise.
SECONDS: Final = 0.5
#: Characters of one reply, unless the settings say otherwise.
CHARACTERS: Final = 10_000_000
#: Seconds of computing after which the others get their turn.
TURN: Final = 0.005
#: Seconds that a request may compute before it has to go into the lane.
FREE: Final = 0.002
#: Bytes of a body from which on reading it takes longer than that.
LONG: Final = 1_000_000
#: Seconds that a request waits for one turn in the lane.
PATIENCE: Final = 10.0
#: Seconds of the pause for the others. Not 0: sockets and timers would have no turn then.
_PAUSE: Final = 0.0001


class OutOfBudget(Exception):
    """The request has cost as much as it may. What it means is decided where it is caught: a
    refusal, or an answer that is passed on unchecked."""


class TooBusy(OutOfBudget):
    """The request had no turn in time: too many others compute for long."""


class Lane:
    """A lane for one: whoever has computed least so far is next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        #: Who waits: what it has computed so far, its place among equals, what it waits for.
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._places = count()

    def enter(self, spent: float, patience: float = PATIENCE) -> bool:
        """Wait until the lane is free; return whether it is ours within *patience* seconds."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = (spent, next(self._places), threading.Event())
            heapq.heappush(self._waiting, mine)
        is_mine = False
        try:
            is_mine = mine[2].wait(patience)
        finally:
            if not is_mine:
                self._give_up(mine)
        return is_mine

    def leave(self) -> None:
        """Give the lane to the next one, or free it."""
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].set()
            else:
                self._is_taken = False

    def _give_up(self, mine: tuple[float, int, threading.Event]) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
                return
        self.leave()  # it became ours at the last moment


#: The lane of this process.
lane: Final = Lane()


class Budget:
    """What is left to one request. One greenlet uses it at a time."""

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        max_reply: int = CHARACTERS,
        clock: Callable[[], float] = time.thread_time,
        rest: Callable[[], None] = lambda: time.sleep(_PAUSE),
        lane: Lane = lane,
    ) -> None:
        """*clock* counts seconds of computing, not of waiting. *rest* lets the others have their
        turn."""
        #: The most characters that the reply may have: its texts, thoughts and calls.
        self.max_reply = max_reply
        #: The fields of the request whose answer was passed on without the check that they ask
        #: for, because it would have cost too much.
        self.unchecked: list[str] = []
        self._seconds = seconds
        self._clock = clock
        self._rest = rest
        self._lane = lane
        self._is_in_lane = False
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
    def work(self, stage: str, size: int = 0) -> Iterator[None]:
        """Count what the block computes; *stage* says what that is, in words for the log.

        A block that reads so many bytes at a time that it cannot `breathe` says so by *size*.
        Blocks may be nested. A block must not wait for anything, except within `aside`. Raises
        `OutOfBudget` at once if nothing is left.
        """
        if self._spent >= self._seconds:
            raise OutOfBudget
        if size > LONG:
            self._enter_lane()
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
        held = self._clock() - self._rested_at
        if held < (TURN if self._is_in_lane else FREE):
            return
        stage = self._stage
        if stage is not None:
            self._count()
            self._stage = None
        flight.recorder.write(None)
        try:
            # Still in the lane: until this pause is over, nobody computes for long.
            self._rest()
        finally:
            self._leave_lane()
        if self._spent >= self._seconds:
            raise OutOfBudget
        if stage is not None:
            self._enter_lane()
            self._enter(stage)
        self._rested_at = self._clock()

    def _enter_lane(self) -> None:
        if not self._is_in_lane:
            if not self._lane.enter(self._spent):
                raise TooBusy
            self._is_in_lane = True

    def _leave_lane(self) -> None:
        if self._is_in_lane:
            self._is_in_lane = False
            self._lane.leave()

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
        if outer is None:
            self._leave_lane()
        note = None if outer is None else flight.Note(outer, flight.current.get())
        flight.recorder.write(note)

    def _count(self) -> None:
        now = self._clock()
        self._spent += now - self._charged_at
        self._charged_at = now
