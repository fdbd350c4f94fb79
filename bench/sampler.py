"""Runs in the worker that is profiled: counts where it is, each time so much CPU has been used.

The kernel sends SIGPROF for each few milliseconds of CPU, whatever greenlet runs; a profiler that
follows calls would take each switch for one, and make all calls slower. SIGVTALRM begins and, once
more, ends it, and writes what was counted to the file that `BENCH_SAMPLES` names.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from types import FrameType
from typing import Final

#: Seconds of CPU between samples; kernels round it up to their tick.
_INTERVAL: Final = 0.001
#: Frames of a stack that are kept, from the innermost.
_DEPTH: Final = 40

_stacks: Final[Counter[tuple[str, ...]]] = Counter()
_is_running = False


def install() -> None:
    """Wait for the signal."""
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGVTALRM, _toggle)


def _sample(_: int, frame: FrameType | None) -> None:
    stack: list[str] = []
    while frame is not None and len(stack) < _DEPTH:
        code = frame.f_code
        stack.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _toggle(*_: object) -> None:
    global _is_running
    _is_running = not _is_running
    signal.setitimer(
        signal.ITIMER_PROF, _INTERVAL if _is_running else 0, _INTERVAL if _is_running else 0
    )
    if not _is_running:
        path = os.environ["BENCH_SAMPLES"]
        with open(f"{path}.new", "w") as file:
            json.dump([[count, stack] for stack, count in _stacks.items()], file)
        os.replace(f"{path}.new", path)
        _stacks.clear()
