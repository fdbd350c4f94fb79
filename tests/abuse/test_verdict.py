"""What a run says of what was recorded, one thing wrong at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from .servers import asked_against_the_rules, forged_lines
from .verdict import Probe, Run, facts, figures, percentile, table, wrong_answers

_LOG = "[1] [INFO] Booting worker with pid: 2\nINFO req_1 GET /health 200\n"


def probes(who: str, count: int = 100, *, took: float = 0.01, failure: str = "") -> list[Probe]:
    return [Probe(who, float(n), took, failure) for n in range(count)]


SOUND = Run(
    probes=[one for who in ("key", "cookie", "direct", "health") for one in probes(who)],
    outcomes={"idle": {"held": 3}, "tiny-parts": {"400 request_too_costly": 1, "503 busy": 2}},
    answered=["!mark=never-x-2"],
    memory_before=100.0,
    memory=[120.0, 300.0, 130.0],
    log=_LOG,
    journal=[{"n": 1}, {"mark": "may-x-1"}, {"mark": "never-x-2"}, {"mark": "honest-key-1"}],
)


def test_a_sound_run_has_nothing_wrong() -> None:
    """Every aim is reached, and there is nothing to be told."""
    assert [] == list(facts(SOUND))
    assert [] == list(wrong_answers(SOUND))
    assert all(one.is_reached for one in figures(SOUND))


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (replace(SOUND, is_alive=False), "does not answer"),
        (replace(SOUND, log=_LOG * 3), "started anew 2 times"),
        (replace(SOUND, log=f"{_LOG}Traceback (most recent call last):\n"), "1 tracebacks"),
        (replace(SOUND, log=f"{_LOG}FORGED\n"), "1 forged lines"),
        (replace(SOUND, journal=[{"mark": "never-a-b-7"}]), "asked: a-b (1)"),
        (replace(SOUND, probes=[*SOUND.probes, *probes("key", 2, failure="429 x")]),
         "2 of 102 honest requests (key) failed: 429 x (2)"),
        (replace(SOUND, probes=probes("key") + probes("health")), "(cookie) was made"),
    ],
)  # fmt: skip
def test_what_must_not_be_is_told(run: Run, told: str) -> None:
    """Each fact is found by itself."""
    found = list(facts(run))

    assert 1 == len(found)
    assert told in found[0]


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (replace(SOUND, memory=[401.0]), ["memory, peak"]),
        (replace(SOUND, probes=[*SOUND.probes, *probes("key", 2, took=1.5)]),
         ["first text by key, p99"]),
        (replace(SOUND, probes=[*SOUND.probes, *probes("health", 2, failure="cut")]),
         ["/health, p99"]),
        (replace(SOUND, probes=[*SOUND.probes, *probes("direct", 2, took=9.0)]), []),
    ],
)  # fmt: skip
def test_an_aim_that_is_missed_is_told(run: Run, missed: Sequence[str]) -> None:
    """A failure is a wait without an end; what the machine itself makes slow misses no aim."""
    assert missed == [one.name for one in figures(run) if not one.is_reached]
    assert len(missed) == table(run).count("MISSED")


def test_an_answer_that_is_not_right_is_told() -> None:
    """With how often it came; while others abuse it too, the server may be busy."""
    run = replace(SOUND, outcomes={"tiny-parts": {"500 internal_error": 2, "429 busy": 1}})

    assert ["tiny-parts: 500 internal_error (2), of 3"] == list(wrong_answers(run))


def test_percentiles() -> None:
    """The value that so many are below; of nothing it is infinite."""
    assert [50.0, 99.0] == [percentile([float(n) for n in range(100)], p) for p in (0.5, 0.99)]
    assert float("inf") == percentile([], 0.5)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_a_forged_line_is_one_after_any_line_end(end: str) -> None:
    """Whatever a viewer of logs takes for the end of a line."""
    assert ["FORGED"] == forged_lines(f"INFO x{end}FORGED\n")
    assert [] == forged_lines(f"INFO x{end!r}FORGED\n")


def test_codes_for_a_terminal_are_forged() -> None:
    """A control character that is no white space is nothing that a log should have."""
    assert ["INFO \x1b[31mx", "\x9b31m"] == forged_lines("INFO \x1b[31mx\nINFO\ty\n\x9b31m\n")


def test_only_prompts_that_nobody_answered_are_against_the_rules() -> None:
    """Of those that nobody should have asked."""
    journal = [{"mark": "never-x-1"}, {"mark": "never-x-2"}, {"mark": "may-x-3"}, {}]

    assert ["never-x-1"] == asked_against_the_rules(journal, ["!mark=never-x-2"])
