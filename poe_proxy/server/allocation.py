"""How the memory of large bodies and answers goes back to the system.

glibc gives a large block straight back, until one is freed: from then on blocks of that size, up to
32 MB, are cut from the heap, where a small one that lives longer keeps all beneath it. A proxy
whose requests brought a few pictures of 20 MB would keep hundreds of megabytes for good.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

#: A parameter of glibc's `mallopt`, from its `malloc.h`.
_M_MMAP_THRESHOLD: Final = -3
#: Bytes from which on a block is the system's own. Each costs some microseconds more.
LARGE: Final = 262_144
#: New objects after which Python looks for circles among them, and how often it does that before it
#: looks among older ones, too. By itself it does so after 700, and every tenth time: a body of
#: 100,000 values would be looked through again and again, up to a tenth of a second each time.
CIRCLES: Final = 5_000
OFTEN: Final = 100


def return_memory() -> bool:
    """Let blocks of `LARGE` bytes and more go back as soon as they are freed, in this process;
    return whether that is possible here: only glibc knows how."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))
    except (AttributeError, OSError, TypeError):
        return False


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
