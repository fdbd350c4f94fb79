"""Tokens, and the line of requests that wait for one."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    UpstreamError,
)
from poe_proxy.pool.ledger import Ledger, TokenState
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.memory import MemoryLedger

log = logging.getLogger(__name__)

U = TypeVar("U")

#: The fewest seconds that a token rests, whatever Poe says, so that no request is repeated in
#: a tight loop.
MIN_REST: Final = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Token(Generic[U]):
    """One credential at Poe: what it speaks through, and how much it may be used."""

    #: Its name in logs and in the ledger; never the credential. No two tokens share one.
    label: str
    upstream: U
    kind: str = "cookie"
    #: Lower ranks are lent first.
    rank: int = 0
    limits: Sequence[Limit] = ()
    #: Replies at a time.
    concurrency: int = 1


class TokenRotator(Generic[U]):
    """Lends tokens, the least recently used first, to the first in line that they fit.

    The ledger decides which token may be lent; the line and the log are here.
    """

    def __init__(
        self,
        tokens: Iterable[Token[U]],
        *,
        patience: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        ledger: Ledger | None = None,
    ) -> None:
        """*patience* is how many seconds a request waits in line at most, on *clock*.

        Without a *ledger*, what is known of the tokens is kept in this process. Raises
        `ValueError` if two tokens have the same label.
        """
        self._tokens: dict[str, Token[U]] = {}
        self._ledger = MemoryLedger(clock=clock) if ledger is None else ledger
        for token in tokens:
            if token.label in self._tokens:
                raise ValueError(f"two tokens are called {token.label}")
            self._tokens[token.label] = token
            self._ledger.enlist(
                token.label,
                rank=token.rank,
                concurrency=token.concurrency,
                limits=token.limits,
            )
        #: The kinds of token in the pool.
        self.kinds = frozenset(token.kind for token in self._tokens.values())
        self._patience = patience
        self._clock = clock
        #: Held while the line changes, and while it is served: so the line is served in order.
        self._lock = threading.Lock()
        #: By their ids, the first in line first.
        self._line: dict[str, Lease[U]] = {}

    def lease(
        self,
        *,
        kinds: Collection[str] | None = None,
        avoid: Collection[Token[U]] = (),
        deadline: float | None = None,
    ) -> Lease[U]:
        """Return a place in line for a token of one of *kinds* (None: of any); a context manager.

        Inside its block `Lease.wait` gives the token. How the block ends decides what becomes of
        it: an `UpstreamError` may make it rest or set it aside, as its class says; anything else,
        such as a hang-up, costs it nothing. *avoid* are tokens that were tried for the same
        request; *deadline*, on the rotator's clock, ends a wait that began before.
        """
        if deadline is None:
            deadline = self._clock() + self._patience
        tried = frozenset(avoid)
        fitting = frozenset(
            label
            for label, token in self._tokens.items()
            if token not in tried and (kinds is None or token.kind in kinds)
        )
        return Lease(self, fitting, deadline)

    @property
    def patience(self) -> float:
        """The most seconds that a request waits in line."""
        return self._patience

    def now(self) -> float:
        """Return the time on the rotator's clock."""
        return self._clock()

    def census(self) -> dict[str, int]:
        """Return how many tokens are in each state: `free`, `in_use`, `resting`, `retired`;
        and how many requests are in line: `waiting`."""
        counts = dict.fromkeys(("free", "in_use", "resting", "retired"), 0)
        with self._lock:
            counts["waiting"] = len(self._line)
            states = self._ledger.state(list(self._tokens))
        for label, state in states.items():
            if state.retired is not None:
                counts["retired"] += 1
            elif state.is_free:
                counts["free"] += 1
            elif state.in_use >= self._tokens[label].concurrency:
                counts["in_use"] += 1
            else:
                counts["resting"] += 1
        return counts

    def accepted(self) -> list[Token[U]]:
        """Return all tokens but those that are set aside."""
        states = self._ledger.state(list(self._tokens))
        return [token for label, token in self._tokens.items() if states[label].retired is None]

    def exhausted(self) -> list[Token[U]]:
        """Return the tokens that rest because they are out of points."""
        states = self._ledger.state(list(self._tokens))
        return [
            token
            for label, token in self._tokens.items()
            if states[label].is_out_of_points and states[label].retired is None
        ]

    def revive(self, token: Token[U]) -> None:
        """End the rest of a token that has points again."""
        with self._lock:
            self._ledger.revive(token.label)
            self._serve()
        log.info("%s has points again", token.label)

    def retire(self, token: Token[U], rejection: UpstreamError) -> None:
        """Set aside a token that Poe no longer takes."""
        self._ledger.retire(token.label, rejection.message)
        log.warning("%s is set aside: %s", token.label, rejection.message)

    # ---- for leases

    def _join(self, lease: Lease[U]) -> None:
        with self._lock:
            self._line[lease.id] = lease
            self._serve()
            if lease.token is None:
                self._next_look(lease, self._ledger.state(lease.fitting))

    def _look_again(self, lease: Lease[U]) -> float:
        """Serve the line; return the seconds after which *lease* should look again.

        Raises as `Lease.wait` does.
        """
        with self._lock:
            # Each lease in line looks for itself: a token that fits only others is left to them.
            states = self._ledger.state(lease.fitting)
            if any(state.is_free for state in states.values()):
                self._serve()
                states = self._ledger.state(lease.fitting)
            return 0.0 if lease.token is not None else self._next_look(lease, states)

    def _next_look(self, lease: Lease[U], states: Mapping[str, TokenState]) -> float:
        """Return the seconds until the end of a rest brings *lease* a token, or its deadline.

        If no token can be free before the deadline, *lease* leaves the line, and the reason is
        raised.
        """
        now = self._clock()
        alive = [state for state in states.values() if state.retired is None]
        # A token in use may come back at any moment, but not before its rest is over.
        soonest = min((state.rest for state in alive), default=inf)
        if not alive or now >= lease.deadline or now + soonest > lease.deadline:
            self._line.pop(lease.id, None)
            raise _refusal(alive, soonest)
        return min(lease.deadline - now, *(state.rest for state in alive if state.rest > 0.0), inf)

    def _send(self, lease: Lease[U], deadline: float) -> float:
        """Count a use by *lease* from now on; return 0.0, or the seconds until it may be.

        Raises `NoTokenFree` if that is after *deadline*.
        """
        wait = self._ledger.use(lease.id)
        if wait > 0.0 and self._clock() + wait > deadline:
            raise NoTokenFree(
                "The Poe account that answers this request has to rest before it goes on, "
                "for longer than a request may wait.",
                retry_after=ceil(wait),
            )
        return wait

    def _leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        with self._lock:
            self._line.pop(lease.id, None)
            token, lease.token = lease.token, None
            if token is None:
                return
            # The verdict first: once the token is given back, it may be lent.
            self._judge(token, failure)
            self._ledger.give_back(lease.id)
            self._serve()

    def _judge(self, token: Token[U], failure: BaseException | None) -> None:
        """Do to *token* what the class of *failure* says."""
        if not isinstance(failure, UpstreamError):
            return
        if failure.retires:
            self.retire(token, failure)
        elif failure.is_out_of_points:
            self._ledger.exhaust(token.label)
            log.warning("%s rests until it has points again: %s", token.label, failure)
        elif failure.rest is not None:
            asked = failure.retry_after
            rest = failure.rest if asked is None else max(asked, MIN_REST)
            self._ledger.rest(token.label, rest)
            log.warning("%s rests for %.0f s: %s", token.label, rest, failure)

    def _serve(self) -> None:
        """Give every free token to the first in line that it fits."""
        #: What was not free for an earlier place. If it is free by now, it still belongs there.
        spoken_for: frozenset[str] = frozenset()
        for lease in tuple(self._line.values()):
            if len(spoken_for) == len(self._tokens):
                return
            fitting = lease.fitting - spoken_for
            if not fitting:
                continue
            label = self._ledger.take(fitting, lease.id)
            if label is None:
                spoken_for |= fitting
                continue
            del self._line[lease.id]
            lease.token = self._tokens[label]
            lease.served.set()
            log.debug("%s is lent", label)


