"""What one request may cost: what counts, who has a turn in between, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from poe_proxy import flight
from poe_proxy.budget import TURN, Budget, OutOfBudget


@dataclass
class Processor:
    """A clock of computing that is moved by hand, and the turns of others."""

    now: float = 0.0
    turns: list[float] = field(default_factory=list)

    def budget(self, seconds: float) -> Budget:
        return Budget(seconds, clock=lambda: self.now, rest=lambda: self.turns.append(self.now))


@pytest.fixture
def cpu() -> Processor:
    return Processor()


def test_all_work_counts_whatever_it_is_spent_on(cpu: Processor) -> None:
    """What was computed in two stages is one sum."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.now += 0.25
    cpu.now += 10  # for others
    with budget.work("checking"):
        cpu.now += 0.5

    assert 0.25 == budget.left


def test_nested_work_counts_once(cpu: Processor) -> None:
    """A stage within a stage costs what it costs, and the outer one goes on."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.now += 0.125
        with budget.work("checking"):
            cpu.now += 0.25
        cpu.now += 0.125

    assert 0.5 == budget.left


def test_waiting_aside_costs_nothing(cpu: Processor) -> None:
    """While the request waits, others compute, and that is not its own."""
    budget = cpu.budget(1.0)
    with budget.work("checking"):
        cpu.now += 0.25
        with budget.aside():
            cpu.now += 100
        cpu.now += 0.25

    assert 0.5 == budget.left


def test_what_another_process_computed_counts(cpu: Processor) -> None:
    """It is charged by whoever knows it, and nothing is left that could be less than nothing."""
    budget = cpu.budget(1.0)
    budget.charge(0.75)
    left = budget.left
    budget.charge(5)

    assert (0.25, 0.0) == (left, budget.left)


def test_nothing_is_begun_when_nothing_is_left(cpu: Processor) -> None:
    """A request that has cost as much as it may begins no further work."""
    budget = cpu.budget(1.0)
    budget.charge(1.0)

    with pytest.raises(OutOfBudget), budget.work("reading"):
        pytest.fail("work was begun")


def test_others_have_their_turn_after_each_stretch(cpu: Processor) -> None:
    """A request that computes for long gives way as soon as its turn is over, and no earlier."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        for _ in range(6):
            cpu.now += TURN * 0.75
            budget.breathe()

    assert [TURN * 1.5, TURN * 3, TURN * 4.5] == pytest.approx(cpu.turns)


def test_work_ends_in_the_middle_when_nothing_is_left(cpu: Processor) -> None:
    """The sum is looked at after each turn, not only at the beginning."""
    budget = cpu.budget(4 * TURN)

    def read() -> None:
        with budget.work("reading"):
            for _ in range(100):
                cpu.now += TURN * 1.5
                budget.breathe()

    with pytest.raises(OutOfBudget):
        read()
    assert 3 == len(cpu.turns)


def test_the_recorder_shows_what_is_being_computed(cpu: Processor) -> None:
    """The stage is noted while it lasts, the outer one again after an inner, and nothing while
    the request waits or is done."""
    budget = cpu.budget(1.0)
    seen = []

    def look() -> None:
        note = flight.recorder.read()
        seen.append(note and note.stage)

    with budget.work("outer"):
        with budget.work("inner"):
            look()
        look()
        with budget.aside():
            look()
        look()
    look()

    assert ["inner", "outer", None, "outer", None] == seen


def test_its_repr_is_a_figure(cpu: Processor) -> None:
    """What is shown of a budget is what is left."""
    assert "Budget(0.500 s left)" == repr(cpu.budget(0.5))
