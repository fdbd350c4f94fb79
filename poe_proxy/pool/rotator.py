"""Lends tokens to requests, and keeps the line of those that wait for one."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from math import ceil, inf
from typing import Final, Generic, TypeVar

from poe_proxy.errors import NoTokenFree, PoeProxyError, TokenHeldBack, UpstreamError
from poe_proxy.pool import refusals
from poe_proxy.pool.alarm import Alarm
from poe_proxy.pool.forecast import Future
from poe_proxy.pool.leases import Lease
from poe_proxy.pool.ledger import Ledger, Standing, TokenState, Want
from poe_proxy.pool.line import Line
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.prospects import ROUNDING, Prospects
from poe_proxy.pool.tokens import Token, by_name

__all__ = ["Lease", "Token", "TokenRotator"]

log = logging.getLogger(__name__)

U = TypeVar("U")

#: What holds a use back that is lent already, and is not for its own limits to say.
_HELD_BACK: Final = frozenset(Standing) - {Standing.RESTING, Standing.FIT}


class TokenRotator(Generic[U]):
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
        self._places = places
        self._points_check = points_check
        self._clock = clock
        self._when_left = when_left
        #: Held while the line changes, and while it is served: so the line is served in order.
        self._lock = threading.Lock()
        self._tokens: dict[str, Token[U]] = {}
        self._kinds: frozenset[str] = frozenset()
        #: When each lease was served that has a token, by the token, and by the id of the lease.
        self._lent: dict[Token[U], dict[str, float]] = {}
        #: The names of the tokens that fit, by what a lease wants.
        self._fitting: dict[tuple[frozenset[str] | None, frozenset[str], str], frozenset[str]] = {}
        self._line: Line[Lease[U]] = Line()
        self._prospects = Prospects(self._futures)
        #: When time alone may let the line be served.
        self._due = inf
        self._alarm = Alarm(self.serve_due, name="line")
        #: Ids of leases are used once, whatever process they come from.
        self._ids = map((secrets.token_hex(4) + "-{:x}").format, count())
        #: Tokens whose balance is in doubt, by name.
        self._doubted: dict[str, Token[U]] = {}
        #: What Poe said of a token that had no points for a bot, by both.
        self._short: dict[tuple[str, str], str] = {}
        #: Set when a token may have to be looked at sooner than was known.
        self.look = threading.Event()
        self._enlist(by_name(tokens))

    # ---- the pool

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of token in the pool."""
        return self._kinds

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
    ) -> Lease[U]:
        """Return a place in line for a token of one of *kinds* (None: of any); a context manager.

        Inside its block `Lease.wait` gives the token. How the block ends decides what becomes of
        it: an `UpstreamError` may make it rest or set it aside, as its class says; anything else,
        such as a hang-up, costs it nothing. *avoid* are tokens that were tried for the same
        request; *deadline*, on the rotator's clock, ends a wait that began before; *bot* is the
        handle of the bot that will be asked. Of one *client*, requests whose answer *streams* go
        before the others. Without *probes* a token that failed a moment ago is not lent if
        another one can serve in time.
        """
        return Lease(
            self,
            next(self._ids),
            kinds=kinds,
            avoid=frozenset(token.name for token in avoid),
            deadline=self._clock() + self._patience if deadline is None else deadline,
            bot=bot,
            client=client,
            streams=streams,
            probes=probes,
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
            now = self._clock()
            before = self._tokens
            self._enlist(named)
            self._patience = self._patience if patience is None else patience
            self._places = self._places if places is None else places
            self._points_check = self._points_check if points_check is None else points_check
            for lease in self._line:
                lease.names = self._fits(lease)
            self._serve(now)
            self._refuse_hopeless(now)
            gone = [token for token in before.values() if self._has_left(token)]
        self.look.set()
        for token in gone:
            self._tell(token)

    def _enlist(self, tokens: dict[str, Token[U]]) -> None:
        for token in tokens.values():
            self._ledger.enlist(
                token.name, rank=token.rank, concurrency=token.concurrency, limits=token.limits
            )
            self._lent.setdefault(token, {})
        for name in self._tokens.keys() - tokens.keys():
            self._ledger.withdraw(name)
        self._tokens = tokens
        self._kinds = frozenset(token.kind for token in tokens.values())
        self._fitting.clear()
        self._prospects.enlist(tokens)

    def _has_left(self, token: Token[U]) -> bool:
        """Return whether *token* is out of the pool, and no lease has it; then it is forgotten."""
        if self._tokens.get(token.name) is token or self._lent.get(token, True):
            return False
        del self._lent[token]
        return True

    def _tell(self, token: Token[U]) -> None:
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
        """Return how many tokens are `free`, `in_use`, `resting`, `limited`, `out_of_points`,
        `suspended` and `retired`; and how many requests are in line: `waiting`."""
        counts = dict.fromkeys(("free", "in_use", *(one for one in Standing if one != "fit")), 0)
        with self._lock:
            tokens = self._tokens
            counts["waiting"] = len(self._line)
            states = self._ledger.state(tokens)
        for name, state in states.items():
            if state.is_free:
                counts["free"] += 1
            elif state.rest < inf and (
                state.in_use >= tokens[name].concurrency or state.standing is Standing.FIT
            ):
                counts["in_use"] += 1
            else:
                counts[state.standing] += 1
        return {str(name): number for name, number in counts.items()}

    def states(self) -> list[tuple[Token[U], TokenState]]:
        """Return all tokens, with what is known of each."""
        tokens = self._tokens
        states = self._ledger.state(tokens)
        return [(token, states[name]) for name, token in tokens.items()]

    def accepted(self) -> list[Token[U]]:
        """Return all tokens but those that are set aside."""
        return [token for token, state in self.states() if state.standing not in refusals.SET_ASIDE]

    def exhausted(self) -> list[Token[U]]:
        """Return the tokens that rest because they are out of points."""
        return [token for token, state in self.states() if state.standing is Standing.OUT_OF_POINTS]

    def doubted(self) -> list[Token[U]]:
        """Return the tokens that had no points for some bot: whether they have any is not known
        until `exhaust` or `trust`."""
        return [
            token for name, token in list(self._doubted.items()) if self._tokens.get(name) is token
        ]

    # ---- what a look at a token finds

    def trust(self, token: Token[U]) -> None:
        """Note that the account has points, so that only one bot was too dear."""
        self._doubted.pop(token.name, None)

    def exhaust(self, token: Token[U], reason: str) -> None:
        """Let a token rest whose account is out of points, until `revive`."""
        with self._lock:
            self._doubted.pop(token.name, None)
            self._ledger.exhaust(token.name, reason)
            self._lose(token)
        log.warning("%s rests until it has points again: %s", token.label, reason)

    def revive(self, token: Token[U]) -> None:
        """Lend a token again that Poe takes, and whose account has points."""
        with self._lock:
            self._doubted.pop(token.name, None)
            self._ledger.revive(token.name)
            self._prospects.changed(token.name)
            self._serve(self._clock())
        log.info("%s is lent again", token.label)

    def suspend(self, token: Token[U], refusal: UpstreamError) -> None:
        """Set aside a token that Poe refused."""
        with self._lock:
            refusals.suspend(self._ledger, token, refusal)
            self._lose(token)
        self.look.set()

    def _lose(self, token: Token[U]) -> None:
        """Refuse those in line that waited for a token which will not come."""
        self._prospects.changed(token.name)
        self._refuse_hopeless(self._clock())

    # ---- the line

    def serve_due(self) -> float:
        """Serve the line if its time has come; return the seconds until it is time again."""
        with self._lock:
            now = self._clock()
            if now >= self._due:
                self._serve(now)
            return self._due - now

    def _serve(self, now: float) -> None:
        """Give every free token to the first in line that it fits."""
        if not self._line:
            self._wake(inf, now)
            return
        line = self._line.in_order(now)
        served = self._ledger.serve(
            Want(lease.id, lease.names, lease.bot, max(0.0, lease.deadline - now), lease.probes)
            for lease in line
        )
        if served.lent:
            self._prospects.line_changed()
            for lease in line:
                if lease.id in served.lent:
                    self._line.remove(lease)
                    self._grant(lease, served.lent[lease.id], now)
        self._wake(now + served.due if self._line else inf, now)

    def _wake(self, due: float, now: float) -> None:
        """Let the line be served when it is *due*."""
        if due != self._due:
            self._due = due
            self._alarm.set(max(0.0, due - now))

    def _grant(self, lease: Lease[U], name: str, now: float) -> None:
        lease.token = token = self._tokens[name]
        lease.lent = now
        self._lent[token][lease.id] = now
        self._prospects.changed(name)
        if lease.called is not None:
            lease.called.set()
        log.debug("%s is lent", token.label)

    def _refuse_hopeless(self, now: float) -> None:
        """Refuse those in line that cannot be served before their deadline any more."""
        if not self._line:
            return
        line = self._line.in_order(now)
        late = [line[number] for number in self._prospects.hopeless(line, now)]
        for lease in late:
            self._line.remove(lease)
            self._prospects.line_changed()
        for lease in late:
            lease.refusal = self._refusal(lease, now)
            assert lease.called is not None
            lease.called.set()

    def _refusal(self, lease: Lease[U], now: float) -> PoeProxyError:
        """Return why no token will serve *lease* in time, and when it may come again."""
        if lease.names and not self._prospects.is_held(lease, now):
            return refusals.not_free(self._promise(lease, now) - now)
        states = self._ledger.state(lease.names, bot=lease.bot)
        alive = {
            name: state
            for name, state in states.items()
            if state.standing not in refusals.SET_ASIDE
        }
        if not alive:
            return refusals.no_token_left(states.values())
        limited = {
            name: state
            for name, state in alive.items()
            if state.standing is not Standing.OUT_OF_POINTS
        }
        bot = lease.bot.casefold()
        if all(self._short.get((name, bot)) == state.reason for name, state in limited.items()):
            return refusals.no_points_left(alive.values())
        return refusals.limited(limited.values(), self._promise(lease, now) - now)

    def _promise(self, lease: Lease[U], now: float) -> float:
        return self._prospects.promise(lambda: self._line.in_order(now), lease, now)

    def _futures(self, names: Collection[str], now: float) -> Mapping[str, Future]:
        """Return what is to be expected of the tokens of the pool that are among *names*."""
        names = [name for name in names if name in self._tokens]
        outlooks = self._ledger.outlook(names)
        futures = {}
        for name in names:
            token = self._tokens[name]
            habits = self._prospects.habits(token.kind)
            futures[name] = Future.read(
                outlooks[name],
                now,
                rank=token.rank,
                concurrency=token.concurrency,
                limits=token.limits,
                began=self._lent[token].values(),
                lag=habits.lag.at_least,
                lasts=habits.lasts.at_least,
            )
        return futures

    # ---- for leases

    def _fits(self, lease: Lease[U]) -> frozenset[str]:
        """Return the names of the tokens that fit *lease*."""
        wanted = (lease.kinds, lease.avoid, lease.bot)
        names = self._fitting.get(wanted)
        if names is None:
            if len(self._fitting) > 1000:
                # Names of bots are for the clients to choose.
                self._fitting.clear()
            kinds, avoid, bot = wanted
            names = self._fitting[wanted] = frozenset(
                name
                for name, token in self._tokens.items()
                if name not in avoid
                and (kinds is None or token.kind in kinds)
                and token.serves(bot)
            )
        return names

    def _join(self, lease: Lease[U]) -> None:
        """Let *lease* have a token, or a place in line; raises if there is no hope of any."""
        with self._lock:
            now = self._clock()
            if now >= self._due:
                self._serve(now)
            lease.names = self._fits(lease)
            within = max(0.0, lease.deadline - now)
            # Those in line were served as soon as they could be: what is free fits none of them.
            served = self._ledger.serve(
                (Want(lease.id, lease.names, lease.bot, within, lease.probes),)
            )
            if served.lent:
                self._grant(lease, served.lent[lease.id], now)
            else:
                self._queue(lease, now)
                self._wake(min(self._due, now + served.due), now)

    def _queue(self, lease: Lease[U], now: float) -> None:
        if len(self._line) >= self._places:
            raise self._refusal(lease, now)
        lease.joined = now
        overtakes = self._line.would_overtake(lease)
        if not overtakes:
            at = self._prospects.at_end(lambda: self._line.in_order(now), lease, now)
        else:
            self._line.add(lease)
            self._prospects.line_changed()
            at = self._prospects.within(self._line.in_order(now), lease, now)
        if at > lease.deadline + ROUNDING:
            self._line.remove(lease)
            raise self._refusal(lease, now)
        lease.called = threading.Event()
        if overtakes:
            self._refuse_hopeless(now)
        else:
            self._line.add(lease)
            self._prospects.joined(lease, now)

    def _await(self, lease: Lease[U], called: threading.Event, seconds: float) -> None:
        """Return once *lease* has its token, or after *seconds*; raises if it is refused."""
        now = self._clock()
        if now >= self._due:
            # The alarm is late.
            self.serve_due()
        called.wait(max(0.0, min(seconds, lease.deadline - now)))
        if not called.is_set() and self._clock() >= lease.deadline:
            self._give_up(lease)
        if lease.refusal is not None:
            raise lease.refusal

    def _give_up(self, lease: Lease[U]) -> None:
        """Let *lease*, whose time is over, leave the line."""
        with self._lock:
            now = self._clock()
            if now >= self._due:
                self._serve(now)
            if self._line.remove(lease):
                self._prospects.line_changed()
                lease.refusal = self._refusal(lease, now)

    def _send(self, lease: Lease[U], deadline: float) -> float:
        """Count a use by *lease* from now on; return 0.0, or the seconds until it may be.

        Raises `NoTokenFree` if that is after *deadline*, `TokenHeldBack` if Poe is the reason.
        """
        token = lease.token
        assert token is not None
        with self._lock:
            wait = self._ledger.use(lease.id)
            self._prospects.changed(token.name)
            if wait <= 0.0:
                lease.is_on_its_way = True
                if lease.is_held_up:
                    # While it waited, the token was kept from the line.
                    lease.is_held_up = False
                    self._serve(self._clock())
                return 0.0
            lease.is_held_up = True
            state = self._ledger.state((token.name,), bot=lease.bot)[token.name]
        if state.standing in _HELD_BACK:
            raise TokenHeldBack(
                "The Poe account that was to answer this request may not be used now: "
                + state.reason,
                retry_after=None if wait == inf else ceil(wait),
            )
        if self._clock() + wait > deadline:
            raise NoTokenFree(
                "The Poe account that answers this request has to rest before it goes on, "
                "for longer than a request may wait.",
                retry_after=ceil(wait),
            )
        return wait

    def _arrived(self, lease: Lease[U]) -> None:
        token = lease.token
        if token is None:
            return
        with self._lock:
            lease.is_on_its_way = False
            self._ledger.arrived(lease.id)
            self._prospects.changed(token.name)
            now = self._clock()
            if not lease.has_sent:
                lease.has_sent = True
                self._prospects.habits(token.kind).lag.note(now - lease.lent)
            if self._line:
                # It counts from an earlier moment now, so the token may be lent sooner.
                self._serve(now)

    def _worked(self, lease: Lease[U]) -> None:
        token = lease.token
        if token is None:
            return
        with self._lock:
            lease.has_worked = True
            self._ledger.clear(token.name, bot=lease.bot)
            if self._line:
                self._serve(self._clock())

    def _leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        with self._lock:
            if self._line.remove(lease):
                self._prospects.line_changed()
                self._wake(self._due if self._line else inf, self._clock())
            token, lease.token = lease.token, None
            if token is None:
                return
            now = self._clock()
            self._prospects.changed(token.name)
            # The verdict first: once the token is given back, it may be lent.
            is_held = isinstance(failure, UpstreamError) and self._judge(lease, token, failure)
            self._ledger.give_back(lease.id)
            del self._lent[token][lease.id]
            self._prospects.habits(token.kind).lasts.note(now - lease.lent)
            if self._line:
                self._serve(now)
                if is_held:
                    self._refuse_hopeless(now)
            has_left = self._has_left(token)
        if has_left:
            self._tell(token)

    def _judge(self, lease: Lease[U], token: Token[U], failure: UpstreamError) -> bool:
        is_held = refusals.judge(
            self._ledger, token, lease.bot, failure, points_check=self._points_check
        )
        if failure.suspends or failure.is_out_of_points:
            if not failure.suspends:
                self._doubted[token.name] = token
                self._short[token.name, lease.bot.casefold()] = failure.message
            self.look.set()
        return is_held
