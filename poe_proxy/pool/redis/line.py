"""What of the line of all workers is in this one: the requests that wait, and those served."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeVar

from poe_proxy.errors import PoeProxyError
from poe_proxy.pool import refusals
from poe_proxy.pool.base import HELD_BACK
from poe_proxy.pool.leases import Lease
from poe_proxy.pool.ledger import Ledger, Standing, handle
from poe_proxy.pool.line.alarm import Alarm
from poe_proxy.pool.members import Members
from poe_proxy.pool.redis.courier import Courier, unavailable
from poe_proxy.pool.tokens import Token
from poe_proxy.shared.calling import StoreAway

log = logging.getLogger(__name__)

U = TypeVar("U")

#: The most seconds between two looks at the line while anybody waits: a message may be lost.
LOOK: Final = 1.0
#: The fewest, and the seconds up to which looks are later than they might be, so that those of
#: several workers do not come together.
SOONEST: Final = 0.01
SPREAD: Final = 0.05
#: Seconds for which it is the reason of a refusal that a token was given to others.
LOST: Final = 30.0


@dataclass(slots=True, eq=False)
class Held(Generic[U]):
    """What a lease has."""

    lease: Lease[U]
    token: Token[U]
    #: When it was asked for, if it was lent by then: its first use is counted from there on.
    asked_at: float = -inf
    #: Whether the token had failed, and not answered since; None: that is not known.
    is_struck: bool | None = None
    #: Its uses.
    count: int = 0
    #: Whether the next use may have been counted already, though it was not sent.
    is_in_doubt: bool = False
    #: Whether Redis has given it to others: nothing may be sent with it.
    is_lost: bool = False


class SharedLine(Generic[U]):
    """This worker's places in the line of all workers.

    Messages say who was served. Never are they relied on: as long as anybody waits, it is looked
    once a second what has become of all who do.
    """

    def __init__(
        self,
        courier: Courier,
        ledger: Ledger,
        members: Members[U],
        ids: Iterator[str],
        *,
        places: int,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """*ledger* is asked how tokens are; *ids* are new ones for leases; *places* is how many
        may wait, in all workers."""
        self.places = places
        #: Guards what follows, and the members. Nobody asks Redis while holding it.
        self.lock = threading.Lock()
        #: What was served, by lease.
        self.held: dict[str, Held[U]] = {}
        #: When a token was last found to have been given to others, by its name.
        self.lost_at: dict[str, float] = {}
        #: What was not, in the order of its coming; and of these, what is known to be in line,
        #: and what has to join it once Redis is back.
        self._waiting: dict[str, Lease[U]] = {}
        self._in_line: set[str] = set()
        self._absent: set[str] = set()
        #: What Redis may know, whatever it answered.
        self._asked: set[str] = set()
        self._courier = courier
        self._ledger = ledger
        self._members = members
        self._ids = ids
        self._clock = clock
        self._chance = chance
        self._alarm = Alarm(self.look, name="line")
        self._look_at = inf
        #: The names of tokens, by the digest that Redis knows them by.
        self._digests: dict[frozenset[str], str] = {}

    def close(self) -> None:
        """End the thread that looks."""
        self._alarm.close()

    def holds(self) -> list[str]:
        """Return the leases that have a token, or wait for one."""
        with self.lock:
            return [*self.held, *self._waiting]

    # ---- one request

    def join(self, lease: Lease[U]) -> None:
        """Let *lease* have a token or a place in line; raises if there is no hope of either."""
        lease.joined = self._clock()
        lease.names = self._fitting(lease)
        if not lease.names:
            raise self._refusal(lease)
        # Before it is asked for: the token may come as a message, sooner than the answer.
        lease.called = threading.Event()
        with self.lock:
            self._waiting[lease.id] = lease
        try:
            refusal = self._ask(lease, self._clock())
        except BaseException:
            self.leave(lease)
            raise
        with self.lock:
            if refusal is not None:
                self._forget(lease.id)
            is_too_much = lease.id in self._absent and len(self._absent) > self.places
        if is_too_much:
            self.leave(lease)
            refusal = unavailable()
        if refusal is not None:
            raise refusal

    def wait_for(self, lease: Lease[U], called: threading.Event, seconds: float) -> None:
        """See `Lender.wait_for`."""
        called.wait(max(0.0, min(seconds, lease.deadline - self._clock())))
        if lease.token is None and lease.refusal is None:
            if self._clock() >= lease.deadline:
                self._give_up(lease)
            with self.lock:
                if lease.token is None and lease.refusal is None:
                    called.clear()  # it was only woken, and may wait again
        if lease.refusal is not None:
            raise lease.refusal

    def leave(self, lease: Lease[U]) -> Held[U] | None:
        """Let *lease* be in line no longer. If it has a token, that is returned, and still to be
        given back in Redis."""
        with self.lock:
            held = self.held.pop(lease.id, None)
            is_known = lease.id in self._asked
            was_waiting = self._forget(lease.id)
        if was_waiting and is_known:
            self._courier.note("leave", {"lease": lease.id})
        return held

    def _give_up(self, lease: Lease[U]) -> None:
        """Refuse *lease*, whose time is over, unless it is served at the last moment."""
        try:
            with self.lock:
                is_in_line = lease.id in self._in_line
            if not is_in_line:
                raise StoreAway("its place in line is not known")
            self._heed_look(self._courier.call("look", {"leases": [lease.id]}))
        except StoreAway:
            self._refuse(lease, unavailable())
        else:
            if lease.token is None:
                self._refuse(lease, self._refusal(lease))

    def _ask(
        self, lease: Lease[U], asked_at: float = -inf, *, is_needed: bool = False
    ) -> PoeProxyError | None:
        """Ask for a token or a place; return the refusal if there is neither.

        *asked_at* is now, unless it may have been asked for before: then Redis may have lent it at
        any time since. If Redis is away, it will be asked for later; where that *is_needed* now,
        `StoreAway` is raised all the same.
        """
        id = lease.id
        try:
            answer = self._answer_to(lease)
        except StoreAway:
            with self.lock:
                if id in self._waiting:
                    self._absent.add(id)
                    self._in_line.discard(id)
            self._look_in(LOOK)
            if is_needed:
                raise
            return None
        if lease.id != id:
            # It has joined anew meanwhile, under another one.
            self._courier.note("leave", {"lease": id})
        elif "lent" in answer:
            self._grant(id, answer["lent"], asked_at, answer.get("struck"))
        elif "waits" in answer:
            with self.lock:
                if id in self._waiting:
                    self._in_line.add(id)
                    self._absent.discard(id)
            # What is rested now is in use, or at home elsewhere: time alone helps nobody.
            self._look_in(answer["waits"] or LOOK)
        elif lease.token is None:
            return self._refusal(lease, answer.get("full") or answer.get("late"))
        return None

    def _answer_to(self, lease: Lease[U]) -> Mapping[str, Any]:
        names = self._fitting(lease, all_of_them=True)
        tokens = self._members.tokens
        want = {
            "lease": lease.id,
            "names": self._digest(names),
            "kinds": sorted({tokens[name].kind for name in lease.names if name in tokens}),
            "avoid": sorted(lease.avoid & names),
            "bot": handle(lease.bot),
            "within": max(0.0, lease.deadline - self._clock()),
            "probes": lease.probes,
            "client": _digest(lease.client) if lease.client else "",
            "streams": lease.streams,
            "priority": lease.priority,
            "size": self.places,
            "sends": True,
        }
        if self._courier.trouble:
            raise StoreAway(self._courier.trouble)
        with self.lock:
            if lease.id in self._waiting:
                self._asked.add(lease.id)
        answer: Mapping[str, Any] = self._courier.call("join", want)
        if "unknown" in answer:
            self._courier.call("names", {"digest": want["names"], "names": sorted(names)})
            answer = self._courier.call("join", want)
        return answer

    def _ask_again(self, lease: Lease[U], *, is_needed: bool = False) -> None:
        """Ask for *lease*, for which nobody waits here; a refusal is told to it."""
        if (refusal := self._ask(lease, is_needed=is_needed)) is not None:
            self._refuse(lease, refusal)

    # ---- all of them

    def look(self) -> None:
        """See what has become of those that wait; again after a while if there are any left."""
        try:
            if not self._courier.trouble:
                self._look()
        except StoreAway:
            pass  # who waits goes on waiting
        finally:
            with self.lock:
                self._look_at = inf
                waits = bool(self._waiting)
            if waits:
                self._look_in(LOOK)

    def _look(self) -> None:
        with self.lock:
            absent = [lease for id, lease in self._waiting.items() if id in self._absent]
            ids = [id for id in self._waiting if id in self._in_line]
        for lease in absent:
            self._ask_again(lease)
        if ids:
            self._heed_look(self._courier.call("look", {"leases": ids}))

    def join_anew(self) -> None:
        """Join the line with all that wait, in the order of their coming: Redis knows none of
        them any more. Raises `StoreAway`: the others are still to join."""
        with self.lock:
            waiting = sorted(self._waiting.values(), key=lambda one: one.joined)
            self._waiting.clear()
            self._in_line.clear()
            self._absent.clear()
            self._asked.clear()
            for lease in waiting:
                # What was said of it before may still be on its way, and is no longer true.
                lease.id = next(self._ids)
                self._waiting[lease.id] = lease
                self._absent.add(lease.id)
        for lease in waiting:
            # Each that asks a Redis that is away would let all others wait for it once more.
            self._ask_again(lease, is_needed=True)

    def refit(self) -> None:
        """Let those that wait have any of the tokens that fit them now."""
        self._digests.clear()
        with self.lock:
            waiting = list(self._waiting.values())
        for lease in waiting:
            lease.names = self._fitting(lease)
            if lease.names:
                self._ask_again(lease)
            else:
                self._refuse(lease, self._refusal(lease))

    def served(self, lent: Mapping[str, str], struck: Collection[str]) -> None:
        """Heed a message: which leases were given which tokens, and which of these had failed."""
        for id, name in lent.items():
            self._grant(id, name, is_struck=id in struck)

    def _heed_look(self, answer: Mapping[str, Any]) -> None:
        for id, name in _object(answer["lent"]).items():
            self._grant(id, name)
        for id in answer["lost"]:
            if (lease := self._waiting.get(id)) is not None:
                self._ask_again(lease)
        for id, soonest in _object(answer["late"]).items():
            if (lease := self._waiting.get(id)) is not None:
                self._refuse(lease, self._refusal(lease, soonest))
        self._look_in(_number(answer["due"]))

    def _grant(
        self, id: str, name: str, asked_at: float = -inf, is_struck: bool | None = None
    ) -> None:
        """Give the lease of that id the token of that name, which it has in Redis."""
        now = self._clock()
        with self.lock:
            if id in self.held:
                return  # it has been told twice
            lease = self._waiting.get(id)
            token = self._members.tokens.get(name)
            if lease is not None:
                self._forget(id)
                if token is not None:
                    self.held[id] = Held(lease, token, asked_at, is_struck)
                    lease.token, lease.lent = token, now
                    self._members.lend(token, id, now)
                    if lease.called is not None:
                        lease.called.set()
                    return
                # It has left the pool here in this moment: another one has to be asked for.
                lease.id = next(self._ids)
                self._waiting[lease.id] = lease
        self._courier.note("leave", {"lease": id})
        if lease is not None:
            self._ask_again(lease)

    def _refuse(self, lease: Lease[U], refusal: PoeProxyError) -> None:
        """Let *lease* leave the line because of *refusal*, unless it has a token by now."""
        with self.lock:
            is_known = lease.id in self._asked
            if not self._forget(lease.id):
                return
            lease.refusal = refusal
            if lease.called is not None:
                lease.called.set()
        if is_known:
            self._courier.note("leave", {"lease": lease.id})

    def _forget(self, id: str) -> bool:
        """Forget a place in line, with the lock held; return whether there was one."""
        self._in_line.discard(id)
        self._absent.discard(id)
        self._asked.discard(id)
        return self._waiting.pop(id, None) is not None

    def _look_in(self, seconds: float) -> None:
        """Look after so many seconds, or sooner."""
        wait = max(SOONEST, min(seconds, LOOK)) + SPREAD * self._chance()
        with self.lock:
            at = self._clock() + wait
            if at >= self._look_at:
                return
            self._look_at = at
            self._alarm.set(wait)

    # ---- what fits

    def _fitting(self, lease: Lease[U], *, all_of_them: bool = False) -> frozenset[str]:
        avoid: frozenset[str] = frozenset() if all_of_them else lease.avoid
        return self._members.fitting(lease.kinds, avoid, lease.bot, lease.accounts)

    def _digest(self, names: frozenset[str]) -> str:
        digest = self._digests.get(names)
        if digest is None:
            if len(self._digests) >= MOST_DIGESTS:
                self._digests.clear()
            digest = self._digests[names] = _digest("\n".join(sorted(names)))
        return digest

    def _refusal(self, lease: Lease[U], at_least: float | None = None) -> PoeProxyError:
        """Return why no token serves *lease* in time, and when it may come again: that is not
        before *at_least* so many seconds."""
        names = lease.names
        try:
            if lease.avoid:
                # What it was tried on rests by now, or is set aside: a part of the reason, too.
                tried = self._fitting(lease, all_of_them=True) - names
                states = self._ledger.state(tried, bot=lease.bot)
                lost = {name for name, at in self.lost_at.items() if self._clock() - at < LOST}
                names |= {
                    one for one in tried if states[one].standing is not Standing.FIT or one in lost
                }
            states = self._ledger.state(names, bot=lease.bot) if names else {}
        except (StoreAway, KeyError):
            return unavailable()
        soonest = max(min((one.rest for one in states.values()), default=inf), at_least or 0.0)
        if any(state.standing not in HELD_BACK for state in states.values()):
            return refusals.not_free(soonest)
        return refusals.held_back(states, self._members.tokens, lambda: soonest)


#: The most sets of names whose digest is kept: clients choose the names of bots.
MOST_DIGESTS: Final = 1000


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number(seconds: float | None) -> float:
    return inf if seconds is None else float(seconds)


def _object(told: Any) -> Mapping[str, Any]:
    return told if isinstance(told, dict) else {}
