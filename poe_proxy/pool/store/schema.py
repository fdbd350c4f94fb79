"""The tables of the file `STATE_FILE`."""

from __future__ import annotations

from typing import Final

#: Counted up when an older program could not use the file any more.
VERSION: Final = 1
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
