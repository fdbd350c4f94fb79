"""The time since the machine's start, and which start that was."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path


def since_boot() -> float:
    """Return the seconds since the machine's start, those in which it slept included."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def this_boot() -> str:
    """Return what names the time since the machine's start; where nothing does, an id that is
    never used again, so that the next process goes by the wall clock."""
    found = ""
    if hasattr(time, "CLOCK_BOOTTIME"):
        with suppress(OSError):
            found = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        # A service that sees nothing of /proc but processes is given it (`%b` in its unit).
        found = found or os.environ.get("BOOT_ID", "")
    return found.strip().replace("-", "") or uuid.uuid4().hex
