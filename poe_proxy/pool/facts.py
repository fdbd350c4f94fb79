"""How the pool is, for those who look on: a fact in memory, for which nobody waits for a lock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from poe_proxy.pool.base import Rotator, counted
from poe_proxy.pool.ledger import TokenState
from poe_proxy.pool.tokens import Token
from poe_proxy.values import value

log = logging.getLogger(__name__)

U = TypeVar("U")

#: Seconds from one look at the pool to the next one.
EVERY: Final = 1.0


@value()
class Fact:
    """How the pool was a moment ago."""

    #: How many tokens are how, by the words of `base.condition`.
    counts: Mapping[str, int]
    #: How many requests are in line.
    waiting: int
    #: Whether the store answers: "ok", "off" if there is none, or else what is wrong with it.
    store: str
    #: All tokens, with what is known of each.
    accounts: Sequence[tuple[Token[Any], TokenState]]


class Facts(Generic[U]):
    """Looks at the pool once a second, in a thread of its own from `start` to `stop`. Without the
    thread, whoever asks looks, if the last look is so old."""

    def __init__(
        self,
        tokens: Rotator[U],
        *,
        store: Callable[[], str] = lambda: "off",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*store* says whether the store answers, as `Fact.store` has it."""
        self._tokens = tokens
        self._store = store
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.refresh()

    def newest(self) -> Fact:
        """Return the newest fact."""
        if self._thread is None and self._clock() - self._at >= EVERY:
            self.refresh()
        return self._fact

    def refresh(self) -> None:
        """Look now."""
        accounts = self._tokens.states()
        self._fact = Fact(counted(accounts), self._tokens.line().waiting, self._store(), accounts)
        self._at = self._clock()

    def start(self) -> None:
        """Begin to look by itself."""
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._run, name="facts", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY):
            try:
                self.refresh()
            except Exception:  # the next look may succeed
                log.exception("the pool was not looked at")
