"""The ledger in this process: what it remembers, and what a verb costs."""

from __future__ import annotations

from collections.abc import Sequence

from poe_proxy.pool.limits import PerMinute, Rest
from poe_proxy.pool.memory import MemoryLedger

from ..fakes import Clock


class Watching:
    """A limit that allows everything, and keeps what it was asked."""

    def __init__(self, window: float = 0.0) -> None:
        self.window = window
        #: How many uses it was shown, each time.
        self.shown: list[int] = []

    def wait(self, used_at: Sequence[float], now: float) -> float:
        self.shown.append(len(used_at))
        return 0.0


def test_uses_out_of_every_window_are_forgotten() -> None:
    """A token that serves for months does not remember each use."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    watching = Watching()
    ledger.enlist("a", limits=(PerMinute(1000), Rest(0.5), watching))
    for turn in range(500):
        assert "a" == ledger.take(["a"], f"lease {turn}")
        ledger.give_back(f"lease {turn}")
        clock.go(1.0)
    ledger.state(["a"])

    assert 61 == watching.shown[-1]


def test_uses_are_remembered_for_the_longest_window() -> None:
    """One limit with a long memory is enough."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    watching = Watching(window=3600.0)
    ledger.enlist("a", limits=(Rest(0.5), watching))
    for turn in range(100):
        assert "a" == ledger.take(["a"], f"lease {turn}")
        ledger.give_back(f"lease {turn}")
        clock.go(60.0)
    ledger.state(["a"])

    assert 61 == watching.shown[-1]


def test_a_lease_that_is_over_is_forgotten() -> None:
    """What a million requests leave behind is no more than what one of them does."""
    ledger = MemoryLedger(clock=Clock())
    ledger.enlist("a")
    for turn in range(10):
        ledger.take(["a"], f"lease {turn}")
        ledger.give_back(f"lease {turn}")

    assert {} == ledger._loans


def test_no_more_limits_are_asked_than_have_to_be() -> None:
    """The first token that is free is lent, and a full one is not looked at."""
    ledger = MemoryLedger(clock=Clock())
    watching = {name: Watching() for name in "abcdef"}
    for name, limit in watching.items():
        ledger.enlist(name, limits=(limit,))

    assert ["a", "b", "c"] == [ledger.take("abcdef", lease) for lease in ("one", "two", "three")]

    assert [1, 1, 1, 0, 0, 0] == [len(limit.shown) for limit in watching.values()]
