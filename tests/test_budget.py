"""What one request may cost: what counts, who has a turn in between, and when it is over."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from poe_proxy import flight
from poe_proxy.budget import (
    FREE,
    LONG,
    LONG_PAUSE,
    PAUSE,
    SHARED,
    SHORT,
    TURN,
    Budget,
    Lane,
    Line,
    OutOfBudget,
    Processor,
    TooBusy,
)

from .fakes import until


@dataclass
class Machine:
    """A clock of computing that is moved by hand, and the turns of others."""

    now: float = 0.0
    #: When they began.
    turns: list[float] = field(default_factory=list)
    #: How each was given: `PAUSE`, or the most that was waited until nobody else computed.
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.processor = Processor(clock=lambda: self.now, sleep=self.rest)
        self.processor.until_idle = self.rest

    @property
    def lane(self) -> Lane:
        return self.processor.lane

    def rest(self, seconds: float) -> None:
        """Others have their turn, in which they compute for ever."""
        self.turns.append(self.now)
        self.pauses.append(seconds)
        self.now += 1000

    def budget(self, seconds: float) -> Budget:
        return Budget(seconds, processor=self.processor)

    def is_free(self) -> bool:
        """Whether nobody is in the lane."""
        if not self.lane.enter(0, 0):
            return False
        self.lane.leave()
        return True


@pytest.fixture
def cpu() -> Machine:
    return Machine()


def test_all_work_counts_whatever_it_is_spent_on(cpu: Machine) -> None:
    """What was computed in two stages is one sum."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.now += 0.25
    cpu.now += 10  # for others
    with budget.work("checking"):
        cpu.now += 0.5

    assert 0.25 == budget.left


def test_nested_work_counts_once(cpu: Machine) -> None:
    """A stage within a stage costs what it costs, and the outer one goes on."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.now += 0.125
        with budget.work("checking"):
            cpu.now += 0.25
        cpu.now += 0.125

    assert 0.5 == budget.left


def test_waiting_aside_costs_nothing(cpu: Machine) -> None:
    """While the request waits, others compute, and that is not its own."""
    budget = cpu.budget(1.0)
    with budget.work("checking"):
        cpu.now += 0.25
        with budget.aside():
            cpu.now += 100
        cpu.now += 0.25

    assert 0.5 == budget.left


def test_what_another_process_computed_counts(cpu: Machine) -> None:
    """It is charged by whoever knows it, and nothing is left that could be less than nothing."""
    budget = cpu.budget(1.0)
    budget.charge(0.75)
    left = budget.left
    budget.charge(5)

    assert (0.25, 0.0) == (left, budget.left)


def test_nothing_is_begun_when_nothing_is_left(cpu: Machine) -> None:
    """A request that has cost as much as it may begins no further work."""
    budget = cpu.budget(1.0)
    budget.charge(1.0)

    with pytest.raises(OutOfBudget), budget.work("reading"):
        pytest.fail("work was begun")


def test_others_have_their_turn_after_each_stretch(cpu: Machine) -> None:
    """A request that computes for long gives way as soon as its turn is over, and no earlier; what
    others compute then is not its own."""
    budget = cpu.budget(1.0)
    held = []
    with budget.work("reading"):
        before = cpu.now
        for _ in range(1000):
            cpu.now += TURN / 8
            turns = len(cpu.turns)
            budget.breathe()
            if len(cpu.turns) > turns:
                held.append(cpu.turns[-1] - before)
                before = cpu.now
            if len(held) == 4:
                break

    assert [FREE, TURN, TURN, TURN] == pytest.approx(held, abs=TURN / 4)
    assert {LONG_PAUSE} == set(cpu.pauses)
    assert 1.0 - sum(held) == pytest.approx(budget.left)


def test_a_stretch_is_one_thread_s_own(cpu: Machine) -> None:
    """What others have computed in the meantime is not held against a request: it was they who had
    a turn."""
    mine, theirs = cpu.budget(1.0), cpu.budget(1.0)

    def compute() -> None:
        with theirs.work("reading"):
            cpu.now += FREE / 2
            theirs.breathe()

    with mine.work("reading"):
        for _ in range(10):
            other = threading.Thread(target=compute)
            other.start()
            other.join()
            cpu.now += FREE / 2
            mine.breathe()

    assert [] == cpu.turns


def test_what_all_wait_for_pauses_briefly(cpu: Machine) -> None:
    """Code that belongs to no request may be that on which many wait: it computes for longer, and
    then lets each of the others have one turn."""
    budget = cpu.budget(1.0)
    budget.breathe()
    cpu.now += SHARED * 0.9
    budget.breathe()
    before = list(cpu.pauses)
    cpu.now += SHARED * 0.2
    budget.breathe()

    assert ([], [PAUSE]) == (before, cpu.pauses)


def test_waiting_is_no_computing() -> None:
    """A thread that has waited since its last turn has not held up the others; the clock that is
    asked for that is asked only if it may have."""
    asked: list[float] = []
    wall, cpu = [0.0], [0.0]

    def clock() -> float:
        asked.append(wall[0])
        return cpu[0]

    processor = Processor(clock=clock, wall=lambda: wall[0])
    held = [processor.is_held(1.0)]
    for computed, waited in ((0.4, 0.0), (0.4, 5.0), (0.1, 0.0), (0.2, 0.0)):
        cpu[0] += computed
        wall[0] += computed + waited
        held.append(processor.is_held(1.0))

    assert [False, False, False, False, True] == held
    assert 3 == len(asked)


@pytest.mark.parametrize(("computed", "waited"), [(0.0003, 0.0), (0.3, 0.0), (0.3, 0.2)])
def test_a_stage_counts_what_it_computed(computed: float, waited: float) -> None:
    """One that ends at once is counted by the cheap clock. Only of one that lasts is it asked how
    much of that it has computed: the machine may have computed something else meanwhile."""
    asked: list[float] = []
    wall, cpu = [0.0], [0.0]

    def clock() -> float:
        asked.append(wall[0])
        return cpu[0]

    budget = Budget(1.0, processor=Processor(clock=clock, wall=lambda: wall[0]))
    for _ in range(2):
        with budget.work("reading"):
            cpu[0] += computed
            wall[0] += computed + waited

    assert 1.0 - 2 * computed == pytest.approx(budget.left)
    assert (1 if computed < FREE else 4) == len(asked)


def test_what_every_request_costs_is_no_reason_to_wait(cpu: Machine) -> None:
    """On a slow machine a request that has computed next to nothing in its stages holds up the
    others as long as one that reads a lot; only that one has to wait for them."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.now += FREE * 0.4
    cpu.now += FREE * 10
    with budget.work("reading"):
        cpu.now += FREE * 0.4
        budget.breathe()
        before = list(cpu.pauses)
        cpu.now += FREE * 0.4
        budget.breathe()

    assert ([], [LONG_PAUSE]) == (before, cpu.pauses)


