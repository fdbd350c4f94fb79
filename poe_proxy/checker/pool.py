"""The processes that check: a few, started when they are needed, shared by all requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from poe_proxy.checker.process import Outcome, Process, Unavailable

log = logging.getLogger(__name__)

#: The most processes at a time.
MOST: Final = 2
#: Seconds to wait for one of them that is free.
PATIENCE: Final = 0.5
#: Seconds of computing that a job gets in the greatest crowd: many times what an honest one takes.
LEAST: Final = 0.01


class Pool:
    """Gives each job to a process that is free."""

    def __init__(
        self, *, patience: float = PATIENCE, start: Callable[[], Process] = Process
    ) -> None:
        self._patience = patience
        self._start = start
        #: Held for the fields below; notified when a process is free.
        self._changed = threading.Condition()
        self._free = MOST
        self._waiting = 0
        #: Free processes that have been started.
        self._idle: list[Process] = []

    @property
    def waiting(self) -> int:
        """How many jobs wait for a process."""
        return self._waiting

    def ask(self, job: Callable[[], bytes], seconds: float) -> Outcome:
        """Return what becomes of a job, which may compute for so many *seconds*, and for less
        while others are waiting: costly jobs must not keep the others from being done.

        *job* writes it, which is not done before its time has come: many may wait.

        Raises `Unavailable` if no process is free in time, or if it breaks down.
        """
        process, waiting = self._take()
        try:
            granted = max(min(seconds, LEAST), seconds / (1 + waiting))
            if process is None or not process.is_fit:
                if process is not None:
                    process.close()
                process = self._start()
            outcome = process.ask(job(), granted)
        except OSError as failed:
            log.error("no process to check JSON schemas can be started: %s", failed)
            raise Unavailable("it cannot be started") from None
        except Unavailable as failed:
            log.error("the process that checks JSON schemas broke down: %s", failed)
            raise
        finally:
            self._give_back(process)
        return replace(outcome, is_cut=outcome.is_cut or granted < seconds)

    def _take(self) -> tuple[Process | None, int]:
        """Return a free process, None if one is to be started, and how many jobs are waiting."""
        with self._changed:
            self._waiting += 1
            try:
                if not self._changed.wait_for(lambda: self._free, self._patience):
                    raise Unavailable("all are at work")
            finally:
                self._waiting -= 1
            self._free -= 1
            return self._idle.pop() if self._idle else None, self._waiting

    def _give_back(self, process: Process | None) -> None:
        if process is not None and not process.is_fit:
            process.close()
            process = None
        with self._changed:
            if process is not None:
                self._idle.append(process)
            self._free += 1
            self._changed.notify()

    def close(self) -> None:
        """End the processes that are not at work. Those that are end with this process."""
        with self._changed:
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()
