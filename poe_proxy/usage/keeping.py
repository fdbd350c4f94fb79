"""All that keeps usage records, joined."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from poe_proxy.databases import said
from poe_proxy.errors import ServerBusy
from poe_proxy.record import Record
from poe_proxy.shared.calling import Caller, StoreAway
from poe_proxy.usage import sums
from poe_proxy.usage.file import UsageFile
from poe_proxy.usage.history import History
from poe_proxy.usage.recorder import Recorder
from poe_proxy.usage.report import Report
from poe_proxy.usage.totals import Totals
from poe_proxy.usage.wanted import Days, Wanted

log = logging.getLogger(__name__)

#: The most seconds that a report waits for those before it: one at a time is made.
_PATIENCE: Final = 10.0


class Keeping:
    """Keeps the file at *path*, with the rows of so many days."""

    def __init__(
        self,
        path: Path,
        *,
        days: int,
        accounts: Callable[[], Iterable[tuple[str, object]]] = tuple,
        bots: Callable[[], Mapping[str, str]] = dict,
        caller: Caller | None = None,
        day_begins: Callable[[], Days] = Days,
    ) -> None:
        """*accounts* and *bots* are as for `History`.

        *caller* leads to Redis, where what all workers and hosts have used is summed up, by days
        that begin as *day_begins* says; None: this file is all that there is.
        """
        self._path = path
        self._file = file = UsageFile(path)
        self._recorder = Recorder(file, days=days)
        self._caller = caller
        self._totals = None
        if caller is not None:
            self._totals = Totals(file, caller, lasts=days, days=day_begins)
        self._history = History(file, accounts, bots=bots, may_read=self._may_read)
        self._reporting = threading.Lock()

    def start(self) -> None:
        """Begin; to be called once."""
        self._recorder.start()
        self._history.start()
        if self._totals is not None:
            self._totals.start()

    def tell(self, record: Record) -> None:
        """Take the record of a request that is over. Does not wait."""
        self._recorder.tell(record)

    def report(self, wanted: Wanted) -> Report:
        """Return the report that is *wanted*, with all that was told before.

        Raises `InvalidRequest` if it would be too long, `ServerBusy` if too many are asked for or
        the file cannot be read, and `PoolUnavailable`.
        """
        if not self._reporting.acquire(timeout=_PATIENCE):
            raise ServerBusy("Too many reports are being made.", retry_after=_PATIENCE)
        try:
            self._file.open()
            self._recorder.flush()
            if self._totals is not None:
                # What this worker knows is to be in it, if it is this worker that puts it there.
                self._totals.put()
                return self._totals.report(wanted)
            return sums.made(self._path, wanted)
        except (OSError, sqlite3.Error) as failure:
            log.warning("USAGE_FILE %s cannot be read: %s.", self._path, said(failure))
            raise ServerBusy(
                "The usage records cannot be read at the moment; the log says why.",
                retry_after=_PATIENCE,
            ) from None
        finally:
            self._reporting.release()

    def stop(self) -> None:
        """Ask Poe for nothing any more."""
        self._history.stop()

    def close(self) -> None:
        """Write what waits, within a few seconds; what comes later is forgotten."""
        self.stop()
        self._recorder.close()
        if self._totals is not None:
            self._totals.close()

    def _may_read(self, what: str, label: str, seconds: float) -> bool:
        """See `History`."""
        if self._caller is None:
            return True
        # Each host reads the history of an account for itself: the rows are in its own file. But no
        # two at the same time.
        whose = f"{label}:{self._file.identity()}" if what == "read" else label
        job = {"name": f"history:{what}:{whose}", "seconds": seconds, "id": os.urandom(8).hex()}
        try:
            return bool(self._caller.call("job", job))
        except StoreAway:
            return False
