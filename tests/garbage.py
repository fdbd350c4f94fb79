"""What is left to the garbage collector: memory that nobody holds and nobody gives back."""

from __future__ import annotations

import gc
from collections.abc import Callable


def left_behind(act: Callable[[], object], *within: str) -> set[str]:
    """Return the names of those classes of which *act* leaves objects that hold each other: of
    classes *within* these packages, or else our own."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        gc.collect()
        kinds = {type(one) for one in gc.garbage}
        found = [kind for kind in kinds if kind.__module__.startswith(within or ("poe_proxy",))]
        return {kind.__name__ for kind in found}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
