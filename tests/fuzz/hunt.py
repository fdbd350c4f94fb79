"""The hunt: inputs are made worse and worse, and read; what is found is made small and kept."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .mutators import mutated, reduced
from .targets import Target
from .watch import Cost, measure, memory

#: Seconds for which nothing may hold up the others.
STALL: Final = 0.2
#: MB that one input may take at its worst.
BLOAT: Final = 200.0
#: MB that the process may grow by, from the end of the warm-up to the end.
GROWTH: Final = 64.0
#: Bytes of an input, at most; those of more than so many are weighed.
LARGEST: Final = 3_000_000
_HEAVY: Final = 30_000
#: How often a stall is measured anew before it counts.
_AGAIN: Final = 3
#: The part of a hunt after which all code is imported, and caches are as full as they get.
_WARM: Final = 0.25
#: Seconds of computing for making a find small.
_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Input:
    """An input, and the seed by which its target draws how it is read."""

    target: str
    seed: int
    payload: bytes = field(repr=False)

    def written(self) -> bytes:
        """Return it as a file."""
        return f"fuzz {self.target} {self.seed}\n".encode() + self.payload

    @classmethod
    def read(cls, written: bytes) -> Input:
        """Return the input in a file."""
        head, _, payload = written.partition(b"\n")
        _, target, seed = head.decode().split()
        return cls(target, int(seed), payload)


@dataclass(frozen=True, slots=True)
class Find:
    """Something that must not be."""

    #: failure, stall, bloat or growth.
    kind: str
    target: str
    place: str
    #: A traceback, or the figure.
    evidence: str = field(repr=False)
    input: Input | None = None


class Hunt:
    """A hunt for what *targets* cannot stand."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        seed: int,
        *,
        largest: int = LARGEST,
        clock: Callable[[], float] = time.thread_time,
        stalls: bool = True,
        bloat: float = BLOAT,
        tries: int = 500,
    ) -> None:
        """*clock* counts seconds of computing. Without *stalls* only what is raised counts.

        *bloat* is how many MB one input may take, and *tries* is how often a find is made smaller.
        """
        self.finds: list[Find] = []
        #: How many inputs each target has read, and MB by which the process grew meanwhile.
        self.read: Counter[str] = Counter()
        self.grown: Counter[str] = Counter()
        self._targets = targets
        self._rng = random.Random(seed)
        self._largest = largest
        self._clock = clock
        self._stalls = stalls
        self._bloat = bloat
        self._tries = tries
        self._known: set[tuple[str, str, str]] = set()

    def run(self, goes_on: Callable[[], bool], folder: Path | None = None) -> None:
        """Read one input after another for as long as it *goes on*.

        The input at hand is in *folder*, in case nothing is left to say which one it was.
        """
        names = sorted(self._targets)
        while goes_on():
            target = self._targets[self._rng.choice(names)]
            largest = self._rng.choice((2000, 20_000, 200_000, self._largest))
            payload = mutated(target.seeds, self._rng, min(largest, self._largest))
            given = Input(target.name, self._rng.randrange(1000), payload)
            if folder is not None:
                (folder / "at-hand").write_bytes(given.written())
            self.try_out(given)

    def try_out(self, given: Input) -> None:
        """Read one input, and note what is found."""
        cost = self.cost(given)
        self.read[given.target] += 1
        for kind, evidence in self._wrong(given, cost):
            mark = (kind, given.target, cost.place)
            if mark in self._known or (kind == "stall" and not self._is_slow(given)):
                continue
            self._known.add(mark)
            small = self._reduced(given, kind, cost.place)
            self.finds.append(Find(kind, given.target, cost.place, evidence, small))

    def cost(self, given: Input) -> Cost:
        """Return what an input costs."""
        target = self._targets[given.target]
        return measure(
            lambda: target.read(given.payload, random.Random(given.seed)),
            target.allowed,
            clock=self._clock,
            weighs=self._stalls and len(given.payload) > _HEAVY,
        )

    def _wrong(self, given: Input, cost: Cost, margin: float = 1.0) -> Iterable[tuple[str, str]]:
        is_apart = self._targets[given.target].is_apart
        if cost.failure:
            yield "failure", cost.failure
        elif self._stalls and not is_apart and cost.stretch > margin * STALL:
            yield "stall", f"{cost.stretch:.2f} s"
        if self._stalls and cost.peak > self._bloat:
            yield "bloat", f"{cost.peak:.0f} MB"

    def _is_slow(self, given: Input) -> bool:
        """Whether it is slow each time, and not only while the machine had other things to do."""
        return all(self.cost(given).stretch > STALL for _ in range(_AGAIN))

    def _reduced(self, given: Input, kind: str, place: str) -> Input:
        # A stall that is only just one would not be one each time.
        margin = 1.5 if self.cost(given).stretch > 1.5 * STALL else 1.0
        until, tries = time.process_time() + _SECONDS, iter(range(self._tries))

        def still(payload: bytes) -> bool:
            cost = self.cost(Input(given.target, given.seed, payload))
            return any(one == kind for one, _ in self._wrong(given, cost, margin)) and (
                kind == "bloat" or cost.place == place
            )

        def goes_on() -> bool:
            return time.process_time() < until and next(tries, None) is not None

        return Input(given.target, given.seed, reduced(given.payload, still, goes_on))


def grows(
    hunt: Hunt,
    goes_on: Callable[[float], bool],
    folder: Path | None = None,
    *,
    weigh: Callable[[], float] = memory,
    most: float = GROWTH,
) -> None:
    """Let *hunt* run to the end of the warm-up and then to its end; note whether it has grown.

    *goes_on* says whether a part of the whole is not over yet.
    """
    hunt.run(lambda: goes_on(_WARM), folder)
    before = weigh()
    hunt.run(lambda: goes_on(1.0), folder)
    if (grown := weigh() - before) > most:
        hunt.finds.append(Find("growth", "all", "", f"{grown:.0f} MB after the warm-up"))


def keep(find: Find, folder: Path) -> Path | None:
    """Write the input of a find into *folder*; return the file."""
    if find.input is None:
        return None
    written = find.input.written()
    name = f"{find.kind}-{find.target}-{hashlib.sha256(written).hexdigest()[:8]}"
    (folder / name).write_bytes(written)
    return folder / name
