"""A function that is called when its time has come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import inf

log = logging.getLogger(__name__)


class Alarm:
    """Calls a function after some seconds, in a thread that lives only while one is set."""

    def __init__(self, ring: Callable[[], object], *, name: str) -> None:
        """*ring* may set the next time; *name* is what the thread and the log call it."""
        self._ring = ring
        self._name = name
        self._changed = threading.Condition()
        self._at = inf
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def set(self, seconds: float) -> None:
        """Ring after so many *seconds*, instead of when it was set to; with `inf` not at all."""
        at = time.monotonic() + seconds
        with self._changed:
            is_sooner, self._at = at < self._at, at
            if self._thread is None:
                if at < inf and not self._is_closed:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
            elif is_sooner or at == inf:
                self._changed.notify()

    def close(self) -> None:
        """Ring no more. What is being called may go on."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            try:
                self._ring()
            except Exception:
                # Without the thread, requests would wait for tokens that are free.
                log.exception("the alarm of the %s failed", self._name)

    def _wait(self) -> bool:
        """Wait until it is time to ring; return False if the thread is to end."""
        with self._changed:
            while not self._is_closed and self._at < inf:
                left = self._at - time.monotonic()
                if left <= 0.0:
                    self._at = inf
                    return True
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            self._thread = None
            return False
