"""What one request may cost: seconds of computing on what its client and its bot sent.

All requests share one process, and one thread. So code that reads what strangers wrote says when it
computes (`work`), gives the others their turn in between (`breathe`), and stops when the request
has cost as much as it may. The sum counts, whatever it is spent on: a limit for each schema or each
candidate is none for a request that brings a thousand of them.

A turn is over after `FREE` seconds. But a hundred requests that take one turn after the other are a
fifth of a second of waiting for everybody else. So whoever has had more than a little computes in a
lane for one: of all requests that compute for long, one at a time has a turn of `TURN` seconds, and
the next such turn comes when nobody has anything short to compute. Whoever floods (`net.pacing`)
stands in a line for such moments. What many wait for, such as the channel of an account, just lets
each of the others have a turn.
"""

from __future__ import annotations

import gc
import heapq
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from itertools import count
from typing import Final

from poe_proxy import flight

#: Seconds of computing for one request, unless the settings say otherwise.
SECONDS: Final = 0.5
#: Characters of one reply, unless the settings say otherwise.
CHARACTERS: Final = 10_000_000
#: Seconds of computing after which the others get their turn.
TURN: Final = 0.003
#: The same for code on which many may wait, such as the reader of an account's channel.
SHARED: Final = 0.005
#: The same for what a bot floods a request of its own with.
OWN: Final = 0.002
#: Seconds that a request may compute before it has to go into the lane.
FREE: Final = 0.001
#: Seconds that a request may have computed and still goes before all longer ones.
SHORT: Final = 0.05
#: Bytes of a body from which on reading it takes longer than that.
LONG: Final = 1_000_000
#: Seconds that a request waits for one turn in the lane.
PATIENCE: Final = 10.0
#: Seconds of the pause for the others. Not 0: sockets and timers would have no turn then.
PAUSE: Final = 0.0001
#: Seconds after which a pause is over even if others have more to compute.
LONG_PAUSE: Final = 0.05
#: Seconds that a pause takes even if others go on before.
LONGEST_PAUSE: Final = 10.0


class OutOfBudget(Exception):
    """The request has cost as much as it may. What it means is decided where it is caught: a
    refusal, or an answer that is passed on unchecked."""


class TooBusy(OutOfBudget):
    """The request had no turn in time: too many others compute for long."""


class Lane:
    """A lane for one. Whoever has computed least so far is next; but of those that have computed
    more than `SHORT`, whoever has computed most, and is the nearest to an end: if all of them went
    on by turns, all would hold their memory until the last is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        #: Who waits: its rank, its place among equals, what it waits for.
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._places = count()

    def enter(self, spent: float, patience: float = PATIENCE) -> bool:
        """Wait until the lane is free; return whether it is ours within *patience* seconds."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            rank = spent if spent < SHORT else SHORT + 1 / spent
            mine = (rank, next(self._places), threading.Event())
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


