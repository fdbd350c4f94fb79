"""Work that blocks, within a reply that has to give signs of life all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from itertools import takewhile
from typing import TypeVar

from poe_proxy.chat import Idle
from poe_proxy.net.background import Background
from poe_proxy.upstreams.base import TICK

T = TypeVar("T")


def meanwhile(work: Callable[[], T], *, name: str) -> Generator[Idle, None, T]:
    """Do *work* in a thread of that *name*, yielding `Idle` until it is done; return its result.

    Closing the generator does not wait for the work: it ends by its own time limits, and what
    it finds out (a login, a bot) serves the next reply.
    """
    task = Background(work, name=name)
    while not task.wait(TICK):
        yield Idle()
    return task.result()


def one_by_one(work: Iterable[T], *, name: str) -> Generator[Idle, None, list[T]]:
    """Do *work* as `meanwhile` does, and return all that it yields.

    Once the generator is closed, the item that is under way is the last one.
    """
    is_closed = threading.Event()
    try:
        return (
            yield from meanwhile(
                lambda: list(takewhile(lambda _: not is_closed.is_set(), work)), name=name
            )
        )
    finally:
        is_closed.set()
