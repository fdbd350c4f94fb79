"""Turns for the others, within work that belongs to no request."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from poe_proxy import flight
from poe_proxy.net import pacing
from poe_proxy.net.background import Background


def test_each_thread_has_a_pace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It breathes for itself, and never runs out."""
    given: list[float] = []
    breaths: list[object] = []

    class Budget:
        def __init__(self, seconds: float) -> None:
            given.append(seconds)

        def breathe(self, *, is_modest: bool) -> None:
            breaths.append(self)

    monkeypatch.setattr(pacing, "Budget", Budget)
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