class Processor:
    """What computes for all requests, and can do one thing at a time."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.thread_time,
        wall: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds),
    ) -> None:
        """*clock* counts seconds of computing; *wall* those of waiting, too, where that costs
        less than to ask the *clock*."""
        #: Waits until nobody else has anything to compute, at most so many seconds.
        self.until_idle: Callable[[float], None] = lambda seconds: sleep(PAUSE)
        #: The number of the round in which all who can compute have their turn.
        self.round: Callable[[], int] = lambda: 0
        self._sleep = sleep
        self.clock = clock
        self.wall = wall or clock
        self.lane = Lane()
        #: Seconds that were computed in the lane since others last had their turn.
        self.in_lane = 0.0
        #: Seconds for which Python has looked for garbage.
        self.collecting = 0.0
        self._collects_since = 0.0
        #: Which thread computed last, in which round, and since when, by both clocks: it has waited
        #: for nothing in between as far as is known, because nobody else computed.
        self._thread = self._round = 0
        self._since = self._since_by_wall = 0.0

    def is_held(self, seconds: float) -> bool:
        """Whether this thread has held up all others for so many *seconds*."""
        if not self.notice():
            return False
        now = self.wall()
        if now - self._since_by_wall < seconds:
            return False
        held = self.held
        self._since_by_wall = now - held  # the rest was waiting
        return held >= seconds

    def notice(self) -> bool:
        """Note which thread computes now; return whether it is the one that computed last, and
        has not waited since."""
        if threading.get_ident() == self._thread and self.round() == self._round:
            return True
        self._begin()
        return False

    def now(self) -> tuple[float, float]:
        """Note that this thread computes, and return the time by both clocks. That of computing is
        reckoned by the other one where it was asked less than `FREE` seconds ago: a tenth of the
        cost, and wrong by that at most."""
        if not self.notice():
            return self._since, self._since_by_wall
        wall = self.wall()
        since = wall - self._since_by_wall
        return (self._since + since if since < FREE else self.clock()), wall

    def collects(self, phase: str, info: object) -> None:
        """Note that Python begins to look for garbage, or has done so: see `gc.callbacks`."""
        if phase == "start":
            self._collects_since = self.wall()
        else:
            self.collecting += self.wall() - self._collects_since

    def _begin(self) -> None:
        self._thread, self._round = threading.get_ident(), self.round()
        self._since, self._since_by_wall = self.clock(), self.wall()

    @property
    def held(self) -> float:
        """The seconds for which the thread that computed last has held up all others."""
        return self.clock() - self._since

    def pause(self) -> None:
        """Give all others one turn."""
        try:
            self._sleep(PAUSE)
        finally:
            self._begin()

    def wait_until_idle(self) -> None:
        """Wait until nobody has anything to compute but those who wait like this."""
        try:
            self.until_idle(LONG_PAUSE)
        finally:
            self.in_lane = 0.0
            self._begin()


class Line:
    """Whoever stands in it goes on one after the other, each when nobody has anything short to
    compute."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._is_taken = threading.Lock()

    def wait(self) -> None:
        """Wait for this moment."""
        is_next = self._is_taken.acquire(timeout=LONGEST_PAUSE)
        try:
            self._processor.wait_until_idle()
        finally:
            if is_next:
                self._is_taken.release()


#: That of this process.
processor: Final = Processor(wall=time.perf_counter)
gc.callbacks.append(processor.collects)


