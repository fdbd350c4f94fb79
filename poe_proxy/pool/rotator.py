"""Lends tokens to requests, and keeps the line of those that wait for one, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from poe_proxy.errors import TokenHeldBack, UpstreamError
from poe_proxy.pool.base import CONDITIONS, LineState, Rotator, condition, counted
from poe_proxy.pool.leases import Lease
from poe_proxy.pool.ledger import Ledger
from poe_proxy.pool.line.alarm import Alarm
from poe_proxy.pool.line.queue import Queue
from poe_proxy.pool.members import Members, by_name
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.tokens import Token

__all__ = [
    "CONDITIONS", "Lease", "LineState", "Rotator", "Token", "TokenRotator", "condition",
]  # fmt: skip

U = TypeVar("U")


class TokenRotator(Rotator[U]):
    """The pool of one process.

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
        ledger = MemoryLedger(clock=clock) if ledger is None else ledger
        super().__init__(
            Members(ledger),
            ledger,
            patience=patience,
            clock=clock,
            points_check=points_check,
            when_left=when_left,
        )
        #: Held while the line changes, and while it is served: so the line is served in order.
        self._lock = threading.Lock()
        self._members.replace(by_name(tokens))
        self._alarm = Alarm(self.serve_due, name="line")
        self._queue = Queue(self._ledger, self._members, places=places, wake=self._alarm.set)

    # ---- the pool

    def replace(
        self,
        tokens: Iterable[Token[U]],
        *,
        patience: float | None = None,
        places: int | None = None,
        points_check: float | None = None,
    ) -> None:
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

    def close(self) -> None:
        self._alarm.close()

    # ---- what is known

    def census(self) -> dict[str, int]:
        with self._lock:
            tokens, waiting = self._members.tokens, len(self._queue)
            states = self._ledger.state(tokens)
        counts = counted((tokens[name], state) for name, state in states.items())
        return counts | {"waiting": waiting}

    def line(self) -> LineState:
        with self._lock:
            waiting, since = len(self._queue), self._queue.since()
        longest = 0.0 if since is None else max(0.0, self._clock() - since)
        return LineState(waiting, self._queue.places, longest)

    # ---- what a look finds, and what the operator says

    def _change(
        self,
        token: Token[U],
        verb: Callable[[], object],
        *,
        holds: bool = False,
        frees: bool = False,
    ) -> None:
        with self._lock:
            verb()
            self._queue.changed(token.name)
            if holds:
                self._queue.refuse_hopeless(self._clock())
            if frees:
                self._queue.serve(self._clock())

    # ---- the line

    def serve_due(self) -> float:
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
        return self._patiently(wait, state, deadline)

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
