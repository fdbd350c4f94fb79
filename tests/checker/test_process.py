"""One process that checks: what it is kept from, and how it ends."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.checker import process as module
from poe_proxy.checker.process import Process, Unavailable
from poe_proxy.checker.program import KEPT

from ..fakes import until
from .jobs import DOUBLED, UNREADABLE, check, is_running, read

#: More than any test takes.
LONG = 60.0


@pytest.fixture
def process() -> Iterator[Process]:
    one = Process(patience=LONG)
    yield one
    one.close()


def test_it_does_one_job_after_the_other(process: Process) -> None:
    """And says what each of them cost."""
    outcomes = [
        process.ask(read({}, {"type": "nothing"}, {}), LONG),
        process.ask(check({"type": "null"}, None), LONG),
        process.ask(check({"type": "null"}, 1), LONG),
    ]

    assert [
        [None, {"rule": "anyOf", "at": ["type"]}],
        [True],
        [False, ['1 is not of type "null"', "type"]],
    ] == [one.answers for one in outcomes]
    assert all(one.is_whole and 0 <= one.after_last <= one.seconds < LONG for one in outcomes)
    assert process.is_fit


#: What costs far more than a job may.
COSTLY = [
    pytest.param(check(DOUBLED, 1), id="references that double"),
    pytest.param(check({"pattern": "^(?:(?=a)a|aa)+$"}, "a" * 60 + "!"), id="backtracking"),
    pytest.param(read(UNREADABLE), id="a schema that cannot be read"),
]


@pytest.mark.parametrize("job", COSTLY)
def test_a_job_that_takes_too_long_is_killed(process: Process, job: bytes) -> None:
    """All that it may cost is counted, and the process is gone."""
    outcome = process.ask(job, 0.05)

    assert ([], False, 0.05, 0.05) == (
        outcome.answers,
        outcome.is_whole,
        outcome.seconds,
        outcome.after_last,
    )
    assert not process.is_fit
    assert not is_running(process.pid)


def test_a_job_that_takes_too_much_memory_is_killed(process: Process) -> None:
    """Whatever time it has. It has said what it knew until then."""
    names = {"enum": [str(place) for place in range(10_000)]}
    value = {f"x{place}": 1 for place in range(10_000)}

    outcome = process.ask(check({"propertyNames": names}, value), LONG)

    assert ([False], False) == (outcome.answers, outcome.is_whole)
    assert not is_running(process.pid)


def test_what_was_answered_before_the_end_counts(process: Process) -> None:
    """It is known which schema took too long."""
    outcome = process.ask(read({}, {"type": "null"}, UNREADABLE, {}), 0.2)

    assert ([None, None], False) == (outcome.answers, outcome.is_whole)
    assert 0 < outcome.after_last <= outcome.seconds == 0.2


def resident(pid: int) -> int:
    """The bytes of memory that a process has; none if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def test_memory_that_a_job_needed_is_not_kept(process: Process) -> None:
    """A process that cannot give it back ends."""
    outcome = process.ask(read({"enum": [{"a": place} for place in range(100_000)]}), LONG)

    assert outcome.is_whole
    until(lambda: resident(process.pid) <= KEPT)


def test_the_size_of_whoever_starts_it_does_not_matter() -> None:
    """It is kept all the same."""
    script = """
from tests.checker.jobs import read
from poe_proxy.checker.process import Process
large = b"x" * 300_000_000
process = Process()
for _ in range(2):
    assert process.ask(read({}), 60).is_whole
assert process.is_fit
process.close()
"""

    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_process_that_stands_still_is_given_up() -> None:
    """That is not for what was to be checked; and it is gone."""
    process = Process(patience=0.05)
    os.kill(process.pid, signal.SIGSTOP)

    with pytest.raises(Unavailable):
        process.ask(read({}), LONG)

    assert not process.is_fit
    assert not is_running(process.pid)


def test_what_was_answered_in_time_counts(process: Process) -> None:
    """A process that gets no further is gone, and that is nobody's fault."""
    process.ask(read({}), LONG)
    process._patience = 2.0

    outcome = process.ask(read({}, UNREADABLE), LONG)

    assert ([None], False, True) == (outcome.answers, outcome.is_whole, outcome.is_cut)
    assert not is_running(process.pid)


def test_a_process_that_breaks_down_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as one that cannot import what it needs."""
    program = tmp_path / "program.py"
    program.write_text("import nothing_of_this_name", "utf-8")
    monkeypatch.setattr(module, "PROGRAM", program)
    process = Process(patience=LONG)

    with pytest.raises(Unavailable, match="status 1"):
        process.ask(read({}), LONG)

    assert not process.is_fit


def test_a_process_that_was_killed_between_two_jobs_is_not_fit(process: Process) -> None:
    """The next job is not blamed for that."""
    os.kill(process.pid, signal.SIGKILL)

    until(lambda: not process.is_fit)


def limit(pid: int, name: str) -> str:
    """A limit of a process, as the system has it."""
    text = Path(f"/proc/{pid}/limits").read_text("utf-8")
    found = re.search(rf"^{name} +(\S+) +(\S+)", text, re.MULTILINE)
    assert found
    assert found[1] == found[2]
    return found[1]


def test_it_can_reach_nothing(process: Process) -> None:
    """It knows nothing of our settings, and can open no file and no connection."""
    process.ask(read({}), LONG)

    assert b"" == Path(f"/proc/{process.pid}/environ").read_bytes()
    assert "0" == limit(process.pid, "Max open files")
    assert "0" == limit(process.pid, "Max core file size")
    assert str(512 * 1024 * 1024) == limit(process.pid, "Max address space")
    assert 4 == len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def test_it_gives_way_to_all_others(process: Process) -> None:
    """Serving comes first."""
    process.ask(read({}), LONG)

    assert 10 == os.getpriority(os.PRIO_PROCESS, process.pid) - os.getpriority(os.PRIO_PROCESS, 0)


def test_it_does_not_end_with_what_a_terminal_says(process: Process) -> None:
    """A signal to the whole group is for the server, which may have replies under way."""
    process.ask(read({}), LONG)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)

    assert process.ask(read({}), LONG).is_whole


@pytest.mark.parametrize("job", ["None", "process.ask(read(UNREADABLE), 0.5)"])
def test_it_ends_with_whoever_started_it(job: str) -> None:
    """However that ends: even if nobody is there to close it, and in the middle of a job."""
    script: Any = f"""
import os, threading, time
from poe_proxy.checker.process import Process
from tests.checker.jobs import UNREADABLE, read
process = Process()
process.ask(read({{}}), 60)
threading.Thread(target=lambda: {job}, daemon=True).start()
print(process.pid, flush=True)
os._exit(0)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    until(lambda: not is_running(int(printed)))
