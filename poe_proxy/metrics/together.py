"""What the workers of a host have counted, all together: each writes to files of its own in one
folder, and whichever is asked adds them up.

The files are those of prometheus_client's mode for several processes. What a worker has counted
stays when it dies, however it does: from memory that the system writes to the file. Those of the
dead are put together in one file now and then, so that there are never many.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from poe_proxy.locks import held, is_held
from poe_proxy.net.pacing import breathe

#: What adds up for ever, and what ends with its worker.
LASTING: Final = ("counter", "histogram")
PASSING: Final = "gauge_livesum"
#: What the dead have counted; the file beside it that is locked while it is made anew; and how the
#: name of the file begins that is locked for as long as a worker lives, which holds its process.
_GONE: Final = "gone.json"
_FOLDING: Final = "folding"
_ALIVE: Final = "alive_"
#: Bytes that must be free at the start: whoever writes to such memory when there is none is killed.
_ROOM: Final = 16_000_000
#: So many entries are read between two turns of the others.
_AT_ONCE: Final = 200

#: The kind of file, and by the library's keys the numbers.
_Sums = dict[str, dict[str, float]]


class Together:
    """The folder at *path*, in which *worker* names this one. No other worker has ever had that
    name there."""

    def __init__(self, path: Path, worker: str) -> None:
        self._path = path
        self._worker = worker
        self._lock: int | None = None

    def join(self) -> None:
        """Count there from now on: in all metrics that this process makes afterwards. Raises
        OSError if there is no room for it."""
        space = os.statvfs(self._path)
        if space.f_bavail * space.f_frsize < _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lock = held(self._path / f"{_ALIVE}{self._worker}", b"%d" % os.getpid())
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._path)
        values.ValueClass = values.MultiProcessValue(lambda: self._worker)
        self._fold()

    def leave(self) -> None:
        """Be gone, for the others: as when this process ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def processes(self) -> list[int]:
        """Return the processes of the workers that are alive."""
        found = []
        for path in self._path.glob(f"{_ALIVE}*"):
            if self._is_alive(path.name.removeprefix(_ALIVE)):
                with suppress(OSError, ValueError):
                    found.append(int(path.read_text()))
        return found

    def sums(self) -> _Sums:
        """Return all numbers, by kind of file and key; others have their turn in between."""
        files: dict[tuple[str, str], Mapping[str, float]] = {}
        for path in self._path.glob("*.db"):
            kind, worker = _named(path)
            if kind == PASSING and not self._is_alive(worker):
                continue
            with suppress(FileNotFoundError):  # then it is among those of the dead by now
                files[kind, worker] = _read(path)
        # Read last: what was put there meanwhile is passed over above, and never counted twice.
        sums, folded = self._gone()
        for (kind, worker), numbers in files.items():
            if worker not in folded or kind == PASSING:
                _add(sums[kind], numbers)
        return sums

    # ---- the dead

    def _is_alive(self, worker: str) -> bool:
        return worker == self._worker or is_held(self._path / f"{_ALIVE}{worker}")

    def _fold(self) -> None:
        """Put what the dead have counted into one file, and delete theirs. Whenever this is broken
        off, all still counts once: the one file tells whose numbers it has."""
        with suppress(OSError), (self._path / _FOLDING).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # By now dead is dead: no name is used again.
            paths = [one for one in self._path.glob("*.db") if not self._is_alive(_named(one)[1])]
            sums, folded = self._gone()
            for path in paths:
                kind, worker = _named(path)
                if kind in LASTING and worker not in folded:
                    _add(sums[kind], _read(path))
            told = {"folded": sorted({_named(one)[1] for one in paths}), "sums": sums}
            new = self._path / f".{_GONE}"
            new.write_text(json.dumps(told))
            new.rename(self._path / _GONE)
            for path in paths:
                path.unlink()
            for worker in told["folded"]:
                (self._path / f"{_ALIVE}{worker}").unlink(missing_ok=True)

    def _gone(self) -> tuple[defaultdict[str, dict[str, float]], set[str]]:
        """Return what the dead have counted, and the workers whose files are still there."""
        told: dict[str, Any] = {"sums": {}, "folded": []}
        with suppress(FileNotFoundError):
            told = json.loads((self._path / _GONE).read_text())
        return defaultdict(dict, told["sums"]), {*told["folded"]}


class Merged(Collector):
    """The metrics of all workers, added up."""

    def __init__(self, together: Together) -> None:
        self._together = together
        #: What the library's keys say: metric, series, labels, and what it is. As many as series.
        self._parsed: dict[str, tuple[str, str, dict[str, str], str]] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; between two of them others have their turn."""
        for kind, numbers in self._together.sums().items():
            by_metric: defaultdict[str, list[tuple[str, dict[str, str], float]]] = defaultdict(list)
            meanings = {}
            for key, number in numbers.items():
                metric, series, labels, meaning = self._read(key)
                by_metric[metric].append((series, labels, number))
                meanings[metric] = meaning
            for metric, samples in by_metric.items():
                yield _FAMILIES[kind](metric, meanings[metric], samples)
                breathe()

    def _read(self, key: str) -> tuple[str, str, dict[str, str], str]:
        if (parsed := self._parsed.get(key)) is None:
            metric, series, labels, meaning = json.loads(key)
            parsed = self._parsed[key] = (metric, series, labels, meaning)
        return parsed


_Samples = Iterable[tuple[str, dict[str, str], float]]


def _counter(name: str, meaning: str, samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, meaning)
    for _, labels, number in samples:
        family.add_sample(f"{name}_total", labels, number)
    return family


def _gauge(name: str, meaning: str, samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, meaning)
    for _, labels, number in samples:
        family.add_sample(name, labels, number)
    return family


def _histogram(name: str, meaning: str, samples: _Samples) -> Metric:
    buckets: defaultdict[tuple[tuple[str, str], ...], dict[float, float]] = defaultdict(dict)
    totals: dict[tuple[tuple[str, str], ...], float] = {}
    for _, labels, number in samples:
        others = tuple((label, value) for label, value in labels.items() if label != "le")
        if "le" in labels:
            buckets[others][float(labels["le"])] = number
        else:
            totals[others] = number
    family = HistogramMetricFamily(name, meaning)
    for others, numbers in buckets.items():
        count = 0.0
        for bound in sorted(numbers):
            count += numbers[bound]
            labels = {**dict(others), "le": floatToGoString(bound)}
            family.add_sample(f"{name}_bucket", labels, count)
        family.add_sample(f"{name}_count", dict(others), count)
        family.add_sample(f"{name}_sum", dict(others), totals.get(others, 0.0))
    return family


_FAMILIES: Final = {"counter": _counter, "histogram": _histogram, PASSING: _gauge}


def _named(path: Path) -> tuple[str, str]:
    """Return the kind of a file, and the worker whose it is."""
    kind, _, worker = path.stem.rpartition("_")
    return kind, worker


def _read(path: Path) -> dict[str, float]:
    numbers = {}
    with suppress(struct.error):  # it has just been made, and is empty
        for count, (key, number, _, _) in enumerate(MmapedDict.read_all_values_from_file(path)):
            numbers[key] = number
            if count % _AT_ONCE == 0:
                breathe()
    return numbers


def _add(sums: dict[str, float], numbers: Mapping[str, float]) -> None:
    for key, number in numbers.items():
        sums[key] = sums.get(key, 0.0) + number
