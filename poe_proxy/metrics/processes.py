"""What several processes use of the machine, told as if they were one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: How the numbers of processes become one: all together; since the first one began; and of the
#: files that one may have open, those of whoever has most.
_MERGED: Final[dict[str, Callable[[Iterable[float]], float]]] = {
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "process_open_fds": max,
}
_CPU: Final = "process_cpu_seconds"
#: How often the time of the dead is looked for that died while it was counted.
_TRIES: Final = 5


class Processes(Collector):
    """This server's processes: the workers, and the one that started them."""

    def __init__(
        self,
        workers: Callable[[], Iterable[int]],
        *,
        parent: Callable[[], int] = os.getppid,
        proc: Path = Path("/proc"),
    ) -> None:
        self._workers = workers
        self._parent = parent
        self._proc = proc
        self._ticks = os.sysconf("SC_CLK_TCK")

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that the system tells of all of them; none where it tells nothing."""
        before = self._spent_by_the_dead()
        for _ in range(_TRIES):
            found = self._found()
            after = self._spent_by_the_dead()
            if before == after:
                break
            before = after  # one died meanwhile: is it counted twice, or not at all?
        for name, (meaning, numbers) in found.items():
            if name == _CPU:
                # Those that are gone have spent theirs, too.
                yield CounterMetricFamily(name, meaning, value=sum(numbers) + after)
            elif name in _MERGED:
                yield GaugeMetricFamily(name, meaning, value=_MERGED[name](numbers))

    def _found(self) -> dict[str, tuple[str, list[float]]]:
        """Return by metric what it means, and its number of each process."""
        found: dict[str, tuple[str, list[float]]] = {}
        for process in (self._parent(), *self._workers()):
            pid: Callable[[], int] = partial(int, process)
            one = ProcessCollector(pid=pid, proc=str(self._proc), registry=None)
            for family in one.collect():
                for sample in family.samples:
                    found.setdefault(family.name, (family.documentation, []))[1].append(
                        sample.value
                    )
        return found

    def _spent_by_the_dead(self) -> float:
        """Return the seconds of the workers that are gone, as the system tells their parent."""
        try:
            text = (self._proc / str(self._parent()) / "stat").read_text()
        except OSError:
            return 0.0
        fields = text.rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / self._ticks