def test_garbage_is_no_reason_to_wait(cpu: Machine) -> None:
    """Python looks for it when so much was made, by all requests: that it comes upon one of them
    is no fault of that one. It counts as computing all the same."""
    budget = cpu.budget(1.0)
    with budget.work("reading"):
        cpu.processor.collects("start", {})
        cpu.now += FREE * 5
        cpu.processor.collects("stop", {})
        budget.breathe()
        before = list(cpu.pauses)
        cpu.now += FREE
        budget.breathe()

    assert ([], [LONG_PAUSE]) == (before, cpu.pauses)
    assert 1.0 - 6 * FREE == pytest.approx(budget.left)


def test_garbage_of_others_is_not_one_s_own(cpu: Machine) -> None:
    """What was looked for while a request waited lets it compute no longer."""
    budget = cpu.budget(1.0)
    for _ in range(2):
        cpu.processor.collects("start", {})
        cpu.now += FREE * 5
        cpu.processor.collects("stop", {})
        with budget.work("reading"):
            cpu.now += FREE * 0.6
            budget.breathe()

    assert [LONG_PAUSE] == cpu.pauses


def test_whoever_had_no_turn_in_this_round_has_held_up_nobody(cpu: Machine) -> None:
    """What others computed while it waited is not its own, even if none of them said so."""
    now = [0]
    cpu.processor.round = lambda: now[0]
    budget = cpu.budget(1.0)
    budget.breathe()
    cpu.now += SHARED
    now[0] += 1
    budget.breathe()
    before = list(cpu.pauses)
    cpu.now += SHARED
    budget.breathe()

    assert ([], [PAUSE]) == (before, cpu.pauses)


def test_who_stands_in_line_goes_on_one_by_one(cpu: Machine) -> None:
    """Each waits for a moment at which nobody computes, and for all who came before it."""
    line = Line(cpu.processor)
    assert line._is_taken.acquire(timeout=0)
    waiting = threading.Thread(target=line.wait)
    waiting.start()
    waits_behind_another = not cpu.turns
    line._is_taken.release()
    waiting.join()

    assert waits_behind_another
    assert [LONG_PAUSE] == cpu.pauses


def test_work_ends_in_the_middle_when_nothing_is_left(cpu: Machine) -> None:
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
    assert cpu.is_free()


