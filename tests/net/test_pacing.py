"""Turns for the others, within work that belongs to no request."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from poe_proxy import flight
from poe_proxy.budget import OWN, Budget, Processor
from poe_proxy.net import pacing
from poe_proxy.net.background import Background

from ..fakes import Clock


def test_each_thread_has_a_pace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It breathes for itself, and never runs out."""
    given: list[float] = []
    breaths: list[object] = []

    class Counting:
        def __init__(self, seconds: float) -> None:
            given.append(seconds)

        def breathe(self) -> None:
            breaths.append(self)

    monkeypatch.setattr(pacing, "Budget", Counting)
    for _ in range(2):
        Background(lambda: [pacing.breathe() for _ in range(3)]).result()

    assert [math.inf] * 2 == given
    assert [3, 3] == [breaths.count(breaths[0]), breaths.count(breaths[-1])]


def test_the_watchdog_knows_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage, and that it is for no request."""
    notes: list[flight.Note | None] = []
    monkeypatch.setattr(flight, "recorder", SimpleNamespace(write=notes.append))

    def compute() -> None:
        with pacing.work("reading a page"):
            notes.append(None)

    Background(compute).result()

    assert [flight.Note("reading a page", None), None, None] == notes


# ---- floods


@pytest.mark.parametrize(
    ("seconds", "pauses"),
    [(0.0, 3), (0.9 / pacing.FAST, 3), (1.1 / pacing.FAST, 0), (0.02, 0)],
    ids=["at once", "faster than anybody reads", "as fast as one may read", "as bots write"],
)
def test_a_flood_waits_its_turn(
    monkeypatch: pytest.MonkeyPatch, seconds: float, pauses: int
) -> None:
    """After each row of pieces that have come within a short time; what comes slower never waits,
    however much it is."""
    taken: list[None] = []
    monkeypatch.setattr(pacing._floods, "wait", lambda: taken.append(None))
    now = 0.0
    flood = pacing.Flood(lambda: now)
    for _ in range(3 * pacing.IN_A_ROW):
        now += seconds
        flood.came()

    assert pauses == len(taken)


def test_few_pieces_have_a_short_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter than a thread on which many wait: a bot holds up nobody but its own client."""
    clock, turns = Clock(), 0

    def rest(seconds: float) -> None:
        nonlocal turns
        turns += 1

    budget = Budget(processor=Processor(clock=clock, sleep=rest))
    monkeypatch.setattr(pacing._this_thread, "budget", budget)
    flood = pacing.Flood(lambda: 0.0)
    flood.came()
    clock.go(1.5 * OWN)
    pacing.breathe()
    assert 0 == turns
    flood.came()
    assert 1 == turns


@pytest.mark.parametrize(("size", "pauses"), [(pacing.LARGE - 1, 0), (15 * pacing.LARGE, 1)])
def test_large_pieces_count_more(monkeypatch: pytest.MonkeyPatch, size: int, pauses: int) -> None:
    """A megabyte is a flood, in however few pieces it comes."""
    taken: list[None] = []
    monkeypatch.setattr(pacing._floods, "wait", lambda: taken.append(None))
    flood = pacing.Flood(lambda: 0.0)
    for _ in range(2):
        flood.came(size)

    assert pauses == len(taken)