class Budget:
    """What is left to one request. One greenlet uses it at a time."""

    def __init__(
        self,
        seconds: float = SECONDS,
        *,
        max_reply: int = CHARACTERS,
        processor: Processor = processor,
    ) -> None:
        #: The most characters that the reply may have: its texts, thoughts and calls.
        self.max_reply = max_reply
        #: The fields of the request whose answer was passed on without the check that they ask
        #: for, because it would have cost too much.
        self.unchecked: list[str] = []
        self._seconds = seconds
        self._processor = processor
        self._is_in_lane = False
        self._in_lane_since = 0.0
        self._spent = 0.0
        self._stage: str | None = None
        #: When the present stretch of computing was last charged, by both clocks.
        self._charged_at = self._charged_at_by_wall = 0.0
        #: How much of what was spent went into looking for garbage; and how much of that there was
        #: for all before the present stretch.
        self._collecting = self._collecting_before = 0.0

    def __repr__(self) -> str:
        return f"Budget({self.left:.3f} s left)"

    @property
    def left(self) -> float:
        """The seconds of computing that are left, never less than 0."""
        return max(0.0, self._seconds - self._spent)

    def charge(self, seconds: float) -> None:
        """Count *seconds* that another process computed for the request."""
        self._spent += seconds

    def work(self, stage: str, size: int = 0) -> AbstractContextManager[None]:
        """Count what the block computes; *stage* says what that is, in words for the log.

        A block that reads so many bytes at a time that it cannot `breathe` says so by *size*.
        Blocks may be nested. A block must not wait for anything, except within `aside`. It raises
        `OutOfBudget` at once if nothing is left.
        """
        return _Work(self, stage, size)

    def aside(self) -> AbstractContextManager[None]:
        """Count nothing within the block, which waits; within `work` or outside."""
        return _Aside(self)

    def breathe(self, shared: float = SHARED) -> None:
        """Give the other requests their turn, if this one has held them up for long: without a
        stage, for *shared* seconds.

        To be called between two bits of work, each of which takes a few milliseconds at most.
        Raises `OutOfBudget` if nothing is left.
        """
        stage = self._stage
        turn = shared if stage is None else TURN if self._is_in_lane else FREE
        if not self._processor.is_held(turn):
            return
        if stage is not None:
            self._count()
            if self._spent - self._collecting < FREE and not self._is_in_lane:
                # What held up the others was no stage of it, but what every request costs, which
                # may take as long on a slow machine, or garbage, 2 ms of which come upon one of a
                # hundred. Whoever has next to nothing to compute is not to wait for all that do.
                return
            self._stage = None
        flight.recorder.write(None)
        try:
            # Still in the lane: until this pause is over, nobody computes for long.
            if stage is None:
                self._processor.pause()
            else:
                self._processor.wait_until_idle()
        finally:
            self._in_lane_since = self._processor.clock()
            self._leave_lane()
        if self._spent >= self._seconds:
            raise OutOfBudget
        if stage is not None:
            self._enter_lane()
            self._enter(stage)

    def pause(self) -> None:
        """Give the other requests their turn like `breathe`, but never refuse to go on.

        For work that has to be done, is bounded by itself, and costs little beside what the budget
        was spent on. Once nothing is left, what the stage computes from then on is not counted.
        """
        with suppress(OutOfBudget):
            self.breathe()

    def _enter_lane(self) -> None:
        if self._is_in_lane:
            return
        processor = self._processor
        if not processor.lane.enter(self._spent):
            raise TooBusy
        self._is_in_lane = True
        self._in_lane_since = processor.clock()
        if processor.in_lane >= TURN:
            # Many short turns in a row, each of which begins when the one before is over.
            try:
                processor.wait_until_idle()
            except BaseException:
                self._leave_lane()
                raise
            self._in_lane_since = processor.clock()

    def _leave_lane(self) -> None:
        if self._is_in_lane:
            self._is_in_lane = False
            self._processor.in_lane += self._processor.clock() - self._in_lane_since
            self._processor.lane.leave()

    def _begin(self, stage: str, size: int) -> str | None:
        """Begin a block of `work`; return the stage outside of it."""
        if self._spent >= self._seconds:
            raise OutOfBudget
        if size > LONG:
            self._enter_lane()
        outer = self._stage
        self._enter(stage)
        return outer

    def _enter(self, stage: str) -> None:
        if self._stage is None:
            self._charged_at, self._charged_at_by_wall = self._processor.now()
            self._collecting_before = self._processor.collecting
        else:
            self._count()
        self._stage = stage
        flight.recorder.write(flight.Note(stage, flight.current.get()))

    def _leave(self, outer: str | None) -> None:
        if self._stage is not None:
            self._count()
        self._stage = outer
        if outer is None:
            self._leave_lane()
            flight.recorder.write(None)
        else:
            flight.recorder.write(flight.Note(outer, flight.current.get()))

    def _count(self) -> None:
        wall = self._processor.wall()
        computed = wall - self._charged_at_by_wall
        if computed < FREE:
            # Nobody waits within a stage, so that is what it has computed, unless the machine gave
            # the processor to another process. To ask for that takes eight times as long.
            self._charged_at += computed
        else:
            now = self._processor.clock()
            computed = min(computed, max(0.0, now - self._charged_at))
            self._charged_at = now
            before, self._collecting_before = self._collecting_before, self._processor.collecting
            self._collecting += self._collecting_before - before
        self._spent += computed
        self._charged_at_by_wall = wall


class _Work:
    """The block of `Budget.work`. A generator would take a microsecond more, and a request has a
    handful of such blocks."""

    __slots__ = ("_budget", "_outer", "_size", "_stage")

    def __init__(self, budget: Budget, stage: str, size: int) -> None:
        self._budget = budget
        self._stage = stage
        self._size = size
        self._outer: str | None = None

    def __enter__(self) -> None:
        self._outer = self._budget._begin(self._stage, self._size)

    def __exit__(self, *failure: object) -> None:
        self._budget._leave(self._outer)


class _Aside:
    """The block of `Budget.aside`."""

    __slots__ = ("_budget", "_stage")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._stage: str | None = None

    def __enter__(self) -> None:
        self._stage = self._budget._stage
        if self._stage is not None:
            self._budget._leave(None)

    def __exit__(self, *failure: object) -> None:
        if self._stage is not None:
            self._budget._enter(self._stage)
