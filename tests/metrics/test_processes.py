"""What several processes use, as if they were one: read from a `/proc` of this test's own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from poe_proxy.metrics.processes import Processes

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Machine:
    """A `/proc`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "stat").write_text("cpu 1\nbtime 1000\n")

    def has(
        self,
        pid: int,
        *,
        spent: float = 0.0,
        of_the_dead: float = 0.0,
        began: float = 0.0,
        pages: int = 0,
        files: int = 0,
    ) -> None:
        """Let it have this process."""
        folder = self.path / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        for number in range(files):
            (folder / "fd" / str(number)).touch()
        fields = ["0"] * 50
        fields[0] = "S"
        fields[11] = str(int(spent * TICKS))
        fields[13] = str(int(of_the_dead * TICKS))
        fields[19] = str(int(began * TICKS))
        fields[20], fields[21] = "4096", str(pages)
        (folder / "stat").write_text(f"{pid} (a) b) {' '.join(fields)}\n")
        (folder / "limits").write_text("Max open files            1024       4096       files\n")

    def ends(self, pid: int) -> None:
        """Let it have this process no more."""
        (self.path / str(pid) / "stat").unlink()
        (self.path / str(pid) / "limits").unlink()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def told(processes: Processes) -> dict[str, float]:
    return {one.name: one.value for family in processes.collect() for one in family.samples}


def test_numbers_of_several_processes_become_one(machine: Machine) -> None:
    """Memory and time of all together, the start of the first, the files of whoever has most."""
    machine.has(1, spent=1, began=5, pages=10, files=3, of_the_dead=7)
    machine.has(2, spent=2, began=6, pages=20, files=9)
    machine.has(3, spent=4, began=90, pages=40, files=5)

    assert {
        "process_virtual_memory_bytes": 3 * 4096,
        "process_resident_memory_bytes": 70 * PAGE,
        "process_start_time_seconds": 1005,
        "process_cpu_seconds_total": 14,
        "process_max_fds": 1024,
        "process_open_fds": 9,
    } == told(Processes(lambda: [2, 3], parent=lambda: 1, proc=machine.path))


def test_a_worker_that_dies_while_it_is_counted_counts_once(machine: Machine) -> None:
    """Its time is its parent's by then."""
    machine.has(1)
    machine.has(2, spent=4)
    machine.has(3, spent=2)
    asked = []

    def workers() -> Iterable[int]:
        asked.append(None)
        yield 2
        if len(asked) == 1:
            machine.ends(2)
            machine.has(1, of_the_dead=4)
        yield 3

    found = told(Processes(workers, parent=lambda: 1, proc=machine.path))

    assert 2 == len(asked)
    assert 6 == found["process_cpu_seconds_total"]


def test_where_the_system_tells_nothing_there_is_nothing(tmp_path: Path) -> None:
    """Other systems have no `/proc`."""
    assert {} == told(Processes(lambda: [2], parent=lambda: 1, proc=tmp_path))
