"""Files that are mapped into memory, and were needed once."""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import suppress
from typing import Final

_MAPPINGS: Final = "/proc/self/smaps"


def let_go(path: str) -> None:
    """Let go of the memory that the file at *path* takes in this process, as far as nothing in it
    was changed: what is needed of it after all is read anew. Only Linux can do that."""
    with suppress(AttributeError, OSError):
        for start, end in _unchanged(os.path.realpath(path)):
            ctypes.CDLL(None).madvise(
                ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED
            )


def _unchanged(path: str) -> list[tuple[int, int]]:
    """Return the addresses at which *path* can only be read, and is as it is on the disk."""
    found: list[tuple[int, int]] = []
    with open(_MAPPINGS, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if not words[0].endswith(":"):
                addresses, rights, name = words[0], words[1], line.rstrip("\n").partition("/")[2]
            # A library is written to while it is linked, and its constants are protected then:
            # they would be as on the disk again, and lead nowhere.
            elif words[:2] == ["Anonymous:", "0"] and rights == "r--p" and f"/{name}" == path:
                start, _, end = addresses.partition("-")
                found.append((int(start, 16), int(end, 16)))
    return found
