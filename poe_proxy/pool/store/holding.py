"""One server for a state file, or several that share one pool: a lock beside the file, held until
the process ends."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Seconds that a server waits for the one before it: one whose gunicorn was killed sees that
#: within a second, and then has six for what it still has to stop at Poe.
PATIENCE: Final = 8.0
#: Seconds between two looks at the lock.
_PAUSE: Final = 0.05

#: The files that are held, with the descriptors of their locks: -1 where there can be no lock. A
#: process that is forked has them too: a lock ends with the last process that has its descriptor.
_held: Final[dict[Path, int]] = {}


class StateInUse(Exception):
    """Another server has the file; the message names its process."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(
            f"STATE_FILE {path} is in use by another server (process {pid or 'unknown'}). Stop "
            "that one first: two servers on the same accounts would spend each limit twice."
        )


def hold(path: Path, *, shared: bool = False, patience: float = PATIENCE) -> None:
    """Hold the file at *path* for this process and those that it forks, until all have ended;
    *shared* with others that do so too.

    Does nothing if it is held already. Waits *patience* seconds for a server that is ending, then
    raises `StateInUse`. Where no lock can be had, say on a read-only disk, that is logged.
    """
    path = path.absolute()
    if path in _held:
        return
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _opened(lock)
    except OSError as failure:
        log.error(
            "%s cannot be opened (%s): no lock against a second server.", lock, failure.strerror
        )
        _held[path] = -1
        return
    end = time.monotonic() + patience
    while not _locked(descriptor, lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
        if time.monotonic() >= end:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StateInUse(path, pid)
        time.sleep(_PAUSE)
    _held[path] = descriptor
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        pass  # the lock counts; the number is for the message


def is_held(path: Path) -> bool:
    """Whether this process, or the one that forked it, holds the file at *path*."""
    return path.absolute() in _held


def let_go(path: Path) -> None:
    """Hold the file at *path* no more; a process that was forked meanwhile still does."""
    if (descriptor := _held.pop(path.absolute(), -1)) >= 0:
        os.close(descriptor)


def _opened(lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return os.open(lock, os.O_RDONLY)  # enough for a lock


def _locked(descriptor: int, lock: Path, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as failure:
        if failure.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        log.error(
            "%s cannot be locked (%s): no lock against a second server.", lock, failure.strerror
        )
    return True
