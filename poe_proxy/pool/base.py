"""The pool as requests see it, wherever what is known of its tokens is kept."""

from __future__ import annotations

import logging
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from math import ceil, inf
from typing import Any, Final, TypeVar

from poe_proxy import logs
from poe_proxy.errors import TokenHeldBack, UpstreamError
from poe_proxy.pool import refusals
from poe_proxy.pool.known import DayUses, KnownPoints
from poe_proxy.pool.leases import Lease, Lender
from poe_proxy.pool.ledger import Ledger, Standing, TokenState
from poe_proxy.pool.line.order import USUAL
from poe_proxy.pool.members import Members
from poe_proxy.pool.tokens import Token
from poe_proxy.values import value

log = logging.getLogger(__name__)
audit = logging.getLogger(logs.AUDIT)

U = TypeVar("U")

_NONE: Final[frozenset[str]] = frozenset()
#: Where Poe or the operator, and not its own limits, holds back a token.
HELD_BACK: Final = frozenset(Standing) - {Standing.RESTING, Standing.FIT}
#: Where only a look brings a token back, if anything does.
_OUT_OF_USE: Final = refusals.SET_ASIDE | {Standing.OUT_OF_POINTS}
#: How a token can be, in a word: see `condition`.
CONDITIONS: Final = (
    "free", "in_use", *(str(one) for one in Standing if one is not Standing.FIT)
)  # fmt: skip


def condition(token: Token[Any], state: TokenState) -> str:
    """Return how *token* is, in one of the words of `CONDITIONS`."""
    if state.is_free:
        return "free"
    is_full = state.in_use >= token.concurrency or state.standing is Standing.FIT
    return "in_use" if is_full and state.rest < inf else str(state.standing)


def counted(accounts: Iterable[tuple[Token[Any], TokenState]]) -> dict[str, int]:
    """Return how many tokens are how, by all words of `CONDITIONS`."""
    counts = dict.fromkeys(CONDITIONS, 0)
    for token, state in accounts:
        counts[condition(token, state)] += 1
    return counts


@value()
class LineState:
    """The line at one moment."""

    #: The requests that wait, and how many may.
    waiting: int
    places: int
    #: The seconds for which the first of them has waited; 0.0 if none does.
    longest: float


