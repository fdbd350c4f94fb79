"""What a run says: figures for people to judge, and facts that must be so on any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .catalogue import KINDS
from .servers import asked_against_the_rules, forged_lines, starts, tracebacks

#: The aims: seconds at the 99th percentile, and MB.
FIRST_TEXT: Final = 1.0
HEALTH: Final = 0.2
MEMORY: Final = 400.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of an honest client."""

    who: str
    began: float
    #: Seconds to the first text, or to the answer; to the failure, if it failed.
    took: float
    #: What failed; empty if nothing did.
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was recorded in a run."""

    probes: Sequence[Probe]
    #: Kinds of abuse, and how often each outcome came.
    outcomes: Mapping[str, Mapping[str, int]]
    #: Marks of prompts that were answered, although nobody need have asked them.
    answered: Sequence[str]
    #: MB before the abuse, and at each look during it.
    memory_before: float
    memory: Sequence[float]
    log: str
    journal: Sequence[Mapping[str, Any]]
    #: Whether the server still served at the end.
    is_alive: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the run, and what it should be below; None: nothing in particular."""

    name: str
    value: float
    unit: str
    aim: float | None = None

    @property
    def is_reached(self) -> bool:
        return self.aim is None or self.value < self.aim


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which that *part* of all lies; infinite if there is none."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def figures(run: Run) -> list[Figure]:
    """Return the figures. What failed counts as a wait without an end."""
    found = []
    for who in ("key", "cookie"):
        times = [_wait(one) for one in run.probes if one.who == who]
        found += [
            Figure(f"first text by {who}, p50", percentile(times, 0.5), "s"),
            Figure(f"first text by {who}, p99", percentile(times, 0.99), "s", FIRST_TEXT),
        ]
    health = [_wait(one) for one in run.probes if one.who == "health"]
    direct = [_wait(one) for one in run.probes if one.who == "direct"]
    answered = [one.took for one in run.probes if one.who != "direct"]
    return [
        *found,
        Figure("/health, p50", percentile(health, 0.5), "s"),
        Figure("/health, p99", percentile(health, 0.99), "s", HEALTH),
        Figure("longest wait of anybody honest", max(answered, default=float("inf")), "s"),
        Figure("first text without the server, p99", percentile(direct, 0.99), "s"),
        Figure("memory before", run.memory_before, "MB"),
        Figure("memory, peak", max(run.memory, default=0.0), "MB", MEMORY),
        Figure("memory at the end", run.memory[-1] if run.memory else 0.0, "MB"),
    ]


def _wait(probe: Probe) -> float:
    return float("inf") if probe.failure else probe.took


def facts(run: Run) -> Iterator[str]:
    """Yield what must not be, whatever the machine."""
    if not run.is_alive:
        yield "the server does not answer any more"
    if (again := starts(run.log) - 1) > 0:
        yield f"the worker was started anew {again} times"
    if count := tracebacks(run.log):
        yield f"the log has {count} tracebacks"
    if lines := forged_lines(run.log):
        yield f"the log has {len(lines)} forged lines, such as {lines[0][:100]!r}"
    if marks := asked_against_the_rules(run.journal, run.answered):
        kinds = Counter(mark.split("-", 1)[1].rpartition("-")[0] for mark in marks)
        yield f"prompts were asked that nobody should have asked: {_counts(kinds)}"
    for who in ("key", "cookie", "health"):
        asked = [one for one in run.probes if one.who == who]
        failed = Counter(one.failure for one in asked if one.failure)
        if failed:
            share = f"{failed.total()} of {len(asked)}"
            yield f"{share} honest requests ({who}) failed: {_counts(failed)}"
        if not asked:
            yield f"no honest request ({who}) was made"


def wrong_answers(run: Run) -> Iterator[str]:
    """Yield, for each kind of abuse, the outcomes that are not right for it."""
    for name, outcomes in sorted(run.outcomes.items()):
        wrong = Counter(
            {one: n for one, n in outcomes.items() if not KINDS[name].is_right(one, busy=True)}
        )
        if wrong:
            yield f"{name}: {_counts(wrong)}, of {sum(outcomes.values())}"


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counted.most_common())


def table(run: Run) -> str:
    """Return what a run was, as a table."""
    deeds = sum(sum(outcomes.values()) for outcomes in run.outcomes.values())
    asked = Counter(one.who for one in run.probes)
    lines = [
        f"{len(run.outcomes)} kinds of abuse, {deeds} deeds; honest requests: {_counts(asked)}",
        "",
        f"{'':<38}{'figure':>10}   aim",
    ]
    for one in figures(run):
        number = f"{one.value:.0f}" if one.unit == "MB" else f"{one.value:.3f}"
        aim = "" if one.aim is None else f"< {one.aim:g} {one.unit}"
        missed = "" if one.is_reached else "   MISSED"
        lines.append(f"{one.name:<38}{number:>7} {one.unit:<2}   {aim}{missed}".rstrip())
    lines += ["", *(f"odd answer to {one}" for one in wrong_answers(run))]
    return "\n".join(lines).rstrip()
