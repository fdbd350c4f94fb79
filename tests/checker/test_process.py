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
from .jobs import DOUBLED, UNREADABLE, check, family, is_running, read

#: More than any test takes.
LONG = 60.0


@pytest.fixture
def process() -> Iterator[Process]:
    """It has done a job, and is ready for another."""
    one = Process(patience=LONG)
    one.ask(read({}), LONG)
    yield one
    one.close()


def worker(process: Process) -> int:
    """The process that does the jobs."""
    _, pid = family(process.pid)
    return pid


def test_it_does_one_job_after_the_other(process: Process) -> None:
    """And says what each of them cost."""
    outcomes = [
        process.ask(read({}, {"type": "nothing"}, {}), LONG),
        process.ask(check({"type": "null"}, None), LONG),
        process.ask(check({"type": "null"}, 1), LONG),
    ]

    assert [
        [None, {"rule": "anyOf", "at": "/type"}, None],
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
    """All that it may cost is counted; the process is gone, and another is ready."""
    before = worker(process)

    outcome = process.ask(job, 0.05)

    assert ([], False, 0.05, 0.05) == (
        outcome.answers,
        outcome.is_whole,
        outcome.seconds,
        outcome.after_last,
    )
    assert not is_running(before)
    assert process.is_fit
    assert [True] == process.ask(check({}, 1), LONG).answers


def test_a_job_that_takes_too_much_memory_is_killed(process: Process) -> None:
    """Whatever time it has. It has said what it knew until then."""
    names = {"enum": [str(place) for place in range(10_000)]}
    value = {f"x{place}": 1 for place in range(10_000)}
    before = worker(process)

    outcome = process.ask(check({"propertyNames": names}, value), LONG)

    assert ([False], False) == (outcome.answers, outcome.is_whole)
    assert not is_running(before)
    assert [True] == process.ask(check({}, 1), LONG).answers


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
    """A process that cannot give it back ends, and another takes its place."""
    before = worker(process)

    outcome = process.ask(read({"enum": [{"a": place} for place in range(100_000)]}), LONG)

    assert outcome.is_whole
    until(lambda: resident(before) <= KEPT)
    assert [True] == process.ask(check({}, 1), LONG).answers


def test_the_size_of_whoever_starts_it_does_not_matter() -> None:
    """It is kept all the same."""
    script = """
from poe_proxy.checker.process import Process
from tests.checker.jobs import family, read
large = b"x" * 300_000_000
process = Process()
process.ask(read({}), 60)
before = family(process.pid)
process.ask(read({}), 60)
assert before == family(process.pid)
process.close()
"""

    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_process_that_stands_still_is_given_up() -> None:
    """That is not for what was to be checked; and it is gone."""
    process = Process(patience=0.05)
    os.killpg(process.pid, signal.SIGSTOP)

    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        process.ask(read({}), LONG)

    assert not process.is_fit
    assert not is_running(process.pid)


def test_what_was_answered_in_time_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that gets no further is gone, and that is nobody's fault."""
    program = tmp_path / "program.py"
    program.write_text("import os, time; os.write(0, b'[null, 0.25]\\n'); time.sleep(600)", "utf-8")
    monkeypatch.setattr(module, "PROGRAM", program)
    process = Process(patience=3.0)

    outcome = process.ask(read({}, {}), LONG)

    assert ([None], False, 0.25, True) == (
        outcome.answers,
        outcome.is_whole,
        outcome.seconds,
        outcome.is_cut,
    )
    assert not is_running(process.pid)


def test_a_process_that_breaks_down_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as one that cannot import what it needs."""
    program = tmp_path / "program.py"
    program.write_text("import nothing_of_this_name", "utf-8")
    monkeypatch.setattr(module, "PROGRAM", program)
    process = Process(patience=LONG)

    with pytest.raises(Unavailable, match="ended"):
        process.ask(read({}), LONG)

    assert not process.is_fit


@pytest.mark.parametrize("place", [0, 1], ids=["the first", "the one that works"])
def test_what_was_killed_between_two_jobs_is_not_fit(process: Process, place: int) -> None:
    """The next job is not blamed for that."""
    pids = family(process.pid)

    os.kill(pids[place], signal.SIGKILL)

    until(lambda: not process.is_fit)
    process.close()
    until(lambda: not any(is_running(pid) for pid in pids))


def limit(pid: int, name: str) -> str:
    """A limit of a process, as the system has it."""
    text = Path(f"/proc/{pid}/limits").read_text("utf-8")
    found = re.search(rf"^{name} +(\S+) +(\S+)", text, re.MULTILINE)
    assert found
    assert found[1] == found[2]
    return found[1]


def test_it_can_reach_nothing(process: Process) -> None:
    """It knows nothing of our settings, and can open no file and no connection."""
    pid = worker(process)

    assert b"" == Path(f"/proc/{pid}/environ").read_bytes()
    assert "0" == limit(pid, "Max open files")
    assert "0" == limit(pid, "Max core file size")
    assert str(512 * 1024 * 1024) == limit(pid, "Max address space")
    assert 4 == len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_it_inherits_nothing() -> None:
    """A file or a connection that the server has open for others is none of its business."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # to fail instead of waiting for ever
    os.set_inheritable(writing, True)
    process = Process(patience=LONG)
    os.close(writing)
    try:
        process.ask(read({}), LONG)
        assert b"" == os.read(reading, 1), "nobody has the other end any more"
        assert all(Path("/") == Path(f"/proc/{pid}/cwd").readlink() for pid in family(process.pid))
    finally:
        os.close(reading)
        process.close()


def test_that_somebody_else_looked_after_the_dead_does_no_harm(process: Process) -> None:
    """As an event loop does that was told to watch children."""
    os.killpg(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)

    assert not process.is_fit
    process.close()


def test_it_gives_way_to_all_others(process: Process) -> None:
    """Serving comes first: among processes, and among sessions, where the system knows those."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    pid = worker(process)
    session = Path(f"/proc/{pid}/autogroup")

    assert min(ours + 10, 19) == os.getpriority(os.PRIO_PROCESS, pid)
    assert not session.exists() or session.read_text("utf-8").endswith(" nice 10\n")


def test_it_does_not_end_by_a_signal_to_all(process: Process) -> None:
    """A terminal and systemd end the server, which may have replies under way."""
    for pid in family(process.pid):
        assert process.pid == os.getsid(pid)
        os.kill(pid, signal.SIGTERM)

    assert process.ask(read({}), LONG).is_whole


@pytest.mark.parametrize("job", ["None", "process.ask(read(UNREADABLE), 0.5)"])
def test_it_ends_with_whoever_started_it(job: str) -> None:
    """However that ends: even if nobody is there to close it, and in the middle of a job."""
    script: Any = f"""
import os, threading, time
from poe_proxy.checker.process import Process
from tests.checker.jobs import UNREADABLE, family, read
process = Process()
process.ask(read({{}}), 60)
pids = family(process.pid)
threading.Thread(target=lambda: {job}, daemon=True).start()
print(*pids, flush=True)
os._exit(0)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    assert 2 == len(printed.split())
    until(lambda: not any(is_running(int(pid)) for pid in printed.split()))
