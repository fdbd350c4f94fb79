"""Tokens, and the rotator that lends them: one pool, one line, one lock."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil, inf
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
)
from poe_proxy.pool.limits import Limit

log = logging.getLogger(__name__)

U = TypeVar("U")

#: Seconds that a token rests when Poe says "too much" without saying for how long.
REST_LIMITED: Final = 30.0
REST_EXHAUSTED: Final = 3600.0
REST_BLOCKED: Final = 60.0
#: The least that it rests, whatever Poe says, so that nobody asks again in a tight loop.
REST_AT_LEAST: Final = 1.0


@dataclass(eq=False, slots=True)
class Token(Generic[U]):
    """One credential at Poe: what it speaks through, and how much it may be used."""

    #: What logs call it; never the credential.
    label: str
    upstream: U
    kind: str = "cookie"
    #: Lower ranks are lent first.
    rank: int = 0
    limits: Sequence[Limit] = ()
    #: Replies at a time.
    concurrency: int = 1
    #: Out of points it rests until somebody revives it, not for a fixed time.
    is_watched: bool = False

    in_use: int = field(default=0, init=False)
    #: Of these, who waits until it may send; they come before all who stand in line.
    waiting: set[Lease[U]] = field(default_factory=set, init=False)
    used_at: deque[float] = field(default_factory=deque, init=False)
    rests_until: float = field(default=-inf, init=False)
    #: Why Poe no longer takes it; None while it does.
    retired: str | None = field(default=None, init=False)
    #: Out of points: rests until its balance says otherwise.
    exhausted: bool = field(default=False, init=False)

    def rest(self, now: float) -> float:
        """Seconds until time alone would let it be used."""
        if self.retired is not None:
            return inf
        return max(
            0.0, self.rests_until - now, *(one.wait(self.used_at, now) for one in self.limits)
        )

    def is_free(self, now: float) -> bool:
        return self.in_use < self.concurrency and not self.waiting and self.rest(now) <= 0.0

    def note_use(self, now: float) -> None:
        window = max((limit.window for limit in self.limits), default=0.0)
        self.used_at.append(now)
        while self.used_at[0] + window < now:
            self.used_at.popleft()


class TokenRotator(Generic[U]):
    """Lends tokens, the longest unused first, to whoever stands first in line.

    Never one that is in use up to its concurrency, resting, over a limit, or set aside.
    """

    def __init__(
        self,
        tokens: Iterable[Token[U]],
        *,
        patience: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Kept in the order in which they will be lent: by rank, then the longest unused first.
        self._tokens = sorted(tokens, key=lambda token: token.rank)
        #: The kinds of token in the pool.
        self.kinds = frozenset(token.kind for token in self._tokens)
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._line: deque[Lease[U]] = deque()

    def lease(
        self,
        *,
        kinds: Collection[str] | None = None,
        avoid: Collection[Token[U]] = (),
        deadline: float | None = None,
    ) -> Lease[U]:
        """Return a place in line for a token of one of *kinds* (None: of any); a context manager.

        Inside its block `Lease.wait` gives the token. How the block ends decides what
        becomes of it: `TokenRejected` sets it aside, `TokenLimited` lets it rest, all
        else, a hang-up too, costs it nothing. *avoid* are tokens that were tried for the
        same request; *deadline*, on the rotator's clock, ends a wait that began before.
        """
        if deadline is None:
            deadline = self._clock() + self._patience
        tried = frozenset(avoid)
        return Lease(
            self,
            lambda token: token not in tried and (kinds is None or token.kind in kinds),
            deadline,
        )

    @property
    def patience(self) -> float:
        """Seconds that a request stands in line."""
        return self._patience

    def now(self) -> float:
        """The time on the rotator's clock."""
        return self._clock()

    def census(self) -> dict[str, int]:
        """How many tokens there are in each state: `free`, `in_use`, `resting`, `retired`;
        and how many requests stand in line: `waiting`."""
        with self._lock:
            now = self._clock()
            counts = dict.fromkeys(("free", "in_use", "resting", "retired"), 0)
            for token in self._tokens:
                if token.retired is not None:
                    counts["retired"] += 1
                elif token.is_free(now):
                    counts["free"] += 1
                elif token.in_use >= token.concurrency:
                    counts["in_use"] += 1
                else:
                    counts["resting"] += 1
            return {**counts, "waiting": len(self._line)}

    def accepted(self) -> list[Token[U]]:
        """All tokens but those that Poe rejected."""
        with self._lock:
            return [token for token in self._tokens if token.retired is None]

    def exhausted(self) -> list[Token[U]]:
        """The watched tokens that rest because they are out of points."""
        with self._lock:
            return [
                token
                for token in self._tokens
                if token.exhausted and token.is_watched and token.retired is None
            ]

    def revive(self, token: Token[U]) -> None:
        """End the rest of a token that has points again."""
        with self._lock:
            token.exhausted, token.rests_until = False, -inf
            self._serve()
        log.info("%s has points again", token.label)

    def retire(self, token: Token[U], rejected: TokenRejected) -> None:
        """Set aside a token that Poe rejected outside of a lease."""
        with self._lock:
            self._judge(token, rejected)
            self._serve()

    # What a lease calls. All of it happens under the lock.

    def _join(self, lease: Lease[U]) -> None:
        with self._lock:
            self._line.append(lease)
            self._serve()
            if lease.token is None:
                self._refuse_hopeless(lease)

    def _look_again(self, lease: Lease[U]) -> float:
        """Serve the line; return the seconds after which *lease* should look once more."""
        with self._lock:
            now = self._clock()
            # Everybody in line looks for himself: a token that fits only others is theirs to see.
            if any(token.is_free(now) and lease.fits(token) for token in self._tokens):
                self._serve()
            if lease.token is not None:
                return 0.0
            self._refuse_hopeless(lease)
            rests = [token.rest(now) for token in self._tokens if lease.fits(token)]
            return min(lease.deadline - now, *(rest for rest in rests if rest > 0.0), inf)

    def _send(self, lease: Lease[U], deadline: float) -> float:
        """Count a use by *lease* from now on; return 0.0, or the seconds until it may be.

        Raises `NoTokenFree` if that is after *deadline*.
        """
        token = lease.token
        assert token is not None
        with self._lock:
            now = self._clock()
            uses = deque(token.used_at)
            if lease.lent_at is not None:
                # What was noted when it was lent held the place until now.
                with suppress(ValueError):
                    uses.remove(lease.lent_at)
            rest = max((limit.wait(uses, now) for limit in token.limits), default=0.0)
            if rest <= 0.0:
                token.waiting.discard(lease)
                token.used_at, lease.lent_at = uses, None
                token.note_use(now)
            elif now + rest > deadline:
                raise NoTokenFree(
                    "The Poe account that answers this request has to rest before it goes on, "
                    "for longer than a request may wait.",
                    retry_after=ceil(rest),
                )
            else:
                token.waiting.add(lease)
            return rest

    def _leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        with self._lock:
            if lease in self._line:
                self._line.remove(lease)
            token, lease.token = lease.token, None
            if token is None:
                return
            token.in_use -= 1
            token.waiting.discard(lease)
            self._judge(token, failure)
            self._serve()

    def _judge(self, token: Token[U], failure: BaseException | None) -> None:
        now = self._clock()
        match failure:
            case TokenRejected():
                token.retired = failure.message
                log.warning("%s is set aside: %s", token.label, failure.message)
                return
            case TokenExhausted():
                token.exhausted = True
                usual = REST_EXHAUSTED
            case TokenLimited():
                usual = REST_LIMITED
            case UpstreamBlocked():
                usual = REST_BLOCKED
            case _:
                return
        rest = usual if failure.retry_after is None else max(failure.retry_after, REST_AT_LEAST)
        if token.exhausted and token.is_watched:
            rest = inf
        token.rests_until = max(token.rests_until, now + rest)
        how_long = "until it has points again" if rest == inf else f"for {rest:.0f} s"
        log.warning("%s rests %s: %s", token.label, how_long, failure)

    def _serve(self) -> None:
        """Give every free token to the first in line whom it fits."""
        if not self._line:
            return
        now = self._clock()
        free = [token for token in self._tokens if token.is_free(now)]
        for lease in tuple(self._line):
            if not free:
                return
            token = next((one for one in free if lease.fits(one)), None)
            if token is None:
                continue
            self._line.remove(lease)
            self._lend(token, lease, now)
            if not token.is_free(now):
                free.remove(token)

    def _lend(self, token: Token[U], lease: Lease[U], now: float) -> None:
        token.in_use += 1
        token.exhausted = False
        token.note_use(now)
        self._tokens.remove(token)
        # Behind all of its rank: the next one in turn comes first.
        behind = sum(1 for other in self._tokens if other.rank <= token.rank)
        self._tokens.insert(behind, token)
        lease.token, lease.lent_at = token, now
        lease.served.set()
        log.debug("%s is lent", token.label)

    def _refuse_hopeless(self, lease: Lease[U]) -> None:
        """Raise if *lease* cannot be served before its deadline."""
        now = self._clock()
        alive = [token for token in self._tokens if lease.fits(token) and token.retired is None]
        if not alive:
            self._line.remove(lease)
            raise NoTokenLeft(
                "Poe accepts none of the tokens that could serve this request; "
                "the operator has to renew them."
            )
        # A token in use may come back at any moment, but not before its rest is over.
        soonest = min(token.rest(now) for token in alive)
        if now >= lease.deadline or now + soonest > lease.deadline:
            self._line.remove(lease)
            if all(token.exhausted for token in alive):
                raise NoPointsLeft(
                    "Every Poe account that could serve this request is out of points.",
                    retry_after=None if soonest == inf else soonest,
                )
            wait = max(1, ceil(soonest))
            raise NoTokenFree(
                "All Poe accounts are in use or resting; "
                f"one will be free in about {wait} s. More accounts, or a smaller COOL_DOWN "
                "or larger RATE_LIMIT, shorten the wait.",
                retry_after=wait,
            )


