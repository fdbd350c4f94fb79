"""The pool of several workers, as the requests of one of them see it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final, TypeVar

from poe_proxy.errors import TokenHeldBack, UpstreamError
from poe_proxy.pool.base import LineState, Rotator, counted
from poe_proxy.pool.leases import Lease
from poe_proxy.pool.ledger import TokenState, handle
from poe_proxy.pool.members import Members, by_name
from poe_proxy.pool.redis.census import Census, SharedDayUses, SharedPoints, Verdicts
from poe_proxy.pool.redis.courier import Courier, Presence, unavailable
from poe_proxy.pool.redis.homes import Homes
from poe_proxy.pool.redis.ledger import RedisLedger, as_list
from poe_proxy.pool.redis.line import SharedLine
from poe_proxy.pool.redis.own_uses import OwnUses
from poe_proxy.pool.tokens import Token
from poe_proxy.rules import SENDS_WITHIN
from poe_proxy.shared.calling import StoreAway

log = logging.getLogger(__name__)

U = TypeVar("U")

#: Seconds from one try to the next while Redis is away.
PAUSE: Final = 0.5
#: How many uses are told at a time.
_TOLD_AT_ONCE: Final = 200


class SharedRotator(Rotator[U]):
    """This worker's part of a pool that lends its tokens to several workers.

    Redis decides which token may be lent, and to whom of all that wait; what is here is which
    request it is, and the log. While Redis is away nothing is lent: replies go on, who waits waits
    on, and what is to be told is told later.
    """

    def __init__(
        self,
        tokens: Iterable[Token[U]],
        *,
        courier: Courier,
        presence: Presence,
        patience: float = 30.0,
        places: int = 200,
        clock: Callable[[], float] = time.monotonic,
        points_check: float = 300.0,
        when_left: Callable[[Token[U]], object] | None = None,
    ) -> None:
        """*presence* is not to be started before; all others are as for `TokenRotator`.

        Nothing is asked yet: tokens become known as soon as this worker does. Raises `ValueError`
        if two tokens have the same name.
        """
        asked = RedisLedger(courier)
        members: _Members[U] = _Members(asked)
        census = Census(courier, clock, label=self._label, when_changed=lambda: self.look.set())
        super().__init__(
            members,
            Verdicts(courier, census),
            patience=patience,
            clock=clock,
            points_check=points_check,
            when_left=when_left,
        )
        self.points = SharedPoints(courier, census)
        self.day_uses = SharedDayUses(census)
        self._courier = courier
        self._asked = asked
        self._census = census
        self._line = SharedLine(
            courier, self._asked, members, self._ids, places=places, clock=clock
        )
        self._own_uses = OwnUses(clock)
        self._homes = Homes(self._is_used, lambda name: self._members.tokens.get(name))
        #: Returns what of the members has to be told.
        self._changes = members.changes
        members.replace(by_name(tokens))
        self._own_uses.use(members.tokens.values())
        #: Since when Redis remembers, as far as this worker has told it what it has.
        self._epoch: str | None = None
        presence.on_message.append(self._heard)
        presence.on_beat.append(lambda answer: self._homes.seen(answer["homes"]))
        presence.on_stranger.append(self._make_known)
        presence.holds = self._line.holds
        courier.on_back.append(self._line.look)

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
        with self._line.lock:
            gone = self._members.replace(named)
            changes = self._changes()
            self._patience = self._patience if patience is None else patience
            self._line.places = self._line.places if places is None else places
            self._points_check = self._points_check if points_check is None else points_check
        self._own_uses.use(named.values())
        for verb, about in changes:
            # They get there before what is asked below. Whether others have other settings is not
            # asked: so it is while a reload goes round.
            self._courier.note(verb, about)
        self._census.forget()
        self._line.refit()
        self.look.set()
        for token in gone:
            self._has_left(token)

    def close(self) -> None:
        self._line.close()
        self._homes.close()

    def _make_known(self) -> None:
        """Tell a Redis that does not know this worker what it has, and what it has used.

        For the courier, which lets others wait meanwhile.
        """
        was_dead = self._epoch == self._courier.epoch
        with self._line.lock:
            self._changes()  # all of that is told now
            tokens = self._members.tokens
            held = list(self._line.held.items())
            for _, one in held:
                # What was counted when it was lent is forgotten. And if this worker was taken for
                # dead, others may have the token: what was sent goes on, but nothing more is.
                one.asked_at = -inf
                one.is_lost = one.is_lost or was_dead
        # A restart is how an operator says that something has changed.
        anew = self._epoch is None
        for token in tokens.values():
            if self._courier.call("enlist", terms(token, anew=anew))["differs"]:
                log.warning(
                    "%s: another worker has other settings for it. Those hold that were read last; "
                    "all workers should have the same ones.",
                    token.label,
                )
        uses = list(self._own_uses.told())
        for first in range(0, len(uses), _TOLD_AT_ONCE):
            part = uses[first : first + _TOLD_AT_ONCE]
            self._courier.call("adopt", {"leases": [], "uses": part, "more": True})
        leases = [
            {"id": id, "name": one.token.name, "bot": handle(one.lease.bot), "count": one.count}
            for id, one in held
        ]
        self._courier.call("adopt", {"leases": leases, "uses": []})
        self._census.forget()
        self._line.join_anew()
        # Not before: whoever has to tell it once more for a failure on the way was not dead.
        self._epoch = self._courier.epoch

    def _heard(self, message: Mapping[str, Any]) -> None:
        """Heed a message from Redis."""
        if isinstance(lent := message.get("lent"), dict):
            self._line.served(lent, message.get("struck") or ())
        if isinstance(name := message.get("moved"), str):
            self._homes.lose(name)
        if message.get("look"):
            self._line.look()

    def _label(self, name: str) -> str:
        token = self._members.tokens.get(name)
        return name if token is None else token.label

    def _is_used(self, name: str) -> bool:
        return any(one.token.name == name for one in list(self._line.held.values()))

    # ---- what is known

    def census(self) -> dict[str, int]:
        return counted(self.states()) | {"waiting": self._census.line()[0]}

    def line(self) -> LineState:
        waiting, longest = self._census.line()
        return LineState(waiting, self._line.places, longest)

    def workers(self) -> list[Mapping[str, Any]]:
        """Return what is known of all workers, this one among them: their `id`, what each tells of
        itself, and how many accounts are at home there, `homes`."""
        return self._census.workers()

    def states(self) -> list[tuple[Token[U], TokenState]]:
        tokens = self._members.tokens
        states = self._census.states(tokens)
        return [(token, states[name]) for name, token in tokens.items()]

    def uses(self) -> Mapping[str, Sequence[float]]:
        try:
            outlooks = self._asked.outlook(self._members.tokens)
        except (StoreAway, KeyError):
            return {}
        return {name: outlook.uses for name, outlook in outlooks.items()}

    # ---- what a look finds, and what the operator says

    def may_ask(self, token: Token[U], seconds: float) -> bool | None:
        if not token.has_home and seconds <= 0.0:
            return True
        try:
            answer = self._courier.call(
                "may_ask", {"name": token.name, "seconds": max(seconds, PAUSE)}
            )
        except StoreAway:
            return None
        if answer is True and token.has_home:
            self._homes.lent(token.name)
        return answer is True

    def _change(
        self,
        token: Token[U],
        verb: Callable[[], object],
        *,
        holds: bool = False,
        frees: bool = False,
    ) -> None:
        self._doubt(token)
        verb()  # Redis serves the line

    # ---- the line

    def serve_due(self) -> float:
        self._line.look()
        return inf

    # ---- for leases: see `Lender`

    def join(self, lease: Lease[U]) -> None:
        self._line.join(lease)

    def wait_for(self, lease: Lease[U], called: threading.Event, seconds: float) -> None:
        self._line.wait_for(lease, called, seconds)

    def use(self, lease: Lease[U], deadline: float) -> float:
        held = self._line.held.get(lease.id)
        if held is None:
            # A sending thread may ask after its client has hung up.
            raise TokenHeldBack("The request was over before it was sent.")
        token, count = held.token, held.count + 1
        if held.is_lost:
            raise self._lost(token)
        if count > 1 or self._clock() - held.asked_at > SENDS_WITHIN:
            try:
                answer = self._courier.call(
                    "use", {"lease": lease.id, "count": count, "anew": held.is_in_doubt}
                )
                held.is_in_doubt = False
                held.is_lost = held.is_lost or "lost" in answer
                if held.is_lost:
                    raise self._lost(token)
                wait = inf if answer["wait"] is None else float(answer["wait"])
                if wait > 0.0:
                    lease.is_held_up = True
                    (state,) = self._asked.state((token.name,), bot=lease.bot).values()
                    return self._patiently(wait, state, deadline)
            except StoreAway:
                held.is_in_doubt = True
                if self._clock() + PAUSE > deadline:
                    raise unavailable() from None
                return PAUSE
        if token.has_home:
            self._homes.lent(token.name)
        held.count = count
        lease.is_held_up, lease.is_on_its_way = False, True
        self._own_uses.sent(token.name, _use(lease.id, count))
        return 0.0

    def _lost(self, token: Token[U]) -> TokenHeldBack:
        self._line.lost_at[token.name] = self._clock()
        return TokenHeldBack(
            "The Poe account that was to answer this request was given to others meanwhile: "
            "for a while this worker was not heard of."
        )

    def arrived(self, lease: Lease[U]) -> None:
        held = self._line.held.get(lease.id)
        if held is None:
            return
        lease.is_on_its_way = False
        lease.has_sent = True
        self._own_uses.arrived(held.token.name, _use(lease.id, held.count))
        if held.token.limits:  # otherwise nothing counts it, whenever it was sent
            self._courier.note("arrived", {"lease": lease.id, "count": held.count})

    def worked(self, lease: Lease[U]) -> None:
        lease.has_worked = True
        held = self._line.held.get(lease.id)
        # Most tokens have not failed, and Redis need not be told that they work.
        if held is not None and held.is_struck is not False:
            self._ledger.clear(held.token.name, bot=lease.bot)

    def refused(self, lease: Lease[U], failure: UpstreamError) -> None:
        if token := lease.token or lease.returned:
            self._judge(token, lease.bot, failure)

    def leave(self, lease: Lease[U], failure: BaseException | None) -> None:
        with self._line.lock:
            token, lease.token = lease.token, None
            lease.returned = token
        if token is None:
            self._line.leave(lease)
            return
        # The verdict first: once the token is given back, it may be lent.
        if isinstance(failure, UpstreamError):
            self._judge(token, lease.bot, failure)
        self._line.leave(lease)
        self._courier.note("leave", {"lease": lease.id})
        with self._line.lock:
            has_left = self._members.give_back(token, lease.id)
        self._homes.let_go(token.name)
        if has_left:
            self._has_left(token)

    def _judge(self, token: Token[U], bot: str, failure: UpstreamError) -> bool:
        self._doubt(token)
        return super()._judge(token, bot, failure)

    def _doubt(self, token: Token[U]) -> None:
        """Note that something befell *token*: leases that have it ask before they send, and tell
        that it works."""
        for one in list(self._line.held.values()):
            if one.token.name == token.name:
                one.asked_at, one.is_struck = -inf, None


class _Members(Members[U]):
    """Members whose changes are told later, when no lock is held."""

    def __init__(self, ledger: RedisLedger) -> None:
        super().__init__(ledger)
        self._changes: list[tuple[str, dict[str, Any]]] = []

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what has to be told since this was asked last."""
        changes, self._changes = self._changes, []
        return changes

    def _enlist(self, token: Token[U], *, anew: bool) -> None:
        self._changes.append(("enlist", terms(token, anew=anew)))

    def _withdraw(self, name: str) -> None:
        self._changes.append(("withdraw", {"name": name}))


def terms(token: Token[Any], *, anew: bool) -> dict[str, Any]:
    """Return what the script has to know of *token*, and whether it may be looked at *anew* if it
    was refused."""
    return {
        "name": token.name,
        "kind": token.kind,
        "has_home": token.has_home,
        "pinned": token.is_pinned,
        "rank": token.rank,
        "concurrency": token.concurrency,
        "limits": [as_list(limit) for limit in token.limits],
        "anew": anew,
    }


def _use(lease: str, count: int) -> str:
    """Return the name that the script has for a use."""
    return f"{lease}-{count}"
