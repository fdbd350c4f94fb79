"""A time for all steps of connecting together, whatever they wait for.

The time-out of a socket is one for each byte. So the work is done in a thread of its own, and what
it has connected is cut when the time is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from poe_proxy.net.background import Background
from poe_proxy.net.cutting import Handle

T = TypeVar("T")


class Deadline:
    """The end of the time for some work."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._handle: Handle | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return the seconds that are left; raises TimeoutError if there are none."""
        left = self._until - time.monotonic()
        if self._is_over or left <= 0:
            raise TimeoutError("It took too long.")
        return left

    def watch(self, sock: Any) -> None:
        """Cut *sock*, just connected, when the time is over; raises TimeoutError if it is."""
        with self._lock:
            self._close()
            self.left()
            self._handle = Handle(sock)

    def pass_by(self) -> None:
        """Make the time be over."""
        with self._lock:
            self._is_over = True
            if self._handle is not None:
                self._handle.cut(reset=True)

    def end(self) -> bool:
        """Note that the work is done; return whether that was in time."""
        with self._lock:
            self._close()
            return not self._is_over

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def in_time(
    work: Callable[[Deadline], T], seconds: float, *, undo: Callable[[T], object], name: str
) -> T:
    """Return what *work* returns; raises TimeoutError after *seconds*, whatever it is doing.

    What it returns later than that is given to *undo*. *name* is that of its thread.
    """
    deadline = Deadline(seconds)

    def run() -> T:
        try:
            result = work(deadline)
        except BaseException:
            deadline.end()
            raise
        if not deadline.end():
            undo(result)
        return result

    working = Background(run, name=name)
    if not working.wait(seconds):
        deadline.pass_by()
        raise TimeoutError("It took too long.")
    return working.result()
