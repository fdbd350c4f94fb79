"""Clients as the server sees them: who asks, what each has left, and what is told of them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any, Final

from poe_proxy import logs
from poe_proxy.clients.budgets import BUDGETS, Budgets, Left, Refused, Share, Standing
from poe_proxy.clients.client import NOBODY, Client
from poe_proxy.clients.known import Known
from poe_proxy.clients.memory import MemoryBudgets
from poe_proxy.clients.windows import shown
from poe_proxy.errors import ClientLimited, ClientOutOfBudget, InvalidKey
from poe_proxy.moments import stamp
from poe_proxy.record import Record

audit = logging.getLogger(logs.AUDIT)

#: What the limits are in sentences.
_SAID: Final = {
    "per_minute": "{most:,} requests a minute",
    "at_a_time": "{most:,} requests at a time",
    "per_day": "{most:,} requests a day",
    "tokens_per_day": "{most:,} tokens a day",
    "points_per_day": "{most:,} points a day",
    "points_per_month": "{most:,} points a month",
}


class Visit:
    """One request of a client, from its check to its end."""

    __slots__ = ("_budgets", "_request", "client")

    def __init__(self, client: Client, budgets: Budgets | None = None, request: str = "") -> None:
        self.client = client
        self._budgets = budgets
        self._request = request

    def sent(self) -> None:
        """Note that it is sent to Poe now: from the first time on it counts."""
        if self._budgets is not None:
            self._budgets.charge(self._request)
            self._budgets = None


#: A request that nobody counts.
UNCOUNTED: Final = Visit(NOBODY)


@dataclass(slots=True)
class _Seen:
    """What is remembered of a client since the start."""

    at: float = 0.0
    #: Requests for which nobody was asked, by the code of the failure.
    refused: Counter[str] = field(default_factory=Counter)


class Registry:
    """All clients. It lives as long as the process; a reload gives it others."""

    def __init__(
        self,
        known: Known,
        *,
        budgets: Budgets | None = None,
        begins: float = 0.0,
        seen: Callable[[], Mapping[str, tuple[float, Mapping[str, int]]] | None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Days begin so many seconds after midnight in UTC.

        *seen* tells what all workers remember of clients by their names: when each was seen last,
        and how many of its requests were refused, by the code of the failure; None: nobody but
        this one remembers anything.
        """
        self._budgets: Budgets = MemoryBudgets(wall=wall) if budgets is None else budgets
        self._wall = wall
        self._seen: dict[str, _Seen] = {}
        self._seen_by_all = seen
        #: Those that there are now.
        self.known = known
        self.replace(known, begins=begins)

    def replace(self, known: Known, *, begins: float) -> None:
        """Know these clients from now on, and no others. What is under way goes on."""
        if changes := known.changes(self.known):
            audit.info("clients that changed: %s", changes)
        self._budgets.replace({client.name: client.limits for client in known}, begins=begins)
        self.known = known

    def find(self, key: bytes) -> Client | None:
        """Return the client whose *key* this is; None if it is nobody's. It may be one whose key
        does not hold: see `check`."""
        return self.known.find(key)

    def check(self, client: Client) -> None:
        """Raise `InvalidKey` if the client's key does not hold now."""
        if not client.enabled:
            raise InvalidKey(
                f"The key of client {client.name} is switched off (enabled in CLIENTS)."
            )
        if client.until != inf and self._wall() >= client.until:
            raise InvalidKey(
                f"The key of client {client.name} is out of date since {shown(client.until)} "
                "(until in CLIENTS)."
            )

    def visit(self, client: Client, request: str) -> Visit:
        """Return what counts the *request*, and hold a place for it, until `told` ends it.

        Raises `ClientLimited`, `ClientOutOfBudget`, or `PoolUnavailable`.
        """
        refused = self._budgets.check(client.name, request)
        if refused is not None:
            raise self._refusal(client, refused)
        return Visit(client, self._budgets, request)

    def wait(self, client: Client, request: str) -> float:
        """Return the seconds until the client may ask once more, with *request* over."""
        return self._budgets.wait(client.name, request) if client.limits else 0.0

    def left(self, client: Client, request: str) -> Left:
        """Return what is left to the client; *request* counts only if it was sent."""
        return self._budgets.left(client.name, request)

    def budget(self, client: Client) -> Share | None:
        """Return the client's budget of points, of several the one with the least left; None if it
        has none."""
        limits = client.limits
        if not (limits.points_per_day or limits.points_per_month):
            return None
        now = self._budgets.standing(client.name)
        budgets = (
            (limits.points_per_day, now.points, now.next_day),
            (limits.points_per_month, now.points_of_month, now.next_month),
        )
        return min(
            (
                Share(most=most, left=most - min(used, most), seconds=until - self._wall())
                for most, used, until in budgets
                if most
            ),
            key=lambda one: one.left,
        )

    def told(self, record: Record) -> None:
        """Add what the request of *record* took, which is over."""
        if not record.client:
            return
        seen = self._seen.get(record.client)
        if seen is None:
            seen = self._seen[record.client] = _Seen()
        seen.at = record.at
        if record.code and record.status >= 400 and not record.was_asked:
            seen.refused[record.code] += 1
        self._budgets.add(
            record.id,
            tokens=record.tokens_in + record.tokens_out,
            points=points_of(record),
            is_exact=record.points is not None,
        )

    def overview(self) -> list[dict[str, Any]]:
        """Return what `GET /admin/clients` shows: an object for each client, in their order. Times
        are in UTC; what is not limited, or not known, is None."""
        used = self._budgets.standings([client.name for client in self.known])
        by_all = self._seen_by_all()
        seen = self._seen
        if by_all is not None:
            seen = {name: _Seen(at, Counter(refused)) for name, (at, refused) in by_all.items()}
        return [
            self._shown(client, used[client.name], seen.get(client.name, _Seen()))
            for client in self.known
        ]

    def _shown(self, client: Client, now: Standing, seen: _Seen) -> dict[str, Any]:
        limits = client.limits
        return {
            "name": client.name,
            "enabled": client.enabled,
            "until": None if client.until == inf else stamp(client.until),
            "last_seen": stamp(seen.at) if seen.at else None,
            "under_way": now.under_way,
            "requests": {"today": now.requests, "limit": limits.per_day or None},
            "tokens": {"today": now.tokens, "limit": limits.tokens_per_day or None},
            "points": {
                "today": now.points,
                "exact": now.exact_points,
                "estimated": now.points - now.exact_points,
                "limit": limits.points_per_day or None,
                "month": now.points_of_month,
                "month_limit": limits.points_per_month or None,
            },
            "next_day": stamp(now.next_day),
            "next_month": stamp(now.next_month),
            "refused": dict(seen.refused),
            "limits": {name: most for name in _SAID if (most := getattr(limits, name))},
            "models": list(client.permission.models),
            "not_models": list(client.permission.not_models),
            "accounts": sorted(client.accounts),
            "priority": client.priority,
        }

    def _refusal(self, client: Client, refused: Refused) -> ClientLimited:
        """Return what a client is told whose limit stands in the way."""
        limit = _SAID[refused.limit].format(most=refused.most)
        whose = f"client {client.name}: {limit} ({refused.limit} in CLIENTS)"
        if refused.limit in BUDGETS:
            return ClientOutOfBudget(
                f"This is the budget of {whose}. It is used up until "
                f"{shown(self._wall() + refused.seconds)}.",
                retry_after=refused.seconds,
            )
        if refused.limit == "at_a_time":
            when = "Wait for one of them to end."
        elif refused.limit == "per_day":
            when = f"The next day begins at {shown(self._wall() + refused.seconds)}."
        else:
            when = f"Try again in {max(1, ceil(refused.seconds))} s."
        return ClientLimited(f"This is the limit of {whose}. {when}", retry_after=refused.seconds)


def points_of(record: Record) -> int:
    """Return the points that a request took: as Poe says, or as they are estimated."""
    exact = record.points
    return (record.estimated_points or 0) if exact is None else exact
