"""What the pool of several workers needs of the way to Redis, and of its worker's life."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from poe_proxy.errors import PoolUnavailable
from poe_proxy.shared.calling import AGAIN, Caller


class Courier(Caller, Protocol):
    """The way to Redis of one worker. Nobody calls while holding a lock that is taken by whoever
    makes this worker known there."""

    #: Called one after the other, in a thread of the courier's own, when Redis is back.
    on_back: list[Callable[[], object]]

    @property
    def epoch(self) -> str:
        """Since when Redis remembers, as far as this worker knows."""


class Presence(Protocol):
    """This worker among those that share a pool."""

    on_message: list[Callable[[Mapping[str, Any]], object]]
    on_stranger: list[Callable[[], object]]
    on_beat: list[Callable[[Mapping[str, Any]], object]]
    holds: Callable[[], Collection[str] | None]


def unavailable() -> PoolUnavailable:
    """Return the refusal of a request for which nobody can say who may serve it."""
    return PoolUnavailable(
        "The pool of accounts cannot be reached: Redis is away.", retry_after=AGAIN
    )