def _refusal(alive: Sequence[TokenState], soonest: float) -> PoeProxyError:
    """Return why no token will serve in time, of those that could and are still *alive*."""
    if not alive:
        return NoTokenLeft(
            "Poe accepts none of the tokens that could serve this request; "
            "the operator has to renew them."
        )
    if all(state.is_out_of_points for state in alive):
        return NoPointsLeft("Every Poe account that could serve this request is out of points.")
    wait = max(1, ceil(soonest))
    return NoTokenFree(
        "All Poe accounts are in use or resting; "
        f"one will be free in about {wait} s. More accounts, or a smaller COOL_DOWN "
        "or larger RATE_LIMIT, shorten the wait.",
        retry_after=wait,
    )


class Lease(Generic[U]):
    """A place in line, and then the token; given back at the end of the block."""

    def __init__(self, rotator: TokenRotator[U], fitting: frozenset[str], deadline: float) -> None:
        #: Its name in the ledger.
        self.id = secrets.token_hex(8)
        #: The labels of the tokens that can serve.
        self.fitting = fitting
        self.deadline = deadline
        self.token: Token[U] | None = None
        self.served = threading.Event()
        #: When a wait to send ends.
        self._send_by: float | None = None
        self._rotator = rotator

    def __enter__(self) -> Self:
        self._rotator._join(self)
        return self

    def wait(self, seconds: float) -> Token[U] | None:
        """Return the token, or None if *seconds* went by without one.

        Raises `NoTokenFree` or `NoPointsLeft` once the deadline is over, or as soon as it
        is clear that no token will be free before it; `NoTokenLeft` if Poe accepts none.
        """
        if self.token is None:
            again = self._rotator._look_again(self)
            if self.token is None:
                self.served.wait(min(seconds, again))
                if self.token is None and again <= seconds:
                    self._rotator._look_again(self)
        return self.token

    def may_send(self, seconds: float) -> bool:
        """Return whether a request may be sent now; if not, after *seconds* at most.

        A use counts from when it is sent, and what is sent twice counts twice: the token's
        rest and limits hold within a lease too. Raises `NoTokenFree` if the wait would be
        longer than a request may wait in line.
        """
        if self._send_by is None:
            self._send_by = self._rotator.now() + self._rotator.patience
        wait = self._rotator._send(self, self._send_by)
        if wait > 0.0:
            time.sleep(min(seconds, wait))
            return False
        self._send_by = None
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rotator._leave(self, failure)
