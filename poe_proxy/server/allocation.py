"""How memory goes back to the system.

glibc gives a large block straight back, until one is freed: from then on blocks of that size, up to
32 MB, are cut from the heap, where a small one that lives longer keeps all beneath it. A proxy
whose requests brought a few pictures of 20 MB would keep hundreds of megabytes for good.

Small blocks it keeps until it is told otherwise.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from typing import Final, Protocol

#: Parameters of glibc's `mallopt`, from its `malloc.h`.
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
#: Bytes from which on a block is the system's own. Each costs some microseconds more.
LARGE: Final = 262_144
#: New objects after which Python looks for circles among them, and how often it does that before it
#: looks among older ones, too. By itself it does so after 700, and every tenth time: a body of
#: 100,000 values would be looked through again and again, up to a tenth of a second each time.
CIRCLES: Final = 5_000
OFTEN: Final = 100
#: What lets go of all that Python keeps of types to find their attributes sooner; the first from
#: 3.13 on.
_FORGETS: Final = ("_clear_internal_caches", "_clear_type_cache")
#: Answers at a time that are a crowd: 2 MB at least.
CROWD: Final = 50
#: Seconds from when a crowd has left until its memory goes back.
PAUSE: Final = 5.0


def return_memory() -> bool:
    """Let blocks of `LARGE` bytes and more go back as soon as they are freed, in this process;
    return whether that is possible here: only glibc knows how."""
    try:
        libc = ctypes.CDLL(None)
        # By itself each thread has a heap of its own, for the few that ever run at a time here.
        return bool(libc.mallopt(_M_MMAP_THRESHOLD, LARGE) and libc.mallopt(_M_ARENA_MAX, 1))
    except (AttributeError, OSError, TypeError):
        return False


def trim() -> bool:
    """Give back what is free; return whether that is possible here for all of it, as above.

    It takes 3 to 7 ms after a thousand streams.
    """
    # Python keeps 2,000 tuples of each short length to use them again, and up to 4,000 names that
    # were looked up. After a crowd they lie all over its memory, and each keeps a megabyte of it:
    # of 37 MB, 23 would stay, and so 12 do. To look for circles lets go of the tuples.
    next(getattr(sys, name) for name in _FORGETS if hasattr(sys, name))()
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return False
    return True


class _Timer(Protocol):
    daemon: bool

    def start(self) -> None: ...


class Crowd:
    """The answers under way: when three quarters of many have left, their memory goes back."""

    def __init__(
        self,
        give_back: Callable[[], object] = trim,
        *,
        timer: Callable[[float, Callable[[], None]], _Timer] = threading.Timer,
    ) -> None:
        self._give_back = give_back
        self._timer = timer
        #: The most since memory was given back, and how many there are now.
        self._most = self._now = 0
        self._is_due = False

    def left(self, now: int) -> None:
        """Note that an answer is over, and that *now* of them are still under way."""
        self._now = now
        if now >= self._most:
            self._most = now + 1
        elif now * 4 < self._most >= CROWD and not self._is_due:
            # Not at once: the others will leave, too.
            self._is_due = True
            timer = self._timer(PAUSE, self._end)
            timer.daemon = True
            timer.start()

    def _end(self) -> None:
        self._is_due = False
        self._most = self._now
        self._give_back()


def look_for_circles_later() -> None:
    """Let Python look for no circles in this process until `look_for_circles_less` is called: while
    all is imported, that is a tenth of the work."""
    gc.disable()


def look_for_circles_less() -> None:
    """Let Python look for circles seldom, in this process, and never in what is there already.

    A request leaves none; those of libraries are small. What is loaded by now lives as long as the
    worker: in a crowd of requests, looking through it would be an eighth of all the work.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(CIRCLES, OFTEN, 10)