class Lease(Generic[U]):
    """A place in line, and then the token; given back at the end of the block."""

    def __init__(
        self, rotator: TokenRotator[U], fits: Callable[[Token[U]], bool], deadline: float
    ) -> None:
        self.fits = fits
        self.deadline = deadline
        self.token: Token[U] | None = None
        self.served = threading.Event()
        #: Never set: a wait that has nothing to wait for but time.
        self._pause = threading.Event()
        #: When the token was lent, until something is sent.
        self.lent_at: float | None = None
        #: When a wait to send ends.
        self._send_by: float | None = None
        self._rotator = rotator

    def __enter__(self) -> Self:
        self._rotator._join(self)
        return self

    def wait(self, seconds: float) -> Token[U] | None:
        """Return the token, or None if *seconds* went by without one.

        Raises `NoTokenFree` or `NoPointsLeft` once the deadline is over, or as soon as it
        is clear that no token will be free before it; `NoTokenLeft` if there is none that
        Poe accepts.
        """
        if self.token is None:
            again = self._rotator._look_again(self)
            if self.token is None:
                self.served.wait(min(seconds, again))
                if self.token is None and again <= seconds:
                    self._rotator._look_again(self)
        return self.token

    def may_send(self, seconds: float) -> bool:
        """Return whether a request may go out now, or False after *seconds*.

        A use counts from when it is sent, and what is sent twice counts twice: the token's
        rest and limits hold within a lease too. Raises `NoTokenFree` if the wait would be
        longer than one in line may be.
        """
        if self._send_by is None:
            self._send_by = self._rotator.now() + self._rotator.patience
        rest = self._rotator._send(self, self._send_by)
        if rest > 0.0:
            self._pause.wait(min(seconds, rest))
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
