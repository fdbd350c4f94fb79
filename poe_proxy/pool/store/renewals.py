"""The cookies that Poe has renewed, in a file that the servers of one host share: all that is kept
there of a pool that is in Redis, as it must not leave the host.

*Shared*: a cookie is at home with one worker at a time, so that two never write the same row; and
each writes so rarely that it opens the file for it and closes it again. So whoever finds the file
broken, and puts it aside, does not leave the others writing to what nobody reads.
*Failures* never leave this module. What cannot be written waits in memory, and is tried again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

from poe_proxy import databases
from poe_proxy.pool.store import Renewals
from poe_proxy.pool.store.holding import PATIENCE, hold, is_held, let_go
from poe_proxy.pool.store.noted import parsed
from poe_proxy.pool.store.schema import FORGOTTEN, prepare

log = logging.getLogger(__name__)

#: Seconds between two tries to write what waits, and between two log lines about a failure.
RETRY: Final = 2.0
_COMPLAINT: Final = 60.0
#: Seconds that another process of this host may take with the file; how often one is tried that
#: another is about to make, and the seconds between.
_OTHERS: Final = 2.0
_TRIES: Final = 20
_PAUSE: Final = 0.02


class SharedRenewals(Renewals):
    """Keeps renewed cookies in the file at *path*, which only its owner may read.

    *keeps_renewals* is whether any are kept; if not, those in the file are deleted. Raises
    `StateInUse` if a server that has no pool in Redis holds the file for *patience* seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        keeps_renewals: bool = True,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        connect: Callable[[Path], sqlite3.Connection] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._path = path.absolute()
        self._keeps_renewals = keeps_renewals
        self._wall, self._clock = wall, clock
        self._connect = connect or _connected
        self._lock = threading.Lock()
        #: What is not written yet, by account.
        self._waiting: dict[str, str] = {}
        #: The accounts that this process knows.
        self._known: set[str] = set()
        self._trouble: str | None = None
        self._tries_at = self._complains_at = -inf
        self._holds = not is_held(self._path)
        if self._holds:
            hold(self._path, shared=True, patience=patience)
        with self._lock:
            self._attempt(self._begin)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file, in a few words without its name; None if nothing is.

        Asking is a reason to try again, once in a while.
        """
        with self._lock:
            if (self._waiting or self._trouble) and self._clock() >= self._tries_at:
                self._attempt(self._write)
            return self._trouble

    def renewed(self, name: str) -> Mapping[str, str]:
        if not self._keeps_renewals:
            return {}
        with self._lock:
            self._known.add(name)
            rows = [(self._waiting[name],)] if name in self._waiting else self._read(name)
        return {str(key): str(value) for row in rows for key, value in parsed(row[0], {}).items()}

    def keep_renewed(self, name: str, cookies: Mapping[str, str]) -> None:
        if not self._keeps_renewals:
            return
        with self._lock:
            self._known.add(name)
            self._waiting[name] = json.dumps(dict(cookies))
            if self._clock() >= self._tries_at:
                self._attempt(self._write)

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        with self._lock:
            self._attempt(self._write)
            self._attempt(self._forget_those_gone)
            if self._holds:
                let_go(self._path)
                self._holds = False

    # ---- within the lock

    def _begin(self, db: sqlite3.Connection) -> None:
        """Delete the renewed cookies in it if none are to be kept."""
        if not self._keeps_renewals:
            db.execute("DELETE FROM renewals")
            # Only then is the file itself without them.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _read(self, name: str) -> list[tuple[str]]:
        rows: list[tuple[str]] = []

        def read(db: sqlite3.Connection) -> None:
            query = "SELECT cookies FROM renewals WHERE account = ?"
            rows[:] = db.execute(query, (name,)).fetchall()

        self._attempt(read)
        return rows

    def _write(self, db: sqlite3.Connection) -> None:
        rows = [(name, self._wall(), text) for name, text in self._waiting.items()]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT OR REPLACE INTO renewals VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
        self._waiting.clear()
        self._trouble, self._tries_at = None, -inf

    def _forget_those_gone(self, db: sqlite3.Connection) -> None:
        """Delete what is known of accounts that no process had for `FORGOTTEN` days."""
        if self._known:
            these = ", ".join("?" * len(self._known))
            db.execute(
                f"DELETE FROM renewals WHERE wall < ? AND account NOT IN ({these})",
                (self._wall() - FORGOTTEN * 86400, *self._known),
            )

    def _attempt(self, step: Callable[[sqlite3.Connection], object]) -> None:
        """Do *step* with the file. One that is broken is put aside, and it is done once more."""
        try:
            try:
                self._do_at_last(step)
            except sqlite3.DatabaseError as failure:
                if not databases.is_broken(failure):
                    raise
                aside = databases.put_aside(self._path, self._wall())
                log.error(
                    "STATE_FILE %s is broken (%s). It is now %s, and a new one begins: what it "
                    "held is forgotten.",
                    *(self._path, databases.said(failure), aside),
                )
                self._do(step)
        except (OSError, sqlite3.Error) as failure:
            self._failed(failure)

    def _do_at_last(self, step: Callable[[sqlite3.Connection], object]) -> None:
        """Do *step*; what another process is doing to the file at this moment is waited for."""
        for _ in range(_TRIES):
            try:
                return self._do(step)
            except sqlite3.DatabaseError as failure:
                # It is made, or put aside.
                if not (databases.is_broken(failure) or "already exists" in str(failure)):
                    raise
                time.sleep(_PAUSE)
        return self._do(step)

    def _do(self, step: Callable[[sqlite3.Connection], object]) -> None:
        opened = databases.opened(self._path, self._connect, partial(prepare, shared=True))
        with closing(opened) as db:
            step(db)

    def _failed(self, failure: Exception) -> None:
        self._trouble = databases.said(failure)
        now = self._clock()
        self._tries_at = now + RETRY
        if now >= self._complains_at:
            self._complains_at = now + _COMPLAINT
            log.error(
                "STATE_FILE %s: %s. Going on without it: cookies that Poe renews are kept in "
                "memory, and a restart would forget them.",
                *(self._path, self._trouble),
            )


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_OTHERS, isolation_level=None, check_same_thread=False)
