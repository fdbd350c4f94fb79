"""A blocking call with a result that can be waited for, and the threads that make such calls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The most threads that are kept while they have nothing to do.
MOST_KEPT: Final = 32
#: Its name meanwhile.
_IDLE: Final = "idle"


def start(work: Callable[[], object], name: str | None = None) -> None:
    """Do *work* in a thread of that *name*, which does not keep the process alive.

    Threads that are done are kept for the next work: to begin a new one costs three times as much
    as to wake one.
    """
    with _lock:
        worker = _idle.pop() if _idle else None
    if worker is None:
        _Worker(work, name)
    else:
        worker.give(work, name)


class _Worker:
    """A thread, and what it is to do."""

    def __init__(self, work: Callable[[], object], name: str | None) -> None:
        self._work: Callable[[], object] | None = work
        #: Held until there is more to do.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def give(self, work: Callable[[], object], name: str | None) -> None:
        self._work = work
        self._thread.name = name or _IDLE
        self._gate.release()

    def _run(self) -> None:
        while True:
            work, self._work = self._work, None
            assert work is not None
            try:
                work()
            except Exception:
                log.exception("%s failed", self._thread.name)
            # What it holds may be large, and the wait long.
            del work
            if not self._has_more():
                return

    def _has_more(self) -> bool:
        self._thread.name = _IDLE
        with _lock:
            if len(_idle) >= MOST_KEPT:
                return False
            _idle.append(self)
        return self._gate.acquire()


_idle: Final[list[_Worker]] = []
_lock: Final = threading.Lock()


class Background(Generic[T]):
    """A blocking call, made at once and in a thread of its own.

    A caller need not wait for it. Only its own time limits end the call, or cutting what it waits
    for. It does not keep the process alive.
    """

    def __init__(self, work: Callable[[], T], *, name: str | None = None) -> None:
        """Begin *work*. *name* is that of the thread, to be seen in a running process."""
        self._done = threading.Event()
        self._result: T | None = None
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call, *seconds* at most; return whether it has ended."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """Return what the call returned, or raise what it raised. Waits for its end."""
        self._done.wait()
        if self._failure is not None:
            raise self._failure
        return cast("T", self._result)

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._result = work()
        except BaseException as failure:  # belongs to the caller, whatever it is
            self._failure = failure
        finally:
            self._done.set()
