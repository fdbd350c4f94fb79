"""What several workers have counted, told by any of them: processes of their own, one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from poe_proxy.metrics.together import Together

from ..fakes import until
from .test_metrics import NAMES

ROOT = Path(__file__).parents[2]


class Counting:
    """A worker in a process of its own."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.metrics.counting", str(folder), worker],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "ready" == self._line()

    def do(self, what: str) -> str:
        """Let it do something; return what it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def of(self, name: str, **labels: str) -> float | None:
        """What it tells of one series; None: there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(json.loads(self.do("text")))
            for sample in family.samples
            if (sample.name, sample.labels) == (name, labels)
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def requests(self, client: str = "alice") -> float | None:
        """How many requests of *client* there were."""
        return self.of(
            "poe_proxy_requests_total",
            route="/v1/chat/completions",
            status="200",
            code="",
            client=client,
        )

    def kill(self) -> None:
        """Let it die of a SIGKILL."""
        self.process.kill()
        self.process.wait(60)

    def end(self) -> None:
        """End it, if it lives, and close its pipes."""
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[str], Counting]]:
    """Begins a worker by its name."""
    with ExitStack() as stack:

        def begin(name: str) -> Counting:
            one = Counting(tmp_path, name)
            stack.callback(one.end)
            return one

        yield begin


def test_each_worker_tells_of_all(worker: Callable[[str], Counting]) -> None:
    """Counters and histograms are added up, and so is what is tallied elsewhere."""
    first, second = worker("1"), worker("2")
    for one, clients in ((first, ("alice", "bob")), (second, ("alice", "alice"))):
        for client in clients:
            one.do(f"told {client}")
        one.do("login cookie-1")

    for one in (first, second):
        assert (3, 1) == (one.requests(), one.requests("bob"))
        assert 2 == one.of("poe_proxy_logins_total", account="cookie-1", outcome="ok")
        labels = {"route": "/v1/chat/completions", "stream": "true"}
        assert 4 == one.of("poe_proxy_request_seconds_count", **labels)
        assert 12.008 == pytest.approx(one.of("poe_proxy_request_seconds_sum", **labels))
        assert 0 == one.of("poe_proxy_request_seconds_bucket", **labels, le="2.5")
        assert 4 == one.of("poe_proxy_request_seconds_bucket", **labels, le="5.0")
        assert 4 == one.of("poe_proxy_request_seconds_bucket", **labels, le="+Inf")


def test_the_series_are_those_of_one_worker_and_parsers_read_them(
    worker: Callable[[str], Counting],
) -> None:
    """Names, types and labels, in both forms; the strict parser checks order and counts. Only
    workers and hosts are told of besides."""
    one, other = worker("1"), worker("2")
    for each in (one, other):
        each.do("told alice")
        each.do("login cookie-1")
    families = list(openmetrics.text_string_to_metric_families(json.loads(one.do("openmetrics"))))
    found = {}
    for family in text_string_to_metric_families(json.loads(one.do("text"))):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name.removeprefix("poe_proxy_")] = (family.type, labels)

    assert len(families) == len({family.name for family in families})
    ours = {name: one for name, one in found.items() if not name.startswith("process_")}
    # Those of which there is nothing yet have no labels.
    assert ours == {name: one if ours[name][1] else (one[0], set()) for name, one in NAMES.items()
                    if name in ours}  # fmt: skip
    assert {"workers", "hosts", "requests_total", "logins_total", "requests_open"} < ours.keys()
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} < found.keys()


def test_workers_and_hosts_are_counted(worker: Callable[[str], Counting]) -> None:
    """As the pool knows them, which is more than this host."""
    one = worker("1")

    assert (3, 2) == (one.of("poe_proxy_workers"), one.of("poe_proxy_hosts"))


def test_no_counter_goes_back_when_a_worker_dies(
    worker: Callable[[str], Counting], tmp_path: Path
) -> None:
    """Not before there is another one, nor while that puts together what the dead have counted, nor
    when more of them die; and nothing counts twice."""
    survivor = worker("1")
    for name in ("2", "3", "4"):
        one = worker(name)
        one.do("told alice")
        before = survivor.requests()
        one.kill()
        assert before == survivor.requests()
    survivor.do("told alice")
    # The first that was started after the last death has cleared up.
    last = worker("5")

    assert (4, 4) == (survivor.requests(), last.requests())
    assert {"1", "5"} == {path.stem.rpartition("_")[2] for path in tmp_path.glob("*.db")}


def test_what_is_under_way_ends_with_its_worker(worker: Callable[[str], Counting]) -> None:
    """Until then each worker tells of all; what changes is told within a second or so."""
    first, second = worker("1"), worker("2")
    second.do("open 3")
    first.do("open 1")

    def opened() -> float | None:
        return first.of("poe_proxy_requests_open", stream="false")

    until(lambda: opened() == 4)
    second.do("open 2")
    until(lambda: opened() == 3)
    second.kill()
    assert 1 == opened()


def test_the_processes_are_told_of_as_one(worker: Callable[[str], Counting]) -> None:
    """Memory is that of all; and the time of those that are gone is not forgotten."""
    first = worker("1")
    alone = first.of("process_resident_memory_bytes")
    second = worker("2")
    both = first.of("process_resident_memory_bytes")
    spent = first.of("process_cpu_seconds_total")
    second.kill()
    after = first.of("process_cpu_seconds_total")

    assert alone is not None
    assert both is not None
    assert alone < both
    assert spent is not None
    assert after is not None
    assert spent <= after


# ---- what is broken off


def numbers(together: Together) -> float:
    return sum(sum(one.values()) for one in together.sums().values())


def test_a_clearing_up_that_is_broken_off_counts_nothing_twice(
    worker: Callable[[str], Counting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the files of the dead are deleted, what they say is in another one already."""
    for name in ("1", "2"):
        one = worker(name)
        one.do("told alice")
        one.kill()
    together = Together(tmp_path, "3")
    before = numbers(together)

    def fail(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        together._fold()
    assert [*tmp_path.glob("counter_*.db")]
    assert before == numbers(together)
    together._fold()
    assert [] == [*tmp_path.glob("*.db")]

    assert before == numbers(together)
    assert before > 0


def test_a_file_that_is_just_being_made_has_nothing(tmp_path: Path) -> None:
    """It is empty for a moment."""
    (tmp_path / "counter_1.db").touch()

    assert 0 == numbers(Together(tmp_path, "2"))


def test_without_room_each_worker_counts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wrote to memory that is not there would be killed."""
    from poe_proxy.metrics import metrics

    monkeypatch.setattr("poe_proxy.metrics.together._ROOM", 1 << 60)
    with caplog.at_level("ERROR"):
        assert metrics._joined(Together(tmp_path, "1")) is None

    assert "of one worker each" in caplog.text
    assert [] == [*tmp_path.iterdir()]