def test_work_that_must_be_done_gives_way_and_goes_on(cpu: Machine) -> None:
    """It lets the others have their turn as ever, and ends although nothing is left, in a stage or
    outside."""
    budget = cpu.budget(4 * TURN)
    with budget.work("reading"):
        for _ in range(8):
            cpu.now += SHARED * 1.5
            budget.pause()
    with pytest.raises(OutOfBudget), budget.work("reading"):
        pytest.fail("work was begun")
    cpu.now += SHARED * 1.5
    budget.pause()

    assert 9 == len(cpu.turns)
    assert 0.0 == budget.left
    assert cpu.is_free()


# ---- the lane


def test_a_little_work_needs_no_lane(cpu: Machine) -> None:
    """Ordinary requests compute whoever is in the lane."""
    cpu.lane.enter(0)
    with cpu.budget(1.0).work("reading"):
        cpu.now += FREE

    assert not cpu.is_free()


def test_long_work_is_done_in_the_lane_and_leaves_it_to_wait(cpu: Machine) -> None:
    """It is taken with the second turn, given back while the request waits, and at the end."""
    budget = cpu.budget(1.0)
    free = []
    with budget.work("reading"):
        free.append(cpu.is_free())
        cpu.now += TURN
        budget.breathe()
        free.append(cpu.is_free())
        with budget.aside():
            free.append(cpu.is_free())
        cpu.now += TURN
        budget.breathe()
        free.append(cpu.is_free())
    free.append(cpu.is_free())

    assert [True, False, True, False, True] == free


def test_one_long_read_is_done_in_the_lane(cpu: Machine) -> None:
    """What cannot give way in between waits for the lane before it begins."""
    budget = cpu.budget(1.0)
    with budget.work("reading", size=LONG):
        short = cpu.is_free()
    with budget.work("reading", size=LONG + 1):
        long = cpu.is_free()

    assert (True, False, True) == (short, long, cpu.is_free())


@pytest.mark.parametrize(
    ("spent", "order"),
    [
        ((0.03, 0.01, 0.02), [0.01, 0.02, 0.03]),
        ((0.3, 0.1, 0.2), [0.3, 0.2, 0.1]),
        ((0.3, 0.02, 0.1, 0.01), [0.01, 0.02, 0.3, 0.1]),
    ],
    ids=["short", "long", "both"],
)
def test_short_work_is_done_first_and_long_work_finished(
    spent: tuple[float, ...], order: list[float]
) -> None:
    """A short piece of work passes long ones that have waited before it; of long ones, whichever is
    nearest to its end goes on, so that not all hold their memory until the last is done."""
    assert all((one < SHORT) == (one < 0.1) for one in spent)
    lane = Lane()
    found: list[float] = []
    lane.enter(0)

    def compute(spent: float) -> None:
        assert lane.enter(spent)
        found.append(spent)
        lane.leave()

    threads = [threading.Thread(target=compute, args=(one,)) for one in spent]
    for thread in threads:
        thread.start()
    until(lambda: len(lane._waiting) == len(spent))
    lane.leave()
    for thread in threads:
        thread.join()

    assert order == found


def test_many_short_turns_in_the_lane_are_a_long_one(cpu: Machine) -> None:
    """Requests that give the lane to each other, one little turn after the other, let the rest have
    theirs as soon as that has been a turn in all."""
    for _ in range(10):
        with cpu.budget(1.0).work("reading", size=LONG + 1):
            cpu.now += TURN / 2

    assert 3 == len(cpu.turns)
    assert cpu.is_free()


def test_nobody_waits_for_the_lane_for_ever(cpu: Machine) -> None:
    """Whoever has no turn in time gives up, and takes no turn from those behind."""
    cpu.lane.enter(0)
    gave_up = [cpu.lane.enter(0.1, patience=0) for _ in range(3)]
    cpu.lane.leave()

    assert [False] * 3 == gave_up
    assert cpu.is_free()


def test_a_request_without_a_turn_is_out_of_budget(
    cpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart from one that cost too much, and leaves nothing behind."""
    monkeypatch.setattr(Lane, "enter", lambda *_: False)
    budget = cpu.budget(1.0)

    def read() -> None:
        with budget.work("reading"):
            cpu.now += TURN
            budget.breathe()

    with pytest.raises(TooBusy):
        read()
    assert 1.0 - TURN == budget.left


# ---- what is seen of it


def test_the_recorder_shows_what_is_being_computed(cpu: Machine) -> None:
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


def test_its_repr_is_a_figure(cpu: Machine) -> None:
    """What is shown of a budget is what is left."""
    assert "Budget(0.500 s left)" == repr(cpu.budget(0.5))
