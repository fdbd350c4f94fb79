"""Tokens that ran out of points come back when their balance says so."""

from __future__ import annotations

import logging
import threading
from typing import Generic, Protocol, TypeVar

from poe_proxy.errors import PoeProxyError
from poe_proxy.tokens import TokenRotator

log = logging.getLogger(__name__)


class HasBalance(Protocol):
    """An account that can say how many points it has."""

    def balance(self) -> int:
        """Ask Poe for the points that are left; raises `UpstreamError`."""


A = TypeVar("A", bound=HasBalance)


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
    """Ask for the balance of each exhausted token, and revive those that have points again."""
    for token in tokens.exhausted():
        try:
            points = token.upstream.balance()
        except PoeProxyError as failure:
            log.info("%s: its balance is not to be had: %s", token.label, failure)
            continue
        if points > 0:
            tokens.revive(token)
