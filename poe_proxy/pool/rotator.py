"""Lends tokens to requests, and keeps the line of those that wait for one."""

from __future__ import annotations

import logging
import secrets
import threading
import time
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
from poe_proxy.pool.line.alarm import Alarm
from poe_proxy.pool.line.order import USUAL
from poe_proxy.pool.line.queue import Queue
from poe_proxy.pool.members import Members, by_name
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.tokens import Token
from poe_proxy.values import value

__all__ = ["Lease", "Token", "TokenRotator"]

log = logging.getLogger(__name__)
audit = logging.getLogger(logs.AUDIT)

U = TypeVar("U")

_NONE: Final[frozenset[str]] = frozenset()
#: Where Poe or the operator, and not its own limits, holds back a token that is lent already.
_HELD_BACK: Final = frozenset(Standing) - {Standing.RESTING, Standing.FIT}
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


@value()
class LineState:
    """The line at one moment."""

    #: The requests that wait, and how many may.
    waiting: int
    places: int
    #: The seconds for which the first of them has waited; 0.0 if none does.
    longest: float


class TokenRotator(Lender[U]):
    """Lends tokens, the least recently used first, to the first in line that they fit.

    The ledger decides which token may be lent; the line and the log are here.
    """

    def __init__(
        self,
        tokens: Iterable[Token[U]],
        *,
        patience: float = 30.0,
        places: int = 200,
        clock: Callable[[], float] = time.monotonic,
        ledger: Ledger | None = None,
        points_check: float = 300.0,
        when_left: Callable[[Token[U]], object] | None = None,
    ) -> None:
        """*patience* is how many seconds a request waits in line at most, on *clock*; *places* is
        how many may wait; *points_check* is for how many seconds a token without points for a bot
        is not lent for it.

        *when_left* is called with each token that `replace` took out of the pool, once, as soon
        as no lease has it; in the thread of that lease, so it must not wait.

        Without a *ledger*, what is known of the tokens is kept in this process. Raises
        `ValueError` if two tokens have the same name.
        """
        self._ledger = MemoryLedger(clock=clock) if ledger is None else ledger
        self._patience = patience
        self._points_check = points_check
        self._clock = clock
        self._when_left = when_left
        #: Held while the line changes, and while it is served: so the line is served in order.
        self._lock = threading.Lock()
        self._members: Members[U] = Members(self._ledger)
        self._members.replace(by_name(tokens))
        self._alarm = Alarm(self.serve_due, name="line")
        self._queue = Queue(self._ledger, self._members, places=places, wake=self._alarm.set)
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
        named = by_name(tokens)
        with self._lock:
            gone = self._members.replace(named)
            self._patience = self._patience if patience is None else patience
            self._queue.places = self._queue.places if places is None else places
            self._points_check = self._points_check if points_check is None else points_check
            self._queue.members_changed(self._clock())
        self.look.set()
        for token in gone:
            self._has_left(token)

    def _has_left(self, token: Token[U]) -> None:
        log.info("%s has left the pool", token.label)
        if self._when_left is not None:
            try:
                self._when_left(token)
            except Exception:  # the request that had it last has no part in this
                log.exception("%s was not closed", token.label)

    def close(self) -> None:
        """End the thread that serves the line; nothing waits for it."""
        self._alarm.close()

    # ---- what is known

    def census(self) -> dict[str, int]:
        """Return how many tokens are `free`, `in_use`, `resting`, `limited`, `paused`,
        `out_of_points`, `suspended` and `retired`, as `condition` says; and how many requests are
        in line: `waiting`."""
        counts = dict.fromkeys(CONDITIONS, 0)
        with self._lock:
            tokens = self._members.tokens
            counts["waiting"] = len(self._queue)
            states = self._ledger.state(tokens)
        for name, state in states.items():
            counts[condition(tokens[name], state)] += 1
        return counts

    def line(self) -> LineState:
        """Return how many requests are in line, and how long they have waited."""
        with self._lock:
            waiting, since = len(self._queue), self._queue.since()
        longest = 0.0 if since is None else max(0.0, self._clock() - since)
        return LineState(waiting, self._queue.places, longest)

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

    def trust(self, token: Token[U]) -> None:
        """Note that the account has points, so that only one bot was too dear."""
        self._doubted.discard(token.name)

    def exhaust(self, token: Token[U], reason: str) -> None:
        """Let a token rest whose account is out of points, until `revive`."""
        with self._lock:
            self._doubted.discard(token.name)
            self._ledger.exhaust(token.name, reason)
            self._queue.lost(token.name, self._clock())
        audit.warning("%s rests until it has points again: %s", token.label, reason)
        self.look.set()

    def revive(self, token: Token[U]) -> None:
        """Lend a token again: Poe accepts it, and its account has points. What else holds it back
        goes on."""
        with self._lock:
            self._doubted.discard(token.name)
            self._ledger.revive(token.name)
            self._queue.changed(token.name)
            self._queue.serve(self._clock())
        audit.info("%s is lent again", token.label)

    def suspend(self, token: Token[U], refusal: UpstreamError) -> None:
        """Suspend a token that Poe refused."""
        with self._lock:
            refusals.suspend(self._ledger, token, refusal)
            self._queue.lost(token.name, self._clock())
        self.look.set()

    # ---- what the operator says

    def pause(self, token: Token[U], seconds: float) -> None:
        """Let a token rest for *seconds*, or with `inf` until `bring_back`; its leases go on."""
        with self._lock:
            self._ledger.pause(token.name, seconds)
            self._queue.lost(token.name, self._clock())
            self._queue.serve(self._clock())
        end = "until it is brought back" if seconds == inf else f"for {seconds:.0f} s"
        log.info("%s rests %s: the operator says so", token.label, end)

    def bring_back(self, token: Token[U]) -> None:
        """Lend a token again, whatever Poe or the operator said of it; its own limits hold."""
        with self._lock:
            self._doubted.discard(token.name)
            self._ledger.bring_back(token.name)
            self._queue.changed(token.name)
            self._queue.serve(self._clock())
        self.look.set()
        log.info("%s is lent again: the operator says so", token.label)

    # ---- the line

    def serve_due(self) -> float:
        """Serve the line if its time has come; return the seconds until it is time again."""
        with self._lock:
            return self._queue.serve_due(self._clock())

    # ---- for leases: see `Lender`

    def join(self, lease: Lease[U]) -> None:
        with self._lock:
            self._queue.join(lease, self._clock())

    def wait_for(self, lease: Lease[U], called: threading.Event, seconds: float) -> None:
        now = self._clock()
        if now >= self._queue.due:
            # The alarm is late.
            self.serve_due()
        called.wait(max(0.0, min(seconds, lease.deadline - now)))
        if lease.token is None and lease.refusal is None:
            with self._lock:
                if self._clock() >= lease.deadline:
                    self._queue.give_up(lease, self._clock())
                if lease.token is None and lease.refusal is None:
                    called.clear()  # it was only woken, and may wait again
        if lease.refusal is not None:
            raise lease.refusal

    def use(self, lease: Lease[U], deadline: float) -> float:
        with self._lock:
            token = lease.token
            if token is None:
                # A sending thread may ask after its client has hung up.
                raise TokenHeldBack("The request was over before it was sent.")
            wait = self._ledger.use(lease.id)
            self._queue.changed(token.name)
            if wait <= 0.0:
                lease.is_on_its_way = True
                self.day_uses.add(token.name)
                if lease.is_held_up:
                    # While it waited, the token was not lent to the line.
                    lease.is_held_up = False
                    self._queue.serve(self._clock())
                return 0.0
            lease.is_held_up = True
            state = self._ledger.state((token.name,), bot=lease.bot)[token.name]
        if state.standing in _HELD_BACK:
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

    def arrived(self, lease: Lease[U]) -> None:
        token = lease.token
        if token is None:
            return
        with self._lock:
            lease.is_on_its_way = False
            self._ledger.arrived(lease.id)
            self._queue.changed(token.name)
            now = self._clock()
            if not lease.has_sent:
                lease.has_sent = True
                self._queue.habits(token.kind).lag.note(now - lease.lent)
            member = self._members.tokens.get(token.name)
            if member is None or not member.limits:
                return  # whenever it was sent: nothing counts it
            # It counts from an earlier moment now, so the token may be lent sooner.
            self._queue.serve(now)
            # And later than when it was lent, so the turn of some in line may be too late.
            self._queue.refuse_hopeless(now)

    def worked(self, lease: Lease[U]) -> None:
        token = lease.token
        if token is None:
            return
        with self._lock:
            lease.has_worked = True
            # To look through a line of 200 takes 0.1 ms: only where it may be served now.
            if self._ledger.clear(token.name, bot=lease.bot):
                self._queue.serve(self._clock())

    def refused(self, lease: Lease[U], failure: UpstreamError) -> None:
        with self._lock:
            if token := lease.token or lease.returned:
                self._judge(token, lease.bot, failure)
                self._queue.lost(token.name, self._clock())

    def leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        with self._lock:
            now = self._clock()
            token, lease.token = lease.token, None
            lease.returned = token
            if token is None:
                self._queue.leave(lease, now)
                return
            # The verdict first: once the token is given back, it may be lent.
            is_held = isinstance(failure, UpstreamError) and self._judge(token, lease.bot, failure)
            self._ledger.give_back(lease.id)
            has_left = self._members.give_back(token, lease.id)
            self._queue.habits(token.kind).lasts.note(now - lease.lent)
            self._queue.changed(token.name)
            self._queue.serve(now)
            if is_held:
                self._queue.refuse_hopeless(now)
        if has_left:
            self._has_left(token)

    def _judge(self, token: Token[U], bot: str, failure: UpstreamError) -> bool:
        """Do to *token* what the class of *failure* says; return whether that holds it back."""
        is_held = refusals.judge(self._ledger, token, bot, failure, points_check=self._points_check)
        if failure.suspends:
            self.look.set()
        elif failure.is_out_of_points:
            self._doubted.add(token.name)
            self.look.set()
        return is_held
