"""The line is served: as soon as there is a token, or as soon as it is clear that there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from poe_proxy.errors import PoeProxyError
from poe_proxy.pool import refusals
from poe_proxy.pool.leases import Lease
from poe_proxy.pool.ledger import Ledger, Standing, Want
from poe_proxy.pool.line.order import Line
from poe_proxy.pool.line.prospects import ROUNDING, Habits, Prospects
from poe_proxy.pool.members import Members

U = TypeVar("U")


class Queue(Generic[U]):
    """The requests that wait. The rotator holds its lock in each call, and says what time it is.

    Between two calls no token is free that fits any of them: what frees one is followed by
    `serve`, and what time alone frees by the alarm.
    """

    def __init__(
        self,
        ledger: Ledger,
        members: Members[U],
        *,
        places: int,
        wake: Callable[[float], object],
    ) -> None:
        """*places* is how many may wait; *wake* is called with the seconds until `serve_due` is
        to be, or with `inf`."""
        #: The most that may wait.
        self.places = places
        #: When time alone may let the line be served.
        self.due = inf
        self._ledger = ledger
        self._members = members
        self._wake = wake
        self._line: Line[Lease[U]] = Line()
        self._prospects = Prospects(ledger, members)

    def __len__(self) -> int:
        return len(self._line)

    def since(self) -> float | None:
        """Return since when the request waits that has waited for longest; None: none waits."""
        return min((lease.joined for lease in self._line), default=None)

    # ---- one request

    def join(self, lease: Lease[U], now: float) -> None:
        """Let *lease* have a token or a place in line; raises if it would not be served in time."""
        self.serve_due(now)
        lease.names = self._fitting(lease, lease.avoid)
        # A token that is free fits no request in line, so the newcomer may have it.
        served = self._ledger.serve((_want(lease, now),))
        if lease.id not in served.lent:
            self._queue(lease, now)
            self._set_due(min(self.due, now + served.due), now)
            return
        self._grant(lease, served.lent[lease.id], now)
        # For one in line, a token that failed a moment ago may be the best that is left now.
        self.serve(now)

    def _queue(self, lease: Lease[U], now: float) -> None:
        if len(self._line) >= self.places:
            raise self._refusal(lease, now)
        lease.joined = now
        overtakes = self._line.would_overtake(lease)
        if overtakes:
            self._line.add(lease)
            self._prospects.line_changed()
            at = self._prospects.within(self._line.in_order(), lease, now)
        else:
            at = self._prospects.at_end(self._line.in_order, lease, now)
        if at > lease.deadline + ROUNDING:
            self._line.remove(lease)
            raise self._refusal(lease, now)
        lease.called = threading.Event()
        if overtakes:
            self.refuse_hopeless(now)
        else:
            self._line.add(lease)
            self._prospects.joined(lease, now)

    def leave(self, lease: Lease[U], now: float) -> bool:
        """Let *lease* leave the line; return whether it was there."""
        if not self._line.remove(lease):
            return False
        self._prospects.line_changed()
        if not self._line:
            self._set_due(inf, now)
        return True

    def give_up(self, lease: Lease[U], now: float) -> None:
        """Refuse *lease*, whose time is over, unless it is served at the last moment."""
        self.serve_due(now)
        if self.leave(lease, now):
            lease.refusal = self._refusal(lease, now)

    # ---- all of them

    def serve_due(self, now: float) -> float:
        """Serve the line if its time has come; return the seconds until it is time again."""
        if now >= self.due:
            self.serve(now)
        return self.due - now

    def serve(self, now: float) -> None:
        """Give every free token to the first in line that it fits."""
        if not self._line:
            return
        line = self._line.in_order()
        served = self._ledger.serve(_want(lease, now) for lease in line)
        if served.lent:
            for lease in line:
                if lease.id in served.lent:
                    self._line.remove(lease)
                    self._grant(lease, served.lent[lease.id], now)
        self._set_due(now + served.due if self._line else inf, now)

    def refuse_hopeless(self, now: float) -> None:
        """Refuse the requests in line that can no longer be served before their deadline."""
        if not self._line:
            return
        line = self._line.in_order()
        late = [line[number] for number in self._prospects.hopeless(line, now)]
        for lease in late:
            self.leave(lease, now)
        for lease in late:
            lease.refusal = self._refusal(lease, now)
            if lease.called is not None:
                lease.called.set()

    # ---- what happens to the tokens

    def habits(self, kind: str) -> Habits:
        """Return how long the replies of tokens of that *kind* take."""
        return self._prospects.habits(kind)

    def changed(self, name: str) -> None:
        """Note that something happened to a token, whatever it was."""
        self._prospects.changed(name)

    def lost(self, name: str, now: float) -> None:
        """Note that a token is held back: requests that waited for it may have to be refused."""
        self._prospects.changed(name)
        self.refuse_hopeless(now)

    def members_changed(self, now: float) -> None:
        """Note that there are other tokens, or that they have other limits."""
        self._prospects.forget()
        for lease in self._line:
            lease.names = self._fitting(lease, lease.avoid)
        self.serve(now)
        self.refuse_hopeless(now)

    def _fitting(self, lease: Lease[U], avoid: frozenset[str]) -> frozenset[str]:
        return self._members.fitting(lease.kinds, avoid, lease.bot, lease.accounts)

    def _grant(self, lease: Lease[U], name: str, now: float) -> None:
        lease.token = token = self._members.tokens[name]
        lease.lent = now
        self._members.lend(token, lease.id, now)
        self._prospects.changed(name)
        if lease.called is not None:
            lease.called.set()

    def _set_due(self, due: float, now: float) -> None:
        if due != self.due:
            self.due = due
            self._wake(max(0.0, due - now))

    def _refusal(self, lease: Lease[U], now: float) -> PoeProxyError:
        """Return why no token will serve *lease* in time, and when it may come again."""
        if lease.avoid:
            # The tokens that it was tried on rest by now, or are set aside. They are a part of the
            # reason too, and one of them may serve it when it comes again.
            tried = self._fitting(lease, frozenset()) - lease.names
            states = self._ledger.state(tried, bot=lease.bot)
            lease.names |= {name for name in tried if states[name].standing is not Standing.FIT}
        if lease.names and not self._prospects.is_held(lease, now):
            # Poe is not the reason, whatever it said about some of them. To ask the ledger would
            # cost a look at each.
            return refusals.not_free(self._promise(lease, now))
        states = self._ledger.state(lease.names, bot=lease.bot)
        return refusals.held_back(states, self._members.tokens, lambda: self._promise(lease, now))

    def _promise(self, lease: Lease[U], now: float) -> float:
        """Return the seconds after which *lease* may come again."""
        return self._prospects.promise(self._line.in_order, lease, now) - now


def _want(lease: Lease[U], now: float) -> Want:
    within = max(0.0, lease.deadline - now)
    return Want(lease.id, lease.names, lease.bot, within, lease.probes)
