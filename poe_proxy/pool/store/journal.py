"""The store in a file: what is known of the tokens survives the process, however it ends.

*Written in place*: a row costs some microseconds, less than handing it to another thread. SQLite
has a write-ahead log for it, which the system keeps when the process is killed; only when the
machine itself fails may the last moments be missing. What may be written a little later goes along
with the next row, or when somebody asks for `trouble`, which is done once a second.
*Clocks*: rows hold the time since the machine's start as well as that of its wall clock. The first
one counts as long as the machine runs, so that a wall clock that is set does no harm. After its
next start there is only the wall clock.
*Failures* never leave this module. What cannot be written waits in memory, and is tried again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias

from poe_proxy import databases
from poe_proxy.pool.ledger import MARGIN
from poe_proxy.pool.store import Note, Remembered, Renewals, Store
from poe_proxy.pool.store.boots import since_boot, this_boot
from poe_proxy.pool.store.holding import PATIENCE, hold, is_held, let_go
from poe_proxy.pool.store.noted import as_text, from_text, parsed
from poe_proxy.pool.store.schema import FORGOTTEN, PRUNE, prepare
from poe_proxy.pool.store.tallies import Tallies, Tally, total

log = logging.getLogger(__name__)

#: Seconds between two tries to write what waits, and between two log lines about a failure.
RETRY: Final = 2.0
_COMPLAINT: Final = 60.0
#: Seconds for which uses are kept at least, whatever the limits remember; and sendings of clients.
_KEPT: Final = 3600.0
_SENDINGS_KEPT: Final = 300.0
#: After so many uses of an account, those that no limit remembers are deleted, at most so many.
_TIDIED: Final = 64
#: Writes that wait, at most: then the oldest are forgotten.
_MOST_WAITING: Final = 50_000
#: Days after which it is forgotten what a day has counted.
_DAYS: Final = 400

_Write: TypeAlias = tuple[str, tuple[Any, ...]]


class Journal(Store, Renewals, Tallies):
    """Keeps what it is given in the file at *path*, which only its owner may read.

    *keeps_renewals* is whether renewed cookies are kept; if not, those in the file are deleted.
    *boot* counts the seconds since the machine's start, which *boot_id* names. Raises `StateInUse`
    if another process, but for one that forked this one, holds the file for *patience* seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        keeps_renewals: bool = True,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = since_boot,
        boot_id: str | None = None,
        connect: Callable[[Path], sqlite3.Connection] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._path = path.absolute()
        self._keeps_renewals = keeps_renewals
        self._wall, self._up = wall, boot
        self._boot = this_boot() if boot_id is None else boot_id
        self._connect = connect or _connected
        #: Is told how many seconds each reading and each writing took; it must not wait.
        self.timed: Callable[[str, float], None] | None = None
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._is_closed = False
        #: The number of the next use: far from those of other processes.
        self._next_id = uuid.uuid4().int >> 66
        #: The numbers of uses that have not arrived.
        self._under_way: dict[str, int] = {}
        #: By account: the seconds for which uses are kept, and how many came since old ones went.
        self._kept: dict[str, float] = {}
        self._untidied: dict[str, int] = {}
        self._waiting: deque[_Write] = deque(maxlen=_MOST_WAITING)
        #: What clients have used on a day, as it is to be written: only the newest of it counts.
        self._tallies: dict[tuple[str, int], tuple[int, int, int, int]] = {}
        #: By client: how many sendings came since old ones went.
        self._unpruned: Counter[str] = Counter()
        self._trouble: str | None = None
        self._tries_at = self._complains_at = -inf
        self._has_complained = False
        self._holds = not is_held(self._path)
        if self._holds:
            hold(self._path, patience=patience)
        with self._lock:
            self._begin()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file, in a few words without its name; None if nothing is.

        Asking is a reason to write what waits, and to try again, once in a while.
        """
        with self._lock:
            self._catch_up()
            return self._trouble

    def day_uses(self) -> dict[str, int]:
        """Return how often each account was used today, in UTC."""
        with self._lock:
            return dict(
                self._read(
                    "SELECT account, uses FROM days WHERE day = date(?, 'unixepoch')", self._wall()
                )
            )

    def close(self) -> None:
        """Write what waits, and let go of the file. What comes later is forgotten."""
        with self._lock:
            if self._is_closed:
                return
            self._tries_at = -inf
            self._forget_those_gone()
            self._catch_up()
            self._disconnect()
            self._is_closed = True
            if self._holds:
                let_go(self._path)

    # ---- Store

    def recall(self, name: str, window: float) -> Remembered:
        """See `Store`. The age of a use that had not arrived is counted from `MARGIN` seconds
        after its sending, and negative until then. A note whose time is over has 0.0 or fewer
        seconds, but for a rest, which is left out."""
        with self._lock:
            self._kept[name] = max(_KEPT, window, self._kept.get(name, 0.0))
            uses = self._read("SELECT boot, up, wall, arrived FROM uses WHERE account = ?", name)
            notes = self._read("SELECT boot, up, wall, notes FROM notes WHERE account = ?", name)
            self._write(
                "DELETE FROM uses WHERE account = ? AND boot <> ? AND wall < ?",
                name, self._boot, self._wall() - self._kept[name],
            )  # fmt: skip
            ages = (
                self._age(boot, up, wall) - (0.0 if arrived else MARGIN)
                for boot, up, wall, arrived in uses
            )
            return Remembered(
                uses=sorted((age for age in ages if age <= window), reverse=True),
                notes=[
                    note
                    for boot, up, wall, text in notes
                    for note in from_text(text, self._age(boot, up, wall))
                ],
            )

    def add_use(self, name: str, use: str) -> None:
        with self._lock:
            self._under_way[use] = self._next_id
            self._write(
                # It may be written again after a failure that did not undo it; it counts once.
                "INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, ?, 0)",
                self._next_id, name, self._boot, self._up(), self._wall(),
            )  # fmt: skip
            self._next_id += 1
            self._tidy(name)

    def settle_use(self, use: str, ago: float) -> None:
        with self._lock:
            if (number := self._under_way.pop(use, None)) is not None:
                self._write(
                    "UPDATE uses SET up = ?, wall = ?, arrived = 1 WHERE id = ?",
                    self._up() - ago, self._wall() - ago, number,
                )  # fmt: skip

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        with self._lock:
            if notes:
                self._write(
                    "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?)",
                    name, self._boot, self._up(), self._wall(), as_text(notes),
                )  # fmt: skip
            else:
                self._write("DELETE FROM notes WHERE account = ?", name)

    # ---- Renewals

    def renewed(self, name: str) -> Mapping[str, str]:
        if not self._keeps_renewals:
            return {}
        with self._lock:
            self._kept.setdefault(name, _KEPT)
            rows = self._read("SELECT cookies FROM renewals WHERE account = ?", name)
        return {str(key): str(value) for row in rows for key, value in parsed(row[0], {}).items()}

    def keep_renewed(self, name: str, cookies: Mapping[str, str]) -> None:
        if not self._keeps_renewals:
            return
        with self._lock:
            self._write(
                "INSERT OR REPLACE INTO renewals VALUES (?, ?, ?)",
                name, self._wall(), json.dumps(dict(cookies)),
            )  # fmt: skip

    # ---- Tallies

    def tally(self, name: str, first: int, last: int) -> Tally:
        with self._lock:
            rows = self._read(
                "SELECT day, requests, tokens, points, exact FROM tallies "
                "WHERE client = ? AND day BETWEEN ? AND ?", name, first, last,
            )  # fmt: skip
            days = {day: counts for day, *counts in rows}
            # What is not written yet is newer.
            for (client, day), counts in self._tallies.items():
                if client == name and first <= day <= last:
                    days[day] = [*counts]
        return total([Tally(*counts) for counts in days.values()])

    def keep_tally(self, name: str, day: int, tally: Tally, *, at_once: bool) -> None:
        with self._lock:
            self._tallies[name, day] = (tally.requests, tally.tokens, tally.points, tally.exact)
            if at_once:
                self._catch_up()

    def asked(self, name: str, window: float) -> Sequence[float]:
        with self._lock:
            self._catch_up()
            rows = self._read("SELECT boot, up, wall FROM sendings WHERE client = ?", name)
            ages = (self._age(*row) for row in rows)
            return sorted((age for age in ages if age <= window), reverse=True)

    def add_asked(self, name: str) -> None:
        with self._lock:
            up = self._up()
            row = (name, up, self._next_id, self._boot, self._wall())
            self._waiting.append(("INSERT OR IGNORE INTO sendings VALUES (?, ?, ?, ?, ?)", row))
            self._next_id += 1
            self._unpruned[name] += 1
            if self._unpruned[name] >= _TIDIED:
                self._unpruned[name] = 0
                old = (name, up - _SENDINGS_KEPT, self._boot, 4 * _TIDIED)
                self._waiting.append((PRUNE, old))

    # ---- within the lock

    def _age(self, boot: str, up: float, wall: float) -> float:
        """Return the seconds since a row was written, by the better of the two clocks."""
        return max(0.0, self._up() - up if boot == self._boot else self._wall() - wall)

    def _begin(self) -> None:
        """Open the file, and delete the renewed cookies in it if none are to be kept."""
        self._read("SELECT 1")
        if not self._keeps_renewals:
            self._write("DELETE FROM renewals")
            # Only then is the file itself without them.
            self._read("PRAGMA wal_checkpoint(TRUNCATE)")

    def _forget_those_gone(self) -> None:
        """Delete what is known of accounts that no process had for `FORGOTTEN` days."""
        if not self._kept:
            return  # the start failed before any account was known
        now = self._wall()
        these = ", ".join("?" * len(self._kept))
        for table in ("uses", "notes", "renewals"):
            self._write(
                f"DELETE FROM {table} WHERE wall < ? AND account NOT IN ({these})",
                *(now - FORGOTTEN * 86400, *self._kept),
            )
        self._write("DELETE FROM days WHERE day < date(?, 'unixepoch')", now - _DAYS * 86400)
        self._write("DELETE FROM sendings WHERE wall < ?", now - _SENDINGS_KEPT)
        self._write("DELETE FROM tallies WHERE day < ?", now // 86400 - _DAYS)

    def _tidy(self, name: str) -> None:
        """Delete uses that no limit remembers: now and then, and few at a time."""
        self._untidied[name] = count = self._untidied.get(name, 0) + 1
        if count >= _TIDIED:
            self._untidied[name] = 0
            self._write(
                "DELETE FROM uses WHERE id IN (SELECT id FROM uses "
                "WHERE account = ? AND boot = ? AND up < ? ORDER BY up LIMIT ?)",
                name, self._boot, self._up() - self._kept.get(name, _KEPT), 4 * _TIDIED,
            )  # fmt: skip

    def _read(self, query: str, *values: object) -> list[Any]:
        """Return the rows; none if the file cannot be read."""
        rows: list[Any] = []

        def read() -> None:
            if not self._is_closed:
                rows[:] = self._connection().execute(query, values).fetchall()

        self._attempt(read, "read")
        return rows

    def _write(self, command: str, *values: object) -> None:
        self._waiting.append((command, values))
        self._catch_up()

    def _catch_up(self) -> None:
        """Write what waits, unless that failed a moment ago."""
        if self._is_closed:
            self._waiting.clear()
            self._tallies.clear()
        elif (self._waiting or self._tallies or self._trouble) and self._up() >= self._tries_at:
            self._attempt(self._write_all, "write")

    def _write_all(self) -> None:
        db = self._connection()
        writes: list[_Write] = [*self._waiting]
        writes += [
            ("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?)", (*key, *counts))
            for key, counts in self._tallies.items()
        ]
        if len(writes) == 1:
            db.execute(*writes[0])
        else:
            # If this fails, the connection is closed, which undoes it.
            db.execute("BEGIN IMMEDIATE")
            for command, values in writes:
                db.execute(command, values)
            db.execute("COMMIT")
        self._waiting.clear()
        self._tallies.clear()
        if self._trouble:
            self._trouble, self._tries_at = None, -inf
            if self._has_complained:
                self._has_complained = False
                log.warning("STATE_FILE %s is written again.", self._path)

    def _attempt(self, step: Callable[[], None], act: str) -> None:
        """Do *step*, and tell how long the *act* took."""
        if (timed := self.timed) is None:
            self._try(step)
            return
        began = time.perf_counter()
        self._try(step)
        timed(act, time.perf_counter() - began)

    def _try(self, step: Callable[[], None]) -> None:
        """Do *step*. A broken file is put aside, and it is done once more with a fresh one."""
        try:
            try:
                step()
            except sqlite3.DatabaseError as failure:
                if not databases.is_broken(failure):
                    raise
                self._put_aside(failure)
                step()
        except (OSError, sqlite3.Error) as failure:
            self._failed(failure)

    def _failed(self, failure: Exception) -> None:
        self._disconnect()
        self._trouble = databases.said(failure)
        now = self._up()
        self._tries_at = now + RETRY
        if now >= self._complains_at:
            self._complains_at = now + _COMPLAINT
            self._has_complained = True
            log.error(
                "STATE_FILE %s: %s. Going on without it: what is known of the accounts is kept in "
                "memory, and a restart would forget it.",
                self._path,
                self._trouble,
            )

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = databases.opened(self._path, self._connect, prepare)
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _put_aside(self, failure: Exception) -> None:
        self._disconnect()
        aside = databases.put_aside(self._path, self._wall())
        log.error(
            "STATE_FILE %s is broken (%s). It is now %s, and a new one begins: what it held is "
            "forgotten.",
            self._path,
            databases.said(failure),
            aside,
        )


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.1, isolation_level=None, check_same_thread=False)
