"""Files of SQLite's that are the proxy's own: only their owner may read them, and one that is
broken is put aside."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

#: How the names of what SQLite has beside a file end.
_BESIDE: Final = ("-wal", "-shm", "-journal")


def opened(
    path: Path,
    connect: Callable[[Path], sqlite3.Connection],
    prepare: Callable[[sqlite3.Connection], object],
) -> sqlite3.Connection:
    """Return what *connect* makes of the file, once *prepare* is done with it; the file is made if
    it is not there. Raises what either raises, and nothing is left open then."""
    _make_private(path)
    db = connect(path)
    try:
        prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _make_private(path: Path) -> None:
    """Make the file, if it is not there, and its folder; let only its owner read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def clear(path: Path) -> None:
    """Delete what is left beside a file that is gone: to a new one it would be a log of its own."""
    for ending in _BESIDE:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{ending}")


def is_broken(failure: sqlite3.DatabaseError) -> bool:
    """Whether the file is at fault: it is no database, or a damaged one, or of another program."""
    # SQLite's other failures are subclasses: a full disk, a file that is locked or read-only.
    return type(failure) is sqlite3.DatabaseError


def put_aside(path: Path, now: float) -> str:
    """Rename the file and its log, as SQLite would look for both under the new name; return that
    one. *now* is in seconds since 1970."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    for ending in (*_BESIDE, ""):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{ending}", f"{aside}{ending}")
    return aside.name


def said(failure: Exception) -> str:
    """Return what is wrong, in a few words without the file's name: what SQLite says may be several
    lines, and the message of an OSError has that name."""
    return getattr(failure, "strerror", None) or " ".join(str(failure).split())
