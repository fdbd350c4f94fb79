"""The hunt in short, and that it finds what is planted."""

from __future__ import annotations

import json
import mmap
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.budget import Budget, Processor
from poe_proxy.errors import InvalidRequest

from .hunt import Find, Hunt, Input, grows, keep
from .mutators import change_json, mutated, reduced
from .targets import TARGETS, Target
from .watch import measure

_SEEDS = [b'{"a": [1, "b"]}', b"some words"]


def times(number: int) -> Callable[..., bool]:
    """A function that is true so often."""
    counted = count()
    return lambda *given: next(counted) < number


def planted(read: Callable[[bytes], object], *, is_apart: bool = False) -> dict[str, Target]:
    target = Target("planted", _SEEDS, lambda payload, rng: read(payload), is_apart=is_apart)
    return {"planted": target}


class Clock:
    """Seconds of computing, spent by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ---- the product


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_raises_what_it_should_not(name: str) -> None:
    """A hundred small inputs for each target; `make fuzz` has large ones, and looks at time."""
    hunt = Hunt({name: TARGETS[name]}, 1, largest=1500, stalls=False)
    hunt.run(times(100))

    assert 100 == hunt.read[name]
    assert [] == [find.evidence for find in hunt.finds]


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_sound_is_read_to_its_end(name: str) -> None:
    """Not all inputs that the others are made of are refused: they lead deep into the code."""
    target, read = TARGETS[name], 0
    for seed in target.seeds:
        for number in range(8):
            try:
                target.read(seed, random.Random(number))
            except target.allowed:
                continue
            read += 1

    assert len(target.seeds) <= read


# ---- what is planted is found


def test_a_bug_is_found_and_made_small(tmp_path: Path) -> None:
    """What is raised and should not be is found once, and its input is as small as it can be."""

    def read(payload: bytes) -> None:
        if payload.count(b"\0") > 1:
            raise KeyError("two of them")
        raise InvalidRequest("no")

    hunt = Hunt(planted(read), 1, largest=5000, stalls=False)
    hunt.run(times(300))
    (found,) = hunt.finds
    file = keep(found, tmp_path)

    assert ("failure", "planted") == (found.kind, found.target)
    assert "KeyError: 'two of them'" in found.evidence
    assert file is not None
    assert b"\0\0" == Input.read(file.read_bytes()).payload


def test_a_quadratic_parser_is_found() -> None:
    """A stretch that grows with the square of the input is too long for a large one."""
    clock = Clock()

    def read(payload: bytes) -> None:
        clock.now += 1e-9 * len(payload) ** 2

    hunt = Hunt(planted(read), 1, largest=100_000, clock=clock)
    hunt.run(times(100))
    (found,) = hunt.finds

    assert "stall" == found.kind
    assert found.input is not None
    # As large as it must be to hold up the others by some more than it may.
    assert 14_000 <= len(found.input.payload) <= 40_000


def test_a_turn_for_the_others_ends_a_stretch() -> None:
    """Work that breathes may take as long as it likes."""
    clock = Clock()

    def read(payload: bytes) -> None:
        budget = Budget(1e9, processor=Processor(clock=clock))
        with budget.work("reading"):
            for _ in range(len(payload)):
                clock.now += 0.05
                budget.breathe()

    hunt = Hunt(planted(read), 1, largest=1000, clock=clock)
    hunt.run(times(50))

    assert [] == hunt.finds


def test_a_process_of_its_own_holds_nobody_up() -> None:
    """It may take longer than the others could wait; what it must not raise is found all the
    same."""
    clock = Clock()

    def read(payload: bytes) -> None:
        clock.now += 0.5
        if payload.count(b"\0") > 1:
            raise KeyError

    hunt = Hunt(planted(read, is_apart=True), 1, largest=5000, clock=clock)
    hunt.run(times(300))

    assert ["failure"] == [find.kind for find in hunt.finds]


def test_a_stall_that_does_not_come_again_is_none() -> None:
    """A machine with other things to do does not fail a hunt."""
    clock, calls = Clock(), count()

    def read(payload: bytes) -> None:
        clock.now += 0.5 if next(calls) % 3 == 0 else 0.0

    hunt = Hunt(planted(read), 1, largest=1000, clock=clock)
    hunt.run(times(50))

    assert [] == hunt.finds


def test_a_parser_without_an_end_is_given_up() -> None:
    """Not even one that catches every exception goes on for ever."""

    def read(payload: bytes) -> None:
        while True:
            try:
                for _ in range(1000):
                    pass
            except Exception:
                continue

    cost = measure(lambda: read(b""), give_up=0.1)

    assert 0.05 < cost.stretch


def test_a_leak_is_found() -> None:
    """What is never given back makes the process grow from the end of the warm-up to the end."""
    kept = []
    hunt = Hunt(planted(lambda payload: kept.append(payload)), 1, largest=5000)
    counted = count()
    grows(
        hunt,
        lambda part: next(counted) < 100 * part,
        weigh=lambda: float(len(kept)),
        most=50,
    )

    assert ["growth"] == [find.kind for find in hunt.finds]


def test_an_input_that_takes_much_memory_is_found() -> None:
    """Although it gives all of it back."""

    def read(payload: bytes) -> None:
        # Not by `malloc`: it may have so much left of what other tests have freed.
        with mmap.mmap(-1, 50_000_000) as room:
            for page in range(0, len(room), mmap.PAGESIZE):
                room[page] = 1

    hunt = Hunt(planted(read), 1, clock=Clock(), bloat=20, tries=5)
    hunt.try_out(Input("planted", 1, b"x" * 100_000))

    assert ["bloat"] == [find.kind for find in hunt.finds]


# ---- how inputs are made


def test_a_seed_is_a_hunt() -> None:
    """The same seed makes the same inputs, and no two are alike for long."""
    runs = [
        [mutated(_SEEDS, rng, 10_000) for _ in range(200)]
        for rng in (random.Random(7), random.Random(7), random.Random(8))
    ]

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert 150 < len(set(runs[0]))
    assert 10_000 == max(map(len, runs[0]))


@pytest.mark.parametrize(
    "tree",
    [{"a": "x" * 50_000}, {"x" * 50_000: "a"}, [["a"] * 10_000]],
    ids=["value", "key", "list"],
)
def test_what_is_large_already_is_not_made_many_times_as_large(tree: Any) -> None:
    """Otherwise the hunt would spend its time on writing gigabytes."""
    most = 100_000
    payload = json.dumps(tree).encode()
    longest = max(len(change_json(payload, random.Random(seed), most)) for seed in range(200))

    # Twice as much with what was there; and a letter may be written as six.
    assert longest <= 2 * 6 * most


def test_reduction_keeps_what_matters() -> None:
    """Everything that can be left out is left out, in as many tries as there may be."""
    payload = b"x" * 1000 + b"ab" + b"y" * 3000

    assert b"ab" == reduced(payload, lambda one: b"ab" in one, lambda: True)
    assert payload == reduced(payload, lambda one: b"ab" in one, lambda: False)


def test_a_find_is_kept_as_it_was(tmp_path: Path) -> None:
    """A file that was kept is the same input again."""
    given = Input("planted", 42, b"fuzz\n\xff\0")
    file = keep(Find("failure", "planted", "x", "y", given), tmp_path)

    assert file is not None
    assert given == Input.read(file.read_bytes())
    assert keep(Find("growth", "all", "", "y"), tmp_path) is None
