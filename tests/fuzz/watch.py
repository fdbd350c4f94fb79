"""What one input costs: the longest stretch of computing, the memory, and whether it fails.

Whoever gives the others their turn in between does so by `time.sleep`, or by going aside from the
work (`Budget.aside`): both are noted here, and a stretch reaches from one turn to the next.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest.mock import patch

from poe_proxy.budget import Budget

#: Seconds of computing at a stretch, and in all, after which an input is given up.
GIVE_UP: Final = 3.0
GIVE_UP_ALL: Final = 15.0
#: Seconds of computing between two looks at where it is.
_LOOK: Final = 0.02

_PRODUCT: Final = "/poe_proxy/"


class TakesTooLong(BaseException):
    """It has computed for as long as it may. No `except Exception` of the product stops it."""


@dataclass(slots=True)
class Cost:
    """What one input cost."""

    #: Seconds of the longest stretch of computing.
    stretch: float = 0.0
    #: MB that it took at its worst, above what there was before.
    peak: float = 0.0
    #: The traceback of what it should not have raised; empty if it raised nothing of the kind.
    failure: str = ""
    #: Where it failed, or where it was for the longest time: a function of the product.
    place: str = ""


@dataclass(slots=True)
class _Stretches:
    """The stretches of computing of one input."""

    clock: Callable[[], float]
    give_up: float
    since: float = 0.0
    longest: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    #: How often it was looked at, in all and since the last turn.
    looks: int = 0
    looks_since: int = 0
    #: It has ended, or is ending: nothing must be raised any more.
    is_over: bool = False

    def turn(self) -> None:
        """Note that the others had their turn."""
        now = self.clock()
        self.longest = max(self.longest, now - self.since)
        self.since = now
        self.looks_since = 0

    def look(self, number: int, frame: FrameType | None) -> None:
        """Note where it is; a handler of signals."""
        self.seen[_place(frame)] += 1
        self.looks += 1
        self.looks_since += 1
        is_long = self.looks_since * _LOOK >= self.give_up or self.looks * _LOOK >= GIVE_UP_ALL
        if is_long and not self.is_over:
            self.is_over = True
            raise TakesTooLong


def measure(
    run: Callable[[], object],
    allowed: tuple[type[BaseException], ...] = (),
    *,
    clock: Callable[[], float] = time.thread_time,
    weighs: bool = False,
    give_up: float = GIVE_UP,
) -> Cost:
    """Return what *run* costs; it may raise what is *allowed*.

    *clock* counts seconds of computing; after so many at a stretch it is made to *give up*. The
    peak of memory is measured if it *weighs* enough.
    """
    cost = Cost()
    stretches = _Stretches(clock, give_up)
    before = _reset_peak() if weighs else 0.0
    with _turns(stretches.turn), _looking(stretches.look):
        stretches.since = clock()
        try:
            try:
                run()
            finally:
                stretches.is_over = True
        except allowed:
            pass
        except TakesTooLong:
            pass
        except Exception as failure:
            cost.failure = traceback.format_exc(limit=-12)
            cost.place = f"{type(failure).__name__} in {_place_of(failure)}"
        stretches.turn()
    cost.stretch = stretches.longest
    if weighs:
        cost.peak = max(0.0, _status("VmHWM:") - before)
    if not cost.place and stretches.seen:
        cost.place = stretches.seen.most_common(1)[0][0]
    return cost


@contextlib.contextmanager
def _turns(turn: Callable[[], None]) -> Iterator[None]:
    """Call *turn* whenever the product gives the others their turn; nobody really sleeps."""
    real_aside = Budget.aside

    def sleep(seconds: float) -> None:
        turn()

    @contextlib.contextmanager
    def aside(budget: Budget) -> Iterator[None]:
        with real_aside(budget):
            turn()
            yield
            turn()

    with patch.object(time, "sleep", sleep), patch.object(Budget, "aside", aside):
        yield


@contextlib.contextmanager
def _looking(look: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before: Any = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _LOOK, _LOOK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _place(frame: FrameType | None) -> str:
    """Return the innermost function of the product; of anybody, if there is none."""
    innermost = frame
    while frame is not None:
        if _PRODUCT in frame.f_code.co_filename:
            return _name(frame)
        frame = frame.f_back
    return _name(innermost)


def _place_of(failure: BaseException) -> str:
    frames = [frame for frame, _ in traceback.walk_tb(failure.__traceback__)]
    ours = [frame for frame in frames if _PRODUCT in frame.f_code.co_filename]
    return _name((ours or frames)[-1])


def _name(frame: FrameType | None) -> str:
    if frame is None:
        return ""
    file = frame.f_code.co_filename.rpartition(_PRODUCT)[2]
    return f"{file.removesuffix('.py')}.{frame.f_code.co_qualname}"


# ---- memory


def memory() -> float:
    """Return the MB that this process has now, after giving back what it can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS:")


def _reset_peak() -> float:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmHWM:")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
