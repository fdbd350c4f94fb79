"""How the memory of large bodies and answers goes back to the system.

glibc gives a large block straight back, until one is freed: from then on blocks of that size, up to
32 MB, are cut from the heap, where a small one that lives longer keeps all beneath it. A proxy
whose requests brought a few pictures of 20 MB would keep hundreds of megabytes for good.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: A parameter of glibc's `mallopt`, from its `malloc.h`.
_M_MMAP_THRESHOLD: Final = -3
#: Bytes from which on a block is the system's own. Each costs some microseconds more.
LARGE: Final = 262_144


def return_memory() -> bool:
    """Let blocks of `LARGE` bytes and more go back as soon as they are freed, in this process;
    return whether that is possible here: only glibc knows how."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))
    except (AttributeError, OSError, TypeError):
        return False