class Rotator(Lender[U], ABC):
    """Lends tokens, the least recently used first, to the first in line that they fit."""

    def __init__(
        self,
        members: Members[U],
        ledger: Ledger,
        *,
        patience: float,
        clock: Callable[[], float],
        points_check: float,
        when_left: Callable[[Token[U]], object] | None,
    ) -> None:
        self._members = members
        self._ledger = ledger
        self._patience = patience
        self._points_check = points_check
        self._clock = clock
        self._when_left = when_left
        #: Ids of leases are used once, whatever process they come from.
        self._ids = map((secrets.token_hex(4) + "-{:x}").format, count())
        #: Tokens whose balance is in doubt, by name.
        self._doubted: set[str] = set()
        #: Set when a look at a token may be due sooner than was known.
        self.look = threading.Event()
        #: The points of each account, as Poe said last, and its uses of today; by token name.
        self.points = KnownPoints()
        #: When each account was last asked for its points, on the rotator's clock; by name.
        self.looked_at: dict[str, float] = {}
        self.day_uses = DayUses()

    # ---- the pool

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of token in the pool."""
        return self._members.kinds

    @property
    def patience(self) -> float:
        """The most seconds that a request waits in line."""
        return self._patience

    @property
    def points_check(self) -> float:
        """Seconds after which the balance of a token without points is asked for again."""
        return self._points_check

    def now(self) -> float:
        """Return the time on the rotator's clock."""
        return self._clock()

    def lease(
        self,
        *,
        kinds: Collection[str] | None = None,
        avoid: Collection[Token[U]] = (),
        deadline: float | None = None,
        bot: str = "",
        client: str = "",
        streams: bool = False,
        probes: bool = True,
        accounts: frozenset[str] = _NONE,
        priority: int = USUAL,
    ) -> Lease[U]:
        """Return a place in line for a token of one of *kinds* (None: of any); a context manager.

        Inside its block `Lease.wait` gives the token. How the block ends decides what becomes of
        it: an `UpstreamError` may make it rest or set it aside, as its class says; anything else,
        such as a hang-up, costs it nothing. *avoid* are tokens that were tried for the same
        request; *deadline*, on the rotator's clock, ends a wait that began before; *bot* is the
        handle of the bot that will be asked. Of one *client*, requests whose answer *streams* go
        before the others. Without *probes* a token that failed a moment ago is not lent if
        another one can serve in time. *accounts* are the labels of the tokens that will do, if
        not all; of two that wait for the same tokens, the one of the higher *priority* goes first,
        as `Line` says.
        """
        return Lease(
            self,
            next(self._ids),
            kinds=kinds,
            avoid=frozenset(token.name for token in avoid) if avoid else _NONE,
            deadline=self._clock() + self._patience if deadline is None else deadline,
            bot=bot,
            client=client,
            streams=streams,
            probes=probes,
            accounts=accounts,
            priority=priority,
        )

    @abstractmethod
    def replace(
        self,
        tokens: Iterable[Token[U]],
        *,
        patience: float | None = None,
        places: int | None = None,
        points_check: float | None = None,
    ) -> None:
        """Lend these tokens instead of those that there were, in one step; leases go on.

        What is known of a token stays with its name. A request in line that none of them can
        serve in time is refused. The other values, where given, hold from now on too. Raises
        `ValueError` as the constructor does; then nothing has changed.
        """

    def _has_left(self, token: Token[U]) -> None:
        log.info("%s has left the pool", token.label)
        if self._when_left is not None:
            try:
                self._when_left(token)
            except Exception:  # the request that had it last has no part in this
                log.exception("%s was not closed", token.label)

    @abstractmethod
    def close(self) -> None:
        """End the thread that serves the line; nothing waits for it."""

    # ---- what is known

    @abstractmethod
    def census(self) -> dict[str, int]:
        """Return how many tokens are `free`, `in_use`, `resting`, `limited`, `paused`,
        `out_of_points`, `suspended` and `retired`, as `condition` says; and how many requests are
        in line: `waiting`."""

    @abstractmethod
    def line(self) -> LineState:
        """Return how many requests are in line, and how long they have waited."""

    def states(self) -> list[tuple[Token[U], TokenState]]:
        """Return all tokens, with what is known of each."""
        tokens = self._members.tokens
        states = self._ledger.state(tokens)
        return [(token, states[name]) for name, token in tokens.items()]

    def uses(self) -> Mapping[str, Sequence[float]]:
        """Return how many seconds ago each use was that the limits of a token remember, by its
        name."""
        outlooks = self._ledger.outlook(self._members.tokens)
        return {name: outlook.uses for name, outlook in outlooks.items()}

    def accepted(self) -> list[Token[U]]:
        """Return all tokens but those that are set aside."""
        return [token for token, state in self.states() if state.standing not in refusals.SET_ASIDE]

    def doubted(self) -> list[Token[U]]:
        """Return the tokens that had no points for some bot: whether they have any is not known
        until `exhaust` or `trust`. One that is out of use has looks of its own, or none."""
        return [
            token
            for token, state in self.states()
            if token.name in self._doubted and state.standing not in _OUT_OF_USE
        ]

    # ---- what a look at a token finds

    def may_ask(self, token: Token[U], seconds: float) -> bool | None:
        """Return whether Poe may be asked about the account of *token* from here: then nobody else
        may for so many *seconds*, or only not at the same time if there are none. None: nobody can
        say so now."""
        return True

    def trust(self, token: Token[U]) -> None:
        """Note that the account has points, so that only one bot was too dear."""
        self._doubted.discard(token.name)

    def exhaust(self, token: Token[U], reason: str) -> None:
        """Let a token rest whose account is out of points, until `revive`."""
        self._doubted.discard(token.name)
        self._change(token, lambda: self._ledger.exhaust(token.name, reason), holds=True)
        audit.warning("%s rests until it has points again: %s", token.label, reason)
        self.look.set()

    def revive(self, token: Token[U]) -> None:
        """Lend a token again: Poe accepts it, and its account has points. What else holds it back
        goes on."""
        self._doubted.discard(token.name)
        self._change(token, lambda: self._ledger.revive(token.name), frees=True)
        audit.info("%s is lent again", token.label)

    def suspend(self, token: Token[U], refusal: UpstreamError) -> None:
        """Suspend a token that Poe refused."""
        self._change(token, lambda: refusals.suspend(self._ledger, token, refusal), holds=True)
        self.look.set()

    # ---- what the operator says

    def pause(self, token: Token[U], seconds: float) -> None:
        """Let a token rest for *seconds*, or with `inf` until `bring_back`; its leases go on."""
        # It may be shorter than the pause that there was.
        self._change(token, lambda: self._ledger.pause(token.name, seconds), holds=True, frees=True)
        end = "until it is brought back" if seconds == inf else f"for {seconds:.0f} s"
        log.info("%s rests %s: the operator says so", token.label, end)

    def bring_back(self, token: Token[U]) -> None:
        """Lend a token again, whatever Poe or the operator said of it; its own limits hold."""
        self._doubted.discard(token.name)
        self._change(token, lambda: self._ledger.bring_back(token.name), frees=True)
        self.look.set()
        log.info("%s is lent again: the operator says so", token.label)

    @abstractmethod
    def _change(
        self,
        token: Token[U],
        verb: Callable[[], object],
        *,
        holds: bool = False,
        frees: bool = False,
    ) -> None:
        """Call *verb*, which says something of *token* to the ledger, and let the line know that
        this *holds* it back, or *frees* it."""

    # ---- the line

    @abstractmethod
    def serve_due(self) -> float:
        """Serve the line if its time has come; return the seconds until it is time again."""

    # ---- for leases: see `Lender`

    def _patiently(self, wait: float, state: TokenState, deadline: float) -> float:
        """Return *wait*, the seconds until a lease may use its token, which is in that *state*;
        raises as `Lender.use` does."""
        if state.standing in HELD_BACK:
            raise TokenHeldBack(
                "The Poe account that was to answer this request may not be used now."
                + refusals.said(state.reason),
                retry_after=None if wait == inf else ceil(wait),
            )
        if self._clock() + wait > deadline:
            raise TokenHeldBack(
                "The Poe account that was to answer this request has to rest before it goes on, "
                "for longer than a request may wait.",
                retry_after=ceil(wait),
            )
        return wait

    def _judge(self, token: Token[U], bot: str, failure: UpstreamError) -> bool:
        """Do to *token* what the class of *failure* says; return whether that holds it back."""
        is_held = refusals.judge(self._ledger, token, bot, failure, points_check=self._points_check)
        if failure.suspends:
            self.look.set()
        elif failure.is_out_of_points:
            self._doubted.add(token.name)
            self.look.set()
        return is_held
