"""The file of usage records.

SQLite has a write-ahead log for it: readers hold up nobody, and what was written is there however
the process ends. Several servers may write the same file, and other programs read it meanwhile.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from poe_proxy import databases
from poe_proxy.usage.rows import COLUMNS, MICROSECONDS, Row

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Counted up when an older program could not use the file any more.
_VERSION: Final = 1
_SCHEMA: Final = (
    f"""
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY, {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())}
    )
    """,
    "CREATE INDEX requests_in_time ON requests (at)",
    """
    CREATE INDEX requests_unsettled ON requests (account, sent)
        WHERE points IS NULL AND sent IS NOT NULL
    """,
    # What Poe's own history says that an account was charged with by its API.
    """
    CREATE TABLE charges (
        account TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, bot TEXT NOT NULL,
        points INTEGER NOT NULL, request INTEGER, PRIMARY KEY (account, id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX charges_in_time ON charges (at)",
    # Up to when it was read.
    "CREATE TABLE readings (account TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA user_version = {_VERSION}",
)
#: What older files have not, by its name; programs that do not know of it can go on without.
_ADDED: Final = {
    # What names this file among those of all hosts.
    "identity": "CREATE TABLE identity (id TEXT NOT NULL)",
    # Hours since 1970 of whose requests or charges more has become known, and how often.
    "changed": "CREATE TABLE changed (hour INTEGER PRIMARY KEY, times INTEGER NOT NULL)",
}
#: Microseconds.
HOUR: Final = 3_600 * MICROSECONDS
_INSERT: Final = (
    f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)

#: Rows that are written or deleted at once, about a millisecond's worth.
BITE: Final = 500
#: How often a file that another process is writing is tried again, and the seconds between.
_TRIES: Final = 50
_PAUSE: Final = 0.02


class UsageFile:
    """The file at *path*, which only its owner may read. What fails is raised as `sqlite3.Error`
    or `OSError`; a file that is broken is put aside, and a new one begins."""

    def __init__(
        self,
        path: Path,
        *,
        wall: Callable[[], float] = time.time,
        connect: Callable[[Path], sqlite3.Connection] | None = None,
    ) -> None:
        self.path = path.absolute()
        self._wall = wall
        self._connect = connect or _connected
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        #: Which file it leads to.
        self._inode = (0, 0)

    def open(self) -> None:
        """Make sure that the file is there, and can be written."""
        self._do(lambda db: None)

    def add(self, rows: Sequence[Row]) -> None:
        """Write *rows*, all of them or none."""
        self.write(lambda db: db.executemany(_INSERT, rows))

    def delete(self, before: int) -> int:
        """Delete a bite of what is older than *before*; return how much that was."""

        def bite(db: sqlite3.Connection) -> int:
            rows = db.execute(
                "DELETE FROM requests WHERE id IN "
                "(SELECT id FROM requests WHERE at < ? ORDER BY at LIMIT ?)",
                (before, BITE),
            )
            charges = db.execute(
                "DELETE FROM charges WHERE (account, id) IN "
                "(SELECT account, id FROM charges WHERE at < ? ORDER BY at LIMIT ?)",
                (before, BITE),
            )
            db.execute("DELETE FROM changed WHERE hour < ?", (before // HOUR,))
            return rows.rowcount + charges.rowcount

        return self.write(bite)

    def identity(self) -> str:
        """Return what names this file, wherever it is: another one in its place has another."""

        def known(db: sqlite3.Connection) -> str:
            found = db.execute("SELECT id FROM identity").fetchone()
            if found is None:
                found = (os.urandom(8).hex(),)
                db.execute("INSERT INTO identity VALUES (?)", found)
            return str(found[0])

        found = self.read("SELECT id FROM identity")
        return str(found[0][0]) if found else self.write(known)

    def write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do *act*, which takes a few milliseconds at most, in a transaction; return its result."""

        def whole(db: sqlite3.Connection) -> T:
            # If this fails, the connection is closed, which undoes it.
            db.execute("BEGIN IMMEDIATE")
            result = act(db)
            db.execute("COMMIT")
            return result

        return self._do(whole)

    def read(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query that takes a few milliseconds at most."""
        return self._do(lambda db: db.execute(query, values).fetchall())

    def changes(self) -> dict[int, int]:
        """Return the hours since 1970 of which more has become known, and how often."""
        return dict(self.read("SELECT hour, times FROM changed"))

    def forget_changes(self, changes: Mapping[int, int]) -> None:
        """Forget those *changes*, unless there are new ones in the same hour."""
        self.write(
            lambda db: db.executemany(
                "DELETE FROM changed WHERE hour = ? AND times = ?", changes.items()
            )
        )

    def close(self) -> None:
        """Let go of the file; it is opened again if it is needed."""
        with self._lock:
            self._disconnect()

    # ---- within the lock

    def _do(self, step: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return self._patiently(step)
            except sqlite3.DatabaseError as failure:
                if not databases.is_broken(failure):
                    raise
                self._put_aside(failure)
                return self._patiently(step)

    def _patiently(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Do *step*, again and again while another process is writing. SQLite's own patience would
        hold up all of this one."""
        for _ in range(_TRIES):
            try:
                return self._attempt(step)
            except sqlite3.OperationalError as failure:
                if getattr(failure, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            time.sleep(_PAUSE)
        return self._attempt(step)

    def _attempt(self, step: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._db is not None and (found := self._found()) != self._inode:
                # Somebody has deleted it: what is written to it is lost.
                log.warning("USAGE_FILE %s is gone, and begins anew.", self.path)
                self._disconnect()
                if found is None:
                    databases.clear(self.path)
            if self._db is None:
                self._db = databases.opened(self.path, self._connect, _prepare)
                self._inode = self._found() or (0, 0)
            return step(self._db)
        except BaseException:
            self._disconnect()
            raise

    def _found(self) -> tuple[int, int] | None:
        """Return which file is at the path now."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _disconnect(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _put_aside(self, failure: Exception) -> None:
        self._disconnect()
        aside = databases.put_aside(self.path, self._wall())
        log.error(
            "USAGE_FILE %s is broken (%s). It is now %s, and a new one begins.",
            *(self.path, databases.said(failure), aside),
        )


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        _begin(db)
    for name, command in _ADDED.items():
        if not _has_table(db, name):
            db.execute(command.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        raise sqlite3.DatabaseError(f"version {version}, not {_VERSION}")


def _begin(db: sqlite3.Connection) -> None:
    """Make the tables, unless another process does so at the same time."""
    db.execute("BEGIN IMMEDIATE")
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        for command in _SCHEMA:
            db.execute(command)
    db.execute("COMMIT")


def _has_table(db: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return db.execute(query, (name,)).fetchone() is not None


def note_changes(db: sqlite3.Connection, times: Iterable[int]) -> None:
    """Note in a transaction that more has become known of requests or charges of those *times*."""
    db.executemany(
        "INSERT INTO changed VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
        [(hour,) for hour in {at // HOUR for at in times}],
    )


def opened(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads the file at *path*; raises `sqlite3.Error`."""
    # Its own patience is for the moment in which another process carries the log over.
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro",
        uri=True,
        timeout=0.05,
        isolation_level=None,
        check_same_thread=False,
    )


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
