"""Files that are locked for as long as a process lives, however it ends: whoever finds one can tell
whether somebody holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def held(path: Path, words: bytes = b"") -> int:
    """Make the file at *path*, with *words* in it; return its descriptor, which holds it for this
    process and those that it forks, until all have ended or closed it.

    Raises OSError.
    """
    new = path.with_name(f".{path.name}")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, words)
        new.rename(path)  # nobody finds it unlocked
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether somebody holds the file at *path*; also if it is there and that cannot be found
    out."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
