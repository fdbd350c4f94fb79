"""A time for all steps of connecting together, whatever they wait for.

The time-out of a socket is one for each byte. So the work is done in a thread of its own, and what
it has connected is cut when the time is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from poe_proxy.net.background import Background
from poe_proxy.net.cutting import Handle

T = TypeVar("T")


class Deadline:
    """The end of the time for some work."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._handle: Handle | None = None
        #: Whether the time was over before the work was done.
        self.is_over = False
        self._is_done = False
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """The seconds that are left, never less than 0."""
        return max(0.0, self._until - time.monotonic())

    def left(self) -> float:
        """Return the seconds that are left; raises TimeoutError if there are none."""
        left = self.seconds
        if self.is_over or left <= 0:
            raise TimeoutError("It took too long.")
        return left

    def watch(self, sock: Any) -> None:
        """Cut *sock*, just connected, when the time is over; raises TimeoutError if it is."""
        with self._lock:
            self._close()
            self.left()
            self._handle = Handle(sock)

    def pass_by(self) -> None:
        """Make the time be over, unless the work is done."""
        with self._lock:
            if self._is_done:
                return
            self.is_over = True
            if self._handle is not None:
                self._handle.cut(reset=True)

    def end(self) -> bool:
        """Note that the work is done; return whether that was in time."""
        with self._lock:
            self._close()
            self._is_done = not self.is_over
            return self._is_done

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class Attempt(Generic[T]):
    """Work with a deadline, under way in a thread of its own: it can be waited for, and given up.

    What it returns when nobody wants it any more is undone.
    """

    def __init__(
        self,
        work: Callable[[Deadline], T],
        seconds: float,
        *,
        undo: Callable[[T], object],
        name: str,
    ) -> None:
        """Begin *work*, which may take so many *seconds*. *name* is that of its thread."""
        self._deadline = Deadline(seconds)
        self._work = work
        self._undo = undo
        #: Set when the work is done, or is not waited for any more.
        self._is_settled = threading.Event()
        self._working = Background(self._run, name=name)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the work, *seconds* at most; return whether that is settled."""
        left = self._deadline.seconds
        if not self._is_settled.wait(min(seconds, left)) and left <= seconds:
            self.give_up()
        return self._is_settled.is_set()

    def give_up(self) -> None:
        """End the work, whatever it is doing; from any thread, and a wait for it ends at once."""
        self._deadline.pass_by()
        self._is_settled.set()

    def drop(self) -> None:
        """Give the work up, and undo what it has returned already. For the thread that waits."""
        self.give_up()
        if not self._deadline.is_over:
            with suppress(Exception):
                self._undo(self._working.result())

    def result(self) -> T:
        """Return what the settled work returned, or raise what it raised: TimeoutError if it has
        taken too long, or was given up."""
        if self._deadline.is_over:
            raise TimeoutError("It took too long.")
        return self._working.result()

    def _run(self) -> T:
        try:
            try:
                result = self._work(self._deadline)
            except BaseException:
                self._deadline.end()
                raise
            if not self._deadline.end():
                self._undo(result)
            return result
        finally:
            self._is_settled.set()


def in_time(
    work: Callable[[Deadline], T], seconds: float, *, undo: Callable[[T], object], name: str
) -> T:
    """Return what *work* returns; raises TimeoutError after *seconds*, whatever it is doing.

    What it returns later than that is given to *undo*. *name* is that of its thread.
    """
    attempt = Attempt(work, seconds, undo=undo, name=name)
    attempt.wait(seconds)
    return attempt.result()
