"""The budgets in Redis: what clients use on all workers and hosts counts together.

A place for a request is asked for before it goes on; what follows is told in passing. What a client
without limits uses costs its requests nothing: it is added up, and told once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from poe_proxy.clients.budgets import Budgets, Left, Refused, Share, Standing
from poe_proxy.clients.client import NO_LIMITS, Limits
from poe_proxy.clients.windows import LASTING_SHARE, MINUTE, Calendar
from poe_proxy.errors import PoolUnavailable
from poe_proxy.shared.calling import AGAIN, Caller, StoreAway
from poe_proxy.shared.teller import Teller

_NAMES: Final = tuple(Limits.__dataclass_fields__)


@dataclass(eq=False, slots=True)
class _Request:
    """One request, from its check to its end."""

    name: str
    #: Its client's when it came; none: nothing of it is in Redis.
    limits: Limits
    began: float
    sent: float | None = None
    #: What Redis has said of its client without it, and when; None if it has said nothing yet.
    refused: Refused | None = None
    left: Mapping[str, Any] | None = None
    left_at: float = 0.0
    #: Whether it is certain that it has a place.
    has_place: bool = False


@dataclass(slots=True)
class _Used:
    """What clients without limits have used since it was told last."""

    requests: int = 0
    tokens: int = 0
    points: int = 0
    exact: int = 0


@dataclass(slots=True)
class _Known:
    """What is known of one client here."""

    limits: Limits = NO_LIMITS
    #: The limits that there are, by their names.
    said: Mapping[str, int] = field(default_factory=dict)
    #: What it had used when somebody last looked.
    standing: Standing | None = None


class RedisBudgets(Budgets):
    """Keeps them in Redis, by the clock there. While Redis is away a client with limits is turned
    away: nobody knows what it has left. One without goes on."""

    def __init__(
        self,
        caller: Caller,
        teller: Teller,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*clock* is for what passes between two answers, *wall* for days while Redis is away."""
        self._caller, self._teller = caller, teller
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._calendar = Calendar()
        self._clients: dict[str, _Known] = {}
        self._requests: dict[str, _Request] = {}
        #: What is to be told.
        self._acts: list[list[Any]] = []
        self._used: dict[str, _Used] = {}
        self._holds = False
        teller.add("budgets", self._taken)

    def replace(self, limits: Mapping[str, Limits], *, begins: float) -> None:
        # What was used until now is of the days as they began.
        self._teller.tell()
        with self._lock:
            if begins != self._calendar.begins:
                self._calendar = Calendar(begins)
            for name in self._clients.keys() | limits.keys():
                known = self._clients.setdefault(name, _Known())
                known.limits = limits.get(name, NO_LIMITS)
                known.said = _said(known.limits)
            for request in self._requests.values():
                if not request.limits and (now := self._clients[request.name].limits):
                    request.limits, request.has_place = now, True
        self.beat()

    def check(self, name: str, request: str) -> Refused | None:
        with self._lock:
            known = self._clients[name]
            one = _Request(name, known.limits, self._clock())
            self._requests[request] = one
        if not one.limits:
            return None
        try:
            answer = self._caller.call("b_check", self._about(name, request))
        except StoreAway as away:
            raise PoolUnavailable(
                f"What client {name} has left is not known: the pool is away.", retry_after=AGAIN
            ) from away
        with self._lock:
            one.refused, one.left, one.left_at = _refused(answer), answer["left"], self._clock()
            one.has_place = one.refused is None
        return one.refused

    def charge(self, request: str) -> None:
        with self._lock:
            one = self._requests.get(request)
            if one is None or one.sent is not None or one.refused:
                return
            one.sent = self._clock()
            if not one.limits:
                self._of(one.name).requests += 1
                return
            self._acts.append(["sent", one.name, request, one.limits.per_minute > 0])
        self._teller.tell()

    def add(
        self, request: str, *, tokens: int = 0, points: int = 0, is_exact: bool = False
    ) -> None:
        with self._lock:
            one = self._requests.pop(request, None)
            if one is None or one.refused:
                return
            was_sent, exact = one.sent is not None, points if is_exact else 0
            if not one.limits:
                if was_sent:
                    used = self._of(one.name)
                    used.tokens += tokens
                    used.points += points
                    used.exact += exact
                return
            # Also if nobody knows whether it has a place: Redis may have given it one.
            self._acts.append(["over", one.name, request, tokens, points, exact, was_sent])
        self._teller.tell()

    def wait(self, name: str, request: str = "") -> float:
        with self._lock:
            if not self._clients[name].limits:
                return 0.0
            one = self._requests.get(request)
            if one is not None and one.refused is not None:
                return max(0.0, one.refused.seconds - (self._clock() - one.left_at))
        try:
            refused = _refused(self._caller.call("b_look", self._about(name, request)))
        except StoreAway:
            return 0.0
        return refused.seconds if refused else 0.0

    def left(self, name: str, request: str = "") -> Left:
        with self._lock:
            limits = self._clients[name].limits
            one = self._requests.get(request)
            if one is not None and one.left is not None:
                since = self._clock() - one.left_at
                sent = None if one.sent is None else self._clock() - one.sent
                return _left(one.limits, one.left, since, sent)
        if not limits:
            return Left()
        try:
            answer = self._caller.call("b_look", self._about(name, request))
        except StoreAway:
            return Left()
        return _left(limits, answer["left"])

    def standing(self, name: str) -> Standing:
        return self.standings([name])[name]

    def standings(self, names: Iterable[str]) -> Mapping[str, Standing]:
        asked = [*names]
        self._teller.tell()
        begins = self._calendar.begins
        try:
            answer = self._caller.call("b_standing", {"names": asked, "begins": begins})
        except StoreAway:
            return {name: self._last(name) for name in asked}
        day, rows = answer["day"], answer["rows"]
        with self._lock:
            for name, row in zip(asked, rows or (), strict=True):
                self._clients.setdefault(name, _Known()).standing = self._standing(name, day, row)
            return {name: self._last(name) for name in asked}

    def beat(self) -> None:
        """Tell Redis what is under way here: to be called every few seconds. Places that are none
        any more are given back then."""
        with self._lock:
            self._holds = True
        self._teller.tell()

    def adopt(self) -> None:
        """Tell it at once: Redis does not know this worker, or has forgotten all. It goes before
        what was told and has not come there yet."""
        with self._lock:
            hold = self._hold()
        self._caller.note("b_hold", hold)

    # ---- within the lock

    def _of(self, name: str) -> _Used:
        return self._used.setdefault(name, _Used())

    def _about(self, name: str, request: str) -> dict[str, Any]:
        return {
            "name": name,
            "request": request,
            "limits": self._clients[name].said,
            "begins": self._calendar.begins,
            "minute": MINUTE,
        }

    def _standing(self, name: str, day: int, row: list[int]) -> Standing:
        requests, tokens, points, exact, of_month, under_way = row
        calendar = self._calendar
        own = sum(one.name == name and not one.limits for one in self._requests.values())
        return Standing(
            requests=requests,
            under_way=under_way + own,
            tokens=tokens,
            points=points,
            exact_points=exact,
            points_of_month=of_month,
            next_day=calendar.start(day + 1),
            next_month=calendar.start(calendar.next_first(day)),
        )

    def _last(self, name: str) -> Standing:
        """Return what was known last."""
        found = self._clients[name].standing
        if found is None:
            found = self._standing(name, self._calendar.day(self._wall()), [0] * 6)
        return found

    def _taken(self) -> dict[str, Any] | None:
        """Return what is to be told; see `tells.budgets` in the script."""
        with self._lock:
            acts, self._acts = self._acts, []
            used, self._used = self._used, {}
            for name, one in used.items():
                acts.append(["used", name, one.requests, one.tokens, one.points, one.exact])
            hold, self._holds = self._hold() if self._holds else None, False
            if not acts and hold is None:
                return None
            return {
                "begins": self._calendar.begins,
                "minute": MINUTE,
                "share": LASTING_SHARE,
                "acts": acts,
                "hold": hold,
            }

    def _hold(self) -> dict[str, Any]:
        now = self._clock()
        free: dict[str, int] = {}
        requests = []
        for id, one in self._requests.items():
            if not one.limits:
                free[one.name] = free.get(one.name, 0) + 1
            elif one.has_place:
                requests.append([id, one.name, now - one.began, one.sent is None])
        return {"requests": requests, "free": free}


def _said(limits: Limits) -> Mapping[str, int]:
    return {name: most for name in _NAMES if (most := getattr(limits, name))}


def _refused(answer: Mapping[str, Any]) -> Refused | None:
    found = answer["refused"]
    if not found:
        return None
    return Refused(found["limit"], found["most"], float(found["seconds"]))


def _left(
    limits: Limits, shares: Mapping[str, Any], since: float = 0.0, sent: float | None = None
) -> Left:
    """Return what is left by *shares*, which were right so many seconds ago, without a request that
    was *sent* so many seconds ago."""
    found = []
    for name in ("per_minute", "per_day"):
        if name in shares:
            left, seconds = shares[name]
            until = max(0.0, seconds - since)
            if sent is not None:
                left -= 1
                until = MINUTE - sent if name == "per_minute" else until
            found.append(Share(most=getattr(limits, name), left=max(0, left), seconds=until))
    of_tokens = None
    if "tokens" in shares:
        left, seconds = shares["tokens"]
        until = max(0.0, seconds - since)
        of_tokens = Share(most=limits.tokens_per_day, left=max(0, left), seconds=until)
    return Left(of_requests=min(found, key=lambda one: one.left, default=None), of_tokens=of_tokens)
