"""Writes down what was used: off the way of requests, a batch at a time, by one thread."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from poe_proxy.databases import said
from poe_proxy.net.pacing import breathe
from poe_proxy.record import Record
from poe_proxy.usage.file import BITE, UsageFile
from poe_proxy.usage.rows import DAY, MICROSECONDS, is_kept, row

log = logging.getLogger(__name__)

#: Seconds in which requests are gathered that are then written together, and for which each waits
#: at least: what it has cost may be told behind its answer. Twice as much is lost if the process is
#: killed.
GATHER: Final = 0.5
#: Requests that wait to be written, at most; then the oldest are forgotten.
MOST_WAITING: Final = 20_000
#: Seconds until what could not be written is tried again, and between two log lines about it.
RETRY: Final = 5.0
_COMPLAINT: Final = 600.0
#: Seconds between two looks for what is too old, and between two bites of it.
TIDY: Final = 86_400.0
_PAUSE: Final = 0.05
#: What SQLite says of a row that it cannot take.
_OF_ROW: Final = (
    sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError,
)  # fmt: skip
#: The most seconds that the end waits for what is still to be written.
_LAST: Final = 3.0


class Recorder:
    """Keeps what it is told in a file, for so many days."""

    def __init__(
        self,
        file: UsageFile,
        *,
        days: int,
        gather: float = GATHER,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._days = days
        self._gather = gather
        self._wall = wall
        self._clock = clock
        self._waiting: deque[Record] = deque(maxlen=MOST_WAITING)
        self._filled = threading.Event()
        self._stopped = threading.Event()
        #: Held while the file is written: all that came before is there afterwards.
        self._writing = threading.Lock()
        self._complains_at = -inf
        self._has_complained = False
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def start(self) -> None:
        """Begin to write; to be called once."""
        self._thread.start()

    def tell(self, record: Record) -> None:
        """Take the record of a request that is over. Does not wait."""
        if is_kept(record):
            self._waiting.append(record)
            if not self._filled.is_set():
                self._filled.set()

    def flush(self, ended: float = inf) -> bool:
        """Write what waits, as far as it had *ended* by then; return whether that worked."""
        with self._writing:
            while batch := self._taken(ended):
                try:
                    self._write(batch)
                except (OSError, sqlite3.Error) as failure:
                    self._put_back(batch)
                    self._failed(failure)
                    return False
                self._succeeded()
                breathe()
        return True

    def tidy(self) -> None:
        """Delete what is too old, in small bites; between them, write what waits."""
        before = round(self._wall() * MICROSECONDS) - self._days * DAY
        try:
            while self._file.delete(before):
                if self._stopped.wait(_PAUSE):
                    return
                self.flush(self._clock() - self._gather)
        except (OSError, sqlite3.Error) as failure:
            self._failed(failure)

    def close(self) -> None:
        """Write what waits, if that can be done in a moment; what comes later is forgotten."""
        self._stopped.set()
        self._filled.set()
        if self._thread.ident is not None:
            self._thread.join(_LAST)

    def _run(self) -> None:
        tidies_at = -inf
        try:
            while not self._stopped.is_set():
                if (now := self._clock()) >= tidies_at:
                    tidies_at = now + TIDY
                    self.tidy()
                self._filled.wait(max(0.0, tidies_at - now))
                self._stopped.wait(self._gather)
                self._filled.clear()
                has_worked = self.flush(self._clock() - self._gather)
                if self._waiting:
                    self._filled.set()
                if not has_worked:
                    self._stopped.wait(RETRY)
            self.flush()
        except Exception:
            log.exception("usage is no longer recorded")
        finally:
            self._file.close()

    def _taken(self, ended: float) -> list[Record]:
        waiting = self._waiting
        taken: list[Record] = []
        while len(taken) < BITE and waiting and waiting[0].ended <= ended:
            taken.append(waiting.popleft())
        return taken

    def _write(self, batch: list[Record]) -> None:
        """Write *batch*, without what can be no row. Raises what the file does: what is left of
        *batch* is not written then."""
        try:
            self._file.add([row(record) for record in batch])
        except Exception as failure:
            if _is_of_file(failure):
                raise
        else:
            return
        lost, why = 0, ""
        while batch:
            try:
                self._file.add([row(batch[0])])
            except Exception as failure:
                if _is_of_file(failure):
                    raise
                lost, why = lost + 1, type(failure).__name__
            del batch[0]
            breathe()
        if lost:
            log.error("%d requests are left out of the usage records: %s", lost, why)

    def _put_back(self, batch: list[Record]) -> None:
        """Let *batch* wait again, before what has come meanwhile; if there is no room, without the
        oldest."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extendleft(reversed(batch[max(0, len(batch) - room) :]))

    def _succeeded(self) -> None:
        if self._has_complained:
            self._has_complained = False
            self._complains_at = -inf
            log.warning("USAGE_FILE %s is written again.", self._file.path)

    def _failed(self, failure: Exception) -> None:
        if (now := self._clock()) >= self._complains_at:
            self._complains_at = now + _COMPLAINT
            self._has_complained = True
            log.error(
                "USAGE_FILE %s: %s. Going on without it: what is used waits in memory, and the "
                "oldest is forgotten.",
                *(self._file.path, said(failure)),
            )


def _is_of_file(failure: Exception) -> bool:
    """Whether the file is at fault, and not what is written."""
    return isinstance(failure, OSError | sqlite3.Error) and not isinstance(failure, _OF_ROW)
