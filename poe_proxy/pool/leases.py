"""A request's way to a token, and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from poe_proxy.errors import PoeProxyError, UpstreamError
from poe_proxy.pool.tokens import Token

U = TypeVar("U")


class Lender(Protocol[U]):
    """What a lease needs of its pool. Each verb is one step: several threads may call at once."""

    @property
    def patience(self) -> float:
        """The most seconds that a request waits."""

    def now(self) -> float:
        """Return the time on the pool's clock."""

    def join(self, lease: Lease[U]) -> None:
        """Let *lease* have a token, or a place in line; raises if there is no hope of any."""

    def wait_for(self, lease: Lease[U], called: threading.Event, seconds: float) -> None:
        """Return once *lease* has its token or is woken, or after *seconds*; raises if it is
        refused."""

    def use(self, lease: Lease[U], deadline: float) -> float:
        """Count a use by *lease* from now on and return 0.0, or return the seconds until it may be.

        Raises `TokenHeldBack` if that is after *deadline*, or if Poe is the reason.
        """

    def arrived(self, lease: Lease[U]) -> None:
        """Note that what *lease* sent last had arrived at Poe by now."""

    def worked(self, lease: Lease[U]) -> None:
        """Note that the bot said something in answer to *lease*."""

    def refused(self, lease: Lease[U], failure: UpstreamError) -> None:
        """Note that the token of *lease*, which it may have given back, met *failure*."""

    def leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        """Take back the token of *lease*, or its place; *failure* is what ended its block."""


class Lease(Generic[U]):
    """A place in line, and then the token; given back at the end of the block.

    It holds what it wants, never a list of tokens: these may change while it waits.
    """

    def __init__(
        self,
        pool: Lender[U],
        id: str,
        *,
        kinds: Collection[str] | None,
        avoid: frozenset[str],
        deadline: float,
        bot: str,
        client: str,
        streams: bool,
        probes: bool,
        accounts: frozenset[str],
        priority: int,
    ) -> None:
        #: Its name in the ledger.
        self.id = id
        #: Which kinds of token will do; None: any.
        self.kinds = kinds if kinds is None else frozenset(kinds)
        #: The names of those that will not.
        self.avoid = avoid
        #: When it leaves the line.
        self.deadline = deadline
        self.bot = bot
        self.client = client
        self.streams = streams
        self.probes = probes
        #: The labels of the tokens that will do; empty: any.
        self.accounts = accounts
        self.priority = priority
        self.token: Token[U] | None = None
        #: The token that it gave back.
        self.returned: Token[U] | None = None
        #: When it came into the line; and when it was served.
        self.joined = self.lent = 0.0
        #: The names of the tokens that fit it.
        self.names: frozenset[str] = frozenset()
        #: Set once it is served, refused or woken; None unless it has to wait.
        self.called: threading.Event | None = None
        #: Why it was turned away from the line.
        self.refusal: PoeProxyError | None = None
        #: Whether it holds the token while it waits for its next use.
        self.is_held_up = False
        #: Whether something was sent that may not have arrived; and whether anything was.
        self.is_on_its_way = self.has_sent = False
        #: Whether the bot said something.
        self.has_worked = False
        #: When a wait to send ends.
        self._send_by: float | None = None
        self._pool = pool

    def __enter__(self) -> Self:
        self._pool.join(self)
        return self

    def wait(self, seconds: float) -> Token[U] | None:
        """Return the token, or None if *seconds* went by without one, or `wake` ended the wait.

        Raises `NoTokenFree` or `NoPointsLeft` once the deadline is over, or as soon as it
        is clear that no token will be free before it; `NoTokenLeft` or `UpstreamBlocked` if Poe
        accepts none.
        """
        if self.token is None and self.called is not None:
            self._pool.wait_for(self, self.called, seconds)
        return self.token

    def wake(self) -> None:
        """End the present wait for the token, or the next one, in whatever thread it is."""
        if self.called is not None:
            self.called.set()

    def may_send(self, seconds: float) -> bool:
        """Return whether a request may be sent now; if not, after *seconds* at most.

        A use counts from when it is sent, and what is sent twice counts twice: the token's
        rest and limits hold within a lease too. Raises `TokenHeldBack` if the wait would be
        longer than a request may wait in line, or if Poe has limited the token meanwhile, or
        refuses it.
        """
        if self._send_by is None:
            self._send_by = self._pool.now() + self._pool.patience
        wait = self._pool.use(self, self._send_by)
        if wait > 0.0:
            time.sleep(min(seconds, wait))
            return False
        self._send_by = None
        return True

    def arrived(self) -> None:
        """Note that what was sent last had arrived at Poe by now. May be called more than once."""
        if self.is_on_its_way:
            self._pool.arrived(self)

    def worked(self) -> None:
        """Note that the bot said something: what the token failed in before is over."""
        if not self.has_worked:
            self._pool.worked(self)

    def refused(self, failure: UpstreamError) -> None:
        """Note what Poe said of the token after the request's client had hung up: the block ends
        without it, or has ended."""
        self._pool.refused(self, failure)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.leave(self, failure)
