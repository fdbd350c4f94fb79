"""Work that several threads want at once, and that is done only once for all of them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from poe_proxy.errors import UpstreamError

T = TypeVar("T")


class Shared(Generic[T]):
    """One thread does the work, the others wait for it, and all get its result or its failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: How many times the work was done, whatever came of it.
        self._rounds = 0
        #: How it failed the last time; None if it did not.
        self._failure: UpstreamError | None = None

    def get(self, known: Callable[[], T | None], work: Callable[[], T]) -> T:
        """Return what is *known*, or else what *work* returns.

        If *work* raises an `UpstreamError`, the threads that waited for it raise it too, each a
        copy of its own. The next call does the work anew.
        """
        seen = self._rounds
        with self._lock:
            if (found := known()) is not None:
                return found
            if self._rounds != seen and self._failure is not None:
                raise copy.copy(self._failure)
            try:
                result = work()
            except UpstreamError as failure:
                self._failure = failure.with_traceback(None)
                raise copy.copy(failure) from None
            else:
                self._failure = None
                return result
            finally:
                self._rounds += 1
