"""Accounts with a session are at home in one worker: what is used from elsewhere is let go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from math import inf
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from poe_proxy.pool.line.alarm import Alarm
from poe_proxy.pool.tokens import Token
from poe_proxy.rules import BEAT, LIFE

log = logging.getLogger(__name__)

U = TypeVar("U")

#: Seconds without a sign of life that reached Redis after which this worker has no home left: one
#: such sign before others take it for dead.
LET_GO_AFTER: Final = LIFE - BEAT


@runtime_checkable
class _LettingGo(Protocol):
    def let_go(self) -> None:
        """See `Upstream`."""


class Homes(Generic[U]):
    """The accounts that are at home here. Each is let go once it is not, and no lease has it."""

    def __init__(self, is_used: Callable[[str], bool], token: Callable[[str], Token[U] | None]):
        """*is_used* says whether a lease has the token of a name, and *token* which one it is."""
        self._is_used = is_used
        self._token = token
        self._lock = threading.Lock()
        self._here: frozenset[str] = frozenset()
        #: What was lent since Redis last said which these are.
        self._new: set[str] = set()
        #: What is to be let go once its last reply is over.
        self._leaving: set[str] = set()
        self._alarm = Alarm(self.lose_all, name="homes")

    def close(self) -> None:
        """Let nothing more go."""
        self._alarm.close()

    def seen(self, names: Collection[str]) -> None:
        """Note that Redis says that just these accounts are at home here."""
        with self._lock:
            gone = self._here - frozenset(names) - self._new
            # What was lent meanwhile may have come too late for this answer.
            self._here, self._new = frozenset(names) | self._new, set()
        for name in gone:
            self.lose(name)
        # Also if there are none: one may be lent before this is said again.
        self._alarm.set(LET_GO_AFTER)

    def lose_all(self) -> None:
        """Note that this worker may count as dead by now, so that others use its accounts."""
        with self._lock:
            gone, self._here, self._new = self._here | self._new, frozenset(), set()
        for name in gone:
            self.lose(name)
        self._alarm.set(inf)

    def lose(self, name: str) -> None:
        """Note that an account is at home elsewhere."""
        with self._lock:
            self._leaving.add(name)
        self.let_go(name)

    def let_go(self, name: str) -> None:
        """Let an account go if that is due, and nobody here uses it."""
        with self._lock:
            if name not in self._leaving or self._is_used(name):
                return
            self._leaving.discard(name)
        token = self._token(name)
        if token is not None and isinstance(token.upstream, _LettingGo):
            log.info("%s is not at home in this worker any more", token.label)
            # It may wait for the network.
            threading.Thread(target=_let_go, args=(token,), name="moving", daemon=True).start()

    def lent(self, name: str) -> None:
        """Note that an account is at home here, as Redis has just said."""
        with self._lock:
            self._leaving.discard(name)
            if name not in self._here:
                self._new.add(name)


def _let_go(token: Token[Any]) -> None:
    try:
        token.upstream.let_go()
    except Exception:
        log.exception("%s was not let go", token.label)
