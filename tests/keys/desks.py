"""Clients that ask, for tests of their budgets, wherever these are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import TypeAlias

import redis

from poe_proxy.clients.budgets import Budgets, Refused
from poe_proxy.clients.client import Limits
from poe_proxy.clients.memory import MemoryBudgets
from poe_proxy.clients.redis import RedisBudgets
from poe_proxy.pool.store.tallies import Tallies
from poe_proxy.shared.teller import Teller

from ..fakes import Clock
from ..shared.direct import Direct

#: 2026-11-30, 00:00 UTC.
MIDNIGHT = 1_796_083_200.0 - 86_400.0
HOUR = 3600.0

#: Makes the budgets of a new process: it gets a clock, and the wall's.
Maker: TypeAlias = Callable[[Clock, Clock], Budgets]


def in_memory(store: Tallies | None = None) -> Maker:
    """Budgets in the process; *store* remembers for the next one."""
    return lambda clock, wall: MemoryBudgets(store=store, clock=clock, wall=wall)


def in_redis(client: redis.Redis) -> Maker:
    """Budgets in a pool of their own there, whose time is that of the wall; each process is a
    worker of its own."""
    pool, names = os.urandom(4).hex(), map(str, count())

    def made(clock: Clock, wall: Clock) -> RedisBudgets:
        caller = Direct(client, wall, worker=next(names), pool=pool)
        return RedisBudgets(caller, Teller(caller), clock=clock, wall=wall)

    return made


class Desk:
    """Budgets of one client, whose requests are numbered."""

    def __init__(self, make: Maker | None = None, begins: float = 0.0, **limits: int) -> None:
        self.clock, self.wall = Clock(), Clock()
        self.wall.now = MIDNIGHT + 6 * HOUR
        self.make, self.begins = make or in_memory(), begins
        self.limits = Limits(**limits)
        self.number = 0
        self.start()

    def start(self) -> None:
        """Let a new process begin."""
        self.budgets = self.make(self.clock, self.wall)
        self.budgets.replace({"alice": self.limits}, begins=self.begins)

    def go(self, seconds: float) -> None:
        self.clock.go(seconds)
        self.wall.go(seconds)

    def check(self) -> Refused | None:
        self.number += 1
        return self.budgets.check("alice", str(self.number))

    def send(self) -> bool:
        """Send a request if it may be; it is under way then."""
        if self.check():
            return False
        self.budgets.charge(str(self.number))
        return True

    def ask(self, tokens: int = 0, points: int = 0, *, is_exact: bool = False) -> bool:
        """Send a request if it may be, and have it answered."""
        is_sent = self.send()
        self.budgets.add(str(self.number), tokens=tokens, points=points, is_exact=is_exact)
        return is_sent
