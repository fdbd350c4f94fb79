"""The points of the accounts: how many are left, and who comes back when there are some again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from poe_proxy.errors import NoTokenLeft, PoeProxyError, TokenRejected, UpstreamTimeout
from poe_proxy.pool.rotator import Token, TokenRotator

log = logging.getLogger(__name__)


class HasBalance(Protocol):
    """An account that can say how many points it has."""

    def balance(self) -> int:
        """Ask Poe for the points that are left; raises `UpstreamError`."""


A = TypeVar("A", bound=HasBalance)

#: US dollars that a point is worth, about (official API sheet §1).
DOLLARS: Final = 0.00003


class PointsWatch(Generic[A]):
    """Asks for the balance of exhausted tokens: sparingly, and never on the way of a request."""

    def __init__(self, tokens: TokenRotator[A], *, every: float) -> None:
        self._tokens = tokens
        self._every = every
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look every so many seconds, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="points", daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            look(self._tokens)


def look(tokens: TokenRotator[A]) -> None:
    """Ask for the balance of each exhausted token, and revive those that have points again.

    One that Poe rejects is set aside.
    """
    for token in tokens.exhausted():
        try:
            points = token.upstream.balance()
        except TokenRejected as rejected:
            tokens.retire(token, rejected)
            continue
        except PoeProxyError as failure:
            log.info("%s: its balance is not to be had: %s", token.label, failure)
            continue
        except Exception:
            # The thread has to live, or no account would ever come back.
            log.exception("%s: asking for its balance failed", token.label)
            continue
        if points > 0:
            tokens.revive(token)


class Balance(Generic[A]):
    """What all accounts together have left: asked for when somebody wants to know, and kept."""

    def __init__(
        self,
        tokens: TokenRotator[A],
        *,
        holds: float = 60.0,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Poe is asked again after *holds* seconds, and given *patience* seconds to answer."""
        self._tokens = tokens
        self._holds = holds
        self._patience = patience
        self._clock = clock
        self._asking = threading.Lock()
        self._asked_at: float | None = None
        self._points: dict[Token[A], int] = {}

    def points(self) -> int:
        """Return the points of all accounts that Poe accepts. One that does not tell in time
        counts with what it last had.

        Raises `NoTokenLeft` if Poe accepts none, `UpstreamTimeout` if none of them ever told.
        """
        with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at >= self._holds:
                self._ask(self._tokens.accepted())
                self._asked_at = self._clock()
        accounts = self._tokens.accepted()
        if not accounts:
            raise NoTokenLeft("Poe accepts none of the tokens; the operator has to renew them.")
        told = [self._points[token] for token in accounts if token in self._points]
        if not told:
            raise UpstreamTimeout("No Poe account tells its balance.")
        return sum(told)

    def _ask(self, accounts: list[Token[A]]) -> None:
        threads = [
            threading.Thread(target=self._ask_one, args=(token,), daemon=True) for token in accounts
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + self._patience
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _ask_one(self, token: Token[A]) -> None:
        try:
            self._points[token] = token.upstream.balance()
        except TokenRejected as rejected:
            self._tokens.retire(token, rejected)
        except PoeProxyError as failure:
            log.info("%s: its balance is not to be had: %s", token.label, failure)
