"""Turns for the other requests, between two bits of work that belongs to no request.

A login, a page, a websocket's frame: what computes on them runs in a thread of its own, without a
budget of any request. Whatever Poe sends, it must not hold up the others.
"""

from __future__ import annotations

import math
import threading
from contextlib import AbstractContextManager
from typing import Final

from poe_proxy.budget import Budget


class _ThisThread(threading.local):
    def __init__(self) -> None:
        self.budget = Budget(math.inf)


_this_thread: Final = _ThisThread()


def breathe(*, is_modest: bool = False) -> None:
    """Give the others their turn, if this thread has not done so for `budget.SHARED` seconds of
    computing; or, where that is modest, for `budget.FREE`.

    To be called between two bits of work of a few milliseconds each.
    """
    _this_thread.budget.breathe(is_modest=is_modest)


def work(stage: str) -> AbstractContextManager[None]:
    """Note for the watchdog that the block computes; *stage* says what, in words for the log."""
    return _this_thread.budget.work(stage)
