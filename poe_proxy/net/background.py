"""A blocking call with a result that can be waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


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
