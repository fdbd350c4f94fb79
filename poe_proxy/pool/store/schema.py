"""The tables of the file `STATE_FILE`, and how it is opened."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

#: Counted up when an older program could not use the file any more.
VERSION: Final = 1
#: Days after which an account that has left the settings is forgotten.
FORGOTTEN: Final = 60
#: Bytes of a page of a new file, and pages of the log from which on it is carried over into it.
_PAGE: Final = 1024
_LOG_PAGES: Final = 4000
SCHEMA: Final = f"""
    BEGIN;
    -- When something was sent; once it had arrived, the time by which it had.
    CREATE TABLE uses (
        id INTEGER PRIMARY KEY, account TEXT NOT NULL,
        boot TEXT NOT NULL, up REAL NOT NULL, wall REAL NOT NULL, arrived INTEGER NOT NULL
    );
    CREATE INDEX uses_in_time ON uses (account, boot, up);
    CREATE TABLE notes (
        account TEXT PRIMARY KEY,
        boot TEXT NOT NULL, up REAL NOT NULL, wall REAL NOT NULL, notes TEXT NOT NULL
    );
    CREATE TABLE renewals (account TEXT PRIMARY KEY, wall REAL NOT NULL, cookies TEXT NOT NULL);
    -- The uses of each day (UTC), to be looked at.
    CREATE TABLE days (
        account TEXT NOT NULL, day TEXT NOT NULL, uses INTEGER NOT NULL,
        PRIMARY KEY (account, day)
    ) WITHOUT ROWID;
    CREATE TRIGGER counted AFTER INSERT ON uses BEGIN
        INSERT OR IGNORE INTO days VALUES (new.account, date(new.wall, 'unixepoch'), 0);
        UPDATE days SET uses = uses + 1
            WHERE account = new.account AND day = date(new.wall, 'unixepoch');
    END;
    PRAGMA user_version = {VERSION};
    COMMIT;
"""

#: What came later, and is added to a file that lacks it: older programs pass over it.
ADDED: Final = """
    -- What each client has used on each day of its own.
    CREATE TABLE IF NOT EXISTS tallies (
        client TEXT NOT NULL, day INTEGER NOT NULL,
        requests INTEGER NOT NULL, tokens INTEGER NOT NULL,
        points INTEGER NOT NULL, exact INTEGER NOT NULL,
        PRIMARY KEY (client, day)
    ) WITHOUT ROWID;
    -- When requests of clients were sent that may send so many a minute.
    CREATE TABLE IF NOT EXISTS sendings (
        client TEXT NOT NULL, up REAL NOT NULL, id INTEGER NOT NULL,
        boot TEXT NOT NULL, wall REAL NOT NULL,
        PRIMARY KEY (client, up, id)
    ) WITHOUT ROWID;
"""

#: Deletes a client's sendings that came before, of this boot, so many at most.
PRUNE: Final = """
    DELETE FROM sendings WHERE (client, up, id) IN (
        SELECT client, up, id FROM sendings WHERE client = ? AND up < ? AND boot = ? LIMIT ?
    )
"""


def prepare(db: sqlite3.Connection, *, shared: bool = False) -> None:
    """Make the file ready to be used by this process alone, or *shared* with others. Raises
    `sqlite3.DatabaseError` itself if it is broken, or of another program."""
    if not shared:
        # No other process uses the file, so that none of what SQLite shares with others is
        # needed: not even a file beside it, for which a full disk has no room.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    is_new = not db.execute("SELECT 1 FROM sqlite_master").fetchone()
    if not is_new and version != VERSION:
        raise sqlite3.DatabaseError(f"version {version}, not {VERSION}")
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(found)
    # A row costs its whole page, and none is large.
    db.execute(f"PRAGMA page_size = {_PAGE}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    # To carry the log over into the file is what waits for the disk, 4 to 30 ms. By itself
    # SQLite does so every 200 uses; so it is every 800, and half of the time in all.
    db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    # What is deleted may have been a secret; it is overwritten as the log is carried over.
    db.execute("PRAGMA secure_delete = ON")
    if is_new:
        db.executescript(SCHEMA)
    with suppress(sqlite3.OperationalError):  # what is there can still be read
        db.executescript(ADDED)
