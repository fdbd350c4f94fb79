"""What is left to the garbage collector: memory that nobody holds and nobody gives back."""

from __future__ import annotations

import gc
from collections.abc import Callable


def left_behind(act: Callable[[], object], within: str = "poe_proxy") -> set[str]:
    """Return the names of those classes *within* our own packages of which *act* leaves objects
    that hold each other."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        gc.collect()
        ours = {type(one) for one in gc.garbage if type(one).__module__.startswith(within)}
        return {kind.__name__ for kind in ours}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
