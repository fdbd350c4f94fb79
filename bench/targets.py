"""What must be true of the figures. A row that misses says in README.md what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Medians, by peer and by name: "whole.cpu".
Medians = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Target:
    """A limit for a figure, or for how many times another it is."""

    what: str
    peer: str
    figure: str
    limit: float
    #: The peer and the figure that it is compared with; none: the limit is the figure's own.
    to: tuple[str, str] | None = None
    unit: str = ""
    #: Whether it is compared by how much more it is, in place of how many times.
    is_difference: bool = False
    #: Whether it is the least that it may be, in place of the most.
    is_least: bool = False

    def value(self, medians: Medians) -> float | None:
        """Return what is limited; None if it was not measured."""
        found = medians.get(self.peer, {}).get(self.figure)
        if found is None or self.to is None:
            return found
        base = medians.get(self.to[0], {}).get(self.to[1])
        if self.is_difference:
            return None if base is None else found - base
        return found / base if base else None

    def is_met(self, value: float) -> bool:
        """Whether it holds."""
        return value >= self.limit if self.is_least else value <= self.limit

    @property
    def bound(self) -> str:
        """The limit in words."""
        unit = f" {self.unit}" if self.unit else " x"
        return f"at {'least' if self.is_least else 'most'} {self.limit:g}{unit}"


def _times(what: str, peer: str, figure: str, limit: float, base: str, other: str = "") -> Target:
    return Target(what, peer, figure, limit, (base, other or figure))


TARGETS: Final = (
    _times("CPU of a whole answer by key, to the bare app", "keys", "whole.cpu", 1.6, "bare"),
    _times("CPU of a whole answer by cookie, to the bare app", "cookies", "whole.cpu", 2.2, "bare"),
    _times("CPU of a saturated piece by key, to the bare app", "keys", "saturated.cpu", 2, "bare"),
    _times("CPU of a spaced piece by key, to the bare app", "keys", "spaced.cpu", 1.3, "bare"),
    _times("CPU of a saturated piece by cookie, to by key", "cookies", "short.cpu", 1.5, "keys"),
    _times("CPU of a spaced piece by cookie, to by key", "cookies", "spaced.cpu", 1.5, "keys"),
    *(
        target
        for peer, way in (("keys", "by key"), ("cookies", "by cookie"))
        for target in (
            _times(
                f"first text {way}, one client, p50 to the bare app's",
                peer,
                "first.p50_1",
                2,
                "bare",
            ),
            _times(
                f"first text {way}, one client, p99 to p50",
                peer,
                "first.p99_1",
                2,
                peer,
                "first.p50_1",
            ),
            _times(
                f"first text {way}, 64 at a time, p99 to p50",
                peer,
                "first.p99_64",
                3,
                peer,
                "first.p50_64",
            ),
        )
    ),
    Target(
        "whole answers by key, to Portkey",
        "keys",
        "whole.rate",
        2,
        ("portkey", "whole.rate"),
        is_least=True,
    ),
    Target(
        "whole answers by key, to LiteLLM",
        "keys",
        "whole.rate",
        10,
        ("litellm", "whole.rate"),
        is_least=True,
    ),
    *(
        target
        for peer, way in (("keys", "by key"), ("cookies", "by cookie"))
        for target in (
            Target(f"memory at start, {way}", peer, "start.memory", 80, unit="MB"),
            Target(f"memory of a silent stream {way}", peer, "silent.each", 45, unit="KB"),
            Target(f"memory kept once 1,000 have left, {way}", peer, "silent.kept", 15, unit="MB"),
            Target(f"CPU of 1,000 silent streams {way}", peer, "silent.cores", 0.02, unit="cores"),
            Target(f"start to first answer, {way}", peer, "start.seconds", 0.7, unit="s"),
        )
    ),
    Target(
        "all that is noted of a whole answer by key",
        "noted",
        "whole.cpu",
        50,
        ("keys", "whole.cpu"),
        unit="µs",
        is_difference=True,
    ),
    *(
        Target(
            f"`GET /{path}` with 2,000 streams open", "noted", f"looks.{path}_max", 50, unit="ms"
        )
        for path in ("health", "ready", "metrics", "status", "status.json")
    ),
    Target(
        "whole answers with the pool in Redis, one worker, to the pool in the process",
        "shared1",
        "whole.rate",
        0.75,
        ("keys", "whole.rate"),
        is_least=True,
    ),
    Target(
        "two workers, to one, a quarter of a core for each",
        "shared2",
        "quarters.rate",
        1.5,
        ("shared1", "quarters.rate"),
        is_least=True,
    ),
    Target("scripts in Redis for a whole answer", "shared1", "redis.scripts", 3, unit="scripts"),
    Target(
        "what the pool in Redis adds to an answer, p50",
        "shared1",
        "alone.p50",
        1,
        ("keys", "alone.p50"),
        unit="ms",
        is_difference=True,
    ),
    Target("the next answer at another worker, p50", "hosts", "wakes.p50", 10, unit="ms"),
    Target("the same, p99", "hosts", "wakes.p99", 100, unit="ms"),
    Target("a dead worker's account is lent again", "hosts", "death.seconds", 16, unit="s"),
    Target("100 KB by cookie, to receiving and dropping it", "cookies", "flood.times", 2, unit="x"),
    Target("another request meanwhile, p99", "cookies", "flood.other_p99", 20, unit="ms"),
    Target(
        "streams with their own exact text, by key",
        "keys",
        "many.right",
        2000,
        is_least=True,
        unit="streams",
    ),
    Target("by cookie", "cookies", "many.right", 2000, is_least=True, unit="streams"),
)
