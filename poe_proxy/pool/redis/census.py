"""How the pool of several workers is, as Redis told a moment ago."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import Any, Final

from poe_proxy import logs
from poe_proxy.pool.known import DayUses, Funds, Grant, KnownPoints, Points
from poe_proxy.pool.ledger import Standing, TokenState
from poe_proxy.pool.redis.courier import Courier
from poe_proxy.pool.redis.ledger import RedisLedger, state_of
from poe_proxy.shared.calling import StoreAway

audit = logging.getLogger(logs.AUDIT)

#: Seconds for which an answer holds.
HOLDS: Final = 1.0

#: Nothing is known: it is not lent.
_UNKNOWN: Final = TokenState(is_free=False, in_use=0, rest=inf, standing=Standing.RESTING)


class Census:
    """One look at the whole pool, which all that tell of it share. While Redis is away, it is as
    it was last."""

    def __init__(
        self,
        courier: Courier,
        clock: Callable[[], float],
        *,
        label: Callable[[str], str],
        when_changed: Callable[[], object],
    ) -> None:
        """*label* says what the log calls the token of a name; *when_changed* is called when other
        tokens than before have to be looked at."""
        self._courier = courier
        self._clock = clock
        self._label = label
        self._when_changed = when_changed
        self._asking = threading.Lock()
        self._told: Mapping[str, Any] = {}
        self._states: Mapping[str, TokenState] = {}
        self._at = -inf
        #: How many times what was told was forgotten.
        self._round = 0
        #: Why tokens were suspended here that Redis has not told of since, by name.
        self._suspended: dict[str, tuple[str, str]] = {}

    def forget(self) -> None:
        """Ask anew as soon as somebody wants to know: something has changed."""
        self._round += 1
        self._at = -inf

    def newest(self) -> Mapping[str, Any]:
        """Return what the script tells of the pool, as its act `census` does."""
        # One asks for all; the others go by what there is, if there is anything.
        if (
            self._clock() - self._at >= HOLDS
            and not self._courier.trouble
            and self._asking.acquire(blocking=not self._told)
        ):
            try:
                self._ask()
            finally:
                self._asking.release()
        return self._told

    def row(self, name: str) -> Mapping[str, Any]:
        """Return what is told of the account of that name; empty if nothing is."""
        return _object(_object(self.newest().get("accounts")).get(name))

    def states(self, names: Collection[str]) -> dict[str, TokenState]:
        """Return how each of *names* is; what was said here a moment ago is true already."""
        self.newest()
        return self.last(names)

    def last(self, names: Collection[str]) -> dict[str, TokenState]:
        """Return the same as far as it is known already."""
        return {name: self._state(name) for name in names}

    def line(self) -> tuple[int, float]:
        """Return how many requests of all workers are in line, and the seconds for which the first
        of them has waited."""
        told = _object(self.newest().get("line"))
        return int(told.get("length") or 0), float(told.get("longest") or 0.0)

    def workers(self) -> list[Mapping[str, Any]]:
        """Return what is told of each worker, and how many accounts are at home there."""
        told = self.newest()
        homes = Counter(row.get("home") for row in _object(told.get("accounts")).values())
        return [
            {**_object(one.get("about")), "id": one["id"], "homes": homes[one["id"]]}
            for one in told.get("workers") or ()
        ]

    def suspended(self, name: str, reason: str, code: str) -> None:
        """Note that Redis is told that Poe refuses a token: what becomes of it is for Redis to
        say, and is not waited for."""
        if self._state(name).standing is not Standing.RETIRED:
            self._suspended[name] = (reason, code)
        self.forget()

    def _state(self, name: str) -> TokenState:
        state = self._states.get(name, _UNKNOWN)
        if (refusal := self._suspended.get(name)) is None or state.standing is Standing.RETIRED:
            return state
        return TokenState(
            is_free=False,
            in_use=state.in_use,
            rest=inf,
            standing=Standing.SUSPENDED,
            reason=refusal[0],
            code=refusal[1],
        )

    def _ask(self) -> None:
        if self._clock() - self._at < HOLDS:
            return  # another one has just asked
        seen, now = self._round, self._clock()
        try:
            told = self._courier.call("census", {})
        except StoreAway:
            return
        before = _to_look_at(self._states)
        states = {name: state_of(row["state"]) for name, row in _object(told["accounts"]).items()}
        self._told, self._states = told, states
        if seen == self._round:
            self._at = now
            self._tell_of_retired()
        if _to_look_at(states) - before:
            self._when_changed()

    def _tell_of_retired(self) -> None:
        refused, self._suspended = self._suspended, {}
        for name, (reason, _) in refused.items():
            if self._state(name).standing is Standing.RETIRED:
                audit.warning("%s is %s: %s", self._label(name), Standing.RETIRED, reason)


class Verdicts(RedisLedger):
    """The ledger that is told what befalls the tokens: without waiting for Redis, also while it is
    away. How they are is what was known last."""

    def __init__(self, courier: Courier, census: Census) -> None:
        super().__init__(courier)
        self._census = census

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        super().suspend(name, reason, code)
        self._census.suspended(name, reason, code)

    def state(self, names: Collection[str], *, bot: str = "") -> dict[str, TokenState]:
        return self._census.last(names)

    def _tell(self, verb: str, about: Mapping[str, Any]) -> bool:
        # It reaches Redis before all that is asked later.
        self._caller.note(verb, about)
        self._census.forget()
        return True


class SharedPoints(KnownPoints):
    """The points of accounts, as Poe said last to any of the workers."""

    def __init__(self, courier: Courier, census: Census) -> None:
        super().__init__()
        self._courier = courier
        self._census = census

    def note(self, name: str, funds: Funds) -> None:
        super().note(name, funds)
        grant = funds.next_grant
        self._courier.note(
            "points",
            {
                "name": name,
                "number": funds.points,
                "grant_at": None if grant is None else grant.at,
                "grant_number": None if grant is None else grant.number,
            },
        )
        self._census.forget()

    def of(self, name: str) -> Points | None:
        told = self._census.row(name).get("points")
        if not told:
            return super().of(name)
        at, number = told.get("grant_at"), told.get("grant_number")
        grant = None if at is None else Grant(at, None if number is None else int(number))
        return Points(int(told["number"]), self._wall() - told["ago"], grant)


class SharedDayUses(DayUses):
    """How often each token was used today by all workers: Redis counts."""

    def __init__(self, census: Census) -> None:
        super().__init__()
        self._census = census

    def of(self, name: str) -> int:
        return int(self._census.row(name).get("day") or 0)


def _to_look_at(states: Mapping[str, TokenState]) -> set[str]:
    return {name for name, state in states.items() if state.next_look < inf}


def _object(told: Any) -> Mapping[str, Any]:
    """Return a table of Lua's: an empty one may come as a list, or not at all."""
    return told if isinstance(told, dict) else {}
