"""What the pool of several workers needs of the way to Redis, and of its worker's life."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from poe_proxy.errors import PoolUnavailable
from poe_proxy.shared.calling import AGAIN, Caller

#: What is told without waiting for an answer.
_NOTED: Final = frozenset(
    {
        *("rest", "strike", "clear", "exhaust", "suspend"),
        *("reconsider", "revive", "pause", "bring_back", "retire"),
    }
)


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

    on_message: Callable[[dict[str, Any]], object]
    on_stranger: list[Callable[[], object]]
    on_beat: Callable[[Mapping[str, Any]], object]
    holds: Callable[[], Collection[str] | None]


class Noting:
    """A courier that tells what a ledger is told, and lets nobody wait for it: it reaches Redis
    before all that is asked later."""

    def __init__(self, courier: Courier, when_told: Callable[[], object]) -> None:
        """*when_told* is called after each act that may have changed something."""
        self._courier = courier
        self._when_told = when_told

    def call(self, *act: Any) -> Any:
        if act[0] not in _NOTED:
            return self._courier.call(*act)
        self._courier.note(*act)
        self._when_told()
        return True


def unavailable() -> PoolUnavailable:
    """Return the refusal of a request for which nobody can say who may serve it."""
    return PoolUnavailable(
        "The pool of accounts cannot be reached: Redis is away.", retry_after=AGAIN
    )
